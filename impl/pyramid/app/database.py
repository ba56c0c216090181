"""The request's session, reading and writing transactions, and what counts as unreachable."""

import sqlite3
from typing import Any

import psycopg
import zope.sqlalchemy
from pyramid.config import Configurator
from pyramid.request import Request
from pyramid_tm import is_tm_active
from sqlalchemy import Engine, create_engine as create_sqlalchemy_engine, event, make_url
from sqlalchemy.exc import DBAPIError, TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session, sessionmaker

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


def includeme(config: Configurator) -> None:
    """Give every request a transaction, and a session that belongs to it."""
    settings = config.get_settings()
    settings["tm.manager_hook"] = "pyramid_tm.explicit_manager"
    settings["tm.activate_hook"] = "app.database.needs_transaction"
    # Contract: pyramid_tm would authenticate before it is known whether there is such a route.
    settings["tm.annotate_user"] = False
    config.include("pyramid_tm")
    engine = create_engine(settings["service"].database_url)
    config.registry["engine"] = engine
    config.registry["sessions"] = sessionmaker(engine)
    config.add_request_method(open_session, "dbsession", reify=True)


def needs_transaction(request: Request) -> bool:
    """Tell whether the request is to run in a transaction: a websocket lasts too long."""
    return not request.environ["PATH_INFO"].startswith("/ws/")


def open_session(request: Request) -> Session:
    """Return the request's session, which its transaction commits or rolls back."""
    session: Session = request.registry["sessions"]()
    if is_tm_active(request):
        zope.sqlalchemy.register(session, transaction_manager=request.tm)
    # A hook that fails before a commit leaves the transaction open, with SQLite's write lock.
    request.add_finished_callback(lambda _: session.close())
    return session


def end_reading(request: Request) -> None:
    """End the request's transaction, and begin one that has not touched the database yet."""
    request.tm.abort()
    request.tm.begin()


def begin_writing(request: Request) -> Session:
    """End the request's reading transaction and begin a writing one.

    What was read before may be stale: read it again, with `with_for_update=`.
    """
    end_reading(request)
    session: Session = request.dbsession
    session.connection(execution_options=_WRITING[session.get_bind().dialect.name])
    return session


def create_engine(database_url: str) -> Engine:
    """Return an engine that connects when first used."""
    url = make_url(database_url)
    backend = url.get_backend_name()
    engine = create_sqlalchemy_engine(
        url,
        connect_args=_CONNECT_ARGS[backend],
        pool_timeout=5,
        hide_parameters=True,  # an error in the log would show e-mail addresses and hashes
        **_ENGINE_OPTIONS[backend],
    )
    if backend == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
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
