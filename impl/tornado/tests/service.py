"""The service on a server of the test's own, with a migrated database of the test's own."""

import json
import os
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

from alembic import command
from alembic.config import Config
from tornado.httpclient import HTTPRequest, HTTPResponse
from tornado.testing import AsyncHTTPTestCase
from tornado.web import Application

from app.config import Settings
from app.main import create_app
from app.server import Server
from app.services import open_services

ROOT = Path(__file__).parents[1]


class Account:
    """A signed-up user, logged in."""

    def __init__(self, test: "ServiceTestCase", email: str) -> None:
        self.credentials = {"email": email, "password": "correct horse"}
        created = test.call("POST", "/users", {**self.credentials, "name": "Ada"})
        token = test.call("POST", "/tokens", self.credentials)
        self.user = json.loads(created.body)
        self.path = f"/users/{self.user['id']}"
        self.headers = {"Authorization": f"Bearer {json.loads(token.body)['access_token']}"}
        self._test = test

    def create_item(self, **fields: Any) -> dict[str, Any]:
        body = {"name": "Lamp", "price_cents": 1999, **fields}
        response = self._test.call("POST", "/items", body, self.headers)
        created: dict[str, Any] = json.loads(response.body)
        return created


class ServiceTestCase(AsyncHTTPTestCase):
    """A test that talks to the service."""

    def setUp(self) -> None:
        folder = self.enterContext(TemporaryDirectory())
        self.enterContext(chdir(folder))  # where there is no .env
        self.enterContext(mock.patch.dict(os.environ))
        for name in Settings.model_fields:
            os.environ.pop(name.upper(), None)
        os.environ["DATABASE_URL"] = f"sqlite:///{folder}/test.db"
        command.upgrade(Config(ROOT / "alembic.ini"), "head")
        super().setUp()

    def get_app(self) -> Application:
        self._services = open_services(Settings())
        self.services = self.io_loop.run_sync(self._services.__aenter__)
        return create_app(self.services)

    def get_http_server(self) -> Server:
        return Server(self._app)

    def tearDown(self) -> None:
        self.io_loop.run_sync(lambda: self._services.__aexit__(None, None, None))
        super().tearDown()

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: dict[str, str] | None = None,
    ) -> HTTPResponse:
        """Send a request; a body that is no bytes as JSON."""
        fields = {"Content-Type": "application/json", **(headers or {})}
        content = body if body is None or isinstance(body, bytes) else json.dumps(body)
        return self.fetch(
            path, method=method, headers=fields, body=content, allow_nonstandard_methods=True
        )

    def websocket(self, path: str, headers: dict[str, str]) -> HTTPRequest:
        """Return a request for `websocket_connect`."""
        return HTTPRequest(self.get_url(path).replace("http", "ws", 1), headers=headers)
