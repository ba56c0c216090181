"""What small limits bring about: a cap on sockets, a short queue, tokens of three seconds."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

import jwt
import pytest
from websockets.frames import Frame, Opcode

from machines.operations import (
    CAP,
    CHECKS,
    HANDSHAKE,
    Flaws,
    Scene,
    before_after,
    call,
    checks,
    in_tails,
    make_scene,
    plain,
)
from machines.sockets import (
    HEAVY,
    PLAIN,
    SOCKETS,
    UPGRADE_REQUIRED,
    Message,
    closing_at,
    deaf_clients,
    expect_refusal,
    forge,
    ids_of,
    of_frame,
    rename,
    shake,
    told,
    without_gap,
    write_events_past_the_server,
)
from rosetta.clients import raw
from rosetta.clients.expectations import (
    expect_close,
    expect_events,
    expect_no_event,
    expect_no_gap,
)
from rosetta.clients.http import Account, Api, Item, expect, expect_header, expect_problem
from rosetta.clients.websocket import Feed, HandshakeRefused, RawWebSocket, Socket, refused
from rosetta.targets.databases import PostgresDatabase, SqliteDatabase
from rosetta.targets.fleet import LIMITS, Fleet
from rosetta.targets.server import Server, Target

PLACES = int(LIMITS["WS_MAX_CONNECTIONS"])


# -- the cap


@pytest.fixture(scope="module")
def capped(limits_server: Server, fleet: Fleet) -> Iterator[Server]:
    """Return a server of one worker with small limits: the cap is a worker's."""
    if limits_server.environment["WORKERS"] == "1":
        yield limits_server
        return
    own = fleet.server("capped", workers=1, environment=dict(LIMITS))
    own.start()
    yield own
    fleet.discard([own])


@pytest.fixture(scope="module")
def guest(capped: Server, secret_key: str) -> Account:
    """An account of the capped server with a token that outlives the module."""
    with Api(capped, secret_key=secret_key) as api:
        account = api.account()
    return replace(account, token=forge(secret_key, account))


@pytest.fixture(scope="module")
def token(guest: Account) -> str:
    return guest.token


@pytest.fixture
def capped_api(capped: Server, client: Callable[[Target], Api]) -> Api:
    return client(capped)


def open_when_free(stack: ExitStack, target: Target, path: str, token: str) -> Socket:
    """Open a socket for as long as the stack; a place must become free within a second."""
    deadline = time.monotonic() + 1
    while True:
        try:
            return stack.enter_context(Socket(target, path, token=token))
        except HandshakeRefused as refusal:
            if refusal.response.status_code != 503 or time.monotonic() > deadline:
                raise
            time.sleep(0.01)  # there is nothing to wait on: only the server knows


def expect_full(target: Target, token: str) -> None:
    __tracebackhide__ = True
    for path in SOCKETS:
        refusal = refused(target, path, token=token)
        expect_refusal(refusal, "unavailable", fields={"retry-after": "1"})


def end_by_a_binary_message(feed: Socket) -> None:
    feed.send(b"binary")
    expect_close(feed, 1003)


@pytest.mark.rule("ws-handshake", "problem", "headers-closed")
def test_over_the_cap_both_sockets_are_refused_until_one_has_ended(
    capped: Server, token: str
) -> None:
    with ExitStack() as stack:
        paths = ("/ws/echo", "/ws/events", "/ws/echo")
        sockets = [open_when_free(stack, capped, path, token) for path in paths]
        expect_full(capped, token)
        ends: list[Callable[[Socket], None]] = [
            lambda socket: socket.connection.close(),
            end_by_a_binary_message,
            lambda socket: socket.drop(),
        ]
        for socket, end, path in zip(sockets, ends, reversed(paths), strict=True):
            end(socket)
            open_when_free(stack, capped, path, token)
            expect_full(capped, token)


@pytest.mark.rule("ws-handshake", "precedence", "liveness", "readiness")
def test_the_cap_is_checked_last_and_bars_no_request(
    capped: Server, token: str, capped_api: Api
) -> None:
    with ExitStack() as stack:
        for _ in range(PLACES):
            open_when_free(stack, capped, "/ws/echo", token)
        expect_full(capped, token)
        expect_refusal(refused(capped, "/ws/other"), "not-found")
        refusal = refused(capped, "/ws/events")
        expect_refusal(refusal, "unauthorized", fields={"www-authenticate": PLAIN})
        refusal = refused(capped, "/ws/events?after=x", token=token)
        expect_refusal(refusal, "validation", errors=[("query", "/after", "type")])
        plain = capped_api.get("/ws/echo")
        expect_refusal(plain, "upgrade-required", fields=UPGRADE_REQUIRED)
        for path in ("/users/me", "/healthz", "/readyz"):
            expect(capped_api.get(path, token=token), 200)


@pytest.mark.rule("ws-handshake")
def test_deaf_clients_that_hang_up_free_their_places(capped: Server, token: str) -> None:
    """Their answers are stuck then, and who hears them waits until those are sent."""
    with deaf_clients(capped, token):
        pass
    with ExitStack() as stack:
        for _ in range(PLACES):
            open_when_free(stack, capped, "/ws/events", token)


@pytest.mark.rule("ws-handshake", "ws-close")
def test_feeds_that_end_amid_commands_free_their_places(
    capped: Server, guest: Account, token: str, secret_key: str
) -> None:
    """Who hears commands may be waiting for who answers them when that one ends."""
    short = forge(secret_key, guest, lives=1)
    with ExitStack() as stack, ThreadPoolExecutor(PLACES) as pool:
        feeds = [RawWebSocket(capped, "/ws/events", token=short) for _ in range(PLACES)]
        codes = pool.map(ask_on_and_on, [stack.enter_context(feed) for feed in feeds])
        assert list(codes) == [4401] * PLACES
    with ExitStack() as stack:
        for _ in range(PLACES):
            open_when_free(stack, capped, "/ws/events", token)


def ask_on_and_on(feed: RawWebSocket) -> int:
    """Have a hundred commands unanswered until the feed ends; return its close code."""
    ping = Frame(Opcode.TEXT, b'{"type":"ping"}').serialize(mask=True)
    feed.send_bytes(ping * 100)
    while (frame := feed.receive()) is not None and frame.opcode is not Opcode.CLOSE:
        feed.send_bytes(ping)
    return int.from_bytes(frame.data[:2], "big") if frame else 1006


@pytest.mark.rule("ws-handshake")
def test_what_is_refused_takes_no_place(capped: Server, token: str) -> None:
    for path in ("/ws/other", "/ws/events?after=x", "/ws/events?after=-1", "/ws/echo/"):
        assert refused(capped, path, token=token).status_code in (404, 422)
    for _ in range(PLACES):
        assert shake(capped, "/ws/events").status == 401
        assert raw.send(capped, "GET", "/ws/echo").status == 426
    with ExitStack() as stack:
        for _ in range(PLACES):
            open_when_free(stack, capped, "/ws/events", token)
        expect_full(capped, token)


# -- the connection cap comes last


@pytest.fixture(scope="module")
def scene(api: Api) -> Scene:
    return make_scene(api)


@pytest.fixture
def full_house(capped: Server, token: str) -> Iterator[Server]:
    """Take every place that the server has."""
    with ExitStack() as stack:
        for _ in range(PLACES):
            open_when_free(stack, capped, "/ws/echo", token)
        yield capped


@pytest.mark.rule("precedence")
@pytest.mark.parametrize(
    ("operation", "flaws"),
    [
        pytest.param(operation, flaws, id=f"{operation}: {before_after({**flaws, **plain(CAP)})}")
        for operation in ("echo", "watch_events")
        for flaws in [*in_tails(operation), *(plain(one) for one in checks(operation)[:-1])]
    ],
)
def test_every_other_check_of_a_handshake_comes_before_the_connection_cap(
    capped_api: Api,
    guest: Account,
    full_house: Server,
    scene: Scene,
    operation: str,
    flaws: Flaws,
) -> None:
    response = call(operation, replace(scene, owner=guest), flaws).send(capped_api)

    expect_problem(response, CHECKS[next(iter(flaws))].slug)
    assert full_house.running


@pytest.mark.rule("precedence")
@pytest.mark.parametrize("path", SOCKETS)
def test_a_handshake_that_passes_every_check_meets_the_connection_cap(
    capped_api: Api, token: str, full_house: Server, path: str
) -> None:
    response = capped_api.get(path, token=token, headers=HANDSHAKE)

    expect_problem(response, "unavailable")
    expect_header(response, "Retry-After", "1")
    assert full_house.running


# -- slow readers, and tokens that end


@pytest.fixture
def watcher(limits_api: Api, secret_key: str) -> tuple[str, Item]:
    """Return a token that outlives the test, and an item it may write."""
    token = forge(secret_key, limits_api.sign_up())
    return token, limits_api.create_item(token)


def describe(api: Api, token: str, item: Item, number: int) -> None:
    """Write an event too long to be forgotten in a buffer."""
    body = {"name": f"Lamp {number}", "description": HEAVY}
    expect(api.patch(item.path, token=token, json=body), 200)


def read_events(socket: RawWebSocket, count: int | None = None) -> tuple[list[Message], int]:
    """Read ``count`` events or up to the close; return them and the close code, if any."""
    events: list[Message] = []
    while count is None or len(events) < count:
        frame = socket.receive()
        if frame is None or frame.opcode is Opcode.CLOSE:
            return events, int.from_bytes(frame.data[:2], "big") if frame else 1006
        if frame.opcode is Opcode.TEXT and (message := of_frame(frame))["type"] == "event":
            events.append(message)
    return events, 0


@pytest.mark.rule("feed", "feed-cost", "ws-close")
def test_a_client_that_is_too_slow_is_closed_holds_up_nobody_and_can_resume(
    limits_server: Server, limits_api: Api, watcher: tuple[str, Item]
) -> None:
    token, item = watcher
    slow = RawWebSocket(limits_server, "/ws/events", token=token, receive_buffer=4096)
    with slow, Feed(limits_server, token=token) as reader:
        written = []
        for number in range(90):
            describe(limits_api, token, item, number)
            written.append(reader.next(timeout=1))
        seen, code = read_events(slow)
    assert code == 4408
    expect_no_gap(reader, reader.ready["after"] + 1, seen)
    last = seen[-1]["id"] if seen else reader.ready["after"]
    with Feed(limits_server, token=token, after=last) as feed:
        seen += feed.take(len(written) - len(seen))
    assert seen == written


@pytest.mark.rule("feed", "feed-cost", "feed-data")
def test_a_replay_is_read_at_the_clients_pace_and_closes_nobody(
    limits_server: Server, limits_api: Api, watcher: tuple[str, Item]
) -> None:
    token, item = watcher
    with Feed(limits_server, token=token) as feed:
        after = feed.ready["after"]
    for number in range(60):
        describe(limits_api, token, item, number)
    path = f"/ws/events?after={after}"
    with RawWebSocket(limits_server, path, token=token, receive_buffer=4096) as slow:
        for _ in range(30):  # three times the queue, while the replay is stuck
            rename(limits_api, token, item)
        events, code = read_events(slow, 90)
        assert (len(events), code) == (90, 0)
        assert without_gap(after + 1, events)
        rename(limits_api, token, item)
        assert without_gap(after + 91, read_events(slow, 1)[0])


@pytest.mark.rule("feed", "feed-cost", "feed-data")
def test_a_replay_of_many_pages_has_no_gap_and_closes_nobody(
    limits_server: Server, watcher: tuple[str, Item]
) -> None:
    assert isinstance(limits_server.database, SqliteDatabase | PostgresDatabase)
    ids = write_events_past_the_server(limits_server.database, 2_500)
    with Feed(limits_server, token=watcher[0], after=ids[0] - 1) as feed:
        assert ids_of(feed.take(len(ids))) == list(ids)
        expect_no_event(feed)


@pytest.mark.rule("feed", "feed-cost")
def test_the_events_of_one_transaction_close_nobody(
    limits_server: Server, limits_api: Api, watcher: tuple[str, Item], secret_key: str
) -> None:
    owner = limits_api.sign_up()
    token = forge(secret_key, owner)
    items = [limits_api.create_item(token).id for _ in range(60)]
    with Feed(limits_server, token=watcher[0]) as feed:
        expect(limits_api.delete(owner.path, token=token), 204)
        wanted = [("item.deleted", item, None) for item in items]
        events = expect_events(feed, [*wanted, ("user.deleted", owner.id, None)], told)
        expect_no_gap(feed, feed.ready["after"] + 1, events)
        expect_no_event(feed)


@pytest.mark.rule("feed-cost")
def test_one_transactions_events_amid_others_close_nobody(
    limits_server: Server, limits_api: Api, watcher: tuple[str, Item]
) -> None:
    """Twice the queue arrives at once while the client is stuck: it watches users alone, and
    each write of an item only wakes the server."""
    token, item = watcher
    assert isinstance(limits_server.database, SqliteDatabase | PostgresDatabase)
    heavy = json.dumps({"name": HEAVY}, ensure_ascii=False)
    topics = b'{"type":"subscribe","topics":["users"]}'
    slow = RawWebSocket(limits_server, "/ws/events", token=token, receive_buffer=4096)
    with slow, Feed(limits_server, token=token) as reader:
        slow.send_frame(Opcode.TEXT, topics)
        while of_frame(slow.receive() or pytest.fail("closed"))["type"] != "subscribed":
            pass
        long = write_events_past_the_server(limits_server.database, 90, "user.updated", heavy)
        rename(limits_api, token, item)
        reader.take(91)
        short = write_events_past_the_server(limits_server.database, 20)
        rename(limits_api, token, item)
        reader.take(21)
        events, code = read_events(slow, 110)
    assert (ids_of(events), code) == ([*long, *short], 0)


@pytest.mark.rule("ws-close")
def test_an_issued_token_ends_its_feed_too(limits_server: Server, limits_api: Api) -> None:
    token = limits_api.sign_up().token  # lives three seconds
    exp: int = jwt.decode(token, options={"verify_signature": False})["exp"]
    with Feed(limits_server, token=token) as feed, closing_at(exp, feed):
        expect_no_event(feed)
