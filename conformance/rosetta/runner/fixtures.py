"""The fixtures of the suite; conformance/README.md has the table of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pytest

from rosetta.clients.http import Api
from rosetta.results.run import Held
from rosetta.runner.process import PROCESS, Process
from rosetta.targets import databases
from rosetta.targets.databases import PostgresDatabase, SqliteDatabase
from rosetta.targets.fleet import LIMITS, ORIGINS, Fleet, Launch
from rosetta.targets.server import Server, Target


@pytest.fixture(scope="session")
def _process(pytestconfig: pytest.Config) -> Process:
    return pytestconfig.stash[PROCESS]


@pytest.fixture(scope="session")
def rules(_process: Process) -> Mapping[str, str]:
    """Return the text of each rule by its id."""
    return _process.rules


@pytest.fixture(scope="session")
def seed(pytestconfig: pytest.Config) -> int:
    """Return the seed for whatever is generated."""
    number: int = pytestconfig.option.seed
    return number


@pytest.fixture
def held(request: pytest.FixtureRequest) -> Held:
    """Return a function to tell to which rules answers were held, where no mark says it."""

    def held(rules: Iterable[str]) -> None:
        request.node.user_properties += [("held", rule) for rule in sorted(rules)]

    return held


@pytest.fixture(scope="session")
def server(_process: Process, request: pytest.FixtureRequest) -> Target:
    """Return the main server: with --impl a Server, with --base-url only a Target."""
    return _process.main(request.session)


@pytest.fixture(scope="session")
def api(_process: Process, server: Target) -> Api:
    """Return a client of the main server."""
    return _process.client(server)


@pytest.fixture(scope="session")
def limits_server(_process: Process, request: pytest.FixtureRequest) -> Server:
    """Return the server with a token life of 3 s, 3 sockets, a queue of 10 events, and CORS."""
    origins = {"CORS_ORIGINS": ", ".join(ORIGINS)}
    return _process.server("limits", request.session, LIMITS | origins)


@pytest.fixture(scope="session")
def limits_api(_process: Process, limits_server: Server) -> Api:
    """Return a client of the server with small limits."""
    return _process.client(limits_server)


@pytest.fixture(scope="session")
def secret_key(_process: Process) -> str:
    """Return the SECRET_KEY of all servers, to forge tokens with."""
    assert _process.secret_key is not None
    return _process.secret_key


@pytest.fixture(scope="session")
def fleet(_process: Process) -> Fleet:
    """Return the maker of servers and databases of this run."""
    assert _process.fleet is not None
    return _process.fleet


@pytest.fixture(scope="session")
def database(server: Server) -> SqliteDatabase | PostgresDatabase:
    """Return the main server's database, to look into past the server."""
    assert isinstance(server.database, SqliteDatabase | PostgresDatabase)
    return server.database


@pytest.fixture(scope="session")
def redis_url() -> str:
    """Return the URL of the Redis; a test that uses it carries requires("workers")."""
    return databases.redis_url()


@pytest.fixture
def launch(fleet: Fleet) -> Iterator[Launch]:
    """Return a function that starts a server of the test's own, ended with the test.

    ``launch(*, start=True, migrated=True, database=None, database_url=None, workers=1,
    environment={})``: on a new database of the run's kind unless one is given; a variable of
    ``environment`` that is None is not set.
    """
    servers: list[Server] = []

    def launch(*, start: bool = True, migrated: bool = True, **options: Any) -> Server:  # noqa: ANN401
        if not migrated:
            options["database"] = fleet.database(migrated=False)
        options.setdefault("workers", 1)
        server = fleet.server("launched", **options)
        servers.append(server)
        if start:
            server.start()
        return server

    yield launch
    fleet.discard(servers)


@pytest.fixture
def client(_process: Process) -> Iterator[Callable[[Target], Api]]:
    """Return a function that makes a client of another server, closed with the test."""
    made: list[Api] = []

    def client(target: Target) -> Api:
        made.append(_process.client(target))
        return made[-1]

    yield client
    for api in made:
        _process.forget(api)
