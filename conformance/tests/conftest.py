from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rosetta.targets import venvs
from rosetta.targets.cpus import cpus
from rosetta.targets.manifest import Implementation, find
from rosetta.targets.ports import HOST, free_port
from rosetta.targets.server import Server, server_environment

pytest_plugins = ["pytester"]

TINY = Path(__file__).parent / "tiny"
RULES = """\
version: 0.0.0
sets: {}
problems: []
precedence: []
configuration: []
groups: []
implementation_defined: []
rules:
  - {id: etag, group: g, title: t, sources: [], text: An ETag MUST be strong.}
  - {id: feed, group: g, title: t, sources: [], text: The feed MUST tell of every write.}
"""

AddTiny = Callable[..., Implementation]


def pytest_xdist_auto_num_workers() -> int:
    """Return one process more than there are cores: one or another always waits for a server."""
    return cpus() + 1


@pytest.fixture(scope="session", autouse=True)
def heeds_interrupts() -> None:
    """Where the tests are a job in the background, what they start would ignore SIGINT as well."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with two rules and no implementation."""
    root = tmp_path_factory.mktemp("repository")
    (root / "impl").mkdir()
    (root / "spec").mkdir()
    (root / "spec" / "rules.yaml").write_text(RULES)
    return root


@pytest.fixture(scope="session")
def add_tiny(repository: Path) -> AddTiny:
    """Add the tiny server, with a fault if one is named, as an implementation."""

    def add(fault: str = "") -> Implementation:
        folder = repository / "impl" / (f"tiny-{fault}" if fault else "tiny")
        if not folder.exists():
            shutil.copytree(TINY, folder, ignore=shutil.ignore_patterns("__pycache__"))
            manifest = folder / "pyproject.toml"
            text = manifest.read_text().replace('"{port}"]', f'"{{port}}", "--fault={fault}"]')
            manifest.write_text(text)
        return find(folder.name, repository)

    return add


@pytest.fixture
def tiny(add_tiny: AddTiny, tmp_path: Path) -> Iterator[Server]:
    """The tiny server, running."""
    implementation = add_tiny()
    venv = venvs.environment_of(implementation)
    with Server.of(implementation, venv, {}, tmp_path / "tiny.log") as server:
        yield server


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Callable[[str], Server]]:
    """Make a server of a Python script, not started; ended with the test."""
    servers: list[Server] = []

    def make(source: str) -> Server:
        (tmp_path / "script.py").write_text(source)
        variables = {"HOST": HOST, "PORT": str(free_port())}
        server = Server(
            ["python3", "script.py"],
            folder=tmp_path,
            environment=server_environment(tmp_path, variables),
            log=tmp_path / "script.log",
        )
        servers.append(server)
        return server

    yield make
    for server in servers:
        server.stop(timeout=1)
