"""Bodies, read on the event loop before a thread takes the request."""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote_from_bytes

from app.parsers import MAX_BODY_BYTES

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]


class BodyReader:
    """Read what a client sends, up to the limit: so a slow client keeps no thread waiting."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request; one whose client leaves meanwhile is not begun."""
        # Contract: WSGI would take X_Request_ID for X-Request-ID.
        headers = [(name, value) for name, value in scope["headers"] if b"_" not in name]
        fields = dict(headers)
        body, more = bytearray(), True
        if int(fields.get(b"content-length", b"0")) <= MAX_BODY_BYTES:
            while more and len(body) <= MAX_BODY_BYTES:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return
                body += message.get("body", b"")
                more = message.get("more_body", False)
        if b"transfer-encoding" in fields:
            # Contract: Django would take a chunked body for none.
            headers.append((b"content-length", str(len(body)).encode()))
        query = quote_from_bytes(scope["query_string"], safe=_ASCII).encode()  # WSGI's is ASCII
        scope = {**scope, "headers": headers, "query_string": query}
        await self._app(scope, _replay(bytes(body), more, receive), send)


_ASCII = "".join(map(chr, range(0x21, 0x7F)))


def _replay(body: bytes, more: bool, receive: Receive) -> Receive:
    messages = [{"type": "http.request", "body": body, "more_body": more}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay
