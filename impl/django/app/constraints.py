"""Constraints that Django does not have."""

from typing import Any

from django.db import models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


class CascadeConstraint(models.BaseConstraint):
    """A foreign key with ON DELETE CASCADE, for a ForeignKey with `db_constraint=False`."""

    # Contract: Django would leave cascades to Python, where no other implementation sees them.
    # (Django 6.1 has models.DB_CASCADE.)

    def __init__(self, *, field: str, name: str, **options: Any) -> None:
        super().__init__(name=name, **options)
        self.field = field

    def constraint_sql(
        self, model: type[models.Model], schema_editor: BaseDatabaseSchemaEditor
    ) -> str:
        """Return the constraint as CREATE TABLE has it."""
        quote, field = schema_editor.quote_name, model._meta.get_field(self.field)
        to = field.target_field
        return (
            f"CONSTRAINT {quote(self.name)} FOREIGN KEY ({quote(field.column)}) "
            f"REFERENCES {quote(to.model._meta.db_table)} ({quote(to.column)}) ON DELETE CASCADE"
        )

    def create_sql(self, model: type[models.Model], schema_editor: BaseDatabaseSchemaEditor) -> str:
        """Return the statement that adds the constraint; SQLite copies the table instead."""
        table = schema_editor.quote_name(model._meta.db_table)
        return f"ALTER TABLE {table} ADD {self.constraint_sql(model, schema_editor)}"

    def remove_sql(self, model: type[models.Model], schema_editor: BaseDatabaseSchemaEditor) -> str:
        """Return the statement that takes the constraint away; SQLite copies the table instead."""
        quote = schema_editor.quote_name
        return f"ALTER TABLE {quote(model._meta.db_table)} DROP CONSTRAINT {quote(self.name)}"

    def validate(self, *args: Any, **kwargs: Any) -> None:
        """Leave the validation of the value to the ForeignKey."""

    def deconstruct(self) -> tuple[str, tuple[()], dict[str, Any]]:
        """Return how migrations write the constraint."""
        path, args, kwargs = super().deconstruct()
        return path, args, {**kwargs, "field": self.field}

    def __eq__(self, other: object) -> bool:
        if isinstance(other, CascadeConstraint):
            return bool(self.deconstruct() == other.deconstruct())
        return NotImplemented

    __hash__ = models.BaseConstraint.__hash__
