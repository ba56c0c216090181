"""All results of one run of nox, or of one commit, put together: results/results.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rosetta.contract.spec import load
from rosetta.results import documents
from rosetta.results import run as results
from rosetta.results.run import LAYERS, OUTCOMES, RunResult, TestResult

Json = Any
FORMAT = 1
SINGLE = ("replay", "relay", "faults", "stability")  # kinds of which there is one document
MOST_FAILING = 20  # that are named of one rule in one layer


@dataclass
class Parts:
    """The documents that count, and what was wrong with files."""

    runs: list[RunResult] = field(default_factory=list)
    others: dict[str, Json] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def files(directory: Path) -> list[Path]:
    """Return the files of a directory that hold a result, but for the summary."""
    return [path for path in sorted(directory.glob("*.json")) if path.name != documents.SUMMARY]


def gather(paths: Iterable[Path], *, run_id: str = "", elsewhere: bool = True) -> Parts:
    """Read what these files hold of the run ``run_id``, or of any without one.

    ``elsewhere`` tells whether runs against servers that are not ours count.
    """
    parts = Parts()
    for path in paths:
        try:
            document = documents.read(path)
        except documents.DocumentError as error:
            parts.problems.append(str(error))
            continue
        if run_id and document["run_id"] != run_id:
            continue
        if document["kind"] in SINGLE:
            parts.others[document["kind"]] = document
        elif document["kind"] == "run" and (elsewhere or document["base_url"] is None):
            parts.runs.append(RunResult.of(document))
    parts.runs.sort(key=lambda run: run.label)
    return parts


def summary(parts: Parts, *, run_id: str = "", expected: Sequence[str] = ()) -> dict[str, Json]:
    """Return the document results.json without its verdict; ``expected`` is what is owed."""
    head, dirty = results.commit()
    heard = {run.implementation for run in parts.runs} | set(parts.others)
    return {
        "kind": "results",
        "format": FORMAT,
        "contract": load().rules.version,
        "run_id": run_id,
        "commit": head,
        "dirty": dirty,
        "written": results.now(),
        "expected": list(expected),
        "missing": [name for name in expected if name not in heard],
        "problems": parts.problems,
        "runs": [run.document for run in parts.runs],
        **{kind: parts.others.get(kind) for kind in SINGLE},
        "rules": by_rule(parts),
    }


# -- rule x implementation x layer


def by_rule(parts: Parts) -> dict[str, Json]:
    """Return what each layer says of each rule."""
    known = load().rules.rules
    ids = dict.fromkeys([*known, *(rule for run in parts.runs for rule in run.rules)])
    return {
        rule: {
            "title": known[rule].title if rule in known else "",
            "runs": {run.label: of_run(rule, run, parts.others) for run in parts.runs},
            "faults": dict(_faults(rule, parts.others.get("faults"))),
        }
        for rule in ids
    }


def of_run(rule: str, run: RunResult, others: Mapping[str, Json]) -> dict[str, Json]:
    """Return what each layer says of a rule at one implementation, and all together."""
    tests = [test for test in run.tests if rule in {*test.rules, *test.held, *test.broken}]
    layers = {layer: share(rule, [t for t in tests if t.layer == layer]) for layer in LAYERS}
    layers["identity"] = identity(rule, run, others.get("replay"))
    failed = any(each["outcome"] == "failed" for each in layers.values())
    return {"outcome": "failed" if failed else run.rules.get(rule, "not-run"), "layers": layers}


def share(rule: str, tests: Sequence[TestResult]) -> dict[str, Json]:
    """Return what tests of one layer say of a rule that they pin, hold answers to, or break.

    A test that failed says nothing of those rules that it does not blame.
    """
    said = [test for test in tests if test.outcome != "failed" or rule in test.blamed]
    counts = Counter[str](test.outcome for test in said)
    return {
        "outcome": _worst(set(counts)),
        **{outcome.replace("-", "_"): counts[outcome] for outcome in OUTCOMES},
        "failing": [test.nodeid for test in said if test.outcome == "failed"][:MOST_FAILING],
    }


def identity(rule: str, run: RunResult, replay: Json) -> dict[str, Json]:
    """Return what the replay says of a rule: none of those that differ is blessed."""
    nothing = {"outcome": "not-run", "passed": 0, "failed": 0, "not_run": 0, "failing": []}
    if replay is None or run.base_url or run.database != replay["database"]:
        return nothing
    if not any(run.implementation in group for group in replay["groups"]):
        return nothing
    counts = replay["rules"].get(rule, {"lines": 0, "differences": 0})
    different = [
        f"{each['part']}, line {each['number']}"
        for each in replay["differences"]
        if rule in each["rules"]
    ]
    seen = "passed" if counts["lines"] else "not-run"
    return {
        "outcome": "failed" if different else seen,
        "passed": max(0, counts["lines"] - len(different)),
        "failed": len(different),
        "not_run": 0,
        "failing": different[:MOST_FAILING],
    }


def _worst(outcomes: set[str]) -> str:
    return next((o for o in ("failed", "passed") if o in outcomes), "not-run")


def _faults(rule: str, faults: Json) -> Iterator[tuple[str, str]]:
    for fault in faults["faults"] if faults else ():
        if fault["rule"] == rule:
            yield fault["id"], fault["outcome"]
