from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from falcon.testing import ASGIConductor

from app.config import Settings
from app.main import create_app
from app.websockets import App

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
def app(settings: Settings) -> App:
    return create_app(settings)


@pytest.fixture
async def conductor(app: App) -> AsyncIterator[ASGIConductor]:
    async with ASGIConductor(app) as conductor:
        yield conductor


class Account:
    """A signed-up user, logged in."""

    def __init__(
        self, conductor: ASGIConductor, credentials: dict[str, str], user: Any, token: str
    ) -> None:
        self.credentials = credentials
        self.user: dict[str, Any] = user
        self.path = f"/users/{user['id']}"
        self.headers = {"Authorization": f"Bearer {token}"}
        self._conductor = conductor

    async def create_item(self, **fields: Any) -> dict[str, Any]:
        body = {"name": "Lamp", "price_cents": 1999, **fields}
        result = await self._conductor.post("/items", json=body, headers=self.headers)
        created: dict[str, Any] = result.json
        return created


SignUp = Callable[[str], Awaitable[Account]]


@pytest.fixture
def sign_up(conductor: ASGIConductor) -> SignUp:
    async def sign_up(email: str) -> Account:
        credentials = {"email": email, "password": "correct horse"}
        signed_up = await conductor.post("/users", json={**credentials, "name": "Ada"})
        logged_in = await conductor.post("/tokens", json=credentials)
        return Account(conductor, credentials, signed_up.json, logged_in.json["access_token"])

    return sign_up


@pytest.fixture
async def ada(sign_up: SignUp) -> Account:
    return await sign_up("ada@example.org")


@pytest.fixture
async def bob(sign_up: SignUp) -> Account:
    return await sign_up("bob@example.org")
