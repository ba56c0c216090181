"""The transactional outbox: a change and the event that tells of it, committed together."""

from collections.abc import Sequence
from typing import NamedTuple

from pydantic import BaseModel
from pyramid.request import Request
from sqlalchemy import insert, update
from sqlalchemy.orm import Session

from app.feed import Feed
from app.models import Event, EventCounter, utc_now


class Change(NamedTuple):
    """What happened to one resource: `data` is how its write answers, None when it is gone."""

    event: str
    resource_id: int
    data: BaseModel | None = None


def record(request: Request, *changes: Change) -> None:
    """Have the transaction write an event for each change as it commits, and then wake the feed."""
    transaction = request.tm.get()
    transaction.addBeforeCommitHook(_write_events, (request.dbsession, changes))
    transaction.addAfterCommitHook(_wake, (request.registry["feed"],))


def _write_events(session: Session, changes: Sequence[Change]) -> None:
    """Reserve ids and write the events.

    The counter is the last lock taken, and in one statement: so ids become visible in order
    and no two transactions wait for each other.
    """
    session.flush()
    last_id = session.execute(
        update(EventCounter)
        .values(last_id=EventCounter.last_id + len(changes))
        .returning(EventCounter.last_id)
        .execution_options(synchronize_session=False)
    ).scalar_one()
    now, first_id = utc_now(), last_id - len(changes) + 1
    rows = [
        {
            "id": event_id,
            "event": change.event,
            "resource_id": change.resource_id,
            "data": change.data and change.data.model_dump(mode="json"),
            "occurred_at": now,
        }
        for event_id, change in enumerate(changes, first_id)
    ]
    session.execute(insert(Event), rows)


def _wake(committed: bool, feed: Feed) -> None:
    if committed:
        feed.notify()
