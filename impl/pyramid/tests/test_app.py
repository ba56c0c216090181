"""What the service does, through WebTest; the whole contract is in conformance/."""

import json
import logging
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError
from pyramid.config import Configurator
from pyramid.httpexceptions import status_map
from pyramid.request import Request
from pyramid.response import Response
from sqlalchemy.orm import Session
from websockets.sync.client import connect
from webtest import TestApp

from app import main
from app.config import Settings
from app.logs import Formatter
from app.tokens import issue_token
from tests.conftest import Account

ORIGIN = "https://app.example"


def test_sign_up_returns_the_user_without_the_password(client: TestApp) -> None:
    body = {"email": "Ada@Example.org", "name": "Ada", "password": "correct horse"}
    response = client.post_json("/users", body, status=201)
    assert response.headers["Location"] == f"/users/{response.json['id']}"
    assert response.headers["ETag"] == f'"{response.json["id"]}-1"'
    assert response.json.keys() == {"id", "email", "name", "created_at", "updated_at"}
    assert response.json["email"] == "ada@example.org"


def test_log_in_returns_a_token(client: TestApp, ada: Account) -> None:
    response = client.post_json("/tokens", ada.credentials, status=201)
    assert response.headers["Cache-Control"] == "no-store"
    headers = {"Authorization": f"Bearer {response.json['access_token']}"}
    assert client.get("/users/me", headers=headers).json == ada.user


def test_wrong_password_and_unknown_email_answer_alike(client: TestApp, ada: Account) -> None:
    wrong = {**ada.credentials, "password": "wrong horse"}
    unknown = {**ada.credentials, "email": "eve@example.org"}
    answers = [client.post_json("/tokens", body, status=401).json for body in (wrong, unknown)]
    assert answers[0] == answers[1]
    assert answers[0]["type"] == "/problems/invalid-credentials"


def test_a_taken_email_is_409(client: TestApp, ada: Account) -> None:
    body = {"email": ada.user["email"].upper(), "name": "Eve", "password": "correct horse"}
    response = client.post_json("/users", body, status=409)
    assert response.json["type"] == "/problems/email-taken"


def test_a_missing_token_is_401(client: TestApp) -> None:
    response = client.get("/items", status=401)
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="api"'


def test_a_forged_token_is_401(client: TestApp, ada: Account) -> None:
    token = issue_token(ada.user["id"], "another key, of thirty-two bytes and more", 60)
    response = client.get("/items", headers={"Authorization": f"Bearer {token}"}, status=401)
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="api", error="invalid_token"'


def test_writing_anothers_item_is_403(client: TestApp, ada: Account, bob: Account) -> None:
    item = ada.create_item()
    client.patch_json(f"/items/{item['id']}", {"name": "Mine"}, headers=bob.headers, status=403)
    assert client.get(f"/items/{item['id']}", headers=bob.headers).json == item


def test_an_unknown_item_is_404(client: TestApp, ada: Account) -> None:
    response = client.get("/items/999", headers=ada.headers, status=404)
    assert response.json == {"type": "/problems/not-found", "title": "Not found", "status": 404}


def test_a_wrong_method_is_405_with_allow(client: TestApp) -> None:
    response = client.post("/items/1", status=405)
    allowed = set(response.headers["Allow"].split(", "))
    assert allowed == {"GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"}


def test_malformed_json_is_400(client: TestApp, ada: Account) -> None:
    headers = {**ada.headers, "Content-Type": "application/json"}
    response = client.post("/items", b'{"name": NaN}', headers=headers, status=400)
    assert response.json["type"] == "/problems/malformed-json"


def test_an_invalid_body_lists_its_violations(client: TestApp, ada: Account) -> None:
    body = {"name": "", "tags": ["a", 1], "colour": "red"}
    response = client.post_json("/items", body, headers=ada.headers, status=422)
    assert response.json["errors"] == [
        {"in": "body", "pointer": "/colour", "code": "additionalProperties"},
        {"in": "body", "pointer": "/name", "code": "minLength"},
        {"in": "body", "pointer": "/price_cents", "code": "required"},
        {"in": "body", "pointer": "/tags/1", "code": "type"},
    ]


def test_a_stale_if_match_is_412(client: TestApp, ada: Account) -> None:
    item_id = ada.create_item()["id"]
    path = f"/items/{item_id}"
    headers = {**ada.headers, "If-Match": f'"{item_id}-1"'}
    first = client.patch_json(path, {"name": "First"}, headers=headers)
    client.patch_json(path, {"name": "Second"}, headers=headers, status=412)
    assert first.headers["ETag"] == f'"{item_id}-2"'
    assert client.get(path, headers=ada.headers).json["name"] == "First"


def test_if_none_match_is_304(client: TestApp, ada: Account) -> None:
    tag = f'"{ada.user["id"]}-1"'
    headers = {**ada.headers, "If-None-Match": f"W/{tag}"}
    response = client.get(ada.path, headers=headers, status=304)
    assert response.headers["ETag"] == tag
    assert response.headers["Cache-Control"] == "private, no-cache"
    assert response.body == b""


def test_pages_walk_to_the_end(client: TestApp, ada: Account) -> None:
    created = [ada.create_item(status="active")["id"] for _ in range(5)]
    walked: list[int] = []
    target = "/items?status=active&limit=2"
    while target is not None:
        response = client.get(target, headers=ada.headers)
        walked += [item["id"] for item in response.json["data"]]
        target = response.json["next"]
        assert response.headers.get("Link") == (target and f'<{target}>; rel="next"')
    assert walked == created


def test_put_resets_what_it_leaves_out(client: TestApp, ada: Account) -> None:
    item = ada.create_item(description="Bright", status="active", tags=["b", "a"])
    assert item["tags"] == ["a", "b"]
    body = {"name": "Lamp", "price_cents": 5}
    replaced = client.put_json(f"/items/{item['id']}", body, headers=ada.headers).json
    assert replaced["description"] is None
    assert replaced["status"] == "draft"
    assert replaced["tags"] == []


def test_deleting_a_user_deletes_its_items(client: TestApp, ada: Account, bob: Account) -> None:
    path = f"/items/{ada.create_item(tags=['a'])['id']}"
    client.delete(ada.path, headers=ada.headers, status=204)
    client.get(path, headers=bob.headers, status=404)
    client.get("/users/me", headers=ada.headers, status=401)


def test_every_response_carries_a_request_id(client: TestApp) -> None:
    sent = client.get("/healthz", headers={"X-Request-ID": "mine-1"})
    assert sent.headers["X-Request-ID"] == "mine-1"
    refused = client.get("/nowhere", headers={"X-Request-ID": "not mine"}, status=404)
    assert uuid.UUID(refused.headers["X-Request-ID"]).version == 4
    assert refused.headers["X-Content-Type-Options"] == "nosniff"


def test_an_unhandled_error_is_500_without_details(
    client: TestApp,
    ada: Account,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the secret of the house")

    monkeypatch.setattr(Session, "get", fail)
    response = client.get("/items", headers=ada.headers, status=500)
    assert response.json["type"] == "/problems/internal-error"
    assert "secret" not in response.text
    assert "the secret of the house" in caplog.text


def raise_status(request: Request) -> None:
    status = int(request.matchdict["status"])
    if status == 500:
        logging.getLogger("app.items").warning("about to fail")
        raise RuntimeError("the secret of the house")
    headers = {"Retry-After": "30"} if status in {429, 503} else {}
    raise status_map[status]("the secret of the house", headers=headers)


def return_status(request: Request) -> Response:
    status = int(request.matchdict["status"])
    if status == 410:
        request.response.status_code = status
        return request.response
    return status_map[status](headers={"Retry-After": "30"})


def add_views(config: Configurator) -> None:
    config.add_route("raise", "/raise/{status}")
    config.add_view(raise_status, route_name="raise")
    config.add_route("return", "/return/{status}")
    config.add_view(return_status, route_name="return")


@pytest.fixture
def wider(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestApp]:
    """The app with views as a copier would add them, and an origin that may read it."""
    settings = settings.model_copy(update={"cors_origins": frozenset({ORIGIN})})
    app = main({}, service=settings, **{"pyramid.includes": "tests.test_app.add_views"})
    yield TestApp(app)
    app.registry["engine"].dispose()


@pytest.mark.parametrize(
    ("status", "title", "headers"),
    [
        (402, "Payment Required", {}),
        (409, "Conflict", {}),
        (410, "Gone", {}),
        (418, "I'm a Teapot", {}),
        (429, "Too Many Requests", {"Retry-After": "30"}),
        (503, "Service Unavailable", {"Retry-After": "30"}),
        (401, "Unauthorized", {}),
        (405, "Method Not Allowed", {}),
    ],
)
def test_an_error_the_contract_does_not_know_is_about_blank(
    wider: TestApp, status: int, title: str, headers: dict[str, str]
) -> None:
    response = wider.get(f"/raise/{status}", status=status)
    assert response.json == {"type": "about:blank", "title": title, "status": status}
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "X-Request-ID" in response.headers
    assert {name: response.headers[name] for name in headers} == headers


# Pyramid has no rate limiter that is kept up: this is what one would do.
@pytest.mark.parametrize("verb", ["raise", "return"])
def test_a_rate_limiters_429_keeps_its_retry_after(wider: TestApp, verb: str) -> None:
    response = wider.get(f"/{verb}/429", status=429)
    title = "Too Many Requests"
    assert response.json == {"type": "about:blank", "title": title, "status": 429}
    assert response.headers["Retry-After"] == "30"


def test_an_error_response_without_a_body_is_a_problem(wider: TestApp) -> None:
    response = wider.get("/return/410", status=410)
    assert response.json == {"type": "about:blank", "title": "Gone", "status": 410}


def test_pyramids_404_means_what_the_slug_says(wider: TestApp) -> None:
    assert wider.get("/raise/404", status=404).json["type"] == "/problems/not-found"


def test_a_page_of_an_allowed_origin_may_read_every_answer(wider: TestApp) -> None:
    ada, page = Account(wider, "ada@example.org"), {"Origin": ORIGIN}
    answers = [
        wider.get("/users/me", headers={**ada.headers, **page}),
        wider.get("/nowhere", headers=page, status=404),
        wider.get("/items", headers=page, status=401),
        wider.post("/items/1", headers=page, status=405),
        wider.post_json("/items", {}, headers={**ada.headers, **page}, status=422),
        wider.get("/raise/500", headers=page, status=500),
        wider.get("/raise/503", headers=page, status=503),
        wider.get("/ws/echo", headers=page, status=426),
    ]
    for answer in answers:
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert "WWW-Authenticate" in answer.headers["Access-Control-Expose-Headers"]
        assert answer.headers["Vary"] == "Origin"
    asks = {**page, "Access-Control-Request-Method": "PATCH"}
    preflight = wider.options("/items/1", headers=asks, status=204)
    assert preflight.headers["Access-Control-Allow-Methods"] == preflight.headers["Allow"]
    assert "If-Match" in preflight.headers["Access-Control-Allow-Headers"]
    assert preflight.headers["Access-Control-Max-Age"] == "600"
    for other in ({}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
        headers = wider.get("/healthz", headers=other).headers
        assert not any(name.startswith("Access-Control") for name in headers)


def test_a_traceback_and_a_warning_bear_the_request_id(
    wider: TestApp, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter())
    logging.getLogger("app").addHandler(handler)
    try:
        wider.get("/raise/500", headers={"X-Request-ID": "mine-1"}, status=500)
    finally:
        logging.getLogger("app").removeHandler(handler)
    records = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [record["logger"] for record in records] == ["app.items", "app.errors", "app.access"]
    assert [record["request_id"] for record in records] == ["mine-1"] * 3


def test_the_feed_tells_of_a_created_item(server: str, ada: Account) -> None:
    with connect(f"ws://{server}/ws/events", additional_headers=ada.headers, proxy=None) as feed:
        ready = json.loads(feed.recv(5))
        item = ada.create_item()
        event = json.loads(feed.recv(5))
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
