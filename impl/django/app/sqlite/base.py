"""The backend that `ENGINE` names: migrations keep the highest id that was ever given."""

from types import TracebackType
from typing import Self

from django.db.backends.sqlite3 import base, schema
from django.db.models import Model

_SEQUENCES = "SELECT name, seq FROM sqlite_sequence"
_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table'"


class DatabaseSchemaEditor(schema.DatabaseSchemaEditor):
    """Django's schema editor, which changes most things of a table by copying it."""

    # Contract: Django's copy would know no higher id than that of the last row which is left.

    def __enter__(self) -> Self:
        """Note the highest ids before the changes."""
        super().__enter__()
        self._last_ids = self._read_sequences()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Raise the sequences of copied tables to where they were."""
        if exc_type is None:
            self._restore_sequences()
        super().__exit__(exc_type, exc_value, traceback)

    def alter_db_table(self, model: type[Model], old_db_table: str, new_db_table: str) -> None:
        """Rename a table."""
        super().alter_db_table(model, old_db_table, new_db_table)
        if old_db_table in self._last_ids:
            self._last_ids[new_db_table] = self._last_ids.pop(old_db_table)

    def _read_sequences(self) -> dict[str, int]:
        with self.connection.cursor() as cursor:
            tables = {name for (name,) in cursor.execute(_TABLES)}
            if "sqlite_sequence" not in tables:
                return {}
            return {name: seq for name, seq in cursor.execute(_SEQUENCES) if name in tables}

    def _restore_sequences(self) -> None:
        after = self._read_sequences()
        tables = self.connection.introspection.table_names()
        with self.connection.cursor() as cursor:
            for table, last_id in self._last_ids.items():
                if table in tables and after.get(table, 0) < last_id:
                    cursor.execute("DELETE FROM sqlite_sequence WHERE name = %s", [table])
                    insert = "INSERT INTO sqlite_sequence (name, seq) VALUES (%s, %s)"
                    cursor.execute(insert, [table, last_id])


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's SQLite database."""

    SchemaEditorClass = DatabaseSchemaEditor
