"""One virtual environment per lock file, rebuilt only when that changes.

It needs no other package.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rosetta.targets.builds import BuildError, ensure_built
from rosetta.targets.locks import locked
from rosetta.targets.manifest import ROOT, Implementation, ManifestError, find


class VenvError(Exception):
    """An environment or a build could not be made; the message holds the tool's own output."""


def environment_of(implementation: Implementation) -> Path:
    """Return the implementation's environment, made from requirements.txt if it is not current.

    A service in another language has none: it is built, and its folder is returned. Raise
    VenvError.
    """
    if not implementation.uses_venv:
        try:
            return ensure_built(implementation)
        except BuildError as error:
            raise VenvError(str(error)) from None
    return ensure(_place(implementation), implementation.requirements)


def development_environment_of(implementation: Implementation) -> Path:
    """Return the environment for the implementation's own tests (requirements-dev.txt)."""
    return ensure(_place(implementation, "-dev"), implementation.test_requirements)


def environment_of_suite() -> Path:
    """Return the environment that the suite runs in, whatever it tests."""
    return ensure(ROOT / ".nox" / "suite", ROOT / "conformance" / "requirements.txt")


def ensure(venv: Path, requirements: Path) -> Path:
    """Make ``venv`` hold exactly ``requirements``; a current one is left untouched."""
    if not requirements.is_file():
        raise VenvError(f"{requirements} is missing: compile it with hashes first")
    wanted = fingerprint(requirements)
    stamp = venv / "rosetta-lock.sha256"
    with locked(venv.with_name(f"{venv.name}.lock")):
        if not (stamp.is_file() and stamp.read_text() == wanted):
            _build(venv, requirements)
            stamp.write_text(wanted)
    return venv


def fingerprint(requirements: Path) -> str:
    """Return a hash of the lock file, the Python version and its place."""
    digest = hashlib.sha256(requirements.read_bytes())
    digest.update(f"{sys.version}\n{sys.base_prefix}".encode())
    return digest.hexdigest()


def bin_directory(venv: Path) -> Path:
    """Return the directory of the environment's commands."""
    return venv / ("Scripts" if os.name == "nt" else "bin")


def find_uv() -> str | None:
    """Return the uv to use: that of the environment variable UV, or the one on PATH."""
    return os.environ.get("UV") or shutil.which("uv")


def _place(implementation: Implementation, suffix: str = "") -> Path:
    environments = implementation.folder.parents[1] / ".nox"
    # Commands name their interpreter by its path: a link to the environments may not last.
    return environments.resolve() / f"impl-{implementation.name}{suffix}"


def _build(venv: Path, requirements: Path) -> None:
    shutil.rmtree(venv, ignore_errors=True)
    uv = find_uv()
    python = str(bin_directory(venv) / "python")
    if uv:
        _run([uv, "venv", "--quiet", "--python", sys.executable, str(venv)])
        install = [uv, "pip", "install", "--quiet", "--python", python]
    else:
        _run([sys.executable, "-m", "venv", str(venv)])
        install = [python, "-m", "pip", "install", "--quiet"]
    _run([*install, "--require-hashes", "--requirement", str(requirements)])


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(  # noqa: S603 - commands made above
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise VenvError(f"{' '.join(command)}\n{done.stdout}{done.stderr}".rstrip())


def run(options: argparse.Namespace) -> int:
    """Print the interpreter of an environment, which is made if it is not current."""
    try:
        if options.name:
            venv = development_environment_of(find(options.name))
        else:
            venv = environment_of_suite()
    except (ManifestError, VenvError) as error:
        print(error, file=sys.stderr)
        return 1
    print(bin_directory(venv) / "python")
    return 0
