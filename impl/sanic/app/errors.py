"""Problems (RFC 9457), and the handler that turns exceptions into them."""

import logging
from asyncio import CancelledError
from http import HTTPStatus
from typing import Any

from sanic import HTTPResponse, empty, json
from sanic.compat import Header
from sanic.exceptions import MethodNotAllowed, NotFound, PayloadTooLarge, SanicException
from sanic.handlers import ErrorHandler

from app.database import is_unreachable

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
CLIENT_GONE = 499  # in the access log only
_CHALLENGE = 'Bearer realm="api"'


class Problem(SanicException):
    """A refusal that a handler or middleware raises; `slug` names its type."""

    quiet = True

    def __init__(
        self,
        slug: str,
        headers: dict[str, str] | None = None,
        errors: list[dict[str, str]] | None = None,
    ) -> None:
        status, title = _STATUS[slug]
        super().__init__(title, status, headers=headers)
        self.members: dict[str, Any] = {
            "type": f"/problems/{slug}",
            "title": title,
            "status": status,
        }
        if errors is not None:
            self.members["errors"] = errors

    def response(self) -> HTTPResponse:
        """Return the problem as it is sent."""
        return _response(self.members, self.headers)


def _response(members: dict[str, Any], headers: dict[str, Any]) -> HTTPResponse:
    response = json(members, members["status"], content_type="application/problem+json")
    response.headers = _ProblemHeader(headers)
    return response


class _ProblemHeader(Header):
    """Headers whose Connection, once set, is added to."""

    def __setitem__(self, name: str, value: str) -> None:
        # Contract: Sanic would write "close" in the place of a 426's "Upgrade".
        if name.lower() == "connection" and name in self:
            value = f"{self[name]}, {value}"
        super().__setitem__(name, value)


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


class ProblemHandler(ErrorHandler):
    """Answers every exception with its problem."""

    def default(self, request: Any, exception: Exception) -> HTTPResponse:
        """Return the response to an exception."""
        if isinstance(exception, CancelledError):  # nobody is there to read it
            return empty(CLIENT_GONE)
        if isinstance(exception, MethodNotAllowed):
            return self._answer_other_method(request)
        if is_unreachable(exception):
            extra = {"request_id": request.id}
            logger.warning("the database does not answer: %s", exception, extra=extra)
            return unavailable().response()
        self.log(request, exception)
        return _answer(exception)

    @staticmethod
    def _answer_other_method(request: Any) -> HTTPResponse:
        headers = {"Allow": request.app.router.allowed_methods(request.path)}
        # Contract: Sanic would answer OPTIONS with 405.
        if request.method == "OPTIONS":
            return empty(headers=headers)
        return Problem("method-not-allowed", headers).response()

    @staticmethod
    def log(request: Any, exception: Exception) -> None:
        """Log what nobody foresaw; a refusal has its line in the access log."""
        # Contract: Sanic would log the query, where some send their token.
        status, is_quiet = (
            getattr(exception, "status_code", 500),
            getattr(exception, "quiet", False),
        )
        if status >= 500 and not is_quiet:
            extra = {"request_id": request.id}
            logger.error("unhandled exception", exc_info=exception, extra=extra)


def _answer(exception: Exception) -> HTTPResponse:
    if isinstance(exception, Problem):
        return exception.response()
    if isinstance(exception, NotFound):
        return Problem("not-found").response()
    if isinstance(exception, PayloadTooLarge):
        return Problem("content-too-large").response()
    if isinstance(exception, SanicException):
        return _about_blank(exception)
    return Problem("internal-error").response()


def _about_blank(exception: SanicException) -> HTTPResponse:
    """Return the answer to an error that the contract does not know (RFC 9457 section 4.2.1)."""
    # Contract: Sanic would answer with a text of its own; the exception's headers stay.
    status = exception.status_code
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = "Unknown"
    members = {"type": "about:blank", "title": title, "status": status}
    return _response(members, exception.headers)
