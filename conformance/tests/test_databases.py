from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from rosetta.targets import databases
from rosetta.targets.databases import PostgresDatabase, SqliteDatabase


def postgres_answers() -> bool:
    try:
        psycopg.connect(databases.postgres_url(), connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.fixture(params=databases.KINDS)
def database(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[SqliteDatabase | PostgresDatabase]:
    if request.param == "postgresql" and not postgres_answers():
        pytest.skip("no PostgreSQL at ROSETTA_POSTGRES_URL")
    made = databases.create(request.param, tmp_path)
    yield made
    made.drop()


def test_rows_come_as_dictionaries_and_writes_are_kept(
    database: SqliteDatabase | PostgresDatabase,
) -> None:
    assert database.rows("CREATE TABLE t (a INTEGER, b TEXT)") == []
    database.rows("INSERT INTO t VALUES (?, ?)", [1, "100%"])
    assert database.rows("SELECT * FROM t WHERE b = ?", ["100%"]) == [{"a": 1, "b": "100%"}]
    assert database.rows("SELECT a FROM t WHERE b LIKE '%0%'") == [{"a": 1}]


def test_a_transaction_is_seen_whole_when_it_ends_and_not_at_all_when_it_fails(
    database: SqliteDatabase | PostgresDatabase,
) -> None:
    database.rows("CREATE TABLE t (a INTEGER)")
    with database.transaction() as run:
        run("INSERT INTO t VALUES (?)", [1])
        run("INSERT INTO t VALUES (?)", [2])
        assert run("SELECT a FROM t ORDER BY a") == [{"a": 1}, {"a": 2}]
        assert database.rows("SELECT * FROM t") == []

    def fail() -> None:
        with database.transaction() as run:
            run("DROP TABLE t")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert database.rows("SELECT a FROM t ORDER BY a") == [{"a": 1}, {"a": 2}]


def test_a_clone_is_a_database_of_its_own(
    database: SqliteDatabase | PostgresDatabase, tmp_path: Path
) -> None:
    database.rows("CREATE TABLE t (a INTEGER)")
    clone = database.clone(tmp_path)
    try:
        clone.rows("INSERT INTO t VALUES (1)")
        assert database.rows("SELECT * FROM t") == []
        assert clone.rows("SELECT * FROM t") == [{"a": 1}]
        assert clone.url != database.url
    finally:
        clone.drop()


def test_a_dropped_database_is_gone_even_under_a_connection(
    database: SqliteDatabase | PostgresDatabase,
) -> None:
    database.rows("CREATE TABLE t (a INTEGER)")
    with closing(database.connect()):
        database.drop()
    with pytest.raises((psycopg.OperationalError, sqlite3.OperationalError)):
        database.rows("SELECT * FROM t")


def test_the_sqlite_url_is_absolute(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path)
    assert database.url == f"sqlite:///{database.path}"
    assert database.url.startswith("sqlite:////")


def test_a_clone_of_sqlite_holds_what_is_only_in_the_write_ahead_log(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path)
    with closing(database.connect()) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE t (a INTEGER)")
        connection.commit()
        clone = database.clone(tmp_path)
    assert clone.rows("SELECT * FROM t") == []


def test_the_servers_are_named_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROSETTA_POSTGRES_URL", "postgresql://elsewhere/x")
    monkeypatch.setenv("ROSETTA_REDIS_URL", "redis://elsewhere/1")
    assert databases.postgres_url() == "postgresql://elsewhere/x"
    assert databases.redis_url() == "redis://elsewhere/1"


def test_another_process_finds_a_database_by_its_place(
    database: SqliteDatabase | PostgresDatabase,
) -> None:
    database.rows("CREATE TABLE t (a INTEGER)")
    found = databases.find(database.kind, database.place)
    assert found.rows("SELECT * FROM t") == []
    assert found.url == database.url


def test_postgresql_has_room_for_as_many_lanes_as_it_has_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not postgres_answers():
        pytest.skip("no PostgreSQL at ROSETTA_POSTGRES_URL")
    monkeypatch.setattr(databases, "PER_LANE", 10)
    small = databases.room()
    monkeypatch.setattr(databases, "PER_LANE", 1)
    assert databases.room() > small
    monkeypatch.setattr(databases, "PER_LANE", 10_000)
    assert databases.room() == 2
