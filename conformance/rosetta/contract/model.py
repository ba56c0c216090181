"""The contract as a small program: what a request answers, given what was answered before.

What only a server can choose (ids, instants, tokens) is handed in as ``Made``. So the same model
predicts a server's answers, with the values bound that it chose, and can be one itself.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlencode

from rosetta.contract.terms import MISSING, PROBLEMS
from rosetta.contract.violations import body_errors, query_errors, query_schemas

Json = Any
Kind = Literal["user", "item"]
Fields = dict[str, Json]

CHALLENGE = 'Bearer realm="api"'
CACHE_CONTROL = "private, no-cache"  # of what is read with a token
INVALID_TOKEN = f'{CHALLENGE}, error="invalid_token"'
ITEM_DEFAULTS: Fields = {"description": None, "status": "draft", "tags": []}
LISTED_TAG = re.compile(r'(?:^|,)[ \t]*((?:W/)?"[!#-~\x80-\xff]*")[ \t]*(?=,|$)')


@dataclass(frozen=True)
class Request:
    """One request, by what the contract looks at; the media type is right, the JSON well-formed."""

    method: str
    path: str
    token: str | None = None
    body: Json = MISSING
    query: Mapping[str, str] = field(default_factory=dict)
    if_match: str | None = None
    if_none_match: str | None = None


@dataclass(frozen=True)
class Made:
    """What the server chose for this answer; None where it answered without."""

    id: int | None = None
    now: str | None = None
    token: str | None = None
    life: int = 3600


@dataclass(frozen=True)
class Answer:
    """A status, a body (None: there is none) and the headers that the contract speaks of."""

    status: int
    body: Json = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Event:
    """A row of the change feed; its id is its place."""

    event: str
    resource_id: int
    data: Json

    @property
    def topic(self) -> str:
        """The topic a client subscribes to for it."""
        return f"{self.event.partition('.')[0]}s"


@dataclass
class Resource:
    """A user or an item: ``shown`` is its representation."""

    kind: Kind
    shown: Fields
    version: int = 1
    password: str = ""

    @property
    def id(self) -> int:
        """The id."""
        return int(self.shown["id"])

    @property
    def owner_id(self) -> int:
        """The user who may write it."""
        return self.id if self.kind == "user" else int(self.shown["owner_id"])

    @property
    def path(self) -> str:
        """The path."""
        return f"/{self.kind}s/{self.id}"

    @property
    def etag(self) -> str:
        """The strong entity-tag."""
        return f'"{self.id}-{self.version}"'

    def answer(self, status: int, **headers: str) -> Answer:
        """Return the answer that shows it; in names of headers `_` stands for `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Answer(status, dict(self.shown), {"ETag": self.etag, **named})


class Refusal(Exception):
    """A problem, raised by the check that finds it."""

    def __init__(
        self, slug: str, *, errors: list[dict[str, str]] | None = None, **headers: str
    ) -> None:
        status, title = PROBLEMS[slug]
        body: Fields = {"type": f"/problems/{slug}", "title": title, "status": status}
        if errors is not None:
            body["errors"] = errors
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answer = Answer(status, body, named)


class Implausible(Exception):
    """The server chose a value that it must not: an id again, an instant in the past."""


class Model:
    """The state of one service, and what it answers."""

    def __init__(self) -> None:
        self.resources: dict[Kind, dict[int, Resource]] = {"user": {}, "item": {}}
        self.last_id: dict[Kind, int] = {"user": 0, "item": 0}
        self.tokens: dict[str, int] = {}
        self.events: list[Event] = []

    def answer(self, request: Request, made: Made) -> Answer:
        """Return what the request must be answered, and become the state after it."""
        method = "GET" if request.method == "HEAD" else request.method
        for pattern, operations in ROUTES.items():
            if match := re.fullmatch(pattern, request.path):
                ids = [int(group) for group in match.groups()]
                operation: Callable[..., Answer] = getattr(self, operations[method])
                try:
                    return operation(request, made, *ids)
                except Refusal as refusal:
                    return refusal.answer
        return Refusal("not-found").answer

    # -- users

    def create_user(self, request: Request, made: Made) -> Answer:
        """Sign up."""
        fields = self._valid_body(request, "UserCreate")
        self._check_email(fields, None)
        password = fields.pop("password")
        user = self._create("user", made, fields)
        user.password = password
        self._note(user, "created")
        return user.answer(201, Location=user.path)

    def list_users(self, request: Request, _: Made) -> Answer:
        """List users."""
        self._caller(request)
        return self._page(request, self.resources["user"].values())

    def get_current_user(self, request: Request, _: Made) -> Answer:
        """Read oneself."""
        return self._read(request, self._caller(request))

    def get_user(self, request: Request, _: Made, user_id: int) -> Answer:
        """Read a user."""
        return self._read(request, self._found(request, "user", user_id))

    def replace_user(self, request: Request, made: Made, user_id: int) -> Answer:
        """Replace oneself."""
        return self._write_user(request, made, user_id, "UserReplace")

    def update_user(self, request: Request, made: Made, user_id: int) -> Answer:
        """Change oneself."""
        return self._write_user(request, made, user_id, "UserPatch")

    def delete_user(self, request: Request, _: Made, user_id: int) -> Answer:
        """Delete oneself, one's items first."""
        user = self._own(request, "user", user_id)
        check_preconditions(request, user)
        for item in self.items_of(user_id):
            self._delete(item)
        self._delete(user)
        return Answer(204)

    def items_of(self, user_id: int) -> list[Resource]:
        """Return a user's items, ascending by id."""
        items = self.resources["item"]
        return [items[id_] for id_ in sorted(items) if items[id_].owner_id == user_id]

    def _write_user(self, request: Request, made: Made, user_id: int, schema: str) -> Answer:
        user = self._own(request, "user", user_id)
        fields = self._valid_body(request, schema)
        check_preconditions(request, user)
        self._check_email(fields, user)
        user.password = fields.pop("password", user.password)
        return self._update(user, made, fields)

    def _check_email(self, fields: Fields, owner: Resource | None) -> None:
        others = (user for user in self.resources["user"].values() if user is not owner)
        if fields.get("email") in [user.shown["email"] for user in others]:
            raise Refusal("email-taken")

    # -- tokens

    def create_token(self, request: Request, made: Made) -> Answer:
        """Log in."""
        fields = self._valid_body(request, "TokenCreate")
        for user in self.resources["user"].values():
            if (user.shown["email"], user.password) == (fields["email"], fields["password"]):
                self.tokens[made.token or ""] = user.id
                body = {"token_type": "bearer", "expires_in": made.life, "user_id": user.id}
                headers = {"Cache-Control": "no-store"}
                return Answer(201, {"access_token": made.token, **body}, headers)
        raise Refusal("invalid-credentials", WWW_Authenticate=CHALLENGE)

    # -- items

    def create_item(self, request: Request, made: Made) -> Answer:
        """Create an item."""
        owner = self._caller(request)
        fields = ITEM_DEFAULTS | self._valid_body(request, "ItemWrite")
        item = self._create("item", made, {"owner_id": owner.id, **fields})
        self._note(item, "created")
        return item.answer(201, Location=item.path)

    def list_items(self, request: Request, _: Made) -> Answer:
        """List items."""
        self._caller(request)
        return self._page(request, self.resources["item"].values())

    def get_item(self, request: Request, _: Made, item_id: int) -> Answer:
        """Read an item."""
        return self._read(request, self._found(request, "item", item_id))

    def replace_item(self, request: Request, made: Made, item_id: int) -> Answer:
        """Replace an item: what the body leaves out returns to its default."""
        item = self._own(request, "item", item_id)
        fields = ITEM_DEFAULTS | self._valid_body(request, "ItemWrite")
        check_preconditions(request, item)
        return self._update(item, made, fields)

    def update_item(self, request: Request, made: Made, item_id: int) -> Answer:
        """Change an item."""
        item = self._own(request, "item", item_id)
        fields = self._valid_body(request, "ItemPatch")
        check_preconditions(request, item)
        return self._update(item, made, fields)

    def delete_item(self, request: Request, _: Made, item_id: int) -> Answer:
        """Delete an item."""
        item = self._own(request, "item", item_id)
        check_preconditions(request, item)
        self._delete(item)
        return Answer(204)

    # -- checks, in the order of rule `precedence`

    def _caller(self, request: Request) -> Resource:
        if request.token is None:
            raise Refusal("unauthorized", WWW_Authenticate=CHALLENGE)
        caller = self.resources["user"].get(self.tokens.get(request.token, 0))
        if caller is None:
            raise Refusal("unauthorized", WWW_Authenticate=INVALID_TOKEN)
        return caller

    def _found(self, request: Request, kind: Kind, id_: int) -> Resource:
        self._caller(request)
        if id_ not in self.resources[kind]:
            raise Refusal("not-found")
        return self.resources[kind][id_]

    def _own(self, request: Request, kind: Kind, id_: int) -> Resource:
        found = self._found(request, kind, id_)
        if found.owner_id != self._caller(request).id:
            raise Refusal("forbidden")
        return found

    def _valid_body(self, request: Request, schema: str) -> Fields:
        if errors := body_errors(request.body, schema):
            raise Refusal("validation", errors=errors)
        return stored(request.body)

    # -- what they do

    def _create(self, kind: Kind, made: Made, fields: Fields) -> Resource:
        if made.id is not None and made.id <= self.last_id[kind]:
            raise Implausible(f"a new {kind} has id {made.id}, after {self.last_id[kind]}")
        id_ = self.last_id[kind] = made.id or self.last_id[kind] + 1
        times = {"created_at": made.now, "updated_at": made.now}
        resource = Resource(kind, {"id": id_, **fields, **times})
        self.resources[kind][id_] = resource
        return resource

    def _read(self, request: Request, resource: Resource) -> Answer:
        tags = request.if_none_match
        if tags is not None and lists(tags, resource.etag, weakly=True):
            return Answer(304, None, {"ETag": resource.etag, "Cache-Control": CACHE_CONTROL})
        return resource.answer(200, Cache_Control=CACHE_CONTROL)

    def _update(self, resource: Resource, made: Made, fields: Fields) -> Answer:
        before = resource.shown["updated_at"]
        if made.now is not None and before is not None and made.now < before:
            raise Implausible(f"updated_at went back from {before} to {made.now}")
        resource.shown |= {**fields, "updated_at": made.now}
        resource.version += 1
        self._note(resource, "updated")
        return resource.answer(200)

    def _delete(self, resource: Resource) -> None:
        del self.resources[resource.kind][resource.id]
        self._note(resource, "deleted")

    def _note(self, resource: Resource, what: str) -> None:
        data = None if what == "deleted" else dict(resource.shown)
        self.events.append(Event(f"{resource.kind}.{what}", resource.id, data))

    def _page(self, request: Request, resources: Iterable[Resource]) -> Answer:
        if errors := query_errors(request.query, request.path):
            raise Refusal("validation", errors=errors)
        names = query_schemas(request.path)
        given = {name: request.query[name] for name in names if name in request.query}
        limit, after = int(given.pop("limit", "20")), int(given.pop("after", "0"))
        rows = sorted((r for r in resources if passes(r, given)), key=lambda r: r.id)
        rows = [row for row in rows if row.id > after]
        body: Fields = {"data": [dict(row.shown) for row in rows[:limit]], "next": None}
        headers = {"Cache-Control": CACHE_CONTROL}
        if len(rows) <= limit:
            return Answer(200, body, headers)
        following = {**given, "limit": limit, "after": rows[limit - 1].id}
        body["next"] = f"{request.path}?{urlencode(following)}"
        return Answer(200, body, headers | {"Link": f'<{body["next"]}>; rel="next"'})


def check_preconditions(request: Request, resource: Resource) -> None:
    """Refuse a write whose If-Match or If-None-Match does not hold."""
    wanted, unwanted = request.if_match, request.if_none_match
    stale = wanted is not None and not lists(wanted, resource.etag, weakly=False)
    present = unwanted is not None and lists(unwanted, resource.etag, weakly=True)
    if stale or present:
        raise Refusal("precondition-failed")


def lists(value: str, etag: str, *, weakly: bool) -> bool:
    """Tell whether a field value lists the strong tag of something that exists."""
    if value.strip() == "*":
        return True
    tags = LISTED_TAG.findall(value)
    return etag in tags or (weakly and f"W/{etag}" in tags)


def passes(resource: Resource, filters: Mapping[str, str]) -> bool:
    """Tell whether an item passes the filters given; a user has none."""
    shown = resource.shown
    return (
        str(shown.get("owner_id")) == filters.get("owner_id", str(shown.get("owner_id")))
        and shown.get("status") == filters.get("status", shown.get("status"))
        and ("tag" not in filters or filters["tag"] in shown["tags"])
    )


def stored(fields: Fields) -> Fields:
    """Return the members of a valid body as they are kept and shown."""
    kept = dict(fields)
    if "email" in kept:
        kept["email"] = kept["email"].lower()
    if "price_cents" in kept:
        kept["price_cents"] = int(kept["price_cents"])
    if "tags" in kept:
        kept["tags"] = sorted(kept["tags"])
    return kept


@dataclass
class Subscription:
    """What one connection of the feed must be sent: see ``due``."""

    after: int
    topics: frozenset[str] = frozenset({"users", "items"})

    def due(self, events: Iterable[tuple[int, Event]]) -> list[tuple[int, Event]]:
        """Return those of the numbered events that are still to be sent, in order."""
        return [
            (id_, event) for id_, event in events if id_ > self.after and event.topic in self.topics
        ]


def numbered(events: Iterable[Event], first: int) -> list[tuple[int, Event]]:
    """Return events with their ids: consecutive, the first as given."""
    return list(zip(itertools.count(first), events, strict=False))


ID = "([1-9][0-9]{0,17})"
# The operationIds, which are the names of the methods.
ROUTES: Mapping[str, Mapping[str, str]] = {
    "/users": {"POST": "create_user", "GET": "list_users"},
    "/users/me": {"GET": "get_current_user"},
    f"/users/{ID}": {
        "GET": "get_user",
        "PUT": "replace_user",
        "PATCH": "update_user",
        "DELETE": "delete_user",
    },
    "/tokens": {"POST": "create_token"},
    "/items": {"POST": "create_item", "GET": "list_items"},
    f"/items/{ID}": {
        "GET": "get_item",
        "PUT": "replace_item",
        "PATCH": "update_item",
        "DELETE": "delete_item",
    },
}
