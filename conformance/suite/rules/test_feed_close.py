"""How a websocket ends, and what the echo gives back."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import jwt
import pytest
from websockets.frames import Opcode

from machines.sockets import ASTRAL, HEAVY, SOCKETS, closing_at, forge, write_events_past_the_server
from rosetta.clients.expectations import (
    expect_close,
    expect_events,
    expect_message,
    expect_no_event,
)
from rosetta.clients.http import Account, Api, Item, expect
from rosetta.clients.websocket import Feed, RawWebSocket, Socket
from rosetta.contract.terms import LIMIT
from rosetta.targets.databases import PostgresDatabase, SqliteDatabase
from rosetta.targets.server import Target

pytestmark = pytest.mark.rule("ws-close")


@pytest.fixture(scope="module")
def ada(api: Api) -> Account:
    return api.account()


@pytest.fixture(scope="module")
def lamp(api: Api, ada: Account) -> Item:
    return api.create_item(ada)


@pytest.fixture
def raw_echo(server: Target) -> Iterator[RawWebSocket]:
    with RawWebSocket(server) as socket:
        yield socket


# -- the echo


@pytest.mark.rule("echo")
@pytest.mark.parametrize(
    "message",
    [
        pytest.param("", id="empty text"),
        pytest.param(b"", id="empty binary"),
        pytest.param("x", id="text"),
        pytest.param(" \r\n\x00é\u2028e\u0301\ufeff", id="odd characters"),
        pytest.param(ASTRAL * (LIMIT // 4), id="65,536 bytes of characters of four"),
        pytest.param('{"type":"ping"}', id="JSON"),
        pytest.param(bytes(range(256)), id="all bytes"),
        pytest.param(b"\xff\xfe", id="binary that is no UTF-8"),
        pytest.param("x" * LIMIT, id="65,536 bytes of text"),
        pytest.param(b"\x00" * LIMIT, id="65,536 bytes of binary"),
    ],
)
def test_a_message_comes_back_as_it_was(server: Target, message: str | bytes) -> None:
    with Socket(server) as echo:
        echo.send(message)
        expect_message(echo, message)  # str and bytes are never equal


@pytest.mark.rule("echo")
def test_messages_come_back_in_order_and_are_not_put_together(server: Target) -> None:
    said: list[str | bytes] = [kind for n in range(50) for kind in (f"{n}", f"{n}".encode(), "")]
    with Socket(server) as echo:
        for message in said:
            echo.send(message)
        for message in said:
            expect_message(echo, message)


@pytest.mark.rule("echo")
def test_fragments_are_put_together(raw_echo: RawWebSocket) -> None:
    letter = ASTRAL.encode()
    raw_echo.send_frame(Opcode.TEXT, b"a" + letter[:1], fin=False)
    raw_echo.send_frame(Opcode.CONT, letter[1:3], fin=False)
    raw_echo.send_frame(Opcode.PING, b"between")
    raw_echo.send_frame(Opcode.CONT, b"", fin=False)
    raw_echo.send_frame(Opcode.CONT, letter[3:])
    opcodes, data = read_message(raw_echo)
    assert opcodes == [Opcode.PONG, Opcode.TEXT]
    assert data == b"a" + letter
    raw_echo.send_frame(Opcode.BINARY, b"\xff", fin=False)
    raw_echo.send_frame(Opcode.CONT, b"\xfe")
    assert read_message(raw_echo) == ([Opcode.BINARY], b"\xff\xfe")


def read_message(socket: RawWebSocket) -> tuple[list[Opcode], bytes]:
    """Return the opcodes of the frames up to the end of a message, and its bytes."""
    opcodes, data = list[Opcode](), b""
    while frame := socket.receive():
        if frame.opcode is not Opcode.CONT:
            opcodes.append(frame.opcode)
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            data += frame.data
            if frame.fin:
                return opcodes, data
    raise AssertionError(f"the connection ended after {opcodes} {data!r}")


# -- what a client must not send


@pytest.fixture(params=SOCKETS)
def raw_socket(
    request: pytest.FixtureRequest, server: Target, ada: Account
) -> Iterator[RawWebSocket]:
    """Return a websocket of either kind."""
    with RawWebSocket(server, request.param, token=ada.token) as socket:
        yield socket


@pytest.mark.rule("echo")
@pytest.mark.parametrize(
    "frames",
    [
        pytest.param([b"\xff"], id="no such byte"),
        pytest.param([b"abc\xc3"], id="cut short"),
        pytest.param([b"\xc0\xaf"], id="overlong"),
        pytest.param([b"\xed\xa0\x80"], id="a surrogate"),
        pytest.param([b"\xf4\x90\x80\x80"], id="beyond Unicode"),
        pytest.param([b"\xc3", b"("], id="in fragments"),
        pytest.param([b"{", b"}\xe2\x82"], id="cut short in fragments"),
    ],
)
def test_text_that_is_no_utf_8_closes_with_1007(
    raw_socket: RawWebSocket, frames: list[bytes]
) -> None:
    send_fragments(raw_socket, Opcode.TEXT, frames)
    expect_close(raw_socket, 1007)


def send_fragments(socket: RawWebSocket, opcode: Opcode, parts: list[bytes]) -> None:
    """Send one message in as many frames, or what the server takes of it before it closes."""
    with suppress(BrokenPipeError, ConnectionResetError):
        for number, part in enumerate(parts, 1):
            socket.send_frame(opcode, part, fin=number == len(parts))
            opcode = Opcode.CONT


@pytest.mark.rule("echo")
@pytest.mark.parametrize(
    "frames",
    [
        pytest.param([b"x" * (LIMIT + 1)], id="one frame"),
        pytest.param(["é".encode() * (LIMIT // 2 + 1)], id="fewer characters than that"),
        pytest.param([b"x" * LIMIT, b"x"], id="two fragments"),
        pytest.param([b"x" * 1024] * 64 + [b"", b"x"], id="many fragments"),
        pytest.param([b" " * 1_000_000], id="a megabyte"),
    ],
)
def test_a_message_over_65536_bytes_closes_with_1009(
    raw_socket: RawWebSocket, frames: list[bytes]
) -> None:
    send_fragments(raw_socket, Opcode.TEXT, frames)
    expect_close(raw_socket, 1009)


@pytest.mark.rule("echo")
@pytest.mark.parametrize(
    "frames", [pytest.param([b"x" * (LIMIT + 1)], id="one"), pytest.param([b"x" * 40_000] * 2)]
)
def test_the_limit_holds_for_binary_messages_of_the_echo(
    raw_echo: RawWebSocket, frames: list[bytes]
) -> None:
    send_fragments(raw_echo, Opcode.BINARY, frames)
    expect_close(raw_echo, 1009)


@pytest.mark.rule("echo")
def test_the_limit_is_of_the_message_not_of_what_compresses_it(server: Target) -> None:
    with Socket(server, compression="deflate") as echo:
        echo.send("x" * LIMIT)
        expect_message(echo, "x" * LIMIT)
        echo.send("x" * (LIMIT + 1))
        expect_close(echo, 1009)


@pytest.mark.rule("echo")
@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY])
def test_fragments_of_65536_bytes_together_are_accepted_again_and_again(
    raw_echo: RawWebSocket, opcode: Opcode
) -> None:
    for _ in range(2):
        send_fragments(raw_echo, opcode, [b"x" * (LIMIT // 4)] * 4)
        assert read_message(raw_echo) == ([opcode], b"x" * LIMIT)


@pytest.mark.parametrize("data", [b"", b"\x00", b'{"type":"ping"}'])
def test_a_binary_message_closes_the_feed_with_1003(
    server: Target, ada: Account, data: bytes
) -> None:
    with Feed(server, token=ada.token) as feed:
        feed.send(data)
        expect_close(feed, 1003)


@pytest.mark.rule("echo")
@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999])
def test_a_clients_close_is_answered_with_a_close(raw_socket: RawWebSocket, code: int) -> None:
    raw_socket.send_frame(Opcode.CLOSE, code.to_bytes(2, "big") + b"bye")
    expect_close(raw_socket, code)
    assert raw_socket.receive() is None  # and the server ends the connection


@pytest.mark.controlled
def test_a_close_amid_a_replay_is_answered_too(
    server: Target, ada: Account, database: SqliteDatabase | PostgresDatabase
) -> None:
    ids = write_events_past_the_server(database, 400, data=json.dumps({"description": HEAVY}))
    for _ in range(5):
        path = f"/ws/events?after={ids.start - 1}"
        with RawWebSocket(server, path, token=ada.token) as feed:
            assert [feed.receive() is None for _ in range(3)] == [False] * 3
            feed.send_frame(Opcode.CLOSE, (1000).to_bytes(2, "big"))
            expect_close(feed, 1000)


# -- the token's end


def test_a_feed_ends_when_its_token_does_busy_or_idle(
    server: Target, api: Api, ada: Account, lamp: Item, secret_key: str
) -> None:
    token = forge(secret_key, ada, lives=1)
    exp: float = jwt.decode(token, options={"verify_signature": False})["exp"]
    stop = threading.Event()
    with ExitStack() as stack:
        feeds = [stack.enter_context(Feed(server, token=token)) for _ in range(2)]
        feeds.append(stack.enter_context(Feed(server, protocols=["bearer", token])))
        feeds[0].ask({"type": "subscribe", "topics": ["users"]})  # to which nothing happens
        outlives = stack.enter_context(Feed(server, token=ada.token))
        writer = threading.Thread(target=keep_writing, args=(api, ada, lamp, stop))
        writer.start()
        try:
            with closing_at(exp, *feeds):
                pass
        finally:
            stop.set()
            writer.join()
        outlives.settled()


def keep_writing(api: Api, owner: Account, item: Item, stop: threading.Event) -> None:
    """Write about twenty events a second."""
    while not stop.wait(0.05):
        expect(api.patch(item.path, token=owner, json={"name": "Busy"}), 200)


@pytest.mark.rule("user-deletion")
@pytest.mark.parametrize("topics", [["items", "users"], ["users"], ["items"]])
@pytest.mark.parametrize("owned", [0, 3])
def test_a_deleted_users_feeds_end_behind_the_events_of_the_deletion(
    server: Target, api: Api, ada: Account, topics: list[str], owned: int
) -> None:
    user = api.account()
    items = [api.create_item(user).id for _ in range(owned)]
    wanted = [("item.deleted", item) for item in items if "items" in topics]
    wanted += [("user.deleted", user.id)] if "users" in topics else []
    with ExitStack() as stack:
        feeds = [stack.enter_context(Feed(server, token=user.token)) for _ in range(2)]
        witness = stack.enter_context(Feed(server, token=ada.token))
        for feed in feeds:
            feed.ask({"type": "subscribe", "topics": topics})
        expect(api.delete(user.path, token=user), 204)
        with closing_at(time.time(), *feeds):
            for feed in feeds:
                expect_events(feed, wanted, lambda event: (event["event"], event["resource_id"]))
        assert len(witness.take(owned + 1)) == owned + 1
        expect_no_event(witness)  # another's feed goes on


def test_a_deleted_users_feed_ends_even_where_the_event_is_not_sent(
    server: Target, api: Api
) -> None:
    user = api.account()
    with Feed(server, token=user.token, after=10**17) as feed:
        expect(api.delete(user.path, token=user), 204)
        with closing_at(time.time(), feed):
            pass


def test_a_deleted_users_replay_is_told_to_the_end(server: Target, api: Api) -> None:
    user = api.account()
    item = api.create_item(user)
    with Feed(server, token=user.token) as start:
        pass
    for number in range(30):
        expect(api.patch(item.path, token=user, json={"price_cents": number}), 200)
    with Feed(server, token=user.token, after=start.ready["after"]) as feed:
        expect(api.delete(user.path, token=user), 204)
        with closing_at(time.time(), feed):
            events = feed.take(32)
    assert [event["event"] for event in events[-2:]] == ["item.deleted", "user.deleted"]
    assert [event["data"]["price_cents"] for event in events[:30]] == list(range(30))
