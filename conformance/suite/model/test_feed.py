"""Any interleaving of writes, connects, subscribes and resumes delivers the model's sequence."""

from __future__ import annotations

from machines.feed_machine import EXAMPLES, FeedMachine
from machines.machine import run_machine
from machines.world import World
from rosetta.clients.http import Api
from rosetta.results.run import Held


def test_any_interleaving_delivers_the_sequence_of_the_model(
    api: Api, seed: int, held: Held
) -> None:
    world = World(api)
    run_machine(FeedMachine, world, seed, examples=EXAMPLES)
    held(world.held)
