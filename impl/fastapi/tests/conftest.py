from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.config import Settings
from app.main import create_app

ROOT = Path(__file__).parents[1]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with a database of the test's own, migrated."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/test.db")
    monkeypatch.chdir(tmp_path)  # where there is no .env
    command.upgrade(Config(ROOT / "alembic.ini"), "head")
    return Settings()


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    return create_app(settings)


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app) as client:
        yield client


class Account:
    """A signed-up user, logged in."""

    def __init__(self, client: TestClient, email: str) -> None:
        self.credentials = {"email": email, "password": "correct horse"}
        self.user = client.post("/users", json={**self.credentials, "name": "Ada"}).json()
        token = client.post("/tokens", json=self.credentials).json()["access_token"]
        self.path = f"/users/{self.user['id']}"
        self.headers = {"Authorization": f"Bearer {token}"}
        self._client = client

    def create_item(self, **fields: Any) -> dict[str, Any]:
        body = {"name": "Lamp", "price_cents": 1999, **fields}
        response = self._client.post("/items", json=body, headers=self.headers)
        created: dict[str, Any] = response.json()
        return created


@pytest.fixture
def sign_up(client: TestClient) -> Callable[[str], Account]:
    return lambda email: Account(client, email)


@pytest.fixture
def ada(sign_up: Callable[[str], Account]) -> Account:
    return sign_up("ada@example.org")


@pytest.fixture
def bob(sign_up: Callable[[str], Account]) -> Account:
    return sign_up("bob@example.org")
