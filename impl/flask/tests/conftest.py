import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_migrate import upgrade
from werkzeug.serving import make_server

from app import create_app
from app.config import Settings
from app.database import db

MIGRATIONS = Path(__file__).parents[1] / "migrations"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of the defaults, but for a database of the test's own."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)  # where there is no .env
    return Settings(database_url=f"sqlite:///{tmp_path}/test.db")


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    app = create_app(settings)
    with app.app_context():
        upgrade(str(MIGRATIONS))
    yield app
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def server(app: Flask) -> Iterator[str]:
    """Serve the app for websockets, which the test client has not; return host and port."""
    with make_server("127.0.0.1", 0, app, threaded=True) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class Account:
    """A signed-up user, logged in."""

    def __init__(self, client: FlaskClient, email: str) -> None:
        self.credentials = {"email": email, "password": "correct horse"}
        self.user = client.post("/users", json={**self.credentials, "name": "Ada"}).get_json()
        token = client.post("/tokens", json=self.credentials).get_json()["access_token"]
        self.path = f"/users/{self.user['id']}"
        self.headers = {"Authorization": f"Bearer {token}"}
        self._client = client

    def create_item(self, **fields: Any) -> dict[str, Any]:
        body = {"name": "Lamp", "price_cents": 1999, **fields}
        created: dict[str, Any] = self._client.post(
            "/items", json=body, headers=self.headers
        ).get_json()
        return created


@pytest.fixture
def sign_up(client: FlaskClient) -> Callable[[str], Account]:
    return lambda email: Account(client, email)


@pytest.fixture
def ada(sign_up: Callable[[str], Account]) -> Account:
    return sign_up("ada@example.org")


@pytest.fixture
def bob(sign_up: Callable[[str], Account]) -> Account:
    return sign_up("bob@example.org")
