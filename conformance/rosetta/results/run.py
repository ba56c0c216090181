"""What one run of the suite found, as the JSON file that the verdict reads."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Literal, Self, get_args

from rosetta.results import documents
from rosetta.targets.builds import fingerprint, version_of
from rosetta.targets.manifest import ROOT, Implementation

Json = Any
Outcome = Literal["passed", "failed", "not-run"]
Held = Callable[[Iterable[str]], None]  # the fixture `held`
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
LAYERS = ("contract", "rules", "model")
MATRIX = "faults.json"  # beside the results of runs: what became of each fault
EVIDENCE = "evidence"  # the attribute of pytest's reports that carries it


@dataclass
class Evidence:
    """What a failed test asked and was answered, as text, and what the server logged meanwhile."""

    exchanges: list[dict[str, str]] = field(default_factory=list)  # request and response
    log: str = ""


@dataclass
class TestResult:
    """One test: its phases taken together."""

    __test__ = False

    nodeid: str
    layer: str
    rules: list[str]  # that it pins
    outcome: Outcome
    seconds: float
    failure: str = ""
    reason: str = ""  # why it was not run
    evidence: Evidence | None = None  # of a failure
    held: list[str] = field(default_factory=list)  # rules to which it held answers, besides
    broken: list[str] = field(default_factory=list)  # by a failure; none named: all it pins

    @property
    def blamed(self) -> list[str]:
        """The rules that are broken by it, if it failed."""
        return (self.broken or self.rules) if self.outcome == "failed" else []

    @classmethod
    def of(cls, data: Mapping[str, Json]) -> Self:
        """Return the test that a result file holds."""
        told = data["evidence"]
        return cls(**{**data, "evidence": Evidence(**told) if told else None})


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
    live: list[str] = field(default_factory=lambda: list(LAYERS))  # the layers whose tests ran
    inputs: str = ""  # the hash of what the result depends on
    environment: dict[str, str | int] = field(default_factory=lambda: environment())

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
        return documents.write(self.document, directory / f"{self.label}.json")

    @property
    def configuration(self) -> dict[str, object]:
        """What its inputs hold besides files."""
        return {"database": self.database, "workers": self.workers, "seed": self.seed}

    @property
    def document(self) -> dict[str, Json]:
        """The run as its file has it."""
        return {"kind": "run", **asdict(self)}

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the run of a result file; raise ValueError if it is none."""
        document = documents.read(path)
        if document["kind"] != "run":
            raise documents.DocumentError(f"{path} is of a {document['kind']}, not of a run")
        return cls.of(document)

    @classmethod
    def of(cls, document: Mapping[str, Json]) -> Self:
        """Return the run of a document."""
        members = {name: value for name, value in document.items() if name != "kind"}
        return cls(**{**members, "tests": [TestResult.of(test) for test in members["tests"]]})


def rule_outcomes(rule_ids: Iterable[str], tests: Iterable[TestResult]) -> dict[str, Outcome]:
    """Return every rule's outcome: failed by one failure, passed by one pass and no failure.

    Only a test that pins a rule can make it pass.
    """
    outcomes: dict[str, Outcome] = dict.fromkeys(rule_ids, "not-run")
    tests = list(tests)
    passed = {rule for test in tests if test.outcome == "passed" for rule in test.rules}
    failed = {rule for test in tests for rule in test.blamed}
    outcomes |= dict.fromkeys(passed, "passed")
    return outcomes | dict.fromkeys(failed, "failed")


def layer_of(nodeid: str) -> str:
    """Return the layer of a test: the folder under suite/ in which it lies."""
    parts = nodeid.partition("::")[0].split("/")
    after = parts[parts.index("suite") + 1 :] if "suite" in parts else []
    return after[0] if after and after[0] in LAYERS else "other"


def now() -> str:
    """Return the time as result files show it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def environment() -> dict[str, str | int]:
    """Return the Python and the machine."""
    return {
        "python": python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count() or 0,
    }


def provenance(kind: str, run_id: str, started: str) -> dict[str, Json]:
    """Return how a result that is ready now came about: the members that all kinds share."""
    head, dirty = commit()
    return {
        "kind": kind,
        "run_id": run_id,
        "commit": head,
        "dirty": dirty,
        "started": started,
        "finished": now(),
        "environment": environment(),
    }


def tested(implementation: Implementation, venv: Path | None) -> dict[str, Json]:
    """Return what exactly was tested: the versions installed in ``venv``, the hash of the lock.

    Of a service in another language: what its version command prints, the hash of its sources.
    """
    if not implementation.uses_venv:
        shown = {implementation.framework: version_of(implementation)}
        return {"versions": shown, "lock": fingerprint(implementation)}
    names = {
        implementation.framework: implementation.package,
        implementation.server: implementation.server,
    }
    found = {"python": python_version()} | (versions(venv, names) if venv else {})
    return {"versions": found, "lock": lock_hash(implementation)}


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
