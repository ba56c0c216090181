"""Judge what was found: results/results.json, printed, and green only with proof."""

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
from rosetta.results.reasons import lead_of, verdict_of
from rosetta.results.run import LAYERS, RunResult

Json = Any
MARKS = {"passed": ("✓", "green"), "failed": ("✗", "bold red"), "not-run": ("·", "yellow")}
STYLES = {"green": "bold green", "partial": "bold yellow", "red": "bold red"}
SHOWN = 5  # differences of a replay, and answers that are wrong
LOG_WIDTH = 120


def rules_table(document: Json) -> Table | None:
    """Return the rules that are not ✓ everywhere, by implementation; None if all are."""
    labels: dict[str, list[str]] = {}
    for run in document["runs"]:
        labels.setdefault(run["implementation"], []).append(run["label"])
    # What a partial run has not tested is said in its closing line.
    usual = {"passed", "not-run"} if document["verdict"]["gaps"] else {"passed"}
    table = Table()
    table.add_column("rule", no_wrap=True)
    for name in labels:
        table.add_column(name, justify="center", no_wrap=True)
    for rule, found in document["rules"].items():
        runs = found["runs"]
        outcomes = [{runs[label]["outcome"] for label in of_one} for of_one in labels.values()]
        if set().union(*outcomes) - usual:
            table.add_row(rule, *map(_mark, outcomes))
    return table if table.row_count else None


def _mark(outcomes: set[str]) -> Text:
    worst = next(outcome for outcome in ("failed", "not-run", "passed") if outcome in outcomes)
    return Text(MARKS[worst][0], style=MARKS[worst][1])


def runs_table(document: Json) -> Table:
    """Return one line for each run: rules, tests by layer, the replay, seconds."""
    caption = "tests passed / failed / not run; answers that were compared; seconds by the clock"
    table = Table(caption=caption)
    table.add_column("")
    table.add_column("rules", justify="right", no_wrap=True)
    replays = document["replays"]
    for name in (*LAYERS, *(["identity"] if replays else []), "took"):
        table.add_column(name, justify="right", no_wrap=True)
    runs = [RunResult.of(run) for run in document["runs"]]
    for run in runs:
        layers = (_layer(run, layer, runs, replays) for layer in LAYERS)
        compared = [_compared(run, replays)] if replays else []
        again = " (again)" if run.label in document["reused"] else ""
        table.add_row(_heading(run) + again, _rules(run), *layers, *compared, _duration(run))
    return table


def _heading(run: RunResult) -> str:
    several = f", {run.workers} workers" if run.workers > 1 else ""
    return f"{run.implementation}, {run.database}{several}"


def _rules(run: RunResult) -> Text:
    passed = sum(outcome == "passed" for outcome in run.rules.values())
    all_passed = passed == len(run.rules)
    return Text(f"{passed} of {len(run.rules)}", style="green" if all_passed else "red")


def _layer(run: RunResult, layer: str, runs: Sequence[RunResult], replays: Sequence[Json]) -> str:
    """Return the counts of a layer, or from whom it follows."""
    if layer not in run.live:
        lead = lead_of(run, layer, runs, replays)
        return f"by identity ({lead.implementation})" if lead else "-"
    outcomes = Counter[str](test.outcome for test in run.tests if test.layer == layer)
    return " / ".join(str(outcomes[outcome]) for outcome in MARKS)


def _compared(run: RunResult, replays: Sequence[Json]) -> str:
    """Return how many lines of the corpus were answered alike, and not."""
    for replay in replays:
        found = replay["implementations"].get(run.implementation)
        if found and not run.base_url and run.database == replay["database"]:
            different = len(replay["differences"])
            return f"{replay['lines'] - different} / {different}"
    return "-"


def _duration(run: RunResult) -> str:
    """Return how long a run took by the clock."""
    if not run.finished:
        return "?"
    took = datetime.fromisoformat(run.finished) - datetime.fromisoformat(run.started)
    return f"{took.total_seconds():.0f} s"


def report(document: Json, console: Console) -> None:
    """Print a summary and its verdict."""
    verdict = document["verdict"]
    if table := rules_table(document) if document["runs"] else None:
        console.print(table)
    if document["runs"]:
        console.print(runs_table(document))
    for run in map(RunResult.of, document["runs"]):
        _print_run(run, verdict["reasons"].get(run.label, []), console)
    _print_configuration(document, console)
    labels = {run["label"] for run in document["runs"]}
    for name, reasons in verdict["reasons"].items():
        for reason in reasons if name not in labels else ():
            console.print(Text(f"{name}: {reason}", style="red"), soft_wrap=True)
    for replay in document["replays"]:
        _print_differences(replay, console)
    if document["reused"]:
        again = "nothing that they depend on has changed (--fresh uses none)"
        console.print(Text(f"used again: {', '.join(document['reused'])}: {again}"), soft_wrap=True)
    *others, closing = verdict["lines"]
    for line in others:
        console.print(Text(line), soft_wrap=True)
    console.print(Text(closing, style=STYLES[verdict["status"]]), soft_wrap=True)


def _print_run(run: RunResult, reasons: Sequence[str], console: Console) -> None:
    for reason in reasons:
        console.print(Text(f"{run.label}: {reason}", style="red"), soft_wrap=True)
    for test in [test for test in run.tests if test.outcome == "failed"]:
        console.print(Text(f"{run.label}: failed: {test.nodeid}", style="red"), soft_wrap=True)


def _print_configuration(document: Json, console: Console) -> None:
    """Print what all runs have in common once: commit, seed, and what was not run."""
    runs = [RunResult.of(run) for run in document["runs"]]
    for run in runs:
        versions = ", ".join(f"{name} {version}" for name, version in run.versions.items())
        console.print(Text(f"{run.label}: {versions}", style="dim"), soft_wrap=True)
    skipped = {(test.nodeid, test.reason) for run in runs for test in run.tests if test.reason}
    for reason, count in sorted(Counter(reason for _, reason in skipped).items()):
        console.print(Text(f"{count} tests not run: {reason}", style="yellow"))
    for commit, dirty, seed in sorted({(run.commit, run.dirty, run.seed) for run in runs}):
        changed = " and uncommitted changes" if dirty else ""
        console.print(f"commit {commit[:10] or 'unknown'}{changed}; seed {seed}", highlight=False)


def _print_differences(replay: Json, console: Console) -> None:
    for found in replay["differences"][:SHOWN]:
        where = f"{found['operation']} ({found['part']}, line {found['number']})"
        line = f"  {where}, rules {', '.join(found['rules'])}: {found['words']}"
        console.print(Text(line, style="red"), soft_wrap=True)
    for found in replay["judged"]["failures"][:SHOWN]:
        where = f"{found['implementation']}, {found['operation']}, rule {found['rule']}"
        line = f"  {where}: {found['wrong']}\n  {found['request']}"
        console.print(Text(line, style="red"), soft_wrap=True)
    if (more := len(replay["differences"]) - SHOWN) > 0:
        console.print(Text(f"  and {more} more in the replay's file", style="red"))


def read(path: Path) -> Json:
    """Return a summary whose verdict follows from what it holds; raise DocumentError."""
    document = documents.read(path)
    if document["kind"] != "results":
        raise DocumentError(f"{path} is no summary but of a {document['kind']}")
    if document["verdict"] != verdict_of(document):
        raise DocumentError(f"{path} is no result file: its verdict is not what it proves")
    return document


def conclude(document: Json, directory: Path, console: Console) -> str:
    """Judge a summary, write results.json and print it as read; return green, partial or red."""
    document["verdict"] = verdict_of(document)
    path = directory / SUMMARY
    try:
        documents.write(document, path)
        found = read(path)
    except (OSError, DocumentError) as error:
        print(f"RED: {error}", file=sys.stderr)
        return "red"
    report(found, console)
    return str(found["verdict"]["status"])


def console() -> Console:
    """Return the console to print on: a log is as wide as its lines."""
    made = Console()
    return made if made.is_terminal else Console(width=LOG_WIDTH)


def run(options: argparse.Namespace) -> int:
    """Judge all results of a directory, or some files, and return 0 only if they are proof."""
    # A server elsewhere has no state of ours to be judged by.
    files = options.files or summary.files(options.results)
    parts = summary.gather(files, elsewhere=bool(options.files))
    stale = summary.stale_parts(parts, options.root)
    document = summary.summary(parts, stale=stale, root=options.root)
    return 0 if conclude(document, options.results, console()) == "green" else 1
