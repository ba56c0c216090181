"""What a server does by its clock while nobody asks: one server, left alone for 20 s."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

import pytest
from websockets.frames import Frame, Opcode

from machines.sockets import (
    UNKNOWN,
    expect_refusal,
    of_frame,
    write_events_past_the_server,
)
from rosetta.clients.expectations import (
    data_of,
    expect_close,
    expect_events,
)
from rosetta.clients.http import Account, Api
from rosetta.clients.websocket import Feed, HandshakeRefused, RawWebSocket
from rosetta.targets.databases import PostgresDatabase, SqliteDatabase
from rosetta.targets.fleet import SECRET_KEY, Fleet
from rosetta.targets.server import Server, Target

PING_SECONDS = 20


class IdlePeer:
    """A websocket that says nothing but pong, and notes what came after how many seconds."""

    def __init__(self, target: Target, path: str, token: str | None = None) -> None:
        self._socket = RawWebSocket(target, path, token=token)
        self._came = threading.Condition()
        self._frames: list[tuple[float, Frame]] = []
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> IdlePeer:
        self._socket.__enter__()
        self.opened = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.__exit__()

    def got(self, wanted: Callable[[Frame], bool], within: float) -> Frame | None:
        """Return the first such frame if it came within so many seconds after the opening."""
        with self._came:
            left = self.opened + within - time.monotonic()
            self._came.wait_for(lambda: self._find(wanted, within), max(left, 0))
            return self._find(wanted, within)

    def story(self) -> str:
        """Return what came, and when."""
        with self._came:
            told = [f"{frame.opcode.name} at {seconds:.1f} s" for seconds, frame in self._frames]
        return ", ".join([*told, "no end" if self._thread.is_alive() else "the end"])

    def _find(self, wanted: Callable[[Frame], bool], within: float) -> Frame | None:
        early = (frame for seconds, frame in self._frames if seconds <= within)
        return next(filter(wanted, early), None)

    def _listen(self) -> None:
        while frame := self._socket.receive(timeout=3600):
            with self._came:
                self._frames.append((time.monotonic() - self.opened, frame))
                self._came.notify_all()
            if frame.opcode is Opcode.PING:
                with suppress(OSError):  # the test, which has waited for the ping, may be over
                    self._socket.send_frame(Opcode.PONG, bytes(frame.data))


@dataclass(frozen=True)
class Quiet:
    """The server, its one account, its idle peers, and the event its feed was not told of."""

    server: Server
    account: Account
    feed: IdlePeer
    echo: IdlePeer
    event_id: int
    written: float  # seconds after the feed was opened


@pytest.fixture(scope="session")
def quiet(fleet: Fleet) -> Iterator[Quiet]:
    """Return a server with idle peers, whose Redis takes connections and never answers."""
    with ExitStack() as stack:
        silent_redis = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        url = f"redis://127.0.0.1:{silent_redis.getsockname()[1]}/0"
        server = fleet.server("quiet", workers=1, environment={"REDIS_URL": url})
        server.start()
        with Api(server, secret_key=SECRET_KEY) as api:
            account = api.sign_up()  # its event is older than any feed: it must be read, once asked
        feed = stack.enter_context(IdlePeer(server, "/ws/events", account.token))
        echo = stack.enter_context(IdlePeer(server, "/ws/echo"))
        feed.got(lambda frame: frame.opcode is Opcode.TEXT, within=5)  # ready
        assert isinstance(server.database, SqliteDatabase | PostgresDatabase)
        event_id = write_events_past_the_server(server.database)[0]
        yield Quiet(server, account, feed, echo, event_id, time.monotonic() - feed.opened)


@pytest.fixture(scope="session")
def idle_peers(server: Target, request: pytest.FixtureRequest) -> Iterator[dict[str, IdlePeer]]:
    """Return idle peers of the quiet server, or of the one at a URL, which nobody else uses."""
    if isinstance(server, Server):
        quiet: Quiet = request.getfixturevalue("quiet")
        yield {"feed": quiet.feed, "echo": quiet.echo}
        return
    api: Api = request.getfixturevalue("api")
    token = api.sign_up().token
    with IdlePeer(server, "/ws/events", token) as feed, IdlePeer(server, "/ws/echo") as echo:
        yield {"feed": feed, "echo": echo}


def lost_event(quiet: Quiet) -> Frame | None:
    """Return the event of which the feed was not told, if it came in time."""
    return quiet.feed.got(
        lambda frame: frame.opcode is Opcode.TEXT and of_frame(frame)["type"] == "event",
        within=quiet.written + 6,
    )


@pytest.mark.rule("feed-cost")
def test_a_lost_wake_up_delays_five_seconds_and_loses_nothing(quiet: Quiet) -> None:
    frame = lost_event(quiet)
    assert frame is not None, "an event written past the server did not come within 6 s"
    message = of_frame(frame)
    assert (message["event"], message["resource_id"]) == ("user.deleted", UNKNOWN)
    assert message["id"] == quiet.event_id


@pytest.mark.rule("feed-cost", "feed-data", "configuration")
def test_while_redis_does_not_answer_requests_and_the_feed_go_on(
    quiet: Quiet, client: Callable[[Target], Api]
) -> None:
    """No write of seconds before hides that an event is late: all has been quiet for long."""
    assert lost_event(quiet)
    api = client(quiet.server)
    with Feed(quiet.server, token=quiet.account.token) as feed:
        for _ in range(3):
            begin = time.monotonic()
            item = api.create_item(quiet.account)
            assert time.monotonic() - begin < 2
            expect_events(feed, [item.body], data_of, timeout=1)


@pytest.mark.rule("ws-close", "echo")
@pytest.mark.parametrize("kind", ["feed", "echo"])
def test_an_idle_peer_is_pinged_within_twenty_seconds(
    idle_peers: dict[str, IdlePeer], kind: str
) -> None:
    peer = idle_peers[kind]
    within = PING_SECONDS + 3  # for a machine under load
    assert peer.got(is_ping, within), f"no ping within {within} s; there came {peer.story()}"


def is_ping(frame: Frame) -> bool:
    return frame.opcode is Opcode.PING


# -- last, since it may close the others by the server's mistake


@contextmanager
def without_events(quiet: Quiet) -> Iterator[None]:
    """Take the table of events away for as long as the block."""
    database = quiet.server.database
    assert isinstance(database, SqliteDatabase | PostgresDatabase)
    database.rows("ALTER TABLE events RENAME TO lost_events")
    try:
        yield
    finally:
        database.rows("ALTER TABLE lost_events RENAME TO events")


@pytest.mark.rule("ws-close", "unhandled", "feed")
def test_a_feed_whose_server_fails_closes_with_1011_and_can_resume(quiet: Quiet) -> None:
    token = quiet.account.token
    logged = quiet.server.log.stat().st_size
    with without_events(quiet):
        try:
            with Feed(quiet.server, token=token, after=0) as feed:
                expect_close(feed, 1011)
        except HandshakeRefused as refusal:  # it failed before it had accepted
            expect_refusal(refusal.response, "internal-error")
    assert b"Traceback" in quiet.server.log.read_bytes()[logged:]
    with Feed(quiet.server, token=token, after=0) as feed:
        assert feed.next()["id"] == 1
