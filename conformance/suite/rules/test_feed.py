"""The change feed: every write once, in order, to whoever watches, whatever happens between."""

from __future__ import annotations

import itertools
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from websockets.frames import Frame, Opcode

from rosetta.client import MISSING, Account, Api, Item, expect, expect_header, unique_email
from rosetta.databases import PostgresDatabase, SqliteDatabase
from rosetta.feed import Feed, RawWebSocket
from rosetta.fleet import Fleet
from rosetta.harness import Server, Target
from suite.rules._websockets import (
    ASTRAL,
    INVALID_TOKEN,
    SOCKETS,
    Message,
    forge,
    ids_of,
    of_frame,
    without_gap,
    write_events_past_the_server,
)

pytestmark = pytest.mark.rule("feed")

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
BEYOND = 999_999_999_999_999_999
MORE_THAN_KERNELS_HOLD = 12_000_000  # bytes on their way between two processes
HEAVY = ASTRAL * 2000  # the longest description, 8,000 bytes at the least


@pytest.fixture(scope="module")
def ada(api: Api) -> Account:
    return api.sign_up()


@pytest.fixture(scope="module")
def lamp(api: Api, ada: Account) -> Item:
    return api.create_item(ada)


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


# -- what is told


@pytest.mark.rule("feed-data", "user-deletion", "write-only-password")
def test_each_write_is_one_event_with_the_resource_as_it_was_answered(
    server: Target, api: Api, ada: Account
) -> None:
    fields = {"email": unique_email("Grace"), "name": " Grace\u2028é\u0301 ", "password": "x" * 8}
    item = {"name": ASTRAL * 200, "price_cents": 100_000_000, "tags": ["b", "a-1"]}
    wanted: list[tuple[str, int, Any]] = []

    def write(event: str, method: str, path: str, json: object = MISSING) -> dict[str, Any]:
        response = api.request(method, path, token=token, json=json)
        answer = expect(response, 200, 201, 204)
        body = answer.json() if answer.content else None
        wanted.append((event, body["id"] if body else int(path.rpartition("/")[2]), body))
        return body or {}

    with Feed(server, token=ada.token) as feed:
        token = None
        user = write("user.created", "POST", "/users", fields)
        token = api.log_in(fields["email"], fields["password"])
        path = f"/users/{user['id']}"
        write("user.updated", "PUT", path, {"email": fields["email"], "name": "Hopper"})
        write("user.updated", "PATCH", path, {"email": unique_email("HOPPER")})
        write("user.updated", "PATCH", path, {"name": "Hopper"})  # as it was
        write("user.updated", "PATCH", path, {"password": "another secret"})
        made = [write("item.created", "POST", "/items", item) for _ in range(12)]
        first, second = (f"/items/{each['id']}" for each in made[:2])
        write("item.updated", "PUT", first, {"name": "Bare", "price_cents": 0})
        write("item.updated", "PATCH", first, {"description": HEAVY, "status": "archived"})
        write("item.updated", "PATCH", first, {"description": None})
        write("item.updated", "PATCH", first, {"description": None})
        write("item.deleted", "DELETE", second)
        wanted += [("item.deleted", made[n]["id"], None) for n in (0, *range(2, 12))]
        write("user.deleted", "DELETE", path)
        events = feed.take(len(wanted))
        assert [told(event) for event in events] == wanted
        assert without_gap(feed.ready["after"] + 1, events)
        assert feed.settled() == []


@pytest.mark.rule("timestamps", "feed-data")
def test_an_event_says_when_it_was_written_in_utc(
    server: Target, api: Api, ada: Account, lamp: Item
) -> None:
    with Feed(server, token=ada.token) as feed:
        answer = rename(api, ada, lamp)
        occurred_at = feed.next()["occurred_at"]
    assert TIMESTAMP.fullmatch(occurred_at)
    apart = datetime.fromisoformat(occurred_at) - datetime.fromisoformat(answer["updated_at"])
    assert abs(apart) < timedelta(seconds=30)


@pytest.mark.rule("precedence")
def test_what_is_refused_and_what_only_reads_is_no_event(
    server: Target, api: Api, ada: Account, lamp: Item
) -> None:
    other = api.sign_up()
    taken = {"email": other.email.upper(), "name": "Ada", "password": "x" * 8}
    stale = {"If-Match": '"999"'}
    with Feed(server, token=ada.token) as feed:
        expect(api.post("/users", json=taken), 409)
        expect(api.patch(ada.path, token=ada, json={"email": other.email}), 409)
        expect(api.patch(lamp.path, token=ada, json={"name": "x"}, headers=stale), 412)
        expect(api.delete(lamp.path, token=ada, headers=stale), 412)
        expect(api.delete(ada.path, token=ada, headers=stale), 412)
        expect(api.put(lamp.path, token=ada, json={"name": ""}), 422)
        expect(api.patch(lamp.path, token=other, json={"name": "x"}), 403)
        expect(api.delete(f"/items/{BEYOND}", token=ada), 404)
        expect(api.post("/items", json={"name": "x", "price_cents": 1}), 401)
        expect(api.post("/tokens", json={"email": ada.email, "password": ada.password}), 201)
        expect(api.get(lamp.path, token=ada), 200)
        answer = rename(api, ada, lamp)
        event = feed.next()
    assert told(event) == ("item.updated", lamp.id, answer)
    assert event["id"] == feed.ready["after"] + 1  # and none was skipped either


@pytest.mark.rule("feed-data")
def test_a_replayed_event_holds_what_was_answered_then_not_what_is_now(
    server: Target, api: Api, ada: Account
) -> None:
    item = api.create_item(ada, tags=["z", "a"])
    with Feed(server, token=ada.token) as live:
        answers = [rename(api, ada, item, name) for name in ("one", "two", "three")]
        expect(api.delete(item.path, token=ada), 204)
        events = live.take(4)
    assert [event["data"] for event in events] == [*answers, None]
    with Feed(server, token=ada.token, after=live.ready["after"]) as replay:
        assert replay.take(4) == events  # times and ids too


# -- from where it starts


@pytest.mark.rule("feed-data")
def test_a_feed_starts_behind_the_newest_event_or_behind_the_one_given(
    server: Target, api: Api, ada: Account, lamp: Item
) -> None:
    with Feed(server, token=ada.token) as feed:
        rename(api, ada, lamp)
        rename(api, ada, lamp)
        first, second = feed.take(2)
    with Feed(server, token=ada.token) as feed:
        assert feed.ready == {"type": "ready", "after": second["id"]}
        assert feed.settled() == []
    with Feed(server, token=ada.token, after=first["id"]) as feed:
        assert feed.ready == {"type": "ready", "after": first["id"]}
        assert feed.next() == second
        assert feed.settled() == []
    with Feed(server, token=ada.token, after=second["id"]) as feed:
        assert feed.ready == {"type": "ready", "after": second["id"]}
        assert feed.settled() == []


@pytest.mark.rule("feed-data", "query")
@pytest.mark.parametrize("after", [0, BEYOND])
def test_ready_repeats_the_bounds_of_after(server: Target, ada: Account, after: int) -> None:
    with Feed(server, token=ada.token, after=after) as feed:
        assert feed.ready == {"type": "ready", "after": after}


@pytest.mark.rule("feed-data")
def test_a_replay_from_the_beginning_starts_with_the_first_event(
    server: Target, ada: Account
) -> None:
    with Feed(server, token=ada.token, after=0) as feed:
        assert without_gap(1, feed.take(3))


@pytest.mark.rule("feed-data")
def test_events_up_to_an_after_beyond_the_newest_are_never_sent(
    server: Target, api: Api, ada: Account, lamp: Item
) -> None:
    with Feed(server, token=ada.token) as live:
        after = live.ready["after"] + 2
        with Feed(server, token=ada.token, after=after) as feed:
            assert feed.ready == {"type": "ready", "after": after}
            for name in ("one", "two", "three"):
                rename(api, ada, lamp, name)
            events = live.take(3)
            assert ids_of(events) == [after - 1, after, after + 1]
            assert feed.next() == events[-1]


@pytest.mark.rule("feed-data")
def test_a_committed_event_reaches_an_idle_subscriber_within_a_second(
    server: Target, api: Api, ada: Account, lamp: Item
) -> None:
    with Feed(server, token=ada.token) as feed:
        for name in ("first", "second", "third"):
            assert feed.settled() == []
            answer = rename(api, ada, lamp, name)
            assert feed.next(timeout=1)["data"] == answer


# -- resuming


@contextmanager
def writing(api: Api, owner: Account | str, item: Item) -> Iterator[list[dict[str, Any]]]:
    """Write an item again and again until the block ends; the answers are in the list."""
    answers: list[dict[str, Any]] = []
    stop = threading.Event()

    def write() -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            answers.append(rename(api, owner, item, f"Lamp {number}"))

    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(write)
        try:
            yield answers
        finally:
            stop.set()
            writer.result()


@pytest.mark.rule("feed-order")
def test_a_client_that_comes_back_with_the_last_id_it_saw_loses_nothing(
    server: Target, api: Api, ada: Account
) -> None:
    item = api.create_item(ada)
    seen: list[Message] = []
    with Feed(server, token=ada.token) as witness:
        last = witness.ready["after"]
        with writing(api, ada, item) as answers:
            for count in range(1, 9):
                with Feed(server, token=ada.token, after=last) as feed:
                    assert feed.ready["after"] == last
                    seen += feed.take(count)
                    feed.drop()
                last = seen[-1]["id"]
        witnessed = witness.take(len(answers))
    with Feed(server, token=ada.token, after=last) as feed:
        seen += feed.take(len(answers) - len(seen))
        assert feed.settled() == []
    assert [event["data"] for event in witnessed] == answers
    assert without_gap(witness.ready["after"] + 1, witnessed)
    assert seen == witnessed


@pytest.mark.rule("feed-data", "feed-order")
def test_a_feed_opened_amid_writes_begins_right_behind_its_ready(
    server: Target, api: Api, ada: Account
) -> None:
    item = api.create_item(ada)
    with writing(api, ada, item):
        for _ in range(15):
            with Feed(server, token=ada.token) as feed:
                assert without_gap(feed.ready["after"] + 1, feed.take(3))


@pytest.mark.rule("feed-order")
def test_no_event_is_lost_or_repeated_when_the_server_is_killed(
    launch: Callable[..., Server], client: Callable[[Target], Api], fleet: Fleet
) -> None:
    server = launch(workers=fleet.workers)
    api = client(server)
    owner = api.sign_up()
    lamps = [api.create_item(owner) for _ in range(4)]
    answered: list[dict[str, Any]] = []

    def write(lamp: Item) -> None:
        with suppress(httpx.TransportError):
            while True:
                answered.append(rename(api, owner, lamp))

    seen: list[Message] = []
    with ThreadPoolExecutor(len(lamps)) as pool, Feed(server, token=owner.token) as feed:
        writers = [pool.submit(write, lamp) for lamp in lamps]
        seen += feed.take(25)
        server.kill()
        for writer in writers:
            writer.result()
    server.restart()
    assert server.database is not None
    after = feed.ready["after"]
    rows = server.database.rows("SELECT id FROM events WHERE id > ? ORDER BY id", [after])
    with Feed(server, token=owner.token, after=seen[-1]["id"]) as feed:
        seen += feed.take(len(rows) - len(seen))
        assert feed.settled() == []
        answered.append(rename(client(server), owner, lamps[0]))
        seen.append(feed.next())
    assert ids_of(seen[:-1]) == [row["id"] for row in rows]
    assert without_gap(after + 1, seen)
    missing = [each for each in answered if each not in [event["data"] for event in seen]]
    assert missing == []  # what was answered had been committed


# -- parallel writers


@dataclass
class Writer:
    """One of several at once: what it was answered, by resource, in the order of versions."""

    api: Api
    account: Account
    shared: tuple[Account, Item]
    accepted: dict[tuple[str, int], list[tuple[int, str, Any]]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def run(self) -> None:
        """Make 25 requests, of which some fail before and some within their transaction."""
        owner, item = self.shared
        for number in range(4):
            mine = self.write("created", "POST", "/items", {"name": "Mine", "price_cents": number})
            path = f"/items/{mine['id']}"
            self.write("updated", "PATCH", item.path, {"price_cents": number}, by=owner)
            self.write("updated", "PUT", path, {"name": "Still mine", "price_cents": number})
            self.fail(412, "PATCH", path, {"name": "x"}, If_Match='"1"')
            self.fail(409, "PATCH", self.account.path, {"email": owner.email})
            self.write("deleted", "DELETE", path)
        self.write("updated", "PATCH", self.account.path, {"name": "Written"})

    def write(
        self,
        verb: str,
        method: str,
        path: str,
        json: object = MISSING,
        *,
        by: Account | None = None,
    ) -> dict[str, Any]:
        """Make a request that succeeds."""
        response = self.api.request(method, path, token=by or self.account, json=json)
        expect(response, 200, 201, 204)
        body: dict[str, Any] = response.json() if response.content else {"id": path.split("/")[-1]}
        kind = "user" if path.startswith("/users") else "item"
        version = int(response.headers.get("ETag", f'"{10**9}"').strip('"'))
        event = (version, f"{kind}.{verb}", body if response.content else None)
        self.accepted[kind, int(body["id"])].append(event)
        return body

    def fail(self, status: int, method: str, path: str, json: object, **headers: str) -> None:
        """Make a request that is refused."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        response = self.api.request(method, path, token=self.account, json=json, headers=fields)
        expect(response, status)


@pytest.mark.rule("feed-order", "feed-data", "if-match")
def test_parallel_writers_leave_one_sequence_without_a_gap(server: Target, api: Api) -> None:
    owner = api.sign_up()
    shared = (owner, api.create_item(owner))
    writers = [Writer(api, api.sign_up(), shared) for _ in range(8)]
    with ExitStack() as stack:
        feeds = [stack.enter_context(Feed(server, token=owner.token)) for _ in range(3)]
        with ThreadPoolExecutor(len(writers)) as pool:
            for running in [pool.submit(writer.run) for writer in writers]:
                running.result()
        accepted = merge(writers)
        count = sum(map(len, accepted.values()))
        sequences = [feed.take(count, timeout=10) for feed in feeds]
        after = feeds[0].ready["after"]
        with Feed(server, token=owner.token, after=after) as replay:
            sequences.append(replay.take(count))
            assert replay.settled() == []
    events = sequences[0]
    assert without_gap(after + 1, events)
    assert all(sequence == events for sequence in sequences)
    assert by_resource(events) == accepted


def merge(writers: list[Writer]) -> dict[tuple[str, int], list[tuple[str, Any]]]:
    """Return the accepted writes of each resource in the order of its versions."""
    merged: dict[tuple[str, int], list[tuple[int, str, Any]]] = defaultdict(list)
    for writer in writers:
        for resource, writes in writer.accepted.items():
            merged[resource] += writes
    return {
        resource: [(event, data) for _, event, data in sorted(writes, key=lambda each: each[0])]
        for resource, writes in merged.items()
    }


def by_resource(events: list[Message]) -> dict[tuple[str, int], list[tuple[str, Any]]]:
    """Return the events of each resource in the order in which they came."""
    found: dict[tuple[str, int], list[tuple[str, Any]]] = defaultdict(list)
    for message in events:
        event, resource_id, data = told(message)
        found[event.partition(".")[0], resource_id].append((event, data))
    return dict(found)


@pytest.mark.rule("feed-order", "user-deletion", "precedence")
def test_who_is_deleted_amid_its_own_writes_leaves_no_orphan_and_no_hole(
    server: Target, api: Api, ada: Account
) -> None:
    with Feed(server, token=ada.token) as feed:
        last = feed.ready["after"]
        for _ in range(4):
            victim, items, made = race_with_deletion(api)
            events = until_deleted(feed, victim)
            assert without_gap(last + 1, events)
            last = events[-1]["id"]
            deleted = [e["resource_id"] for e in events if e["event"] == "item.deleted"]
            assert deleted == sorted([*items, *made])
            listed = api.get(f"/items?owner_id={victim.id}", token=ada)
            assert expect(listed, 200).json()["data"] == []
        assert feed.settled() == []


def until_deleted(feed: Feed, user: Account) -> list[Message]:
    """Return the events up to the deletion of a user."""
    return feed.until(lambda event: told(event) == ("user.deleted", user.id, None))


def race_with_deletion(api: Api) -> tuple[Account, list[int], list[int]]:
    """Delete a user while it creates and changes items; return the ids of both kinds."""
    victim = api.sign_up()
    items = [api.create_item(victim) for _ in range(3)]
    body = {"name": "Late", "price_cents": 1}
    late: list[tuple[str, str, object]] = [("POST", "/items", body)] * 4
    late += [("PATCH", item.path, {"name": "Late"}) for item in items]
    late += [("PATCH", victim.path, {"name": "Late"})]
    start = threading.Barrier(len(late) + 1)

    def request(method: str, path: str, json: object = MISSING) -> httpx.Response:
        start.wait(10)
        return api.request(method, path, token=victim, json=json)

    with ThreadPoolExecutor(len(late) + 1) as pool:
        deletion = pool.submit(request, "DELETE", victim.path)
        others = [pool.submit(request, *each) for each in late]
    expect(deletion.result(), 204)
    for each in others:
        if expect(each.result(), 200, 201, 401).status_code == 401:
            expect_header(each.result(), "WWW-Authenticate", INVALID_TOKEN)
    made = [each.result().json()["id"] for each in others if each.result().status_code == 201]
    return victim, [item.id for item in items], made


# -- what it costs


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


@pytest.mark.rule("feed-cost", "ws-close")
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
    assert without_gap(reader.ready["after"] + 1, seen)
    last = seen[-1]["id"] if seen else reader.ready["after"]
    with Feed(limits_server, token=token, after=last) as feed:
        seen += feed.take(len(written) - len(seen))
    assert seen == written


@pytest.mark.rule("feed-cost", "feed-data")
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


@pytest.mark.rule("feed-cost", "feed-data")
def test_a_replay_of_many_pages_has_no_gap_and_closes_nobody(
    limits_server: Server, watcher: tuple[str, Item]
) -> None:
    assert isinstance(limits_server.database, SqliteDatabase | PostgresDatabase)
    ids = write_events_past_the_server(limits_server.database, 2_500)
    with Feed(limits_server, token=watcher[0], after=ids[0] - 1) as feed:
        assert ids_of(feed.take(len(ids))) == list(ids)
        assert feed.settled() == []


@pytest.mark.rule("feed-cost")
def test_the_events_of_one_transaction_close_nobody(
    limits_server: Server, limits_api: Api, watcher: tuple[str, Item], secret_key: str
) -> None:
    owner = limits_api.sign_up()
    token = forge(secret_key, owner)
    items = [limits_api.create_item(token).id for _ in range(60)]
    with Feed(limits_server, token=watcher[0]) as feed:
        expect(limits_api.delete(owner.path, token=token), 204)
        events = feed.take(61)
        assert [told(event) for event in events] == [
            *(("item.deleted", item, None) for item in items),
            ("user.deleted", owner.id, None),
        ]
        assert without_gap(feed.ready["after"] + 1, events)
        assert feed.settled() == []


def is_heard_no_further(socket: RawWebSocket, data: bytes) -> bool:
    """Send more than fits between client and server; tell whether that blocks."""
    socket.socket.settimeout(2)  # a server that takes it all may pause, too
    try:
        for _ in range(MORE_THAN_KERNELS_HOLD // len(data)):
            socket.send_bytes(data)
    except TimeoutError:
        return True
    return False


@pytest.mark.rule("feed-cost")
def test_a_client_that_reads_no_answers_is_heard_no_further_and_holds_up_nobody(
    server: Target, api: Api, ada: Account, lamp: Item
) -> None:
    pings = Frame(Opcode.TEXT, b'{"type":"ping"}').serialize(mask=True) * 800
    with ExitStack() as stack, ThreadPoolExecutor(len(SOCKETS)) as pool:
        deaf = [
            RawWebSocket(server, path, token=ada.token, receive_buffer=4096) for path in SOCKETS
        ]
        heard = [
            pool.submit(is_heard_no_further, stack.enter_context(socket), pings) for socket in deaf
        ]
        assert [each.result() for each in heard] == [True, True]
        with Feed(server, token=ada.token) as feed:
            answer = rename(api, ada, lamp)
            assert feed.next(timeout=1)["data"] == answer


@pytest.mark.requires("postgresql")
@pytest.mark.rule("feed-cost")
def test_a_worker_reads_each_new_event_once_however_many_watch(
    launch: Callable[..., Server], client: Callable[[Target], Api]
) -> None:
    server = launch()
    api, database = client(server), server.database
    assert isinstance(database, PostgresDatabase)
    owner = api.sign_up()
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
