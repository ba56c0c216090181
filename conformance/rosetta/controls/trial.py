"""One run of a layer against a faulty copy, in a process that is made for it."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from rosetta.controls.corpus_trial import Answers, first_difference
from rosetta.controls.fault import Edit, Fault, plant
from rosetta.controls.matrix import Finding, Outcome
from rosetta.results.run import RunResult
from rosetta.runner.process import PROCESS
from rosetta.runner.schedule import weight_of
from rosetta.targets.databases import Kind, SqliteDatabase
from rosetta.targets.fleet import Fleet
from rosetta.targets.manifest import ROOT, Implementation
from rosetta.targets.server import ServerError

CONFORMANCE = ROOT / "conformance"
ALIVE = "faults/test_alive.py"
CORPUS = "corpus/"  # begins the name of what stands for the tests of layer 4
DEADLINE = 300  # of one run, in seconds
SHOWN = 300
Configuration = tuple[Kind, int]  # database and workers


@dataclass(frozen=True)
class Bench:
    """What all trials share: the good implementation, its SQLite databases, what is known."""

    implementation: Implementation
    template: SqliteDatabase  # migrated, for layer 4
    seeded: SqliteDatabase  # the same with the users of ``targets.seed``, for the others
    known: Mapping[str, str]  # the test that caught a fault when last all were tried
    answers: Answers = field(default_factory=dict)  # to the corpus, for layer 4


@dataclass(frozen=True)
class First:
    """A plugin that moves one test, if it is among those collected, behind the sign of life."""

    test: str

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep the others in their order."""
        items.sort(key=lambda item: (not item.nodeid.startswith(ALIVE), item.nodeid != self.test))


@dataclass(frozen=True)
class Only:
    """A plugin that leaves only some tests of those collected."""

    tests: Sequence[str]

    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Deselect the others."""
        others = [item for item in items if item.nodeid not in self.tests]
        items[:] = [item for item in items if item.nodeid in self.tests]
        config.hook.pytest_deselected(items=others)


class Haste:
    """A plugin that spares the run its migrations, and its servers' leave-taking."""

    def __init__(self, template: SqliteDatabase | None) -> None:
        self._template = template

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Give the fleet its template."""
        if self._template:
            _fleet_of(session).adopt(self._template)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """End the servers at once: the tests of a stop have had theirs."""
        _fleet_of(session).kill()


def _fleet_of(session: pytest.Session) -> Fleet:
    fleet = session.config.stash[PROCESS].fleet
    assert fleet is not None
    return fleet


def attempt(bench: Bench, fault: Fault, layer: str) -> Finding:
    """Run the tests of one layer against one fault."""
    begin = time.monotonic()
    configuration = (fault.database, fault.workers)
    if layer == "identity":
        return replayed(bench, fault.edits, configuration, bench.answers)
    first = [First(bench.known[fault.id])] if fault.id in bench.known else []
    result, said = run(bench, fault.edits, configuration, arguments_of(fault, layer), first)
    return judge(result, said, _since(begin))


def failures(
    bench: Bench, configuration: Configuration, file: str, tests: Sequence[str]
) -> dict[str, str]:
    """Return which of the tests of one file do not pass without a fault, and why."""
    if file.startswith(CORPUS):
        part = file.removeprefix(CORPUS)
        found = replayed(bench, (), configuration, {part: bench.answers[part]})
        return {} if found.outcome == "survived" else dict.fromkeys(tests, found.evidence)
    result, said = run(bench, (), configuration, [file], [Only(tests)])
    if result is None:
        return dict.fromkeys(tests, last_words(said))
    told = {test.nodeid: first_words(test.failure) or test.outcome for test in result.tests}
    passed = {test.nodeid for test in result.tests if test.outcome == "passed"}
    why_not_run = "; ".join(result.problems) or "it was not run"
    return {test: told.get(test, why_not_run) for test in tests if test not in passed}


def run(
    bench: Bench,
    edits: Sequence[Edit],
    configuration: Configuration,
    arguments: Sequence[str],
    plugins: Sequence[object] = (),
) -> tuple[RunResult | None, str]:
    """Run pytest against an edited copy; return its result file, if any, and what it said.

    For a process of its own: what pytest leaves behind ends with it.
    """
    database, workers = configuration
    with TemporaryDirectory(prefix="rosetta-fault-") as directory:
        root = Path(directory)
        plant(bench.implementation, edits, root, ROOT)
        named = ["--impl", bench.implementation.name, "--root", directory]
        placed = ["--results", f"{directory}/results", "--database", database]
        said = _pytest(
            [*named, *placed, "--workers", str(workers), *arguments],
            [Haste(template_for(bench.seeded, edits, database)), *plugins],
            root / "said",
        )
        files = list((root / "results").glob("*.json"))
        return (RunResult.read(files[0]) if files else None), said


def replayed(
    bench: Bench, edits: Sequence[Edit], configuration: Configuration, answers: Answers
) -> Finding:
    """Send the corpus to an edited copy until an answer is not the good one, or time is up."""
    begin, (database, workers) = time.monotonic(), configuration
    with TemporaryDirectory(prefix="rosetta-fault-") as directory, _deadline():
        root = Path(directory)
        copy = plant(bench.implementation, edits, root, ROOT)
        fleet = Fleet(copy, database, workers, root / "logs")
        if template := template_for(bench.template, edits, database):
            fleet.adopt(template)
        try:
            found = first_difference(fleet, answers)
        except ServerError as error:
            return Finding("broke", _since(begin), evidence=str(error))
        except KeyboardInterrupt:
            seconds, ended = _since(begin), "the replay did not come to its end"
            # All answers that it gave in its time were right; without a fault that is no excuse.
            outcome: Outcome = "survived" if edits and seconds >= DEADLINE else "unproven"
            return Finding(outcome, seconds, evidence=ended)
        finally:
            fleet.close()
    if found is None:
        return Finding("survived", _since(begin))
    test = f"{CORPUS}{found.part}::{found.part}, line {found.number}"
    return Finding("caught", _since(begin), [test], found.words[:SHOWN])


def _since(begin: float) -> float:
    return round(time.monotonic() - begin, 1)


def template_for(
    template: SqliteDatabase, edits: Sequence[Edit], database: Kind
) -> SqliteDatabase | None:
    """Return the migrated database, unless the edited copy is to make its own."""
    migrates = any(edit.file.startswith("migrations/") for edit in edits)
    return template if database == "sqlite" and not migrates else None


@contextmanager
def _deadline() -> Iterator[None]:
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.alarm(DEADLINE)
    try:
        yield
    finally:
        signal.alarm(0)


def _pytest(arguments: Sequence[str], plugins: Sequence[object], said: Path) -> str:
    os.chdir(CONFORMANCE)
    with said.open("w") as output:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(output.fileno(), stream.fileno())
    with _deadline():
        pytest.main(["-p", "no:cacheprovider", "-q", *arguments], plugins)
    sys.stdout.flush()
    return said.read_text(encoding="utf-8", errors="replace")


def arguments_of(fault: Fault, layer: str) -> list[str]:
    """Return what tells pytest which tests of a layer are to catch a fault."""
    if layer == "rules":
        return ["-x", "--rule", fault.rule, ALIVE, *files_of(fault.rule)]
    return ["-x", f"suite/{layer}"]


def files_of(rule: str) -> list[str]:
    """Return the files of layer 2 that have tests of a rule, what takes longest at the end."""
    folder = CONFORMANCE / "suite" / "rules"
    named = [
        f"suite/rules/{path.name}"
        for path in sorted(folder.glob("test_*.py"))
        if f'"{rule}"' in path.read_text(encoding="utf-8")
    ]
    return sorted(named, key=weight_of)


def judge(result: RunResult | None, said: str, seconds: float) -> Finding:
    """Tell what a run against a faulty copy means."""
    if result is None:
        return Finding("unproven", seconds, evidence=last_words(said))
    failed = [test for test in result.tests if test.outcome == "failed"]
    tests = [test.nodeid for test in failed]
    told = first_words(failed[0].failure) if failed else "; ".join(result.problems)
    dead = any("/healthz" in problem for problem in result.problems)
    if dead or any(test.startswith(ALIVE) for test in tests):
        return Finding("broke", seconds, evidence=told)
    if tests:
        return Finding("caught", seconds, tests, told)
    if result.problems or not result.complete:
        return Finding("unproven", seconds, evidence=told or "the run did not come to its end")
    return Finding("survived", seconds)


def last_words(said: str) -> str:
    """Return the end of what pytest said when it left no result."""
    return " / ".join(said.splitlines()[-5:])


def first_words(failure: str) -> str:
    """Return the line of a failure that says what was wrong."""
    lines = failure.splitlines()
    errors = [line[2:].strip() for line in lines if line.startswith("E ")]
    return next((line for line in [*errors, *lines] if line.strip()), "")[:SHOWN]
