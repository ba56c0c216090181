"""Users and log-ins on the wire."""

from typing import Any

from django.contrib.auth.hashers import make_password
from rest_framework import serializers

from app.fields import StrictCharField, StrictSerializer
from users.models import User
from users.validators import EMAIL, MAX_PASSWORD, MIN_PASSWORD, NAME


class PasswordField(StrictCharField):
    """A password, which never comes back."""

    def __init__(self, **options: Any) -> None:
        options |= {"min_length": MIN_PASSWORD, "max_length": MAX_PASSWORD}
        super().__init__(write_only=True, **options)


class UserSerializer(StrictSerializer, serializers.ModelSerializer):
    """A user; the password may be left out where there is one."""

    email = StrictCharField(max_length=254, pattern=EMAIL)
    name = StrictCharField(min_length=1, max_length=100, pattern=NAME)
    password = PasswordField()

    class Meta:
        model = User
        fields = ("id", "email", "name", "password", "created_at", "updated_at")

    def get_fields(self) -> dict[str, serializers.Field]:
        """Return the fields; in a PUT the password is optional."""
        fields: dict[str, serializers.Field] = super().get_fields()
        fields["password"].required = self.instance is None
        return fields

    def validate_email(self, email: str) -> str:
        """Return the address in lower case."""
        return email.lower()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Hash the password, before there is a transaction."""
        if "password" in attrs:
            attrs["password"] = make_password(attrs["password"])
        return attrs


class TokenSerializer(StrictSerializer):
    """A log-in."""

    email = StrictCharField(max_length=254, pattern=EMAIL)
    password = PasswordField()
