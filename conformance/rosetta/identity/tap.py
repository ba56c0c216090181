"""A relay in front of a server that writes down every exchange which passes through it.

Requests are put through one at a time, so that the recording has one order. A frame of a client
is held back until the server has had the time to say all it has to say: what a replay must have
heard before it sends the frame is then no matter of chance.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import socketserver
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Self
from urllib.parse import unquote_to_bytes

import jwt
from websockets.frames import Frame as WireFrame
from websockets.frames import Opcode
from websockets.protocol import CLIENT, SERVER, Protocol

from rosetta.clients.http import TOKEN_LIFE
from rosetta.clients.message import Response
from rosetta.clients.raw import RawConnection
from rosetta.contract.terms import METHODS
from rosetta.identity.corpus import HOST, Frame, Line, Piece, Recording, Symbol, join
from rosetta.targets.server import Target

QUIET = 0.25  # seconds without a message after which a server is taken to have said all
WAKE = 65536
LONG_HEAD = 8000
LISTS = {
    *("accept", "accept-encoding", "connection", "if-match", "if-none-match"),
    "sec-websocket-protocol",
}
CREATES = {"/users": ("user", "id"), "/items": ("item", "id"), "/tokens": ("token", "access_token")}
# Made up anew for each request; a key in its stead is that of RFC 6455, section 1.3.
KEY = re.compile(rb"(?<=\r\nSec-WebSocket-Key: )[^\r]*", re.IGNORECASE)
SAME_KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
CASE_ID = re.compile(rb"\r\nX-Schemathesis-TestCaseId: [^\r]*", re.IGNORECASE)
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")  # RFC 9110, section 5.5
# Where a request can name what a server made: each pattern's last group, and of what kind.
PLACES = (
    ("user", re.compile(rb"\A[A-Z]+ /users/([1-9][0-9]{0,17})(?=[ ?])")),
    ("item", re.compile(rb"\A[A-Z]+ /items/([1-9][0-9]{0,17})(?=[ ?])")),
    ("user", re.compile(rb"(?<=[?&])owner_id=([1-9][0-9]{0,17})(?=[& ])")),
    ("after", re.compile(rb"(?<=[?&])after=([1-9][0-9]{0,17})(?=[& ])")),
    ("host", re.compile(rb"\r\nHost:[ \t]*([^\r\n]*)", re.IGNORECASE)),
    # RFC 7515, section 3.1, wherever it stands: alone, twice, in quotes, or with more behind it.
    ("token", re.compile(rb"(eyJ[\w-]+\.[\w-]+\.[\w-]+)")),
)
# The lines with entity-tags of the path's resource, and an id in one.
TAGS = re.compile(rb"\r\n(?:If-Match|If-None-Match|If-Range):([^\r]*)", re.IGNORECASE)
TAGGED_ID = re.compile(rb"(?<![0-9])[1-9][0-9]{0,17}(?=-[0-9])")


class Scribe:
    """Write lines down, symbols in the place of what the server made."""

    def __init__(self, name: str, secret_key: str) -> None:
        self.recording = Recording(name)
        self.left_out: Counter[str] = Counter()
        self.problems: list[str] = []
        self._secret_key = secret_key
        self._symbols: dict[tuple[str, str], Symbol] = {}
        self._born: Counter[str] = Counter()

    def exchange(self, request: bytes, response: Response, number: int) -> None:
        """Note a request; ``number`` is that of the socket which it opened, or 0."""
        if reason := implementation_defined(request):
            self.left_out[reason] += 1
            if response.status < 300 and request.partition(b" ")[0] not in (b"GET", b"HEAD"):
                self.problems.append(f"{reason}, but answered {response.status}: {request[:200]!r}")
            return
        pieces = self.pieces(request)
        self.recording.lines.append(Line(pieces, self._birth(request, response), number))

    def pieces(self, request: bytes) -> tuple[Piece, ...]:
        """Return the request with symbols where it names what the server made."""
        head, end, body = request.partition(b"\r\n\r\n")
        head = KEY.sub(SAME_KEY, head)
        line = head.partition(b"\r\n")[0]
        found = sorted(self._found(head, line), key=lambda place: place[0])
        pieces: list[Piece] = []
        position = 0
        for start, stop, symbol in found:
            pieces += [head[position:start], symbol]
            position = stop
        return join([*pieces, head[position:], end, body])

    def _found(self, head: bytes, line: bytes) -> Iterator[tuple[int, int, Symbol]]:
        path = line.split(b" ")[1].partition(b"?")[0]
        for kind, pattern in PLACES:
            named = kind
            if kind == "after":  # of events the contract fixes the ids
                named = {b"/users": "user", b"/items": "item"}.get(path, "")
            for match in pattern.finditer(head):
                inside = kind in ("host", "token") or match.end() <= len(line)
                symbol = self._symbol(named, match[1].decode("latin-1")) if inside else None
                if symbol:
                    yield match.start(1), match.end(1), symbol
        kind = "item" if path.startswith(b"/items/") else "user"
        for field in TAGS.finditer(head):
            for match in TAGGED_ID.finditer(head, *field.span(1)):
                if symbol := self._symbol(kind, match[0].decode("latin-1")):
                    yield *match.span(), symbol

    def _symbol(self, kind: str, value: str) -> Symbol | None:
        if kind == "host":
            return HOST
        known = self._symbols.get((kind, value))
        return known or (self._signed(value) if kind == "token" else None)

    def _signed(self, token: str) -> Symbol | None:
        """Return the symbol of a token that the suite signed by itself, as it always does."""
        try:
            claims = jwt.decode(token, self._secret_key, ["HS256"])
        except jwt.InvalidTokenError:
            return None
        user = self._symbols.get(("user", str(claims.get("sub"))))
        plain = set(claims) == {"sub", "iat", "exp"} and claims["exp"] - claims["iat"] == TOKEN_LIFE
        return Symbol("signed", user.number) if user and plain else None

    def _birth(self, request: bytes, response: Response) -> Symbol | None:
        method, path = request.split(b" ")[:2]
        made = CREATES.get(path.partition(b"?")[0].decode("latin-1"))
        if method != b"POST" or made is None or response.status != 201:
            return None
        kind, member = made
        self._born[kind] += 1
        symbol = Symbol(kind, self._born[kind])
        # Two tokens of one second are the same text: it goes by the name of the first.
        self._symbols.setdefault((kind, str(json.loads(response.content)[member])), symbol)
        return symbol


def implementation_defined(request: bytes) -> str:
    """Return the id in `implementation_defined` of rules.yaml that a request falls under."""
    head = request.partition(b"\r\n\r\n")[0].decode("latin-1")
    first, *lines = head.split("\r\n")
    method, _, rest = first.partition(" ")
    path, _, query = rest.rpartition(" ")[0].partition("?")
    fields = [(name.lower(), value) for name, _, value in (line.partition(":") for line in lines)]
    names = [name for name, _ in fields]
    single = [name for name in names if name not in LISTS]
    tags = "".join(value for name, value in fields if name in ("if-match", "if-none-match"))
    websocket = path.startswith("/ws/") and method in ("GET", "HEAD")
    cases = {
        "malformed-http": not rest.isascii() or CONTROL.search(head),
        "other-methods": method not in METHODS,
        "encoded-paths": "%" in path,
        "empty-segments": "//" in path or not path.startswith("/"),
        "query-utf8": not _is_clean(query),
        "over-long-head": len(head) > LONG_HEAD,
        "expect": "expect" in names,
        "content-encoding": "content-encoding" in names,
        "repeated-singletons": len(set(single)) < len(single),
        "missing-host": "host" not in names,
        "other-upgrades": "upgrade" in names and not websocket,
        "listed-upgrades": any("," in value for name, value in fields if name == "upgrade"),
        "coding-white-space": any(
            name == "transfer-encoding" and value.endswith("\t") for name, value in fields
        ),
        "unbalanced-tags": tags.count('"') % 2,
    }
    return next((id_ for id_, holds in cases.items() if holds), "")


def _is_clean(query: str) -> bool:
    try:
        unquote_to_bytes(query).decode()
    except UnicodeDecodeError:
        return False
    return not re.search(r"%(?![0-9A-Fa-f]{2})", query)


class Tap:
    """The relay; ``target``, while in ``with``, is where clients are to connect."""

    def __init__(self, server: Target, scribe: Scribe) -> None:
        self.server = server
        self.scribe = scribe
        self.turn = threading.RLock()
        self.sockets = 0
        self.cases = 0
        self.last = 0.0  # when something was last said or heard on a socket
        self.asked: dict[int, _Socket] = {}  # those whose last frame may not be answered yet
        self._listener = _Listener(self)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._listener.serve_forever, args=[0.05])
        self._thread.start()
        host, port = self._listener.server_address[:2]
        self.target = Target(f"http://{host!s}:{port}")
        return self

    def __exit__(self, *_: object) -> None:
        self.settle()
        self._listener.shutdown()
        self._thread.join()
        self._listener.server_close()

    def settle(self) -> None:
        """Wait until the server has said all that it has to say."""
        while (left := self.last + QUIET - time.monotonic()) > 0:
            time.sleep(left)

    def settle_asked(self) -> None:
        """Wait for the answers to what sockets have asked, and note that they came.

        Else it would be chance whether the events of the next request come before them.
        """
        asked, self.asked = self.asked, {}
        if asked:
            self.settle()
        for number in sorted(asked):
            asked[number].note_heard()

    def heard(self) -> None:
        """Note that something was said, by the server or to it."""
        self.last = time.monotonic()

    def name_case(self, request: bytes) -> bytes:
        """Give a request of Schemathesis a number for its name."""
        self.cases += 1
        field = b"\r\nX-Schemathesis-TestCaseId: %d" % self.cases
        head, end, body = request.partition(b"\r\n\r\n")
        return CASE_ID.sub(field, head) + end + body


class _Listener(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, tap: Tap) -> None:
        super().__init__(("127.0.0.1", 0), _Client)
        self.tap = tap


class _Client(socketserver.BaseRequestHandler):
    """One connection of a client, and the one to the server that goes with it."""

    server: _Listener
    request: socket.socket

    def handle(self) -> None:
        self.tap = self.server.tap
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.upstream = self._connect()
        with contextlib.suppress(OSError):
            while (request := self._read()) and self._pass(request):
                pass
        self.upstream.socket.close()

    def _connect(self) -> RawConnection:
        return RawConnection(self.tap.server, timeout=30)

    def _pass(self, request: bytes) -> bool:
        """Put one request through; tell whether the connection goes on."""
        with self.tap.turn:
            self.tap.settle_asked()
            request = self.tap.name_case(request)
            response = self._ask(request)
            opened = response.status == 101
            self.tap.sockets += opened
            number = self.tap.sockets if opened else 0
            self.tap.scribe.exchange(request, response, number)
            self.tap.heard()
            self.request.sendall(_bytes_of(response))
        if opened:
            path = request.split(b" ")[1]
            _Socket(self.tap, number, path, self.request, self.upstream).run(self.buffer)
        return not opened and not _closes(response)

    def _ask(self, request: bytes) -> Response:
        if self.upstream.stale:
            self.upstream.socket.close()
            self.upstream = self._connect()
        with contextlib.suppress(OSError):  # refused before it was read to its end
            self.upstream.send(request)
        return self.upstream.read(request.partition(b" ")[0].decode())

    def _read(self) -> bytes:
        """Return the next request as it came; nothing at the end of the connection.

        RawConnection frames responses, and takes chunks apart; a recording keeps each byte of a
        request, the sizes of its chunks and its trailer included. So requests are framed here.
        """
        while b"\r\n\r\n" not in self.buffer:
            if not self._fill():
                return b""
        end = self.buffer.index(b"\r\n\r\n") + 4
        fields = self.buffer[:end].lower()
        if re.search(rb"\r\ntransfer-encoding:[ \t]*chunked", fields):
            return self._take(self._end_of_chunks(end))
        length = re.search(rb"\r\ncontent-length:[ \t]*([0-9]+)", fields)
        return self._take(end + (int(length[1]) if length else 0))

    def _end_of_chunks(self, position: int) -> int:
        while True:
            line = self._line_end(position)
            size = int(self.buffer[position:line].partition(b";")[0], 16)
            position = line + 2 + size + 2
            if size == 0:
                return position

    def _line_end(self, position: int) -> int:
        while (found := self.buffer.find(b"\r\n", position)) < 0:
            if not self._fill():
                raise ConnectionError("closed within a chunked body")
        return found

    def _take(self, size: int) -> bytes:
        while len(self.buffer) < size and self._fill():
            pass
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def _fill(self) -> bytes:
        piece = self.request.recv(WAKE)
        self.buffer += piece
        return piece


class _Socket:
    """An open websocket: what passes is parsed beside, and passed on as it came."""

    def __init__(
        self, tap: Tap, number: int, path: bytes, client: socket.socket, upstream: RawConnection
    ) -> None:
        self.tap, self.number, self.client, self.upstream = tap, number, client, upstream
        self.greets = path.startswith(b"/ws/events")
        self.heard = 0
        self.noted = 0
        self.ended = False

    def run(self, rest: bytes) -> None:
        """Pass on until both sides have ended."""
        down = threading.Thread(target=self._down, daemon=True)
        down.start()
        with contextlib.suppress(OSError):
            self._up(rest)
        with contextlib.suppress(OSError):
            self.upstream.socket.shutdown(socket.SHUT_RDWR)
        down.join()

    def note_heard(self) -> None:
        """Note what has come, if it is not yet noted."""
        if self.heard > self.noted and not self.ended:
            self._note()

    def _note(self, **what: object) -> None:
        with self.tap.turn:
            self.noted = self.heard
            line = Line(socket=self.number, heard=self.heard, **what)  # type: ignore[arg-type]
            self.tap.scribe.recording.lines.append(line)

    def _up(self, data: bytes) -> None:
        parser = Protocol(SERVER, max_size=None)
        held = b""
        while data or (data := self.client.recv(WAKE)):
            held += data
            parser.receive_data(data)
            frames = _frames(parser)
            for frame in frames:
                self._note_sent(frame)
            # Nothing is passed on before a frame is whole: its head alone may end the socket.
            if frames or parser.parser_exc:
                self.upstream.socket.sendall(held)
                held = b""
            self.tap.heard()
            data = b""
        if not self.ended:
            self.tap.settle()
            self._end(ends="cut")

    def _note_sent(self, frame: WireFrame) -> None:
        if self.ended or frame.opcode is Opcode.PONG:
            return
        self.tap.settle()
        sent = Frame(int(frame.opcode), bytes(frame.data), frame.fin)
        if frame.opcode is Opcode.CLOSE:
            self._end(frame=sent)
        else:
            self._note(frame=sent)
            self.tap.asked[self.number] = self

    def _down(self) -> None:
        parser = Protocol(CLIENT, max_size=None)
        data = self.upstream.rest(0.001)
        self.upstream.socket.settimeout(None)
        with contextlib.suppress(OSError):
            while data or (data := self.upstream.socket.recv(WAKE)):
                self.tap.heard()
                parser.receive_data(data)
                for frame in _frames(parser):
                    self._note_heard(frame)
                self.client.sendall(data)
                data = b""
        with contextlib.suppress(OSError):
            self.client.shutdown(socket.SHUT_WR)

    def _note_heard(self, frame: WireFrame) -> None:
        if frame.opcode is Opcode.CLOSE and not self.ended:
            self._end(ends="close")
        elif frame.opcode is Opcode.PONG or (frame.opcode < Opcode.CLOSE and frame.fin):
            self.heard += 1
            if self.heard == 1 and self.greets:  # it says from where on the feed tells
                self._note()

    def _end(self, **what: object) -> None:
        with self.tap.turn:
            if not self.ended:
                self.ended = True
                self._note(**what)


def _frames(parser: Protocol) -> list[WireFrame]:
    return [event for event in parser.events_received() if isinstance(event, WireFrame)]


def _closes(response: Response) -> bool:
    return "close" in " ".join(response.all("Connection")).lower()


def _bytes_of(response: Response) -> bytes:
    """Return the response for the client, its body with a length in the place of chunks."""
    fields = list(response.fields)
    if response.get("Transfer-Encoding"):
        fields = [(n, v) for n, v in fields if n.lower() != "transfer-encoding"]
        fields.append(("Content-Length", str(len(response.content))))
    lines = [f"HTTP/1.1 {response.status} {response.reason}", *(f"{n}: {v}" for n, v in fields)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + response.content
