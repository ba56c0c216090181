"""Problems (RFC 9457), and the handlers that turn exceptions into them."""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Literal

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic_core import ErrorDetails
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from app.database import is_unreachable
from app.schemas import violations
from app.validation import is_json, is_too_large

logger = logging.getLogger(__name__)

_STATUS = {
    "malformed-json": (400, "Malformed JSON"),
    "unauthorized": (401, "Unauthorized"),
    "invalid-credentials": (401, "Invalid credentials"),
    "forbidden": (403, "Forbidden"),
    "not-found": (404, "Not found"),
    "method-not-allowed": (405, "Method not allowed"),
    "email-taken": (409, "Email already taken"),
    "precondition-failed": (412, "Precondition failed"),
    "content-too-large": (413, "Content too large"),
    "unsupported-media-type": (415, "Unsupported media type"),
    "validation": (422, "Validation failed"),
    "upgrade-required": (426, "Upgrade required"),
    "internal-error": (500, "Internal error"),
    "unavailable": (503, "Service unavailable"),
}
_CHALLENGE = 'Bearer realm="api"'

PROBLEM_RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "Any refusal, as a problem (RFC 9457)",
        "content": {
            "application/problem+json": {
                "schema": {
                    "type": "object",
                    "required": ["type", "title", "status"],
                    "properties": {
                        "type": {"type": "string"},
                        "title": {"type": "string"},
                        "status": {"type": "integer"},
                        "errors": {"type": "array", "items": {"type": "object"}},
                    },
                }
            }
        },
    }
}


class Problem(HTTPException):
    """A refusal that a handler or dependency raises; `slug` names its type."""

    def __init__(
        self,
        slug: str,
        headers: Mapping[str, str] | None = None,
        errors: list[dict[str, str]] | None = None,
    ) -> None:
        status, self.title = _STATUS[slug]
        super().__init__(status, detail=self.title, headers=headers)
        self.slug = slug
        self.errors = errors

    def response(self) -> Response:
        """Return the problem as it is sent."""
        body = {"type": f"/problems/{self.slug}", "title": self.title, "status": self.status_code}
        return JSONResponse(
            body if self.errors is None else body | {"errors": self.errors},
            self.status_code,
            headers=self.headers,
            media_type="application/problem+json",
        )


def unauthorized() -> Problem:
    """Return the refusal of a request without a token."""
    return Problem("unauthorized", {"WWW-Authenticate": _CHALLENGE})


def invalid_token() -> Problem:
    """Return the refusal of a token that is not valid, or whose user is gone."""
    return Problem("unauthorized", {"WWW-Authenticate": f'{_CHALLENGE}, error="invalid_token"'})


def invalid_credentials() -> Problem:
    """Return the refusal of a log-in, which does not say what was wrong."""
    return Problem("invalid-credentials", {"WWW-Authenticate": _CHALLENGE})


def upgrade_required() -> Problem:
    """Return the refusal of a plain request to a websocket's path."""
    return Problem("upgrade-required", {"Upgrade": "websocket", "Connection": "Upgrade"})


def unavailable() -> Problem:
    """Return the refusal that a retry may overcome."""
    return Problem("unavailable", {"Retry-After": "1"})


def install_error_handlers(app: FastAPI) -> None:
    """Answer every exception with its problem; a websocket's handshake too."""
    app.add_exception_handler(HTTPException, _answer_http_exception)
    app.add_exception_handler(RequestValidationError, _answer_validation_error)
    app.add_exception_handler(WebSocketRequestValidationError, _answer_validation_error)
    app.add_exception_handler(SQLAlchemyError, _answer_database_error)


async def _answer_http_exception(connection: HTTPConnection, error: Exception) -> Response:
    if isinstance(error, Problem):
        return error.response()
    assert isinstance(error, HTTPException)  # noqa: S101 (what the handler is registered for)
    if error.status_code == 405:
        return _answer_other_method(connection)
    if error.status_code == 404:
        return Problem("not-found").response()
    return _about_blank(error)


def _about_blank(error: HTTPException) -> Response:
    """Return the answer to an error that the contract does not know (RFC 9457 section 4.2.1)."""
    # Contract: FastAPI would answer with the exception's detail; its headers stay.
    status = error.status_code
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = "Unknown"
    body = {"type": "about:blank", "title": title, "status": status}
    return JSONResponse(body, status, error.headers, "application/problem+json")


def _answer_other_method(connection: HTTPConnection) -> Response:
    # Contract: FastAPI would list one route's methods in Allow, and OPTIONS nowhere.
    matching = (
        route.methods or set()
        for route in iter_route_contexts(connection.app.routes)
        if route.matches(connection.scope)[0] is not Match.NONE
    )
    methods = {"OPTIONS"}.union(*matching)
    methods |= {"HEAD"} if "GET" in methods else set()
    headers = {"Allow": ", ".join(sorted(methods))}
    # Contract: FastAPI would answer OPTIONS with 405.
    if connection.scope["method"] == "OPTIONS":
        return Response(status_code=204, headers=headers)
    return Problem("method-not-allowed", headers).response()


async def _answer_validation_error(connection: HTTPConnection, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError | WebSocketRequestValidationError)  # noqa: S101
    body = getattr(error, "body", None)
    if any(each["type"] == "json_invalid" for each in error.errors()):  # of a plain APIRouter
        return Problem("malformed-json").response()
    if isinstance(body, bytes):  # see BodyRequest: it was no JSON
        return _body_problem(connection, body).response()
    errors = error.errors()
    found = [*_violations(errors, "body"), *_violations(errors, "query")]
    return Problem("validation", errors=found).response()


def _body_problem(connection: HTTPConnection, body: bytes) -> Problem:
    if is_too_large(connection.headers, body):
        return Problem("content-too-large")
    if not is_json(connection):
        return Problem("unsupported-media-type")
    return Problem("malformed-json")


def _violations(
    errors: Sequence[ErrorDetails], where: Literal["body", "query"]
) -> list[dict[str, str]]:
    inside = (error for error in errors if error["loc"][0] == where)
    return violations((_moved(error, error["loc"][1:]) for error in inside), where)


def _moved(error: ErrorDetails, location: tuple[int | str, ...]) -> ErrorDetails:
    return ErrorDetails(**{**error, "loc": location})


async def _answer_database_error(_: HTTPConnection, error: Exception) -> Response:
    if is_unreachable(error):
        logger.warning("the database does not answer: %s", error)
        return unavailable().response()
    raise error
