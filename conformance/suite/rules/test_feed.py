"""The change feed: every write once, in order, to whoever watches, whatever happens between."""

from __future__ import annotations

import itertools
import threading
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from machines.sockets import (
    ASTRAL,
    HEAVY,
    INVALID_TOKEN,
    Message,
    deaf_clients,
    ids_of,
    rename,
    told,
    without_gap,
)
from rosetta.clients.expectations import (
    data_of,
    expect_events,
    expect_message,
    expect_no_event,
    expect_no_gap,
    expect_ready,
)
from rosetta.clients.http import Account, Api, Item, expect, expect_header, unique_email
from rosetta.clients.message import Response
from rosetta.clients.websocket import Feed
from rosetta.contract.terms import MISSING, TIMESTAMP
from rosetta.targets.server import Target

pytestmark = pytest.mark.rule("feed")

BEYOND = 999_999_999_999_999_999


@pytest.fixture(scope="module")
def ada(api: Api) -> Account:
    return api.account()


@pytest.fixture(scope="module")
def lamp(api: Api, ada: Account) -> Item:
    return api.create_item(ada)


# -- what is told


# Some change nothing: the name is that already, the description gone.
USER_PATCHES = ({"name": "Hopper"}, {"password": "another secret"})
ITEM_PATCHES = (
    {"description": HEAVY, "status": "archived"},
    {"description": None},
    {"description": None},
)


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
        for change in ({"email": unique_email("HOPPER")}, *USER_PATCHES):
            write("user.updated", "PATCH", path, change)
        made = [write("item.created", "POST", "/items", item) for _ in range(12)]
        first, second = (f"/items/{each['id']}" for each in made[:2])
        write("item.updated", "PUT", first, {"name": "Bare", "price_cents": 0})
        for patch in ITEM_PATCHES:
            write("item.updated", "PATCH", first, patch)
        write("item.deleted", "DELETE", second)
        wanted += [("item.deleted", made[n]["id"], None) for n in (0, *range(2, 12))]
        write("user.deleted", "DELETE", path)
        events = expect_events(feed, wanted, told)
        expect_no_gap(feed, feed.ready["after"] + 1, events)
        expect_no_event(feed)


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
    other = api.account()
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
        [event] = expect_events(feed, [("item.updated", lamp.id, answer)], told)
    assert event["id"] == feed.ready["after"] + 1  # and none was skipped either


@pytest.mark.rule("feed-data")
def test_a_replayed_event_holds_what_was_answered_then_not_what_is_now(
    server: Target, api: Api, ada: Account
) -> None:
    item = api.create_item(ada, tags=["z", "a"])
    with Feed(server, token=ada.token) as live:
        answers = [rename(api, ada, item, name) for name in ("one", "two", "three")]
        events = live.take(3)
    with Feed(server, token=ada.token, after=live.ready["after"]) as replay:
        expect_events(replay, events)  # times and ids too
        expect(api.delete(item.path, token=ada), 204)
        events += replay.take(1)
    assert [event["data"] for event in events] == [*answers, None]
    with Feed(server, token=ada.token, after=live.ready["after"]) as replay:
        expect_events(replay, events)


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
        expect_ready(feed, second["id"])
        expect_no_event(feed)
    with Feed(server, token=ada.token, after=first["id"]) as feed:
        expect_ready(feed, first["id"])
        expect_message(feed, second)
        expect_no_event(feed)
    with Feed(server, token=ada.token, after=second["id"]) as feed:
        expect_ready(feed, second["id"])
        expect_no_event(feed)


@pytest.mark.rule("feed-data", "query")
@pytest.mark.parametrize("after", [0, BEYOND])
def test_ready_repeats_the_bounds_of_after(server: Target, ada: Account, after: int) -> None:
    with Feed(server, token=ada.token, after=after) as feed:
        expect_ready(feed, after)


@pytest.mark.rule("feed-data")
def test_a_replay_from_the_beginning_starts_with_the_first_event(
    server: Target, api: Api, ada: Account, lamp: Item
) -> None:
    for name in ("one", "two", "three"):
        rename(api, ada, lamp, name)
    with Feed(server, token=ada.token, after=0) as feed:
        expect_no_gap(feed, 1, feed.take(3))


@pytest.mark.rule("feed-data")
def test_events_up_to_an_after_beyond_the_newest_are_never_sent(
    server: Target, api: Api, ada: Account, lamp: Item
) -> None:
    with Feed(server, token=ada.token) as live:
        after = live.ready["after"] + 2
        with Feed(server, token=ada.token, after=after) as feed:
            expect_ready(feed, after)
            for name in ("one", "two", "three"):
                rename(api, ada, lamp, name)
            events = live.take(3)
            assert ids_of(events) == [after - 1, after, after + 1]
            expect_message(feed, events[-1])


@pytest.mark.rule("feed-data")
def test_a_committed_event_reaches_an_idle_subscriber_within_a_second(
    server: Target, api: Api, ada: Account, lamp: Item
) -> None:
    with Feed(server, token=ada.token) as feed:
        for name in ("first", "second", "third"):
            expect_no_event(feed)
            answer = rename(api, ada, lamp, name)
            expect_events(feed, [answer], data_of, timeout=1)


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


@pytest.mark.rule("feed-data")
def test_who_hears_of_a_write_finds_it_done(server: Target, api: Api, ada: Account) -> None:
    """They read as soon as they are told, while the writer goes on."""
    item = api.create_item(ada)
    with Feed(server, token=ada.token) as feed, writing(api, ada, item):
        for _ in range(20):
            told = feed.next()["data"]
            read = expect(api.get(item.path, token=ada), 200).json()
            assert read["updated_at"] >= told["updated_at"]


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
                    expect_ready(feed, last)
                    seen += feed.take(count)
                    feed.drop()
                last = seen[-1]["id"]
        witnessed = witness.take(len(answers))
    with Feed(server, token=ada.token, after=last) as feed:
        seen += feed.take(len(answers) - len(seen))
        expect_no_event(feed)
    assert [event["data"] for event in witnessed] == answers
    expect_no_gap(witness, witness.ready["after"] + 1, witnessed)
    assert seen == witnessed


@pytest.mark.rule("feed-data", "feed-order")
def test_a_feed_opened_amid_writes_begins_right_behind_its_ready(
    server: Target, api: Api, ada: Account
) -> None:
    item = api.create_item(ada)
    with writing(api, ada, item):
        for _ in range(15):
            with Feed(server, token=ada.token) as feed:
                expect_no_gap(feed, feed.ready["after"] + 1, feed.take(3))


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
        version = int(response.headers.get("ETag", f'"0-{10**9}"').strip('"').rpartition("-")[2])
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
    owner = api.account()
    shared = (owner, api.create_item(owner))
    writers = [Writer(api, api.account(), shared) for _ in range(8)]
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
            expect_no_event(replay)
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
        expect_no_event(feed)


def until_deleted(feed: Feed, user: Account) -> list[Message]:
    """Return the events up to the deletion of a user."""
    return feed.until(lambda event: told(event) == ("user.deleted", user.id, None))


def race_with_deletion(api: Api) -> tuple[Account, list[int], list[int]]:
    """Delete a user while it creates and changes items; return the ids of both kinds."""
    victim = api.account()
    items = [api.create_item(victim) for _ in range(3)]
    body = {"name": "Late", "price_cents": 1}
    late: list[tuple[str, str, object]] = [("POST", "/items", body)] * 4
    late += [("PATCH", item.path, {"name": "Late"}) for item in items]
    late += [("PATCH", victim.path, {"name": "Late"})]
    start = threading.Barrier(len(late) + 1)

    def request(method: str, path: str, json: object = MISSING) -> Response:
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


@pytest.mark.rule("feed-cost")
@pytest.mark.direct  # the answers that nobody reads fit into what a proxy buffers
def test_a_client_that_reads_no_answers_is_heard_no_further_and_holds_up_nobody(
    server: Target, api: Api, ada: Account, lamp: Item
) -> None:
    with deaf_clients(server, ada.token), Feed(server, token=ada.token) as feed:
        answer = rename(api, ada, lamp)
        expect_events(feed, [answer], data_of, timeout=1)
