"""What both websockets have in common: how many there are, and how each begins and ends."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sanic import Request
from sanic.exceptions import WebsocketClosed
from sanic.server.protocols.base_protocol import SanicProtocol
from sanic.server.websockets.impl import WebsocketImplProtocol
from websockets.protocol import Event

from app.errors import unavailable

MAX_MESSAGE_BYTES = 65_536
PATIENCE_SECONDS = 30.0  # with a client that takes neither a message nor its Close

GOING_AWAY = 1001  # RFC 6455 section 7.4.1
INVALID_TEXT = 1007
INTERNAL_ERROR = 1011


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


def listed(request: Request[Any, Any], field: str) -> list[str]:
    """Return the elements of a list field."""
    return [element.strip() for element in ",".join(request.headers.getall(field, [])).split(",")]


def asks_for_upgrade(request: Request[Any, Any]) -> bool:
    """Tell whether a request asks to become a websocket."""
    upgrade, connection = listed(request, "Upgrade"), listed(request, "Connection")
    return (
        request.method == "GET"
        and "websocket" in map(str.lower, upgrade)
        and "upgrade" in map(str.lower, connection)
    )


def offered_token(request: Request[Any, Any]) -> str | None:
    """Return what a handshake offers as a subprotocol behind `bearer`, if that comes first."""
    offered = listed(request, "Sec-WebSocket-Protocol")
    return "".join(offered[1:2]) if offered[0] == "bearer" else None


class Websocket(WebsocketImplProtocol):
    """Sanic's side of a websocket, which lets the client read why it ends."""

    async def send(self, message: Any) -> None:
        """Send a message; give up when the client does not take it."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await super().send(message)
        except TimeoutError as error:
            self.drop()
            raise WebsocketClosed from error

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Send a Close, and wait for the client to end the connection."""
        # Contract: Sanic would not wait.
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await super().close(code, reason)
                self.resume_reading()
                await self.wait_for_connection_lost()
        except TimeoutError:
            self.drop()

    def end_connection(self, code: int = 1000, reason: str = "") -> None:
        """End the connection of a handler that was cancelled, as the server stops."""
        # Contract: Sanic would close with 1000, and hear no more from the client.
        super().end_connection(GOING_AWAY, reason)
        self.resume_reading()

    def drop(self) -> None:
        """Cut off a client that has stopped to read."""
        if self.io_proto is not None:
            SanicProtocol.abort(self.io_proto)

    def data_received(self, data: bytes) -> None:
        """Take some of what the client sends, and read no further until it is dealt with."""
        # Contract: Sanic would read on while the handler falls behind.
        if self.io_proto is not None and self.io_proto.transport is not None:
            self.io_proto.transport.pause_reading()
        self.ws_proto.receive_data(data)
        answers, events = self.ws_proto.data_to_send(), self.ws_proto.events_received()
        self._receiver = asyncio.create_task(self.async_data_received(answers, events))

    async def async_data_received(self, data_to_send: Any, events_to_process: Any) -> None:
        """Answer what asks for an answer, hand on the messages, and read further."""
        await super().async_data_received(data_to_send, events_to_process)
        self.resume_reading()

    def pause_frames(self) -> bool:
        """Leave pauses to data_received."""
        return False

    def resume_reading(self) -> None:
        """Hear from the client again."""
        transport = self.io_proto and self.io_proto.transport
        if transport and not transport.is_closing():
            transport.resume_reading()

    async def process_events(self, events: Sequence[Event]) -> None:
        """Take what the client has sent before the Close."""
        if self.ws_proto.close_sent is None:
            try:
                await super().process_events(events)
            # Contract: Sanic would lose a text that is no UTF-8, and the socket would hang.
            except UnicodeDecodeError:
                await self.close(INVALID_TEXT)
        elif self.ws_proto.close_rcvd is not None and self.recv_cancel is not None:
            self.recv_cancel.cancel()

    async def wait_for_connection_lost(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109
        """Tell whether the connection ends in time."""
        # Contract: Sanic would cut it off right behind a Close, which might be lost.
        patience = self.close_timeout if timeout == 0 else timeout
        return await super().wait_for_connection_lost(patience)
