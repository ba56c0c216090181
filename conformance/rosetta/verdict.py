"""Judge the result files of a run: a table, and one line that is green only with proof.

python -m rosetta.verdict [--results DIR] [--run ID --expect NAME …] [FILE …]
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rosetta.manifest import ROOT
from rosetta.results import LAYERS, MATRIX, RunResult, commit

# Results of what compares or judges several implementations: not of a run of the suite.
NOT_RUNS = {MATRIX, "relay.json", "replay.json"}
MARKS = {"passed": ("✓", "green"), "failed": ("✗", "bold red"), "not-run": ("·", "yellow")}

LOG_WIDTH = 120


@dataclass(frozen=True)
class Judgement:
    """One run and every reason for which it is no proof; none means green."""

    run: RunResult
    faults: tuple[str, ...]

    @property
    def green(self) -> bool:
        """Whether the run proves conformance."""
        return not self.faults


def judge(run: RunResult, *, run_id: str | None = None, head: str | None = None) -> Judgement:
    """Return why a run is no proof: whatever is unknown, missing, partial or stale is a fault."""
    faults: list[str] = []
    if run_id is not None and run.run_id != run_id:
        faults.append(f"is from an older run, of {run.started}")
    if head is not None and run.commit != head:
        faults.append(f"is of another commit, {run.commit[:10] or 'unknown'}")
    if not run.finished:
        faults.append("has not finished")
    elif not run.complete:
        faults.append("was broken off")
    if run.partial:
        faults.append(f"is partial: {run.partial}")
    faults += run.problems
    faults += _test_faults(run) + _rule_faults(run.rules)
    return Judgement(run, tuple(faults))


def _test_faults(run: RunResult) -> list[str]:
    faults = []
    if failed := sum(test.outcome == "failed" for test in run.tests):
        faults.append(f"{failed} tests failed")
    known = [t for t in run.tests if t.outcome in MARKS and (t.outcome != "not-run" or t.reason)]
    if unknown := len(run.tests) - len(known):
        faults.append(f"{unknown} tests have no known outcome")
    passed = {test.layer for test in run.tests if test.outcome == "passed"}
    return faults + [f"no test of layer {layer} passed" for layer in LAYERS if layer not in passed]


def _rule_faults(rules: Mapping[str, str]) -> list[str]:
    if not rules:
        return ["no rule was tested"]
    faults = []
    for outcome, what in (("failed", "broken"), ("not-run", "not tested")):
        if found := [rule for rule, got in rules.items() if got == outcome]:
            faults.append(f"{len(found)} rules {what}: {', '.join(found)}")
    if odd := [rule for rule, got in rules.items() if got not in MARKS]:
        faults.append(f"{len(odd)} rules with an unknown outcome: {', '.join(odd)}")
    return faults


def rules_table(runs: Sequence[RunResult]) -> Table:
    """Return the table of rules by implementation."""
    rules = list(dict.fromkeys(rule for run in runs for rule in run.rules))
    table = Table()
    table.add_column("rule", no_wrap=True, min_width=max((len(rule) for rule in rules), default=0))
    for run in runs:
        table.add_column(run.implementation, justify="center", no_wrap=True)
    for rule in rules:
        table.add_row(rule, *(_mark(run.rules.get(rule)) for run in runs))
    return table


def layers_table(runs: Sequence[RunResult]) -> Table:
    """Return the table of counts and seconds by layer."""
    table = Table(caption="passed / failed / not run, seconds of all processes together")
    table.add_column("")
    for layer in LAYERS:
        table.add_column(layer, justify="right", no_wrap=True)
    table.add_column("in all", justify="right", no_wrap=True)
    for run in runs:
        table.add_row(_heading(run), *(_counts(run, layer) for layer in LAYERS), _duration(run))
    return table


def _heading(run: RunResult) -> str:
    several = f", {run.workers} workers" if run.workers > 1 else ""
    return f"{run.implementation}, {run.database}{several}"


def _mark(outcome: str | None) -> Text:
    sign, style = MARKS.get(outcome or "", ("?", "bold red"))
    return Text(sign, style=style)


def _counts(run: RunResult, layer: str) -> str:
    outcomes = Counter[str](test.outcome for test in run.tests if test.layer == layer)
    counts = " / ".join(str(outcomes[outcome]) for outcome in MARKS)
    return f"{counts}  {run.seconds.get(layer, 0):.1f} s"


def _duration(run: RunResult) -> str:
    """Return how long a run took by the clock."""
    if not run.finished:
        return "?"
    took = datetime.fromisoformat(run.finished) - datetime.fromisoformat(run.started)
    return f"{took.total_seconds():.0f} s"


def report(judgements: Sequence[Judgement], missing: Iterable[str], console: Console) -> bool:
    """Print the tables, the faults and the closing line; return whether all is green."""
    runs = [judgement.run for judgement in judgements]
    if runs:
        console.print(rules_table(runs))
        console.print(layers_table(runs))
    for judgement in judgements:
        _print_run(judgement, console)
    absent = [f"{name}: no result" for name in missing]
    for line in absent:
        console.print(Text(line, style="red"))
    red = [j.run.label for j in judgements if not j.green] + absent
    if not runs and not absent:
        red = ["no result found"]
    if red:
        console.print(Text(f"RED: {', '.join(red)}", style="bold red"))
        return False
    passed = sum(test.outcome == "passed" for run in runs for test in run.tests)
    names = ", ".join(run.label for run in runs)
    line = f"GREEN: {names} conform to all {len(runs[0].rules)} rules ({passed} tests passed)"
    console.print(Text(line, style="bold green"))
    return True


def _print_run(judgement: Judgement, console: Console) -> None:
    run = judgement.run
    versions = ", ".join(f"{name} {version}" for name, version in run.versions.items())
    dirty = " and uncommitted changes" if run.dirty else ""
    console.print(
        f"{run.label}: {versions}; commit {run.commit[:10] or 'unknown'}{dirty}; seed {run.seed}; "
        f"finished {run.finished or 'never'}",
        highlight=False,
        soft_wrap=True,
    )
    for fault in judgement.faults:
        console.print(Text(f"  {fault}", style="red"), soft_wrap=True)
    reasons = Counter(test.reason for test in run.tests if test.reason)
    for reason, count in sorted(reasons.items()):
        console.print(Text(f"  {count} tests not run: {reason}", style="yellow"))
    for test in [test for test in run.tests if test.outcome == "failed"]:
        console.print(Text(f"  failed: {test.nodeid}", style="red"), soft_wrap=True)


def result_files(directory: Path) -> list[Path]:
    """Return the files of a directory that runs of the suite wrote."""
    return [path for path in sorted(directory.glob("*.json")) if path.name not in NOT_RUNS]


def read(paths: Iterable[Path]) -> list[RunResult]:
    """Return the runs of these result files, by label."""
    return sorted((RunResult.read(path) for path in paths), key=lambda run: run.label)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the verdict and return 0 only if it is green."""
    parser = argparse.ArgumentParser(prog="rosetta.verdict", description="Judge result files.")
    parser.add_argument("files", nargs="*", type=Path, help="default: all of the directory")
    parser.add_argument("--results", type=Path, default=ROOT / "results")
    parser.add_argument("--run", metavar="ID", help="only results of this run count")
    parser.add_argument("--expect", nargs="*", default=[], metavar="NAME")
    options = parser.parse_args(arguments)
    files = options.files or result_files(options.results)
    try:
        runs = read(files)
    except (OSError, ValueError) as error:
        print(f"RED: {error}", file=sys.stderr)
        return 1
    if options.run:
        runs = [run for run in runs if run.run_id == options.run]
    elif not options.files:  # a server elsewhere has no commit of ours to be judged by
        runs = [run for run in runs if run.base_url is None]
    heard = {run.implementation for run in runs}
    missing = [name for name in options.expect if name not in heard]
    head = None if options.run else commit()[0]
    judgements = [judge(run, run_id=options.run, head=head) for run in runs]
    console = Console()
    if not console.is_terminal:  # a log is as wide as its lines
        console = Console(width=LOG_WIDTH)
    return 0 if report(judgements, missing, console) else 1


if __name__ == "__main__":
    sys.exit(main())
