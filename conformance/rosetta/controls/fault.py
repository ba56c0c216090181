"""Faults as data: each breaks one rule in a copy of one good implementation.

The table is in ``faults/``; ``rosetta.controls.campaign`` runs the suite against each copy.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from rosetta.targets.databases import Kind
from rosetta.targets.manifest import Implementation

NOT_COPIED = shutil.ignore_patterns("*.db", "*.db-*", ".env", ".*_cache", "tests", "venv", ".venv")


class FaultError(Exception):
    """A fault does not fit the implementation that it is to break."""


class Edit(NamedTuple):
    """One replacement in a file of the implementation; ``old`` must stand there exactly once."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Fault:
    """One way to break one rule, and the configuration in which that shows."""

    id: str
    rule: str
    wrong: str
    edits: tuple[Edit, ...]
    database: Kind = "sqlite"
    workers: int = 1


def fault(
    name: str,
    rule: str,
    wrong: str,
    *edits: tuple[str, str, str],
    database: Kind = "sqlite",
    workers: int = 1,
) -> Fault:
    """Return a row of the table; an edit is (file, old text, new text)."""
    return Fault(name, rule, wrong, tuple(Edit(*each) for each in edits), database, workers)


def apply(edits: Sequence[Edit], folder: Path) -> None:
    """Make the edits in ``folder``; raise FaultError if one does not fit or leaves no Python."""
    for edit in edits:
        path = folder / edit.file
        source = path.read_text(encoding="utf-8") if path.is_file() else ""
        if (count := source.count(edit.old)) != 1:
            raise FaultError(f"{edit.file} has {count} times, not once: {edit.old!r}")
        path.write_text(source.replace(edit.old, edit.new), encoding="utf-8")
    for path in {folder / edit.file for edit in edits if edit.file.endswith(".py")}:
        try:
            compile(path.read_text(encoding="utf-8"), str(path), "exec")
        except SyntaxError as error:
            raise FaultError(f"{path.name}, line {error.lineno}: {error.msg}") from None


def plant(
    implementation: Implementation, edits: Sequence[Edit], root: Path, origin: Path
) -> Implementation:
    """Make ``root`` a repository with an edited copy of the implementation, as ``--root`` takes it.

    The specification and the environments are those of the repository ``origin``.
    """
    folder = root / "impl" / implementation.name
    shutil.copytree(implementation.folder, folder, ignore=NOT_COPIED)
    for shared in ("spec", ".nox"):
        (root / shared).symlink_to(origin / shared)
    apply(edits, folder)
    return replace(implementation, folder=folder)
