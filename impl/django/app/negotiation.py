"""One representation, and the media types that a body may have."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request


class OneRepresentation(BaseContentNegotiation):
    """Answer in JSON whatever the client accepts."""

    def select_parser(self, request: Request, parsers: Sequence[BaseParser]) -> BaseParser | None:
        """Return the parser of the body's media type."""
        # Contract: DRF would take application/* and */* for JSON.
        media_type = request.content_type.partition(";")[0].strip(" \t").lower()
        return next((p for p in parsers if fnmatchcase(media_type, p.media_type)), None)

    def select_renderer(
        self, request: Request, renderers: Sequence[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """Return the one renderer."""
        # Contract: DRF would answer 406 to an Accept without application/json.
        return renderers[0], renderers[0].media_type
