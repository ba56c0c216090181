import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from alembic import command
from alembic.config import Config
from pyramid.router import Router
from webtest import TestApp

from app import main
from app.config import Settings

ROOT = Path(__file__).parents[1]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings of the defaults, but for a database of the test's own, migrated."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/test.db")
    monkeypatch.chdir(tmp_path)  # where there is no .env
    command.upgrade(Config(ROOT / "development.ini"), "head")
    return Settings()


@pytest.fixture
def app(settings: Settings) -> Iterator[Router]:
    app = main({}, service=settings)
    yield app
    app.registry["engine"].dispose()


@pytest.fixture
def client(app: Router) -> TestApp:
    return TestApp(app)


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Handler(WSGIRequestHandler):
    """A handler that hands its socket on under the name that simple-websocket knows."""

    def get_environ(self) -> dict[str, Any]:
        return {**super().get_environ(), "werkzeug.socket": self.connection}

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(app: Router) -> Iterator[str]:
    """Serve the app for websockets, which WebTest has not; return host and port."""
    with make_server("127.0.0.1", 0, app, Server, Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class Account:
    """A signed-up user, logged in."""

    def __init__(self, client: TestApp, email: str) -> None:
        self.credentials = {"email": email, "password": "correct horse"}
        self.user = client.post_json("/users", {**self.credentials, "name": "Ada"}).json
        token = client.post_json("/tokens", self.credentials).json["access_token"]
        self.path = f"/users/{self.user['id']}"
        self.headers = {"Authorization": f"Bearer {token}"}
        self._client = client

    def create_item(self, **fields: Any) -> dict[str, Any]:
        body = {"name": "Lamp", "price_cents": 1999, **fields}
        response = self._client.post_json("/items", body, headers=self.headers)
        created: dict[str, Any] = response.json
        return created


@pytest.fixture
def sign_up(client: TestApp) -> Callable[[str], Account]:
    return lambda email: Account(client, email)


@pytest.fixture
def ada(sign_up: Callable[[str], Account]) -> Account:
    return sign_up("ada@example.org")


@pytest.fixture
def bob(sign_up: Callable[[str], Account]) -> Account:
    return sign_up("bob@example.org")
