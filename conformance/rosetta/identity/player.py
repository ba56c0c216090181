"""Send a recording to one server and keep what it answers."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from websockets.frames import Frame as WireFrame
from websockets.frames import Opcode
from websockets.protocol import CLIENT, Protocol

from rosetta.clients.http import sign_token
from rosetta.clients.message import Response
from rosetta.clients.raw import RawConnection, RawError, prefixed
from rosetta.identity.corpus import CLOSE, Line, Symbol, fill
from rosetta.targets.server import Target

UNBOUND = b"999999999999999999"  # where a symbol was never born: an id that no one has
PATIENCE = 10.0  # seconds within which a message must come; who was silent once is given no more
TIMEOUT = 30.0  # seconds for a response
CREATED, SWITCHED, TOO_LARGE = 201, 101, 413
NAMES = {"user": "id", "item": "id", "token": "access_token"}


@dataclass(frozen=True)
class Answer:
    """What a line was answered with.

    A request has a ``response``, or ``trouble`` in its stead; whatever is about a socket has
    ``messages`` (opcode and payload) and, at its end, ``closed``: the code of the server's Close.
    """

    response: Response | None = None
    trouble: str = ""
    messages: tuple[tuple[int, bytes], ...] = ()
    closed: int | None = None
    born: str | None = None  # the value of the symbol that the line binds


@dataclass
class Heard:
    """A client's side of one open websocket."""

    connection: RawConnection
    protocol: Protocol = field(default_factory=lambda: Protocol(CLIENT, max_size=None))
    messages: list[tuple[int, bytes]] = field(default_factory=list)
    taken: int = 0
    closed: int | None = None
    silent: bool = False
    _parts: list[bytes] = field(default_factory=list)
    _kind: int = 0

    def __post_init__(self) -> None:
        self._receive(self.connection.rest(0.001))

    def wait(self, heard: int, *, for_close: bool = False) -> None:
        """Read on until so many messages have come, and the Close if it is awaited."""
        deadline = time.monotonic() + (0.0 if self.silent else PATIENCE)
        while self.closed is None and (for_close or len(self.messages) < heard):
            self.connection.socket.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                self._receive(self.connection.socket.recv(65536), at_end=True)
            except TimeoutError:
                self.silent = True
                return
            except OSError:
                self.closed = 1006

    def take(self, heard: int | None = None) -> tuple[tuple[int, bytes], ...]:
        """Return the messages that were not yet taken, up to this one."""
        found = self.messages[self.taken : heard]
        self.taken += len(found)
        return tuple(found)

    def send(self, frame: WireFrame) -> None:
        """Send a frame, masked; one that was closed meanwhile takes none."""
        with contextlib.suppress(OSError):
            self.connection.socket.sendall(frame.serialize(mask=True))

    def _receive(self, data: bytes, *, at_end: bool = False) -> None:
        if not data:
            self.closed = 1006 if at_end else self.closed
            return
        self.protocol.receive_data(data)
        for event in self.protocol.events_received():
            if isinstance(event, WireFrame):
                self._note(event)

    def _note(self, frame: WireFrame) -> None:
        data = bytes(frame.data)
        if frame.opcode is Opcode.PING:
            self.send(WireFrame(Opcode.PONG, data))
        elif frame.opcode is Opcode.PONG:
            self.messages.append((int(frame.opcode), data))
        elif frame.opcode is Opcode.CLOSE:
            self.closed = int.from_bytes(data[:2], "big") or 1005
            self.send(WireFrame(Opcode.CLOSE, data[:2]))
        else:
            self._kind = int(frame.opcode) or self._kind
            self._parts.append(data)
            if frame.fin:
                self.messages.append((self._kind, b"".join(self._parts)))
                self._parts.clear()


class Player:
    """A client that plays recordings to one server; a context manager."""

    def __init__(self, target: Target, secret_key: str) -> None:
        self.target = target
        self._secret_key = secret_key
        self._values: dict[Symbol, str] = {}
        self._signed: dict[int, str] = {}
        self._sockets: dict[int, Heard] = {}
        self._connection: RawConnection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._hang_up()
        for heard in self._sockets.values():
            heard.connection.socket.close()

    def play(self, lines: Sequence[Line]) -> list[Answer]:
        """Return the answer to each line, in order."""
        return [self._ask(line) if line.request else self._listen(line) for line in lines]

    # -- requests

    def _ask(self, line: Line) -> Answer:
        request = prefixed(fill(line.request, self._value), self.target)
        connection = RawConnection(self.target, TIMEOUT) if line.socket else self._connected()
        try:
            response = exchange(connection, request, line.method)
        except (RawError, OSError, ValueError) as error:
            self._hang_up()
            return Answer(trouble=f"no response: {type(error).__name__}")
        if line.socket and response.status == SWITCHED:
            self._sockets[line.socket] = Heard(connection)
        elif line.socket:
            connection.socket.close()
        elif ends_connection(request, response):
            self._hang_up()
        return Answer(response, born=self._bind(line, response))

    def _value(self, symbol: Symbol) -> bytes:
        if symbol.kind == "host":
            return self.target.netloc.encode()
        if symbol.kind == "signed":
            return self._token(symbol.number).encode()
        value = self._values.get(symbol)
        return UNBOUND if value is None else value.encode("latin-1", "replace")

    def _token(self, user: int) -> str:
        """Return a token of the suite's own making, the same each time."""
        if user not in self._signed:
            id_ = self._value(Symbol("user", user)).decode()
            self._signed[user] = sign_token(int(id_), self._secret_key)
        return self._signed[user]

    def _bind(self, line: Line, response: Response) -> str | None:
        """Bind the line's symbol, if it has one and the response the value."""
        if line.binds is None or response.status != CREATED:
            return None
        try:
            value = str(response.json()[NAMES[line.binds.kind]])
        except (ValueError, KeyError, TypeError):
            return None
        self._values[line.binds] = value
        return value

    def _connected(self) -> RawConnection:
        """Return the connection, a new one if the server has closed it meanwhile."""
        if self._connection and self._connection.stale:
            self._hang_up()
        if self._connection is None:
            self._connection = RawConnection(self.target, TIMEOUT)
            self._connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._connection

    def _hang_up(self) -> None:
        if self._connection:
            self._connection.socket.close()
            self._connection = None

    # -- websockets

    def _listen(self, line: Line) -> Answer:
        heard = self._sockets.get(line.socket)
        if heard is None:
            return Answer(trouble="the socket is not open")
        heard.wait(line.heard, for_close=line.ends == "close")
        if line.ends == "close":
            return self._ended(line, heard, heard.closed)
        if line.frame and line.frame.opcode == CLOSE:
            return self._close(line, heard)
        if line.ends == "cut":  # what else has come since is chance
            return self._ended(line, heard, None, line.heard)
        messages = heard.take(line.heard)
        if line.frame:
            frame = line.frame
            heard.send(WireFrame(Opcode(frame.opcode), frame.data, fin=frame.fin))
        return Answer(messages=messages, closed=heard.closed)

    def _close(self, line: Line, heard: Heard) -> Answer:
        """Send the client's Close and wait for the server's."""
        closed_before = heard.closed
        assert line.frame is not None
        heard.send(WireFrame(Opcode.CLOSE, line.frame.data))
        heard.wait(line.heard, for_close=True)
        # The code of a Close that answers one is the server's own affair.
        return self._ended(line, heard, closed_before or (None if heard.closed else 0))

    def _ended(self, line: Line, heard: Heard, code: int | None, last: int | None = None) -> Answer:
        heard.connection.socket.close()
        del self._sockets[line.socket]
        trouble = "" if line.ends != "close" or code else "the server did not close"
        return Answer(messages=heard.take(last), closed=code, trouble=trouble)


def exchange(connection: RawConnection, request: bytes, method: str) -> Response:
    """Send a request's bytes and return the response, also of a server that did not read all."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.send(request)
    return connection.read(method)


def ends_connection(request: bytes, response: Response) -> bool:
    """Tell whether nothing more can be asked on the connection of an exchange."""
    asked = b"\r\nconnection: close" in request.partition(b"\r\n\r\n")[0].lower()
    said = "close" in " ".join(response.all("Connection")).lower()
    return asked or said or response.status in (SWITCHED, TOO_LARGE)
