"""Create users, as every implementation has them."""

from django.db import migrations, models

from app.database import UtcDateTimeField
from app.operations import CreateSharedModel
from users.models import PasswordHashField
from users.validators import validate_email, validate_name

USERS = """
CREATE TABLE users (
    id {serial},
    email VARCHAR(254) NOT NULL,
    name VARCHAR(100) NOT NULL,
    password_hash VARCHAR(255) NOT NULL,
    version BIGINT NOT NULL,
    created_at {moment} NOT NULL,
    updated_at {moment} NOT NULL,
    UNIQUE (email)
)
"""


class Migration(migrations.Migration):
    """The shared table; --fake-initial passes it over where it is."""

    initial = True
    operations = (
        CreateSharedModel(
            "User",
            sql=[USERS],
            fields=[
                (
                    "id",
                    models.BigAutoField("ID", primary_key=True, auto_created=True, serialize=False),
                ),
                ("version", models.BigIntegerField(default=0, editable=False)),
                ("created_at", UtcDateTimeField(editable=False)),
                ("updated_at", UtcDateTimeField(editable=False)),
                (
                    "email",
                    models.CharField(max_length=254, unique=True, validators=[validate_email]),
                ),
                ("name", models.CharField(max_length=100, validators=[validate_name])),
                ("password", PasswordHashField(max_length=255, db_column="password_hash")),
            ],
            options={"db_table": "users"},
        ),
    )
