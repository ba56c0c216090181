"""The transactional outbox: changes and the events that tell of them, committed together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pydantic import BaseModel
from sqlalchemy import insert, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.database import begin_writing
from app.models import Event, EventCounter, utc_now
from app.services import Services


class Writing:
    """A transaction under way: its session, and the events that are to tell of it."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session
        self._events: list[dict[str, Any]] = []

    def record(self, event: str, resource_id: int, resource: BaseModel | None = None) -> None:
        """Have the feed tell of a change, with the resource as it is answered."""
        data = None if resource is None else resource.model_dump(mode="json")
        self._events.append({"event": event, "resource_id": resource_id, "data": data})

    async def commit(self) -> None:
        """Commit the changes with their events."""
        await self.session.flush()
        # The counter's row is the last lock taken, so ids are committed in their order.
        count = len(self._events)
        reserve = update(EventCounter).values(last_id=EventCounter.last_id + count)
        last_id = (await self.session.scalars(reserve.returning(EventCounter.last_id))).one()
        now = utc_now()
        for event_id, event in enumerate(self._events, last_id - count + 1):
            event.update(id=event_id, occurred_at=now)
        await self.session.execute(insert(Event), self._events)
        await self.session.commit()


@asynccontextmanager
async def begin(services: Services) -> AsyncIterator[Writing]:
    """Begin a transaction; at its end commit it and wake the feed, or roll everything back.

    What was read before it is to be read again, under a lock. SQLite lets one writer in at a time.
    """
    async with services.sessions() as session:
        await begin_writing(session)
        writing = Writing(session)
        yield writing
        await writing.commit()
    services.feed.notify()
