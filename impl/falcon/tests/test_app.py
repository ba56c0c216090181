"""What the service does, in Falcon's own test conductor; the whole contract is in conformance/."""

import uuid
from pathlib import Path
from unittest.mock import Mock

import pytest
from falcon.testing import ASGIConductor
from pydantic import ValidationError

from app.config import Settings
from app.main import create_app
from app.tokens import issue_token
from tests.conftest import Account


async def test_sign_up_returns_the_user_without_the_password(conductor: ASGIConductor) -> None:
    body = {"email": "Ada@Example.org", "name": "Ada", "password": "correct horse"}
    result = await conductor.post("/users", json=body)
    assert result.status_code == 201
    assert result.headers["Location"] == f"/users/{result.json['id']}"
    assert result.headers["ETag"] == f'"{result.json["id"]}-1"'
    assert result.json.keys() == {"id", "email", "name", "created_at", "updated_at"}
    assert result.json["email"] == "ada@example.org"


async def test_log_in_returns_a_token(conductor: ASGIConductor, ada: Account) -> None:
    result = await conductor.post("/tokens", json=ada.credentials)
    assert result.status_code == 201
    assert result.headers["Cache-Control"] == "no-store"
    headers = {"Authorization": f"Bearer {result.json['access_token']}"}
    assert (await conductor.get("/users/me", headers=headers)).json == ada.user


async def test_wrong_password_and_unknown_email_answer_alike(
    conductor: ASGIConductor, ada: Account
) -> None:
    wrong = await conductor.post("/tokens", json={**ada.credentials, "password": "wrong horse"})
    unknown = await conductor.post("/tokens", json={**ada.credentials, "email": "eve@example.org"})
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.json == unknown.json
    assert wrong.json["type"] == "/problems/invalid-credentials"


async def test_a_taken_email_is_409(conductor: ASGIConductor, ada: Account) -> None:
    body = {"email": ada.user["email"].upper(), "name": "Eve", "password": "correct horse"}
    result = await conductor.post("/users", json=body)
    assert result.status_code == 409
    assert result.json["type"] == "/problems/email-taken"


async def test_a_missing_token_is_401(conductor: ASGIConductor) -> None:
    result = await conductor.get("/items")
    assert result.status_code == 401
    assert result.headers["WWW-Authenticate"] == 'Bearer realm="api"'


async def test_a_forged_token_is_401(conductor: ASGIConductor, ada: Account) -> None:
    token = issue_token(ada.user["id"], "another key, of thirty-two bytes and more", 60)
    result = await conductor.get("/items", headers={"Authorization": f"Bearer {token}"})
    assert result.status_code == 401
    assert result.headers["WWW-Authenticate"] == 'Bearer realm="api", error="invalid_token"'


async def test_writing_anothers_item_is_403(
    conductor: ASGIConductor, ada: Account, bob: Account
) -> None:
    item = await ada.create_item()
    result = await conductor.patch(
        f"/items/{item['id']}", json={"name": "Mine"}, headers=bob.headers
    )
    assert result.status_code == 403
    assert (await conductor.get(f"/items/{item['id']}", headers=bob.headers)).json == item


async def test_an_unknown_item_is_404(conductor: ASGIConductor, ada: Account) -> None:
    result = await conductor.get("/items/999", headers=ada.headers)
    assert result.status_code == 404
    assert result.json == {"type": "/problems/not-found", "title": "Not found", "status": 404}


async def test_a_wrong_method_is_405_with_allow(conductor: ASGIConductor) -> None:
    result = await conductor.post("/items/1")
    assert result.status_code == 405
    allowed = set(result.headers["Allow"].split(", "))
    assert allowed == {"GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"}


async def test_malformed_json_is_400(conductor: ASGIConductor, ada: Account) -> None:
    headers = {**ada.headers, "Content-Type": "application/json"}
    result = await conductor.post("/items", body=b'{"name": NaN}', headers=headers)
    assert result.status_code == 400
    assert result.json["type"] == "/problems/malformed-json"


async def test_an_invalid_body_lists_its_violations(conductor: ASGIConductor, ada: Account) -> None:
    body = {"name": "", "tags": ["a", 1], "colour": "red"}
    result = await conductor.post("/items", json=body, headers=ada.headers)
    assert result.status_code == 422
    assert result.json["errors"] == [
        {"in": "body", "pointer": "/colour", "code": "additionalProperties"},
        {"in": "body", "pointer": "/name", "code": "minLength"},
        {"in": "body", "pointer": "/price_cents", "code": "required"},
        {"in": "body", "pointer": "/tags/1", "code": "type"},
    ]


async def test_a_stale_if_match_is_412(conductor: ASGIConductor, ada: Account) -> None:
    item_id = (await ada.create_item())["id"]
    path = f"/items/{item_id}"
    headers = {**ada.headers, "If-Match": f'"{item_id}-1"'}
    first = await conductor.patch(path, json={"name": "First"}, headers=headers)
    second = await conductor.patch(path, json={"name": "Second"}, headers=headers)
    assert (first.status_code, first.headers["ETag"]) == (200, f'"{item_id}-2"')
    assert second.status_code == 412
    assert (await conductor.get(path, headers=ada.headers)).json["name"] == "First"


async def test_if_none_match_is_304(conductor: ASGIConductor, ada: Account) -> None:
    tag = f'"{ada.user["id"]}-1"'
    result = await conductor.get(ada.path, headers={**ada.headers, "If-None-Match": f"W/{tag}"})
    assert result.status_code == 304
    assert result.headers["ETag"] == tag
    assert result.headers["Cache-Control"] == "private, no-cache"
    assert result.content == b""


async def test_pages_walk_to_the_end(conductor: ASGIConductor, ada: Account) -> None:
    created = [(await ada.create_item(status="active"))["id"] for _ in range(5)]
    walked: list[int] = []
    target = "/items?status=active&limit=2"
    while target is not None:
        result = await conductor.get(target, headers=ada.headers)
        walked += [item["id"] for item in result.json["data"]]
        target = result.json["next"]
        assert result.headers.get("Link") == (target and f'<{target}>; rel="next"')
    assert walked == created


async def test_put_resets_what_it_leaves_out(conductor: ASGIConductor, ada: Account) -> None:
    item = await ada.create_item(description="Bright", status="active", tags=["b", "a"])
    assert item["tags"] == ["a", "b"]
    body = {"name": "Lamp", "price_cents": 5}
    replaced = (await conductor.put(f"/items/{item['id']}", json=body, headers=ada.headers)).json
    assert replaced["description"] is None
    assert replaced["status"] == "draft"
    assert replaced["tags"] == []


async def test_deleting_a_user_deletes_its_items(
    conductor: ASGIConductor, ada: Account, bob: Account
) -> None:
    path = f"/items/{(await ada.create_item(tags=['a']))['id']}"
    assert (await conductor.delete(ada.path, headers=ada.headers)).status_code == 204
    assert (await conductor.get(path, headers=bob.headers)).status_code == 404
    assert (await conductor.get("/users/me", headers=ada.headers)).status_code == 401


async def test_every_response_carries_a_request_id(conductor: ASGIConductor) -> None:
    sent = await conductor.get("/healthz", headers={"X-Request-ID": "mine-1"})
    assert sent.headers["X-Request-ID"] == "mine-1"
    refused = await conductor.get("/nowhere", headers={"X-Request-ID": "not mine"})
    assert uuid.UUID(refused.headers["X-Request-ID"]).version == 4
    assert refused.headers["X-Content-Type-Options"] == "nosniff"


async def test_an_unhandled_error_is_500_without_details(
    settings: Settings, ada: Account, caplog: pytest.LogCaptureFixture
) -> None:
    sessions = Mock(side_effect=RuntimeError("the secret of the house"))
    async with ASGIConductor(create_app(settings, sessions)) as failing:
        result = await failing.get("/items", headers=ada.headers)
    assert result.status_code == 500
    assert result.json["type"] == "/problems/internal-error"
    assert "secret" not in result.text
    assert "the secret of the house" in caplog.text


async def test_the_feed_tells_of_a_created_item(conductor: ASGIConductor, ada: Account) -> None:
    async with conductor.simulate_ws("/ws/events", headers=ada.headers) as feed:
        ready = await feed.receive_json()
        item = await ada.create_item()
        event = await feed.receive_json()
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
