"""Migrate, then become the server of one implementation."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rosetta.targets.builds import command_path
from rosetta.targets.manifest import Implementation, ManifestError, find
from rosetta.targets.venvs import VenvError, bin_directory, environment_of


def run(options: argparse.Namespace) -> int:
    """Return only if something went wrong: else this process is the server."""
    try:
        implementation = find(options.name, options.root)
        venv = environment_of(implementation)
    except (ManifestError, VenvError) as error:
        print(error, file=sys.stderr)
        return 1
    environment = environment_for(implementation, venv, options.host, options.port, options.workers)
    if code := _migrate(implementation, environment):
        print(f"migrate ended with exit code {code}", file=sys.stderr)
        return 1
    return _become(implementation, options, environment)


def _migrate(implementation: Implementation, environment: Mapping[str, str]) -> int:
    """Run the migrate command, if there is one, and return its exit code."""
    if not implementation.migrate:
        return 0
    command = located(implementation.migrate, environment)
    return subprocess.run(  # noqa: S603 - the command of a manifest
        command, cwd=implementation.folder, env=environment, check=False
    ).returncode


def _become(
    implementation: Implementation, options: argparse.Namespace, environment: Mapping[str, str]
) -> int:
    command = implementation.serve_command(options.host, options.port, options.workers)
    print(f"{implementation.framework} on http://{options.host}:{options.port}", flush=True)
    os.chdir(implementation.folder)
    command = located(command, environment)
    os.execve(command[0], command, dict(environment))  # noqa: S606


def environment_for(
    implementation: Implementation, venv: Path, host: str, port: int, workers: int
) -> dict[str, str]:
    """Return the caller's environment, the contract's variables included, made the server's."""
    own = {"PATH": command_path(implementation.folder), **implementation.environment}
    if implementation.uses_venv:
        path = f"{bin_directory(venv)}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        own = {"PATH": path, "VIRTUAL_ENV": str(venv)}
    placed = {"HOST": host, "PORT": str(port), "WORKERS": str(workers)}
    return {**os.environ, **own, **placed}


def located(command: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """Return the command with its program looked up on the environment's PATH."""
    return [shutil.which(command[0], path=environment["PATH"]) or command[0], *command[1:]]
