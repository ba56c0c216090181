"""Conditional requests (RFC 9110 section 13): reads that save a body, writes that lose nothing."""

from app.auth import AuthenticatedHandler
from app.errors import Problem
from app.models import Item, User
from app.preconditions import etag, if_match_fails, if_none_match_hits


class ResourceHandler(AuthenticatedHandler):
    """A handler of resources that have versions.

    Tornado asks for the entity tag of a GET that succeeded, and makes it a 304.
    """

    resource: User | Item

    def check_owner(self, owner_id: int) -> None:
        """Raise 403 unless the caller is the owner."""
        if owner_id != self.current_user.id:
            raise Problem("forbidden")

    def compute_etag(self) -> str | None:
        """Return the entity tag of the resource that is answered."""
        return etag(self.resource.id, self.resource.version)

    def check_etag_header(self) -> bool:
        """Tell whether the client has the resource already."""
        # Contract: Tornado would find entity tags in If-None-Match that are no list's elements.
        sent = self.request.headers.get("If-None-Match")
        return if_none_match_hits(sent, etag(self.resource.id, self.resource.version))

    def check_preconditions(self, resource: User | Item) -> None:
        """Raise 412 unless the resource is in the state that the client expects."""
        headers, tag = self.request.headers, etag(resource.id, resource.version)
        if if_match_fails(headers.get("If-Match"), tag) or if_none_match_hits(
            headers.get("If-None-Match"), tag
        ):
            raise Problem("precondition-failed")
