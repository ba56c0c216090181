"""Consistent reads, and the form in which moments are stored."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from django.db import connection, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper


@contextmanager
def snapshot() -> Iterator[None]:
    """Let the block read the database as it is at one moment.

    Otherwise an item of one version could be shown with the tags of the next.
    """
    if connection.in_atomic_block:
        yield
        return
    with _deferred_on_sqlite(), transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


@contextmanager
def _deferred_on_sqlite() -> Iterator[None]:
    """Let the block's transaction begin without the write lock that `transaction_mode` takes."""
    if connection.vendor != "sqlite":
        yield
        return
    connection.ensure_connection()  # which reads the setting
    mode, connection.transaction_mode = connection.transaction_mode, "DEFERRED"
    try:
        yield
    finally:
        connection.transaction_mode = mode


class UtcDateTimeField(models.DateTimeField):
    """A moment, stored on SQLite as SQLAlchemy writes it: always with six digits."""

    def get_db_prep_value(
        self, value: datetime | None, connection: BaseDatabaseWrapper, prepared: bool = False
    ) -> Any:
        """Return the moment as the database takes it."""
        if value is None or connection.vendor != "sqlite":
            return super().get_db_prep_value(value, connection, prepared)
        # Contract: Django would leave out a fraction that is zero.
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
