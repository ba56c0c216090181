"""The database of the app, reading and writing transactions, and what counts as unreachable."""

import sqlite3
from pathlib import Path
from typing import Any

import psycopg
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import URL, MetaData, event, make_url
from sqlalchemy.exc import DBAPIError, TimeoutError as PoolTimeoutError
from sqlalchemy.orm import DeclarativeBase, Session, SessionTransaction, UOWTransaction

_CONNECT_ARGS: dict[str, dict[str, Any]] = {
    "sqlite": {"timeout": 5},
    # A host that is gone without a word is not waited for as long as the kernel would.
    "postgresql": {"connect_timeout": 2, "tcp_user_timeout": 5000},
}
# A reading transaction sees one moment: else a caller might be there and their item already gone.
# A writing one sees what others have committed while it waited for a lock.
_ENGINE_OPTIONS: dict[str, dict[str, Any]] = {
    "sqlite": {},
    "postgresql": {"isolation_level": "REPEATABLE READ"},
}
_WRITING: dict[str, dict[str, Any]] = {
    "sqlite": {"writing": True},
    "postgresql": {"isolation_level": "READ COMMITTED"},
}
_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA foreign_keys = ON",
)
_SQLITE_UNREACHABLE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_IOERR,
}
# PostgreSQL's own names: a later migration can name what it changes, on SQLite too.
NAMING_CONVENTION = {
    "pk": "%(table_name)s_pkey",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    "ck": "%(table_name)s_%(constraint_name)s_check",
}


class Base(DeclarativeBase):
    """The metadata that the migrations compare the database with."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


db = SQLAlchemy(model_class=Base)


def init_database(app: Flask, database_url: str) -> None:
    """Give the app its engine, which connects when first used."""
    url = _absolute(make_url(database_url))
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {
        "connect_args": _CONNECT_ARGS[url.get_backend_name()],
        "pool_timeout": 5,
        "hide_parameters": True,  # an error in the log would show e-mail addresses and hashes
        **_ENGINE_OPTIONS[url.get_backend_name()],
    }
    db.init_app(app)
    if url.get_backend_name() == "sqlite":
        with app.app_context():
            event.listen(db.engine, "connect", _configure_sqlite)
            event.listen(db.engine, "begin", _begin_sqlite)


def _absolute(url: URL) -> URL:
    if url.get_backend_name() != "sqlite":
        return url
    # Contract: Flask-SQLAlchemy would put a relative file under instance/.
    return url.set(database=str(Path(url.database or "app.db").absolute()))


def _configure_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver would begin transactions by itself, too late
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _begin_sqlite(connection: Any) -> None:
    # A reader that turns writer fails with "database is locked" whatever the timeout.
    writing = connection.get_execution_options().get("writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def end_reading() -> None:
    """End the session's reading transaction; raise RuntimeError if anything would be lost.

    What was added, changed or deleted in the session belongs in a writing transaction, which begins
    after the body has been read.
    """
    session = db.session()
    if session.new or session.dirty or session.deleted or session.info.get("flushed"):
        raise RuntimeError("the session has changes: read the body before making them")
    session.rollback()


@event.listens_for(db.session, "after_flush")
def _note_flush(session: Session, _: UOWTransaction) -> None:
    session.info["flushed"] = True


@event.listens_for(db.session, "after_transaction_end")
def _forget_flush(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        session.info.pop("flushed", None)


def begin_writing() -> None:
    """End the session's reading transaction and begin a writing one.

    What was read before may be stale: read it again, with `with_for_update=`.
    """
    end_reading()
    db.session.connection(execution_options=_WRITING[db.engine.dialect.name])


def is_unreachable(error: Exception) -> bool:
    """Tell whether the error means that the database does not answer, so a retry may help."""
    if isinstance(error, PoolTimeoutError):
        return True
    if not isinstance(error, DBAPIError):
        return False
    cause = error.orig
    if isinstance(cause, sqlite3.Error):
        return (getattr(cause, "sqlite_errorcode", 0) & 0xFF) in _SQLITE_UNREACHABLE
    if isinstance(cause, psycopg.OperationalError):
        # No SQLSTATE: never connected, or cut off; 08 connection, 53 resources, 57P shutdown.
        return cause.sqlstate is None or cause.sqlstate.startswith(("08", "53", "57P"))
    return error.connection_invalidated
