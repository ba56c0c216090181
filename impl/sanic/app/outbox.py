"""The transactional outbox: a change and the event that tells of it, committed together."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import insert, update

from app.context import Request
from app.models import Event, EventCounter, utc_now


class Change(NamedTuple):
    """What happened to one resource: `data` is how its write answers, None when it is gone."""

    event: str
    resource_id: int
    data: dict[str, Any] | None = None


async def commit(request: Request, *changes: Change) -> None:
    """Commit the session's transaction with an event for each change, and wake the feed.

    The counter is the last lock taken, and in one statement: so ids become visible in order
    and no two transactions wait for each other.
    """
    session = request.ctx.session
    await session.flush()
    last_id = (
        await session.scalars(
            update(EventCounter)
            .values(last_id=EventCounter.last_id + len(changes))
            .returning(EventCounter.last_id)
        )
    ).one()
    await session.execute(insert(Event), _rows(changes, last_id - len(changes) + 1))
    await session.commit()
    request.app.ctx.feed.notify()


def _rows(changes: Iterable[Change], first_id: int) -> list[dict[str, Any]]:
    now = utc_now()
    return [
        {**change._asdict(), "id": event_id, "occurred_at": now}
        for event_id, change in enumerate(changes, first_id)
    ]
