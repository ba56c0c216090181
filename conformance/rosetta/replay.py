"""Layer 4: send the corpus to every implementation and compare each answer with every other's.

python -m rosetta.replay [NAME …] [--database sqlite|postgresql] [--file FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rosetta import corpus, databases
from rosetta.compare import Difference, differences, in_words
from rosetta.controller import now
from rosetta.corpus import CorpusError, Line, Recording
from rosetta.fleet import SECRET_KEY, Fleet
from rosetta.harness import ServerError
from rosetta.manifest import ROOT, Implementation, ManifestError, discover
from rosetta.minimise import minimised
from rosetta.normal import OPEN, Normal
from rosetta.player import Player
from rosetta.results import commit, lock_hash, python_version, versions
from rosetta.venvs import VenvError, environment_of

Json = Any
AT_ONCE = 2  # implementations
SHOWN = 20  # differences
MINIMISED = 5  # differences for which a script is sought
TRIES = 16  # for each
SERVER_ERROR = 500


@dataclass
class Replayed:
    """What one implementation answered, by part; ``seconds`` are those of sending and waiting."""

    name: str
    answers: dict[str, list[Json]] = field(default_factory=dict)
    seconds: float = 0.0
    problem: str = ""


@dataclass
class Report:
    """What a replay found; ``scripts`` are those of differences, by their place in the list."""

    recordings: list[Recording]
    replayed: list[Replayed]
    found: list[Difference]
    scripts: dict[int, list[Line]] = field(default_factory=dict)

    @property
    def requests(self) -> int:
        """How many requests each implementation was sent."""
        return sum(recording.requests for recording in self.recordings)

    @property
    def messages(self) -> int:
        """How many websocket messages each should have sent."""
        return sum(recording.messages for recording in self.recordings)

    @property
    def problems(self) -> list[str]:
        """Whatever makes the replay red but a difference."""
        told = [f"{each.name}: {each.problem}" for each in self.replayed if each.problem]
        if len(self.replayed) < 2:
            told.append(f"{len(self.replayed)} implementations are too few to compare")
        if not self.requests:
            told.append("nothing was sent")
        for each in self.replayed:
            told += broken(each, self.recordings) if not each.problem else []
        return told

    @property
    def green(self) -> bool:
        """Whether all is identical."""
        return not self.found and not self.problems


def broken(replayed: Replayed, recordings: Sequence[Recording]) -> list[str]:
    """Return what no agreement makes good: no answer at all, an answer of 500 or above."""
    told = []
    for recording in recordings:
        answers = replayed.answers.get(recording.name, [])
        if len(answers) != len(recording.lines):
            told.append(f"{recording.name}: {len(answers)} of {len(recording.lines)} lines sent")
        bad = [
            f"line {number}: {answer.get('trouble') or answer['status']}"
            for number, answer in enumerate(answers, 1)
            if answer.get("trouble") or answer.get("status", 0) >= SERVER_ERROR
        ]
        told += [f"{recording.name}: {len(bad)} without an answer, {bad[0]}"] if bad else []
    return [f"{replayed.name}: {text}" for text in told]


# -- sending


def replay(
    implementation: Implementation,
    recordings: Sequence[Recording],
    kind: databases.Kind,
    logs: Path,
) -> Replayed:
    """Send every recording to a new server on a new database."""
    result = Replayed(implementation.name)
    try:
        fleet = Fleet(implementation, kind, 1, logs / implementation.name)
        try:
            for recording in recordings:
                _play(fleet, recording, result)
        finally:
            fleet.close()
    except (ServerError, VenvError, OSError) as error:
        result.problem = str(error)
    return result


def _play(fleet: Fleet, recording: Recording, result: Replayed) -> None:
    with fleet.server(recording.name) as server, Player(server, SECRET_KEY) as player:
        begin = time.monotonic()
        answers = player.play(recording.lines)
        result.seconds += time.monotonic() - begin
    result.answers[recording.name] = Normal().answers(recording.lines, answers)


def replay_all(
    implementations: Sequence[Implementation],
    recordings: Sequence[Recording],
    kind: databases.Kind,
    logs: Path,
) -> Report:
    """Send the recordings to the implementations, two at a time, and compare."""
    printing = threading.Lock()
    requests = sum(recording.requests for recording in recordings)

    def one(implementation: Implementation) -> Replayed:
        result = replay(implementation, recordings, kind, logs)
        rate = requests / result.seconds if result.seconds else 0
        with printing:
            told = result.problem or f"{result.seconds:.1f} s, {rate:.0f} requests/s"
            print(f"{implementation.name}: {told}", flush=True)
        return result

    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        replayed = list(pool.map(one, implementations))
    whole = [each for each in replayed if not each.problem]
    found = [
        difference
        for recording in recordings
        for difference in differences(
            recording.name,
            recording.lines,
            {each.name: each.answers[recording.name] for each in whole},
        )
    ]
    return Report(list(recordings), replayed, found)


# -- scripts


def first_of_each(found: Sequence[Difference]) -> list[int]:
    """Return the places of the first difference of every operation."""
    first: dict[str, int] = {}
    for place, difference in enumerate(found):
        first.setdefault(difference.operation, place)
    return sorted(first.values())


def add_scripts(
    report: Report,
    implementations: Mapping[str, Implementation],
    kind: databases.Kind,
    logs: Path,
) -> None:
    """Find a short script for the first difference of each of some operations."""
    lines = {recording.name: recording.lines for recording in report.recordings}
    fleets: dict[str, Fleet] = {}
    try:
        for place in first_of_each(report.found)[:MINIMISED]:
            difference = report.found[place]
            pair = [group.names[0] for group in difference.groups[:2]]
            for name in set(pair) - set(fleets):
                fleets[name] = Fleet(implementations[name], kind, 1, logs / f"{name}-scripts")
            before = lines[difference.part][: difference.number]
            test = parting([fleets[name] for name in pair])
            report.scripts[place] = minimised(before, test, TRIES)
    finally:
        for fleet in fleets.values():
            fleet.close()


def parting(fleets: Sequence[Fleet]) -> Callable[[Sequence[Line]], bool]:
    """Return a function that tells whether the last line of a script is answered differently."""

    def last(fleet: Fleet, recording: Recording) -> str:
        result = Replayed(fleet.implementation.name)
        _play(fleet, recording, result)
        return json.dumps(result.answers[recording.name][-1], sort_keys=True)

    def parts(script: Sequence[Line]) -> bool:
        recording = Recording("script", list(script))
        with ThreadPoolExecutor(max_workers=len(fleets)) as pool:
            return len(set(pool.map(lambda fleet: last(fleet, recording), fleets))) > 1

    return parts


# -- telling


def tell(report: Report) -> None:
    """Print what was found, and the closing line."""
    first = first_of_each(report.found)
    for place in first[:SHOWN]:
        print("\n".join(["", *describe(report, place)]))
    if report.found:
        by_operation = Counter(difference.operation for difference in report.found)
        counts = ", ".join(f"{count} {name}" for name, count in by_operation.most_common())
        print(f"\nlines that differ: {counts}")
    for problem in report.problems:
        print(problem)
    print(closing(report))


def closing(report: Report) -> str:
    """Return the one line of verdict."""
    size = f"{report.requests} requests, {report.messages} feed messages"
    names = f"{len(report.replayed)} implementations"
    if report.green:
        return f"GREEN: {size}, {names}, identical"
    return f"RED: {size}, {names}: {len(report.found)} differences, {len(report.problems)} problems"


def describe(report: Report, place: int) -> list[str]:
    """Return a difference in words: request, rules, who answers what, and how to see it again."""
    difference = report.found[place]
    where = f"{difference.operation} ({difference.part}, line {difference.number})"
    told = [f"{where}: rules {', '.join(difference.rules)}", f"  {difference.request}"]
    told += [f"  {difference.words}"]
    told += [f"  group: {', '.join(group.names)}" for group in difference.groups]
    if place in report.scripts:
        told.append("  the shortest script found:")
        told += [
            f"    {number}. {in_words(line)}{f' → {line.binds}' if line.binds else ''}"
            for number, line in enumerate(report.scripts[place], 1)
        ]
    return told


def as_json(
    report: Report, implementations: Mapping[str, Implementation], kind: databases.Kind
) -> Json:
    """Return the report as it stands in results/replay.json."""
    head, dirty = commit()
    sent = {r.name: {"requests": r.requests, "messages": r.messages} for r in report.recordings}
    return {
        "commit": head,
        "dirty": dirty,
        "finished": now(),
        "python": python_version(),
        "database": kind,
        "corpus": sent,
        "not_compared": [{"what": what, "rule": rule} for what, rule in OPEN],
        "implementations": {
            each.name: _implementation_as_json(each, implementations[each.name], report.requests)
            for each in report.replayed
        },
        "identical": report.requests - len(report.found),
        "differences": [
            asdict(found)
            | {"script": [corpus.encode(line) for line in report.scripts.get(place, [])]}
            for place, found in enumerate(report.found)
        ],
        "problems": report.problems,
        "verdict": "identical" if report.green else "different",
    }


def _implementation_as_json(
    replayed: Replayed, implementation: Implementation, requests: int
) -> Json:
    names = {"framework": implementation.package, "server": implementation.server}
    return {
        "versions": {} if replayed.problem else versions(environment_of(implementation), names),
        "lock": lock_hash(implementation),
        "seconds": round(replayed.seconds, 3),
        "requests_per_second": round(requests / replayed.seconds) if replayed.seconds else None,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 only if every implementation answered every line alike."""
    options = _parser().parse_args(arguments)
    try:
        found = discover()
        if not found:
            raise ManifestError("no implementation found")
        if unknown := [name for name in options.names if name not in found]:
            raise ManifestError(f"no implementation {unknown[0]!r}: there are {', '.join(found)}")
        recordings = [corpus.read_file(options.file)] if options.file else corpus.read()
    except (ManifestError, CorpusError) as error:
        print(f"RED: {error}", file=sys.stderr)
        return 1
    chosen = {name: found[name] for name in options.names or found}
    logs = options.results / "replay.logs"
    print("not compared:", *(f"{what} ({rule})" for what, rule in OPEN), sep="\n  ", flush=True)
    report = replay_all(list(chosen.values()), recordings, options.database, logs)
    add_scripts(report, chosen, options.database, logs)
    tell(report)
    written = as_json(report, chosen, options.database)
    options.results.mkdir(parents=True, exist_ok=True)
    text = json.dumps(written, indent=1)
    (options.results / "replay.json").write_text(f"{text}\n", encoding="utf-8")
    return 0 if report.green else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rosetta.replay", description="Compare implementations.")
    parser.add_argument("names", nargs="*", help="implementations; default: all")
    parser.add_argument("--database", choices=databases.KINDS, default="sqlite")
    parser.add_argument("--file", type=Path, help="a recording in the place of the corpus")
    parser.add_argument("--results", type=Path, default=ROOT / "results")
    return parser


if __name__ == "__main__":
    sys.exit(main())
