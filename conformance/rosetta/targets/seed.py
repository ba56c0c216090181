"""Users that stand in the migrated template, for tests whose subject is not the sign-up.

A sign-up costs the server a password hash, 22 ms of CPU, and a run needs hundreds of users that
only own items or hold a token. They have no ``user.created`` event: like rows of a restored dump
they were there before the first write, so the feed and its counter start at 1 as on any new
database.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock

import psycopg

from rosetta.targets.databases import Database

COUNT = 250  # a run in one process takes about 150 of them
NAME = "Ada"
PASSWORD = "a password made ready"  # noqa: S105 - of accounts that live as long as a run
# argon2.PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1).hash(PASSWORD)
PASSWORD_HASH = (
    "$argon2id$v=19$m=19456,t=2,p=1$BdmfMoEhbtNEeXlna0TDAw"  # noqa: S105 - as above
    "$4u9QOb2w0TSxs289k8REbHuta1X5i3pAOzajJ9QfC7g"
)
MOMENT = "2025-06-15T08:30:00.123456Z"  # of both timestamps
PREFIX = "ready-"  # begins the e-mail address of each, and of no one else
COLUMNS = ("email", "name", "password_hash", "version", "created_at", "updated_at")


@dataclass(frozen=True)
class ReadyUser:
    """A user in the template, of version 1."""

    id: int
    email: str

    @property
    def body(self) -> dict[str, str | int]:
        """The User as GET answers it."""
        times = {"created_at": MOMENT, "updated_at": MOMENT}
        return {"id": self.id, "email": self.email, "name": NAME, **times}


class Pool:
    """The ready users of one database, each given once; threads may share it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = Lock()
        self._users: Iterator[ReadyUser] | None = None

    def take(self) -> ReadyUser | None:
        """Return a user that was not given before, or None when there is none left."""
        with self._lock:
            if self._users is None:
                self._users = iter(ready_users(self._database))
            return next(self._users, None)


def seed(database: Database, count: int = COUNT) -> None:
    """Insert users into a migrated database; leave one without the contract's table as it is.

    The tests of the rule ``storage`` say what is wrong with such a table.
    """
    moment = MOMENT.replace("T", " ").removesuffix("Z")
    stored = moment if database.kind == "sqlite" else f"{moment}+00"
    row = f"({', '.join('?' * len(COLUMNS))})"
    values: list[object] = []
    for number in range(1, count + 1):
        values += [f"{PREFIX}{number}@rosetta.test", NAME, PASSWORD_HASH, 1, stored, stored]
    rows = ", ".join([row] * count)
    with suppress(sqlite3.Error, psycopg.Error):
        database.rows(f"INSERT INTO users ({', '.join(COLUMNS)}) VALUES {rows}", values)  # noqa: S608


def ready_users(database: Database) -> list[ReadyUser]:
    """Return the users that ``seed`` inserted, by ascending id; none if it did not."""
    query = "SELECT id, email FROM users WHERE email LIKE ? ORDER BY id"
    with suppress(sqlite3.Error, psycopg.Error):
        return [ReadyUser(row["id"], row["email"]) for row in database.rows(query, [f"{PREFIX}%"])]
    return []
