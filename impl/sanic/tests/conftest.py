from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import socket
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sanic_testing.reusable import ReusableClient
from sanic_testing.testing import TestingResponse as Response  # which pytest is not to collect

from app.config import Settings
from app.context import App
from app.main import create_app
from app.server import Protocol

ROOT = Path(__file__).parents[1]


class Client:
    """Sanic's own client, on a server that goes on between requests; without the requests."""

    def __init__(self, sanic: ReusableClient) -> None:
        self.sanic = sanic
        self.url = f"http://{sanic.host}:{sanic.port}"

    def request(self, method: str, path: str, **fields: Any) -> Response:
        _, response = getattr(self.sanic, method)(path, **fields)
        assert isinstance(response, Response)
        return response

    def get(self, path: str, **fields: Any) -> Response:
        return self.request("get", path, **fields)

    def post(self, path: str, **fields: Any) -> Response:
        return self.request("post", path, **fields)

    def put(self, path: str, **fields: Any) -> Response:
        return self.request("put", path, **fields)

    def patch(self, path: str, **fields: Any) -> Response:
        return self.request("patch", path, **fields)

    def delete(self, path: str, **fields: Any) -> Response:
        return self.request("delete", path, **fields)


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
    app = create_app(settings)
    app.set_serving(True)  # as a server does, and the test client does not
    return app


@contextmanager
def serving(app: App) -> Iterator[Client]:
    """Serve the app, whose routes are then complete."""
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with ReusableClient(app, port=port, server_kwargs={"protocol": Protocol}) as client:
        yield Client(client)


@pytest.fixture
def client(app: App) -> Iterator[Client]:
    with serving(app) as client:
        yield client


class Account:
    """A signed-up user, logged in."""

    def __init__(self, client: Client, email: str) -> None:
        self.credentials = {"email": email, "password": "correct horse"}
        self.user = client.post("/users", json={**self.credentials, "name": "Ada"}).json
        token = client.post("/tokens", json=self.credentials).json["access_token"]
        self.path = f"/users/{self.user['id']}"
        self.headers = {"Authorization": f"Bearer {token}"}
        self._client = client

    def create_item(self, **fields: Any) -> dict[str, Any]:
        body = {"name": "Lamp", "price_cents": 1999, **fields}
        created: dict[str, Any] = self._client.post("/items", json=body, headers=self.headers).json
        return created


@pytest.fixture
def sign_up(client: Client) -> Callable[[str], Account]:
    return lambda email: Account(client, email)


@pytest.fixture
def ada(sign_up: Callable[[str], Account]) -> Account:
    return sign_up("ada@example.org")


@pytest.fixture
def bob(sign_up: Callable[[str], Account]) -> Account:
    return sign_up("bob@example.org")
