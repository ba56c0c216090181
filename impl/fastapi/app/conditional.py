"""Conditional requests (RFC 9110 section 13): reads that save a body, writes that lose nothing."""

from typing import Annotated, TypeVar

from fastapi import Depends, Header, Response

from app.errors import Problem
from app.models import Item, User
from app.preconditions import etag, if_match_fails, if_none_match_hits

Resource = TypeVar("Resource", User, Item)


class ConditionalRequest:
    """The request's If-Match and If-None-Match, and the response's ETag."""

    def __init__(
        self,
        response: Response,
        if_match: Annotated[list[str] | None, Header()] = None,
        if_none_match: Annotated[list[str] | None, Header()] = None,
    ) -> None:
        self._headers = response.headers
        self._if_match = None if if_match is None else ", ".join(if_match)
        self._if_none_match = None if if_none_match is None else ", ".join(if_none_match)

    def read(self, resource: Resource) -> Resource | Response:
        """Return the resource, or 304 when the client has it already."""
        tag = etag(resource.version)
        if if_none_match_hits(self._if_none_match, tag):
            return Response(status_code=304, headers={"ETag": tag})
        self._headers["ETag"] = tag
        return resource

    def require(self, resource: User | Item) -> None:
        """Raise 412 unless the resource is in the state that the client expects."""
        tag = etag(resource.version)
        if if_match_fails(self._if_match, tag) or if_none_match_hits(self._if_none_match, tag):
            raise Problem("precondition-failed")

    def tag(self, resource: User | Item) -> None:
        """Give the response the resource's ETag."""
        self._headers["ETag"] = etag(resource.version)


Conditions = Annotated[ConditionalRequest, Depends()]
