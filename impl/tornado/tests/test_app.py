"""What the service does, in Tornado's own test client; the whole contract is in conformance/."""

import json
import os
import uuid
from contextlib import chdir
from tempfile import TemporaryDirectory
from unittest import TestCase, mock

import pytest
from pydantic import ValidationError
from tornado.websocket import websocket_connect

from app.config import Settings
from app.events import EchoHandler
from app.messages import BaseHandler
from app.tokens import issue_token
from tests.service import Account, ServiceTestCase


class ServiceTest(ServiceTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.ada = Account(self, "ada@example.org")

    def test_sign_up_returns_the_user_without_the_password(self) -> None:
        body = {"email": "Bob@Example.org", "name": "Bob", "password": "correct horse"}
        response = self.call("POST", "/users", body)
        user = json.loads(response.body)
        assert response.code == 201
        assert response.headers["Location"] == f"/users/{user['id']}"
        assert response.headers["ETag"] == f'"{user["id"]}-1"'
        assert user.keys() == {"id", "email", "name", "created_at", "updated_at"}
        assert user["email"] == "bob@example.org"

    def test_log_in_returns_a_token(self) -> None:
        response = self.call("POST", "/tokens", self.ada.credentials)
        assert response.code == 201
        assert response.headers["Cache-Control"] == "no-store"
        token = json.loads(response.body)["access_token"]
        me = self.call("GET", "/users/me", headers={"Authorization": f"Bearer {token}"})
        assert json.loads(me.body) == self.ada.user

    def test_wrong_password_and_unknown_email_answer_alike(self) -> None:
        wrong = self.call("POST", "/tokens", {**self.ada.credentials, "password": "wrong horse"})
        unknown = self.call("POST", "/tokens", {**self.ada.credentials, "email": "eve@example.org"})
        assert wrong.code == unknown.code == 401
        assert wrong.body == unknown.body
        assert json.loads(wrong.body)["type"] == "/problems/invalid-credentials"

    def test_a_taken_email_is_409(self) -> None:
        body = {"email": "ADA@example.org", "name": "Eve", "password": "correct horse"}
        response = self.call("POST", "/users", body)
        assert response.code == 409
        assert json.loads(response.body)["type"] == "/problems/email-taken"

    def test_a_missing_token_is_401(self) -> None:
        response = self.call("GET", "/items")
        assert response.code == 401
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="api"'

    def test_a_forged_token_is_401(self) -> None:
        token = issue_token(self.ada.user["id"], "another key, of thirty-two bytes and more", 60)
        response = self.call("GET", "/items", headers={"Authorization": f"Bearer {token}"})
        assert response.code == 401
        challenge = 'Bearer realm="api", error="invalid_token"'
        assert response.headers["WWW-Authenticate"] == challenge

    def test_writing_anothers_item_is_403(self) -> None:
        item, bob = self.ada.create_item(), Account(self, "bob@example.org")
        path = f"/items/{item['id']}"
        assert self.call("PATCH", path, {"name": "Mine"}, bob.headers).code == 403
        assert json.loads(self.call("GET", path, headers=bob.headers).body) == item

    def test_an_unknown_item_is_404(self) -> None:
        response = self.call("GET", "/items/999", headers=self.ada.headers)
        assert response.code == 404
        problem = {"type": "/problems/not-found", "title": "Not found", "status": 404}
        assert json.loads(response.body) == problem

    def test_a_wrong_method_is_405_with_allow(self) -> None:
        response = self.call("POST", "/items/1")
        assert response.code == 405
        allowed = set(response.headers["Allow"].split(", "))
        assert allowed == {"GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"}

    def test_malformed_json_is_400(self) -> None:
        response = self.call("POST", "/items", b'{"name": NaN}', self.ada.headers)
        assert response.code == 400
        assert json.loads(response.body)["type"] == "/problems/malformed-json"

    def test_an_invalid_body_lists_its_violations(self) -> None:
        body = {"name": "", "tags": ["a", 1], "colour": "red"}
        response = self.call("POST", "/items", body, self.ada.headers)
        assert response.code == 422
        assert json.loads(response.body)["errors"] == [
            {"in": "body", "pointer": "/colour", "code": "additionalProperties"},
            {"in": "body", "pointer": "/name", "code": "minLength"},
            {"in": "body", "pointer": "/price_cents", "code": "required"},
            {"in": "body", "pointer": "/tags/1", "code": "type"},
        ]

    def test_a_stale_if_match_is_412(self) -> None:
        item_id = self.ada.create_item()["id"]
        path = f"/items/{item_id}"
        headers = {**self.ada.headers, "If-Match": f'"{item_id}-1"'}
        first = self.call("PATCH", path, {"name": "First"}, headers)
        second = self.call("PATCH", path, {"name": "Second"}, headers)
        assert (first.code, first.headers["ETag"]) == (200, f'"{item_id}-2"')
        assert second.code == 412
        item = json.loads(self.call("GET", path, headers=self.ada.headers).body)
        assert item["name"] == "First"

    def test_if_none_match_is_304(self) -> None:
        tag = f'"{self.ada.user["id"]}-1"'
        headers = {**self.ada.headers, "If-None-Match": f"W/{tag}"}
        response = self.call("GET", self.ada.path, headers=headers)
        assert response.code == 304
        assert response.headers["ETag"] == tag
        assert response.headers["Cache-Control"] == "private, no-cache"
        assert response.body == b""

    def test_pages_walk_to_the_end(self) -> None:
        created = [self.ada.create_item(status="active")["id"] for _ in range(5)]
        walked: list[int] = []
        target = "/items?status=active&limit=2"
        while target is not None:
            response = self.call("GET", target, headers=self.ada.headers)
            page = json.loads(response.body)
            walked += [item["id"] for item in page["data"]]
            target = page["next"]
            assert response.headers.get("Link") == (target and f'<{target}>; rel="next"')
        assert walked == created

    def test_put_resets_what_it_leaves_out(self) -> None:
        item = self.ada.create_item(description="Bright", status="active", tags=["b", "a"])
        assert item["tags"] == ["a", "b"]
        body = {"name": "Lamp", "price_cents": 5}
        response = self.call("PUT", f"/items/{item['id']}", body, self.ada.headers)
        replaced = json.loads(response.body)
        assert replaced["description"] is None
        assert replaced["status"] == "draft"
        assert replaced["tags"] == []

    def test_deleting_a_user_deletes_its_items(self) -> None:
        bob = Account(self, "bob@example.org")
        path = f"/items/{self.ada.create_item(tags=['a'])['id']}"
        assert self.call("DELETE", self.ada.path, headers=self.ada.headers).code == 204
        assert self.call("GET", path, headers=bob.headers).code == 404
        assert self.call("GET", "/users/me", headers=self.ada.headers).code == 401

    def test_every_response_carries_a_request_id(self) -> None:
        sent = self.call("GET", "/healthz", headers={"X-Request-ID": "mine-1"})
        assert sent.headers["X-Request-ID"] == "mine-1"
        refused = self.call("GET", "/nowhere", headers={"X-Request-ID": "not mine"})
        assert uuid.UUID(refused.headers["X-Request-ID"]).version == 4
        assert refused.headers["X-Content-Type-Options"] == "nosniff"

    def test_an_unhandled_error_is_500_without_details(self) -> None:
        fail = mock.PropertyMock(side_effect=RuntimeError("the secret of the house"))
        with (
            mock.patch.object(BaseHandler, "sessions", fail),
            self.assertLogs("app.messages", "ERROR") as log,
        ):
            response = self.call("GET", "/items", headers=self.ada.headers)
        assert response.code == 500
        assert json.loads(response.body)["type"] == "/problems/internal-error"
        assert b"secret" not in response.body
        assert "the secret of the house" in log.output[0]

    def test_the_feed_tells_of_a_created_item(self) -> None:
        request = self.websocket("/ws/events", self.ada.headers)
        feed = self.io_loop.run_sync(lambda: websocket_connect(request))
        ready = json.loads(str(self.io_loop.run_sync(feed.read_message)))
        item = self.ada.create_item()
        event = json.loads(str(self.io_loop.run_sync(feed.read_message)))
        feed.close()
        assert self.io_loop.run_sync(feed.read_message) is None
        assert ready == {"type": "ready", "after": 1}  # event 1 was the sign-up
        assert event.pop("occurred_at") >= item["created_at"]
        assert event == {
            "type": "event",
            "id": 2,
            "event": "item.created",
            "resource_id": item["id"],
            "data": item,
        }

    def test_what_a_lost_client_has_sent_before_is_not_handled(self) -> None:
        handled: list[str] = []
        lost: list[EchoHandler] = []

        def lose(handler: EchoHandler, message: str) -> None:
            handled.append(message)
            lost.append(handler)
            assert handler.ws_connection is not None
            assert handler.ws_connection.stream is not None
            handler.ws_connection.stream.close()

        request = self.websocket("/ws/echo", {})
        with mock.patch.object(EchoHandler, "on_message", lose):
            echo = self.io_loop.run_sync(lambda: websocket_connect(request))
            assert echo.protocol is not None
            echo.protocol.set_nodelay(True)
            for message in ("one", "two", "three"):  # which the server reads in one go
                echo.write_message(message)
            assert self.io_loop.run_sync(echo.read_message) is None
            echo.close()
            self.io_loop.run_sync(lost[0].services.sockets.open.wait_none)
        assert handled == ["one"]


class SettingsTest(TestCase):
    def test_production_needs_a_secret_key(self) -> None:
        folder = self.enterContext(TemporaryDirectory())
        self.enterContext(chdir(folder))
        self.enterContext(mock.patch.dict(os.environ, {"APP_ENV": "production"}))
        os.environ.pop("SECRET_KEY", None)
        with pytest.raises(ValidationError, match="SECRET_KEY"):
            Settings()
        os.environ["SECRET_KEY"] = "x" * 32
        assert Settings().app_env == "production"
