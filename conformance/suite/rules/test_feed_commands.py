"""What a client may say on the feed, and what it is answered."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

import pytest

from machines.sockets import Message
from rosetta.clients.expectations import (
    data_of,
    expect_answer,
    expect_events,
    expect_no_event,
)
from rosetta.clients.http import Account, Api, Item, expect
from rosetta.clients.websocket import Feed
from rosetta.contract.terms import LIMIT
from rosetta.targets.server import Target

pytestmark = pytest.mark.rule("feed-commands")

PING, PONG = {"type": "ping"}, {"type": "pong"}
INVALID = {"type": "error", "code": "invalid-message"}
TOO_LONG = "1" * 4301  # digits


@pytest.fixture(scope="module")
def ada(api: Api) -> Account:
    return api.account()


@pytest.fixture(scope="module")
def lamp(api: Api, ada: Account) -> Item:
    return api.create_item(ada)


@pytest.fixture(scope="module")
def quiet_feed(server: Target, ada: Account) -> Iterator[Feed]:
    """Return a feed for commands that change nothing."""
    with Feed(server, token=ada.token) as feed:
        yield feed


def subscribe(*topics: object) -> Message:
    return {"type": "subscribe", "topics": list(topics)}


def subscribed(*topics: str) -> Message:
    return {"type": "subscribed", "topics": list(topics)}


class Writer:
    """Writes an item or a user of its own."""

    def __init__(self, api: Api, account: Account, item: Item) -> None:
        self._api, self._token = api, account
        self._paths = {"items": item.path, "users": account.path}
        self._numbers = itertools.count()

    def write(self, *topics: str) -> list[Message]:
        """Write one event of each topic; return the resources as answered."""
        return [self._write(self._paths[topic]) for topic in topics]

    def _write(self, path: str) -> Message:
        name = {"name": f"Number {next(self._numbers)}"}
        body: Message = expect(self._api.patch(path, token=self._token, json=name), 200).json()
        return body


@pytest.fixture
def writer(api: Api, ada: Account, lamp: Item) -> Writer:
    return Writer(api, ada, lamp)


# -- commands


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"ping"}',
        ' \t\r\n{ "type" : "ping" }\n',
        '{"type":"p\\u0069ng"}',
        '{"\\u0074ype":"ping"}',
        '{"type":"pong","type":"ping"}',
        '{"type":1,"type":"ping"}',
        f'{{"type":"ping"}}{" " * (LIMIT - 15)}',
    ],
)
@pytest.mark.rule("json")
def test_a_ping_is_answered(quiet_feed: Feed, text: str) -> None:
    expect_answer(quiet_feed, text, PONG, alone=False)


@pytest.mark.parametrize(
    ("topics", "answer"),
    [
        (["items"], ["items"]),
        (["users"], ["users"]),
        (["users", "items"], ["items", "users"]),
        (["items", "users"], ["items", "users"]),
    ],
)
def test_a_subscription_is_answered_with_its_topics_sorted(
    server: Target, ada: Account, topics: list[str], answer: list[str]
) -> None:
    with Feed(server, token=ada.token) as feed:
        expect_answer(feed, subscribe(*topics), subscribed(*answer))


@pytest.mark.rule("json")
def test_the_last_of_repeated_members_wins(server: Target, ada: Account) -> None:
    with Feed(server, token=ada.token) as feed:
        text = '{"type":"ping","topics":["users"],"type":"subscribe","topics":["items"]}'
        expect_answer(feed, text, subscribed("items"))


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(message, id=json.dumps(message))
        for message in (
            {},
            {"type": "pong"},
            {"type": "Ping"},
            {"type": " ping"},
            {"type": "unsubscribe", "topics": ["items"]},
            {"type": None},
            {"type": True},
            {"type": ["ping"]},
            {"type": {"type": "ping"}},
            {"Type": "ping"},
            {"type": "ping", "id": 1},
            {"type": "ping", "topics": ["items"]},
            {"type": "ping", "": None},
            {"type": "subscribe"},
            {"topics": ["items"]},
            {"type": "subscribe", "topics": []},
            {"type": "subscribe", "topics": None},
            {"type": "subscribe", "topics": "items"},
            {"type": "subscribe", "topics": "users,items"},
            {"type": "subscribe", "topics": {"items": True}},
            {"type": "subscribe", "topics": {"0": "items"}},
            {"type": "subscribe", "Topics": ["items"]},
            {"type": "subscribe", "topics": ["items"], "after": 0},
            {"type": "subscribe", "topics": ["items"], "id": None},
            subscribe("items", "items"),
            subscribe("users", "items", "users"),
            subscribe("tokens"),
            subscribe("items", "tokens"),
            subscribe("Items"),
            subscribe("items "),
            subscribe("item"),
            subscribe(""),
            subscribe("*"),
            subscribe("items", None),
            subscribe("items", 1),
            subscribe("items", True),
            subscribe(["items"]),
            subscribe({"items": 1}),
            subscribe("items", ["users"], ["users"]),
        )
    ],
)
def test_any_other_object_is_invalid_and_the_socket_stays_open(
    quiet_feed: Feed, message: Message
) -> None:
    expect_answer(quiet_feed, message, INVALID, alone=False)
    expect_answer(quiet_feed, PING, PONG, alone=False)


@pytest.mark.rule("json")
@pytest.mark.parametrize(
    "text",
    [
        pytest.param(text, id=ascii(text)[:50])
        for text in (
            "",
            " ",
            "ping",
            "null",
            "true",
            "0",
            '"ping"',
            "[]",
            '[{"type":"ping"}]',
            '["type","ping"]',
            "{",
            '{"type":"ping"',
            '{"type":"ping"}}',
            '{"type":"ping"}{"type":"ping"}',
            '{"type":"ping"}\x00',
            '{"type":"ping",}',
            "{'type':'ping'}",
            '{type:"ping"}',
            '{"type":"ping"}//',
            '/**/{"type":"ping"}',
            '\ufeff{"type":"ping"}',
            '\u00a0{"type":"ping"}',
            '\f{"type":"ping"}',
            '{"type":"pi\tng"}',
            # what is refused even where another member of the name overrides it
            '{"type":NaN,"type":"ping"}',
            '{"type":-Infinity,"type":"ping"}',
            '{"type":1e400,"type":"ping"}',
            '{"type":01,"type":"ping"}',
            f'{{"type":{TOO_LONG},"type":"ping"}}',
            '{"type":"\\ud800","type":"ping"}',
            '{"type":"\\udc00\\ud800","type":"ping"}',
            '{"type":"\\x70ing","type":"ping"}',
            "[" * 30_000 + "]" * 30_000,
            '{"a":' * 13_000,
            "x" * LIMIT,
        )
    ],
)
def test_what_is_no_strict_json_object_is_invalid_and_the_socket_stays_open(
    quiet_feed: Feed, text: str
) -> None:
    expect_answer(quiet_feed, text, INVALID, alone=False)
    expect_answer(quiet_feed, PING, PONG, alone=False)


def test_answers_come_in_the_order_of_the_commands(server: Target, ada: Account) -> None:
    turns: list[tuple[Message | str, Message]] = [
        (PING, PONG),
        (subscribe("users"), subscribed("users")),
        ("nonsense", INVALID),
        (subscribe("users", "items"), subscribed("items", "users")),
        (subscribe(), INVALID),
    ]
    said = turns * 20
    with Feed(server, token=ada.token) as feed:
        for command, _ in said:
            feed.send(command)
        expect_events(feed, [answer for _, answer in said])


# -- subscriptions


def test_a_connection_starts_with_both_topics(server: Target, ada: Account, writer: Writer) -> None:
    with Feed(server, token=ada.token) as feed:
        written = writer.write("users", "items")
        expect_events(feed, written, data_of)


@pytest.mark.parametrize(("topic", "other"), [("users", "items"), ("items", "users")])
def test_events_of_other_topics_leave_gaps_in_the_ids(
    server: Target, ada: Account, writer: Writer, topic: str, other: str
) -> None:
    with Feed(server, token=ada.token) as feed:
        expect_answer(feed, subscribe(topic), subscribed(topic))
        first, _, _, second = writer.write(topic, other, other, topic)
        events = expect_events(feed, [first, second], data_of)
        assert events[1]["id"] == events[0]["id"] + 3
        expect_no_event(feed)


def test_what_a_subscription_left_out_is_not_sent_later(
    server: Target, ada: Account, writer: Writer
) -> None:
    with Feed(server, token=ada.token) as feed:
        feed.ask(subscribe("items"))
        _, seen = writer.write("users", "items")
        expect_events(feed, [seen], data_of)
        expect_answer(feed, subscribe("users"), subscribed("users"))  # replaces, adds nothing
        _, seen = writer.write("items", "users")
        expect_events(feed, [seen], data_of)
        expect_answer(feed, subscribe("items", "users"), subscribed("items", "users"))
        written = writer.write("users", "items")
        expect_events(feed, written, data_of)


def test_what_is_invalid_leaves_the_subscription_as_it_was(
    server: Target, ada: Account, writer: Writer
) -> None:
    with Feed(server, token=ada.token) as feed:
        feed.ask(subscribe("items"))
        for refused in (subscribe("users", "users"), subscribe(), {**subscribe("users"), "x": 1}):
            expect_answer(feed, refused, INVALID)
        _, seen = writer.write("users", "items")
        expect_events(feed, [seen], data_of)


def test_a_subscription_is_one_connections_own(
    server: Target, ada: Account, writer: Writer
) -> None:
    with Feed(server, token=ada.token) as one, Feed(server, token=ada.token) as other:
        one.ask(subscribe("items"))
        user, item = writer.write("users", "items")
        expect_events(one, [item], data_of)
        expect_events(other, [user, item], data_of)
    with Feed(server, token=ada.token, after=one.ready["after"]) as again:
        expect_events(again, [user, item], data_of)


@pytest.mark.rule("feed-order")
def test_every_event_behind_an_answer_is_of_its_topics_and_none_of_them_is_missing(
    server: Target, ada: Account, writer: Writer
) -> None:
    with Feed(server, token=ada.token) as start:
        pass
    writer.write(*["users", "items"] * 40)
    turns = [("users",), ("items",), ("items", "users")]
    with Feed(server, token=ada.token, after=start.ready["after"]) as feed:
        for topics in turns * 5:
            feed.send(subscribe(*topics))
        answers = itertools.count(1)
        messages = feed.until(
            lambda message: message["type"] == "subscribed" and next(answers) == len(turns) * 5
        )
        last = writer.write("items", "users")[-1]  # of both topics, as the last turn says
        messages += feed.until(lambda message: message["data"] == last)
    holds = {"users", "items"}
    for earlier, message in itertools.pairwise([feed.ready, *messages]):
        if message["type"] == "subscribed":
            holds = set(message["topics"])
        else:
            assert f"{message['event'].partition('.')[0]}s" in holds
            assert message["id"] > earlier.get("id", 0)
            check_gap(earlier, message, holds)


def check_gap(earlier: Message, message: Message, holds: set[str]) -> None:
    """Between two events under one subscription to both topics there is no gap."""
    if earlier["type"] == "event" and holds == {"users", "items"}:
        assert message["id"] == earlier["id"] + 1


@pytest.mark.rule("feed")
def test_a_replay_is_filtered_too(server: Target, ada: Account, writer: Writer) -> None:
    with Feed(server, token=ada.token) as start:
        pass
    written = writer.write(*["users", "items"] * 40)
    with Feed(server, token=ada.token, after=start.ready["after"]) as feed:
        events = feed.ask(subscribe("items"))[:-1]
        left = written[len(events) :]
        items = [resource for resource in left if "owner_id" in resource]
        expect_events(feed, items, data_of)
        expect_no_event(feed)
