"""Conditional requests (RFC 9110 section 13): reads that save a body, writes that lose nothing."""

from typing import Any

from pydantic import BaseModel
from pyramid.httpexceptions import HTTPNotModified
from pyramid.request import Request

from app.errors import Problem
from app.preconditions import etag, if_match_fails, if_none_match_hits

# Contract: request.if_match would take an unquoted tag for the tag itself, and a
# conditional_response would answer Range and If-Modified-Since too.


def answer(request: Request, resource: BaseModel, version: int) -> Any:
    """Answer with a resource, or with 304 when the client of a GET has this version."""
    headers = {"ETag": etag(version)}
    is_read = request.method in {"GET", "HEAD"}
    if is_read and if_none_match_hits(request.headers.get("If-None-Match"), etag(version)):
        return HTTPNotModified(headers=headers)
    request.response.headers.update(headers)
    return resource


def check_preconditions(request: Request, version: int) -> None:
    """Refuse a write whose If-Match or If-None-Match does not hold."""
    current = etag(version)
    if if_match_fails(request.headers.get("If-Match"), current):
        raise Problem("precondition-failed")
    if if_none_match_hits(request.headers.get("If-None-Match"), current):
        raise Problem("precondition-failed")
