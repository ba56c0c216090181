"""How migrations are generated and run; migrations/env.py uses it.

SQLite makes most changes to a table by copying it ("batch mode"). By itself the copy would delete
the rows that refer to the table, through their cascades, and would forget AUTOINCREMENT and the
highest id. See "Running Batch Migrations for SQLite" in Alembic's documentation, and section 7 of
SQLite's documentation of ALTER TABLE.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import Connection, Table, event
from sqlalchemy.dialects.postgresql import JSONB

from app.models import UtcDateTime

_COPY_PREFIX = "_alembic_tmp_"  # Alembic's name for the copy, until it takes the table's place


class ForeignKeyError(Exception):
    """A migration has left rows that refer to rows that do not exist."""


def render_item(kind: str, item: object, autogenerate: AutogenContext) -> str | Literal[False]:
    """Return the type of a column as a generated migration names it; False for Alembic's way.

    A migration imports nothing of the app, which may change after it.
    """
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(item, JSONB):  # Alembic would write Text() without its import
        autogenerate.imports.add("from sqlalchemy.dialects import postgresql")
        return "postgresql.JSONB()"
    return False


@contextmanager
def migration_transaction(connection: Connection) -> Iterator[None]:
    """Run migrations in one transaction that keeps rows, AUTOINCREMENT and sequences.

    Raise ForeignKeyError, and roll everything back, if a foreign key is broken at the end.
    """
    if connection.dialect.name != "sqlite":
        with context.begin_transaction():
            yield
        return
    with _foreign_keys_off(connection), context.begin_transaction(), _autoincrement_kept():
        sequences = _sequences(connection)
        yield
        _restore(connection, sequences)
        _check_foreign_keys(connection)


@contextmanager
def _foreign_keys_off(connection: Connection) -> Iterator[None]:
    # Not by SQLAlchemy, which would begin a transaction: inside one the pragma does nothing.
    cursor = connection.connection.cursor()
    cursor.execute("PRAGMA foreign_keys = OFF")
    try:
        yield
    finally:
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()


@contextmanager
def _autoincrement_kept() -> Iterator[None]:
    def before_create(table: Table, connection: Connection, **_: Any) -> None:
        copied = table.name.removeprefix(_COPY_PREFIX)
        if copied != table.name and "AUTOINCREMENT" in _definition(connection, copied).upper():
            table.dialect_options["sqlite"]["autoincrement"] = True

    event.listen(Table, "before_create", before_create)
    try:
        yield
    finally:
        event.remove(Table, "before_create", before_create)


def _definition(connection: Connection, table: str) -> str:
    """Return the CREATE TABLE of a table, empty if there is none."""
    query = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?"
    return connection.exec_driver_sql(query, (table,)).scalar() or ""


def _sequences(connection: Connection) -> Mapping[str, int]:
    """Return the highest id that each table with AUTOINCREMENT has ever given."""
    if not _definition(connection, "sqlite_sequence"):
        return {}
    rows = connection.exec_driver_sql("SELECT name, seq FROM sqlite_sequence")
    return {row.name: row.seq for row in rows}


def _restore(connection: Connection, before: Mapping[str, int]) -> None:
    """Raise the sequences of copied tables to where they were: a deleted row's id stays used."""
    after = _sequences(connection)
    for table, last_id in before.items():
        if "AUTOINCREMENT" not in _definition(connection, table).upper():
            continue
        if table not in after:  # the copy of an empty table
            insert = "INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)"
            connection.exec_driver_sql(insert, (table, last_id))
        elif after[table] < last_id:
            update = "UPDATE sqlite_sequence SET seq = ? WHERE name = ?"
            connection.exec_driver_sql(update, (last_id, table))


def _check_foreign_keys(connection: Connection) -> None:
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    if broken:
        tables = ", ".join(sorted({f"{table} to {parent}" for table, _, parent, _ in broken}))
        raise ForeignKeyError(f"{len(broken)} rows refer to rows that do not exist: {tables}")
