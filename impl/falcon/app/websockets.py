"""What both websockets have in common: how many there are, and how each begins and ends."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import falcon
import falcon.asgi
from falcon.asgi import Request, Response, WebSocket
from falcon.media import BinaryBaseHandlerWS, TextBaseHandlerWS

from app.errors import HandshakeRefused, Unavailable
from app.messages import log_exchange

PATIENCE_SECONDS = 30.0  # with a client that takes neither a message nor its Close
_REFUSAL = "app.refusal"

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class App(falcon.asgi.App[Request, Response]):
    """Falcon's application, which answers a refused handshake like a plain request."""

    async def __call__(  # type: ignore[override]  # as Falcon does to its WSGI application
        self, scope: dict[str, Any], receive: Receive, send: Send
    ) -> None:
        """Serve a request, or a websocket from its handshake on."""
        if scope["type"] != "websocket":
            await super().__call__(scope, receive, send)
            return
        try:
            await super().__call__(scope, receive, _within_patience(send))
        # Contract: Falcon would close the socket, which servers answer with a bare 403.
        except HandshakeRefused as refused:
            request = {**scope, "type": "http", "method": "GET", _REFUSAL: refused.error}
            await super().__call__(request, _receive_nothing, _as_denial(send))


class RefusalMiddleware:
    """Raise what refused a websocket's handshake, where plain requests are answered."""

    async def process_request(self, req: Request, resp: Response) -> None:
        """Raise it instead of routing the request."""
        if _REFUSAL in req.scope:
            raise req.scope[_REFUSAL]


def _within_patience(send: Send) -> Send:
    async def send_in_time(message: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await send(message)
        # RuntimeError is uvicorn's, for what is sent after a Close that uvicorn itself has made.
        except (TimeoutError, RuntimeError) as error:
            if message["type"] == "websocket.send":
                raise ConnectionError from error  # Falcon takes it for a client that is gone
            if message["type"] != "websocket.close":
                raise

    return send_in_time


def _as_denial(send: Send) -> Send:
    async def send_denial(message: dict[str, Any]) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    return send_denial


async def _receive_nothing() -> dict[str, Any]:
    return {"type": "http.request"}


class Sockets:
    """The places for open websockets; one over the limit is refused."""

    def __init__(self, limit: int) -> None:
        self._free = limit

    @contextmanager
    def place(self) -> Iterator[None]:
        """Take a place until the socket ends; raise 503 when there is none."""
        if not self._free:
            raise Unavailable
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1


class PlainText(TextBaseHandlerWS):
    """Text messages as they are."""

    def serialize(self, media: object) -> str:
        """Return the text."""
        return str(media)

    def deserialize(self, payload: str) -> object:
        """Return the text."""
        return payload


class PlainBytes(BinaryBaseHandlerWS):
    """Binary messages as they are."""

    def serialize(self, media: object) -> bytes:
        """Return the bytes."""
        return bytes(media)  # type: ignore[call-overload,no-any-return]

    def deserialize(self, payload: bytes) -> object:
        """Return the bytes."""
        return payload


def offers_bearer(req: Request) -> bool:
    """Tell whether a websocket's handshake offers the subprotocol `bearer` first."""
    subprotocols: list[str] = req.scope.get("subprotocols", [])
    return subprotocols[:1] == ["bearer"]


async def accept(req: Request, ws: WebSocket) -> None:
    """Complete the handshake."""
    await ws.accept(subprotocol="bearer" if offers_bearer(req) else None)
    log_exchange(req, 101)
