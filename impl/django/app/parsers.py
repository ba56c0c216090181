"""Bodies, checked in the contract's order."""

from collections.abc import Mapping
from io import BytesIO
from typing import Any, BinaryIO

from rest_framework.parsers import BaseParser
from rest_framework.request import Request as DRFRequest

from app.exceptions import Problem
from app.strict_json import MalformedJSONError, parse_json

MAX_BODY_BYTES = 65_536


class Request(DRFRequest):
    """DRF's request, whose body is checked even where there is none."""

    @property
    def stream(self) -> BinaryIO:
        """The body."""
        # Contract: DRF would take an empty body for {}, of whatever type.
        return super().stream or BytesIO()

    @property
    def data(self) -> Any:
        """The parsed body."""
        announced = self.META.get("CONTENT_LENGTH") or "0"
        if announced.isdecimal() and int(announced) > MAX_BODY_BYTES:
            raise Problem("content-too-large")
        return super().data


class StrictJSONParser(BaseParser):
    """JSON as RFC 8259 has it."""

    media_type = "application/json"

    def parse(
        self,
        stream: BinaryIO,
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return the parsed body."""
        content = stream.read(MAX_BODY_BYTES + 1)
        if len(content) > MAX_BODY_BYTES:
            raise Problem("content-too-large")
        try:
            # Contract: DRF's JSONParser would take UTF-16, a BOM and lone surrogates.
            return parse_json(content)
        except MalformedJSONError:
            raise Problem("malformed-json") from None


class MergePatchParser(StrictJSONParser):
    """A merge patch (RFC 7396)."""

    media_type = "application/merge-patch+json"
