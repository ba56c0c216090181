"""Conditional requests (RFC 9110 section 13): reads that save a body, writes that lose nothing."""

from rest_framework.request import Request

from app.exceptions import Problem
from app.models import Resource
from app.preconditions import etag, if_match_fails, if_none_match_hits

# Contract: @condition would ask before the view runs, outside of its transaction, and take
# an unquoted tag for a tag.


def is_not_modified(request: Request, resource: Resource) -> bool:
    """Return whether the client of a GET has this version of the resource already."""
    current = etag(resource.pk, resource.version)
    hits = if_none_match_hits(request.headers.get("If-None-Match"), current)
    return request.method in {"GET", "HEAD"} and hits


def check_preconditions(request: Request, resource: Resource) -> None:
    """Raise 412 if If-Match or If-None-Match does not hold for the resource."""
    current = etag(resource.pk, resource.version)
    if if_match_fails(request.headers.get("If-Match"), current):
        raise Problem("precondition-failed")
    if if_none_match_hits(request.headers.get("If-None-Match"), current):
        raise Problem("precondition-failed")
