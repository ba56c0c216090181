"""Databases that exist for one server only: an SQLite file, or a scratch PostgreSQL database."""

from __future__ import annotations

import os
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol, get_args
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from rosetta.targets import wakeups

Kind = Literal["sqlite", "postgresql"]
KINDS: tuple[Kind, ...] = get_args(Kind)

Row = dict[str, Any]

DEFAULT_POSTGRES_URL = "postgresql://postgres@127.0.0.1:5432/postgres"
# Connections that the servers of one lane may hold at once: two workers, each with its pool.
PER_LANE = 32


def postgres_url() -> str:
    """Return the URL of a PostgreSQL database from which others may be created."""
    return os.environ.get("ROSETTA_POSTGRES_URL", DEFAULT_POSTGRES_URL)


def redis_url() -> str:
    """Return the URL of the Redis for the wake-ups of this process's servers; see ``wakeups``."""
    return wakeups.redis_url()


class Run(Protocol):
    """What runs one statement within a transaction and returns its rows."""

    def __call__(self, statement: str, parameters: Sequence[object] = ()) -> list[Row]:
        """Run the statement; its parameters are marked ``?``."""


class Database(ABC):
    """One database; ``url`` is what its server gets as DATABASE_URL."""

    kind: Kind
    url: str

    @property
    @abstractmethod
    def place(self) -> str:
        """What ``find`` finds it by in another process."""

    @abstractmethod
    def clone(self, directory: Path) -> Database:
        """Return a new database with the same content; nothing may be connected to this one."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[Run]:
        """Begin a transaction past the server, committed behind the block unless that raises."""

    def rows(self, statement: str, parameters: Sequence[object] = ()) -> list[Row]:
        """Run one statement past the server, in a transaction of its own."""
        with self.transaction() as run:
            return run(statement, parameters)

    @abstractmethod
    def drop(self) -> None:
        """Remove the database, whoever is connected."""


class SqliteDatabase(Database):
    """A file of its own in ``directory``; not created before someone connects."""

    kind: Kind = "sqlite"

    def __init__(self, directory: Path, name: str | None = None) -> None:
        self.path = directory / (name or f"{uuid4().hex}.db")
        self.url = f"sqlite:///{self.path.resolve()}"

    @property
    def place(self) -> str:
        """The file's path."""
        return str(self.path)

    def clone(self, directory: Path) -> SqliteDatabase:
        """Copy the content into a new file, pages still in the write-ahead log included."""
        copy = SqliteDatabase(directory)
        with closing(self.connect()) as source, closing(copy.connect()) as target:
            source.backup(target)
        return copy

    def connect(self) -> sqlite3.Connection:
        """Open a connection of one's own; the caller closes it."""
        return sqlite3.connect(self.path, timeout=5)

    @contextmanager
    def transaction(self) -> Iterator[Run]:
        """Begin a transaction on a connection of its own."""
        with closing(self.connect()) as connection, connection:
            connection.row_factory = sqlite3.Row
            connection.execute("BEGIN")  # sqlite3 by itself begins before some statements only

            def run(statement: str, parameters: Sequence[object] = ()) -> list[Row]:
                return [dict(row) for row in connection.execute(statement, parameters)]

            yield run

    def drop(self) -> None:
        """Remove the file and those that SQLite puts beside it."""
        for suffix in ("", "-wal", "-shm", "-journal"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)


class PostgresDatabase(Database):
    """A scratch database beside that of ``postgres_url``; not created before ``create``."""

    kind: Kind = "postgresql"

    def __init__(self, name: str | None = None) -> None:
        self._admin_url = postgres_url()
        self.name = name or f"rosetta_{uuid4().hex[:16]}"
        self.url = urlunsplit(urlsplit(self._admin_url)._replace(path=f"/{self.name}"))

    @property
    def place(self) -> str:
        """The database's name."""
        return self.name

    def create(self, template: str | None = None) -> PostgresDatabase:
        """Create the database, empty or as a copy of another, and return it."""
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(self.name))
        if template:
            statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
        self._administer(statement)
        return self

    def clone(self, directory: Path) -> PostgresDatabase:
        """Create a database with this one as its template."""
        return PostgresDatabase().create(template=self.name)

    def connect(self) -> psycopg.Connection[Row]:
        """Open a connection of one's own; the caller closes it."""
        return psycopg.connect(self.url, row_factory=dict_row, connect_timeout=5)

    @contextmanager
    def transaction(self) -> Iterator[Run]:
        """Begin a transaction on a connection of its own."""
        with self.connect() as connection:

            def run(statement: str, parameters: Sequence[object] = ()) -> list[Row]:
                text = statement.replace("%", "%%").replace("?", "%s")
                cursor = connection.execute(text.encode(), parameters)
                return cursor.fetchall() if cursor.description else []

            yield run

    def drop(self) -> None:
        """Drop the database, cutting whoever is connected."""
        self._administer(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(self.name))
        )

    def _administer(self, statement: sql.Composed) -> None:
        with psycopg.connect(self._admin_url, autocommit=True, connect_timeout=5) as connection:
            connection.execute(statement)


def room() -> int:
    """Return how many lanes the PostgreSQL server has connections for, at least 2.

    Raise psycopg.Error.
    """
    free = (
        "SELECT current_setting('max_connections')::int"
        " - current_setting('superuser_reserved_connections')::int"
        " - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')"
    )
    with psycopg.connect(postgres_url(), connect_timeout=5) as connection:
        [[connections]] = connection.execute(free).fetchall()
    return max(2, int(connections) // PER_LANE)


def create(kind: Kind, directory: Path) -> SqliteDatabase | PostgresDatabase:
    """Return a new, empty database of this kind."""
    return SqliteDatabase(directory) if kind == "sqlite" else PostgresDatabase().create()


def find(kind: Kind, place: str) -> SqliteDatabase | PostgresDatabase:
    """Return the database that another process made, by its ``place``."""
    if kind == "sqlite":
        return SqliteDatabase(Path(place).parent, Path(place).name)
    return PostgresDatabase(place)
