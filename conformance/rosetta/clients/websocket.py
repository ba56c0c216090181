"""Websocket clients: one for tests of the feed and echo, one that sends any frame it is told to."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Self
from urllib.parse import urlencode

from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Response as HandshakeResponse
from websockets.sync.client import ClientConnection, reconnect
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from rosetta.clients import raw
from rosetta.clients.evidence import Transcript
from rosetta.clients.message import Request, Response
from rosetta.targets.server import Target

TIMEOUT = 5.0
END = "(the connection ends)"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455, section 1.3: any would do
Message = dict[str, Any]


class HandshakeRefused(AssertionError):
    """The server answered a handshake with an HTTP response of another status than 101."""

    def __init__(self, response: Response) -> None:
        super().__init__(f"{response.status_code} {response.text}")
        self.response = response


class Silence(AssertionError):
    """No message came in time, or the connection was closed before it."""


class Socket:
    """A websocket, open from ``with`` on; raises HandshakeRefused on entry."""

    def __init__(
        self,
        target: Target,
        path: str = "/ws/echo",
        *,
        token: str | None = None,
        protocols: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
        compression: str | None = None,
        **options: Any,  # noqa: ANN401 - those of websockets' connect
    ) -> None:
        self.target = target
        self.path = path
        fields = dict(headers or {})
        if token is not None:
            fields["Authorization"] = f"Bearer {token}"
        listed = [("Sec-WebSocket-Protocol", ", ".join(protocols))] if protocols else []
        self.transcript = Transcript(_handshake(target, path, [*listed, *fields.items()]))
        self._options = {
            "additional_headers": fields,
            "subprotocols": [Subprotocol(name) for name in protocols] or None,
            "compression": compression,
            "proxy": None,
            "max_size": None,
            "max_queue": None,  # read on while the test does not, also to take the Close
            "ping_interval": None,
            "close_timeout": 2,
            "user_agent_header": None,
            "logger": _logger(self.transcript),
            "ssl": raw.tls_context() if target.tls else None,
        } | options
        self._stack = ExitStack()
        self._connection: ClientConnection | None = None

    def __enter__(self) -> Self:
        url = f"{self.target.ws_url}{self.path}"
        self.transcript.begin()
        try:
            self._connection = self._stack.enter_context(_Direct(url, **self._options))
        except InvalidStatus as error:
            response = _response(error.response, self.transcript.handshake)
            self.transcript.answered(response)
            raise HandshakeRefused(response) from None
        self.transcript.answered(self.handshake)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def connection(self) -> ClientConnection:
        """The connection of the websockets library."""
        if self._connection is None:
            raise RuntimeError("not connected: use the socket as a context manager")
        return self._connection

    @property
    def handshake(self) -> Response:
        """The response that opened the connection."""
        if self.connection.response is None:
            raise RuntimeError("no handshake response")
        return _response(self.connection.response, self.transcript.handshake)

    @property
    def protocol(self) -> str | None:
        """The subprotocol that the server selected."""
        return self.connection.subprotocol

    def send(self, message: str | bytes | Mapping[str, Any]) -> None:
        """Send a text or binary message; a mapping is sent as JSON text."""
        if not isinstance(message, str | bytes):
            message = json.dumps(message)
        self.connection.send(message)

    def receive(self, timeout: float = TIMEOUT) -> str | bytes:
        """Return the next message; raise Silence."""
        try:
            return self.connection.recv(timeout=timeout)
        except TimeoutError:
            raise Silence(f"no message within {timeout:g} s") from None
        except ConnectionClosed as closed:
            raise Silence(f"the connection is closed: {closed}") from None

    def close_code(self, timeout: float = TIMEOUT) -> int:
        """Read on until the server closes and return its close code (1006: there was none)."""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            try:
                self.connection.recv(timeout=left)
            except TimeoutError:
                break
            except ConnectionClosed as closed:
                return closed.rcvd.code if closed.rcvd else CloseCode.ABNORMAL_CLOSURE
        raise Silence(f"the server did not close within {timeout:g} s")

    def drop(self) -> None:
        """Cut the TCP connection without a closing handshake."""
        self.transcript.sent("(the client cuts the connection)")
        self.connection.socket.shutdown(socket.SHUT_RDWR)


class Feed(Socket):
    """A subscriber of /ws/events; ``ready`` is the first message, already read."""

    ready: Message

    def __init__(
        self,
        target: Target,
        *,
        token: str | None = None,
        after: int | str | None = None,
        **options: Any,  # noqa: ANN401 - those of Socket
    ) -> None:
        query = "" if after is None else f"?{urlencode({'after': after})}"
        super().__init__(target, f"/ws/events{query}", token=token, **options)

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            self.ready = self.next()
            if self.ready.get("type") != "ready":
                raise Silence(f"the first message is not ready but {self.ready}")
        except BaseException:
            self._stack.close()
            raise
        return self

    def next(self, timeout: float = TIMEOUT) -> Message:
        """Return the next message, which must be a text with a JSON object."""
        message = self.receive(timeout)
        if not isinstance(message, str):
            raise Silence(f"a binary message came on the feed: {message!r}")
        parsed = json.loads(message)
        if not isinstance(parsed, dict):
            raise Silence(f"a message that is no object came on the feed: {message}")
        return parsed

    def until(
        self, predicate: Callable[[Message], bool], timeout: float = TIMEOUT
    ) -> list[Message]:
        """Return the messages up to the first that satisfies ``predicate``, which is the last."""
        deadline, messages = time.monotonic() + timeout, list[Message]()
        while not messages or not predicate(messages[-1]):
            try:
                messages.append(self.next(max(0.0, deadline - time.monotonic())))
            except Silence as silence:
                raise Silence(f"{silence}; until then {messages}") from None
        return messages

    def take(self, count: int, timeout: float = TIMEOUT) -> list[Message]:
        """Return the next ``count`` messages."""
        left = iter(range(1, count))
        return self.until(lambda _: next(left, None) is None, timeout) if count else []

    def ask(self, command: Mapping[str, Any] | str, timeout: float = TIMEOUT) -> list[Message]:
        """Send a command; return the messages up to its answer, the first that is no event."""
        self.send(command)
        return self.until(lambda message: message.get("type") != "event", timeout)

    def settled(self, timeout: float = TIMEOUT) -> list[Message]:
        """Ping; return the events that came before the pong.

        The pong says that the server has read the ping, not that it has no event under way.
        """
        *events, answer = self.ask({"type": "ping"}, timeout)
        if answer != {"type": "pong"}:
            raise Silence(f"a ping was answered with {answer}")
        return events


def refused(target: Target, path: str, **options: Any) -> Response:  # noqa: ANN401
    """Return the response to a handshake that must be refused; options are those of Socket."""
    __tracebackhide__ = True
    try:
        with Socket(target, path, **options):
            pass
    except HandshakeRefused as error:
        return error.response
    raise AssertionError(f"the handshake for {path} was accepted, and should have been refused")


class RawWebSocket:
    """A websocket that sends any bytes as frames and reads only when told to.

    Nothing is answered by itself: no pong, no close.
    """

    def __init__(
        self,
        target: Target,
        path: str = "/ws/echo",
        *,
        token: str | None = None,
        receive_buffer: int | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        fields = [] if token is None else [("Authorization", f"Bearer {token}")]
        self.transcript = Transcript(_handshake(target, path, fields))
        self._protocol = ClientProtocol(
            parse_uri(f"{target.ws_url}{path}"),
            max_size=None,
            logger=_logger(self.transcript, sends=False),
        )
        self._token = token
        self._frames: Iterator[Frame] = iter(())
        self.socket = raw.connect(target, timeout, receive_buffer)

    def __enter__(self) -> Self:
        self.transcript.begin()
        try:
            self._shake_hands()
        except BaseException:
            self.socket.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send_bytes(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.transcript.sent(f"({len(data)} bytes as they are)")
        self.socket.sendall(data)

    def send_frame(
        self, opcode: Opcode, data: bytes = b"", *, fin: bool = True, mask: bool = True
    ) -> None:
        """Send one frame."""
        frame = Frame(opcode, data, fin=fin)
        self.transcript.sent(frame)
        self.socket.sendall(frame.serialize(mask=mask))

    def receive(self, timeout: float = TIMEOUT) -> Frame | None:
        """Return the next frame, control frames included; None when the connection ends."""
        self.socket.settimeout(timeout)
        while (frame := next(self._frames, None)) is None:
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                raise Silence(f"no frame within {timeout:g} s") from None
            except ConnectionResetError:
                data = b""
            if not data:
                self.transcript.came(END)
                return None
            self._protocol.receive_data(data)
            self._take_frames()
        return frame

    def close_code(self, timeout: float = TIMEOUT) -> int:
        """Read on to the server's close frame and return its code (1006: there was none)."""
        deadline = time.monotonic() + timeout
        while frame := self.receive(max(0.001, deadline - time.monotonic())):
            if frame.opcode is Opcode.CLOSE:
                return int.from_bytes(frame.data[:2], "big") or CloseCode.NO_STATUS_RCVD
        return CloseCode.ABNORMAL_CLOSURE

    def _shake_hands(self) -> None:
        request = self._protocol.connect()
        if self._token is not None:
            request.headers["Authorization"] = f"Bearer {self._token}"
        self._protocol.send_request(request)
        self.socket.sendall(b"".join(self._protocol.data_to_send()))
        while not (events := self._protocol.events_received()):
            data = self.socket.recv(65536)
            if not data:
                raise Silence("closed during the handshake")
            self._protocol.receive_data(data)
        if isinstance(events[0], HandshakeResponse):
            self.transcript.answered(_response(events[0], self.transcript.handshake))
        if self._protocol.handshake_exc is not None:
            raise self._protocol.handshake_exc
        self._frames = iter([event for event in events if isinstance(event, Frame)])

    def _take_frames(self) -> None:
        events = self._protocol.events_received()
        self._frames = iter([event for event in events if isinstance(event, Frame)])


class _Scribe(logging.Handler):
    """Write each frame into a transcript: the websockets library logs them at level DEBUG.

    A protocol without a connection (``sends`` is false) also logs answers that nobody sends.
    """

    def __init__(self, transcript: Transcript, *, sends: bool) -> None:
        super().__init__()
        self._notes = {"<": transcript.came} | ({">": transcript.sent} if sends else {})

    def emit(self, record: logging.LogRecord) -> None:
        """Note a frame, or the end of the connection; pass on what is no matter of frames."""
        if record.levelno > logging.DEBUG:
            logging.getLogger("websockets.client").handle(record)
            return
        what = record.args[0] if isinstance(record.args, tuple) and record.args else None
        note = self._notes.get(record.msg[:1])
        if note and isinstance(what, Frame):
            note(what)
        elif record.msg == "< EOF":
            self._notes["<"](END)


def _logger(transcript: Transcript, *, sends: bool = True) -> logging.Logger:
    logger = logging.Logger("rosetta.websocket", logging.DEBUG)
    logger.addHandler(_Scribe(transcript, sends=sends))
    return logger


def _handshake(target: Target, path: str, fields: Sequence[tuple[str, str]]) -> Request:
    """Return a handshake that asks for the same as one by the library, which makes its own key."""
    asking = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", KEY),
    ]
    data = raw.build("GET", target.at(path), [*asking, *fields], host=target.netloc)
    return Request(data, target, exact=False)


def _response(response: HandshakeResponse, request: Request) -> Response:
    fields = tuple(response.headers.raw_items())
    content = bytes(response.body)
    return Response(response.status_code, response.reason_phrase, fields, content, request)


class _Direct(reconnect):
    """A connect that does not follow redirects: the contract knows none."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc
