"""Create what the admin knows of users, in tables of its own."""

from django.conf import settings
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps


def free_users(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Let no foreign key of the admin's log keep another implementation from deleting a user."""
    log = apps.get_model("admin", "LogEntry")
    bound = log._meta.get_field("user")
    free = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, db_constraint=False)
    free.set_attributes_from_name("user")
    free.model = log
    free.remote_field.model = bound.remote_field.model
    schema_editor.alter_field(log, bound, free)


class Migration(migrations.Migration):
    """No table of the admin's has a constraint on `users`: ids are never reused."""

    dependencies = (
        ("users", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("admin", "0003_logentry_add_action_flag_choices"),
    )
    operations = (
        migrations.CreateModel(
            "Staff",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        settings.AUTH_USER_MODEL,
                        models.CASCADE,
                        primary_key=True,
                        serialize=False,
                        related_name="staff",
                        db_constraint=False,
                    ),
                ),
                ("is_superuser", models.BooleanField("superuser", default=False)),
            ],
            options={
                "db_table": "staff",
                "verbose_name": "access to the admin",
                "verbose_name_plural": "access to the admin",
            },
        ),
        migrations.AddField(
            "user", "groups", models.ManyToManyField("auth.group", blank=True, db_constraint=False)
        ),
        migrations.AddField(
            "user",
            "user_permissions",
            models.ManyToManyField("auth.permission", blank=True, db_constraint=False),
        ),
        migrations.RunPython(free_users, migrations.RunPython.noop),
    )
