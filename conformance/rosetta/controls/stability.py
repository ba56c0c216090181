"""Prove again and again, on one tree with one seed, and compare every outcome.

None of the runs is repeated because of what it found.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from rosetta.results import documents
from rosetta.results.reasons import closing
from rosetta.results.run import RunResult, now, provenance
from rosetta.targets.manifest import ManifestError, select

Json = Any
TIMES = 10
SHOWN = 20  # tests
PASSED_ON = ("database", "workers", "seed", "jobs")


@dataclass(frozen=True)
class Attempt:
    """What one run found of one implementation, and why that is no proof."""

    run: RunResult | None = None
    reasons: list[str] = field(default_factory=lambda: ["no result"])


# Proves all implementations for the n-th time; returns what came of each by name.
Prove = Callable[[int], Mapping[str, Attempt]]


def repeat(prove: Prove, names: Sequence[str], times: int) -> dict[str, Json]:
    """Prove so many times and return what was found of each implementation."""
    attempts: dict[str, list[Attempt]] = {name: [] for name in names}
    for number in range(1, times + 1):
        found = prove(number)
        for name in names:
            attempts[name].append(found.get(name, Attempt()))
            print(f"{name}, {number} of {times}: {_told(attempts[name][-1])}", flush=True)
    return {name: compare(of_one) for name, of_one in attempts.items()}


def compare(attempts: Sequence[Attempt]) -> dict[str, Json]:
    """Return the verdict of each run, and the tests whose outcome was not the same in all."""
    runs = [attempt.run for attempt in attempts]
    outcomes = [{test.nodeid: test.outcome for test in run.tests} if run else {} for run in runs]
    tests = sorted({nodeid for each in outcomes for nodeid in each})
    by_test = {nodeid: [each.get(nodeid, "missing") for each in outcomes] for nodeid in tests}
    return {
        "tests": len(tests),
        "verdicts": [attempt.reasons for attempt in attempts],
        "seconds": [round(sum(run.seconds.values()), 1) if run else 0 for run in runs],
        "differing": [
            {"nodeid": nodeid, "outcomes": found}
            for nodeid, found in by_test.items()
            if len(set(found)) > 1
        ],
    }


def stable(found: Json) -> bool:
    """Tell whether all runs of an implementation came to the same end."""
    return not found["differing"] and all(v == found["verdicts"][0] for v in found["verdicts"])


def _told(attempt: Attempt) -> str:
    if attempt.run is None:
        return "no result"
    reasons = "; ".join(attempt.reasons)
    return f"{'red: ' + reasons if reasons else 'green'}, {len(attempt.run.tests)} tests"


def tell(document: Json) -> bool:
    """Print what differed and the closing line; return whether it is green."""
    for name, found in document["implementations"].items():
        for test in found["differing"][:SHOWN]:
            print(f"{name}: {test['nodeid']}: {', '.join(test['outcomes'])}")
    green, line = closing(document)
    print(line)
    return green


# -- real runs


def prove_in(directory: Path, names: Sequence[str], arguments: Sequence[str]) -> Prove:
    """Return a function that proves with these arguments and reads the results."""

    def prove(number: int) -> Mapping[str, Attempt]:
        folder = directory / str(number)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        command = [sys.executable, "-m", "rosetta", "prove", "--fresh", f"--results={folder}"]
        command += [*(f"--impl={name}" for name in names), *arguments]
        with (
            (folder / "said.txt").open("w") as said,
            subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT) as process,  # noqa: S603
        ):
            try:
                process.wait()
            except KeyboardInterrupt:  # it was interrupted as well, and ends its servers
                process.wait()
                raise
        return read(folder)

    return prove


def read(folder: Path) -> Mapping[str, Attempt]:
    """Return what the verdict of one run says of each implementation; none without a verdict."""
    if not (folder / documents.SUMMARY).exists():
        return {}
    document = documents.read(folder / documents.SUMMARY)
    reasons = document["verdict"]["reasons"]
    shared = [f"{kind}: {reason}" for kind in ("replay",) for reason in reasons.get(kind, [])]
    return {
        run["implementation"]: Attempt(RunResult.of(run), [*reasons.get(run["label"], []), *shared])
        for run in document["runs"]
    }


def run(options: argparse.Namespace) -> int:
    """Write stability.json, and return 0 only if every run is green and all are the same."""
    begin, path = now(), options.results / "stability.json"
    path.unlink(missing_ok=True)  # that of an older run
    try:
        times, names = chosen(options.words)
    except ManifestError as error:
        print(f"RED: {error}", file=sys.stderr)
        return 1
    passed_on = [f"--{name}={getattr(options, name)}" for name in PASSED_ON]
    found = repeat(prove_in(options.results / "stability", names, passed_on), names, times)
    document = {
        **provenance("stability", uuid4().hex, begin),
        "database": options.database,
        "workers": options.workers,
        "seed": options.seed,
        "runs": times,
        "implementations": found,
        "verdict": "stable" if all(map(stable, found.values())) else "unstable",
    }
    documents.write(document, path)
    return 0 if tell(documents.read(path)) else 1


def chosen(words: Sequence[str]) -> tuple[int, list[str]]:
    """Return how many times to run which implementations; raise ManifestError."""
    counts, names = ([w for w in words if w.isdecimal() is number] for number in (True, False))
    if len(counts) > 1 or "0" in counts:
        raise ManifestError(f"say once how many times: {' '.join(counts)}")
    return int(counts[0]) if counts else TIMES, list(select(names))
