"""Items and their tags."""

from collections.abc import Iterable
from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from app.constraints import CascadeConstraint
from app.models import Resource
from users.models import User
from users.validators import validate_name

MAX_PRICE = 100_000_000
MAX_TAGS = 10
TAG = r"[a-z0-9][a-z0-9-]{0,29}"


class Item(Resource):
    """A thing that a user offers."""

    class Status(models.TextChoices):
        """What an item's owner makes of it."""

        DRAFT = "draft"
        ACTIVE = "active"
        ARCHIVED = "archived"

    serializer = "items.serializers.ItemSerializer"

    owner = models.ForeignKey(User, models.CASCADE, related_name="items", db_index=False)
    name = models.CharField(max_length=200, validators=[validate_name])
    description = models.CharField(max_length=2000, null=True, blank=True)  # noqa: DJ001 (contract)
    price_cents = models.IntegerField(
        validators=[MinValueValidator(0), MaxValueValidator(MAX_PRICE)]
    )
    status = models.CharField(max_length=8, choices=Status, default=Status.DRAFT)

    class Meta:
        db_table = "items"
        indexes = (
            models.Index(fields=("owner", "id"), name="ix_items_owner_id_id"),
            models.Index(fields=("status", "id"), name="ix_items_status_id"),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def tags(self) -> list[str]:
        """The tags in code-point order, which PostgreSQL's collations do not keep."""
        if not hasattr(self, "_tags"):
            self._tags = sorted(row.tag for row in self.tag_rows.all()) if self.pk else []
        return self._tags

    @tags.setter
    def tags(self, tags: Iterable[str]) -> None:
        self._tags = sorted(tags)

    def save_related(self) -> None:
        """Write the tags, if they have been looked at or set."""
        if not hasattr(self, "_tags"):
            return
        stored = set(self.tag_rows.values_list("tag", flat=True))
        self.tag_rows.filter(tag__in=stored.difference(self._tags)).delete()
        new = sorted(set(self._tags) - stored)
        ItemTag.objects.bulk_create(ItemTag(item=self, tag=tag) for tag in new)

    def refresh_from_db(self, *args: Any, **kwargs: Any) -> None:
        """Read the row again; the tags when they are looked at."""
        super().refresh_from_db(*args, **kwargs)
        self.__dict__.pop("_tags", None)


class ItemTag(models.Model):
    """One tag of one item; the database deletes it with the item, whoever deletes that."""

    pk = models.CompositePrimaryKey("item_id", "tag")
    item = models.ForeignKey(
        Item, models.CASCADE, related_name="tag_rows", db_index=False, db_constraint=False
    )
    tag = models.CharField(max_length=30)

    class Meta:
        db_table = "item_tags"
        indexes = (models.Index(fields=("tag", "item"), name="ix_item_tags_tag_item_id"),)
        constraints = (CascadeConstraint(field="item", name="item_tags_item_id_fkey"),)

    def __str__(self) -> str:
        return self.tag
