"""Problems (RFC 9457): every error of the service, and what Flask's own errors become."""

import json
import logging
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, request
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException, InternalServerError, MethodNotAllowed, NotFound

from app.database import is_unreachable

logger = logging.getLogger(__name__)

PROBLEMS = {
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
_REALM = 'Bearer realm="api"'


class Problem(HTTPException):
    """An HTTP error that answers with a problem document."""

    def __init__(self, slug: str, headers: Mapping[str, str] | None = None, **members: Any) -> None:
        super().__init__()
        self.code, title = PROBLEMS[slug]
        self.headers = {"Content-Type": "application/problem+json", **(headers or {})}
        self.members = {"type": f"/problems/{slug}", "title": title, "status": self.code, **members}

    def get_headers(self, *_: Any) -> list[tuple[str, str]]:
        """Return the headers that Werkzeug answers with."""
        return list(self.headers.items())

    def get_body(self, *_: Any) -> str:
        """Return the body that Werkzeug answers with."""
        return json.dumps(self.members)


def not_found() -> Problem:
    """Say that there is no such route or resource."""
    return Problem("not-found")


def unauthorized() -> Problem:
    """Say that a token is needed."""
    return Problem("unauthorized", {"WWW-Authenticate": _REALM})


def invalid_token() -> Problem:
    """Say that the token is not, or no longer, valid."""
    return Problem("unauthorized", {"WWW-Authenticate": f'{_REALM}, error="invalid_token"'})


def invalid_credentials() -> Problem:
    """Say that e-mail address and password do not belong together."""
    return Problem("invalid-credentials", {"WWW-Authenticate": _REALM})


def invalid(violations: list[dict[str, str]]) -> Problem:
    """List what does not fit the schema."""
    return Problem("validation", errors=violations)


def upgrade_required() -> Problem:
    """Say that the path is a websocket's."""
    return Problem("upgrade-required", {"Upgrade": "websocket", "Connection": "Upgrade"})


def unavailable() -> Problem:
    """Say that the service cannot answer just now."""
    return Problem("unavailable", {"Retry-After": "1"})


def method_not_allowed(valid_methods: Iterable[str]) -> Problem:
    """Say which methods the path has."""
    return Problem("method-not-allowed", {"Allow": _allow(valid_methods)})


def init_errors(app: Flask) -> None:
    """Turn the errors of Flask, Werkzeug and SQLAlchemy into problems."""
    # Contract: Flask would answer OPTIONS by itself, with 200 and an empty text/html.
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.register_error_handler(NotFound, _handle_no_route)
    app.register_error_handler(MethodNotAllowed, _handle_wrong_method)
    app.register_error_handler(InternalServerError, _handle_internal_error)
    app.register_error_handler(HTTPException, _handle_http_error)
    app.register_error_handler(SQLAlchemyError, _handle_database_error)


def _handle_wrong_method(error: MethodNotAllowed) -> Response | Problem:
    methods = error.valid_methods or ()
    if request.method == "OPTIONS":
        return Response(status=204, headers={"Allow": _allow(methods)})
    return method_not_allowed(methods)


def _handle_no_route(_: NotFound) -> Problem:
    return not_found()


def _handle_internal_error(_: InternalServerError) -> Problem:
    return Problem("internal-error")


def _handle_http_error(error: HTTPException) -> HTTPException | Response:
    return error if isinstance(error, Problem) else _about_blank(error)


def _about_blank(error: HTTPException) -> Response:
    """Return the answer to an error that the contract does not know (RFC 9457 section 4.2.1)."""
    # Contract: Werkzeug would answer with a page of HTML; its headers stay.
    status = error.code or 500
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = "Unknown"
    body = json.dumps({"type": "about:blank", "title": title, "status": status})
    response = Response(body, status, Headers(error.get_headers()))
    response.content_type = "application/problem+json"
    return response


def _handle_database_error(error: SQLAlchemyError) -> Problem:
    if is_unreachable(error):
        logger.warning("the database does not answer: %s", error)
        return unavailable()
    raise error


def _allow(methods: Iterable[str]) -> str:
    return ", ".join(sorted({*methods, "OPTIONS"}))
