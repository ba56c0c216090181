"""Liveness and readiness, for those who restart and those who route."""

from concurrent.futures import ThreadPoolExecutor, TimeoutError as NoAnswer

from pyramid.config import Configurator
from pyramid.request import Request
from pyramid.view import view_config
from sqlalchemy import Engine, text

from app.errors import unavailable

READY_WITHIN_SECONDS = 2.5


def includeme(config: Configurator) -> None:
    """Give readiness a thread of its own: a database that hangs keeps that one only."""
    config.registry["readiness"] = ThreadPoolExecutor(1, thread_name_prefix="readiness")


@view_config(route_name="liveness", request_method="GET", renderer="json")
def liveness(_request: Request) -> dict[str, str]:
    """Say that the process serves requests."""
    return {"status": "ok"}


@view_config(route_name="readiness", request_method="GET", renderer="json")
def readiness(request: Request) -> dict[str, str]:
    """Say whether the database answers."""
    probe = request.registry["readiness"].submit(_select_one, request.registry["engine"])
    try:
        probe.result(READY_WITHIN_SECONDS)
    except NoAnswer:
        probe.cancel()
        raise unavailable() from None
    return {"status": "ready"}


def _select_one(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
