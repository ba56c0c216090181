"""Faults of the group Storage."""

from __future__ import annotations

from rosetta.controls.fault import fault

INITIAL, MODELS = "migrations/versions/0001_initial.py", "app/models.py"
VERSION = "    version: Mapped[int] = mapped_column(BigInteger, default=1)\n"
HASH = "    password_hash: Mapped[str] = mapped_column(String(255))\n"
STATUS = "    status: Mapped[str] = mapped_column(String(8))\n"

FAULTS = (
    fault(
        "data-is-a-string",
        "storage",
        "The data of an event is stored as a string that holds JSON.",
        (
            "app/outbox.py",
            '"occurred_at": utc_now()}',
            '"data": change.data and __import__("json").dumps(change.data), "occurred_at": utc_now()}',
        ),
        (
            "app/feed.py",
            "row.resource_id, row.data, row.occurred_at",
            'row.resource_id, row.data and __import__("json").loads(row.data), row.occurred_at',
        ),
    ),
    fault(
        "column-without-default",
        "storage",
        "Table users has a column more, which only this implementation fills.",
        (
            MODELS,
            HASH,
            HASH + '    locale: Mapped[str] = mapped_column(String(5), default="en")\n',
        ),
        (
            INITIAL,
            '        sa.Column("password_hash", sa.String(255), nullable=False),\n',
            '        sa.Column("password_hash", sa.String(255), nullable=False),\n'
            '        sa.Column("locale", sa.String(5), nullable=False),\n',
        ),
    ),
    fault(
        "versions-from-zero",
        "storage",
        "Versions are stored from 0 on, and shown one higher.",
        (MODELS, HASH + VERSION, HASH + VERSION.replace("1)", "0)")),
        (MODELS, STATUS + VERSION, STATUS + VERSION.replace("1)", "0)")),
        ("app/preconditions.py", "-{version}\"'", "-{version + 1}\"'"),
    ),
    fault(
        "times-an-hour-ahead",
        "storage",
        "Times are stored an hour ahead, and taken back when read.",
        (
            MODELS,
            "return None if value is None else value.astimezone(UTC)",
            "return None if value is None else value.astimezone(UTC) + _HOUR",
        ),
        (
            MODELS,
            "return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)",
            "return (value.replace(tzinfo=UTC) if value.tzinfo is None else value) - _HOUR",
        ),
        (
            MODELS,
            "class UtcDateTime(",
            '_HOUR = __import__("datetime").timedelta(hours=1)\n\n\nclass UtcDateTime(',
        ),
    ),
    fault(
        "server-makes-tables",
        "migrations",
        "A starting server makes the tables that are missing.",
        (
            "app/__init__.py",
            "    return app\n",
            "    with app.app_context():\n        db.create_all()\n    return app\n",
        ),
    ),
    fault(
        "migrating-again-resets-the-counter",
        "migrations",
        "Migrating again sets the counter of events to 0.",
        (
            "migrations/env.py",
            "        with migration_transaction(connection):\n            context.run_migrations()\n",
            "        with migration_transaction(connection):\n            context.run_migrations()\n"
            '            connection.exec_driver_sql("UPDATE event_counter SET last_id = 0")\n',
        ),
    ),
    fault(
        "revision-of-its-own",
        "migrations",
        "The first revision has another id than everywhere else.",
        (INITIAL, 'revision = "0001"', 'revision = "0001_initial"'),
    ),
)
