"""Layer 4: send the corpus to every implementation and compare each answer with every other's."""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from rosetta.contract.blame import rules_held
from rosetta.identity import corpus
from rosetta.identity.compare import Difference, agreeing, differences, in_words, operations_of
from rosetta.identity.corpus import CorpusError, Line, Recording
from rosetta.identity.judge import judge
from rosetta.identity.minimise import minimised
from rosetta.identity.normalise import OPEN, Normal
from rosetta.identity.player import Player
from rosetta.results import documents
from rosetta.results.reasons import closing, replay_name
from rosetta.results.run import now, provenance, tested
from rosetta.targets import databases
from rosetta.targets.fleet import SECRET_KEY, Fleet
from rosetta.targets.manifest import Implementation, ManifestError, select
from rosetta.targets.server import ServerError
from rosetta.targets.venvs import VenvError, environment_of

Json = Any
SHOWN = 20  # differences, and steps of a script
MINIMISED = 5  # differences for which a script is sought
TRIES = 40  # for each
SECONDS = 20.0  # for each
SERVER_ERROR = 500
MOST_WRONG = 100  # wrong answers that are kept


@dataclass
class Played:
    """What one implementation answered to one part of the corpus, in a form to keep and to send.

    ``answers`` are normalised, ``judged`` is how many were held to the contract, ``wrong`` those
    that are not what it says. ``seconds`` are those of sending and waiting, ``client_seconds`` the
    client's own work in them.
    """

    part: str
    answers: list[Json] = field(default_factory=list)
    judged: int = 0
    wrong: list[Json] = field(default_factory=list)
    seconds: float = 0.0
    client_seconds: float = 0.0
    problem: str = ""


@dataclass
class Replayed:
    """What one implementation answered to all parts, and the inputs of that."""

    name: str
    parts: list[Played] = field(default_factory=list)
    problem: str = ""
    inputs: str = ""

    @property
    def answers(self) -> dict[str, list[Json]]:
        """The answers by part."""
        return {played.part: played.answers for played in self.parts}

    @property
    def seconds(self) -> float:
        """The seconds of sending and waiting."""
        return sum(played.seconds for played in self.parts)

    @property
    def client_seconds(self) -> float:
        """The seconds of the client's own work in them."""
        return sum(played.client_seconds for played in self.parts)

    def add(self, played: Played) -> None:
        """Add what was answered to one part."""
        self.parts.append(played)
        self.problem = self.problem or played.problem


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
    def lines(self) -> int:
        """How many answers of each were compared."""
        return sum(len(recording.lines) for recording in self.recordings)

    def answers(self, name: str, part: str) -> list[Json]:
        """Return what one implementation answered to a part."""
        return next(each.answers[part] for each in self.replayed if each.name == name)

    @property
    def partitions(self) -> list[tuple[tuple[tuple[str, ...], ...], int]]:
        """Who agreed with whom, and on how many lines; the most frequent first."""
        everyone = tuple(each.name for each in self.replayed if not each.problem)
        counts = Counter(tuple(group.names for group in found.groups) for found in self.found)
        counts[(everyone,)] += self.lines - len(self.found)
        return counts.most_common()

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

    def number(self, difference: Difference) -> int:
        """Return the number that the line of a difference has in the whole corpus."""
        recording = next(each for each in self.recordings if each.name == difference.part)
        return recording.number(difference.number - 1)

    @property
    def judged(self) -> Json:
        """How many answers were held to the contract, and those that are not what it says."""
        wrong = [
            {"implementation": each.name, **found}
            for each in self.replayed
            for played in each.parts
            for found in played.wrong
        ]
        answers = sum(played.judged for each in self.replayed for played in each.parts)
        return {"answers": answers, "failures": wrong[:MOST_WRONG]}

    @property
    def green(self) -> bool:
        """Whether all is identical, and right."""
        return not self.found and not self.problems and not self.judged["failures"]


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


def play(fleet: Fleet, recording: Recording) -> Played:
    """Send a recording to a new server on a new database; keep answers, times and trouble."""
    played = Played(recording.name)
    try:
        with fleet.server(recording.name) as server, Player(server, SECRET_KEY) as player:
            begin, own = time.monotonic(), time.thread_time()
            answers = player.play(recording.lines)
            played.seconds = time.monotonic() - begin
            played.client_seconds = time.thread_time() - own
        played.answers = Normal().answers(recording.lines, answers)
        played.judged, wrong = judge(recording.lines, answers)
        played.wrong = [
            asdict(each) | {"part": recording.name, "number": recording.number(each.number - 1)}
            for each in wrong
        ]
    except (ServerError, OSError) as error:
        played.problem = str(error)
    return played


def replay_all(
    implementations: Sequence[Implementation],
    recordings: Sequence[Recording],
    kind: databases.Kind,
    logs: Path,
    jobs: int,
) -> list[Replayed]:
    """Send each recording to a new server of each implementation.

    Those that take longest begin, so that no core is left without work at the end.
    """
    replayed = [Replayed(implementation.name) for implementation in implementations]
    with ExitStack() as stack, ThreadPoolExecutor(max_workers=jobs) as pool:
        fleets = [
            fleet_of(implementation, kind, logs, stack, result)
            for implementation, result in zip(implementations, replayed, strict=True)
        ]
        by_size = sorted(recordings, key=lambda recording: -recording.requests)
        playing = [
            (result, pool.submit(play, fleet, recording))
            for recording in by_size
            for fleet, result in zip(fleets, replayed, strict=True)
            if fleet
        ]
        try:
            for result, played in playing:
                result.add(played.result())
        except BaseException:  # an interrupt: without a server the others end, too
            pool.shutdown(wait=False, cancel_futures=True)
            stack.close()
            raise
    return replayed


def fleet_of(
    implementation: Implementation,
    kind: databases.Kind,
    logs: Path,
    stack: ExitStack,
    result: Replayed,
) -> Fleet | None:
    """Return a fleet that ends with the stack; note in the result why there is none."""
    try:
        fleet = Fleet(implementation, kind, 1, logs / implementation.name)
    except VenvError as error:
        result.problem = str(error)
        return None
    stack.callback(fleet.close)
    return fleet


def compare(recordings: Sequence[Recording], replayed: Sequence[Replayed]) -> list[Difference]:
    """Return the lines that those who were sent everything did not answer alike."""
    whole = [each for each in replayed if not each.problem]
    return [
        difference
        for recording in recordings
        for difference in differences(
            recording.name,
            recording.lines,
            {each.name: each.answers[recording.name] for each in whole},
        )
    ]


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
            test = parting([fleets[name] for name in pair], time.monotonic() + SECONDS)
            answers = report.answers(pair[0], difference.part)
            statuses = [answer.get("status", 0) for answer in answers]
            report.scripts[place] = minimised(before, test, TRIES, statuses)
    finally:
        for fleet in fleets.values():
            fleet.close()


def parting(fleets: Sequence[Fleet], until: float) -> Callable[[Sequence[Line]], bool]:
    """Return a function that tells whether the last line of a script is answered differently.

    After this moment it says no without looking.
    """

    def last(fleet: Fleet, recording: Recording) -> str:
        played = play(fleet, recording)
        if played.problem:
            raise ServerError(played.problem)
        return json.dumps(played.answers[-1], sort_keys=True)

    def parts(script: Sequence[Line]) -> bool:
        if time.monotonic() > until:
            return False
        recording = Recording("script", list(script))
        with ThreadPoolExecutor(max_workers=len(fleets)) as pool:
            return len(set(pool.map(lambda fleet: last(fleet, recording), fleets))) > 1

    return parts


# -- telling


def tell(report: Report) -> None:
    """Print what was found."""
    first = first_of_each(report.found)
    for place in first[:SHOWN]:
        print("\n".join(["", *describe(report, place)]))
    if report.found:
        by_operation = Counter(difference.operation for difference in report.found)
        counts = ", ".join(f"{count} {name}" for name, count in by_operation.most_common())
        print(f"\nlines that differ: {counts}\n\nwho agrees with whom:")
        for groups, count in report.partitions:
            print(f"  {count} lines: {' | '.join(', '.join(names) for names in groups)}")
    for problem in report.problems:
        print(problem)


def pace(replayed: Replayed, requests: int) -> str:
    """Return in one line how fast an implementation was, and how fast it was asked."""
    if replayed.problem or not replayed.seconds or not replayed.client_seconds:
        return f"{replayed.name}: {replayed.problem or 'nothing was sent'}"
    return (
        f"{replayed.name}: {replayed.seconds:.1f} s, {requests / replayed.seconds:.0f} requests/s; "
        f"of that the client's own work {replayed.client_seconds:.1f} s, "
        f"{requests / replayed.client_seconds:.0f} requests/s"
    )


def describe(report: Report, place: int) -> list[str]:
    """Return a difference in words: request, rules, who answers what, and how to see it again."""
    difference = report.found[place]
    where = f"{difference.operation} ({difference.part}, line {report.number(difference)})"
    told = [f"{where}: rules {', '.join(difference.rules)}", f"  {difference.request}"]
    told += [f"  {difference.words}"]
    told += [f"  group: {', '.join(group.names)}" for group in difference.groups]
    if place in report.scripts:
        told.append("  the shortest script found:")
        told += [f"    {step}" for step in steps(report.scripts[place])]
    return told


def steps(script: Sequence[Line]) -> list[str]:
    """Return a script in words, the last steps of it if it is long."""
    told = [
        f"{number}. {in_words(line)}{f' → {line.binds}' if line.binds else ''}"
        for number, line in enumerate(script, 1)
    ]
    left_out = len(told) - SHOWN
    return [f"{left_out} more, see results/replay.json", *told[-SHOWN:]] if left_out > 0 else told


def as_json(
    report: Report, implementations: Mapping[str, Implementation], kind: databases.Kind
) -> Json:
    """Return the report as its file has it, without its provenance."""
    return {
        "database": kind,
        "judged": report.judged,
        "corpus": {recording.name: _size(recording) for recording in report.recordings},
        "not_compared": [{"what": what, "rule": rule} for what, rule in OPEN],
        "implementations": {
            each.name: _implementation_as_json(each, implementations[each.name], report.requests)
            for each in report.replayed
        },
        "lines": report.lines,
        "groups": agreeing([e.name for e in report.replayed if not e.problem], report.found),
        "partitions": [{"groups": groups, "lines": count} for groups, count in report.partitions],
        "rules": of_rules(report),
        "differences": [
            asdict(found)
            | {"number": report.number(found)}
            | {"script": [corpus.encode(line) for line in report.scripts.get(place, [])]}
            for place, found in enumerate(report.found)
        ],
        "problems": report.problems,
        "verdict": "identical" if not report.found and not report.problems else "different",
    }


def _size(recording: Recording) -> Json:
    digest = hashlib.sha256(corpus.dump(recording.lines)).hexdigest()
    return {"requests": recording.requests, "messages": recording.messages, "sha256": digest}


def of_rules(report: Report) -> dict[str, dict[str, int]]:
    """Return in how many answers each rule has a say, and how many of them differ by it."""
    lines: Counter[str] = Counter()
    for each in [each for each in report.replayed if not each.problem][:1]:
        for recording in report.recordings:
            operations = operations_of(recording.lines)
            for operation, answer in zip(operations, each.answers[recording.name], strict=False):
                lines.update(rules_held(answer, operation))
    differing = Counter(rule for difference in report.found for rule in difference.rules)
    return {
        rule: {"lines": lines[rule], "differences": differing[rule]}
        for rule in sorted({*lines, *differing})
    }


def _implementation_as_json(
    replayed: Replayed, implementation: Implementation, requests: int
) -> Json:
    return {
        **tested(implementation, None if replayed.problem else environment_of(implementation)),
        "seconds": round(replayed.seconds, 3),
        "client_seconds": round(replayed.client_seconds, 3),
        "requests_per_second": round(requests / replayed.seconds) if replayed.seconds else None,
        "inputs": replayed.inputs,
    }


@dataclass(frozen=True)
class Plan:
    """What is replayed: which corpus to whom, on which database, and where the result goes."""

    implementations: Mapping[str, Implementation]
    recordings: Sequence[Recording]
    database: databases.Kind
    results: Path
    full: bool = True
    partial: str = ""


def conclude(plan: Plan, replayed: Sequence[Replayed], run_id: str, begin: str) -> Json:
    """Compare what was answered, look for short scripts, write the document and return it."""
    recordings = list(plan.recordings)
    report = Report(recordings, list(replayed), compare(recordings, replayed))
    head = provenance("replay", run_id, begin) | {"partial": plan.partial, "full": plan.full}
    path = plan.results / f"{replay_name(plan.database)}.json"
    documents.write(head | as_json(report, plan.implementations, plan.database), path)
    if report.found:
        print(f"{len(report.found)} lines differ; looking for short scripts", flush=True)
        logs = plan.results / "replay.logs"
        add_scripts(report, plan.implementations, plan.database, logs)
        documents.write(head | as_json(report, plan.implementations, plan.database), path)
        tell(report)
    return documents.read(path)


def run(options: argparse.Namespace) -> int:
    """Return 0 only if every implementation answered every line alike, and as the contract says."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    begin = now()
    try:
        chosen = select(options.names, options.root)
        read = corpus.read_file(options.file) if options.file else None
        recordings = [read] if read else corpus.read(distilled=not options.full)
    except (ManifestError, CorpusError) as error:
        print(f"RED: {error}", file=sys.stderr)
        return 1
    logs = options.results / "replay.logs"
    shutil.rmtree(logs, ignore_errors=True)
    print("not compared:", *(f"{what} ({rule})" for what, rule in OPEN), sep="\n  ", flush=True)
    partial = f"only {options.file}" if options.file else ""
    plan = Plan(chosen, recordings, options.database, options.results, options.full, partial)
    replayed = replay_all(
        list(chosen.values()), recordings, options.database, logs, options.jobs + 1
    )
    document = conclude(plan, replayed, uuid4().hex, begin)
    for each in replayed:
        print(pace(each, sum(recording.requests for recording in recordings)))
    green, line = closing(document)
    print(line)
    return 0 if green else 1
