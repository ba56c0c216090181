"""The corpus: what clients once sent, to be sent again to every implementation.

A recording is a list of lines. A request is kept as the bytes that were sent, but for what the
server or its place decides: there a symbol stands, bound by the line at which the value was born.
Versions and event ids need none: the contract fixes them (`etag`, `feed-order`); in an entity-tag
the id before the version has one.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rosetta.contract.routes import operation_of

FOLDER = Path(__file__).resolve().parents[2] / "corpus"
INDEX = "index.json"
DISTILLED = "distilled.json"
CLOSE = 8  # the opcode, RFC 6455, section 5.2
TEXT = 1


class CorpusError(Exception):
    """The corpus is missing, empty, or not what its index says."""


@dataclass(frozen=True)
class Symbol:
    """A value that is another at each replay.

    ``kind`` is user or item (an id), token (issued by create_token), signed (a token that the
    suite signs for the user of this number) or host (of the server; the number is 0).
    """

    kind: str
    number: int

    def __str__(self) -> str:
        return f"<{self.kind} {self.number}>" if self.number else f"<{self.kind}>"


Piece = bytes | Symbol
Pieces = tuple[Piece, ...]
HOST = Symbol("host", 0)


@dataclass(frozen=True)
class Frame:
    """A websocket frame of a client, unmasked."""

    opcode: int
    data: bytes
    fin: bool = True


@dataclass(frozen=True)
class Line:
    """One thing a client did.

    A request has ``request``, and ``socket`` if it opens one. Else it is about an open socket:
    when ``heard`` messages have come, ``frame`` is sent, the connection is cut, or the server's
    Close awaited, as ``ends`` says.
    """

    request: Pieces = ()
    binds: Symbol | None = None
    socket: int = 0
    heard: int = 0
    frame: Frame | None = None
    ends: str = ""

    @property
    def needs(self) -> set[Symbol]:
        """The symbols whose values a request cannot do without."""
        used = {piece for piece in self.request if isinstance(piece, Symbol)}
        return {Symbol("user", s.number) if s.kind == "signed" else s for s in used} - {HOST}

    @property
    def method(self) -> str:
        """The method of a request."""
        return self.head.partition(" ")[0]

    @property
    def target(self) -> str:
        """The target of a request, symbols in angle brackets."""
        return re.sub(r"^\S* (.*) HTTP/1\.[01]$", r"\1", self.head)

    @property
    def head(self) -> str:
        """The first line of a request."""
        return shown(self.request).partition("\r\n")[0]

    @property
    def operation(self) -> str:
        """The operationId; for a request that has none, its method and path or `no route`."""
        return operation_of(self.method, re.sub(r"<\w+ \d+>", "1", self.target.partition("?")[0]))


@dataclass
class Recording:
    """The lines of one part of the corpus, sent to a server of its own with a new database.

    ``numbers`` are those of the lines in the whole part; without them the recording is whole.
    """

    name: str
    lines: list[Line] = field(default_factory=list)
    numbers: Sequence[int] = ()

    def only(self, numbers: Sequence[int]) -> Recording:
        """Return a recording with only the lines of these numbers, which count from 1."""
        return Recording(self.name, [self.lines[number - 1] for number in numbers], numbers)

    def number(self, place: int) -> int:
        """Return the number, in the whole part, of the line at this place, which counts from 0."""
        return self.numbers[place] if self.numbers else place + 1

    @property
    def requests(self) -> int:
        """How many lines are requests, handshakes included."""
        return sum(bool(line.request) for line in self.lines)

    @property
    def messages(self) -> int:
        """How many websocket messages a server sends."""
        return sum({line.socket: line.heard for line in self.lines if line.socket}.values())


def fill(pieces: Pieces, value: Callable[[Symbol], bytes]) -> bytes:
    """Return the bytes to send, every symbol replaced by its value."""
    return b"".join(piece if isinstance(piece, bytes) else value(piece) for piece in pieces)


def shown(pieces: Pieces) -> str:
    """Return a request as text, symbols in angle brackets, as latin-1."""
    return fill(pieces, lambda symbol: str(symbol).encode()).decode("latin-1")


# -- files


def encode(line: Line) -> dict[str, Any]:
    """Return a line as JSON; bytes are latin-1 text, a symbol is a list of kind and number."""
    entry: dict[str, Any] = {}
    if line.request:
        entry["request"] = [_piece(piece) for piece in line.request]
    if line.binds:
        entry["binds"] = _piece(line.binds)
    if line.socket:
        entry |= {"socket": line.socket, "heard": line.heard}
    if line.frame:
        entry["frame"] = [line.frame.opcode, line.frame.data.decode("latin-1"), line.frame.fin]
    return entry | ({"ends": line.ends} if line.ends else {})


def decode(entry: dict[str, Any]) -> Line:
    """Return the line of ``encode``."""
    frame = entry.get("frame")
    return Line(
        request=tuple(map(_unpiece, entry.get("request", ()))),
        binds=Symbol(*entry["binds"]) if "binds" in entry else None,
        socket=entry.get("socket", 0),
        heard=entry.get("heard", 0),
        frame=Frame(frame[0], frame[1].encode("latin-1"), frame[2]) if frame else None,
        ends=entry.get("ends", ""),
    )


def write(recordings: Iterable[Recording], folder: Path = FOLDER) -> None:
    """Write each recording as compressed JSON lines, and the index that tells their size.

    The same recordings give the same bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    index = {}
    for recording in recordings:
        data = dump(recording.lines)
        (folder / f"{recording.name}.jsonl.gz").write_bytes(data)
        counts = {"requests": recording.requests, "messages": recording.messages}
        index[recording.name] = counts | {"sha256": hashlib.sha256(data).hexdigest()}
    text = json.dumps(index, indent=1, sort_keys=True)
    (folder / INDEX).write_text(f"{text}\n", encoding="utf-8")


def dump(lines: Iterable[Line]) -> bytes:
    """Return compressed JSON lines."""
    text = "".join(f"{json.dumps(encode(line))}\n" for line in lines)
    return gzip.compress(text.encode("ascii"), mtime=0)


def read(folder: Path = FOLDER, *, distilled: bool = False) -> list[Recording]:
    """Return every recording; raise CorpusError if one is not what the index says.

    A ``distilled`` corpus has only the lines that are named in distilled.json.
    """
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        recordings = [_read(folder, name, entry) for name, entry in index.items()]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CorpusError(f"the corpus in {folder.name}/ cannot be read: {error}") from error
    if not sum(recording.requests for recording in recordings):
        raise CorpusError(f"the corpus in {folder.name}/ holds no request")
    return _only_distilled(folder, index, recordings) if distilled else recordings


def _only_distilled(
    folder: Path, index: Mapping[str, Any], recordings: Iterable[Recording]
) -> list[Recording]:
    try:
        parts = json.loads((folder / DISTILLED).read_text(encoding="utf-8"))["parts"]
        made_from = {name: part["sha256"] for name, part in parts.items()}
        if made_from != {name: entry["sha256"] for name, entry in index.items()}:
            raise CorpusError(f"{DISTILLED} was distilled from another corpus: run `nox -s distil`")
        return [each.only(_numbers(parts[each.name]["lines"])) for each in recordings]
    except (OSError, ValueError, TypeError, KeyError, IndexError) as error:
        raise CorpusError(f"{folder.name}/{DISTILLED} cannot be read: {error}") from error


def write_distilled(
    kept: Mapping[str, Sequence[int]], about: Mapping[str, Any], folder: Path = FOLDER
) -> None:
    """Write which lines are kept of each part, as ranges of numbers that count from 1.

    ``about`` are other members of the file.
    """
    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    parts = {
        name: {"sha256": entry["sha256"], "lines": _ranges(kept[name])}
        for name, entry in index.items()
    }
    text = json.dumps({"parts": parts, **about}, indent=1, sort_keys=True)
    (folder / DISTILLED).write_text(f"{text}\n", encoding="utf-8")


def _ranges(numbers: Sequence[int]) -> str:
    """Return rising numbers as text: `1-3 7 9-10`."""
    starts = [n for place, n in enumerate(numbers) if not place or numbers[place - 1] != n - 1]
    ends = [n for n, after in zip(numbers, [*numbers[1:], 0], strict=True) if after != n + 1]
    pairs = zip(starts, ends, strict=True)
    return " ".join(str(one) if one == last else f"{one}-{last}" for one, last in pairs)


def _numbers(text: str) -> list[int]:
    """Return the numbers of ``_ranges``."""
    bounds = [(first, last or first) for first, _, last in (t.partition("-") for t in text.split())]
    found = [number for first, last in bounds for number in range(int(first), int(last) + 1)]
    if not found or found[0] < 1:
        raise ValueError(f"{text!r} names no line")
    return found


def read_file(path: Path) -> Recording:
    """Return the recording of one file, without an index; raise CorpusError."""
    try:
        lines = load(path.read_bytes())
    except (OSError, EOFError, ValueError, TypeError, KeyError) as error:
        raise CorpusError(f"{path} is no recording: {error}") from error
    if not lines:
        raise CorpusError(f"{path} holds no line")
    return Recording(path.name.partition(".")[0], lines)


def load(data: bytes) -> list[Line]:
    """Return the lines that ``dump`` wrote."""
    return [decode(json.loads(text)) for text in gzip.decompress(data).splitlines()]


def _read(folder: Path, name: str, entry: dict[str, Any]) -> Recording:
    data = (folder / f"{name}.jsonl.gz").read_bytes()
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise CorpusError(f"{name}.jsonl.gz is not the file of which {INDEX} tells")
    recording = Recording(name, load(data))
    found = (recording.requests, recording.messages)
    if found != (told := (entry["requests"], entry["messages"])):
        raise CorpusError(f"{name} holds {found} requests and messages, not {told}")
    return recording


def join(pieces: Iterable[Piece]) -> Pieces:
    """Return the pieces with neighbouring bytes put together and empty ones left out."""
    joined: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, bytes) and joined and isinstance(joined[-1], bytes):
            joined[-1] += piece
        elif piece:
            joined.append(piece)
    return tuple(joined)


def _piece(piece: Piece) -> str | list[str | int]:
    if isinstance(piece, Symbol):
        return [piece.kind, piece.number]
    return piece.decode("latin-1")


def _unpiece(piece: str | Sequence[Any]) -> Piece:
    return piece.encode("latin-1") if isinstance(piece, str) else Symbol(*piece)
