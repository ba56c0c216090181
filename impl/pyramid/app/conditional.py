"""Conditional requests (RFC 9110 section 13): reads that save a body, writes that lose nothing."""

from typing import Any

from pydantic import BaseModel
from pyramid.httpexceptions import HTTPNotModified
from pyramid.request import Request

from app.errors import Problem
from app.models import Item, User
from app.preconditions import etag, if_match_fails, if_none_match_hits

# Contract: request.if_match would take an unquoted tag for the tag itself, and a
# conditional_response would answer Range and If-Modified-Since too.


CACHE_CONTROL = "private, no-cache"  # of what is read with a token (RFC 9111 section 5.2.2)


def answer(request: Request, resource: User | Item, shown: BaseModel) -> Any:
    """Return what is shown of a resource, or 304 when the client of a GET has this version."""
    current = etag(resource.id, resource.version)
    request.response.headers["ETag"] = current
    if request.method in {"GET", "HEAD"}:
        if if_none_match_hits(request.headers.get("If-None-Match"), current):
            return HTTPNotModified(headers={"ETag": current, "Cache-Control": CACHE_CONTROL})
        request.response.headers["Cache-Control"] = CACHE_CONTROL
    return shown


def check_preconditions(request: Request, resource: User | Item) -> None:
    """Raise 412 if If-Match or If-None-Match does not hold for the resource."""
    current = etag(resource.id, resource.version)
    if if_match_fails(request.headers.get("If-Match"), current):
        raise Problem("precondition-failed")
    if if_none_match_hits(request.headers.get("If-None-Match"), current):
        raise Problem("precondition-failed")
