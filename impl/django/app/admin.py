"""What the admin of users and items has in common: the feed hears of every edit."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import CharField, QuerySet
from django.http import HttpRequest, HttpResponse

from app.models import Resource
from events.outbox import writing


class ResourceAdmin(admin.ModelAdmin):
    """The admin of a resource: each edit is one transaction, with its events at the end."""

    # Contract: the admin's forms would strip white space.
    formfield_overrides: ClassVar = {CharField: {"strip": False}}

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Add or change a resource."""
        with _transaction(request):
            return super().changeform_view(request, *args, **kwargs)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Delete a resource."""
        with _transaction(request):
            return super().delete_view(request, *args, **kwargs)

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """List resources, or delete some."""
        with _transaction(request):
            return super().changelist_view(request, *args, **kwargs)

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Resource | None:
        """Return a resource; one that is about to be written is held until that is done."""
        found: Resource | None = super().get_object(request, object_id, from_field)
        if found is None or request.method != "POST":
            return found
        locked: QuerySet[Resource] = self.model.objects.select_for_update()
        return locked.filter(pk=found.pk).first()

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Resource]) -> None:
        """Delete some resources, with an event for each."""
        # Contract: the admin would delete them in one statement, of which no model hears.
        for resource in queryset.select_for_update(of=("self",)).order_by("pk"):
            resource.delete()


def _transaction(request: HttpRequest) -> AbstractContextManager[Any]:
    return writing() if request.method == "POST" else nullcontext()
