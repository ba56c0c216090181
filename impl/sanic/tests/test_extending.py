"""What a copier adds first works as Sanic's own documentation shows it."""

from http import HTTPStatus
from typing import Any

import pytest
from sanic import HTTPResponse
from sanic.exceptions import SanicException, ServiceUnavailable

from app.auth import token_required
from app.config import Settings
from app.context import App, Request
from app.database import begin_writing
from app.main import create_app
from app.models import User
from tests.conftest import Account, Client, serving

ORIGIN = "https://app.example"


def expect_about_blank(client: Client, path: str, status: int) -> Any:
    """Return the headers of a problem that the contract does not know."""
    response = client.get(path)
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    title = HTTPStatus(status).phrase
    assert response.json == {"type": "about:blank", "title": title, "status": status}
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["X-Request-ID"]
    return response.headers


@pytest.mark.parametrize("status", [400, 401, 402, 403, 409, 410, 412, 418, 422, 429, 503])
def test_an_error_the_contract_does_not_know_is_about_blank(app: App, status: int) -> None:
    @app.get("/fails")
    async def fail(_: Request) -> HTTPResponse:
        raise SanicException("an internal detail", status)

    with serving(app) as client:
        expect_about_blank(client, "/fails", status)


@pytest.mark.parametrize(
    "error",
    [
        SanicException("an internal detail", 429, headers={"Retry-After": "30"}),
        ServiceUnavailable("an internal detail", headers={"Retry-After": "30"}),
    ],
    ids=["429", "503"],
)
def test_an_error_keeps_its_own_headers(app: App, error: SanicException) -> None:
    @app.get("/fails")
    async def fail(_: Request) -> HTTPResponse:
        raise error

    with serving(app) as client:
        assert expect_about_blank(client, "/fails", error.status_code)["Retry-After"] == "30"


def test_a_page_of_an_allowed_origin_may_read_every_answer(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"cors_origins": {ORIGIN}}))
    app.set_serving(True)
    preflight = {"Origin": ORIGIN, "Access-Control-Request-Method": "PATCH"}
    with serving(app) as client:
        for path, status in (("/healthz", 200), ("/users/me", 401), ("/nowhere", 404)):
            response = client.get(path, headers={"Origin": ORIGIN})
            assert response.status_code == status
            assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
            assert "WWW-Authenticate" in response.headers["Access-Control-Expose-Headers"]
            assert "Origin" in response.headers["Vary"]
        asked = client.request("options", "/items/1", headers=preflight)
        other = client.get("/healthz", headers={"Origin": "https://evil.example"})
    assert asked.status_code == 204
    assert "PATCH" in asked.headers["Access-Control-Allow-Methods"]
    assert "Access-Control-Allow-Origin" not in other.headers


def test_what_was_changed_before_the_writing_is_not_lost_silently(
    app: App, caplog: pytest.LogCaptureFixture
) -> None:
    @app.post("/wrong")
    @token_required
    async def wrong(request: Request) -> HTTPResponse:
        user = await request.ctx.session.get_one(User, request.ctx.user_id)
        user.name = "Lost"
        await request.ctx.session.flush()
        await begin_writing(request.ctx.session)
        raise AssertionError("it was lost")

    with serving(app) as client:
        ada = Account(client, "ada@example.org")
        assert client.post("/wrong", headers=ada.headers).status_code == 500
        assert "the session has changes" in caplog.text
        assert client.get("/users/me", headers=ada.headers).json["name"] == "Ada"
