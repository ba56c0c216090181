"""Layer 4 as a negative control: the corpus at a copy, up to where it parts from the good one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rosetta.identity import corpus
from rosetta.identity.compare import Difference, differences
from rosetta.identity.corpus import Recording
from rosetta.identity.normalise import Normal
from rosetta.identity.player import Player
from rosetta.identity.replay import replay_all
from rosetta.targets.cpus import cpus
from rosetta.targets.fleet import SECRET_KEY, Fleet
from rosetta.targets.manifest import Implementation
from rosetta.targets.server import ServerError

Json = Any
Answers = Mapping[str, Sequence[Json]]  # by part of the corpus, one for each line


def answers_of(implementation: Implementation, logs: Path, *, full: bool = False) -> Answers:
    """Return what an implementation answers to the corpus, whole or distilled.

    Raise ServerError.
    """
    recordings = corpus.read(distilled=not full)
    [replayed] = replay_all([implementation], recordings, "sqlite", logs, cpus() + 1)
    if replayed.problem:
        raise ServerError(replayed.problem)
    return replayed.answers


def first_difference(fleet: Fleet, answers: Answers) -> Difference | None:
    """Play the parts that have answers, until one of the fleet's is another; raise ServerError.

    The answers are to the whole corpus or to the distilled one.
    """
    recordings = [each for each in corpus.read() if each.name in answers]
    if any(len(each.lines) != len(answers[each.name]) for each in recordings):
        recordings = [each for each in corpus.read(distilled=True) if each.name in answers]
    found = (_first_in(recording, fleet, answers[recording.name]) for recording in recordings)
    return next((difference for difference in found if difference), None)


def _first_in(recording: Recording, fleet: Fleet, right: Sequence[Json]) -> Difference | None:
    normal, given = Normal(), list[Json]()
    with fleet.server(recording.name) as server, Player(server, SECRET_KEY) as player:
        for line, expected in zip(recording.lines, right, strict=True):
            [answer] = player.play([line])
            given.append(normal.answer(line, answer))
            if _text(given[-1]) != _text(expected):
                break
    end = len(given)
    both = {"the good copy": right[:end], "the faulty one": given}
    found = next(iter(differences(recording.name, recording.lines[:end], both)), None)
    return found and replace(found, number=recording.number(found.number - 1))


def _text(answer: Json) -> str:
    return json.dumps(answer, sort_keys=True)  # true is not 1 there
