"""What users and items have in common: each write is a version, and an event."""

from typing import Any

from django.db import models
from django.utils import timezone

from app.database import UtcDateTimeField
from events.outbox import writing


class Resource(models.Model):
    """A row whose saving and deleting, wherever it comes from, moves its version and is told."""

    serializer = ""  # dotted path of the one that shows the resource

    version = models.BigIntegerField(default=0, editable=False)
    created_at = UtcDateTimeField(editable=False)
    updated_at = UtcDateTimeField(editable=False)

    class Meta:
        abstract = True

    def save(self, **options: Any) -> None:
        """Write the row in a new version, and its event in the same transaction."""
        now, is_new = timezone.now(), self._state.adding
        self.version += 1
        self.created_at = now if is_new else self.created_at
        self.updated_at = now if is_new else max(now, self.updated_at)
        if (names := options.get("update_fields")) is not None:
            options["update_fields"] = {*names, "version", "updated_at"}
        with writing() as outbox:
            super().save(**options)
            self.save_related()
            outbox.tell("created" if is_new else "updated", self)

    def save_related(self) -> None:
        """Write what belongs to the resource besides its row."""

    def delete(self, **options: Any) -> tuple[int, dict[str, int]]:
        """Delete the row, with an event in the same transaction."""
        with writing() as outbox:
            outbox.tell("deleted", self)
            return super().delete(**options)
