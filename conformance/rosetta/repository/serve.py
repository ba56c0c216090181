"""Migrate, then become the server of one implementation.

python -m rosetta.repository.serve NAME [--host HOST] [--port PORT] [--workers N]
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rosetta.targets.manifest import ROOT, Implementation, ManifestError, find
from rosetta.targets.venvs import VenvError, bin_directory, environment_of


def main(arguments: Sequence[str] | None = None) -> int:
    """Return only if something went wrong: else this process is the server."""
    options = _parser().parse_args(arguments)
    try:
        implementation = find(options.name, options.root)
        venv = environment_of(implementation)
    except (ManifestError, VenvError) as error:
        print(error, file=sys.stderr)
        return 1
    environment = environment_for(venv, options.host, options.port, options.workers)
    migrated = subprocess.run(  # noqa: S603 - the command of a manifest
        located(implementation.migrate, environment),
        cwd=implementation.folder,
        env=environment,
        check=False,
    )
    if migrated.returncode:
        print(f"migrate ended with exit code {migrated.returncode}", file=sys.stderr)
        return 1
    return _become(implementation, options, environment)


def _become(
    implementation: Implementation, options: argparse.Namespace, environment: Mapping[str, str]
) -> int:
    command = implementation.serve_command(options.host, options.port, options.workers)
    print(f"{implementation.framework} on http://{options.host}:{options.port}", flush=True)
    os.chdir(implementation.folder)
    command = located(command, environment)
    os.execve(command[0], command, dict(environment))  # noqa: S606


def environment_for(venv: Path, host: str, port: int, workers: int) -> dict[str, str]:
    """Return the caller's environment, the contract's variables included, made the server's."""
    path = f"{bin_directory(venv)}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    placed = {"HOST": host, "PORT": str(port), "WORKERS": str(workers)}
    return {**os.environ, "PATH": path, "VIRTUAL_ENV": str(venv), **placed}


def located(command: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """Return the command with its program looked up on the environment's PATH."""
    return [shutil.which(command[0], path=environment["PATH"]) or command[0], *command[1:]]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="nox -s serve --", description=__doc__.splitlines()[0])
    parser.add_argument("name", help="the folder under impl/")
    parser.add_argument("--host", default=os.environ.get("HOST", "127.0.0.1"))
    parser.add_argument("--port", type=int, default=int(os.environ.get("PORT", "8000")))
    parser.add_argument("--workers", type=int, default=int(os.environ.get("WORKERS", "1")))
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
