"""Liveness and readiness, for those who restart and those who route."""

import asyncio

from quart import Blueprint
from quart.typing import ResponseReturnValue
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.errors import unavailable
from app.sessions import db

READY_WITHIN_SECONDS = 2.5

bp = Blueprint("health", __name__)


@bp.get("/healthz")
async def liveness() -> ResponseReturnValue:
    """Say that the process serves requests."""
    return {"status": "ok"}


@bp.get("/readyz")
async def readiness() -> ResponseReturnValue:
    """Say whether the database answers."""
    probe = asyncio.create_task(_select_one(db.engine))
    probe.add_done_callback(_forget)
    # Not asyncio.timeout: a driver that is cancelled may itself wait for a dead database.
    done, _ = await asyncio.wait({probe}, timeout=READY_WITHIN_SECONDS)
    if not done:
        probe.cancel()
        raise unavailable()
    await probe
    return {"status": "ready"}


async def _select_one(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))


def _forget(probe: asyncio.Task[None]) -> None:
    if not probe.cancelled():
        probe.exception()
