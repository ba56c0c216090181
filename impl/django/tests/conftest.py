from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from rest_framework.test import APIClient

from items.models import Item


@pytest.fixture(scope="session")
def django_db_modify_db_settings(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Test on an SQLite file: the feed reads it from another thread."""
    if settings.DATABASES["default"]["ENGINE"] == settings.SQLITE:
        settings.DATABASES["default"]["TEST"]["NAME"] = tmp_path_factory.mktemp("db") / "test.db"


@pytest.fixture
def client(db: None) -> Iterator[APIClient]:
    yield APIClient()
    # Contract: Django's foreign keys would be deferred, and flush the tables in any order.
    Item.objects.all().delete()


class Account:
    """A signed-up user, logged in."""

    def __init__(self, client: APIClient, email: str) -> None:
        self.credentials = {"email": email, "password": "correct horse"}
        self.user = client.post("/users", {**self.credentials, "name": "Ada"}).json()
        token = client.post("/tokens", self.credentials).json()["access_token"]
        self.path = f"/users/{self.user['id']}"
        self.headers = {"Authorization": f"Bearer {token}"}
        self._client = client

    def create_item(self, **fields: Any) -> dict[str, Any]:
        body = {"name": "Lamp", "price_cents": 1999, **fields}
        created: dict[str, Any] = self._client.post("/items", body, headers=self.headers).json()
        return created


@pytest.fixture
def sign_up(client: APIClient) -> Callable[[str], Account]:
    return lambda email: Account(client, email)


@pytest.fixture
def ada(sign_up: Callable[[str], Account]) -> Account:
    return sign_up("ada@example.org")


@pytest.fixture
def bob(sign_up: Callable[[str], Account]) -> Account:
    return sign_up("bob@example.org")
