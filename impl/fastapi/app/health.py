"""Probes for an orchestrator or load balancer."""

import asyncio
from typing import Literal

from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from app.dependencies import SessionsDep
from app.errors import unavailable
from app.routing import Router

router = Router(tags=["health"])

PROBE_SECONDS = 2.5


class Health(BaseModel):
    """How the service is."""

    status: Literal["ok", "ready"]


@router.get("/healthz", response_model=Health)
async def liveness() -> Health:
    """Tell that the process serves requests."""
    return Health(status="ok")


@router.get("/readyz", response_model=Health)
async def readiness(sessions: SessionsDep) -> Health:
    """Tell whether the database answers."""
    probe = asyncio.create_task(_probe(sessions))
    # Not asyncio.timeout: a driver that is cancelled may itself wait for a dead database.
    done, _ = await asyncio.wait({probe}, timeout=PROBE_SECONDS)
    if not done:
        probe.add_done_callback(_forget)
        probe.cancel()
        raise unavailable()
    await probe
    return Health(status="ready")


async def _probe(sessions: async_sessionmaker[AsyncSession]) -> None:
    async with sessions() as session:
        await session.execute(select(1))


def _forget(probe: asyncio.Task[None]) -> None:
    if not probe.cancelled():
        probe.exception()
