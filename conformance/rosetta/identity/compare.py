"""Compare what the implementations answered to the same lines, each with every other."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rosetta.contract.blame import parting, rules_parted
from rosetta.identity.corpus import Line, shown

Json = Any
SHOWN = 160
SHOWN_PLACES = 4


@dataclass(frozen=True)
class Group:
    """Implementations that gave one answer."""

    names: tuple[str, ...]
    answer: Json


@dataclass(frozen=True)
class Difference:
    """One line that was not answered alike; ``words`` say where the first two groups part."""

    part: str
    number: int  # of the line, from 1
    operation: str
    request: str
    groups: tuple[Group, ...]
    rules: tuple[str, ...]
    words: str


def differences(
    part: str, lines: Sequence[Line], answers: Mapping[str, Sequence[Json]]
) -> list[Difference]:
    """Return every line that two implementations answered differently, in order."""
    found = []
    operations = operations_of(lines)
    for index, line in enumerate(lines):
        groups = grouped({name: given[index] for name, given in answers.items()})
        if len(groups) > 1:
            found.append(_difference(part, index + 1, line, operations[index], groups))
    return found


def operations_of(lines: Sequence[Line]) -> list[str]:
    """Return the operation of each line, which for a socket is the one that opened it."""
    sockets = {line.socket: line for line in lines if line.request and line.socket}
    return [sockets.get(line.socket, line).operation for line in lines]


def grouped(answers: Mapping[str, Json]) -> tuple[Group, ...]:
    """Return the implementations by their answer, the largest group first."""
    names: dict[str, list[str]] = {}
    for name, answer in answers.items():
        names.setdefault(json.dumps(answer, sort_keys=True), []).append(name)
    by_size = sorted(names.items(), key=lambda entry: (-len(entry[1]), entry[1]))
    return tuple(Group(tuple(found), json.loads(text)) for text, found in by_size)


def agreeing(names: Sequence[str], found: Sequence[Difference]) -> list[list[str]]:
    """Return who answered every line alike, the largest group first."""
    marks: dict[str, list[int]] = {name: [] for name in names}
    for difference in found:
        for number, group in enumerate(difference.groups):
            for name in group.names:
                marks[name].append(number)
    together: dict[tuple[int, ...], list[str]] = {}
    for name, numbers in marks.items():
        together.setdefault(tuple(numbers), []).append(name)
    return sorted(together.values(), key=lambda group: (-len(group), group))


def _difference(
    part: str, number: int, line: Line, operation: str, groups: tuple[Group, ...]
) -> Difference:
    first, second = groups[0].answer, groups[1].answer
    parted = parting(first, second)
    rules = rules_parted(first, second, operation)
    words = [
        f"{'.'.join(map(str, place))} is {_cut(one)} at {', '.join(groups[0].names)} "
        f"and {_cut(other)} at {', '.join(groups[1].names)}"
        for place, one, other in parted
    ]
    more = [f"and {len(words) - SHOWN_PLACES} more places"] if len(words) > SHOWN_PLACES else []
    text = "; ".join(words[:SHOWN_PLACES] + more)
    return Difference(part, number, operation, in_words(line), groups, rules, text)


def in_words(line: Line) -> str:
    """Return a line as text: a request without its usual fields, or what is done to a socket."""
    if line.request:
        return request_in_words(line)
    what = f"socket {line.socket}, {line.heard} messages heard"
    if line.frame:
        return f"{what}: frame {line.frame.opcode} {_cut(line.frame.data.decode('latin-1'))}"
    ends = {"cut": ": cut off", "close": ": waits for the server's Close"}
    return what + ends.get(line.ends, "")


# What clients send by themselves.
USUAL = {"host", "accept", "accept-encoding", "connection", "user-agent", "content-length"}


def request_in_words(line: Line) -> str:
    """Return a request in one line: method, target, fields that matter, body."""
    head, _, body = shown(line.request).partition("\r\n\r\n")
    first, *fields = head.split("\r\n")
    keeps = "GET /ws/" in first
    told = [f for f in fields if keeps or f.partition(":")[0].lower() not in USUAL]
    told = [f for f in told if not f.lower().startswith("x-schemathesis")]
    text = " | ".join([first.removesuffix(" HTTP/1.1"), *told])
    return f"{text} {_cut(body)}" if body else text


def _cut(value: Json) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = text.encode("unicode_escape").decode()
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}… ({len(text)} characters)"
