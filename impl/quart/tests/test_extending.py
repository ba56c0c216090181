"""What a copier adds first works as Quart's own documentation shows it."""

import io
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from http import HTTPStatus

import pytest
from quart import Quart, abort, g, session
from quart.typing import ResponseReturnValue, TestClientProtocol as Client
from quart_rate_limiter import RateLimiter, rate_limit
from werkzeug.datastructures import Headers
from werkzeug.exceptions import (
    HTTPException,
    ServiceUnavailable,
    TooManyRequests,
    default_exceptions,
)

from app import create_app, schemas
from app.auth import token_required
from app.config import Settings
from app.logs import RequestIdFilter
from app.models import User
from app.sessions import db
from app.validation import read_body
from tests.conftest import Account

ORIGIN = "https://app.example"


async def expect_about_blank(client: Client, path: str, status: int) -> Headers:
    """Return the headers of a problem that the contract does not know."""
    response = await client.get(path)
    assert response.status_code == status
    assert response.mimetype == "application/problem+json"
    title = HTTPStatus(status).phrase
    assert await response.get_json() == {"type": "about:blank", "title": title, "status": status}
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["X-Request-ID"]
    return response.headers


class PaymentRequired(HTTPException):
    code = 402
    description = "an internal detail"


@pytest.mark.parametrize("status", [400, 401, 402, 403, 409, 410, 412, 418, 422, 429, 503])
async def test_an_error_the_contract_does_not_know_is_about_blank(
    app: Quart, client: Client, status: int
) -> None:
    @app.get("/fails")
    async def fail() -> ResponseReturnValue:
        if status in default_exceptions:
            abort(status, description="an internal detail")
        raise PaymentRequired

    await expect_about_blank(client, "/fails", status)


@pytest.mark.parametrize("error", [TooManyRequests, ServiceUnavailable])
async def test_an_error_keeps_its_own_headers(
    app: Quart, client: Client, error: type[TooManyRequests | ServiceUnavailable]
) -> None:
    @app.get("/fails")
    async def fail() -> ResponseReturnValue:
        raise error(retry_after=30)

    headers = await expect_about_blank(client, "/fails", error.code or 0)
    assert headers["Retry-After"] == "30"


async def test_a_rate_limiters_429_keeps_its_retry_after(settings: Settings) -> None:
    app = create_app(settings)
    RateLimiter(app)

    @app.get("/limited")
    @rate_limit(1, timedelta(hours=1))
    async def limited() -> ResponseReturnValue:
        return {"status": "ok"}

    async with app.test_app():
        client = app.test_client()
        assert (await client.get("/limited")).status_code == 200
        headers = await expect_about_blank(client, "/limited", 429)
    assert int(headers["Retry-After"]) > 3000


async def test_a_page_of_an_allowed_origin_may_read_every_answer(settings: Settings) -> None:
    client = create_app(settings.model_copy(update={"cors_origins": {ORIGIN}})).test_client()
    for path, status in (("/healthz", 200), ("/users/me", 401), ("/nowhere", 404)):
        response = await client.get(path, headers={"Origin": ORIGIN})
        assert response.status_code == status
        assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert "WWW-Authenticate" in response.headers["Access-Control-Expose-Headers"]
        assert "Origin" in response.headers["Vary"]
    preflight = {"Origin": ORIGIN, "Access-Control-Request-Method": "PATCH"}
    asked = await client.options("/items/1", headers=preflight)
    assert asked.status_code == 204
    assert "PATCH" in asked.headers["Access-Control-Allow-Methods"]
    other = await client.get("/healthz", headers={"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in other.headers


async def test_the_session_works(app: Quart, client: Client) -> None:
    @app.get("/visits")
    async def visits() -> ResponseReturnValue:
        session["visits"] = session.get("visits", 0) + 1
        return {"visits": session["visits"]}

    for count in (1, 2):
        assert await (await client.get("/visits")).get_json() == {"visits": count}


async def test_a_body_is_not_read_after_the_session_was_changed(
    app: Quart,
    client: Client,
    sign_up: Callable[[str], Awaitable[Account]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    @app.post("/wrong")
    @token_required
    async def wrong() -> ResponseReturnValue:
        user = await db.session.get_one(User, g.user_id)
        user.name = "Lost"
        await db.session.flush()
        return (await read_body(schemas.ItemCreate)).model_dump()

    body, ada = {"name": "Lamp", "price_cents": 1}, await sign_up("ada@example.org")
    assert (await client.post("/wrong", json=body, headers=ada.headers)).status_code == 500
    assert "the session has changes" in caplog.text
    assert (await client.post("/items", json=body, headers=ada.headers)).status_code == 201


async def test_a_record_of_a_request_has_its_id(app: Quart, client: Client) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(RequestIdFilter())
    handler.setFormatter(logging.Formatter("%(request_id)s %(message)s"))
    app.logger.addHandler(handler)

    @app.get("/warns")
    async def warn() -> ResponseReturnValue:
        app.logger.warning("beware")
        raise RuntimeError("unforeseen")

    try:
        await client.get("/warns", headers={"X-Request-ID": "mine"})
    finally:
        app.logger.removeHandler(handler)
    assert "mine beware" in stream.getvalue()
    assert "mine Exception on" in stream.getvalue()
