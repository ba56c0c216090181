"""Hold the files that implementations copy from each other byte for byte to being the same."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from rosetta.targets.manifest import Implementation, ManifestError, select

Members = dict[str, Path]


def groups(implementations: Iterable[Implementation]) -> dict[str, Members]:
    """Return for each group its file in every implementation that names it."""
    found: dict[str, Members] = {}
    for implementation in implementations:
        for group, file in implementation.parity.items():
            found.setdefault(group, {})[implementation.name] = implementation.folder / file
    return dict(sorted(found.items()))


def drift(group: str, members: Mapping[str, Path]) -> list[str]:
    """Return what is wrong with a group: files that are missing, or differ from the first."""
    missing = [
        f"{group}: {path} is missing (named by {name})"
        for name, path in members.items()
        if not path.is_file()
    ]
    present = [path for path in members.values() if path.is_file()]
    return missing + [
        _difference(group, present[0], other)
        for other in present[1:]
        if other.read_bytes() != present[0].read_bytes()
    ]


def _difference(group: str, first: Path, other: Path) -> str:
    old, new = (
        path.read_text(encoding="utf-8", errors="backslashreplace").splitlines(keepends=True)
        for path in (first, other)
    )
    lines = difflib.unified_diff(old, new, str(first), str(other), n=1)
    return f"{group} has drifted:\n{''.join(lines) or '(only in bytes that no line shows)'}"


def run(options: argparse.Namespace) -> int:
    """Print each group and what is wrong with it; return 1 if anything is."""
    try:
        implementations = select(root=options.root)
    except ManifestError as error:
        print(error, file=sys.stderr)
        return 1
    wrong = []
    for group, members in groups(implementations.values()).items():
        print(f"{group}: {', '.join(members)}")
        wrong += drift(group, members)
    for problem in wrong:
        print(f"\n{problem}", file=sys.stderr)
    print(f"{len(wrong)} differences" if wrong else "no difference")
    return 1 if wrong else 0
