"""The admin of items."""

import re
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AdminTextareaWidget
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from app.admin import ResourceAdmin
from items.models import MAX_TAGS, TAG, Item


class TextField(forms.CharField):
    """A text whose lines end as they do on the wire, not as a browser submits them."""

    def to_python(self, value: str | None) -> str | None:
        """Return the text."""
        text: str | None = super().to_python(value)
        return text and re.sub(r"\r\n?", "\n", text)

    def has_changed(self, initial: str | None, data: str | None) -> bool:
        """Say whether the text is another, whatever ends its lines."""
        return bool(super().has_changed(self.to_python(initial), data))


class ItemForm(forms.ModelForm):
    """An item, with its tags in one field."""

    tags = forms.CharField(required=False, help_text="Separated by spaces.")

    class Meta:
        model = Item
        fields = ("owner", "name", "description", "price_cents", "status")
        field_classes: ClassVar = {"description": TextField}
        widgets: ClassVar = {"description": AdminTextareaWidget}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["tags"].initial = " ".join(self.instance.tags)

    def clean_description(self) -> str | None:
        """Return the description; one that was left as it was stays so, empty or null."""
        changed = "description" in self.changed_data
        return self.cleaned_data["description"] if changed else self.instance.description

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
