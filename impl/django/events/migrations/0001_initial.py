"""Create the events and their counter, as every implementation has them."""

from django.db import migrations, models

from app.database import UtcDateTimeField
from app.operations import CreateSharedModel

EVENTS = """
CREATE TABLE events (
    id {key} NOT NULL,
    event VARCHAR(20) NOT NULL,
    resource_id BIGINT NOT NULL,
    data {json},
    occurred_at {moment} NOT NULL,
    PRIMARY KEY (id)
)
"""
EVENT_COUNTER = """
CREATE TABLE event_counter (
    id SMALLINT NOT NULL,
    last_id BIGINT NOT NULL,
    PRIMARY KEY (id)
)
"""


class Migration(migrations.Migration):
    """The shared tables, with the counter at zero; --fake-initial passes over them."""

    initial = True
    operations = (
        CreateSharedModel(
            "Event",
            sql=[EVENTS],
            fields=[
                ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("event", models.CharField(max_length=20)),
                ("resource_id", models.BigIntegerField()),
                ("data", models.JSONField(null=True)),
                ("occurred_at", UtcDateTimeField()),
            ],
            options={"db_table": "events"},
        ),
        CreateSharedModel(
            "EventCounter",
            sql=[EVENT_COUNTER, "INSERT INTO event_counter (id, last_id) VALUES (1, 0)"],
            fields=[
                ("id", models.SmallIntegerField(primary_key=True, serialize=False)),
                ("last_id", models.BigIntegerField()),
            ],
            options={"db_table": "event_counter"},
        ),
    )
