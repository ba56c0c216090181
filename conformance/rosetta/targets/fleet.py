"""The servers of one run: the main one, the one with small limits, and those a test launches."""

from __future__ import annotations

import fcntl
import itertools
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

from rosetta.targets import databases, venvs
from rosetta.targets.databases import PostgresDatabase, SqliteDatabase
from rosetta.targets.manifest import Implementation
from rosetta.targets.seed import Pool, seed
from rosetta.targets.server import Server, ServerError, migrate

# Known to the suite so that it can forge tokens.
SECRET_KEY = "rosetta-conformance-secret-key-0123456789"  # noqa: S105 - of servers that die with a run
LIMITS = {"TOKEN_TTL_SECONDS": "3", "WS_MAX_CONNECTIONS": "3", "WS_QUEUE_EVENTS": "10"}
# Of pages that may read the answers of the server with small limits.
ORIGINS = ("https://app.example", "http://localhost:5173")

ScratchDatabase = SqliteDatabase | PostgresDatabase
Launch = Callable[..., Server]  # the fixture `launch`


@dataclass
class Fleet:
    """Start servers of one implementation; ``close`` ends all and drops their databases.

    The implementation's migrations run once, on a template of which each database is a copy. In a
    ``seeded`` fleet it has users that tests may take; where traffic is recorded or compared with
    another's it has none, as ids are part of the answers.
    """

    implementation: Implementation
    kind: databases.Kind
    workers: int
    logs: Path
    process: str = ""  # begins the name of each log, where several processes write them
    offer: Path | None = None  # a directory in which processes pass on migrated databases
    seeded: bool = False
    _servers: list[Server] = field(default_factory=list)
    _databases: list[ScratchDatabase] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.venv = venvs.environment_of(self.implementation)
        self._directory = TemporaryDirectory(prefix="rosetta-")
        self._lock = Lock()  # PostgreSQL copies a template for one at a time
        self._numbers = itertools.count(1)
        self._template: ScratchDatabase | None = None
        self._pools: dict[str, Pool] = {}  # by the place of their database

    @property
    def directory(self) -> Path:
        """A directory that goes with the fleet."""
        return Path(self._directory.name)

    def database(self, *, migrated: bool = True) -> ScratchDatabase:
        """Return a new database, empty or migrated."""
        with self._lock:
            if migrated:
                made = self._migrated_template().clone(self.directory)
                if self.seeded:
                    self._pools[made.place] = Pool(made)
            else:
                made = databases.create(self.kind, self.directory)
            self._databases.append(made)
        return made

    def template(self) -> ScratchDatabase:
        """Return the migrated database that others are copies of; raise ServerError."""
        with self._lock:
            return self._migrated_template()

    def adopt(self, template: ScratchDatabase) -> None:
        """Take a database that is migrated already for the template; its maker drops it."""
        self._template = template

    def server(
        self,
        name: str,
        *,
        database: ScratchDatabase | None = None,
        database_url: str | None = None,
        workers: int | None = None,
        environment: Mapping[str, str | None] | None = None,
    ) -> Server:
        """Return a server that is not started, on a new migrated database unless one is given.

        A variable of ``environment`` that is None is not set at all.
        """
        if database is None and database_url is None:
            database = self.database()
        count = self.workers if workers is None else workers
        variables: dict[str, str | None] = {
            "DATABASE_URL": database_url or (database.url if database else None),
            "SECRET_KEY": SECRET_KEY,
            "WORKERS": str(count),
            "REDIS_URL": databases.redis_url() if count > 1 else None,
            **(environment or {}),
        }
        given = {key: value for key, value in variables.items() if value is not None}
        log = self.logs / f"{self.process}{next(self._numbers):03}-{name}.log"
        server = Server.of(self.implementation, self.venv, given, log)
        server.database = database
        server.pool = self._pools.get(database.place) if database else None
        self._servers.append(server)
        return server

    def discard(self, servers: Iterable[Server]) -> None:
        """End these servers; their databases stay until the fleet closes."""
        for server in servers:
            server.end()
            self._servers.remove(server)

    def kill(self) -> None:
        """End every server without leave: what they hold goes with the fleet."""
        for server in self._servers:
            if server.running:
                server.kill()

    def close(self) -> None:
        """End every server at once, then drop every database, whatever one of them raises."""
        with ExitStack() as stack, ThreadPoolExecutor(max_workers=8) as pool:
            stack.callback(self._directory.cleanup)
            for database in self._databases:
                stack.callback(database.drop)
            list(pool.map(Server.end, self._servers))

    def _migrated_template(self) -> ScratchDatabase:
        if self._template is None:
            self._template = self._offered("seeded" if self.seeded else "migrated")
        return self._template

    def _offered(self, name: str) -> ScratchDatabase:
        """Return a database that the first of several processes has made, or be the first."""
        if self.offer is None:
            made = self._make(name, self.directory)
            self._databases.append(made)
            return made
        with (self.offer / name).open("a+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            if place := file.read():
                return databases.find(self.kind, place)
            made = self._make(name, self.offer)
            file.write(made.place)
        return made

    def _make(self, name: str, directory: Path) -> ScratchDatabase:
        """Make a database that others are copied from: a migrated one, or that with users in it."""
        if name == "seeded":
            made = self._offered("migrated").clone(directory)
            seed(made)
            return made
        made = databases.create(self.kind, directory)
        log = self.logs / f"{self.process}000-migrate.log"
        try:
            migrate(self.implementation, self.venv, made.url, log)
        except ServerError:
            made.drop()
            raise
        return made


def start_together(servers: Iterable[Server]) -> None:
    """Start servers in parallel; raise the first error."""
    with ThreadPoolExecutor(max_workers=4) as pool:
        list(pool.map(Server.start, servers))
