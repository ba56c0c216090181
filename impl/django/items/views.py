"""Items: open to every signed-in user, written by their owners."""

from typing import Any

from django.db.models import QuerySet
from rest_framework.exceptions import NotFound
from rest_framework.serializers import Serializer

from app.permissions import IsOwner
from app.views import ResourceViewSet, lock_user
from events.outbox import writing
from items.models import Item
from items.serializers import ItemQuery, ItemSerializer


class ItemViewSet(ResourceViewSet):
    """/items and /items/{id}."""

    queryset = Item.objects.prefetch_related("tag_rows")
    serializer_class = ItemSerializer
    permission_classes = (IsOwner,)
    query_class = ItemQuery

    def filter_queryset(self, queryset: QuerySet[Item]) -> QuerySet[Item]:
        """Return the items that pass the filters of a list's query."""
        if self.detail:
            return queryset
        names = {"owner_id": "owner", "status": "status", "tag": "tag_rows__tag"}
        filters: dict[str, Any] = {
            names[name]: value for name, value in self.query.items() if name in names
        }
        return queryset.filter(**filters)

    def perform_create(self, serializer: Serializer) -> None:
        """Write the new item, as the caller's."""
        with writing():
            serializer.save(owner=lock_user(self.request.user))

    def lock_resource(self) -> Item:
        """Select caller and item again."""
        lock_user(self.request.user)
        item = Item.objects.select_for_update().filter(pk=self.resource.pk).first()
        if item is None:
            raise NotFound
        return item
