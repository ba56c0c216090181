"""Negative controls: hold the suite itself to account, with faults that it must catch.

Each fault of ``faults/`` is planted in a copy of one good implementation, and the tests of its own
rule are run against the copy until one fails. Afterwards every test that has caught a fault is run
against a copy without any, and must pass, with less beside it than in a run of the suite.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from rich.console import Console
from rich.text import Text

from faults import FAULTS, IMPLEMENTATION
from rosetta.contract import spec
from rosetta.controls.corpus_trial import answers_of
from rosetta.controls.fault import Fault, FaultError
from rosetta.controls.matrix import LAYERS, Finding, Matrix, Trial, conclude, document, show
from rosetta.controls.trial import Bench, Configuration, attempt, failures
from rosetta.results import documents
from rosetta.results import run as results
from rosetta.results.documents import DocumentError
from rosetta.results.reasons import closing
from rosetta.runner.schedule import weight_of
from rosetta.targets.databases import SqliteDatabase
from rosetta.targets.fleet import Fleet
from rosetta.targets.manifest import ROOT, Implementation, ManifestError, find
from rosetta.targets.seed import seed
from rosetta.targets.server import ServerError
from rosetta.targets.venvs import VenvError, environment_of

# What each layer made of each fault when last it was tried with all. The test of its rule that
# caught a fault is the first to be run.
FOUND = ROOT / "conformance" / "faults" / "findings.json"
CONTROLS = 2  # files at a time, fewer than a run of the suite has: what starves fails by itself


def run(options: argparse.Namespace) -> int:
    """Try the faults, write what was found, and return 0 only if every one is caught."""
    console, begin = Console(), results.now()
    try:
        layers = layers_of(options.layers)
        faults = chosen(options.ids, options.rule)
        earlier = take(options.results / results.MATRIX, keep=options.add)
        with bench_of(IMPLEMENTATION, layers, full=options.full) as bench:
            with processes(options.jobs) as pool:
                trials = try_all(pool, bench, faults, layers, console)
            with processes(min(options.jobs, CONTROLS)) as pool:
                failing = control(pool, bench, trials)
    except (DocumentError, FaultError, ManifestError, VenvError, ServerError) as error:
        print(error, file=sys.stderr)
        return 1
    matrix = earlier.joined(Matrix(trials, layers, failing), FAULTS)
    made = results.provenance("faults", uuid4().hex, begin)
    write(matrix, bench.implementation, options.results, made)
    conclude(matrix, console)
    green, line = closing(documents.read(options.results / results.MATRIX))
    console.print(Text(line, style="bold green" if green else "bold red"), soft_wrap=True)
    return 0 if green else 1


def take(path: Path, *, keep: bool) -> Matrix:
    """Return the matrix of an earlier run, or remove it and return none; raise FaultError."""
    if not keep:
        path.unlink(missing_ok=True)
        return Matrix((), ())
    document = documents.read(path)
    if document["commit"] != results.commit()[0]:
        raise FaultError(f"--add: {path} is of another commit, {document['commit']}")
    return Matrix.of(document, FAULTS)


def layers_of(text: str) -> list[str]:
    """Return the layers of a list with commas; raise FaultError."""
    named = text.split(",")
    if unknown := [layer for layer in named if layer not in LAYERS]:
        known = ", ".join(LAYERS)
        raise FaultError(f"no layer {', '.join(unknown)}; there are {known}")
    return [layer for layer in LAYERS if layer in named]


def chosen(ids: Sequence[str], rules: Sequence[str]) -> list[Fault]:
    """Return the faults of these ids and rules, all without any; raise FaultError."""
    known = {fault.id for fault in FAULTS}
    if unknown := [name for name in ids if name not in known]:
        raise FaultError(f"no fault {', '.join(unknown)}; they stand in conformance/faults/")
    if unknown := [rule for rule in rules if rule not in spec.load().rules.rules]:
        raise FaultError(f"no rule {', '.join(unknown)}; they stand in spec/rules.yaml")
    wanted = [fault for fault in FAULTS if fault.id in ids or fault.rule in rules]
    return wanted if ids or rules else list(FAULTS)


# -- trying


@contextmanager
def bench_of(name: str, layers: Sequence[str], *, full: bool = False) -> Iterator[Bench]:
    """Make the databases for all trials on SQLite, and get the right answers for layer 4."""
    implementation = find(name)
    with TemporaryDirectory(prefix="rosetta-faults-") as logs:
        fleet = Fleet(implementation, "sqlite", 1, Path(logs))
        try:
            template, seeded = fleet.database(), fleet.database()
            assert isinstance(template, SqliteDatabase)
            assert isinstance(seeded, SqliteDatabase)
            seed(seeded)
            heard = "identity" in layers
            answers = answers_of(implementation, Path(logs), full=full) if heard else {}
            yield Bench(implementation, template, seeded, recollect().known(), answers)
        finally:
            fleet.close()


@contextmanager
def processes(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Make a process for each trial, with the suite's libraries imported already.

    When the block fails, those that run are interrupted, and end their servers.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["rosetta.controls.trial", "machines.operations"])
    with ProcessPoolExecutor(jobs, context, max_tasks_per_child=1) as pool:
        try:
            yield pool
        except BaseException:
            for process in multiprocessing.active_children():
                os.kill(process.pid or 0, signal.SIGINT)
            pool.shutdown(cancel_futures=True)
            raise


def try_all(
    pool: ProcessPoolExecutor,
    bench: Bench,
    faults: Sequence[Fault],
    layers: Sequence[str],
    console: Console,
) -> list[Trial]:
    """Try each fault at each layer, some at a time, and show them in turn."""
    tried: list[tuple[Fault, dict[str, Future[Finding]]]] = [
        (fault, {layer: pool.submit(attempt, bench, fault, layer) for layer in layers})
        for fault in faults
    ]
    trials = []
    for fault, futures in tried:
        trials.append(Trial(fault, {layer: future.result() for layer, future in futures.items()}))
        show(trials[-1], console)
    return trials


def control(pool: ProcessPoolExecutor, bench: Bench, trials: Sequence[Trial]) -> list[str]:
    """Run every test that caught a fault against a copy without any; return those that fail.

    What such a test was credited with is taken back.
    """
    credited: dict[tuple[Configuration, str], list[Finding]] = defaultdict(list)
    for trial in trials:
        for finding in trial.findings.values():
            for test in finding.tests:
                credited[(trial.fault.database, trial.fault.workers), test].append(finding)
    failing = failed(pool, bench, credited)
    for each, why in failing.items():
        for finding in credited[each]:
            finding.take_back(f"fails without the fault, too: {why}")
    return sorted({test for _, test in failing})


def failed(
    pool: ProcessPoolExecutor, bench: Bench, tests: Iterable[tuple[Configuration, str]]
) -> dict[tuple[Configuration, str], str]:
    """Return which tests fail without a fault in their configuration, and why.

    Each file in a process of its own, those that mostly wait first.
    """
    files: dict[tuple[Configuration, str], list[str]] = defaultdict(list)
    for configuration, test in tests:
        files[configuration, test.partition("::")[0]].append(test)
    running = {
        (configuration, file): pool.submit(
            failures, bench, configuration, file, files[configuration, file]
        )
        for configuration, file in sorted(files, key=lambda each: -weight_of(each[1]))
    }
    return {
        (configuration, test): why
        for (configuration, _), found in running.items()
        for test, why in found.result().items()
    }


def recollect() -> Matrix:
    """Return what was found when last all faults were tried, by layer."""
    return Matrix.recalled(json.loads(FOUND.read_text(encoding="utf-8")), FAULTS)


def write(
    matrix: Matrix, implementation: Implementation, directory: Path, made: Mapping[str, Any]
) -> None:
    """Write faults.json; add to findings.json and docs/faults.md what they lack.

    A layer at which all faults were tried is renewed there.
    """
    whole = len(matrix.trials) == len(FAULTS) and not matrix.partial
    some = f"{len(matrix.trials)} of {len(FAULTS)} faults; {matrix.catches()}"
    about = {
        "implementation": implementation.name,
        **results.tested(implementation, environment_of(implementation)),
        "partial": "" if whole else some,
    }
    documents.write({**made, **about, **matrix.as_json()}, directory / results.MATRIX)
    known = recollect()
    newer = known.joined(matrix.lacking(known), FAULTS).joined(matrix.of_all(FAULTS), FAULTS)
    if newer.memory() != known.memory():
        remember(newer, implementation.name)


def remember(matrix: Matrix, implementation: str) -> None:
    """Write findings.json, and docs/faults.md with the layers at which every fault was tried."""
    FOUND.write_text(json.dumps(matrix.memory(), indent=1) + "\n", encoding="utf-8")
    page = ROOT / "docs" / "faults.md"
    page.parent.mkdir(exist_ok=True)
    page.write_text(document(matrix.of_all(FAULTS), implementation), encoding="utf-8")
