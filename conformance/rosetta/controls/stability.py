"""Run the conformance again and again, on one commit with one seed, and compare every outcome.

python -m rosetta.controls.stability [N] [NAME …] [--database D] [--workers N] -- ARGUMENT …

The arguments are pytest's. None of the runs is repeated because of what it found.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from rosetta.results import documents
from rosetta.results.reasons import closing, run_faults
from rosetta.results.run import RunResult, now, provenance
from rosetta.targets import databases
from rosetta.targets.manifest import ROOT, ManifestError, select

Json = Any
TIMES = 10
SHOWN = 20  # tests
PASSED_ON = ("database", "workers", "seed")
# Runs one implementation for the n-th time; None if there is no result.
Run = Callable[[str, int], RunResult | None]


def repeat(run: Run, names: Iterable[str], times: int) -> dict[str, Json]:
    """Run each implementation so many times and return what was found of each."""
    found = {}
    for name in names:
        runs = []
        for number in range(1, times + 1):
            result = run(name, number)
            runs.append(result)
            print(f"{name}, {number} of {times}: {_told(result)}", flush=True)
        found[name] = compare(runs)
    return found


def compare(runs: Sequence[RunResult | None]) -> dict[str, Json]:
    """Return the verdict of each run, and the tests whose outcome was not the same in all."""
    outcomes = [{test.nodeid: test.outcome for test in run.tests} if run else {} for run in runs]
    tests = sorted({nodeid for each in outcomes for nodeid in each})
    by_test = {nodeid: [each.get(nodeid, "missing") for each in outcomes] for nodeid in tests}
    return {
        "tests": len(tests),
        "verdicts": [run_faults(run) if run else ["no result"] for run in runs],
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


def _told(run: RunResult | None) -> str:
    if run is None:
        return "no result"
    reasons = "; ".join(run_faults(run))
    return f"{'red: ' + reasons if reasons else 'green'}, {len(run.tests)} tests"


def tell(document: Json) -> bool:
    """Print what differed and the closing line; return whether it is green."""
    for name, found in document["implementations"].items():
        for test in found["differing"][:SHOWN]:
            print(f"{name}: {test['nodeid']}: {', '.join(test['outcomes'])}")
    green, line = closing(document)
    print(line)
    return green


# -- real runs


def run_in(directory: Path, arguments: Sequence[str]) -> Run:
    """Return a function that runs pytest with these arguments and reads its result file."""

    def run(name: str, number: int) -> RunResult | None:
        folder = directory / name / str(number)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        command = [sys.executable, "-m", "pytest", "-q", *arguments]
        with (folder / "said.txt").open("w") as said:
            target = ["--impl", name, "--results", str(folder)]
            with subprocess.Popen(  # noqa: S603 - the suite
                [*command, *target], stdout=said, stderr=subprocess.STDOUT
            ) as process:
                try:
                    process.wait()
                except KeyboardInterrupt:  # which it has heard, too, and now ends its servers
                    process.wait()
                    raise
        files = list(folder.glob("*.json"))
        return RunResult.read(files[0]) if files else None

    return run


def main(arguments: Sequence[str] | None = None) -> int:
    """Write stability.json, and return 0 only if every run is green and all are the same."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    place = given.index("--") if "--" in given else len(given)
    options, begin = _parser().parse_args(given[:place]), now()
    path = options.results / "stability.json"
    path.unlink(missing_ok=True)  # that of an older run
    try:
        times, names = chosen(options.words)
    except ManifestError as error:
        print(f"RED: {error}", file=sys.stderr)
        return 1
    passed_on = [f"--{name}={getattr(options, name)}" for name in PASSED_ON]
    run = run_in(options.results / "stability", [*given[place + 1 :], *passed_on])
    found = repeat(run, names, times)
    document = {
        **provenance("stability", options.run_id, begin),
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rosetta.controls.stability", description="Repeat the runs."
    )
    parser.add_argument("words", nargs="*", metavar="N|NAME", help=f"default: {TIMES}, all")
    parser.add_argument("--database", choices=databases.KINDS, default="sqlite")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=ROOT / "results")
    parser.add_argument("--run-id", default="", help="ties the results of one nox run together")
    return parser


if __name__ == "__main__":
    sys.exit(main())
