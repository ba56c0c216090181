"""An HTTP/1.1 client that sends exactly the bytes it is given and hides nothing of the answer."""

from __future__ import annotations

import functools
import os
import re
import select
import socket
import ssl
from collections.abc import Iterable, Sequence
from typing import Self

from rosetta.clients.message import Field, Request, Response
from rosetta.targets.server import Target

NO_BODY = frozenset({204, 304})
SMALL_SEGMENT = 536
HEX = re.compile(rb"[0-9A-Fa-f]{1,16}")
# Errors of a connection on which nothing was answered, besides RawError.
GONE = (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError)


class RawError(AssertionError):
    """What came back is no HTTP/1.1 response."""


def build(
    method: str,
    target: str,
    fields: Iterable[tuple[str, str | bytes]] = (),
    body: bytes | None = None,
    *,
    host: str = "rosetta.test",
) -> bytes:
    """Return a request's bytes; Content-Length is added for a body whose length no field tells."""
    lines: list[tuple[str, str | bytes]] = list(fields)
    names = {name.lower() for name, _ in lines}
    if "host" not in names:
        lines.insert(0, ("Host", host))
    if body is not None and not names & {"content-length", "transfer-encoding"}:
        lines.append(("Content-Length", str(len(body))))
    head = [f"{method} {target} HTTP/1.1".encode()]
    head += [b"%s: %s" % (name.encode(), _bytes(value)) for name, value in lines]
    return b"\r\n".join([*head, b"", body or b""])


def chunked(pieces: Iterable[bytes]) -> bytes:
    """Return the pieces in the chunked transfer coding, the last chunk included."""
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def prefixed(request: bytes, target: Target) -> bytes:
    """Return a request's bytes with the target's prefix in front of the path, if it has one."""
    method, space, rest = request.partition(b" ")
    if not target.prefix or not rest.startswith(b"/"):
        return request
    return method + space + target.prefix.encode() + rest


def connect(target: Target, timeout: float, receive_buffer: int | None = None) -> socket.socket:
    """Connect to a target, over TLS if it is https; raise OSError.

    With ``receive_buffer`` the server can send no more than about so many bytes ahead.
    """
    if receive_buffer is None:
        connection = socket.create_connection((target.host, target.port), timeout)
    else:
        connection = _connect_narrowly(target, timeout, receive_buffer)
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not target.tls:
            return connection
        return tls_context().wrap_socket(connection, server_hostname=target.host)
    except BaseException:
        connection.close()
        raise


def _connect_narrowly(target: Target, timeout: float, receive_buffer: int) -> socket.socket:
    connection = socket.socket()
    # Before connecting: it sets the TCP window.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    # The server's kernel sizes its send buffer by the segments: on the loopback's of 64 KB it
    # would hold megabytes for a client that reads nothing.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SMALL_SEGMENT)
    connection.settimeout(timeout)
    try:
        connection.connect((target.host, target.port))
    except BaseException:
        connection.close()
        raise
    return connection


def tls_context() -> ssl.SSLContext:
    """Return the context of all clients: the CAs of SSL_CERT_FILE or the system, HTTP/1.1 only."""
    return _tls_context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@functools.cache  # reading the certificates takes longer than most tests
def _tls_context(*_: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


class RawConnection:
    """One connection, over TLS if the target is https; a context manager.

    ``request`` puts the target's prefix in front of the path; ``send`` sends what it is given. What
    TLS cannot do is refused by Python's ssl module: closing one direction only.
    """

    def __init__(self, target: Target, timeout: float = 5.0, *, exact: bool = True) -> None:
        self.target = target
        self.socket = connect(target, timeout)
        self.ended = False  # whether the last response was the connection's last: RFC 9112, 9.3
        self._exact = exact
        self._sent = b""
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._sent += data
        self.socket.sendall(data)

    def build(
        self,
        method: str,
        path: str,
        fields: Iterable[tuple[str, str | bytes]] = (),
        body: bytes | None = None,
    ) -> bytes:
        """Return the bytes of a request to this target, prefix and Host included."""
        return build(method, self.target.at(path), fields, body, host=self.target.netloc)

    def request(
        self,
        method: str,
        path: str,
        fields: Iterable[tuple[str, str | bytes]] = (),
        body: bytes | None = None,
    ) -> Response:
        """Send one request, made by ``build``, and read its response."""
        self.send(self.build(method, path, fields, body))
        return self.read(method)

    def read(self, method: str = "GET") -> Response:
        """Read exactly one response to a request of this method; raise RawError."""
        version, status, reason, fields = self._read_head()
        while 100 <= status < 200 and status != 101:
            version, status, reason, fields = self._read_head()
        sent, self._sent = self._sent, b""
        said = " ".join(value for name, value in fields if name.lower() == "connection").lower()
        self.ended = status == 101 or version != "HTTP/1.1" or "close" in said
        body = self._read_body(method, status, fields)
        request = Request(sent, self.target, self._exact)
        return Response(status, reason, tuple(fields), body, request)

    def rest(self, timeout: float = 0.2) -> bytes:
        """Return the bytes that came beyond the responses read, waiting ``timeout`` for them."""
        self.socket.settimeout(timeout)
        try:
            while piece := self.socket.recv(65536):
                self._buffer += piece
        except (TimeoutError, ConnectionResetError):
            pass
        rest, self._buffer = self._buffer, b""
        return rest

    @property
    def stale(self) -> bool:
        """Whether an idle connection was closed by the server, or has bytes nobody asked for."""
        return bool(self._buffer) or self.readable

    @property
    def readable(self) -> bool:
        """Whether bytes of HTTP have come that are not read yet, or the connection has ended."""
        if not isinstance(self.socket, ssl.SSLSocket):
            return bool(select.select([self.socket], [], [], 0)[0])
        timeout = self.socket.gettimeout()
        self.socket.setblocking(False)
        try:  # what has come may be TLS's own, such as a session ticket
            self._buffer += (piece := self.socket.recv(65536))
        except ssl.SSLWantReadError:
            return bool(self._buffer)
        except OSError:
            return True
        finally:
            self.socket.settimeout(timeout)
        return not piece or bool(self._buffer)

    def closed(self, timeout: float = 2.0) -> bool:
        """Tell whether the server closes the connection within ``timeout``, sending no more."""
        self.socket.settimeout(timeout)
        try:
            return not self._buffer and self.socket.recv(1) == b""
        except TimeoutError:
            return False
        except ConnectionResetError:
            return True

    def _read_head(self) -> tuple[str, int, str, list[Field]]:
        start, *lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, _, rest = start.partition(" ")
        code, _, reason = rest.partition(" ")
        if not version.startswith("HTTP/1.") or not (code.isdecimal() and len(code) == 3):
            raise RawError(f"not a status line: {start!r}")
        return version, int(code), reason, [_field(line) for line in lines]

    def _read_body(self, method: str, status: int, fields: Sequence[Field]) -> bytes:
        """Read a body by RFC 9112, section 6.3."""
        if method == "HEAD" or status in NO_BODY or status < 200:
            return b""
        codings = [value for name, value in fields if name.lower() == "transfer-encoding"]
        lengths = {value for name, value in fields if name.lower() == "content-length"}
        if codings and lengths:
            raise RawError(f"both Transfer-Encoding and Content-Length: {fields}")
        if [coding.lower() for coding in codings] == ["chunked"]:
            return self._read_chunks()
        if lengths:
            return self._exactly(_length(lengths))
        self.ended = True
        return self._to_end()

    def _read_chunks(self) -> bytes:
        pieces = []
        while size := self._chunk_size():
            pieces.append(self._exactly(size))
            self._expect_line_end()
        while self._until(b"\r\n"):
            pass  # trailer fields
        return b"".join(pieces)

    def _chunk_size(self) -> int:
        line = self._until(b"\r\n")
        size = line.partition(b";")[0].rstrip(b" \t")
        if not HEX.fullmatch(size):
            raise RawError(f"not the size of a chunk: {line!r}")
        return int(size, 16)

    def _expect_line_end(self) -> None:
        if (end := self._exactly(2)) != b"\r\n":
            raise RawError(f"a chunk does not end where its size says: {end!r}")

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            self._fill()
        found, _, self._buffer = self._buffer.partition(mark)
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._fill()
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        return found

    def _to_end(self) -> bytes:
        while piece := self.socket.recv(65536):
            self._buffer += piece
        found, self._buffer = self._buffer, b""
        return found

    def _fill(self) -> None:
        try:
            piece = self.socket.recv(65536)
        except TimeoutError:
            raise RawError(f"no whole response in time; so far {self._buffer!r}") from None
        if not piece:
            raise RawError(f"closed before the end of a response; so far {self._buffer!r}")
        self._buffer += piece


def send(
    target: Target,
    method: str,
    path: str,
    fields: Iterable[tuple[str, str | bytes]] = (),
    body: bytes | None = None,
) -> Response:
    """Send one request on a connection of its own and return the response."""
    with RawConnection(target) as connection:
        return connection.request(method, path, [*fields, ("Connection", "close")], body)


def _field(line: str) -> Field:
    name, colon, value = line.partition(":")
    if not colon:
        raise RawError(f"not a header field: {line!r}")
    return name, value.strip(" \t")


def _length(lengths: Iterable[str]) -> int:
    """Return the length that the values of Content-Length agree on."""
    first, *others = lengths
    if others or not (first.isascii() and first.isdecimal()):
        raise RawError(f"not a Content-Length: {', '.join([first, *others])}")
    return int(first)


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("latin-1")
