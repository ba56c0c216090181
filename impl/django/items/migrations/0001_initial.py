"""Create items and their tags, as every implementation has them."""

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import migrations, models

from app.constraints import CascadeConstraint
from app.database import UtcDateTimeField
from app.operations import CreateSharedModel
from users.validators import validate_name

ITEMS = """
CREATE TABLE items (
    id {serial},
    owner_id BIGINT NOT NULL,
    name VARCHAR(200) NOT NULL,
    description VARCHAR(2000),
    price_cents INTEGER NOT NULL,
    status VARCHAR(8) NOT NULL,
    version BIGINT NOT NULL,
    created_at {moment} NOT NULL,
    updated_at {moment} NOT NULL,
    FOREIGN KEY(owner_id) REFERENCES users (id)
)
"""
ITEM_TAGS = """
CREATE TABLE item_tags (
    item_id BIGINT NOT NULL,
    tag VARCHAR(30) NOT NULL,
    PRIMARY KEY (item_id, tag),
    FOREIGN KEY(item_id) REFERENCES items (id) ON DELETE CASCADE
)
"""


class Migration(migrations.Migration):
    """The shared tables; --fake-initial passes them over where they are."""

    initial = True
    dependencies = (migrations.swappable_dependency(settings.AUTH_USER_MODEL),)
    operations = (
        CreateSharedModel(
            "Item",
            sql=[
                ITEMS,
                "CREATE INDEX ix_items_owner_id_id ON items (owner_id, id)",
                "CREATE INDEX ix_items_status_id ON items (status, id)",
            ],
            fields=[
                (
                    "id",
                    models.BigAutoField("ID", primary_key=True, auto_created=True, serialize=False),
                ),
                ("version", models.BigIntegerField(default=0, editable=False)),
                ("created_at", UtcDateTimeField(editable=False)),
                ("updated_at", UtcDateTimeField(editable=False)),
                ("name", models.CharField(max_length=200, validators=[validate_name])),
                ("description", models.CharField(max_length=2000, null=True, blank=True)),
                (
                    "price_cents",
                    models.IntegerField(
                        validators=[MinValueValidator(0), MaxValueValidator(100_000_000)]
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        max_length=8,
                        choices=[
                            ("draft", "Draft"),
                            ("active", "Active"),
                            ("archived", "Archived"),
                        ],
                        default="draft",
                    ),
                ),
                (
                    "owner",
                    models.ForeignKey(
                        settings.AUTH_USER_MODEL,
                        models.CASCADE,
                        related_name="items",
                        db_index=False,
                    ),
                ),
            ],
            options={
                "db_table": "items",
                "indexes": [
                    models.Index(fields=["owner", "id"], name="ix_items_owner_id_id"),
                    models.Index(fields=["status", "id"], name="ix_items_status_id"),
                ],
            },
        ),
        CreateSharedModel(
            "ItemTag",
            sql=[ITEM_TAGS, "CREATE INDEX ix_item_tags_tag_item_id ON item_tags (tag, item_id)"],
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "item_id", "tag", primary_key=True, blank=True, serialize=False
                    ),
                ),
                ("tag", models.CharField(max_length=30)),
                (
                    "item",
                    models.ForeignKey(
                        "items.item",
                        models.CASCADE,
                        related_name="tag_rows",
                        db_index=False,
                        db_constraint=False,
                    ),
                ),
            ],
            options={
                "db_table": "item_tags",
                "indexes": [models.Index(fields=["tag", "item"], name="ix_item_tags_tag_item_id")],
                "constraints": [CascadeConstraint(field="item", name="item_tags_item_id_fkey")],
            },
        ),
    )
