"""The engine, reading and writing transactions, and what counts as an unreachable database."""

import sqlite3
from typing import Any

import psycopg
from sqlalchemy import URL, event, make_url
from sqlalchemy.exc import DBAPIError, TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session, SessionTransaction, UOWTransaction

_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg"}
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


def async_url(database_url: str) -> URL:
    """Return the URL with the asynchronous driver of its database."""
    url = make_url(database_url)
    return url.set(drivername=_DRIVERS[url.get_backend_name()])


def create_engine(database_url: str) -> AsyncEngine:
    """Return an engine that connects when first used."""
    url = async_url(database_url)
    backend = url.get_backend_name()
    engine = create_async_engine(
        url,
        connect_args=_CONNECT_ARGS[backend],
        pool_timeout=5,
        hide_parameters=True,  # an error in the log would show e-mail addresses and hashes
        **_ENGINE_OPTIONS[backend],
    )
    if backend == "sqlite":
        event.listen(engine.sync_engine, "connect", _configure_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


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


@event.listens_for(Session, "after_flush")
def _note_flush(session: Session, _: UOWTransaction) -> None:
    session.info["flushed"] = True


@event.listens_for(Session, "after_transaction_end")
def _forget_flush(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        session.info.pop("flushed", None)


async def end_reading(session: AsyncSession) -> None:
    """End the session's reading transaction; what was read stays readable.

    What is added, changed or deleted in the session belongs in a writing transaction: raise
    RuntimeError, so that nothing is lost or written too early.
    """
    if session.new or session.dirty or session.deleted or session.info.get("flushed"):
        raise RuntimeError("the session has changes: make them after the writing has begun")
    await session.commit()  # a rollback would expire every object


async def begin_writing(session: AsyncSession) -> None:
    """End the session's reading transaction and begin a writing one.

    What was read before may be stale: read it again, with `with_for_update()`.
    """
    await end_reading(session)
    await session.connection(execution_options=_WRITING[session.get_bind().dialect.name])


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
