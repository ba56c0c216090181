"""Problems (RFC 9457): what Falcon's errors and all other exceptions become."""

import logging
from http import HTTPStatus
from typing import Any

import falcon
from falcon.asgi import App, Request, Response, WebSocket
from pydantic_core import to_json

from app.database import is_unreachable

logger = logging.getLogger(__name__)

_SERVER_ERROR = 1011  # RFC 6455 section 7.4.1
_CHALLENGE = 'Bearer realm="api"'


class Unauthorized(falcon.HTTPUnauthorized):
    """There is no token."""

    def __init__(self) -> None:
        super().__init__(challenges=[_CHALLENGE])


class InvalidToken(falcon.HTTPUnauthorized):
    """The token is not valid, or its user is gone."""

    def __init__(self) -> None:
        super().__init__(challenges=[f'{_CHALLENGE}, error="invalid_token"'])


class InvalidCredentials(falcon.HTTPUnauthorized):
    """The log-in failed; nothing says whether for its e-mail address or its password."""

    def __init__(self) -> None:
        super().__init__(challenges=[_CHALLENGE])


class Forbidden(falcon.HTTPForbidden):
    """The resource is another user's."""


class EmailTaken(falcon.HTTPConflict):
    """The e-mail address is another user's."""


class PreconditionFailed(falcon.HTTPPreconditionFailed):
    """The resource is not in the state that the client expects."""


class ValidationFailed(falcon.HTTPUnprocessableEntity):
    """The body or the query does not fit its schema."""

    def __init__(self, errors: list[dict[str, str]]) -> None:
        super().__init__()
        self.errors = errors


class UpgradeRequired(falcon.HTTPError):
    """A plain request came to a websocket's path."""

    def __init__(self) -> None:
        headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
        super().__init__(falcon.HTTP_426, headers=headers)


class Unavailable(falcon.HTTPServiceUnavailable):
    """A retry may succeed."""

    def __init__(self) -> None:
        super().__init__(retry_after=1)


# What each error means; subclasses mean the same.
_PROBLEMS: dict[type[falcon.HTTPError], tuple[str, str]] = {
    falcon.MediaMalformedError: ("malformed-json", "Malformed JSON"),
    falcon.MediaNotFoundError: ("malformed-json", "Malformed JSON"),
    Unauthorized: ("unauthorized", "Unauthorized"),
    InvalidToken: ("unauthorized", "Unauthorized"),
    InvalidCredentials: ("invalid-credentials", "Invalid credentials"),
    Forbidden: ("forbidden", "Forbidden"),
    falcon.HTTPNotFound: ("not-found", "Not found"),
    falcon.HTTPMethodNotAllowed: ("method-not-allowed", "Method not allowed"),
    EmailTaken: ("email-taken", "Email already taken"),
    PreconditionFailed: ("precondition-failed", "Precondition failed"),
    falcon.HTTPContentTooLarge: ("content-too-large", "Content too large"),
    falcon.HTTPUnsupportedMediaType: ("unsupported-media-type", "Unsupported media type"),
    ValidationFailed: ("validation", "Validation failed"),
    UpgradeRequired: ("upgrade-required", "Upgrade required"),
    falcon.HTTPInternalServerError: ("internal-error", "Internal error"),
    Unavailable: ("unavailable", "Service unavailable"),
}


class HandshakeRefused(Exception):  # noqa: N818 (an answer, not an error)
    """A websocket's handshake is to be answered with `error`, as a plain request would be."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def install_error_handlers(app: App[Request, Response]) -> None:
    """Answer every exception with its problem; a websocket's handshake too."""
    app.set_error_serializer(serialize_problem)
    app.add_error_handler(falcon.HTTPError, handle_http_error)
    app.add_error_handler(Exception, handle_exception)


def serialize_problem(req: Request, resp: Response, error: falcon.HTTPError) -> None:
    """Write an error's body."""
    problem = _problem(error)
    # Contract: Falcon would negotiate between JSON and XML, and send Vary.
    resp.content_type = "application/problem+json"
    resp.data = to_json(problem)


def _about_blank(status: int) -> dict[str, Any]:
    """Return the problem of an error that the contract does not know (RFC 9457 section 4.2.1)."""
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = "Unknown"
    return {"type": "about:blank", "title": title, "status": status}


def _problem(error: falcon.HTTPError) -> dict[str, Any]:
    """Return the problem of an error; about:blank if the contract does not know it."""
    status = error.status_code
    known = next((_PROBLEMS[kind] for kind in type(error).__mro__ if kind in _PROBLEMS), None)
    if known is None:
        return _about_blank(status)
    slug, title = known
    problem = {"type": f"/problems/{slug}", "title": title, "status": status}
    return problem | ({"errors": error.errors} if isinstance(error, ValidationFailed) else {})


async def handle_http_error(
    req: Request,
    resp: Response | None,
    error: falcon.HTTPError,
    params: dict[str, Any],
    ws: WebSocket | None = None,
) -> None:
    """Leave the response to Falcon, but for a handshake's."""
    if ws is not None:
        raise HandshakeRefused(error)
    raise error


async def handle_exception(
    req: Request,
    resp: Response | None,
    error: Exception,
    params: dict[str, Any],
    ws: WebSocket | None = None,
) -> None:
    """Answer 503 when the database does not, else 500; close an open websocket with 1011."""
    if ws is not None and ws.unaccepted:
        raise HandshakeRefused(error)
    if ws is None and is_unreachable(error):
        logger.warning("the database does not answer: %s", error)
        raise Unavailable
    request_id = req.context.request_id
    logger.error("unhandled exception", exc_info=error, extra={"request_id": request_id})
    if ws is None:
        raise falcon.HTTPInternalServerError
    await ws.close(_SERVER_ERROR)
