"""What becomes of exceptions: Django's, DRF's and the database's are answered with problems."""

import json
import logging
import sqlite3
from collections.abc import Mapping
from typing import Any

import psycopg
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.db import Error
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from rest_framework.exceptions import (
    MethodNotAllowed,
    NotAuthenticated,
    NotFound,
    PermissionDenied,
    UnsupportedMediaType,
    ValidationError,
)
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import exception_handler

from app.exceptions import PROBLEM_JSON, Problem, about_blank, invalid, unavailable

logger = logging.getLogger(__name__)

_SQLITE_UNREACHABLE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_IOERR,
}


def handle(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """Answer DRF's exceptions with problems and with DRF's headers; leave others to Django."""
    response = exception_handler(error, context)
    if response is None:
        return None
    problem = _problem_of(error, context["request"])
    if problem is None:
        response.data = about_blank(response.status_code)
    else:
        response.data, response.status_code = problem.members, problem.status_code
        for name, value in problem.headers.items():
            response[name] = value
    response.content_type = PROBLEM_JSON
    return response


def complete(response: HttpResponse) -> None:
    """Make a problem of an error response without a body, such as Django's HttpResponseGone()."""
    if response.status_code < 400 or response.streaming or response.content:
        return
    members = about_blank(response.status_code)
    if isinstance(response, HttpResponseNotAllowed):
        members = Problem("method-not-allowed").members
    response.content = json.dumps(members)
    response["Content-Type"] = PROBLEM_JSON


def conflict() -> JsonResponse:
    """Answer a write to a row that another request has changed since it was read."""
    return JsonResponse(about_blank(409), status=409, content_type=PROBLEM_JSON)


def problem_of_database(error: Exception) -> Problem | None:
    """Return the problem of a database that does not answer, so that a retry may help."""
    if not (isinstance(error, Error) and _is_unreachable(error)):
        return None
    logger.warning("the database does not answer: %s", error)
    return unavailable()


def bad_request(_request: HttpRequest, exception: Exception) -> JsonResponse:
    """Answer a request that Django itself does not accept, such as one with a wrong Host."""
    return JsonResponse(about_blank(400), status=400, content_type=PROBLEM_JSON)


def forbidden(_request: HttpRequest, exception: Exception) -> JsonResponse:
    """Answer what Django itself forbids."""
    return Problem("forbidden").response()


def page_not_found(_request: HttpRequest, exception: Exception) -> JsonResponse:
    """Say that there is no such route."""
    return Problem("not-found").response()


def server_error(_request: HttpRequest) -> JsonResponse:
    """Answer an exception that nobody foresaw; Django has logged it."""
    return Problem("internal-error").response()


def _problem_of(error: Exception, request: Request) -> Problem | None:
    """Return the problem that means just what the exception means, if there is one."""
    match error:
        case Problem():
            return error
        case ValidationError(status_code=ValidationError.status_code):
            is_query = request.method in {"GET", "HEAD"}
            return invalid(error.detail, "query" if is_query else "body")
        case NotAuthenticated(status_code=NotAuthenticated.status_code):
            return Problem("unauthorized")  # DRF gives it the authenticator's challenge
        case PermissionDenied(status_code=PermissionDenied.status_code) | DjangoPermissionDenied():
            return Problem("forbidden")
        case NotFound(status_code=NotFound.status_code) | Http404():  # get_object's is Django's
            return Problem("not-found")
        case MethodNotAllowed(status_code=MethodNotAllowed.status_code):
            return Problem("method-not-allowed")
        case UnsupportedMediaType(status_code=UnsupportedMediaType.status_code):
            return Problem("unsupported-media-type")
    return None


def _is_unreachable(error: Error) -> bool:
    cause = error.__cause__
    if isinstance(cause, sqlite3.Error):
        return (getattr(cause, "sqlite_errorcode", 0) & 0xFF) in _SQLITE_UNREACHABLE
    if isinstance(cause, psycopg.OperationalError):
        # No SQLSTATE: never connected, or cut off; 08 connection, 53 resources, 57P shutdown.
        return cause.sqlstate is None or cause.sqlstate.startswith(("08", "53", "57P"))
    return False
