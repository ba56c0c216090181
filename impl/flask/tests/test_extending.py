"""What a copier adds first works as Flask's own documentation shows it."""

import io
import logging
from collections.abc import Callable
from http import HTTPStatus

import pytest
from flask import Flask, abort, g, session
from flask.testing import FlaskClient
from flask.typing import ResponseReturnValue
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from werkzeug.exceptions import (
    HTTPException,
    ServiceUnavailable,
    TooManyRequests,
    default_exceptions,
)

from app import create_app, schemas
from app.auth import token_required
from app.config import Settings
from app.database import db
from app.logs import RequestIdFilter
from app.models import User
from app.validation import read_body
from tests.conftest import Account

ORIGIN = "https://app.example"


def expect_about_blank(client: FlaskClient, path: str, status: int) -> dict[str, str]:
    """Return the headers of a problem that the contract does not know."""
    response = client.get(path)
    assert response.status_code == status
    assert response.mimetype == "application/problem+json"
    title = HTTPStatus(status).phrase
    assert response.get_json() == {"type": "about:blank", "title": title, "status": status}
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["X-Request-ID"]
    return dict(response.headers)


class PaymentRequired(HTTPException):
    code = 402
    description = "an internal detail"


@pytest.mark.parametrize("status", [400, 401, 402, 403, 409, 410, 412, 418, 422, 429, 503])
def test_an_error_the_contract_does_not_know_is_about_blank(
    app: Flask, client: FlaskClient, status: int
) -> None:
    @app.get("/fails")
    def fail() -> ResponseReturnValue:
        if status in default_exceptions:
            abort(status, description="an internal detail")
        raise PaymentRequired

    expect_about_blank(client, "/fails", status)


@pytest.mark.parametrize("error", [TooManyRequests, ServiceUnavailable])
def test_an_error_keeps_its_own_headers(
    app: Flask, client: FlaskClient, error: type[TooManyRequests | ServiceUnavailable]
) -> None:
    @app.get("/fails")
    def fail() -> ResponseReturnValue:
        raise error(retry_after=30)

    assert expect_about_blank(client, "/fails", error.code or 0)["Retry-After"] == "30"


def test_a_rate_limiters_429_keeps_its_retry_after(app: Flask, client: FlaskClient) -> None:
    limiter = Limiter(get_remote_address, app=app, storage_uri="memory://", headers_enabled=True)

    @app.get("/limited")
    @limiter.limit("1/hour")
    def limited() -> ResponseReturnValue:
        return {"status": "ok"}

    assert client.get("/limited").status_code == 200
    assert int(expect_about_blank(client, "/limited", 429)["Retry-After"]) > 3000


def test_a_page_of_an_allowed_origin_may_read_every_answer(settings: Settings) -> None:
    client = create_app(settings.model_copy(update={"cors_origins": {ORIGIN}})).test_client()
    for path, status in (("/healthz", 200), ("/users/me", 401), ("/nowhere", 404)):
        response = client.get(path, headers={"Origin": ORIGIN})
        assert response.status_code == status
        assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert "WWW-Authenticate" in response.headers["Access-Control-Expose-Headers"]
        assert "Origin" in response.headers["Vary"]
    preflight = {"Origin": ORIGIN, "Access-Control-Request-Method": "PATCH"}
    asked = client.options("/items/1", headers=preflight)
    assert asked.status_code == 204
    assert "PATCH" in asked.headers["Access-Control-Allow-Methods"]
    other = client.get("/healthz", headers={"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in other.headers


def test_the_session_works(app: Flask, client: FlaskClient) -> None:
    @app.get("/visits")
    def visits() -> ResponseReturnValue:
        session["visits"] = session.get("visits", 0) + 1
        return {"visits": session["visits"]}

    assert [client.get("/visits").get_json()["visits"] for _ in range(2)] == [1, 2]


def test_a_body_is_not_read_after_the_session_was_changed(
    app: Flask,
    client: FlaskClient,
    sign_up: Callable[[str], Account],
    caplog: pytest.LogCaptureFixture,
) -> None:
    @app.post("/wrong")
    @token_required
    def wrong() -> ResponseReturnValue:
        user = db.session.get_one(User, g.user_id)
        user.name = "Lost"
        db.session.flush()
        return read_body(schemas.ItemCreate).model_dump()

    body, ada = {"name": "Lamp", "price_cents": 1}, sign_up("ada@example.org")
    assert client.post("/wrong", json=body, headers=ada.headers).status_code == 500
    assert "read the body before" in caplog.text
    assert client.post("/items", json=body, headers=ada.headers).status_code == 201


def test_a_record_of_a_request_has_its_id(app: Flask, client: FlaskClient) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(RequestIdFilter())
    handler.setFormatter(logging.Formatter("%(request_id)s %(message)s"))
    app.logger.addHandler(handler)

    @app.get("/warns")
    def warn() -> ResponseReturnValue:
        app.logger.warning("beware")
        raise RuntimeError("unforeseen")

    try:
        client.get("/warns", headers={"X-Request-ID": "mine"})
    finally:
        app.logger.removeHandler(handler)
    assert "mine beware" in stream.getvalue()
    assert "mine Exception on /warns" in stream.getvalue()
