"""The transactional outbox: changes and the events that tell of them, committed together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.module_loading import import_string

from events.models import Event, EventCounter

if TYPE_CHECKING:
    from app.models import Resource


class Outbox:
    """The changes of one transaction, at most one a resource."""

    def __init__(self) -> None:
        self._changes: dict[tuple[str, int], tuple[str, Resource]] = {}

    def tell(self, verb: str, resource: Resource) -> None:
        """Tell of what has been done to a resource: it was created, updated or deleted."""
        name, key = resource._meta.model_name, resource.pk
        was, _ = self._changes.pop((name, key), ("", resource))
        if (was, verb) == ("created", "deleted"):
            return  # nobody saw it
        self._changes[name, key] = ("created" if was == "created" else verb, resource)

    def write(self) -> None:
        """Write the events; the counter's row is the last lock that the transaction takes."""
        rows = [_event(verb, pk, resource) for (_, pk), (verb, resource) in self._changes.items()]
        if not rows:
            return
        EventCounter.objects.update(last_id=F("last_id") + len(rows))
        last_id = EventCounter.objects.get().last_id
        for row_id, row in enumerate(rows, last_id - len(rows) + 1):
            row.id = row_id
        Event.objects.bulk_create(rows)
        transaction.on_commit(apps.get_app_config("events").feed.notify)


_outbox: ContextVar[Outbox | None] = ContextVar("outbox", default=None)


@contextmanager
def writing() -> Iterator[Outbox]:
    """Write in one transaction, with the events of it at its end; an inner one joins the outer."""
    if (outer := _outbox.get()) is not None:
        yield outer
        return
    with transaction.atomic():
        outbox = Outbox()
        token = _outbox.set(outbox)
        try:
            yield outbox
        finally:
            _outbox.reset(token)
        outbox.write()


def _event(verb: str, pk: int, resource: Resource) -> Event:
    data: dict[str, Any] | None = None
    if verb != "deleted":
        data = dict(import_string(resource.serializer)(resource).data)
    event = f"{resource._meta.model_name}.{verb}"
    return Event(event=event, resource_id=pk, data=data, occurred_at=timezone.now())
