"""Conditional requests (RFC 9110 section 13): reads that save a body, writes that lose nothing."""

from typing import Annotated, Any, TypeVar

from fastapi import Depends, Header, Response

from app.errors import Problem
from app.models import Item, User
from app.preconditions import etag, if_match_fails, if_none_match_hits

NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "The client has it already"}}

CACHE_CONTROL = "private, no-cache"  # of what is read with a token (RFC 9111 section 5.2.2)

Resource = TypeVar("Resource", User, Item)
FieldLines = Annotated[list[str] | None, Header()]


class ConditionalRead:
    """A GET's If-None-Match, and the ETag of its response."""

    def __init__(self, response: Response, if_none_match: FieldLines) -> None:
        self._headers = response.headers
        self._if_none_match = _join(if_none_match)

    def answer(self, resource: Resource) -> Resource | Response:
        """Return the resource, or 304 when the client has it already."""
        headers = {"ETag": etag(resource.id, resource.version), "Cache-Control": CACHE_CONTROL}
        if if_none_match_hits(self._if_none_match, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        self._headers.update(headers)
        return resource


class ConditionalWrite:
    """A PUT's, PATCH's or DELETE's If-Match and If-None-Match, and the ETag of its response."""

    def __init__(self, response: Response, if_match: FieldLines, if_none_match: FieldLines) -> None:
        self._headers = response.headers
        self._if_match = _join(if_match)
        self._if_none_match = _join(if_none_match)

    def check(self, resource: User | Item) -> None:
        """Raise 412 unless the resource is in the state that the client expects."""
        tag = etag(resource.id, resource.version)
        if if_match_fails(self._if_match, tag) or if_none_match_hits(self._if_none_match, tag):
            raise Problem("precondition-failed")

    def tag(self, resource: User | Item) -> None:
        """Give the response the resource's new ETag."""
        self._headers["ETag"] = etag(resource.id, resource.version)


async def read_conditions(response: Response, if_none_match: FieldLines = None) -> ConditionalRead:
    """Return the conditions of a GET."""
    return ConditionalRead(response, if_none_match)


async def write_conditions(
    response: Response, if_match: FieldLines = None, if_none_match: FieldLines = None
) -> ConditionalWrite:
    """Return the conditions of a PUT, PATCH or DELETE."""
    return ConditionalWrite(response, if_match, if_none_match)


def _join(lines: list[str] | None) -> str | None:
    return None if lines is None else ", ".join(lines)


ReadConditions = Annotated[ConditionalRead, Depends(read_conditions)]
WriteConditions = Annotated[ConditionalWrite, Depends(write_conditions)]
