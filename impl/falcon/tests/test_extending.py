"""What a copier adds first works as Falcon's own documentation shows it."""

from http import HTTPStatus
from unittest.mock import Mock

import falcon
import pytest
from falcon.asgi import Request, Response
from falcon.testing import ASGIConductor

from app.auth import Authenticator, authenticate
from app.config import Settings
from app.main import create_app
from app.outbox import WritingTransaction
from app.websockets import App
from tests.conftest import SignUp

ORIGIN = "https://app.example"


class Fails:
    """A resource that raises."""

    def __init__(self, error: falcon.HTTPError) -> None:
        self._error = error

    async def on_get(self, req: Request, resp: Response) -> None:
        raise self._error


async def expect_about_blank(conductor: ASGIConductor, path: str, status: int) -> dict[str, str]:
    """Return the headers of a problem that the contract does not know."""
    result = await conductor.get(path)
    assert result.status_code == status
    assert result.headers["Content-Type"] == "application/problem+json"
    title = HTTPStatus(status).phrase
    assert result.json == {"type": "about:blank", "title": title, "status": status}
    assert result.headers["X-Content-Type-Options"] == "nosniff"
    assert result.headers["X-Request-ID"]
    return dict(result.headers)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 409, 410, 412, 418, 422, 429, 503])
async def test_an_error_the_contract_does_not_know_is_about_blank(
    app: App, conductor: ASGIConductor, status: int
) -> None:
    app.add_route("/fails", Fails(falcon.HTTPError(status, description="an internal detail")))
    await expect_about_blank(conductor, "/fails", status)


@pytest.mark.parametrize("error", [falcon.HTTPTooManyRequests, falcon.HTTPServiceUnavailable])
async def test_an_error_keeps_its_own_headers(
    app: App,
    conductor: ASGIConductor,
    error: type[falcon.HTTPTooManyRequests | falcon.HTTPServiceUnavailable],
) -> None:
    raised = error(description="an internal detail", retry_after=30)
    app.add_route("/fails", Fails(raised))
    headers = await expect_about_blank(conductor, "/fails", raised.status_code)
    assert headers["retry-after"] == "30"


async def test_a_page_of_an_allowed_origin_may_read_every_answer(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"cors_origins": {ORIGIN}}))
    preflight = {"Origin": ORIGIN, "Access-Control-Request-Method": "PATCH"}
    async with ASGIConductor(app) as conductor:
        for path, status in (("/healthz", 200), ("/users/me", 401), ("/nowhere", 404)):
            result = await conductor.get(path, headers={"Origin": ORIGIN})
            assert result.status_code == status
            assert result.headers["Access-Control-Allow-Origin"] == ORIGIN
            assert "WWW-Authenticate" in result.headers["Access-Control-Expose-Headers"]
            assert "Origin" in result.headers["Vary"]
        asked = await conductor.options("/items/1", headers=preflight)
        other = await conductor.get("/healthz", headers={"Origin": "https://evil.example"})
    assert asked.status_code == 204
    assert "PATCH" in asked.headers["Access-Control-Allow-Methods"]
    assert "Access-Control-Allow-Origin" not in other.headers


async def test_what_was_changed_before_the_writing_is_not_lost_silently(
    app: App,
    conductor: ASGIConductor,
    settings: Settings,
    sign_up: SignUp,
    caplog: pytest.LogCaptureFixture,
) -> None:
    @falcon.before(authenticate)
    class Wrong:
        auth = Authenticator(settings)

        async def on_post(self, req: Request, resp: Response) -> None:
            req.context.user.name = "Lost"
            await req.context.session.flush()
            async with WritingTransaction(req.context.session, Mock()):
                raise AssertionError("it was lost")

    app.add_route("/wrong", Wrong())
    ada = await sign_up("ada@example.org")
    assert (await conductor.post("/wrong", headers=ada.headers)).status_code == 500
    assert "the session has changes" in caplog.text
    assert (await conductor.get("/users/me", headers=ada.headers)).json["name"] == "Ada"
