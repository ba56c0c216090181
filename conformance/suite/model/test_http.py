"""Any sequence of requests to users, items and tokens is answered as the model answers it."""

from __future__ import annotations

from machines.http_machine import EXAMPLES, HttpMachine
from machines.machine import run_machine
from machines.world import World
from rosetta.clients.http import Api
from rosetta.results.run import Held


def test_any_sequence_of_requests_is_answered_as_the_model_answers(
    api: Api, seed: int, held: Held
) -> None:
    world = World(api)
    run_machine(HttpMachine, world, seed, examples=EXAMPLES)
    held(world.held)
