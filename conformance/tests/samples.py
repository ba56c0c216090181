"""One good document of each kind of results/."""

from __future__ import annotations

from typing import Any

from rosetta.contract.spec import load
from rosetta.results.run import LAYERS, RunResult, TestResult

Json = Any
HEAD = "c" * 40
LOCK = "a" * 64
RULES = list(load().rules.rules)
MADE = {
    "run_id": "this",
    "commit": HEAD,
    "dirty": False,
    "started": "2026-11-21T09:59:30.500Z",
    "finished": "2026-11-21T10:00:00.000Z",
    "environment": {"python": "3.11", "platform": "Linux", "processors": 2},
}


def run(name: str = "tiny", run_id: str = "this") -> RunResult:
    """Return a run in which every layer passed, with every rule."""
    made = RunResult(
        label=name,
        implementation=name,
        framework="http.server",
        database="sqlite",
        workers=1,
        processes=1,
        seed=0,
        run_id=run_id,
        base_url=None,
        commit=HEAD,
        dirty=False,
        lock=LOCK,
        versions={"python": "3.11"},
        started="2026-11-21T09:59:30.500Z",
        tests=[TestResult(layer, layer, list(RULES), "passed", 1.0) for layer in LAYERS],
    )
    made.finish(RULES, collected=3, finished="2026-11-21T10:00:00.000Z")
    return made


def replay(*names: str) -> dict[str, Json]:
    """Return a replay over these implementations in which all agree."""
    pace = {"seconds": 1, "client_seconds": 0.5, "requests_per_second": 9}
    one = {"versions": {"python": "3.11"}, "lock": LOCK, "inputs": LOCK, **pace}
    return {
        "kind": "replay",
        **MADE,
        "database": "sqlite",
        "partial": "",
        "full": False,
        "judged": {"answers": 24, "failures": []},
        "corpus": {
            "http": {"requests": 9, "messages": 0, "sha256": LOCK},
            "feed": {"requests": 1, "messages": 4, "sha256": LOCK},
        },
        "not_compared": [{"what": "Date", "rule": "headers-closed"}],
        "implementations": dict.fromkeys(names, one),
        "lines": 12,
        "groups": [list(names)],
        "partitions": [{"groups": [list(names)], "lines": 12}],
        "rules": {"etag": {"lines": 7, "differences": 0}},
        "differences": [],
        "problems": [],
        "verdict": "identical",
    }


def judgement(name: str) -> dict[str, Json]:
    """Return an answer of an implementation that is not what the contract says."""
    return {
        "implementation": name,
        "part": "http",
        "number": 3,
        "operation": "update_item",
        "rule": "etag",
        "wrong": "without the fields etag",
        "request": "PATCH /items/<item 1>",
        "answer": "200",
    }


def difference(*groups: list[str]) -> dict[str, Json]:
    """Return a difference that names the rule `etag`."""
    return {
        "part": "http",
        "number": 3,
        "operation": "update_item",
        "request": "PATCH /items/<item 1>",
        "groups": [
            {"names": group, "answer": {"status": 200 + n}} for n, group in enumerate(groups)
        ],
        "rules": ["etag"],
        "words": "headers.etag is 1 at one and 2 at two",
        "script": [],
    }


def relay(*names: str) -> dict[str, Json]:
    """Return a relay over these implementations in which nothing differed."""
    return {
        "kind": "relay",
        **MADE,
        "implementations": {name: {"versions": {}, "lock": LOCK} for name in names},
        "migrated_by": names[0],
        "seeds": [0, 1],
        "requests": 8,
        "seconds": 3.5,
        "problem": "",
        "verdict": "interchangeable",
    }


def faults() -> dict[str, Json]:
    """Return a matrix of one fault, which was caught."""
    found = {"outcome": "caught", "seconds": 2.5, "tests": ["t"], "evidence": "expected 2, got 1"}
    return {
        "kind": "faults",
        **MADE,
        "implementation": "tiny",
        "versions": {},
        "lock": LOCK,
        "partial": "",
        "layers": ["rules"],
        "control": {"tests": ["t"], "failing": []},
        "faults": [
            {
                "id": "same-tag",
                "rule": "etag",
                "wrong": "The tag stays.",
                "database": "sqlite",
                "workers": 1,
                "outcome": "caught",
                "findings": {"rules": found},
            }
        ],
    }


def stability() -> dict[str, Json]:
    """Return two runs that were the same."""
    found = {"tests": 3, "verdicts": [[], []], "seconds": [3, 3.1], "differing": []}
    return {
        "kind": "stability",
        **MADE,
        "database": "sqlite",
        "workers": 1,
        "seed": 0,
        "runs": 2,
        "implementations": {"tiny": found},
        "verdict": "stable",
    }
