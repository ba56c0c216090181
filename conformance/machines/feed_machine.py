"""The state machine of the feed: any interleaving of writes, connects, subscribes and resumes."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from machines.world import World
from rosetta.clients.websocket import Feed, Message, Silence
from rosetta.contract.model import Event, Request, Resource, Subscription, numbered
from rosetta.contract.terms import TIMESTAMP

TOPICS = st.sampled_from([["items"], ["users"], ["users", "items"], ["items", "users"]])
NONSENSE = st.sampled_from(
    ["", "[]", "{", '{"type":"ping","id":1}', '{"type":"subscribe","topics":["items","items"]}']
)
INDEX = st.integers(0, 3)
SOCKETS = 4
USERS = 2
DELETED = 4401
# Members of a message, and the rule that speaks of each.
PARTED = {"id": "feed-order", "event": "feed", "resource_id": "feed", "data": "feed-data"}
# The contract's second, and what a busy machine takes besides.
PATIENCE = 3.0
EXAMPLES = 20
FIRST_ITEM = {"name": "Lamp", "price_cents": 1}


@dataclass
class Client:
    """An open feed, whose it is, and what it is still due."""

    number: int
    feed: Feed
    user_id: int
    subscription: Subscription


class FeedMachine(RuleBasedStateMachine):
    """A user who stays and one who may go, both with an item and a feed, and who signs up."""

    world: World

    @initialize()
    def begin(self) -> None:
        self.world.begin()
        self.stack = contextlib.ExitStack()
        self.clients: list[Client] = []
        self.seen: list[int] = []  # by clients that are gone
        self.world.model.events.clear()
        self.users = [user.id for user in self.world.accounts(2)]
        for index in range(2):
            self.world.ask(Request("POST", "/items", self.token(index), FIRST_ITEM))
        with Feed(self.world.api.target, token=self.token(0)) as feed:
            self.newest = feed.ready["after"]
        self.world.model.events.clear()
        for user_id in self.users:
            self.open(user_id, None, self.newest)

    def teardown(self) -> None:
        try:
            if self.world.clean:
                self.all_that_is_due_arrives_and_nothing_else()
                self.clean_up()
        finally:
            self.stack.close()

    def all_that_is_due_arrives_and_nothing_else(self) -> None:
        for client in self.clients:
            self.drain(client)
            self.expect(client, self.ask(client, {"type": "ping"}, {"type": "pong"}), [])

    def clean_up(self) -> None:
        for item in list(self.world.model.resources["item"].values()):
            token = self.world.token(item.owner_id)
            self.world.ask(Request("DELETE", item.path, token))

    # -- writes

    @rule(index=INDEX, write=st.sampled_from(["create", "change", "change", "delete", "refused"]))
    def write_item(self, index: int, write: str) -> None:
        token = self.token(index)
        items = self.world.model.items_of(self.user(index).id)
        if write == "create" or not items:
            self.world.ask(Request("POST", "/items", token, FIRST_ITEM))
        elif write == "delete":
            self.world.ask(Request("DELETE", items[0].path, token))
        else:
            body, tag = {"price_cents": items[0].version}, '"0-0"' if write == "refused" else None
            self.world.ask(Request("PATCH", items[0].path, token, body, if_match=tag))

    @rule(index=INDEX, put=st.booleans())
    def write_user(self, index: int, put: bool) -> None:
        user = self.user(index)
        body = {"name": "Grace", **({"email": user.shown["email"]} if put else {})}
        method = "PUT" if put else "PATCH"
        self.world.ask(Request(method, user.path, self.token(index), body))

    @precondition(lambda self: len(self.users) < USERS)
    @rule()
    def sign_up(self) -> None:
        self.users.append(self.world.sign_up().id)

    @rule(index=INDEX)
    def delete_user(self, index: int) -> None:
        if index % len(self.users):
            user = self.user(index)
            self.world.ask(Request("DELETE", user.path, self.token(index)))
            self.users.remove(user.id)
            for client in [client for client in self.clients if client.user_id == user.id]:
                self.expect_close(client)

    # -- sockets

    @rule(
        index=INDEX,
        after=st.sampled_from(["not given", "start", "middle", "newest", "beyond", "last seen"]),
    )
    def connect(self, index: int, after: str) -> None:
        newest, start = self.newest + len(self.world.model.events), self.newest
        places = {
            "not given": None,
            "start": start,
            "middle": (start + newest) // 2,
            "newest": newest,
            "beyond": newest + 2,
            "last seen": self.seen[-1] if self.seen else start,
        }
        if len(self.clients) < SOCKETS:
            self.open(self.users[index % len(self.users)], places[after], newest)

    @rule(index=INDEX, clean=st.booleans())
    def disconnect(self, index: int, clean: bool) -> None:
        if client := self.client(index):
            self.note(client, "goes" if clean else "is cut off")
            self.seen.append(client.subscription.after)
            if not clean:
                client.feed.drop()
            self.close(client)

    @rule(index=INDEX)
    def read(self, index: int) -> None:
        if client := self.client(index):
            self.drain(client)

    @rule(index=INDEX, topics=TOPICS)
    def subscribe(self, index: int, topics: list[str]) -> None:
        if client := self.client(index):
            self.pass_by(client)
            command = {"type": "subscribe", "topics": topics}
            events = self.ask(client, command, {"type": "subscribed", "topics": sorted(topics)})
            self.expect(client, events, [])
            client.subscription.topics = frozenset(topics)

    @rule(index=INDEX, text=NONSENSE)
    def talk_nonsense(self, index: int, text: str) -> None:
        if client := self.client(index):
            answer = {"type": "error", "code": "invalid-message"}
            events = self.ask(client, text, answer)
            self.expect(client, events, self.due(client)[: len(events)])

    # -- what rules are made of

    def user(self, index: int) -> Resource:
        return self.world.model.resources["user"][self.users[index % len(self.users)]]

    def token(self, index: int) -> str | None:
        return self.world.token(self.users[index % len(self.users)])

    def client(self, index: int) -> Client | None:
        return self.clients[index % len(self.clients)] if self.clients else None

    def note(self, client: Client, what: str) -> None:
        self.world.script.append(f"feed {client.number} of user {client.user_id} {what}")

    def open(self, user_id: int, after: int | None, newest: int) -> None:
        number = len(self.clients) + len(self.seen) + 1
        query = "" if after is None else f"?after={after}"
        self.world.script.append(f"feed {number}: GET /ws/events{query} as user {user_id}")
        self.world.clean = False
        feed = Feed(self.world.api.target, token=self.world.token(user_id), after=after)
        try:
            self.stack.enter_context(feed)
        except AssertionError as error:
            raise self.world.broken(f"the feed was not opened: {error}", ["ws-handshake"]) from None
        start = newest if after is None else after
        if feed.ready != (ready := {"type": "ready", "after": start}):
            raise self.world.broken(f"expected {ready}, got {feed.ready}", ["feed"])
        self.clients.append(Client(number, feed, user_id, Subscription(start)))
        self.world.clean = True

    def close(self, client: Client) -> None:
        self.clients.remove(client)
        client.feed.__exit__()

    def due(self, client: Client) -> list[tuple[int, Event]]:
        return client.subscription.due(numbered(self.world.model.events, self.newest + 1))

    def drain(self, client: Client) -> None:
        """Read all that the client is due."""
        due = self.due(client)
        self.note(client, f"reads {len(due)} events")
        messages: list[Message] = []
        try:
            for _ in due:
                messages.append(client.feed.next(PATIENCE))  # noqa: PERF401 - kept if one fails
        except Silence as silence:
            self.world.clean = False
            wanted = [shown(id_, event) for id_, event in due[len(messages) :]]
            raise self.world.broken(f"{silence}; still due: {wanted}", ["feed"]) from None
        self.expect(client, messages, due)

    def pass_by(self, client: Client) -> None:
        """Read on until the server has passed every event, also those the client is not sent.

        It has when a later event comes; so one of the client's topics is written if need be.
        """
        newest = self.newest + len(self.world.model.events)
        self.drain(client)
        if client.subscription.after < newest:
            if "users" in client.subscription.topics:
                self.write_user(0, put=False)
            else:
                self.write_item(0, "create")
            self.drain(client)

    def ask(self, client: Client, command: Any, answer: Message) -> list[Message]:  # noqa: ANN401
        """Send a command and return the events that came before its answer, which is this."""
        self.note(client, f"sends {command}")
        self.world.clean = False
        try:
            *events, got = client.feed.ask(command, PATIENCE)
        except Silence as silence:
            raise self.world.broken(f"expected {answer}: {silence}", ["feed-commands"]) from None
        if got != answer:
            raise self.world.broken(f"expected {answer}, got {got}", ["feed-commands"])
        self.world.clean = True
        self.world.held.add("feed-commands")
        return events

    def expect(self, client: Client, messages: list[Message], due: list[tuple[int, Event]]) -> None:
        """Compare messages with the events that were due, and go on behind them."""
        expected = [shown(id_, event) for id_, event in due]
        times = [message.pop("occurred_at", None) for message in messages]
        if messages != expected or not all(map(TIMESTAMP.fullmatch, map(str, times))):
            self.world.clean = False
            what = f"expected {expected}, got {messages}, at {times}"
            raise self.world.broken(what, parted_rules(messages, expected))
        self.world.held |= {rule for rule in PARTED.values() if due}
        if due:
            client.subscription.after = due[-1][0]

    def expect_close(self, client: Client) -> None:
        """Read the feed of a deleted user to its close."""
        self.drain(client)
        self.note(client, "waits for its close")
        self.world.clean = False
        try:
            code = client.feed.close_code(PATIENCE)
        except Silence as silence:
            raise self.world.broken(
                f"expected close code {DELETED}: {silence}", ["ws-close"]
            ) from None
        if code != DELETED:
            raise self.world.broken(f"expected close code {DELETED}, got {code}", ["ws-close"])
        self.world.clean = True
        self.world.held.add("ws-close")
        self.seen.append(client.subscription.after)
        self.close(client)


def parted_rules(messages: list[Message], expected: list[Message]) -> list[str]:
    """Return the rules that speak of where messages part from those expected."""
    parted = [
        rule
        for member, rule in PARTED.items()
        if [each.get(member) for each in messages] != [each.get(member) for each in expected]
    ]
    return parted or ["feed"]


def shown(id_: int, event: Event) -> Message:
    """Return the message for an event, but for when it occurred."""
    return {
        "type": "event",
        "id": id_,
        "event": event.event,
        "resource_id": event.resource_id,
        "data": event.data,
    }
