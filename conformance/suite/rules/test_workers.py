"""Several workers behind one port: what one of them commits, all of them tell."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress

import psutil
import pytest
import redis

from machines.sockets import Message, ids_of, without_gap, write_events_past_the_server
from rosetta.clients.expectations import (
    data_of,
    expect_close,
    expect_events,
    expect_no_event,
)
from rosetta.clients.http import Account, Api, Item, expect
from rosetta.clients.raw import RawConnection
from rosetta.clients.websocket import Feed
from rosetta.targets.databases import PostgresDatabase, SqliteDatabase
from rosetta.targets.fleet import Fleet
from rosetta.targets.server import Server, Target

pytestmark = pytest.mark.rule("workers")

MOST_TRIES = 60  # at reaching every worker: the kernel chooses who accepts
LATEST = 6.0  # seconds for an event whose wake-up is lost: they look every five


# -- who serves a connection


def worker_of(server: Server, port: int) -> int | None:
    """Return the process that holds the server's end of the connection from this port."""
    for process in psutil.Process(server.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            for connection in process.net_connections("tcp"):
                if connection.raddr and (connection.laddr.port, connection.raddr.port) == (
                    server.port,
                    port,
                ):
                    return process.pid
    return None


def feed_worker(server: Server, feed: Feed) -> int | None:
    """Return the process that serves a feed."""
    port: int = feed.connection.socket.getsockname()[1]
    return worker_of(server, port)


class Everywhere:
    """A feed at each worker, and a connection for requests to each."""

    def __init__(self, server: Server, account: Account, workers: int, stack: ExitStack) -> None:
        self.feeds: dict[int | None, Feed] = {}
        self.connections: dict[int | None, RawConnection] = {}
        for _ in range(MOST_TRIES):
            if len(self.feeds) < workers:
                feed = stack.enter_context(Feed(server, token=account.token))
                self.feeds.setdefault(feed_worker(server, feed), feed)
            if len(self.connections) < workers:
                connection = stack.enter_context(RawConnection(server))
                connection.request("GET", "/healthz")
                port = connection.socket.getsockname()[1]
                self.connections.setdefault(worker_of(server, port), connection)
        assert len(self.feeds) == len(self.connections) == workers, "not every worker was reached"
        assert None not in self.feeds
        for feed in self.feeds.values():
            expect_no_event(feed)


@contextmanager
def everywhere(server: Server, account: Account, fleet: Fleet) -> Iterator[Everywhere]:
    with ExitStack() as stack:
        yield Everywhere(server, account, fleet.workers, stack)


def rename_through(connection: RawConnection, owner: Account, item: Item, name: str) -> Message:
    """Write an item on this connection; return it as answered."""
    fields = [("Authorization", f"Bearer {owner.token}"), ("Content-Type", "application/json")]
    body = json.dumps({"name": name}).encode()
    answer = expect(connection.request("PATCH", item.path, fields, body), 200)
    changed: Message = answer.json()
    return changed


# -- events


@pytest.fixture(scope="module")
def main(server: Target) -> Server:
    assert isinstance(server, Server)
    return server


@pytest.fixture(scope="module")
def ada(api: Api) -> Account:
    return api.account()


@pytest.fixture(scope="module")
def lamp(api: Api, ada: Account) -> Item:
    return api.create_item(ada)


@pytest.mark.controlled
@pytest.mark.requires("workers")
@pytest.mark.rule("feed-data")
def test_what_any_worker_commits_reaches_the_sockets_of_all_within_a_second(
    main: Server, ada: Account, lamp: Item, fleet: Fleet
) -> None:
    with everywhere(main, ada, fleet) as reached:
        for name in ("first", "second", "third"):
            for connection in reached.connections.values():
                answer = rename_through(connection, ada, lamp, name)
                for feed in reached.feeds.values():
                    expect_events(feed, [answer], data_of, timeout=1)


@pytest.mark.controlled
@pytest.mark.requires("workers")
@pytest.mark.rule("feed-order", "if-match")
def test_every_worker_tells_the_same_sequence(
    main: Server, api: Api, ada: Account, fleet: Fleet
) -> None:
    items = [api.create_item(ada) for _ in range(4)]

    def write(item: Item) -> None:
        for number in range(15):
            expect(api.patch(item.path, token=ada, json={"price_cents": number}), 200)

    with everywhere(main, ada, fleet) as reached:
        with ThreadPoolExecutor(8) as pool:
            for writing in [pool.submit(write, item) for item in items * 2]:
                writing.result()
        first, *others = [feed.take(120) for feed in reached.feeds.values()]
    assert without_gap(first[0]["id"], first)
    assert all(other == first for other in others)


@pytest.mark.controlled
@pytest.mark.requires("workers")
@pytest.mark.rule("feed")
def test_a_client_may_come_back_to_another_worker(
    main: Server, api: Api, ada: Account, lamp: Item, fleet: Fleet
) -> None:
    served, seen = set[int | None](), list[Message]()
    with Feed(main, token=ada.token) as feed:
        after = feed.ready["after"]
    for number in range(MOST_TRIES):
        expect(api.patch(lamp.path, token=ada, json={"price_cents": number}), 200)
        last = seen[-1]["id"] if seen else after
        with Feed(main, token=ada.token, after=last) as feed:
            served.add(feed_worker(main, feed))
            seen.append(feed.next())
            feed.drop()
        if len(served) == fleet.workers:
            break
    assert len(served) == fleet.workers, "not every worker was reached"
    assert ids_of(seen) == list(range(after + 1, after + 1 + len(seen)))


@pytest.mark.requires("workers")
@pytest.mark.rule("feed-cost")
def test_a_wake_up_is_a_hint_whatever_it_holds(
    main: Server,
    ada: Account,
    database: SqliteDatabase | PostgresDatabase,
    redis_url: str,
    fleet: Fleet,
) -> None:
    with everywhere(main, ada, fleet) as reached, redis.Redis.from_url(redis_url) as channel:
        for payload in (b"", b"\xff\x00", b'{"type":"event","id":1}', b"x" * 100_000):
            event_id = write_events_past_the_server(database)[0]
            channel.publish("events", payload)
            for feed in reached.feeds.values():
                assert feed.next(timeout=1)["id"] == event_id
        channel.publish("events", b"nothing has happened")
        for feed in reached.feeds.values():
            expect_no_event(feed)


@pytest.mark.requires("workers")
@pytest.mark.rule("feed-cost")
def test_lost_wake_ups_delay_what_other_workers_commit_and_lose_nothing(
    launch: Callable[..., Server], client: Callable[[Target], Api], fleet: Fleet
) -> None:
    nowhere = {"REDIS_URL": "redis://127.0.0.1:1/0"}
    server = launch(workers=fleet.workers, environment=nowhere)
    api = client(server)
    owner = api.account()
    item = api.create_item(owner)
    with everywhere(server, owner, fleet) as reached:
        answers = [
            rename_through(connection, owner, item, f"Lamp {number}")
            for number, connection in enumerate(reached.connections.values())
        ]
        for feed in reached.feeds.values():
            expect_events(feed, answers, data_of, timeout=LATEST)


@pytest.mark.requires("workers")
@pytest.mark.rule("feed")
def test_when_a_worker_is_killed_its_clients_resume_at_others_without_loss(
    launch: Callable[..., Server], client: Callable[[Target], Api], fleet: Fleet
) -> None:
    server = launch(workers=fleet.workers)
    api = client(server)
    owner = api.account()
    item = api.create_item(owner)
    with everywhere(server, owner, fleet) as reached:
        (victim, orphan), (_, witness) = list(reached.feeds.items())[:2]
        survivor = next(c for pid, c in reached.connections.items() if pid != victim)
        assert victim is not None
        answers = [rename_through(survivor, owner, item, "before")]
        seen = [orphan.next()]
        os.kill(victim, signal.SIGKILL)
        answers += [rename_through(survivor, owner, item, f"after {n}") for n in range(5)]
        expect_close(orphan, 1006)
        assert [event["data"] for event in witness.take(6)] == answers
    with Feed(server, token=owner.token, after=seen[-1]["id"]) as feed:
        seen += feed.take(5)
    assert [event["data"] for event in seen] == answers
