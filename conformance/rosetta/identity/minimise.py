"""Make the script that shows a difference short: leave out requests that do not matter."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from rosetta.identity.corpus import Line, Symbol, shown

Reproduces = Callable[[Sequence[Line]], bool]
SAFE = {"GET", "HEAD", "OPTIONS", "TRACE", "QUERY"}
REFUSED = 400


def minimised(
    lines: Sequence[Line], reproduces: Reproduces, tries: int, statuses: Sequence[int] = ()
) -> list[Line]:
    """Return a part of the lines, the last among them, that still reproduces the difference.

    At most so many tries are made, each of which replays; the whole is known to reproduce.
    ``statuses`` say how the lines were answered, so that what was refused is left out first.
    """
    left = tries
    kept = list(lines)
    acting = changing(lines, statuses)
    for candidate in (needed(lines), related(acting), acting, related(lines)):
        if len(candidate) < len(kept) and left > 0:
            left -= 1
            if reproduces(candidate):
                kept = candidate
                break
    return _without_chunks(kept, reproduces, left)


def _without_chunks(kept: list[Line], reproduces: Reproduces, left: int) -> list[Line]:
    """Leave out ever smaller chunks, as delta debugging does."""
    size = len(kept) // 2
    while size and left > 0:
        start = 0
        while start < len(kept) - 1 and left > 0:
            end = min(start + size, len(kept) - 1)
            candidate = kept[:start] + kept[end:]
            left -= 1
            if is_whole(candidate) and reproduces(candidate):
                kept = candidate
            else:
                start = end
        size //= 2
    return kept


def changing(lines: Sequence[Line], statuses: Sequence[int]) -> list[Line]:
    """Return the last line, those about sockets, and requests that may have changed something."""
    known = [*statuses, *[0] * len(lines)]
    return [
        line
        for line, status in zip(lines, known, strict=False)
        if line is lines[-1] or line.socket or (line.method not in SAFE and status < REFUSED)
    ]


def needed(lines: Sequence[Line]) -> list[Line]:
    """Return the last line and those that bring forth what it names, and so on."""
    wanted, sockets, addresses = set[Symbol](), set[int](), set[str]()
    chosen: list[Line] = []
    for line in reversed(lines):
        signs_up = line.binds is not None and line.binds.kind == "user"
        if (
            not chosen
            or line.binds in wanted
            or line.socket in sockets
            or (signs_up and address_of(line) in addresses)
        ):
            chosen.append(line)
            wanted |= line.needs
            sockets |= {line.socket} - {0}
            addresses |= {address_of(line)} - {""}
    return chosen[::-1]


def address_of(line: Line) -> str:
    """Return the e-mail address in a request's body: a login names its user by it alone."""
    try:
        body = json.loads(shown(line.request).partition("\r\n\r\n")[2])
    except ValueError:
        return ""
    email = body.get("email") if isinstance(body, dict) else None
    return email.lower() if isinstance(email, str) else ""


def related(lines: Sequence[Line]) -> list[Line]:
    """Return the last line and every one that names a resource it depends on."""
    core = needed(lines)
    names = {symbol for line in core for symbol in line.needs} | {line.binds for line in core}
    sockets = {line.socket for line in core} - {0}
    chosen = [
        line
        for line in lines
        if line is lines[-1] or line.needs & names or line.binds in names or line.socket in sockets
    ]
    return [line for line in chosen if is_known(line, chosen)]


def is_known(line: Line, lines: Sequence[Line]) -> bool:
    """Tell whether all that a line names is made by one of the lines."""
    return line.needs <= {other.binds for other in lines}


def is_whole(lines: Sequence[Line]) -> bool:
    """Tell whether every line names only what an earlier one makes or opens."""
    bound, sockets = set[Symbol | None](), {0}
    for line in lines:
        if line.request:
            sockets.add(line.socket)
        if not line.needs <= bound or line.socket not in sockets:
            return False
        bound.add(line.binds)
    return True
