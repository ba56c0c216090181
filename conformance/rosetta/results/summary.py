"""All results of one run, or of one directory, put together: results/results.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rosetta.contract.spec import Rule, Rules, read_yaml
from rosetta.results import documents
from rosetta.results import run as results
from rosetta.results.inputs import inputs_of
from rosetta.results.reasons import parts_of, replay_name
from rosetta.results.run import LAYERS, OUTCOMES, RunResult, TestResult
from rosetta.targets.manifest import ROOT, discover

Json = Any
FORMAT = 2
SINGLE = ("relay", "faults", "stability")  # kinds of which there is one document
MOST_FAILING = 20  # that are named of one rule in one layer


@dataclass
class Parts:
    """The documents that count, and what was wrong with files."""

    runs: list[RunResult] = field(default_factory=list)
    replays: list[Json] = field(default_factory=list)
    others: dict[str, Json] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def add(self, document: Json, *, elsewhere: bool) -> None:
        """Sort a document in; ``elsewhere`` tells whether runs of servers not ours count."""
        if document["kind"] in SINGLE:
            self.others[document["kind"]] = document
        elif document["kind"] == "replay":
            self.replays.append(document)
        elif document["kind"] == "run" and (elsewhere or document["base_url"] is None):
            self.runs.append(RunResult.of(document))


def files(directory: Path) -> list[Path]:
    """Return the files of a directory that hold a result, but for the summary."""
    return [path for path in sorted(directory.glob("*.json")) if path.name != documents.SUMMARY]


def gather(paths: Iterable[Path], *, elsewhere: bool = True) -> Parts:
    """Read these files; one that is no document is a problem."""
    parts = Parts()
    for path in paths:
        try:
            parts.add(documents.read(path), elsewhere=elsewhere)
        except documents.DocumentError as error:
            parts.problems.append(str(error))
    parts.runs.sort(key=lambda run: run.label)
    return parts


def summary(
    parts: Parts,
    *,
    run_id: str = "",
    expected: Sequence[str] = (),
    reused: Sequence[str] = (),
    stale: Mapping[str, Sequence[str]] | None = None,
    root: Path = ROOT,
) -> dict[str, Json]:
    """Return the document results.json without its verdict.

    ``expected`` are the labels of runs, and the names of other parts, of which a result is owed;
    ``stale`` says of a part why it does not belong to what is to be proven.
    """
    head, dirty = results.commit()
    contract = Rules(read_yaml(root / "spec" / "rules.yaml"))
    document = {
        "kind": "results",
        "format": FORMAT,
        "contract": contract.version,
        "run_id": run_id,
        "commit": head,
        "dirty": dirty,
        "written": results.now(),
        "expected": list(expected),
        "missing": [],
        "stale": {name: list(why) for name, why in (stale or {}).items()},
        "reused": list(reused),
        "problems": parts.problems,
        "runs": [run.document for run in parts.runs],
        "replays": parts.replays,
        **{kind: parts.others.get(kind) for kind in SINGLE},
        "rules": by_rule(parts, contract.rules),
    }
    found = {run.label for run in parts.runs} | {name for name, _ in parts_of(document)}
    document["missing"] = [name for name in expected if name not in found]
    return document


def stale_parts(parts: Parts, root: Path = ROOT) -> dict[str, list[str]]:
    """Return what is not of the tree as it is now: runs by their inputs, others by the commit."""
    head, _ = results.commit()
    known = discover(root)
    found = {}
    for run in parts.runs:
        implementation = known.get(run.implementation)
        if implementation is None:
            found[run.label] = ["is of no implementation of this repository"]
        elif run.inputs != inputs_of(implementation.folder, root, run.configuration):
            found[run.label] = ["is of another state of the repository: run it again"]
    for name, part in [
        *((replay_name(replay["database"]), replay) for replay in parts.replays),
        *parts.others.items(),
    ]:
        if part["commit"] != head:
            found[name] = [f"is of another commit, {part['commit'][:10] or 'unknown'}"]
    return found


# -- rule x implementation x layer


def by_rule(parts: Parts, known: Mapping[str, Rule]) -> dict[str, Json]:
    """Return what each layer says of each rule."""
    ids = dict.fromkeys([*known, *(rule for run in parts.runs for rule in run.rules)])
    return {
        rule: {
            "title": known[rule].title if rule in known else "",
            "runs": {run.label: of_run(rule, run, parts.replays) for run in parts.runs},
            "faults": dict(_faults(rule, parts.others.get("faults"))),
        }
        for rule in ids
    }


def of_run(rule: str, run: RunResult, replays: Sequence[Json]) -> dict[str, Json]:
    """Return what each layer says of a rule at one implementation, and all together."""
    tests = [test for test in run.tests if rule in {*test.rules, *test.held, *test.broken}]
    layers = {layer: share(rule, [t for t in tests if t.layer == layer]) for layer in LAYERS}
    layers["identity"] = identity(rule, run, replays)
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


def identity(rule: str, run: RunResult, replays: Sequence[Json]) -> dict[str, Json]:
    """Return what the replay says of a rule: none of those that differ is blessed."""
    nothing = {"outcome": "not-run", "passed": 0, "failed": 0, "not_run": 0, "failing": []}
    compared = [replay for replay in replays if _compares(replay, run)]
    if not compared:
        return nothing
    [replay] = compared
    counts = replay["rules"].get(rule, {"lines": 0, "differences": 0})
    wrong = [each for each in replay["differences"] if rule in each["rules"]]
    wrong += [
        each
        for each in replay["judged"]["failures"]
        if (each["rule"], each["implementation"]) == (rule, run.implementation)
    ]
    seen = "passed" if counts["lines"] else "not-run"
    return {
        "outcome": "failed" if wrong else seen,
        "passed": max(0, counts["lines"] - len(wrong)),
        "failed": len(wrong),
        "not_run": 0,
        "failing": [f"{each['part']}, line {each['number']}" for each in wrong][:MOST_FAILING],
    }


def _compares(replay: Json, run: RunResult) -> bool:
    """Tell whether a replay has compared the answers of a run's implementation."""
    answered = any(run.implementation in group for group in replay["groups"])
    return not run.base_url and run.database == replay["database"] and answered


def _worst(outcomes: set[str]) -> str:
    return next((o for o in ("failed", "passed") if o in outcomes), "not-run")


def _faults(rule: str, faults: Json) -> Iterator[tuple[str, str]]:
    for fault in faults["faults"] if faults else ():
        if fault["rule"] == rule:
            yield fault["id"], fault["outcome"]
