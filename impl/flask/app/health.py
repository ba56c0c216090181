"""Liveness and readiness, for those who restart and those who route."""

from concurrent.futures import ThreadPoolExecutor, TimeoutError as NoAnswer

from flask import Blueprint, Flask, current_app
from flask.typing import ResponseReturnValue
from sqlalchemy import Engine, text

from app.database import db
from app.errors import unavailable

READY_WITHIN_SECONDS = 2.5

bp = Blueprint("health", __name__)


def init_health(app: Flask) -> None:
    """Give readiness a thread of its own: a database that hangs keeps that one only."""
    app.extensions["readiness"] = ThreadPoolExecutor(1, thread_name_prefix="readiness")


@bp.get("/healthz")
def liveness() -> ResponseReturnValue:
    """Say that the process serves requests."""
    return {"status": "ok"}


@bp.get("/readyz")
def readiness() -> ResponseReturnValue:
    """Say whether the database answers."""
    probe = current_app.extensions["readiness"].submit(_select_one, db.engine)
    try:
        probe.result(READY_WITHIN_SECONDS)
    except NoAnswer:
        probe.cancel()
        raise unavailable() from None
    return {"status": "ready"}


def _select_one(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
