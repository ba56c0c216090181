"""The shared tables: what other implementations wrote is left as it is."""

import pytest
from argon2 import PasswordHasher
from django.core.management import call_command
from django.db import connection, models
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone
from rest_framework.test import APIClient

from events.models import Event
from events.outbox import writing
from items.models import Item, ItemTag
from tests.conftest import Account
from users.models import User


def test_logging_in_leaves_the_hash_of_another_implementation_alone(
    client: APIClient, ada: Account
) -> None:
    foreign = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1).hash("correct horse")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE users SET password_hash = %s", [foreign])
        assert client.post("/tokens", ada.credentials).status_code == 201
        cursor.execute("SELECT password_hash, version FROM users")
        assert cursor.fetchall() == [(foreign, 1)]
    assert Event.objects.count() == 1  # the sign-up


def test_a_whole_second_is_stored_with_its_six_zeros(client: APIClient, ada: Account) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL stores no text")
    event = Event.objects.get()
    event.occurred_at = event.occurred_at.replace(microsecond=0)
    event.save()
    with connection.cursor() as cursor:
        cursor.execute("SELECT CAST(occurred_at AS TEXT) FROM events")
        assert cursor.fetchone()[0].endswith(".000000")


def test_an_event_that_cannot_be_written_is_no_taken_email(client: APIClient) -> None:
    Event.objects.create(id=1, event="", resource_id=1, occurred_at=timezone.now())
    body = {"email": "ada@example.org", "name": "Ada", "password": "correct horse"}
    client.raise_request_exception = False
    assert client.post("/users", body).status_code == 500
    assert not User.objects.exists()


def test_what_is_gone_before_the_commit_is_not_told(client: APIClient, ada: Account) -> None:
    with writing():
        item = Item(owner_id=ada.user["id"], name="Lamp", price_cents=1999)
        item.save()
        item.save()
        item.delete()
    assert list(Event.objects.values_list("event", flat=True)) == ["user.created"]


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_changing_a_table_keeps_its_cascade_and_its_highest_id(
    client: APIClient, ada: Account
) -> None:
    kept, last = ada.create_item(tags=["a", "b"]), ada.create_item()
    Item.objects.get(pk=last["id"]).delete()
    for model in (Item, ItemTag):
        field = models.CharField(max_length=9, default="")
        field.contribute_to_class(model, "note")
        try:
            with connection.schema_editor() as editor:
                editor.add_field(model, field)
        finally:
            model._meta.local_fields.remove(field)
            model._meta._expire_cache()
        with connection.schema_editor() as editor:
            editor.remove_field(model, field)
    assert ItemTag.objects.count() == 2
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM items WHERE id = %s", [kept["id"]])
    assert not ItemTag.objects.exists()
    assert ada.create_item()["id"] > last["id"]


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_staff_of_before_are_staff_still(client: APIClient, ada: Account, bob: Account) -> None:
    executor = MigrationExecutor(connection)
    executor.migrate([("users", "0002_admin")])
    old = executor.loader.project_state([("users", "0002_admin")]).apps
    old.get_model("users", "Staff").objects.create(user_id=ada.user["id"], is_superuser=True)
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())
    staff = User.objects.filter(is_staff=True)
    assert [(user.pk, user.is_superuser) for user in staff] == [(ada.user["id"], True)]


@pytest.mark.django_db
def test_another_implementation_need_not_know_the_columns_of_the_admin() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO users (email, name, password_hash, version, created_at, updated_at) "
            "VALUES ('ada@example.org', 'Ada', '', 1, %s, %s)",
            [timezone.now()] * 2,
        )
    assert not User.objects.get(email="ada@example.org").is_staff


@pytest.mark.django_db
def test_the_migrations_are_those_of_the_models() -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)
