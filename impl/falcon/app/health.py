"""Probes for an orchestrator or load balancer."""

import asyncio

from falcon.asgi import Request, Response
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from app.errors import Unavailable

PROBE_SECONDS = 2.5


class Health:
    """`/healthz` and `/readyz`."""

    def __init__(self, sessions: async_sessionmaker[AsyncSession]) -> None:
        self._sessions = sessions

    async def on_get_liveness(self, req: Request, resp: Response) -> None:
        """liveness: tell that the process serves requests."""
        resp.media = {"status": "ok"}

    async def on_get_readiness(self, req: Request, resp: Response) -> None:
        """readiness: tell whether the database answers."""
        probe = asyncio.create_task(self._probe())
        # Not asyncio.timeout: a driver that is cancelled may itself wait for a dead database.
        done, _ = await asyncio.wait({probe}, timeout=PROBE_SECONDS)
        if not done:
            probe.add_done_callback(_forget)
            probe.cancel()
            raise Unavailable
        await probe
        resp.media = {"status": "ready"}

    async def _probe(self) -> None:
        async with self._sessions() as session:
            await session.execute(select(1))


def _forget(probe: asyncio.Task[None]) -> None:
    if not probe.cancelled():
        probe.exception()
