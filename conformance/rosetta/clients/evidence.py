"""What was asked and answered, as text: shell commands that ask again, responses, websockets.

HTTP clients keep their own exchanges; websockets, which a test may open anywhere, put theirs into
this module's record: ``forget`` before a test, ``transcripts`` after it.
"""

from __future__ import annotations

import shlex
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from websockets.frames import Frame, Opcode

from rosetta.clients.message import Request, Response
from rosetta.targets.server import Target

SHOWN_BODY = 2000
SHOWN_TEXT = 200  # of a frame, in bytes
FRAMES = 50  # of a websocket, the last ones
SOCKETS = 8  # of a test, those on which something was said last
# Fields that curl sends by itself, or that the length of the body gives.
OWN_TO_CLIENTS = frozenset({"accept", "accept-encoding", "content-length", "host", "user-agent"})

Told = tuple[str, str]  # a request as a shell command, and its answer as text


class Violation(AssertionError):
    """A response is not what the contract says; the message reads like a bug report.

    ``exchanges`` are the requests that show it, as shell commands, and their answers as text;
    ``rules`` those that are broken, where the test does not say it by its marks.
    """

    def __init__(
        self, message: str, exchanges: Iterable[Told] = (), rules: Iterable[str] = ()
    ) -> None:
        super().__init__(message)
        self.exchanges = list(exchanges)
        self.rules = list(rules)


@dataclass(frozen=True)
class Exchange:
    """One request and what came back: a response, or the error that there was instead."""

    request: Request
    response: Response | None = None
    error: Exception | None = None

    def __str__(self) -> str:
        return "\n".join(self.told)

    @property
    def told(self) -> Told:
        """The request as a shell command, and what came back as text."""
        got = f"{type(self.error).__name__}: {self.error}" if self.error else None
        return as_command(self.request), got or describe(self.response)


# -- HTTP


def as_command(request: Request) -> str:
    """Return a shell command that sends the same request: the same bytes if these matter."""
    return as_shell(request.data, request.target) if request.exact else as_curl(request)


def as_shell(request: bytes, target: Target) -> str:
    """Return a shell command that sends these bytes again."""
    text = request.decode("latin-1").encode("unicode_escape").decode().replace("%", "%%")
    address = f"{target.host} {target.port}"
    to = f"openssl s_client -quiet -connect {target.host}:{target.port}"
    return f"printf {shlex.quote(text)} | {to if target.tls else f'nc {address}'}"


def as_curl(request: Request) -> str:
    """Return a curl command that sends the same request."""
    parts = ["curl", "-i", "--http1.1", "--path-as-is"]
    parts += ["--head"] if request.method == "HEAD" else ["-X", request.method]
    in_chunks = False
    for name, value in request.fields:
        in_chunks |= name.lower() == "transfer-encoding"
        if name.lower() not in OWN_TO_CLIENTS and (name, value) != ("Connection", "keep-alive"):
            parts += ["-H", f"{name}: {value}" if value else f"{name};"]
    if in_chunks:
        parts += ["--data-binary", "@(a body sent in chunks)"]
    elif request.body:
        curl = shlex.join([*parts, "--data-binary", "@-", request.url])
        return f"{_printf(request.body)} | {curl}"
    return shlex.join([*parts, request.url])


def describe(response: Response | None) -> str:
    """Return a response as text: status line, header fields and the start of its body."""
    if response is None:
        return "(no response)"
    lines = [f"HTTP/1.1 {response.status}"]
    lines += [f"{name}: {value}" for name, value in response.fields]
    text = response.text
    more = f"… ({len(text)} characters)" if len(text) > SHOWN_BODY else ""
    return "\n".join([*lines, "", text[:SHOWN_BODY] + more]).rstrip()


def violation(response: Response, expected: str, got: object) -> Violation:
    """Return the error to raise when a response is not what the contract says."""
    request, answer = as_command(response.request), describe(response)
    return Violation(
        f"expected {expected}, got {got}\n\n{request}\n\n{answer}", [(request, answer)]
    )


def _printf(body: bytes) -> str:
    """Return a shell command that writes the bytes, cut where they are too many to read."""
    if len(body) > SHOWN_BODY:
        return f"({len(body)} bytes: {body[:80]!r}…)"
    text = body.decode("utf-8", "backslashreplace")
    if text.isprintable() and text.encode() == body:
        return f"printf %s {shlex.quote(text)}"
    escaped = "".join(f"\\{byte:03o}" for byte in body)
    return f"printf {shlex.quote(escaped)}"


# -- websockets


@dataclass(eq=False)
class Transcript:
    """What was said on one websocket: its handshake, and the last frames with their times."""

    handshake: Request
    response: Response | None = None
    _frames: deque[str] = field(default_factory=lambda: deque(maxlen=FRAMES))
    _count: int = 0
    _opened: float = field(default_factory=time.monotonic)

    def __str__(self) -> str:
        return "\n\n".join(self.told)

    @property
    def told(self) -> Told:
        """The handshake as a shell command, and what came: its response, then the frames."""
        left_out = self._count - len(self._frames)
        earlier = [f"({left_out} earlier frames)"] if left_out else []
        frames = "\n".join([*earlier, *list(self._frames)])
        answer = describe(self.response) if self.response else "(no answer to the handshake yet)"
        return as_command(self.handshake), f"{answer}\n\n{frames}".rstrip()

    def begin(self) -> None:
        """Count the times of frames from here, where the handshake begins."""
        self._opened = time.monotonic()
        self.remember()

    def answered(self, response: Response) -> None:
        """Note the answer to the handshake."""
        self.response = response

    def sent(self, what: Frame | str) -> None:
        """Note a frame of the client, or something else that it did."""
        self._note(">", what)

    def came(self, what: Frame | str) -> None:
        """Note a frame of the server, or something else that it did."""
        self._note("<", what)

    def remember(self) -> None:
        """Put this transcript at the end of the record, as the one that was used last."""
        _record.pop(self, None)
        _record[self] = None

    def _note(self, direction: str, what: Frame | str) -> None:
        seconds = time.monotonic() - self._opened
        text = what if isinstance(what, str) else describe_frame(what)
        self._frames.append(f"{seconds:9.3f} s {direction} {text}")
        self._count += 1
        self.remember()


_record: dict[Transcript, None] = {}


def forget() -> None:
    """Begin a new record of websockets; one that is still open joins it when it is used."""
    _record.clear()


def transcripts() -> list[Transcript]:
    """Return the transcripts of the websockets that were used last, the latest at the end."""
    return list(_record)[-SOCKETS:]


def describe_frame(frame: Frame) -> str:
    """Return a frame in one line: opcode, size and the start of its payload."""
    data = bytes(frame.data)
    if frame.opcode is Opcode.CLOSE:
        return f"close {_close(data)}"
    more = "" if frame.fin else ", more to come"
    return f"{frame.opcode.name.lower()} ({len(data)} bytes{more}) {shown(data)}".rstrip()


def shown(data: bytes) -> str:
    """Return the start of a payload, whatever it holds, as printable text."""
    text = data[:SHOWN_TEXT].decode("utf-8", "backslashreplace")
    printable = text if text.isprintable() else text.encode("unicode_escape").decode()
    return printable + ("…" if len(data) > SHOWN_TEXT else "")


def _close(data: bytes) -> str:
    if not data:
        return "without a code"
    code = int.from_bytes(data[:2], "big")
    return f"{code} {shown(data[2:])}".rstrip()
