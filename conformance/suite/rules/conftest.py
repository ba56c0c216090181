"""A server that nobody writes to: its clocks run while other tests do."""

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

from rosetta.client import Account, Api
from rosetta.databases import PostgresDatabase, SqliteDatabase
from rosetta.feed import RawWebSocket
from rosetta.fleet import Fleet
from rosetta.harness import Server
from suite.rules._websockets import write_event_past_the_server


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

    def first(self, wanted: Callable[[Frame], bool], within: float) -> tuple[float, Frame] | None:
        """Wait until ``within`` seconds after the opening; return when what came, and what."""
        with self._came:
            left = self.opened + within - time.monotonic()
            self._came.wait_for(lambda: self._find(wanted), max(left, 0))
            return self._find(wanted)

    def _find(self, wanted: Callable[[Frame], bool]) -> tuple[float, Frame] | None:
        return next((each for each in self._frames if wanted(each[1])), None)

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


@pytest.fixture(scope="session")
def _quiet(fleet: Fleet) -> Iterator[Future[Quiet]]:
    with ExitStack() as stack, ThreadPoolExecutor(1) as pool:
        yield pool.submit(_start, fleet, stack)


@pytest.fixture(scope="session")
def quiet(_quiet: Future[Quiet]) -> Quiet:
    """Return a server with idle peers, whose Redis takes connections and never answers."""
    return _quiet.result()


@pytest.fixture(scope="session", autouse=True)
def _begin_early(request: pytest.FixtureRequest) -> None:
    """Start the quiet server before the first test, if a test that uses it will be run."""
    if any(_uses_quiet(item) and not item.get_closest_marker("skip") for item in _items(request)):
        request.getfixturevalue("_quiet")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put last what waits for the quiet server's clocks."""
    items.sort(key=_uses_quiet)


def _items(request: pytest.FixtureRequest) -> list[pytest.Item]:
    session: pytest.Session = request.session
    return session.items


def _uses_quiet(item: pytest.Item) -> bool:
    return "quiet" in getattr(item, "fixturenames", ())


def _start(fleet: Fleet, stack: ExitStack) -> Quiet:
    silent_redis = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    url = f"redis://127.0.0.1:{silent_redis.getsockname()[1]}/0"
    server = fleet.server("quiet", workers=1, environment={"REDIS_URL": url})
    server.start()
    with Api(server) as api:
        account = api.sign_up()
    feed = stack.enter_context(IdlePeer(server, "/ws/events", account.token))
    echo = stack.enter_context(IdlePeer(server, "/ws/echo"))
    feed.first(lambda frame: frame.opcode is Opcode.TEXT, within=5)  # ready
    assert isinstance(server.database, SqliteDatabase | PostgresDatabase)
    event_id = write_event_past_the_server(server.database)
    return Quiet(server, account, feed, echo, event_id, time.monotonic() - feed.opened)
