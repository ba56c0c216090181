"""The admin of items."""

import re
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from app.admin import ResourceAdmin
from items.models import MAX_TAGS, TAG, Item


class ItemForm(forms.ModelForm):
    """An item, with its tags in one field."""

    name = forms.CharField(max_length=200, strip=False)
    tags = forms.CharField(required=False, help_text="Separated by spaces.")

    class Meta:
        model = Item
        fields = ("owner", "name", "description", "price_cents", "status")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["tags"].initial = " ".join(self.instance.tags)

    def clean_tags(self) -> list[str]:
        """Return the tags."""
        tags = sorted(set(self.cleaned_data["tags"].split()))
        if len(tags) > MAX_TAGS or not all(re.fullmatch(TAG, tag) for tag in tags):
            raise ValidationError("At most ten tags of small letters, digits and hyphens.")
        return tags

    def save(self, commit: bool = True) -> Item:
        """Return the item with what the form says."""
        self.instance.tags = self.cleaned_data["tags"]
        item: Item = super().save(commit)
        return item


@admin.register(Item)
class ItemAdmin(ResourceAdmin):
    """Items; an item keeps its owner."""

    form = ItemForm
    list_display = ("id", "name", "owner", "status", "price_cents")
    list_filter = ("status",)
    list_select_related = ("owner",)
    search_fields = ("name",)
    raw_id_fields = ("owner",)
    ordering = ("id",)

    def get_readonly_fields(self, request: HttpRequest, obj: Item | None = None) -> tuple[str, ...]:
        """Return what cannot be changed."""
        return () if obj is None else ("owner",)
