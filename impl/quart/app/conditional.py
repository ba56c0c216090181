"""Conditional requests (RFC 9110 section 13): reads that save a body, writes that lose nothing."""

from typing import Any

from quart import request
from quart.typing import ResponseReturnValue

from app.errors import Problem
from app.preconditions import etag, if_match_fails, if_none_match_hits

# Contract: request.if_match would take an unquoted or weak tag for the tag itself, and
# Response.make_conditional() would add Accept-Ranges and answer writes too.


def answer(body: dict[str, Any], version: int) -> ResponseReturnValue:
    """Answer with a resource, or with 304 when the client of a GET has this version."""
    headers = {"ETag": etag(version)}
    is_read = request.method in {"GET", "HEAD"}
    if is_read and if_none_match_hits(_field("If-None-Match"), etag(version)):
        return "", 304, headers
    return body, 200, headers


def check_preconditions(version: int) -> None:
    """Refuse a write whose If-Match or If-None-Match does not hold."""
    current = etag(version)
    if if_match_fails(_field("If-Match"), current):
        raise Problem("precondition-failed")
    if if_none_match_hits(_field("If-None-Match"), current):
        raise Problem("precondition-failed")


def _field(name: str) -> str | None:
    # Contract: request.headers.get() would be the first of several lines.
    lines = request.headers.getlist(name)
    return ", ".join(lines) if lines else None
