"""What layer 2 begins early and waits for: clocks, and a stop."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from websockets.frames import Frame, Opcode

from rosetta.client import Account, Api, expect
from rosetta.databases import PostgresDatabase, SqliteDatabase
from rosetta.feed import Feed, RawWebSocket, Socket
from rosetta.fleet import Fleet
from rosetta.harness import Exit, Server
from suite.rules._websockets import ASTRAL, write_events_past_the_server


class IdlePeer:
    """A websocket that says nothing but pong, and notes what came after how many seconds."""

    def __init__(self, target: Server, path: str, token: str | None = None) -> None:
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

    def _find(self, wanted: Callable[[Frame], bool], within: float) -> Frame | None:
        early = (frame for seconds, frame in self._frames if seconds <= within)
        return next(filter(wanted, early), None)

    def _listen(self) -> None:
        while frame := self._socket.receive(timeout=3600):
            with self._came:
                self._frames.append((time.monotonic() - self.opened, frame))
                self._came.notify_all()
            if frame.opcode is Opcode.PING:
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


@dataclass(frozen=True)
class Stopped:
    """How a server ended, and the close codes of its sockets: ``mute`` never answered its own."""

    exit: Exit
    codes: list[int]
    mute: int


@pytest.fixture(scope="session")
def _quiet(fleet: Fleet) -> Iterator[Future[Quiet]]:
    with ExitStack() as stack, ThreadPoolExecutor(1) as pool:
        yield pool.submit(_start, fleet, stack)


@pytest.fixture(scope="session")
def quiet(_quiet: Future[Quiet]) -> Quiet:
    """Return a server with idle peers, whose Redis takes connections and never answers."""
    return _quiet.result()


@pytest.fixture(scope="session")
def _stopped(fleet: Fleet) -> Iterator[Future[Stopped]]:
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(_start_and_stop, fleet)


@pytest.fixture(scope="session")
def stopped(_stopped: Future[Stopped]) -> Stopped:
    """Return how a server ended that was stopped with sockets of all kinds open."""
    return _stopped.result()


def _start(fleet: Fleet, stack: ExitStack) -> Quiet:
    silent_redis = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    url = f"redis://127.0.0.1:{silent_redis.getsockname()[1]}/0"
    server = fleet.server("quiet", workers=1, environment={"REDIS_URL": url})
    server.start()
    with Api(server) as api:
        account = api.sign_up()
    feed = stack.enter_context(IdlePeer(server, "/ws/events", account.token))
    echo = stack.enter_context(IdlePeer(server, "/ws/echo"))
    feed.got(lambda frame: frame.opcode is Opcode.TEXT, within=5)  # ready
    assert isinstance(server.database, SqliteDatabase | PostgresDatabase)
    event_id = write_events_past_the_server(server.database)[0]
    return Quiet(server, account, feed, echo, event_id, time.monotonic() - feed.opened)


def _start_and_stop(fleet: Fleet) -> Stopped:
    server = fleet.server("stopped")
    server.start()
    with Api(server) as api, ExitStack() as stack:
        owner = api.sign_up()
        item = api.create_item(owner)
        sockets: list[Socket] = [stack.enter_context(Socket(server)) for _ in range(3)]
        sockets += [stack.enter_context(Feed(server, token=owner.token)) for _ in range(3)]
        mute = stack.enter_context(RawWebSocket(server, "/ws/events", token=owner.token))
        # Reads nothing: there is an event it has not taken yet when the server stops.
        deaf = RawWebSocket(server, "/ws/events", token=owner.token, receive_buffer=4096)
        stack.enter_context(deaf)
        for _ in range(40):
            body = {"description": ASTRAL * 2000}
            expect(api.patch(item.path, token=owner, json=body), 200)
        exit_ = server.stop()
        return Stopped(exit_, [socket.close_code() for socket in sockets], mute.close_code())
