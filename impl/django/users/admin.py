"""The admin of users."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import BaseUserCreationForm
from django.http import HttpRequest, HttpResponse

from app.admin import ResourceAdmin
from events.outbox import writing
from users.models import User


class UserCreationForm(BaseUserCreationForm):
    """A new user."""

    class Meta:
        model = User
        fields = ("email", "name")


@admin.register(User)
class UserAdmin(ResourceAdmin, DjangoUserAdmin):
    """Users, their passwords, and what they may do in the admin."""

    add_form = UserCreationForm
    add_fieldsets = ((None, {"fields": ("email", "name", "password1", "password2")}),)
    fieldsets = (
        (None, {"fields": ("email", "name", "password")}),
        ("Permissions", {"fields": ("is_staff", "is_superuser", "groups", "user_permissions")}),
    )
    list_display = ("id", "email", "name", "created_at", "is_staff")
    list_filter = ("is_staff", "is_superuser", "groups")
    search_fields = ("email", "name")
    ordering = ("id",)

    def user_change_password(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Set a user's password."""
        if request.method != "POST":
            return super().user_change_password(request, *args, **kwargs)
        with writing():
            return super().user_change_password(request, *args, **kwargs)
