"""What the service does, in DRF's own test client; the whole contract is in conformance/."""

import asyncio
import json
import logging.config
import uuid
from pathlib import Path
from typing import Any

import pytest
from channels.db import database_sync_to_async
from channels.testing import WebsocketCommunicator
from django.apps import apps
from django.core.cache import cache
from pydantic import ValidationError
from pytest_django import Settings as DjangoSettings
from rest_framework.test import APIClient

from app.config import Settings
from app.tokens import issue_token
from config.asgi import application
from items.views import ItemViewSet
from tests.conftest import Account


def test_sign_up_returns_the_user_without_the_password(client: APIClient) -> None:
    body = {"email": "Ada@Example.org", "name": "Ada", "password": "correct horse"}
    response = client.post("/users", body)
    assert response.status_code == 201
    assert response.headers["Location"] == f"/users/{response.json()['id']}"
    assert response.headers["ETag"] == f'"{response.json()["id"]}-1"'
    assert response.json().keys() == {"id", "email", "name", "created_at", "updated_at"}
    assert response.json()["email"] == "ada@example.org"


def test_log_in_returns_a_token(client: APIClient, ada: Account) -> None:
    response = client.post("/tokens", ada.credentials)
    assert response.status_code == 201
    assert response.headers["Cache-Control"] == "no-store"
    headers = {"Authorization": f"Bearer {response.json()['access_token']}"}
    assert client.get("/users/me", headers=headers).json() == ada.user


def test_wrong_password_and_unknown_email_answer_alike(client: APIClient, ada: Account) -> None:
    wrong = client.post("/tokens", {**ada.credentials, "password": "wrong horse"})
    unknown = client.post("/tokens", {**ada.credentials, "email": "eve@example.org"})
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.json() == unknown.json()
    assert wrong.json()["type"] == "/problems/invalid-credentials"


def test_a_taken_email_is_409(client: APIClient, ada: Account) -> None:
    body = {"email": ada.user["email"].upper(), "name": "Eve", "password": "correct horse"}
    response = client.post("/users", body)
    assert response.status_code == 409
    assert response.json()["type"] == "/problems/email-taken"


def test_a_missing_token_is_401(client: APIClient) -> None:
    response = client.get("/items")
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="api"'


def test_a_forged_token_is_401(client: APIClient, ada: Account) -> None:
    token = issue_token(ada.user["id"], "another key, of thirty-two bytes and more", 60)
    response = client.get("/items", headers={"Authorization": f"Bearer {token}"})
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="api", error="invalid_token"'


def test_writing_anothers_item_is_403(client: APIClient, ada: Account, bob: Account) -> None:
    item = ada.create_item()
    response = client.patch(f"/items/{item['id']}", {"name": "Mine"}, headers=bob.headers)
    assert response.status_code == 403
    assert client.get(f"/items/{item['id']}", headers=bob.headers).json() == item


def test_an_unknown_item_is_404(client: APIClient, ada: Account) -> None:
    response = client.get("/items/999", headers=ada.headers)
    assert response.status_code == 404
    assert response.json() == {"type": "/problems/not-found", "title": "Not found", "status": 404}


def test_a_wrong_method_is_405_with_allow(client: APIClient) -> None:
    response = client.post("/items/1")
    assert response.status_code == 405
    allowed = set(response.headers["Allow"].split(", "))
    assert allowed == {"GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"}


def test_malformed_json_is_400(client: APIClient, ada: Account) -> None:
    response = client.post(
        "/items", b'{"name": NaN}', content_type="application/json", headers=ada.headers
    )
    assert response.status_code == 400
    assert response.json()["type"] == "/problems/malformed-json"


def test_an_invalid_body_lists_its_violations(client: APIClient, ada: Account) -> None:
    body = {"name": "", "tags": ["a", 1], "colour": "red"}
    response = client.post("/items", body, headers=ada.headers)
    assert response.status_code == 422
    assert response.json()["errors"] == [
        {"in": "body", "pointer": "/colour", "code": "additionalProperties"},
        {"in": "body", "pointer": "/name", "code": "minLength"},
        {"in": "body", "pointer": "/price_cents", "code": "required"},
        {"in": "body", "pointer": "/tags/1", "code": "type"},
    ]


def test_a_stale_if_match_is_412(client: APIClient, ada: Account) -> None:
    item_id = ada.create_item()["id"]
    path = f"/items/{item_id}"
    headers = {**ada.headers, "If-Match": f'"{item_id}-1"'}
    first = client.patch(path, {"name": "First"}, headers=headers)
    second = client.patch(path, {"name": "Second"}, headers=headers)
    assert (first.status_code, first.headers["ETag"]) == (200, f'"{item_id}-2"')
    assert second.status_code == 412
    assert client.get(path, headers=ada.headers).json()["name"] == "First"


def test_if_none_match_is_304(client: APIClient, ada: Account) -> None:
    tag = f'"{ada.user["id"]}-1"'
    response = client.get(ada.path, headers={**ada.headers, "If-None-Match": f"W/{tag}"})
    assert response.status_code == 304
    assert response.headers["ETag"] == tag
    assert response.headers["Cache-Control"] == "private, no-cache"
    assert response.content == b""


def test_pages_walk_to_the_end(client: APIClient, ada: Account) -> None:
    created = [ada.create_item(status="active")["id"] for _ in range(5)]
    walked: list[int] = []
    target = "/items?status=active&limit=2"
    while target is not None:
        response = client.get(target, headers=ada.headers)
        walked += [item["id"] for item in response.json()["data"]]
        target = response.json()["next"]
        assert response.headers.get("Link") == (target and f'<{target}>; rel="next"')
    assert walked == created


def test_put_resets_what_it_leaves_out(client: APIClient, ada: Account) -> None:
    item = ada.create_item(description="Bright", status="active", tags=["b", "a"])
    assert item["tags"] == ["a", "b"]
    body = {"name": "Lamp", "price_cents": 5}
    replaced = client.put(f"/items/{item['id']}", body, headers=ada.headers).json()
    assert replaced["description"] is None
    assert replaced["status"] == "draft"
    assert replaced["tags"] == []


def test_deleting_a_user_deletes_its_items(client: APIClient, ada: Account, bob: Account) -> None:
    path = f"/items/{ada.create_item(tags=['a'])['id']}"
    assert client.delete(ada.path, headers=ada.headers).status_code == 204
    assert client.get(path, headers=bob.headers).status_code == 404
    assert client.get("/users/me", headers=ada.headers).status_code == 401


def test_every_response_carries_a_request_id(client: APIClient) -> None:
    sent = client.get("/healthz", headers={"X-Request-ID": "mine-1"})
    assert sent.headers["X-Request-ID"] == "mine-1"
    refused = client.get("/nowhere", headers={"X-Request-ID": "not mine"})
    assert uuid.UUID(refused.headers["X-Request-ID"]).version == 4
    assert refused.headers["X-Content-Type-Options"] == "nosniff"


def test_an_unhandled_error_is_500_without_details(
    client: APIClient,
    ada: Account,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(_: ItemViewSet) -> None:
        raise RuntimeError("the secret of the house")

    monkeypatch.setattr(ItemViewSet, "get_queryset", fail)
    client.raise_request_exception = False
    response = client.get("/items", headers=ada.headers)
    assert response.status_code == 500
    assert response.json()["type"] == "/problems/internal-error"
    assert "secret" not in response.content.decode()
    assert "the secret of the house" in caplog.text


@pytest.mark.urls("tests.urls")
@pytest.mark.parametrize(
    ("status", "title", "headers"),
    [
        (402, "Payment Required", {}),
        (409, "Conflict", {}),
        (410, "Gone", {}),
        (418, "I'm a Teapot", {}),
        (429, "Too Many Requests", {"Retry-After": "30"}),
        (503, "Service Unavailable", {"Retry-After": "30"}),
    ],
)
def test_an_error_the_contract_does_not_know_is_about_blank(
    client: APIClient, status: int, title: str, headers: dict[str, str]
) -> None:
    response = client.get(f"/raise/{status}")
    assert response.status_code == status
    assert response.json() == {"type": "about:blank", "title": title, "status": status}
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "X-Request-ID" in response.headers
    assert {name: response.headers[name] for name in headers} == headers


@pytest.mark.urls("tests.urls")
def test_a_rate_limiters_429_keeps_its_retry_after(client: APIClient) -> None:
    assert client.get("/limited").status_code == 200
    response = client.get("/limited")
    title = "Too Many Requests"
    assert response.json() == {"type": "about:blank", "title": title, "status": 429}
    assert 0 < int(response.headers["Retry-After"]) <= 60
    cache.clear()


@pytest.mark.urls("tests.urls")
def test_a_page_of_an_allowed_origin_may_read_every_answer(
    client: APIClient, ada: Account, settings: DjangoSettings
) -> None:
    origin = "https://app.example"
    only = settings.ENVIRONMENT.model_copy(update={"cors_origins": frozenset({origin})})
    settings.ENVIRONMENT = only
    client.raise_request_exception = False
    answers = [
        client.get("/users/me", headers={**ada.headers, "Origin": origin}),
        client.get("/nowhere", headers={"Origin": origin}),
        client.get("/items", headers={"Origin": origin}),
        client.post("/items/1", headers={"Origin": origin}),
        client.post("/items", {}, headers={**ada.headers, "Origin": origin}),
        client.get("/raise/500", headers={"Origin": origin}),
        client.get("/raise/503", headers={"Origin": origin}),
    ]
    assert [answer.status_code for answer in answers] == [200, 404, 401, 405, 422, 500, 503]
    for answer in answers:
        assert answer.headers["Access-Control-Allow-Origin"] == origin
        assert "WWW-Authenticate" in answer.headers["Access-Control-Expose-Headers"]
        assert "Origin" in answer.headers["Vary"]
    asks = {"Origin": origin, "Access-Control-Request-Method": "PATCH"}
    for target in ("/items/1", "/limited"):  # the second a view of DRF's own kind
        preflight = client.options(target, headers=asks)
        assert preflight.status_code == 204
        methods = preflight.headers["Access-Control-Allow-Methods"]
        assert methods == preflight.headers["Allow"]
        assert "If-Match" in preflight.headers["Access-Control-Allow-Headers"]
        assert preflight.headers["Access-Control-Max-Age"] == "600"
    for other in ({}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
        headers = client.get("/healthz", headers=other).headers
        assert not any(name.startswith("Access-Control") for name in headers)
    settings.ENVIRONMENT = only.model_copy(update={"cors_origins": frozenset({"*"})})
    answer = client.get("/healthz", headers={"Origin": origin})
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Vary" not in answer.headers


def test_a_refused_handshake_may_be_read_by_a_page(
    client: APIClient, settings: DjangoSettings
) -> None:
    origin = "https://app.example"
    settings.ENVIRONMENT = settings.ENVIRONMENT.model_copy(
        update={"cors_origins": frozenset({origin})}
    )

    async def refused() -> dict[str, Any]:
        headers = [(b"origin", origin.encode())]
        socket = WebsocketCommunicator(application, "/ws/nowhere", headers)
        await socket.send_input({"type": "websocket.connect"})
        return dict(await socket.receive_output(5))

    start = asyncio.run(refused())
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 404)
    headers = dict(start["headers"])
    assert headers[b"access-control-allow-origin"] == origin.encode()
    assert headers[b"vary"] == b"Origin"


@pytest.mark.urls("tests.urls")
def test_a_traceback_and_a_warning_bear_the_request_id(
    client: APIClient, settings: DjangoSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    logging.config.dictConfig(settings.LOGGING)  # on the stream that pytest captures
    client.raise_request_exception = False
    client.get("/raise/500", headers={"X-Request-ID": "mine-1"})
    records = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert {record["logger"] for record in records} == {
        "items.views",
        "django.request",
        "app.access",
    }
    assert [record["request_id"] for record in records] == ["mine-1"] * 3


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_the_feed_tells_of_a_created_item(ada: Account) -> None:
    async def watch() -> tuple[Any, Any, Any]:
        headers = [(b"authorization", ada.headers["Authorization"].encode())]
        async with apps.get_app_config("events").feed:
            feed = WebsocketCommunicator(application, "/ws/events", headers)
            await feed.connect()
            ready = await feed.receive_json_from()
            item = await database_sync_to_async(ada.create_item)()
            event = await feed.receive_json_from()
            await feed.disconnect()
        return ready, item, event

    ready, item, event = asyncio.run(watch())
    assert ready == {"type": "ready", "after": 1}  # event 1 was the sign-up
    assert event.pop("occurred_at") >= item["created_at"]
    assert event == {
        "type": "event",
        "id": 2,
        "event": "item.created",
        "resource_id": item["id"],
        "data": item,
    }


def test_production_needs_a_secret_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("APP_ENV", "production")
    monkeypatch.delenv("SECRET_KEY", raising=False)
    with pytest.raises(ValidationError, match="SECRET_KEY"):
        Settings()
    monkeypatch.setenv("SECRET_KEY", "x" * 32)
    assert Settings().app_env == "production"
