"""What users and items have in common: each write is a version, and an event."""

from typing import Any

from django.db import DatabaseError, models
from django.utils import timezone

from app.database import UtcDateTimeField
from events.outbox import Outbox, writing


class StaleError(DatabaseError):
    """Another transaction has changed or deleted the row since it was read."""


class Resource(models.Model):
    """A row whose saving and deleting, wherever it comes from, moves its version and is told.

    `QuerySet.update()` and its like go past this: they are not for users and items.
    """

    serializer = ""  # dotted path of the one that shows the resource

    version = models.BigIntegerField(default=0, editable=False)
    created_at = UtcDateTimeField(editable=False)
    updated_at = UtcDateTimeField(editable=False)

    class Meta:
        abstract = True

    def save(self, **options: Any) -> None:
        """Write the row in a new version, and its event in the same transaction."""
        if (names := options.get("update_fields")) is not None:
            options["update_fields"] = {*names, "version", "updated_at"}
        is_new, now = self._state.adding, timezone.now()
        with writing() as outbox:
            if is_new:
                self.version, self.created_at, self.updated_at = 1, now, now
            else:
                self.claim()
                self.updated_at = max(now, self.updated_at)
            super().save(**options)
            self.save_related()
            outbox.tell("created" if is_new else "updated", self)

    def delete(self, **options: Any) -> tuple[int, dict[str, int]]:
        """Delete the row, with an event in the same transaction."""
        with writing() as outbox:
            self.claim()
            self.delete_related(outbox)
            outbox.tell("deleted", self)
            return super().delete(**options)

    def claim(self) -> None:
        """Move the version on, and so lock the row; raise StaleError if it is another's by now."""
        seen = type(self).objects.filter(pk=self.pk, version=self.version)
        self.version += 1
        if not seen.update(version=self.version):
            raise StaleError(f"{self._meta.model_name} {self.pk} has changed since it was read")

    def save_related(self) -> None:
        """Write what belongs to the resource besides its row."""

    def delete_related(self, outbox: Outbox) -> None:
        """Delete what goes with the resource, before its row."""
