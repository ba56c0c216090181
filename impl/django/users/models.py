"""Users."""

from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import Group, Permission, PermissionsMixin
from django.db import models

from app.models import Resource
from events.outbox import Outbox
from users.validators import validate_email, validate_name


class PasswordHashField(models.CharField):
    """A password hash, stored in the standard `$argon2id$…` form."""

    # Contract: Django would put its own name of the algorithm before it.
    PREFIX = "argon2"

    def from_db_value(self, value: str, *_: Any) -> str:
        """Return the hash as Django's hashers read it."""
        return f"{self.PREFIX}{value}" if value.startswith("$") else value

    def get_prep_value(self, value: Any) -> Any:
        """Return the hash as every implementation reads it."""
        return super().get_prep_value(value).removeprefix(self.PREFIX)


class UserManager(BaseUserManager["User"]):
    """The users; `createsuperuser` makes one through here."""

    def get_by_natural_key(self, email: str | None) -> "User":
        """Return the user with this e-mail address, in any case."""
        return self.get(email=(email or "").lower())

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Create a user."""
        user = self.model(email=email.lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Create a user who may do everything in the admin."""
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class User(Resource, AbstractBaseUser, PermissionsMixin):
    """A person who signed up."""

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = ("name",)
    serializer = "users.serializers.UserSerializer"

    email = models.CharField(max_length=254, unique=True, validators=[validate_email])
    name = models.CharField(max_length=100, validators=[validate_name])
    password = PasswordHashField(max_length=255, db_column="password_hash")

    # Columns that the other implementations do not know: the database has defaults for them.
    is_staff = models.BooleanField(
        "staff status",
        default=False,
        db_default=False,
        help_text="Designates whether the user can log into this admin site.",
    )
    is_superuser = models.BooleanField(
        "superuser status",
        default=False,
        db_default=False,
        help_text="Designates that this user has all permissions.",
    )
    # Contract: AbstractBaseUser would write the time at each login, which no login may.
    last_login = None
    # No constraint may keep another implementation from deleting a user; ids are never reused.
    groups = models.ManyToManyField(Group, blank=True, db_constraint=False)
    user_permissions = models.ManyToManyField(Permission, blank=True, db_constraint=False)

    objects = UserManager()

    class Meta:
        db_table = "users"

    def clean(self) -> None:
        """Keep the e-mail address as every implementation does: in lower case."""
        self.email = self.email.lower()

    def delete_related(self, outbox: Outbox) -> None:
        """Delete the user's items."""
        items = self.items.select_for_update().order_by("pk")
        for item in items:
            outbox.tell("deleted", item)
        items.delete()
