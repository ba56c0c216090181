"""Build a service that is not in Python, once for each state of its folder."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from rosetta.targets.locks import locked
from rosetta.targets.manifest import Implementation

OWN_COMMANDS = ("bin", "node_modules/.bin")  # folders that stand first on the service's PATH
STATE = ".conformance"  # the folder, in the service's own, of the lock and the stamp
INSTALLED = frozenset({"node_modules", "__pycache__"})  # what no source is kept in
BUILD_DEADLINE = 1800.0
VERSION_DEADLINE = 30.0
OUTPUT_SHOWN = 40  # lines of a build that failed


class BuildError(Exception):
    """A service could not be built; the message holds the end of the command's own output."""


def ensure_built(implementation: Implementation) -> Path:
    """Return the implementation's folder; run its build first if the content has changed.

    Processes that need the same folder at once, also those of other clones, wait for one build.
    Raise BuildError if the command fails.
    """
    folder = implementation.folder
    if not implementation.build:
        return folder
    stamp = _state_of(folder) / "built.sha256"
    with locked(stamp.with_name("lock")):
        if not (stamp.is_file() and stamp.read_text() == fingerprint(implementation)):
            stamp.unlink(missing_ok=True)
            _build(implementation, stamp)
    return folder


def fingerprint(implementation: Implementation) -> str:
    """Return the SHA-256 of what a build depends on: the files, the command and the constants.

    The files are those that Git tracks or would track; outside a work tree all but hidden folders
    and installed packages.
    """
    settings = [list(implementation.build), sorted(implementation.environment.items())]
    digest = hashlib.sha256(json.dumps(settings).encode())
    for path in source_files(implementation.folder):
        content = path.read_bytes()
        name = path.relative_to(implementation.folder).as_posix()
        digest.update(f"\n{name}\n{len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def source_files(folder: Path) -> list[Path]:
    """Return the files of a service that are its source, in order."""
    listed = _git_files(folder)
    files = _walk(folder) if listed is None else listed
    return sorted(path for path in files if path.is_file())


def command_path(folder: Path) -> str:
    """Return the PATH of a service's commands: the folder's own first, then the caller's."""
    own = [str(folder / name) for name in OWN_COMMANDS if (folder / name).is_dir()]
    return os.pathsep.join([*own, os.environ.get("PATH", os.defpath)])


def version_of(implementation: Implementation) -> str:
    """Return the first line that the version command prints, or "unknown"."""
    if not implementation.version:
        return "unknown"
    try:
        done = _run(implementation, implementation.version, VERSION_DEADLINE)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    line = done.stdout.strip().partition("\n")[0].strip()
    return line if line and not done.returncode else "unknown"


def _build(implementation: Implementation, stamp: Path) -> None:
    """Run the build and leave the stamp, which counts what the build has made as well."""
    command = " ".join(implementation.build)
    try:
        done = _run(implementation, implementation.build, BUILD_DEADLINE)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"{implementation.name}: build ({command}): {error}") from None
    if done.returncode:
        output = "\n".join(done.stdout.splitlines()[-OUTPUT_SHOWN:])
        raise BuildError(
            f"{implementation.name}: build ({command}) ended with exit code "
            f"{done.returncode}\n{output}"
        )
    stamp.write_text(fingerprint(implementation))


def _run(
    implementation: Implementation, command: Sequence[str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run a command in the caller's environment, which a toolchain needs, not in a server's."""
    path = command_path(implementation.folder)
    return subprocess.run(  # noqa: S603 - the command of a manifest
        [shutil.which(command[0], path=path) or command[0], *command[1:]],
        cwd=implementation.folder,
        env={**os.environ, "PATH": path, **implementation.environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
    )


def _git_files(folder: Path) -> list[Path] | None:
    """Return what Git tracks or would track in a folder, or None where it knows nothing of it."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, check=False)  # noqa: S603
    except OSError:
        return None
    names = [os.fsdecode(name) for name in done.stdout.split(b"\0") if name]
    return [folder / name for name in names] if not done.returncode and names else None


def _walk(folder: Path) -> list[Path]:
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name[0] != "." and name not in INSTALLED]
        found += [Path(place, name) for name in names]
    return found


def _state_of(folder: Path) -> Path:
    """Return the folder of lock and stamp; Git ignores it, as it does pytest's cache."""
    state = folder / STATE
    state.mkdir(exist_ok=True)
    (state / ".gitignore").write_text("*\n")
    return state
