"""Bodies, checked in the contract's order."""

from typing import Any

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection, Request

from app.strict_json import MalformedJSONError, parse_json

MAX_BODY_BYTES = 65_536


class BodyRequest(Request):
    """A request whose body's faults wait until the dependencies have had their say.

    A body that is no JSON goes to validation as bytes. No schema takes them, and the handler
    of RequestValidationError tells from the bytes what is wrong.
    """

    async def body(self) -> bytes:
        """Return the body, cut off when it is too large; never empty."""
        if not hasattr(self, "_body"):
            # Contract: FastAPI would call an empty body a missing field.
            self._body = await self._read() or b" "
        return self._body

    async def _read(self) -> bytes:
        content = bytearray()
        # Contract: Starlette would answer a body beyond its limit with text/plain.
        if not is_too_large(self.headers):
            async for chunk in self.stream():
                content += chunk
                if len(content) > MAX_BODY_BYTES:
                    break
        return bytes(content)

    async def json(self) -> Any:
        """Return the parsed body, or its bytes."""
        body = await self.body()
        # Contract: FastAPI would take any application/…+json.
        if is_too_large(self.headers, body) or not is_json(self):
            return body
        # Contract: FastAPI would take NaN, UTF-16, a BOM and lone surrogates.
        try:
            return parse_json(body)
        # Contract: FastAPI would answer 422 to malformed JSON, before it asks who sends it.
        except MalformedJSONError:
            return body


def is_json(connection: HTTPConnection) -> bool:
    """Tell whether Content-Type is one that the operation documents."""
    media_type = connection.headers.get("Content-Type", "").partition(";")[0].strip(" \t").lower()
    is_merge_patch = media_type == "application/merge-patch+json"
    return media_type == "application/json" or (
        is_merge_patch and connection.scope["method"] == "PATCH"
    )


def is_too_large(headers: Headers, body: bytes = b"") -> bool:
    """Tell whether the body exceeds the limit, as announced or as read."""
    announced = headers.get("Content-Length", "0")
    return len(body) > MAX_BODY_BYTES or (announced.isdecimal() and int(announced) > MAX_BODY_BYTES)
