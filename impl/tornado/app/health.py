"""Probes for an orchestrator or load balancer."""

import asyncio
from typing import Literal

from pydantic import BaseModel
from sqlalchemy import select

from app.errors import unavailable
from app.messages import ApiHandler

PROBE_SECONDS = 2.5


class Health(BaseModel):
    """How the service is."""

    status: Literal["ok", "ready"]


class LivenessHandler(ApiHandler):
    """/healthz."""

    def get(self) -> None:
        """liveness: tell that the process serves requests."""
        self.write_resource(Health(status="ok"))


class ReadinessHandler(ApiHandler):
    """/readyz."""

    async def get(self) -> None:
        """readiness: tell whether the database answers."""
        probe = asyncio.create_task(self._probe())
        # Not asyncio.timeout: a driver that is cancelled may itself wait for a dead database.
        done, _ = await asyncio.wait({probe}, timeout=PROBE_SECONDS)
        if not done:
            probe.add_done_callback(_forget)
            probe.cancel()
            raise unavailable()
        await probe
        self.write_resource(Health(status="ready"))

    async def _probe(self) -> None:
        async with self.sessions() as session:
            await session.execute(select(1))


def _forget(probe: asyncio.Task[None]) -> None:
    if not probe.cancelled():
        probe.exception()
