"""Negative controls: hold the suite itself to account, with faults that it must catch.

python -m rosetta.faults [ID …] [--rule ID] [--layers rules,contract,model] [--jobs N]

Each fault of ``faults/`` is planted in a copy of one good implementation, and the tests of its own
rule are run against the copy until one fails. Afterwards every test that has caught a fault is run
against a copy without any, and must pass.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from faults import FAULTS, IMPLEMENTATION
from rosetta import results, spec
from rosetta.controller import now
from rosetta.manifest import ROOT, Implementation, ManifestError, find
from rosetta.matrix import Finding, Matrix, Trial, conclude, document, show
from rosetta.mutants import Edit, Fault, FaultError, plant
from rosetta.results import RunResult
from rosetta.venvs import VenvError, environment_of
from rosetta.worker import FIRST

CONFORMANCE = ROOT / "conformance"
ALIVE = "faults/test_alive.py"
LAYERS = ("rules", "contract", "model")
DEADLINE = 300.0  # of one run of the suite, in seconds
PATIENCE = 20.0  # with a run that is to end its servers
Configuration = tuple[str, int]  # database and workers


class Suite:
    """Runs of the suite against planted copies; ``close`` ends those that still run."""

    def __init__(self, implementation: Implementation) -> None:
        self.implementation = implementation
        self._running: set[subprocess.Popen[str]] = set()
        self._closed = False
        self._lock = threading.Lock()  # guards the two above

    def run(
        self, edits: Sequence[Edit], configuration: Configuration, arguments: Sequence[str]
    ) -> tuple[RunResult | None, str]:
        """Run pytest against an edited copy; return its result file, if any, and what it said."""
        database, workers = configuration
        with TemporaryDirectory(prefix="rosetta-fault-") as directory:
            root = Path(directory)
            plant(self.implementation, edits, root, ROOT)
            said = self._pytest(
                *("--impl", self.implementation.name, "--root", directory),
                *("--results", str(root / "results")),
                *("--database", database, "--workers", str(workers)),
                *arguments,
            )
            files = list((root / "results").glob("*.json"))
            return (RunResult.read(files[0]) if files else None), said

    def close(self) -> None:
        """Start no more, interrupt what runs, and let it end its servers."""
        with self._lock:
            self._closed, running = True, list(self._running)
        for process in running:
            process.send_signal(signal.SIGINT)

    def _pytest(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *arguments]
        with self._started(command) as process:
            try:
                return process.communicate(timeout=DEADLINE)[0]
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGINT)
                return process.communicate(timeout=PATIENCE)[0]

    @contextmanager
    def _started(self, command: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
        with self._lock:
            if self._closed:
                raise KeyboardInterrupt
            process = subprocess.Popen(  # noqa: S603 - pytest
                command,
                cwd=CONFORMANCE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
            self._running.add(process)
        with process:
            yield process
        with self._lock:
            self._running.discard(process)


# -- one fault


def attempt(suite: Suite, fault: Fault, layer: str) -> Finding:
    """Run the tests of one layer against one fault."""
    begin = time.monotonic()
    configuration = (fault.database, fault.workers)
    result, said = suite.run(fault.edits, configuration, arguments_of(fault, layer))
    return judge(result, said, round(time.monotonic() - begin, 1))


def arguments_of(fault: Fault, layer: str) -> list[str]:
    """Return what tells pytest which tests of a layer are to catch a fault."""
    if layer == "rules":
        return ["-x", "--rule", fault.rule, ALIVE, *files_of(fault.rule)]
    return ["-x", f"suite/{layer}"]


def files_of(rule: str) -> list[str]:
    """Return the files of layer 2 that have tests of a rule, what takes longest at the end."""
    folder = CONFORMANCE / "suite" / "rules"
    named = [
        f"rules/{path.name}"
        for path in sorted(folder.glob("test_*.py"))
        if f'"{rule}"' in path.read_text(encoding="utf-8")
    ]
    named.sort(key=lambda path: -FIRST.index(path) if path in FIRST else -len(FIRST))
    return [f"suite/{path}" for path in named]


def judge(result: RunResult | None, said: str, seconds: float) -> Finding:
    """Tell what a run against a faulty copy means."""
    if result is None:
        return Finding("unproven", seconds, evidence=" / ".join(said.splitlines()[-5:]))
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


def first_words(failure: str) -> str:
    """Return the line of a failure that says what was wrong."""
    lines = failure.splitlines()
    errors = [line[2:].strip() for line in lines if line.startswith("E ")]
    return next((line for line in [*errors, *lines] if line.strip()), "")[:300]


# -- all faults


def try_all(
    suite: Suite, faults: Sequence[Fault], layers: Sequence[str], jobs: int, console: Console
) -> list[Trial]:
    """Try each fault at each layer, some at a time, and show each as it ends."""

    def one(fault: Fault) -> Trial:
        trial = Trial(fault)
        for layer in layers:
            trial.findings[layer] = attempt(suite, fault, layer)
        show(trial, console)
        return trial

    with ThreadPoolExecutor(jobs) as pool:
        try:
            return list(pool.map(one, faults))
        except BaseException:
            suite.close()
            pool.shutdown(cancel_futures=True)
            raise


def control(suite: Suite, trials: Sequence[Trial], jobs: int) -> list[str]:
    """Run every test that caught a fault against a copy without any; return those that fail.

    What such a test was credited with is taken back.
    """
    catches: dict[Configuration, dict[str, list[Finding]]] = defaultdict(lambda: defaultdict(list))
    for trial in trials:
        caught = catches[trial.fault.database, trial.fault.workers]
        for finding in trial.findings.values():
            for test in finding.tests:
                caught[test].append(finding)
    failing = set()
    for configuration, credited in catches.items():
        if not credited:
            continue
        for test in sorted(credited.keys() - passing(suite, configuration, [*credited], jobs)):
            failing.add(test)
            for finding in credited[test]:
                finding.take_back("fails without the fault, too")
    return sorted(failing)


def passing(
    suite: Suite, configuration: Configuration, tests: Sequence[str], jobs: int
) -> set[str]:
    """Return which of the tests pass without a fault."""
    share = ("-n", str(jobs), "--dist", "loadfile", "--no-loadscope-reorder")
    result, said = suite.run((), configuration, [*share, *tests])
    if result is None:
        print(said, file=sys.stderr)
    found = result.tests if result else []
    return {test.nodeid for test in found if test.outcome == "passed"}


# -- the command


def chosen(ids: Sequence[str], rules: Sequence[str]) -> list[Fault]:
    """Return the faults of these ids and rules, all without any; raise FaultError."""
    known = {fault.id for fault in FAULTS}
    if unknown := [name for name in ids if name not in known]:
        raise FaultError(f"no fault {', '.join(unknown)}; they stand in conformance/faults/")
    if unknown := [rule for rule in rules if rule not in spec.load().rules.rules]:
        raise FaultError(f"no rule {', '.join(unknown)}; they stand in spec/rules.yaml")
    wanted = [fault for fault in FAULTS if fault.id in ids or fault.rule in rules]
    return wanted if ids or rules else list(FAULTS)


def layers_of(text: str) -> list[str]:
    """Return the layers of a list with commas; raise argparse.ArgumentTypeError."""
    named = text.split(",")
    if unknown := [layer for layer in named if layer not in LAYERS]:
        known = ", ".join(LAYERS)
        raise argparse.ArgumentTypeError(f"no layer {', '.join(unknown)}; there are {known}")
    return [layer for layer in LAYERS if layer in named]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of the command."""
    parser = argparse.ArgumentParser(prog="rosetta.faults", description="Plant faults.")
    parser.add_argument("ids", nargs="*", metavar="ID", help="default: every fault")
    parser.add_argument("--rule", action="append", default=[], metavar="ID", help="its faults")
    parser.add_argument(
        "--layers", type=layers_of, default=["rules"], metavar="A,B", help=f"of {LAYERS}"
    )
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="runs at a time")
    parser.add_argument("--results", type=Path, default=ROOT / "results", metavar="DIR")
    return parser.parse_args(arguments)


def write(matrix: Matrix, suite: Suite, directory: Path, begin: str) -> None:
    """Write faults.json, and docs/faults.md if every fault was tried at its own rule."""
    commit, dirty = results.commit()
    about = {
        "implementation": suite.implementation.name,
        "commit": commit,
        "dirty": dirty,
        "lock": results.lock_hash(suite.implementation),
        "started": begin,
        "finished": now(),
    }
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**about, **matrix.as_json()}, indent=1)
    (directory / "faults.json").write_text(text + "\n", encoding="utf-8")
    if len(matrix.trials) == len(FAULTS) and "rules" in matrix.layers:
        page = ROOT / "docs" / "faults.md"
        page.parent.mkdir(exist_ok=True)
        page.write_text(document(matrix, suite.implementation.name), encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the faults, write what was found, and return 0 only if every one is caught."""
    options, console, begin = parse(arguments), Console(), now()
    try:
        faults = chosen(options.ids, options.rule)
        suite = Suite(find(IMPLEMENTATION))
        environment_of(suite.implementation)
        trials = try_all(suite, faults, options.layers, options.jobs, console)
        matrix = Matrix(trials, options.layers, control(suite, trials, options.jobs))
    except (FaultError, ManifestError, VenvError) as error:
        print(error, file=sys.stderr)
        return 1
    write(matrix, suite, options.results, begin)
    conclude(matrix, console)
    return 0 if matrix.green else 1


if __name__ == "__main__":
    sys.exit(main())
