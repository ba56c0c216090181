"""Conditional requests (RFC 9110 section 13): reads that save a body, writes that lose nothing."""

from typing import Any

from sanic import HTTPResponse, empty, json

from app.context import Request
from app.errors import Problem
from app.preconditions import etag, if_match_fails, if_none_match_hits


def answer(request: Request, body: dict[str, Any], version: int) -> HTTPResponse:
    """Answer with a resource, or with 304 when the client of a GET has this version."""
    headers = {"ETag": etag(version)}
    is_read = request.method in {"GET", "HEAD"}
    if is_read and if_none_match_hits(_field(request, "If-None-Match"), etag(version)):
        return empty(304, headers)
    return json(body, headers=headers)


def check_preconditions(request: Request, version: int) -> None:
    """Refuse a write whose If-Match or If-None-Match does not hold."""
    current = etag(version)
    if if_match_fails(_field(request, "If-Match"), current):
        raise Problem("precondition-failed")
    if if_none_match_hits(_field(request, "If-None-Match"), current):
        raise Problem("precondition-failed")


def _field(request: Request, name: str) -> str | None:
    # Contract: request.headers.get() would be the first of several lines.
    lines = request.headers.getall(name, None)
    return None if lines is None else ", ".join(lines)
