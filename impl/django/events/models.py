"""The events of the change feed, and the counter of their ids."""

from django.db import models

from app.database import UtcDateTimeField


class Event(models.Model):
    """A committed change, as the feed tells it."""

    id = models.BigIntegerField(primary_key=True)
    event = models.CharField(max_length=20)
    resource_id = models.BigIntegerField()
    data = models.JSONField(null=True)
    occurred_at = UtcDateTimeField()

    class Meta:
        db_table = "events"

    def __str__(self) -> str:
        return f"{self.id} {self.event} {self.resource_id}"


class EventCounter(models.Model):
    """The one row that hands out event ids, and keeps its lock until they are committed."""

    id = models.SmallIntegerField(primary_key=True)
    last_id = models.BigIntegerField()

    class Meta:
        db_table = "event_counter"

    def __str__(self) -> str:
        return str(self.last_id)
