"""What one run of the suite found, as the JSON file that the verdict reads."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Literal, Self

from rosetta.manifest import ROOT, Implementation

Outcome = Literal["passed", "failed", "not-run"]
LAYERS = ("contract", "rules", "model")
MATRIX = "faults.json"  # beside the results of runs: what became of each fault


@dataclass
class TestResult:
    """One test: its phases taken together."""

    __test__ = False

    nodeid: str
    layer: str
    rules: list[str]
    outcome: Outcome
    seconds: float
    failure: str = ""
    reason: str = ""  # why it was not run


@dataclass
class RunResult:
    """One run; ``complete`` is false until it has ended by itself with every test run."""

    label: str
    implementation: str
    framework: str
    database: str
    workers: int
    processes: int  # that ran the tests, each with servers of its own
    seed: int
    run_id: str
    base_url: str | None
    commit: str
    dirty: bool
    lock: str
    versions: dict[str, str]
    started: str
    finished: str = ""
    complete: bool = False
    partial: str = ""  # why this run is no proof: what was deselected, or left out
    problems: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    rules: dict[str, Outcome] = field(default_factory=dict)
    tests: list[TestResult] = field(default_factory=list)

    def finish(self, rule_ids: Iterable[str], collected: int, finished: str) -> None:
        """Sum up the tests; a rule without an outcome is ``not-run``, never green."""
        self.finished = finished
        self.rules = rule_outcomes(rule_ids, self.tests)
        self.seconds = {
            layer: round(sum(t.seconds for t in self.tests if t.layer == layer), 3)
            for layer in LAYERS
        }
        self.complete = len(self.tests) == collected

    def write(self, directory: Path) -> Path:
        """Write the file ``<label>.json`` in one step and return its path."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{self.label}.json"
        draft = path.with_suffix(".json.part")
        draft.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        return draft.replace(path)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the run of a result file; raise ValueError if it is none."""
        try:
            data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            tests = [TestResult(**test) for test in data.pop("tests")]
            return cls(**data, tests=tests)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"{path} is no result file: {error}") from error


def rule_outcomes(rule_ids: Iterable[str], tests: Iterable[TestResult]) -> dict[str, Outcome]:
    """Return every rule's outcome: failed by one failure, passed by one pass and no failure."""
    outcomes: dict[str, Outcome] = dict.fromkeys(rule_ids, "not-run")
    for test in tests:
        for rule in test.rules:
            if test.outcome == "failed" or outcomes.get(rule) == "failed":
                outcomes[rule] = "failed"
            elif test.outcome == "passed":
                outcomes[rule] = "passed"
    return outcomes


def layer_of(nodeid: str) -> str:
    """Return the layer of a test: the folder under suite/ in which it lies."""
    parts = nodeid.partition("::")[0].split("/")
    after = parts[parts.index("suite") + 1 :] if "suite" in parts else []
    return after[0] if after and after[0] in LAYERS else "other"


def commit() -> tuple[str, bool]:
    """Return the commit checked out and whether files differ from it."""
    return _git("rev-parse", "HEAD"), bool(_git("status", "--porcelain"))


def lock_hash(implementation: Implementation) -> str:
    """Return the SHA-256 of the implementation's requirements.txt."""
    return hashlib.sha256(implementation.requirements.read_bytes()).hexdigest()


def versions(venv: Path, names: Mapping[str, str]) -> dict[str, str]:
    """Return the versions installed in ``venv`` of the distributions ``names`` (shown as: name)."""
    folders = [str(path) for path in venv.glob("lib/python*/site-packages")]
    found = {_normal(d.metadata["Name"]): d.version for d in distributions(path=folders)}
    return {shown: found.get(_normal(name), "unknown") for shown, name in names.items()}


def python_version() -> str:
    """Return the version of the running Python, which also runs the servers."""
    return platform.python_version()


def _normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _git(*arguments: str) -> str:
    done = subprocess.run(  # noqa: S603
        ["git", *arguments],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip()
