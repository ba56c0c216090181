"""The state machine of users, items and tokens: any sequence of requests."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from machines.strategies import (
    ADDRESSES,
    INDEX,
    INVALID_USERS,
    ITEM_PATCHES,
    ITEMS,
    NAMES,
    NOBODY,
    PRECONDITIONS,
    SIGNERS,
    STATUSES,
    rarely,
)
from machines.world import UNKNOWN, World
from rosetta.clients.http import PASSWORD
from rosetta.contract.model import Answer, Json, Kind, Request, Resource
from rosetta.contract.terms import MISSING

OTHER_PASSWORD = "staple battery horse correct"  # noqa: S105 - of accounts that live as long as a run

EXAMPLES = 25
FIRST_ITEM = {"name": "Lamp", "price_cents": 1, "description": "Brass", "tags": ["b", "a"]}


class HttpMachine(RuleBasedStateMachine):
    """Two users who know each other's resources, and whoever signs up besides."""

    world: World
    # argon2 is slow on purpose: an example may make the server hash so many passwords.
    most_hashes = 3

    @initialize()
    def begin(self) -> None:
        self.world.begin()
        users = self.world.accounts(2)
        self.ids: dict[Kind, list[int]] = {"user": [user.id for user in users], "item": []}
        self.hashes = 0
        for user in users:
            answer = self.ask("POST", "/items", self.world.token(user.id), body=FIRST_ITEM)
            self.ids["item"].append(answer.body["id"])
        # Lists start behind what other examples, or a used database, may hold.
        self.start: dict[Kind, int] = {
            "user": self.world.model.last_id["user"],
            "item": self.ids["item"][0] - 1,
        }

    def teardown(self) -> None:
        if self.world.clean:
            for item in list(self.world.model.resources["item"].values()):
                self.ask("DELETE", item.path, self.world.token(item.owner_id))

    # -- users

    @precondition(lambda self: self.hashes < self.most_hashes)
    @rule(name=NAMES, index=INDEX, address=ADDRESSES, invalid=rarely(INVALID_USERS, st.none()))
    def sign_up(self, name: str, index: int, address: str, invalid: Json) -> None:
        email = self.address(address, self.resource("user", index))
        body = invalid or {"name": name, "email": email, "password": PASSWORD}
        answer = self.ask("POST", "/users", body=body)
        if answer.status == 201:
            self.ids["user"].append(answer.body["id"])
            self.ask("POST", "/tokens", body={"email": email, "password": PASSWORD})
        self.hashes += 2

    @precondition(lambda self: self.hashes < self.most_hashes)
    @rule(index=INDEX, address=ADDRESSES, right=st.booleans(), password=st.booleans())
    def log_in(self, index: int, address: str, right: bool, password: bool) -> None:
        user = self.resource("user", index)
        given = user.password if user and right else OTHER_PASSWORD if password else PASSWORD
        email = self.address(address, user)
        self.ask("POST", "/tokens", body={"email": email, "password": given})
        self.hashes += 1

    @rule(signer=SIGNERS, index=INDEX, tags=PRECONDITIONS)
    def read_oneself(self, signer: str, index: int, tags: str | None) -> None:
        self.read("/users/me", self.resource("user", index), signer, tags, head=False)

    @rule(signer=SIGNERS, index=INDEX, tags=PRECONDITIONS, head=st.booleans())
    def read_user(self, signer: str, index: int, tags: str | None, head: bool) -> None:
        path, user = self.pick("user", index)
        self.read(path, user, signer, tags, head=head)

    @rule(
        method=st.sampled_from(["PUT", "PATCH"]),
        index=INDEX,
        signer=SIGNERS,
        name=NAMES,
        address=st.none() | ADDRESSES,
        password=st.booleans(),
        invalid=rarely(INVALID_USERS, st.none()),
        matches=PRECONDITIONS,
        unless=PRECONDITIONS,
    )
    def write_user(
        self,
        method: str,
        index: int,
        signer: str,
        name: str,
        address: str | None,
        password: bool,
        invalid: Json,
        **tags: Any,  # noqa: ANN401
    ) -> None:
        path, user = self.pick("user", index)
        body = {"name": name}
        if method == "PUT" or address is not None:
            body["email"] = self.address(address or "own", user)
        if password and self.hashes < self.most_hashes:
            body["password"] = OTHER_PASSWORD
            self.hashes += 1
        self.write(method, path, user, signer, body=invalid or body, **tags)

    @rule(index=INDEX, signer=SIGNERS, matches=PRECONDITIONS, sure=st.booleans())
    def delete_user(self, index: int, signer: str, matches: str | None, sure: bool) -> None:
        path, user = self.pick("user", index)
        if sure:
            self.write("DELETE", path, user, signer, matches=matches)

    @rule(limit=st.integers(1, 3), signer=SIGNERS)
    def walk_users(self, limit: int, signer: str) -> None:
        token = self.token(self.resource("user", 0), signer)
        self.walk("/users", token, {"limit": str(limit), "after": str(self.start["user"])})

    # -- items

    @rule(body=ITEMS, index=INDEX, signer=SIGNERS)
    def create_item(self, body: Json, index: int, signer: str) -> None:
        token = self.token(self.resource("user", index), signer)
        answer = self.ask("POST", "/items", token, body=body)
        if answer.status == 201:
            self.ids["item"].append(answer.body["id"])

    @rule(signer=SIGNERS, index=INDEX, tags=PRECONDITIONS, head=st.booleans())
    def read_item(self, signer: str, index: int, tags: str | None, head: bool) -> None:
        path, item = self.pick("item", index)
        self.read(path, item, signer, tags, head=head)

    @rule(body=ITEMS, index=INDEX, signer=SIGNERS, matches=PRECONDITIONS, unless=PRECONDITIONS)
    def replace_item(self, body: Json, index: int, signer: str, **tags: Any) -> None:  # noqa: ANN401
        path, item = self.pick("item", index)
        self.write("PUT", path, item, signer, body=body, **tags)

    @rule(
        body=ITEM_PATCHES, index=INDEX, signer=SIGNERS, matches=PRECONDITIONS, unless=PRECONDITIONS
    )
    def update_item(self, body: Json, index: int, signer: str, **tags: Any) -> None:  # noqa: ANN401
        path, item = self.pick("item", index)
        self.write("PATCH", path, item, signer, body=body, **tags)

    @rule(index=INDEX, signer=SIGNERS, matches=PRECONDITIONS, unless=PRECONDITIONS)
    def delete_item(self, index: int, signer: str, **tags: Any) -> None:  # noqa: ANN401
        path, item = self.pick("item", index)
        self.write("DELETE", path, item, signer, **tags)

    @rule(
        owner=st.none() | INDEX,
        status=st.none() | STATUSES | st.just("lost"),
        tag=st.sampled_from([None, "a", "b", "a-b", "A"]),
        limit=st.sampled_from(["1", "2", "3", "100", None, "0", "01"]),
        signer=SIGNERS,
    )
    def walk_items(
        self, owner: int | None, status: str | None, tag: str | None, limit: str | None, signer: str
    ) -> None:
        ids = self.ids["user"]
        filters = {
            "owner_id": None if owner is None else str(ids[owner % len(ids)]),
            "status": status,
            "tag": tag,
            "limit": limit,
            "after": str(self.start["item"]),
        }
        token = self.token(self.resource("user", 1), signer)
        self.walk("/items", token, {k: v for k, v in filters.items() if v is not None})

    # -- what rules are made of

    def ask(self, method: str, path: str, token: str | None = None, **options: Any) -> Answer:  # noqa: ANN401
        return self.world.ask(Request(method, path, token, **options))

    def pick(self, kind: Kind, index: int) -> tuple[str, Resource | None]:
        """Return the path of a resource that the example knows; it may be gone, or never was."""
        ids, unknown = self.ids[kind], self.world.model.last_id[kind] + UNKNOWN
        id_ = unknown if index == NOBODY else ids[index % len(ids)]
        return f"/{kind}s/{id_}", self.world.model.resources[kind].get(id_)

    def resource(self, kind: Kind, index: int) -> Resource | None:
        """Return a resource that the example knows, if it is still there."""
        ids = self.ids[kind]
        return self.world.model.resources[kind].get(ids[index % len(ids)])

    def token(self, resource: Resource | None, signer: str) -> str | None:
        """Return the token of the owner (if it is gone, of whom it was), of another, or worse."""
        if signer in ("nobody", "forged"):
            return None if signer == "nobody" else "a.b.c"
        first, *others = self.ids["user"]
        owner = resource.owner_id if resource else first
        if signer == "other":
            owner = next(id_ for id_ in [*others, first] if id_ != owner)
        return self.world.token(owner)

    def address(self, kind: str, user: Resource | None) -> str:
        """Return an e-mail address that is new, the user's own, or another's."""
        known = [self.resource("user", index) for index in range(len(self.ids["user"]))]
        others = [other for other in known if other and other is not user]
        chosen = user if kind.startswith("own") else others[0] if others else None
        email = (
            self.world.address("model") if kind == "new" or not chosen else chosen.shown["email"]
        )
        return email.upper() if kind.endswith("capitals") else email

    def read(
        self, path: str, resource: Resource | None, signer: str, tags: str | None, *, head: bool
    ) -> None:
        token, method = self.token(resource, signer), "HEAD" if head else "GET"
        self.ask(method, path, token, if_none_match=filled_in(tags, resource))

    def write(
        self,
        method: str,
        path: str,
        resource: Resource | None,
        signer: str,
        *,
        body: Json = MISSING,
        matches: str | None = None,
        unless: str | None = None,
    ) -> None:
        self.ask(
            method,
            path,
            self.token(resource, signer),
            body=body,
            if_match=filled_in(matches, resource),
            if_none_match=filled_in(unless, resource),
        )

    def walk(self, path: str, token: str | None, query: dict[str, str]) -> None:
        """Follow `next` from page to page to the end."""
        while True:
            answer = self.ask("GET", path, token, query=query)
            following = answer.body.get("next")
            if following is None:
                return
            query = dict(pair.split("=") for pair in following.partition("?")[2].split("&"))


def filled_in(tags: str | None, resource: Resource | None) -> str | None:
    """Return a list of entity-tags with those of the resource's versions in it."""
    if tags is None:
        return None
    id_, version = (resource.id, resource.version) if resource else (UNKNOWN, 1)
    numbers = {"now": version, "past": version - 1, "next": version + 1}
    return tags.format(**{name: f"{id_}-{number}" for name, number in numbers.items()})
