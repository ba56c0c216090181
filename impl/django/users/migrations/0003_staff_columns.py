"""Move what the admin knows of users to columns of `users`, with defaults for the others."""

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps


def copy_staff(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Give those who have a row of `staff` their columns."""
    users = apps.get_model("users", "User").objects
    staff = apps.get_model("users", "Staff").objects.all()
    for each in staff:
        users.filter(pk=each.pk).update(is_staff=True, is_superuser=each.is_superuser)


def copy_back(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Give staff their rows."""
    staff = apps.get_model("users", "Staff").objects
    for user in apps.get_model("users", "User").objects.filter(is_staff=True):
        staff.create(user=user, is_superuser=user.is_superuser)


class Migration(migrations.Migration):
    """The database has defaults, so that other implementations may go on writing users."""

    dependencies = (("users", "0002_admin"),)
    operations = (
        migrations.AddField(
            "user",
            "is_staff",
            models.BooleanField(
                "staff status",
                default=False,
                db_default=False,
                help_text="Designates whether the user can log into this admin site.",
            ),
        ),
        migrations.AddField(
            "user",
            "is_superuser",
            models.BooleanField(
                "superuser status",
                default=False,
                db_default=False,
                help_text="Designates that this user has all permissions.",
            ),
        ),
        migrations.RunPython(copy_staff, copy_back),
        migrations.DeleteModel("Staff"),
    )
