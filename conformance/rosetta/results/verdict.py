"""Judge what was found: results/results.json, printed, and green only with proof.

python -m rosetta.results.verdict [--results DIR] [--run ID --expect NAME …] [FILE …]
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rosetta.results import documents, summary
from rosetta.results.documents import SUMMARY, DocumentError
from rosetta.results.reasons import verdict_of
from rosetta.results.run import LAYERS, RunResult
from rosetta.targets.manifest import ROOT

Json = Any
MARKS = {"passed": ("✓", "green"), "failed": ("✗", "bold red"), "not-run": ("·", "yellow")}
SHOWN = 5  # differences of the replay

LOG_WIDTH = 120


def rules_table(document: Json) -> Table:
    """Return the table of rules by implementation, the worst outcome of its runs."""
    rules = document["rules"]
    labels: dict[str, list[str]] = {}
    for run in document["runs"]:
        labels.setdefault(run["implementation"], []).append(run["label"])
    table = Table()
    table.add_column("rule", no_wrap=True, min_width=max(map(len, rules), default=0))
    for name in labels:
        table.add_column(name, justify="center", no_wrap=True)
    for rule, found in rules.items():
        runs = found["runs"]
        marks = (_mark({runs[label]["outcome"] for label in of_one}) for of_one in labels.values())
        table.add_row(rule, *marks)
    return table


def layers_table(document: Json) -> Table:
    """Return the table of counts and seconds by layer."""
    replay = document["replay"]
    identity = ["identity"] if replay else []
    table = Table(caption="passed / failed / not run, seconds of all processes together")
    table.add_column("")
    for name in (*LAYERS, *identity, "in all"):
        table.add_column(name, justify="right", no_wrap=True)
    for run in map(RunResult.of, document["runs"]):
        compared = [_compared(run, replay)] if replay else []
        counts = (_counts(run, layer) for layer in LAYERS)
        table.add_row(_heading(run), *counts, *compared, _duration(run))
    return table


def _heading(run: RunResult) -> str:
    several = f", {run.workers} workers" if run.workers > 1 else ""
    return f"{run.implementation}, {run.database}{several}"


def _mark(outcomes: set[str]) -> Text:
    worst = next(outcome for outcome in ("failed", "not-run", "passed") if outcome in outcomes)
    return Text(MARKS[worst][0], style=MARKS[worst][1])


def _counts(run: RunResult, layer: str) -> str:
    outcomes = Counter[str](test.outcome for test in run.tests if test.layer == layer)
    counts = " / ".join(str(outcomes[outcome]) for outcome in MARKS)
    return f"{counts}  {run.seconds.get(layer, 0):.1f} s"


def _compared(run: RunResult, replay: Json) -> str:
    """Return how many lines of the corpus were answered alike, and not."""
    found = replay["implementations"].get(run.implementation)
    if not found or run.base_url or run.database != replay["database"]:
        return "-"
    different = len(replay["differences"])
    return f"{replay['lines'] - different} / {different} / 0  {found['seconds']:.1f} s"


def _duration(run: RunResult) -> str:
    """Return how long a run took by the clock."""
    if not run.finished:
        return "?"
    took = datetime.fromisoformat(run.finished) - datetime.fromisoformat(run.started)
    return f"{took.total_seconds():.0f} s"


def report(document: Json, console: Console) -> bool:
    """Print a summary; return whether it is green."""
    verdict = document["verdict"]
    if document["runs"]:
        console.print(rules_table(document))
        console.print(layers_table(document))
    for run in map(RunResult.of, document["runs"]):
        _print_run(run, verdict["reasons"].get(run.label, []), console)
    labels = {run["label"] for run in document["runs"]}
    for name, faults in verdict["reasons"].items():
        for fault in faults if name not in labels else ():
            console.print(Text(f"{name}: {fault}", style="red"), soft_wrap=True)
    if document["replay"]:
        _print_differences(document["replay"], console)
    *others, closing = verdict["lines"]
    for line in others:
        console.print(Text(line), soft_wrap=True)
    style = "bold green" if verdict["green"] else "bold red"
    console.print(Text(closing, style=style), soft_wrap=True)
    return bool(verdict["green"])


def _print_run(run: RunResult, faults: Sequence[str], console: Console) -> None:
    versions = ", ".join(f"{name} {version}" for name, version in run.versions.items())
    dirty = " and uncommitted changes" if run.dirty else ""
    console.print(
        f"{run.label}: {versions}; commit {run.commit[:10] or 'unknown'}{dirty}; seed {run.seed}; "
        f"finished {run.finished or 'never'}",
        highlight=False,
        soft_wrap=True,
    )
    for fault in faults:
        console.print(Text(f"  {fault}", style="red"), soft_wrap=True)
    reasons = Counter(test.reason for test in run.tests if test.reason)
    for reason, count in sorted(reasons.items()):
        console.print(Text(f"  {count} tests not run: {reason}", style="yellow"))
    for test in [test for test in run.tests if test.outcome == "failed"]:
        console.print(Text(f"  failed: {test.nodeid}", style="red"), soft_wrap=True)


def _print_differences(replay: Json, console: Console) -> None:
    for found in replay["differences"][:SHOWN]:
        where = f"{found['operation']} ({found['part']}, line {found['number']})"
        line = f"  {where}, rules {', '.join(found['rules'])}: {found['words']}"
        console.print(Text(line, style="red"), soft_wrap=True)
    if (more := len(replay["differences"]) - SHOWN) > 0:
        console.print(Text(f"  and {more} more in replay.json", style="red"))


def read(path: Path) -> Json:
    """Return a summary whose verdict follows from what it holds; raise DocumentError."""
    document = documents.read(path)
    if document["kind"] != "results":
        raise DocumentError(f"{path} is no summary but of a {document['kind']}")
    if document["verdict"] != verdict_of(document):
        raise DocumentError(f"{path} is no result file: its verdict is not what it proves")
    return document


def main(arguments: Sequence[str] | None = None) -> int:
    """Write and print the summary, and return 0 only if it is green."""
    parser = argparse.ArgumentParser(
        prog="rosetta.results.verdict", description="Judge result files."
    )
    parser.add_argument("files", nargs="*", type=Path, help="default: all of the directory")
    parser.add_argument("--results", type=Path, default=ROOT / "results")
    parser.add_argument("--run", metavar="ID", default="", help="only results of this run count")
    parser.add_argument("--expect", nargs="*", default=[], metavar="NAME", help="what is owed")
    options = parser.parse_args(arguments)
    # A server elsewhere has no commit of ours to be judged by.
    elsewhere = bool(options.run or options.files)
    files = options.files or summary.files(options.results)
    parts = summary.gather(files, run_id=options.run, elsewhere=elsewhere)
    document = summary.summary(parts, run_id=options.run, expected=options.expect)
    document["verdict"] = verdict_of(document)
    path = options.results / SUMMARY
    try:
        documents.write(document, path)
        found = read(path)
    except (OSError, DocumentError) as error:
        print(f"RED: {error}", file=sys.stderr)
        return 1
    console = Console()
    if not console.is_terminal:  # a log is as wide as its lines
        console = Console(width=LOG_WIDTH)
    return 0 if report(found, console) else 1


if __name__ == "__main__":
    sys.exit(main())
