"""What Tornado's websockets lack: a limit to how many there are, and ends that clients can read."""

import socket
from asyncio import Future
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tornado.httputil import HTTPHeaders
from tornado.iostream import StreamClosedError
from tornado.web import OutputTransform
from tornado.websocket import WebSocketHandler, WebSocketProtocol13

from app.errors import unavailable
from app.server import Pending

MAX_MESSAGE_BYTES = 65_536
PING_SECONDS = 20
PATIENCE_SECONDS = 30.0  # with a client that takes neither a message nor its Close

GOING_AWAY = 1001  # RFC 6455 section 7.4.1
INVALID_TEXT = 1007
TOO_BIG = 1009
INTERNAL_ERROR = 1011

_TEXT, _CONTROL = 0x1, 0x8  # RFC 6455 section 5.2


class Sockets:
    """The open websockets of a process, at most so many."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.is_closing = False
        self.open: Pending[WebSocketHandler] = Pending()

    @contextmanager
    def place(self, websocket: WebSocketHandler) -> Iterator[None]:
        """Keep a place until the websocket has ended; raise 503 when there is none."""
        if len(self.open) >= self._limit:
            raise unavailable()
        self.open.add(websocket)
        try:
            yield
        finally:
            self.open.discard(websocket)

    def close(self) -> None:
        """Close all that are open or about to be, as the server is going away."""
        self.is_closing = True
        for websocket in self.open:
            websocket.close(GOING_AWAY)


class KeepUpgrade(OutputTransform):
    """Keeps what a refusal lists in Connection when the client asks for the end of it."""

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, HTTPHeaders, bytes]:
        """Return the response as it is, with headers that add to Connection."""
        return status_code, _Headers(headers) if "Upgrade" in headers else headers, chunk


class _Headers(HTTPHeaders):
    def __setitem__(self, name: str, value: str) -> None:
        # Contract: Tornado would write "close" in the place of "Upgrade".
        if name == "Connection" and name in self:
            value = f"{self[name]}, {value}"
        super().__setitem__(name, value)


class PatientProtocol(WebSocketProtocol13):
    """Tornado's side of a websocket, which lets a client that is there read why it ends."""

    _is_discarding = False

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Send a Close, and wait for the client's."""
        # Contract: Tornado would wait for 5 s.
        if self._waiting is None and not self.client_terminated:
            loop = self.stream.io_loop
            self._waiting = loop.call_later(PATIENCE_SECONDS, self.stream.close)
        super().close(code, reason)
        self._is_discarding |= code == TOO_BIG

    def _handle_message(self, opcode: int, data: bytes) -> Future[None] | None:
        if self.server_terminated and opcode < _CONTROL:
            return None
        # Contract: Tornado would cut the connection off, without a Close.
        if opcode == _TEXT and not _is_utf8(data):
            self.close(INVALID_TEXT)
            return None
        return super()._handle_message(opcode, data)

    def _abort(self) -> None:
        # Contract: Tornado would cut the connection off behind a 1009, which is then lost.
        if not self._is_discarding or self.stream.closed():
            super()._abort()

    async def _receive_frame(self) -> None:
        if self.stream.closed():
            # Contract: Tornado would handle all that it has read before the connection was lost.
            raise StreamClosedError
        if not self._is_discarding:
            await super()._receive_frame()
            return
        if not self.stream.writing():
            with suppress(OSError):  # the client was faster
                self.stream.socket.shutdown(socket.SHUT_WR)
        await self.stream.read_bytes(MAX_MESSAGE_BYTES, partial=True)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
