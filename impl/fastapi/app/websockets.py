"""What both websockets have in common: how many there are, and how each begins and ends."""

import asyncio
import logging
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress

from starlette.requests import HTTPConnection
from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.errors import Problem, unavailable

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 30.0  # with a client that takes neither a message nor its Close
INTERNAL_ERROR = 1011  # RFC 6455 section 7.4.1


class Sockets:
    """The places for open websockets; one over the limit is refused."""

    def __init__(self, limit: int) -> None:
        self._free = limit

    @contextmanager
    def place(self) -> Iterator[None]:
        """Take a place until the socket ends; raise 503 when there is none."""
        if not self._free:
            raise unavailable()
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1


def offers_bearer(connection: HTTPConnection) -> bool:
    """Tell whether a websocket's handshake offers the subprotocol `bearer` first."""
    subprotocols: list[str] = connection.scope.get("subprotocols", [])
    return subprotocols[:1] == ["bearer"]


async def accept(websocket: WebSocket) -> None:
    """Complete the handshake."""
    await websocket.accept(subprotocol="bearer" if offers_bearer(websocket) else None)


async def send(websocket: WebSocket, message: Message) -> None:
    """Send a message, in a bounded time; raise WebSocketDisconnect when the socket has ended."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await websocket.send(message)
    # uvicorn's, for what is sent after a Close that uvicorn itself has made.
    except RuntimeError as error:
        raise WebSocketDisconnect from error


async def run(websocket: WebSocket, conversation: Coroutine[None, None, int | None]) -> None:
    """Hold the conversation, and close the socket with the code that it ends with, if any."""
    try:
        code = await conversation
    except (WebSocketDisconnect, TimeoutError):  # the client is gone, or has stopped to read
        return
    except Exception:
        logger.exception("a websocket failed")
        code = INTERNAL_ERROR
    if code is not None:
        with suppress(WebSocketDisconnect, TimeoutError, RuntimeError):  # it may be closed by now
            async with asyncio.timeout(PATIENCE_SECONDS):
                await websocket.close(code)


async def refuse_unknown_path(_: WebSocket) -> None:
    """Refuse a handshake on a path that has no websocket."""
    raise Problem("not-found")
