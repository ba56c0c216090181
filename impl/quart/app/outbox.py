"""The transactional outbox: a change and the event that tells of it, committed together."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from quart import current_app
from sqlalchemy import insert, update

from app.models import Event, EventCounter, utc_now
from app.sessions import db


class Change(NamedTuple):
    """What happened to one resource: `data` is how its write answers, None when it is gone."""

    event: str
    resource_id: int
    data: dict[str, Any] | None = None


async def commit(changes: Iterable[Change]) -> None:
    """Commit the session's transaction with an event for each change, and wake the feed.

    The counter is the last lock taken, and in one statement: so ids become visible in order
    and no two transactions wait for each other.
    """
    await db.session.flush()
    rows = [{**change._asdict(), "occurred_at": utc_now()} for change in changes]
    reserved = await db.session.execute(
        update(EventCounter)
        .values(last_id=EventCounter.last_id + len(rows))
        .returning(EventCounter.last_id)
        .execution_options(synchronize_session=False)
    )
    last_id = reserved.scalar_one()
    for event_id, row in enumerate(rows, start=last_id - len(rows) + 1):
        row["id"] = event_id
    await db.session.execute(insert(Event), rows)
    await db.session.commit()
    current_app.extensions["feed"].notify()
