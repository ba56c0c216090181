"""Probes for an orchestrator or load balancer."""

import asyncio

from sanic import Blueprint, HTTPResponse, json
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from app.context import Request
from app.errors import unavailable

bp = Blueprint("health")

PROBE_SECONDS = 2.5


@bp.get("/healthz")
async def liveness(_: Request) -> HTTPResponse:
    """Tell that the process serves requests."""
    return json({"status": "ok"})


@bp.get("/readyz")
async def readiness(request: Request) -> HTTPResponse:
    """Tell whether the database answers."""
    probe = asyncio.create_task(_probe(request.app.ctx.sessions))
    # Not asyncio.timeout: a driver that is cancelled may itself wait for a dead database.
    done, _ = await asyncio.wait({probe}, timeout=PROBE_SECONDS)
    if not done:
        probe.add_done_callback(_forget)
        probe.cancel()
        raise unavailable()
    await probe
    return json({"status": "ready"})


async def _probe(sessions: async_sessionmaker[AsyncSession]) -> None:
    async with sessions() as session:
        await session.execute(select(1))


def _forget(probe: asyncio.Task[None]) -> None:
    if not probe.cancelled():
        probe.exception()
