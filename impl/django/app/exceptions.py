"""Problems (RFC 9457): every error of the service, and what Django's and DRF's become."""

import logging
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import psycopg
from django.db import Error
from django.http import Http404, HttpRequest, JsonResponse
from rest_framework.exceptions import (
    APIException,
    ErrorDetail,
    MethodNotAllowed,
    NotAuthenticated,
    NotFound,
    PermissionDenied,
    UnsupportedMediaType,
    ValidationError,
)
from rest_framework.response import Response
from rest_framework.settings import api_settings

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
CHALLENGE = 'Bearer realm="api"'
# DRF's codes as JSON Schema's keywords, in the order in which they are asked.
_KEYWORDS = {
    "required": "required",
    "unknown": "additionalProperties",
    "null": "type",
    "invalid": "type",
    "not_a_list": "type",
    "invalid_choice": "enum",
    "min_properties": "minProperties",
    "max_items": "maxItems",
    "unique_items": "uniqueItems",
    "min_length": "minLength",
    "max_length": "maxLength",
    "pattern": "pattern",
    "null_characters_not_allowed": "pattern",
    "min_value": "minimum",
    "max_value": "maximum",
}
_CODES = list(_KEYWORDS)
_SQLITE_UNREACHABLE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_IOERR,
}


class Problem(APIException):
    """A refusal; `slug` names its type."""

    def __init__(self, slug: str, headers: Mapping[str, str] | None = None, **members: Any) -> None:
        self.status_code, title = PROBLEMS[slug]
        super().__init__(title, slug)
        self.headers = headers or {}
        self.members = {
            "type": f"/problems/{slug}",
            "title": title,
            "status": self.status_code,
            **members,
        }

    def response(self) -> JsonResponse:
        """Return the problem as Django answers it, outside of DRF's views."""
        return JsonResponse(
            self.members,
            status=self.status_code,
            headers=self.headers,
            content_type="application/problem+json",
        )


def unauthorized() -> Problem:
    """Say that a token is needed."""
    return Problem("unauthorized", {"WWW-Authenticate": CHALLENGE})


def invalid_token() -> Problem:
    """Say that the token is not, or no longer, valid."""
    return Problem("unauthorized", {"WWW-Authenticate": f'{CHALLENGE}, error="invalid_token"'})


def invalid_credentials() -> Problem:
    """Say that e-mail address and password do not belong together."""
    return Problem("invalid-credentials", {"WWW-Authenticate": CHALLENGE})


def invalid(detail: Mapping[str, Any], where: str) -> Problem:
    """List what does not fit the schema: `detail` is a serializer's errors."""
    found = ({"in": where, **violation} for violation in _violations(detail))
    return Problem("validation", errors=sorted(found, key=lambda each: each["pointer"]))


def upgrade_required() -> Problem:
    """Say that the path is a websocket's."""
    return Problem("upgrade-required", {"Upgrade": "websocket", "Connection": "Upgrade"})


def unavailable() -> Problem:
    """Say that the service cannot answer just now."""
    return Problem("unavailable", {"Retry-After": "1"})


def handle(error: Exception, _context: Mapping[str, Any]) -> Response | None:
    """Answer DRF's exceptions with their problems; leave others to Django."""
    problem = _problem_of(error)
    if problem is None:
        return None
    return Response(
        problem.members,
        problem.status_code,
        headers=problem.headers,
        content_type="application/problem+json",
    )


def problem_of_database(error: Exception) -> Problem | None:
    """Return the problem of a database that does not answer, so that a retry may help."""
    if not (isinstance(error, Error) and _is_unreachable(error)):
        return None
    logger.warning("the database does not answer: %s", error)
    return unavailable()


def bad_request(_request: HttpRequest, exception: Exception) -> JsonResponse:
    """Answer what Django itself does not understand."""
    return Problem("malformed-json").response()


def forbidden(_request: HttpRequest, exception: Exception) -> JsonResponse:
    """Answer what Django itself forbids."""
    return Problem("forbidden").response()


def page_not_found(_request: HttpRequest, exception: Exception) -> JsonResponse:
    """Say that there is no such route."""
    return Problem("not-found").response()


def server_error(_request: HttpRequest) -> JsonResponse:
    """Answer an exception that nobody foresaw; Django has logged it."""
    return Problem("internal-error").response()


def _problem_of(error: Exception) -> Problem | None:
    match error:
        case Problem():
            return error
        case ValidationError():
            return invalid(error.detail, "body")
        case NotAuthenticated():
            return unauthorized()
        case PermissionDenied():
            return Problem("forbidden")
        case Http404() | NotFound():  # get_object's is Django's
            return Problem("not-found")
        case MethodNotAllowed():
            return Problem("method-not-allowed")
        case UnsupportedMediaType():
            return Problem("unsupported-media-type")
    return None  # what else DRF raises is a defect of ours


def _violations(detail: Mapping[Any, Any], parent: str = "") -> Iterator[dict[str, str]]:
    for name, errors in detail.items():
        pointer = parent if name == api_settings.NON_FIELD_ERRORS_KEY else _pointer(parent, name)
        if isinstance(errors, Mapping):
            yield from _violations(errors, pointer)
        else:
            yield {"pointer": pointer, "code": _keyword(errors)}


def _pointer(parent: str, name: object) -> str:
    """Append a member or index to a JSON Pointer (RFC 6901)."""
    return f"{parent}/{str(name).replace('~', '~0').replace('/', '~1')}"


def _keyword(errors: Sequence[ErrorDetail]) -> str:
    """Return the first that fails."""
    return _KEYWORDS[min((error.code for error in errors), key=_CODES.index)]


def _is_unreachable(error: Error) -> bool:
    cause = error.__cause__
    if isinstance(cause, sqlite3.Error):
        return (getattr(cause, "sqlite_errorcode", 0) & 0xFF) in _SQLITE_UNREACHABLE
    if isinstance(cause, psycopg.OperationalError):
        # No SQLSTATE: never connected, or cut off; 08 connection, 53 resources, 57P shutdown.
        return cause.sqlstate is None or cause.sqlstate.startswith(("08", "53", "57P"))
    return False
