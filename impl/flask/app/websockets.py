"""Websockets over WSGI: simple-websocket, with one reader, many writers and an end.

The thread that handles the request iterates over the client's messages; any thread may send.
"""

import logging
import selectors
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Self

from flask import Response, request
from simple_websocket import ConnectionClosed, ConnectionError as HandshakeFailed, Server
from wsproto.connection import ConnectionState
from wsproto.events import BytesMessage, CloseConnection, Event, Message, Ping, Request, TextMessage
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from app.errors import unavailable, upgrade_required

MAX_MESSAGE_BYTES = 65_536
PING_SECONDS = 20.0
PATIENCE_SECONDS = 30.0  # with a client that takes neither a message nor its Close
LINGER_SECONDS = 2.0

GOING_AWAY = 1001  # RFC 6455 section 7.4.1
TOO_BIG = 1009
INTERNAL_ERROR = 1011

_HANDSHAKE = ("HTTP_HOST", "HTTP_SEC_WEBSOCKET", "gunicorn.socket", "werkzeug.socket")

logger = logging.getLogger(__name__)


class WebSocket(Server):
    """One client's socket; leaving it as a context manager ends it."""

    def __init__(self, environ: dict[str, Any]) -> None:
        self._writing = threading.Lock()
        self._parts: list[Any] = []
        self._size = 0
        self._stop_code: int | None = None
        self._close_by: float | None = None  # when the client's Close is waited for no longer
        # Contract: simple-websocket would read in a thread of its own, into an endless list,
        # count a text's size in characters, and close before the client has read why.
        super().__init__(environ, thread_class=_NoThread)
        self.sock.settimeout(PATIENCE_SECONDS)

    def __enter__(self) -> Self:
        """Let the block serve the client."""
        return self

    def __exit__(
        self, _: object, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        """Close with 1011 if the block failed; what happened is logged, not raised."""
        if isinstance(error, Exception) and not isinstance(error, ConnectionClosed):
            logger.error("a websocket failed", exc_info=error)
            self.close(INTERNAL_ERROR)
            for _ in self:
                pass  # until the client has taken its Close
        return isinstance(error, Exception)

    def choose_subprotocol(self, request: Request) -> str | None:
        """Select the subprotocol that carries a token, if the client prefers it."""
        return "bearer" if request.subprotocols[:1] == ["bearer"] else None

    def __iter__(self) -> Iterator[str | bytes]:
        """Yield the client's messages until the connection has ended."""
        with selectors.DefaultSelector() as selector, suppress(OSError, ConnectionClosed):
            selector.register(self.sock, selectors.EVENT_READ)
            while self.connected and self._await_client(selector):
                if not (data := self.sock.recv(self.receive_bytes)):
                    break
                self.ws.receive_data(data)
                for event in self.ws.events():
                    yield from self._take(event)
        if self.connected:  # it ended without the closing handshake: so do those who send
            self._drop()

    def send(self, data: str | bytes) -> None:
        """Send a message; raise ConnectionClosed when the client does not take it."""
        with self._writing:
            event = TextMessage(data) if isinstance(data, str) else BytesMessage(data)
            self._transmit(event)
        if self._stop_code is not None:
            self.close(self._stop_code)

    def close(self, reason: int | None = None, message: str | None = None) -> None:
        """Send a Close; the iteration ends when the client has answered it."""
        with self._writing, suppress(ConnectionClosed):
            if self._close_by is None and self.connected:
                self._close_by = time.monotonic() + PATIENCE_SECONDS
                self._transmit(CloseConnection(code=reason or 1000, reason=message))

    def stop(self) -> None:
        """Close as the server is going away, without waiting for a message being sent."""
        self._stop_code = GOING_AWAY
        if self._writing.acquire(blocking=False):
            self._writing.release()
            self.close(GOING_AWAY)

    def finish(self) -> None:
        """End the TCP connection, leaving the client the time to read the last of it."""
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)
            self.sock.settimeout(LINGER_SECONDS)
            deadline = time.monotonic() + LINGER_SECONDS
            while self.sock.recv(MAX_MESSAGE_BYTES) and time.monotonic() < deadline:
                pass
        self._drop()

    def _await_client(self, selector: selectors.BaseSelector) -> bool:
        """Wait for the client to send something; tell whether it did."""
        pinged = False
        while not selector.select(self._patience()):
            if self._close_by is not None:
                if time.monotonic() >= self._close_by:
                    return False
            elif pinged:
                return False
            else:
                self._control(Ping())
                pinged = True
        return True

    def _patience(self) -> float:
        if self._stop_code is not None:
            self.close(self._stop_code)
        if self._close_by is None:
            return PING_SECONDS
        return min(PING_SECONDS, max(0.0, self._close_by - time.monotonic()))

    def _take(self, event: Event) -> Iterator[str | bytes]:
        if isinstance(event, Message) and self._close_by is None:
            yield from self._collect(event)
        elif isinstance(event, Ping):
            self._control(event.response())
        elif isinstance(event, CloseConnection):
            with self._writing:
                if self.ws.state in {ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING}:
                    self._transmit(event.response())
            self.connected = False

    def _collect(self, event: Message[Any]) -> Iterator[str | bytes]:
        """Put the fragments of a message together."""
        data = event.data
        self._size += len(data.encode() if isinstance(data, str) else data)
        if self._size > MAX_MESSAGE_BYTES:
            self.close(TOO_BIG)
        elif data:
            self._parts.append(data)
        if event.message_finished and self._close_by is None:
            parts, self._parts, self._size = self._parts, [], 0
            yield data[:0].join(parts)

    def _control(self, event: Event) -> None:
        """Send a Ping or a Pong, unless a Close was sent: none may follow it."""
        with self._writing:
            if self._close_by is None:
                self._transmit(event)

    def _transmit(self, event: Event) -> None:
        try:
            self.sock.sendall(self.ws.send(event))
        except LocalProtocolError:  # behind a Close, which the reader answers or waits for
            raise ConnectionClosed from None
        except OSError:
            self._drop()
            raise ConnectionClosed from None

    def _drop(self) -> None:
        self.connected = False
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)


class _NoThread(threading.Thread):
    """What simple-websocket starts in place of its reading thread."""

    def start(self) -> None:
        """Start nothing."""


class Upgraded(Response):
    """The response of a view that has served a websocket: none."""

    def __init__(self, websocket: WebSocket) -> None:
        super().__init__(status=101)
        self._websocket = websocket

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """End the connection in the way that keeps the server from writing to it."""
        self._websocket.finish()
        # Contract: a WSGI server would answer the request, in the middle of the websocket.
        if self._websocket.mode == "gunicorn":
            raise StopIteration
        raise ConnectionError


class OpenSockets:
    """The sockets of one worker, at most so many."""

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._sockets: set[WebSocket] = set()
        self._stopping = False
        self._lock = threading.Lock()

    @contextmanager
    def accept(self, environ: dict[str, Any]) -> Iterator[WebSocket]:
        """Accept a handshake, if there is a place left; the block serves the client."""
        self._take_place()
        try:
            with _upgrade(environ) as websocket, self._registered(websocket):
                yield websocket
        finally:
            self._free_place()

    def stop(self) -> None:
        """Close every socket, and let no other in, as the server is going away."""
        with self._lock:
            self._stopping, sockets = True, list(self._sockets)
        for websocket in sockets:
            websocket.stop()

    def _take_place(self) -> None:
        with self._lock:
            if self._free == 0 or self._stopping:
                raise unavailable()
            self._free -= 1

    def _free_place(self) -> None:
        with self._lock:
            self._free += 1

    @contextmanager
    def _registered(self, websocket: WebSocket) -> Iterator[None]:
        with self._lock:
            self._sockets.add(websocket)
        if self._stopping:
            websocket.stop()
        try:
            yield
        finally:
            with self._lock:
                self._sockets.discard(websocket)


def require_upgrade() -> None:
    """Refuse a request that does not ask to become a websocket."""
    asked = (_lists("Upgrade", "websocket"), _lists("Connection", "upgrade"))
    if request.method != "GET" or not all(asked):
        raise upgrade_required()


def _lists(field: str, token: str) -> bool:
    elements = request.headers.get(field, "").lower().split(",")
    return token in (element.strip() for element in elements)


def _upgrade(environ: dict[str, Any]) -> WebSocket:
    kept = {name: value for name, value in environ.items() if name.startswith(_HANDSHAKE)}
    # Contract: wsproto would refuse an Upgrade that lists more than websocket.
    fields = {**kept, "HTTP_UPGRADE": "websocket", "HTTP_CONNECTION": "Upgrade"}
    try:
        return WebSocket(fields)
    except (RemoteProtocolError, HandshakeFailed):  # no key, or another version
        raise upgrade_required() from None
