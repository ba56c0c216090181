"""What the modules about websockets share: forged tokens, handshakes byte by byte, raw events."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from socket import SO_SNDBUF, SOL_SOCKET
from typing import Any

from websockets.frames import Frame, Opcode

from rosetta.clients.concurrently import at_once
from rosetta.clients.expectations import (
    expect_close,
)
from rosetta.clients.http import (
    Account,
    Api,
    Item,
    expect,
    expect_problem,
    sign_token,
    violation,
)
from rosetta.clients.message import Response
from rosetta.clients.raw import RawConnection
from rosetta.clients.websocket import Feed, RawWebSocket
from rosetta.contract.terms import UUID4
from rosetta.targets.databases import PostgresDatabase, SqliteDatabase
from rosetta.targets.server import Target

SOCKETS = ("/ws/echo", "/ws/events")
UNKNOWN = 10**15  # the id of no user
PLAIN = 'Bearer realm="api"'
UPGRADE_REQUIRED = {"upgrade": "websocket"}
INVALID_TOKEN = 'Bearer realm="api", error="invalid_token"'  # noqa: S105 - a challenge
# Two UTF-16 units, four bytes in UTF-8, twelve characters as JSON escapes.
ASTRAL = "\U0001f600"
HEAVY = ASTRAL * 2000  # the longest description, 8,000 bytes at the least
PROMPTLY = 2.0  # within which a 4401 must come
# Bytes on their way between two processes: Linux lets a receive buffer grow to 32 MiB.
MORE_THAN_KERNELS_HOLD = 48_000_000

# RFC 6455, section 1.3
KEY, ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
_NOT_COMPARED = frozenset(
    {
        "date",
        "server",
        "connection",
        "keep-alive",
        "content-length",
        "transfer-encoding",
        "vary",
        "allow",
        "referrer-policy",
        "cross-origin-opener-policy",
        "x-frame-options",
    }
)

Fields = Sequence[tuple[str, str]]
Message = dict[str, Any]


def forge(secret_key: str, account: Account, *, lives: float = 3600, **claims: Any) -> str:  # noqa: ANN401
    """Return a token of the account that expires in ``lives`` seconds."""
    return sign_token(account.id, secret_key, exp=time.time() + lives, **claims)


def shake(
    target: Target, path: str, fields: Fields = (), *, request_id: str | None = None
) -> Response:
    """Ask for a websocket with these fields besides and return the answer, 101 or a refusal."""
    asking = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", KEY),
    ]
    named = [] if request_id is None else [("X-Request-ID", request_id)]
    with RawConnection(target) as connection:
        return connection.request("GET", path, [*asking, *named, *fields])


def expect_open(response: Response, protocol: str | None) -> None:
    """Check that a handshake succeeded with this subprotocol and no header of another kind."""
    __tracebackhide__ = True
    wanted = {"sec-websocket-accept": ACCEPT}
    if protocol is not None:
        wanted["sec-websocket-protocol"] = protocol
    if response.status != 101:
        raise violation(response, "status 101", f"status {response.status}")
    got = {name: value for name, value in _compared(response).items() if name != "upgrade"}
    if got != wanted:
        raise violation(response, f"101 with just {wanted}", got)
    if response.headers["Upgrade"].lower() != "websocket" or not lists_upgrade(response):
        raise violation(response, "Upgrade: websocket and Connection: Upgrade", "others")


def expect_refusal(
    response: Response,
    slug: str,
    *,
    fields: Mapping[str, str] | None = None,
    errors: list[tuple[str, str, str]] | None = None,
    request_id: str | None = None,
) -> None:
    """Check an HTTP problem, its headers to the last; ``fields`` are those beyond the ordinary."""
    __tracebackhide__ = True
    expect_problem(response, slug, errors=errors)
    expect_headers(
        response, {"content-type": "application/problem+json", **(fields or {})}, request_id
    )


def expect_headers(
    response: Response, fields: Mapping[str, str], request_id: str | None = None
) -> None:
    """Check that a response has these headers, nosniff and a request id, and no other."""
    __tracebackhide__ = True
    got = _compared(response)
    given = got.pop("x-request-id", "")
    if given != request_id if request_id else not UUID4.fullmatch(given):
        raise violation(response, f"X-Request-ID: {request_id or 'a new UUID4'}", given)
    wanted = {"x-content-type-options": "nosniff"}
    wanted |= {name.lower(): value for name, value in fields.items()}
    if got != wanted:
        raise violation(response, f"just the headers {wanted}", got)


def lists_upgrade(response: Response) -> bool:
    """Tell whether the Connection field lists ``Upgrade``."""
    return "upgrade" in re.split(r"[ \t]*,[ \t]*", response.headers.get("Connection", "").lower())


def write_events_past_the_server(
    database: SqliteDatabase | PostgresDatabase,
    count: int = 1,
    event: str = "user.deleted",
    data: str | None = None,
) -> range:
    """Commit events in one transaction, as another implementation would; return their ids.

    No wake-up comes with them. Each tells of user UNKNOWN; ``data`` is JSON.
    """
    now = datetime.now(UTC)
    moment = now.strftime("%Y-%m-%d %H:%M:%S.%f") if database.kind == "sqlite" else now
    with database.transaction() as run:
        run("UPDATE event_counter SET last_id = last_id + ? WHERE id = 1", [count])
        (counter,) = run("SELECT last_id FROM event_counter WHERE id = 1")
        ids = range(counter["last_id"] - count + 1, counter["last_id"] + 1)
        for number in ids:
            run("INSERT INTO events VALUES (?, ?, ?, ?, ?)", [number, event, UNKNOWN, data, moment])
    return ids


def ids_of(messages: Iterable[Message]) -> list[int]:
    """Return the ids of events."""
    return [message["id"] for message in messages]


def without_gap(first: int, messages: Sequence[Message]) -> bool:
    """Tell whether the ids of the events are ``first``, ``first`` + 1 and so on."""
    return ids_of(messages) == list(range(first, first + len(messages)))


def of_frame(frame: Frame) -> Message:
    """Return the message in a text frame."""
    message: Message = json.loads(bytes(frame.data))
    return message


def rename(api: Api, owner: Account | str, item: Item, name: str = "Lantern") -> dict[str, Any]:
    """Write an item once; return it as answered."""
    answer = expect(api.patch(item.path, token=owner, json={"name": name}), 200)
    body: dict[str, Any] = answer.json()
    return body


def told(message: Message) -> tuple[str, int, Any]:
    """Return what an event says, without its id and time; it must have no other member."""
    assert set(message) == {"type", "id", "event", "resource_id", "data", "occurred_at"}, message
    assert message["type"] == "event", message
    return message["event"], message["resource_id"], message["data"]


@contextmanager
def closing_at(at: float, *feeds: Feed) -> Iterator[None]:
    """Expect each feed to close with 4401 within two seconds of ``at``, and not before."""
    yield
    for feed in feeds:
        left = at + PROMPTLY - time.time()
        expect_close(feed, 4401, timeout=max(left, 0.01))
        assert time.time() >= at, "closed too early"


@contextmanager
def deaf_clients(target: Target, token: str) -> Iterator[None]:
    """Keep a client at each socket that reads nothing and is heard no further; then hang up."""
    with ExitStack() as stack:
        deaf = [
            stack.enter_context(RawWebSocket(target, path, token=token, receive_buffer=4096))
            for path in SOCKETS
        ]
        heard_no_further = at_once([partial(_is_heard_no_further, each) for each in deaf])
        assert heard_no_further == [True, True]
        yield


def _is_heard_no_further(socket: RawWebSocket) -> bool:
    """Send more than fits between client and server; tell whether that blocks."""
    # An answer to a short command is longer; long ones are less work for who hears them all.
    short = Frame(Opcode.TEXT, b"{}").serialize(mask=True) * 1_000
    long = Frame(Opcode.TEXT, b'{"type":"ping"}' + b" " * 8_192).serialize(mask=True)
    socket.socket.settimeout(2)  # a server that takes it all may pause, too
    # Of a buffer that has grown, the kernel tells only when a third of it is free again.
    socket.socket.setsockopt(SOL_SOCKET, SO_SNDBUF, 65_536)
    try:
        for each in [short] * 20 + [long] * (MORE_THAN_KERNELS_HOLD // len(long)):
            socket.send_bytes(each)
    except TimeoutError:
        return True
    return False


def _compared(response: Response) -> dict[str, str]:
    names = {name.lower() for name in response.headers}
    return {name: response.headers[name] for name in names - _NOT_COMPARED}
