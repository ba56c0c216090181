from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from quart import Quart
from quart.typing import TestClientProtocol as Client  # which pytest is not to take for a test

from app import create_app
from app.config import Settings

ROOT = Path(__file__).parents[1]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of the defaults, but for a database of the test's own, migrated."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/test.db")
    monkeypatch.chdir(tmp_path)  # where there is no .env
    command.upgrade(Config(ROOT / "alembic.ini"), "head")
    return Settings()


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[Quart]:
    app = create_app(settings)
    async with app.test_app():  # the feed runs while the app serves
        yield app


@pytest.fixture
def client(app: Quart) -> Client:
    return app.test_client()


class Account:
    """A signed-up user, logged in."""

    def __init__(self, client: Client, email: str) -> None:
        self.credentials = {"email": email, "password": "correct horse"}
        self._client = client

    async def sign_up(self) -> "Account":
        response = await self._client.post("/users", json={**self.credentials, "name": "Ada"})
        self.user = await response.get_json()
        token = await (await self._client.post("/tokens", json=self.credentials)).get_json()
        self.path = f"/users/{self.user['id']}"
        self.headers = {"Authorization": f"Bearer {token['access_token']}"}
        return self

    async def create_item(self, **fields: Any) -> dict[str, Any]:
        body = {"name": "Lamp", "price_cents": 1999, **fields}
        response = await self._client.post("/items", json=body, headers=self.headers)
        created: dict[str, Any] = await response.get_json()
        return created


@pytest.fixture
def sign_up(client: Client) -> Callable[[str], Awaitable[Account]]:
    return lambda email: Account(client, email).sign_up()


@pytest.fixture
async def ada(sign_up: Callable[[str], Awaitable[Account]]) -> Account:
    return await sign_up("ada@example.org")


@pytest.fixture
async def bob(sign_up: Callable[[str], Awaitable[Account]]) -> Account:
    return await sign_up("bob@example.org")
