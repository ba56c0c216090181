"""What a server of its own bears: tables that refuse, clients that leave, kills and stops."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any

import pytest

from machines.sockets import HEAVY, ids_of, rename, without_gap
from rosetta.clients import raw
from rosetta.clients.concurrently import at_once, eventually
from rosetta.clients.expectations import (
    expect_no_event,
)
from rosetta.clients.http import (
    TRANSPORT_ERRORS,
    Account,
    Api,
    Item,
    expect,
    expect_header,
    expect_problem,
    unique_email,
)
from rosetta.clients.message import Response
from rosetta.clients.websocket import Feed, RawWebSocket, Socket
from rosetta.targets.databases import KINDS, PostgresDatabase, SqliteDatabase
from rosetta.targets.fleet import Fleet, Launch
from rosetta.targets.server import Server, Target

Client = Callable[[Target], Api]
Scratch = SqliteDatabase | PostgresDatabase
Changes = Mapping[str, Sequence[str]]  # statements by kind of database
JSON = ("Content-Type", "application/json")
STOP_SECONDS = 5.0
STOPPING = (1001, 1012)
BY_ITSELF = (0, -signal.SIGTERM)  # or of the signal; not killed


@pytest.fixture(scope="module")
def stoppable(fleet: Fleet) -> Iterator[Server]:
    """Return a server on a database of its own, for all tests here: a start costs a second."""
    # A key of sixteen letters and 32 bytes is long enough for production.
    key = "\N{LATIN SMALL LETTER E WITH ACUTE}" * 16
    environment = {"APP_ENV": "production", "SECRET_KEY": key}
    server = fleet.server("own", environment=environment)
    yield server
    fleet.discard([server])


@pytest.fixture
def own(stoppable: Server) -> Server:
    """Return that server, running; a test may stop it, and leaves its tables as they were."""
    if not stoppable.running:
        stoppable.start()
    return stoppable


@pytest.fixture
def own_api(own: Server, client: Client) -> Api:
    """Return a client of that server."""
    return client(own)


@pytest.fixture
def own_database(own: Server) -> Scratch:
    """Return that server's database."""
    assert isinstance(own.database, Scratch)
    return own.database


# -- tables that refuse


@contextmanager
def changed(database: Scratch, change: Changes, change_back: Changes) -> Iterator[None]:
    """Run the statements of the database's kind, and those that undo them behind the block."""
    for statement in change[database.kind]:
        database.rows(statement)
    try:
        yield
    finally:
        for statement in change_back[database.kind]:
            database.rows(statement)


def last_event(database: Scratch) -> int:
    """Return the id of the last event, as counted."""
    (counter,) = database.rows("SELECT last_id FROM event_counter")
    number: int = counter["last_id"]
    return number


# The table of events is not where it was.
ELSEWHERE: Changes = {kind: ["ALTER TABLE events RENAME TO events_elsewhere"] for kind in KINDS}
BACK: Changes = {kind: ["ALTER TABLE events_elsewhere RENAME TO events"] for kind in KINDS}


@pytest.mark.rule("storage", "feed", "unhandled")
def test_a_write_whose_event_cannot_be_written_is_undone(
    own_api: Api, own_database: Scratch
) -> None:
    account = own_api.sign_up()
    made = own_api.create_item(account)
    newest = {"token": account, "params": {"after": account.id - 1}}
    users = expect(own_api.get("/users", **newest), 200).json()
    before = last_event(own_database)
    item = {"name": "Lamp", "price_cents": 1, "tags": ["a"]}
    user = {"email": unique_email(), "name": "Ada", "password": "12345678"}
    with changed(own_database, ELSEWHERE, BACK):
        undone = [
            own_api.post("/items", token=account, json=item),
            own_api.patch(made.path, token=account, json={"tags": ["b"]}),
            own_api.delete(made.path, token=account),
            own_api.post("/users", json=user),
            own_api.delete(account.path, token=account),
        ]
    for response in undone:
        expect_problem(response, "internal-error")
    page = expect(own_api.get("/items", token=account), 200).json()
    assert page["data"] == [made.body]
    assert expect(own_api.get("/users", **newest), 200).json() == users
    assert last_event(own_database) == before
    own_api.create_item(account)
    (event,) = own_database.rows("SELECT max(id) AS id FROM events")
    assert event["id"] == before + 1


# How a database refuses the event of a user's deletion, and no other.
REFUSING = {
    "sqlite": [
        """
        CREATE TRIGGER kept BEFORE INSERT ON events WHEN NEW.event = 'user.deleted'
        BEGIN SELECT RAISE(ABORT, 'kept'); END
        """
    ],
    "postgresql": ["ALTER TABLE events ADD CONSTRAINT kept CHECK (event <> 'user.deleted')"],
}
REFUSING_NO_MORE = {
    "sqlite": ["DROP TRIGGER kept"],
    "postgresql": ["ALTER TABLE events DROP CONSTRAINT kept"],
}


@pytest.mark.rule("user-deletion", "storage")
def test_a_user_and_its_items_are_deleted_together_or_not_at_all(
    own_api: Api, own_database: Scratch
) -> None:
    account = own_api.sign_up()
    items = [own_api.create_item(account) for _ in range(2)]
    before = last_event(own_database)
    with changed(own_database, REFUSING, REFUSING_NO_MORE):
        expect_problem(own_api.delete(account.path, token=account), "internal-error")
    page = expect(own_api.get("/items", token=account, params={"owner_id": account.id}), 200).json()
    assert page["data"] == [item.body for item in items]
    assert last_event(own_database) == before
    expect(own_api.delete(account.path, token=account), 204)


# How the counter of events fails.
BREAKING = {
    "sqlite": [
        """
        CREATE TRIGGER breaks BEFORE UPDATE ON event_counter
        BEGIN SELECT RAISE(ABORT, 'broken'); END
        """
    ],
    "postgresql": [
        """
        CREATE FUNCTION breaks() RETURNS trigger LANGUAGE plpgsql
        AS 'BEGIN RAISE EXCEPTION $m$broken$m$; END'
        """,
        """
        CREATE TRIGGER breaks BEFORE UPDATE ON event_counter
        FOR EACH ROW EXECUTE FUNCTION breaks()
        """,
    ],
}
BREAKING_NO_MORE = {
    "sqlite": ["DROP TRIGGER breaks"],
    "postgresql": ["DROP FUNCTION breaks CASCADE"],
}


@pytest.mark.rule("unhandled", "feed-order", "storage")
def test_writes_that_fail_at_the_counter_leave_no_lock_and_no_connection(
    own_api: Api, own_database: Scratch
) -> None:
    """They are more than a pool has connections."""
    account = own_api.sign_up()
    made = own_api.create_item(account)
    before = last_event(own_database)
    writes: list[Callable[[], Response]] = [
        partial(own_api.post, "/items", token=account, json={"name": "Lamp", "price_cents": 1}),
        partial(own_api.patch, made.path, token=account, json={"name": "Lamp"}),
        partial(own_api.patch, account.path, token=account, json={"name": "Eve"}),
        partial(own_api.delete, account.path, token=account),
    ]
    with changed(own_database, BREAKING, BREAKING_NO_MORE):
        for write in writes * 6:
            expect_problem(write(), "internal-error")
    for write in writes[:3]:
        expect(write(), 200, 201)
    events = own_database.rows("SELECT id FROM events WHERE id > ? ORDER BY id", [before])
    assert [event["id"] for event in events] == [before + 1, before + 2, before + 3]


@pytest.mark.requires("postgresql")
@pytest.mark.rule("feed", "feed-cost")
def test_a_worker_reads_each_new_event_once_however_many_watch(
    launch: Launch, client: Client
) -> None:
    server = launch()
    api, database = client(server), server.database
    assert isinstance(database, PostgresDatabase)
    owner = api.account()
    item = api.create_item(owner)
    with database.connect() as connection:  # a view that counts the rows read through it
        connection.execute("ALTER TABLE events RENAME TO stored_events")
        connection.execute("CREATE SEQUENCE reads")
        connection.execute(
            "CREATE VIEW events AS SELECT * FROM stored_events WHERE nextval('reads') > 0"
        )
    with ExitStack() as stack:
        feeds = [stack.enter_context(Feed(server, token=owner.token)) for _ in range(10)]
        before = database.rows("SELECT nextval('reads') AS n")[0]["n"]
        for _ in range(8):
            rename(api, owner, item)
            for feed in feeds:
                feed.next()
        read = database.rows("SELECT nextval('reads') AS n")[0]["n"] - before - 1
    assert read == 8, f"8 events were read {read} times for 10 subscribers"


# -- clients that do not wait

ABORT = struct.pack("ii", 1, 0)  # SO_LINGER: to close is to reset
# A new item takes some 30 ms more, amid its transaction.
SLOW_ITEMS = {
    "sqlite": [
        """
        CREATE TRIGGER slow AFTER INSERT ON items BEGIN SELECT count(*) FROM (
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 120000)
            SELECT i FROM n
        ); END
        """
    ],
    "postgresql": [
        """
        CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql
        AS 'BEGIN PERFORM pg_sleep(0.03); RETURN NULL; END'
        """,
        "CREATE TRIGGER slow AFTER INSERT ON items EXECUTE FUNCTION slow()",
    ],
}
SLOW_NO_MORE = {
    "sqlite": ["DROP TRIGGER slow"],
    "postgresql": ["DROP FUNCTION slow CASCADE"],
}
UNTOLD = """
    SELECT id FROM items
    WHERE id NOT IN (SELECT resource_id FROM events WHERE event = 'item.created')
"""


@pytest.mark.rule("success")
def test_clients_that_leave_take_no_lock_and_no_connection_with_them(
    own: Server, own_api: Api, own_database: Scratch
) -> None:
    """They leave while their requests write, wait for those that do, or wait for a body."""
    owner = own_api.sign_up()
    with changed(own_database, SLOW_ITEMS, SLOW_NO_MORE):
        for wave in range(6):
            with ExitStack() as clients:
                for number in range(3):
                    post_and_leave(own, clients, owner, number)
                time.sleep(0.02 + 0.008 * wave)  # the first of them is amid its transaction
        with Feed(own, token=owner.token) as feed:
            stayed = at_once([partial(own_api.create_item, owner, name="Stayed")] * 8)
            expect(own_api.patch(stayed[0].path, token=owner, json={"name": "Last"}), 200)
            told = feed.until(lambda event: event.get("event") == "item.updated")
    assert {item.id for item in stayed} <= {event.get("resource_id") for event in told}
    assert own_database.rows(UNTOLD) == []


@pytest.mark.rule("success")
def test_requests_that_wait_for_their_bodies_hold_up_no_other(own: Server, own_api: Api) -> None:
    """They are more than a pool has connections, and the body of none has come yet."""
    owner = own_api.sign_up()
    body = b'{"name": "Slow", "price_cents": 1}'
    made = own_api.create_item(owner)
    with ExitStack() as clients:
        waiting = []
        for _ in range(20):
            for method, path in (("POST", "/items"), ("PUT", made.path)):
                connection = clients.enter_context(raw.RawConnection(own))
                connection.send(item_head(own, owner, method, path, body) + body[:9])
                waiting.append((method, connection))
        at_once([partial(own_api.create_item, owner, name="Quick")] * 8)
        expect(own_api.patch(made.path, token=owner, json={"name": "Quick"}), 200)
        expect(own_api.get("/items", token=owner), 200)
        for _, connection in waiting:
            connection.send(body[9:])
        for method, connection in waiting:
            expect(connection.read(method), 201 if method == "POST" else 200)
    expect_header(own_api.get(made.path, token=owner), "ETag", made.tag(22))


def item_head(server: Server, owner: Account, method: str, path: str, body: bytes) -> bytes:
    """Return the head of a request of the owner's that announces the body."""
    fields = [("Authorization", f"Bearer {owner.token}"), JSON, ("Content-Length", str(len(body)))]
    return raw.build(method, server.at(path), fields, host=server.netloc)


def post_and_leave(server: Server, clients: ExitStack, owner: Account, number: int) -> None:
    """Send a new item, or the beginning of one, from a client that leaves with the stack."""
    body = b'{"name": "Left", "price_cents": 1}'
    head = item_head(server, owner, "POST", "/items", body)
    connection = clients.enter_context(raw.RawConnection(server))
    if number == 1:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
    connection.send(head + (body[:9] if number == 2 else body))


# -- kills


@pytest.mark.rule("feed", "feed-order")
def test_no_event_is_lost_or_repeated_when_the_server_is_killed(
    own: Server, own_api: Api, own_database: Scratch, client: Client
) -> None:
    owner = own_api.sign_up()
    lamps = [own_api.create_item(owner) for _ in range(4)]
    answered: list[dict[str, Any]] = []
    write = partial(rename_until_it_is_gone, own_api, owner, answered)
    with ThreadPoolExecutor(len(lamps)) as pool, Feed(own, token=owner.token) as feed:
        writers = [pool.submit(write, lamp) for lamp in lamps]
        seen = feed.take(25)
        own.kill()
        for writer in writers:
            writer.result()
    own.restart()
    after = feed.ready["after"]
    rows = own_database.rows("SELECT id FROM events WHERE id > ? ORDER BY id", [after])
    with Feed(own, token=owner.token, after=seen[-1]["id"]) as feed:
        seen += feed.take(len(rows) - len(seen))
        expect_no_event(feed)
        answered.append(rename(client(own), owner, lamps[0]))
        seen.append(feed.next())
    assert ids_of(seen[:-1]) == [row["id"] for row in rows]
    assert without_gap(after + 1, seen)
    missing = [each for each in answered if each not in [event["data"] for event in seen]]
    assert missing == []  # what was answered had been committed


def rename_until_it_is_gone(
    api: Api, owner: Account, answered: list[dict[str, Any]], lamp: Item
) -> None:
    """Write until the server is killed, and note what it has answered."""
    with suppress(*TRANSPORT_ERRORS):
        while True:
            answered.append(rename(api, owner, lamp))


# -- stops


@pytest.mark.rule("shutdown", "ws-close", "echo", "secret-key")
def test_a_stop_finishes_requests_closes_sockets_and_ends_within_five_seconds(
    own: Server, own_api: Api, own_database: Scratch
) -> None:
    """A body is half sent, connections are idle and sockets open when SIGTERM comes."""
    owner = own_api.sign_up()
    item = own_api.create_item(owner)
    fields = {"email": unique_email(), "name": "Ada", "password": "12345678"}
    body = json.dumps(fields).encode()
    with ExitStack() as stack:
        busy, idle, silent = (stack.enter_context(raw.RawConnection(own)) for _ in range(3))
        expect(idle.request("GET", "/healthz"), 200)
        silent.send(b"GET /healthz HTTP/1.1\r\n")
        sockets = open_sockets(stack, own, owner, item, own_api)
        length = ("Content-Length", str(len(body)))
        head = busy.build("POST", "/users", [JSON, length])
        busy.send(head + body[:20])
        # The server has read the half when it has answered connections that came later.
        for _ in range(3):
            expect(raw.send(own, "GET", "/healthz"), 200)
        begin = time.monotonic()
        os.kill(own.pid, signal.SIGTERM)
        assert eventually(lambda: not answers(own), STOP_SECONDS / 2), "takes new connections"
        busy.send(body[20:])
        created = expect(busy.read("POST"), 201)
        codes = [each.close_code(STOP_SECONDS) for each in sockets]
        code = own.wait(STOP_SECONDS - (time.monotonic() - begin))
    assert [code in STOPPING for code in codes] == [True] * len(sockets), codes
    assert code in BY_ITSELF
    rows = own_database.rows("SELECT id FROM users WHERE email = ?", [fields["email"]])
    assert rows == [{"id": created.json()["id"]}]


def open_sockets(
    stack: ExitStack, server: Server, owner: Account, item: Item, api: Api
) -> list[Socket | RawWebSocket]:
    """Open sockets of every kind, one that is slow, and one more that never reads."""
    sockets: list[Socket | RawWebSocket] = [
        *(Socket(server) for _ in range(3)),
        *(Feed(server, token=owner.token) for _ in range(3)),
        RawWebSocket(server, "/ws/events", token=owner.token),
        RawWebSocket(server, "/ws/events", token=owner.token, receive_buffer=4096),
    ]
    deaf = RawWebSocket(server, "/ws/events", token=owner.token, receive_buffer=4096)
    for opened in [*sockets, deaf]:
        stack.enter_context(opened)
    for _ in range(40):
        expect(api.patch(item.path, token=owner, json={"description": HEAVY}), 200)
    return sockets


def answers(server: Server) -> bool:
    """Tell whether a new connection is taken and answered."""
    try:
        with socket.create_connection((server.host, server.port), 0.3) as connection:
            connection.sendall(raw.build("GET", "/healthz"))
            return connection.recv(1) != b""
    except OSError:
        return False


@pytest.mark.rule("shutdown")
def test_a_client_that_asks_on_and_on_does_not_hold_up_a_stop(own: Server) -> None:
    """Its connection is kept alive; each answer is whole until the server ends it."""
    with raw.RawConnection(own) as busy:
        expect(busy.request("GET", "/healthz"), 200)
        begin = time.monotonic()
        os.kill(own.pid, signal.SIGTERM)
        with pytest.raises((OSError, raw.RawError)) as ended:
            ask_on_and_on(busy, STOP_SECONDS)
        own.wait(STOP_SECONDS - (time.monotonic() - begin))
    if isinstance(ended.value, raw.RawError):
        assert str(ended.value).endswith("so far b''"), "an answer is cut off"


def ask_on_and_on(connection: raw.RawConnection, seconds: float) -> None:
    """Send a request at each answer; raise what the connection's end is."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        expect(connection.request("GET", "/healthz"), 200)


@pytest.mark.rule("shutdown")
def test_a_stop_right_after_the_first_answer_is_obeyed(stoppable: Server) -> None:
    """Whatever a server still prepares when it has become healthy does not swallow the signal."""
    stoppable.restart()
    exit_ = stoppable.stop()
    assert exit_.seconds <= STOP_SECONDS
    assert exit_.code in BY_ITSELF
