"""What a copier adds first works as FastAPI's own documentation shows it."""

from collections.abc import Callable, Iterator
from http import HTTPStatus

import pytest
from fastapi import APIRouter, FastAPI, HTTPException
from fastapi.testclient import TestClient
from pydantic import BaseModel

from app import schemas
from app.auth import CurrentUser
from app.config import Settings
from app.dependencies import SessionDep
from app.items import OwnItem
from app.main import create_app
from app.outbox import Writing
from app.routing import Router
from tests.conftest import Account

ORIGIN = "https://app.example"


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def expect_about_blank(client: TestClient, path: str, status: int) -> dict[str, str]:
    """Return the headers of a problem that the contract does not know."""
    response = client.get(path)
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    title = HTTPStatus(status).phrase
    assert response.json() == {"type": "about:blank", "title": title, "status": status}
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["X-Request-ID"]
    return dict(response.headers)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 409, 410, 412, 418, 422, 429, 503])
def test_an_error_the_contract_does_not_know_is_about_blank(
    app: FastAPI, client: TestClient, status: int
) -> None:
    @app.get("/fails")
    async def fail() -> None:
        raise HTTPException(status, detail="an internal detail")

    expect_about_blank(client, "/fails", status)


@pytest.mark.parametrize("status", [429, 503])
def test_an_error_keeps_its_own_headers(app: FastAPI, client: TestClient, status: int) -> None:
    @app.get("/fails")
    async def fail() -> None:
        raise HTTPException(status, headers={"Retry-After": "30"})

    assert expect_about_blank(client, "/fails", status)["retry-after"] == "30"


def test_a_page_of_an_allowed_origin_may_read_every_answer(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"cors_origins": {ORIGIN}}))
    preflight = {"Origin": ORIGIN, "Access-Control-Request-Method": "PATCH"}
    with TestClient(app) as client:
        for path, status in (("/healthz", 200), ("/users/me", 401), ("/nowhere", 404)):
            response = client.get(path, headers={"Origin": ORIGIN})
            assert response.status_code == status
            assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
            assert "WWW-Authenticate" in response.headers["Access-Control-Expose-Headers"]
            assert "Origin" in response.headers["Vary"]
        asked = client.options("/items/1", headers=preflight)
        other = client.get("/healthz", headers={"Origin": "https://evil.example"})
    assert asked.status_code == 204
    assert "PATCH" in asked.headers["Access-Control-Allow-Methods"]
    assert "Access-Control-Allow-Origin" not in other.headers


def test_what_a_handler_was_given_is_readable_while_it_writes(
    app: FastAPI, client: TestClient, ada: Account
) -> None:
    router = Router()

    @router.post("/items/{item_id}/copies", response_model=schemas.Item)
    async def read(item: OwnItem, caller: CurrentUser, writing: Writing) -> schemas.Item:
        async with writing:
            assert caller.id == item.owner_id
            shown = schemas.Item.model_validate(item)
            writing.record("item.updated", item.id, shown)
        return shown

    app.include_router(router)
    item = ada.create_item(tags=["a"])
    copied = client.post(f"/items/{item['id']}/copies", headers=ada.headers)
    assert (copied.status_code, copied.json()) == (200, item)


def test_what_was_changed_before_the_writing_is_not_lost_silently(
    app: FastAPI,
    client: TestClient,
    sign_up: Callable[[str], Account],
    caplog: pytest.LogCaptureFixture,
) -> None:
    @app.post("/wrong")
    async def wrong(caller: CurrentUser, session: SessionDep, writing: Writing) -> None:
        caller.name = "Lost"
        await session.flush()
        async with writing:
            writing.record("user.updated", caller.id)

    ada = sign_up("ada@example.org")
    assert client.post("/wrong", headers=ada.headers).status_code == 500
    assert "the session has changes" in caplog.text
    assert client.get("/users/me", headers=ada.headers).json()["name"] == "Ada"


class Note(BaseModel):
    text: str


@pytest.mark.parametrize("make", [APIRouter, Router])
def test_malformed_json_is_400_at_any_router(
    app: FastAPI, client: TestClient, make: Callable[[], APIRouter]
) -> None:
    router = make()

    @router.post("/notes")
    async def create_note(note: Note) -> Note:
        return note

    app.include_router(router)
    headers = {"Content-Type": "application/json"}
    malformed = client.post("/notes", content=b'{"text": ', headers=headers)
    assert (malformed.status_code, malformed.json()["type"]) == (400, "/problems/malformed-json")
    invalid = client.post("/notes", json={})
    [error] = invalid.json()["errors"]
    assert error == {"in": "body", "pointer": "/text", "code": "required"}
    assert client.post("/notes", json={"text": "x"}).json() == {"text": "x"}
