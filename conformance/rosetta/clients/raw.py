"""An HTTP/1.1 client that sends exactly the bytes it is given and hides nothing of the answer."""

from __future__ import annotations

import json
import select
import shlex
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import httpx

from rosetta.targets.server import Target

NO_BODY = frozenset({204, 304})


class RawError(AssertionError):
    """What came back is no HTTP/1.1 response."""


@dataclass(frozen=True)
class RawResponse:
    """One response: header fields in the order and the case in which they came."""

    status: int
    reason: str
    fields: tuple[tuple[str, str], ...]
    content: bytes
    request: bytes
    target: Target

    @property
    def status_code(self) -> int:
        """The status, under the name that httpx gives it."""
        return self.status

    def all(self, name: str) -> list[str]:
        """Return the values of every field of this name."""
        return [value for field, value in self.fields if field.lower() == name.lower()]

    def get(self, name: str) -> str | None:
        """Return the value of a field that may come once at most."""
        values = self.all(name)
        if len(values) > 1:
            raise RawError(f"{name} came {len(values)} times: {values}")
        return values[0] if values else None

    @property
    def headers(self) -> httpx.Headers:
        """The same fields, to be looked up in any case."""
        return httpx.Headers(list(self.fields))

    @property
    def text(self) -> str:
        """The body, whatever it holds, as text."""
        return self.content.decode("utf-8", "backslashreplace")

    def json(self) -> Any:  # noqa: ANN401 - JSON
        """Return the body parsed as JSON."""
        return json.loads(self.content)


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


class RawConnection:
    """One TCP connection; a context manager."""

    def __init__(self, target: Target, timeout: float = 5.0) -> None:
        self.target = target
        self.socket = socket.create_connection((target.host, target.port), timeout)
        self._sent = b""
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._sent += data
        self.socket.sendall(data)

    def request(
        self,
        method: str,
        target: str,
        fields: Iterable[tuple[str, str | bytes]] = (),
        body: bytes | None = None,
    ) -> RawResponse:
        """Send one request, made by ``build``, and read its response."""
        host = f"{self.target.host}:{self.target.port}"
        self.send(build(method, target, fields, body, host=host))
        return self.read(method)

    def read(self, method: str = "GET") -> RawResponse:
        """Read exactly one response to a request of this method; raise RawError."""
        status, reason, fields = self._read_head()
        while status in range(100, 200) and status != 101:
            status, reason, fields = self._read_head()
        request, self._sent = self._sent, b""
        body = self._read_body(method, status, fields)
        return RawResponse(status, reason, tuple(fields), body, request, self.target)

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
        """Whether the server has closed an idle connection meanwhile."""
        return bool(select.select([self.socket], [], [], 0)[0])

    def closed(self, timeout: float = 2.0) -> bool:
        """Tell whether the server closes the connection within ``timeout``, sending no more."""
        self.socket.settimeout(timeout)
        try:
            return not self._buffer and self.socket.recv(1) == b""
        except TimeoutError:
            return False
        except ConnectionResetError:
            return True

    def _read_head(self) -> tuple[int, str, list[tuple[str, str]]]:
        start, *lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, _, rest = start.partition(" ")
        code, _, reason = rest.partition(" ")
        if not version.startswith("HTTP/1.") or not (code.isdecimal() and len(code) == 3):
            raise RawError(f"not a status line: {start!r}")
        return int(code), reason, [_field(line) for line in lines]

    def _read_body(self, method: str, status: int, fields: Sequence[tuple[str, str]]) -> bytes:
        if method == "HEAD" or status in NO_BODY or status < 200:
            return b""
        known = {name.lower(): value for name, value in fields}
        if known.get("transfer-encoding", "").lower() == "chunked":
            return self._read_chunks()
        if "content-length" in known:
            return self._exactly(int(known["content-length"]))
        return self._to_end()

    def _read_chunks(self) -> bytes:
        body = b""
        while size := int(self._until(b"\r\n").partition(b";")[0], 16):
            body += self._exactly(size)
            self._expect_line_end()
        while self._until(b"\r\n"):
            pass  # trailer fields
        return body

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
) -> RawResponse:
    """Send one request on a connection of its own and return the response."""
    with RawConnection(target) as connection:
        return connection.request(method, path, [*fields, ("Connection", "close")], body)


def as_shell(request: bytes, target: Target) -> str:
    """Return a shell command that sends these bytes again."""
    text = request.decode("latin-1").encode("unicode_escape").decode().replace("%", "%%")
    return f"printf {shlex.quote(text)} | nc {target.host} {target.port}"


def _field(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon:
        raise RawError(f"not a header field: {line!r}")
    return name, value.strip(" \t")


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("latin-1")
