"""Items on the wire."""

from rest_framework import serializers

from app.fields import (
    MAX_ID,
    PageQuery,
    QueryIntegerField,
    StrictCharField,
    StrictChoiceField,
    StrictIntegerField,
    StrictSerializer,
    UniqueListField,
)
from items.models import MAX_PRICE, MAX_TAGS, TAG, Item
from users.validators import NAME


class ItemSerializer(StrictSerializer, serializers.ModelSerializer):
    """An item; what is left out has its default, which a PUT returns to."""

    name = StrictCharField(min_length=1, max_length=200, pattern=NAME)
    description = StrictCharField(max_length=2000, allow_null=True, default=None)
    price_cents = StrictIntegerField(min_value=0, max_value=MAX_PRICE)
    status = StrictChoiceField(Item.Status.values, default=str(Item.Status.DRAFT))
    tags = UniqueListField(child=StrictCharField(pattern=TAG), max_items=MAX_TAGS, default=list)

    class Meta:
        model = Item
        fields = (
            *("id", "owner_id", "name", "description", "price_cents", "status", "tags"),
            *("created_at", "updated_at"),
        )


class ItemQuery(PageQuery):
    """The window of a list of items, and its filters."""

    owner_id = QueryIntegerField(min_value=1, max_value=MAX_ID, required=False)
    status = StrictChoiceField(Item.Status.values, required=False)
    tag = StrictCharField(pattern=TAG, required=False)
