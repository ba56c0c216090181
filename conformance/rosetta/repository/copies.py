"""Show that one folder is enough: copy it out of the repository and do what its README says."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg

from rosetta.clients.http import Api
from rosetta.repository.readme import CopyError, commands_under
from rosetta.repository.schema_change import Team
from rosetta.targets.manifest import ROOT, Implementation, ManifestError, find
from rosetta.targets.ports import HOST, free_port
from rosetta.targets.server import Server, ServerError

DEADLINE = 300.0  # of the README's commands, an installation among them
# What would let the copy lean on the repository or on the tester's own settings.
LEFT_OUT = re.compile(
    r"PYTHON(PATH|HOME)|VIRTUAL_ENV|UV|(APP_ENV|DATABASE_URL|REDIS_URL|SECRET_KEY|LOG_LEVEL|CORS_ORIGINS"
    r"|WORKERS|TOKEN_TTL_SECONDS|WS_\w+)"
)


def copy(implementation: Implementation, target: Path) -> None:
    """Copy the files of the folder that git tracks; raise CopyError if there are none."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"],  # noqa: S607
        cwd=implementation.folder,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    names = [name for name in listed.split("\0") if (implementation.folder / name).is_file()]
    if not names:
        raise CopyError(f"git tracks no file of {implementation.folder}")
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(implementation.folder / name, target / name)


def environment(home: Path, port: int) -> dict[str, str]:
    """Return the tester's environment without anything of this repository or of the contract."""
    kept = {name: value for name, value in os.environ.items() if not LEFT_OUT.fullmatch(name)}
    path = [p for p in os.environ["PATH"].split(os.pathsep) if not Path(p).is_relative_to(ROOT)]
    return kept | {
        "PATH": os.pathsep.join(path),
        "HOME": str(home),
        "HOST": HOST,
        "PORT": str(port),
    }


def prove(implementation: Implementation, directory: Path) -> Team:
    """Start a copy and use it; return who works in it. Raise what the errors of ``run`` are."""
    folder, home = directory / implementation.name, directory / "home"
    folder.mkdir()
    home.mkdir()
    copy(implementation, folder)
    port = free_port()
    [commands] = commands_under("Start", (folder / "README.md").read_text(encoding="utf-8"))
    print(commands, end="", flush=True)
    script = commands.replace("8000", str(port))
    variables, log = environment(home, port), directory / "server.log"
    server = Server(
        ["bash", "-euo", "pipefail", "-c", script], folder=folder, environment=variables, log=log
    )
    begin = time.monotonic()
    try:
        server.start(DEADLINE)
        print(f"healthy after {time.monotonic() - begin:.1f} s", flush=True)
        use(server)
    finally:
        server.end()
    return Team(folder, variables, script, log)


def use(server: Server) -> None:
    """Sign up, log in, create an item and read it back."""
    with Api(server) as api:
        account = api.sign_up()
        item = api.create_item(account)
        read = api.get(item.path, token=account)
        if read.status_code != 200 or read.json() != item.body:
            raise CopyError(f"the item does not read back: {read.status_code} {read.text}")


def run(options: argparse.Namespace) -> int:
    """Return 0 if the copy works."""
    try:
        implementation = find(options.name)
        with TemporaryDirectory(prefix="rosetta-copy-") as directory:
            team = prove(implementation, Path(directory))
            team.work(Path(directory))
    except (AssertionError, CopyError, ManifestError, ServerError, psycopg.Error) as error:
        print(f"{options.name} does not stand alone: {error}", file=sys.stderr)
        return 1
    print(f"{options.name} stands alone: used, and its schema changed on both databases")
    return 0
