"""Problems (RFC 9457): every error of the service, and the exception views that answer them."""

import logging
from collections.abc import Mapping
from http.client import responses
from typing import Any

from pyramid.exceptions import URLDecodeError
from pyramid.httpexceptions import HTTPError
from pyramid.request import Request
from pyramid.response import Response
from pyramid.security import forget
from pyramid.view import exception_view_config, forbidden_view_config, notfound_view_config
from sqlalchemy.exc import SQLAlchemyError

from app.database import is_unreachable

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
PROBLEM_JSON = "application/problem+json"
CHALLENGE = 'Bearer realm="api"'
INVALID_TOKEN = f'{CHALLENGE}, error="invalid_token"'

logger = logging.getLogger(__name__)


class Problem(Exception):  # noqa: N818 (RFC 9457's own word)
    """An error that is answered with a problem document."""

    def __init__(self, slug: str, headers: Mapping[str, str] | None = None, **members: Any) -> None:
        super().__init__(slug)
        self.status, title = PROBLEMS[slug]
        self.headers = headers or {}
        self.members = {"type": f"/problems/{slug}", "title": title, "status": self.status}
        self.members |= members


def about_blank(status: int) -> dict[str, Any]:
    """Return the problem of an error that the contract does not know (RFC 9457 section 4.2.1)."""
    title = responses.get(status, "Unknown Status Code")
    return {"type": "about:blank", "title": title, "status": status}


def complete(response: Response) -> None:
    """Make a problem of an HTTPError, raised or returned, and of an error without a body."""
    # Contract: Pyramid would answer with a page of HTML, text or JSON of its own.
    if response.status_code < 400 or not (isinstance(response, HTTPError) or not response.has_body):
        return
    response.json_body = about_blank(response.status_code)
    response.content_type = PROBLEM_JSON


def invalid_token() -> Problem:
    """Say that the token is not, or no longer, valid."""
    return Problem("unauthorized", {"WWW-Authenticate": INVALID_TOKEN})


def invalid_credentials() -> Problem:
    """Say that e-mail address and password do not belong together."""
    return Problem("invalid-credentials", {"WWW-Authenticate": CHALLENGE})


def invalid(violations: list[dict[str, str]]) -> Problem:
    """List what does not fit the schema."""
    return Problem("validation", errors=violations)


def upgrade_required() -> Problem:
    """Say that the path is a websocket's."""
    return Problem("upgrade-required", {"Upgrade": "websocket", "Connection": "Upgrade"})


def unavailable() -> Problem:
    """Say that the service cannot answer just now."""
    return Problem("unavailable", {"Retry-After": "1"})


@exception_view_config(Problem, renderer="problem")
def answer_problem(problem: Problem, request: Request) -> dict[str, Any]:
    """Answer with a problem that the service itself has raised."""
    return _fill(request, problem)


# Contract: Pyramid would answer with pages of HTML, or text for who accepts that.
@notfound_view_config(renderer="problem")
@exception_view_config(URLDecodeError, renderer="problem")
def answer_not_found(error: Exception, request: Request) -> dict[str, Any]:
    """Say that there is no such route or resource."""
    return _fill(request, Problem("not-found", _own_headers(error)))


@forbidden_view_config(renderer="problem")
def answer_forbidden(error: Exception, request: Request) -> dict[str, Any]:
    """Ask for a token, or refuse its user."""
    if request.is_authenticated:
        return _fill(request, Problem("forbidden", _own_headers(error)))
    return _fill(request, Problem("unauthorized", dict(forget(request))))


@exception_view_config(SQLAlchemyError, renderer="problem")
def answer_database_error(error: SQLAlchemyError, request: Request) -> dict[str, Any]:
    """Say that the database does not answer, if it was that."""
    if not is_unreachable(error):
        return _fill(request, _defect(request, error))
    logger.warning("the database does not answer: %s", error)
    return _fill(request, unavailable())


@exception_view_config(Exception, renderer="problem")
def answer_defect(error: Exception, request: Request) -> dict[str, Any]:
    """Say that something happened that nobody foresaw, and no more than that."""
    return _fill(request, _defect(request, error))


def _own_headers(error: Exception) -> dict[str, str]:
    """Return the headers that an exception of Pyramid's was raised with."""
    headers = dict(error.headers) if isinstance(error, HTTPError) else {}
    return {name: value for name, value in headers.items() if not name.startswith("Content-")}


def _fill(request: Request, problem: Problem) -> dict[str, Any]:
    request.response.status_code = problem.status
    request.response.headers.update(problem.headers)
    return problem.members


def _defect(request: Request, error: Exception) -> Problem:
    logger.error("%s failed", request.method, exc_info=error)
    return Problem("internal-error")
