"""The transactional outbox: changes and the events that tell of them, committed together."""

from types import TracebackType
from typing import Annotated, Any

from fastapi import Depends
from pydantic import BaseModel
from sqlalchemy import insert, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.database import begin_writing
from app.dependencies import FeedDep, SessionDep
from app.feed import Feed
from app.models import Event, EventCounter, utc_now


class WritingTransaction:
    """A transaction that begins anew, commits at its end, and then wakes the feed.

    What was read before it is to be read again, under a lock.
    """

    def __init__(self, session: AsyncSession, feed: Feed) -> None:
        self._session = session
        self._feed = feed
        self._events: list[dict[str, Any]] = []

    async def __aenter__(self) -> AsyncSession:
        """Begin; SQLite lets one writer in at a time."""
        await begin_writing(self._session)
        return self._session

    async def __aexit__(
        self,
        _type: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Commit the changes with their events, or roll everything back."""
        if error is not None:
            await self._session.rollback()
            return
        await self._session.flush()
        await self._write_events()
        await self._session.commit()
        self._feed.notify()

    def record(self, event: str, resource_id: int, resource: BaseModel | None = None) -> None:
        """Have the feed tell of a change, with the resource as it is answered."""
        data = None if resource is None else resource.model_dump(mode="json")
        self._events.append({"event": event, "resource_id": resource_id, "data": data})

    async def _write_events(self) -> None:
        # The counter's row is the last lock taken, so ids are committed in their order.
        count = len(self._events)
        reserve = update(EventCounter).values(last_id=EventCounter.last_id + count)
        last_id = (await self._session.scalars(reserve.returning(EventCounter.last_id))).one()
        now = utc_now()
        for event_id, event in enumerate(self._events, last_id - count + 1):
            event.update(id=event_id, occurred_at=now)
        await self._session.execute(insert(Event), self._events)


async def get_writing(session: SessionDep, feed: FeedDep) -> WritingTransaction:
    """Return the transaction that a handler writes in; it begins when it is entered."""
    return WritingTransaction(session, feed)


Writing = Annotated[WritingTransaction, Depends(get_writing)]
