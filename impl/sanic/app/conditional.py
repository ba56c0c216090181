"""Conditional requests (RFC 9110 section 13): reads that save a body, writes that lose nothing."""

from typing import Any

from sanic import HTTPResponse, empty, json

from app.context import Request
from app.errors import Problem
from app.models import Item, User
from app.preconditions import etag, if_match_fails, if_none_match_hits

CACHE_CONTROL = "private, no-cache"  # of what is read with a token (RFC 9111 section 5.2.2)


def answer(request: Request, body: dict[str, Any], version: int) -> HTTPResponse:
    """Answer with a resource, or with 304 when the client of a GET has this version."""
    current = etag(body["id"], version)
    headers = {"ETag": current}
    if request.method in {"GET", "HEAD"}:
        headers["Cache-Control"] = CACHE_CONTROL
        if if_none_match_hits(_field(request, "If-None-Match"), current):
            return empty(304, headers)
    return json(body, headers=headers)


def check_preconditions(request: Request, resource: User | Item) -> None:
    """Refuse a write whose If-Match or If-None-Match does not hold."""
    current = etag(resource.id, resource.version)
    if if_match_fails(_field(request, "If-Match"), current):
        raise Problem("precondition-failed")
    if if_none_match_hits(_field(request, "If-None-Match"), current):
        raise Problem("precondition-failed")


def _field(request: Request, name: str) -> str | None:
    # Contract: request.headers.get() would be the first of several lines.
    lines = request.headers.getall(name, None)
    return None if lines is None else ", ".join(lines)
