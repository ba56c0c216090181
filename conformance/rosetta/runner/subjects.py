"""What a run tests, by label, and the result that each begins with."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from rosetta.results import run as results
from rosetta.results.run import RunResult, now
from rosetta.targets import venvs
from rosetta.targets.databases import Kind
from rosetta.targets.manifest import Implementation


class Options(Protocol):
    """The options of a run that its result records."""

    database: Kind
    workers: int
    seed: int
    base_url: str | None


def label_of(implementation: Implementation | None, database: str, workers: int) -> str:
    """Return the name of a result: that of the implementation in its usual configuration."""
    if implementation is None:
        return "url"
    if database == "sqlite" and workers == 1:
        return implementation.name
    return f"{implementation.name}-{database}-{workers}"


def logs_of(directory: Path, label: str) -> Path:
    """Return the directory of the servers' logs, without those of an older run."""
    logs = directory / f"{label}.logs"
    for log in logs.glob("*.log"):
        log.unlink()
    return logs


def blank_result(
    implementation: Implementation | None,
    options: Options,
    *,
    processes: int = 1,
    run_id: str = "",
) -> RunResult:
    """Return the result of a run that has not begun."""
    commit, dirty = results.commit()
    label = label_of(implementation, options.database, options.workers)
    about: dict[str, Any] = {"versions": {"python": results.python_version()}, "lock": ""}
    if implementation:
        about = results.tested(implementation, venvs.environment_of(implementation))
    return RunResult(
        label=label,
        implementation=implementation.name if implementation else label,
        framework=implementation.framework if implementation else label,
        database=options.database if implementation else "unknown",
        workers=options.workers if implementation else 0,
        processes=processes,
        seed=options.seed,
        run_id=run_id or uuid4().hex,
        base_url=options.base_url,
        commit=commit,
        dirty=dirty,
        started=now(),
        **about,
    )
