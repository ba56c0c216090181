"""Reading transactions, and the form in which moments are stored."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from django.db import Error, connection, models
from django.db.backends.base.base import BaseDatabaseWrapper

# atomic() is for writers: on SQLite it would lock others out.
_BEGIN_READING = {
    "sqlite": "BEGIN",
    "postgresql": "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY",
}


@contextmanager
def one_moment() -> Iterator[None]:
    """Let the block see the database as it is at one moment, and write nothing.

    Else a caller might be there and their item already gone.
    """
    if connection.in_atomic_block:  # a test's
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute(_BEGIN_READING[connection.vendor])
        try:
            yield
        finally:
            with suppress(Error):  # a connection that is lost has nothing to end
                cursor.execute("ROLLBACK")


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
