"""What a result depends on, as one hash: a result of the same inputs need not be made again."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from rosetta.results.reasons import run_gaps, run_reasons
from rosetta.results.run import RunResult
from rosetta.targets.builds import source_files

# Of conformance/: what does not change the result of a run.
WITHOUT = ("conformance/tests/", "conformance/faults/", "conformance/elsewhere/")


def inputs_of(folder: Path, root: Path, configuration: Mapping[str, object]) -> str:
    """Return the SHA-256 of an implementation, the contract, the suite and a configuration.

    Files count by their names and contents in the working tree, committed or not; those that git
    ignores do not. The Python counts, too: it runs the servers.
    """
    digest = hashlib.sha256(sys.version.encode())
    for name, value in sorted(configuration.items()):
        digest.update(f"{name}={value}\n".encode())
    for part in (folder, root / "spec", root / "conformance"):
        for path in source_files(part):
            name = os.path.relpath(path, root)
            if not name.startswith(WITHOUT) and path.suffix != ".md":
                digest.update(f"{name}\0{path.stat().st_size}\0".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()


def why_not_again(run: RunResult, inputs: str, live: Iterable[str]) -> str:
    """Return why an older result cannot be used again for these layers; empty if it can."""
    if run.inputs != inputs:
        return "something that it depends on has changed"
    if missing := set(live) - set(run.live):
        return f"it has no layer {', '.join(sorted(missing))}"
    reasons = run_reasons(run) + run_gaps(run)
    return reasons[0] if reasons else ""
