"""The part of the corpus that generators do not reach, written down as tables.

Nothing is judged here: the answers are compared when the corpus is replayed. So every value of a
table is sent, but not to everything that could take it: ``some`` deals them out in turn. What
rules.yaml leaves to the implementation stays out.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from websockets.frames import Opcode

from machines.tables import (
    ADDRESSES,
    COMMANDS,
    CREDENTIALS,
    DESCRIPTIONS,
    FORGED,
    FORMS,
    IGNORED,
    ITEM,
    MEDIA,
    NAMES,
    NO_ROUTES,
    NUMBERS,
    ODD_IDS,
    PASSWORDS,
    PATHS,
    PERSON_NAMES,
    PRICES,
    PROBES,
    QUERIES,
    REQUEST_IDS,
    SIGNED,
    STATES,
    STATUSES,
    TAG_LISTS,
    TAGS,
    TAGS_LISTED,
    TEXTS,
    Field,
)
from rosetta.clients.http import PASSWORD, Account, Api, Item
from rosetta.clients.raw import RawConnection, chunked
from rosetta.clients.websocket import Feed, RawWebSocket, Socket, refused
from rosetta.contract.terms import LIMIT, METHODS
from rosetta.targets.server import Target

Choice = TypeVar("Choice")
JSON: Field = ("Content-Type", "application/json")
MERGE: Field = ("Content-Type", "application/merge-patch+json")
UNKNOWN = 10**17  # an id that is never reached


SHORT = "short"
WRONG = "x"
LONGEST = "😀" * 128
PASSPHRASE = "  Pä55 wörd\u0301  "  # noqa: S105 - of an account that lives as long as a run
SAFE = (
    *(("GET", "/users/me"), ("GET", "/items?limit=1"), ("GET", "/nowhere"), ("OPTIONS", "/items")),
    *(("DELETE", "/users"), ("HEAD", "/healthz")),
)
ANSWERED = (
    *(("GET", "/healthz"), ("GET", "/nowhere"), ("PUT", "/items"), ("OPTIONS", "/items")),
    *(("GET", "/users/me"), ("HEAD", "/items"), ("POST", "/items"), ("GET", "/ws/echo")),
)


class Hand:
    """Two users, their items, and a connection on which everything is sent."""

    def __init__(self, target: Target, api: Api) -> None:
        self.target = target
        self.api = api
        self._connection = RawConnection(target, timeout=30)
        self.ada, self.bob = self.sign_up("ada"), self.sign_up("bob")
        self.lamp = api.create_item(self.ada)
        self.desk = api.create_item(self.bob, name="Desk", tags=["b", "a"], description="Oak")

    def sign_up(self, name: str) -> Account:
        """Return a new user."""
        return self.api.sign_up(email=f"{name}@hand.test", name=name.title())

    def send(
        self,
        method: str,
        target: str,
        *fields: Field,
        body: bytes | str | None = None,
        who: Account | None = None,
    ) -> int:
        """Send one request, signed if ``who`` is given, and return the status."""
        content = body.encode() if isinstance(body, str) else body
        signed = [*fields, *([bearer(who)] if who else [])]
        response = self._connection.request(method, target, signed, content)
        said = [str(value) for name, value in fields if name == "Connection"]
        said += response.all("Connection")
        if "close" in " ".join(said).lower() or response.status == 413:
            self.close()
            self._connection = RawConnection(self.target, timeout=30)
        return response.status

    def close(self) -> None:
        """Close the connection."""
        self._connection.socket.close()


def bearer(who: Account | str) -> Field:
    """Return the field that signs a request."""
    return "Authorization", f"Bearer {who if isinstance(who, str) else who.token}"


def write_all(target: Target, api: Api) -> None:
    """Send every table."""
    hand = Hand(target, api)
    try:
        for table in (
            *(routing, ids, methods, authorization, queries, paging, media_types, texts, values),
            *(users, emails, lengths, sizes, item_precedence, user_precedence, list_precedence),
            *(sign_up_precedence, conditions, message_fields, ignored, logins, lives),
            *(handshakes, echoes, commands, closes, resumes),
        ):
            table(hand)
    finally:
        hand.close()


def some(turn: int, choices: Sequence[Choice], count: int) -> list[Choice]:
    """Return so many of the choices, others at each turn: after all turns each has had its."""
    return [choices[(turn * count + place) % len(choices)] for place in range(count)]


# -- routing


def filled(path: str, hand: Hand) -> str:
    """Return a path with the ids of the first user and her item."""
    return path.format(user=hand.ada.id, item=hand.lamp.id)


def routing(hand: Hand) -> None:
    """What is no route is none for any method, with a token or without."""
    for turn, path in enumerate(NO_ROUTES):
        for method in some(turn, METHODS, 4):
            hand.send(method, path)
        hand.send("GET", f"{path}?limit=0", who=hand.ada)


def ids(hand: Hand) -> None:
    """Ids that are none, and some that are, but of nothing."""
    for turn, (kind, id_) in enumerate(itertools.product(("users", "items"), ODD_IDS)):
        for method in some(turn, ("HEAD", "OPTIONS", "DELETE", "POST", "PATCH"), 1):
            hand.send(method, f"/{kind}/{id_}", who=hand.ada)
        hand.send("GET", f"/{kind}/{id_}", who=hand.ada)
        hand.send("GET", f"/{kind}/{id_}")


def methods(hand: Hand) -> None:
    """Every method on every route: without a token, with one, with a body, with a query."""
    for path, method in itertools.product((*PATHS, *PROBES), METHODS):
        target = filled(path, hand)
        hand.send(method, target)
        if method not in ("DELETE", "PUT", "PATCH"):
            hand.send(method, f"{target}?limit=x&after=-1", who=hand.ada)
            hand.send(method, target, ("Origin", "http://a.test"), body="x", who=hand.ada)
    for path in (*PATHS, *PROBES):
        preflight = (("Origin", "http://a.test"), ("Access-Control-Request-Method", "PUT"))
        hand.send("OPTIONS", filled(path, hand), *preflight)
        hand.send("OPTIONS", filled(path, hand), JSON, bearer(FORGED), body="{")


# -- authentication


def authorization(hand: Hand) -> None:
    """Every form of the field at operations that need it and at some that do not."""
    values = [*CREDENTIALS, *(form.replace("{}", hand.ada.token) for form in FORMS)]
    for turn, value in enumerate(values):
        field = ("Authorization", value.encode())
        for method, path in some(turn, SIGNED, 3):
            hand.send(method, filled(path, hand), field, JSON, body="[]")
    for method, path in SIGNED:
        hand.send(method, filled(path, hand), JSON, body="[]")
        query = f"?access_token={hand.ada.token}"
        hand.send(method, f"{filled(path, hand)}{query}", JSON, body="[]")


# -- queries


def queries(hand: Hand) -> None:
    """Every odd value of every parameter, alone and with others."""
    for path, numbers in (("/users", ["after"]), ("/items", ["limit", "owner_id"])):
        odd = [f"{name}={value}" for name in numbers for value in NUMBERS]
        odd += [f"status={v}" for v in STATUSES] + [f"tag={v}" for v in TAGS]
        for query in (*odd, *QUERIES):
            hand.send("GET", f"{path}?{query.replace(' ', '%20').partition('#')[0]}", who=hand.ada)
    for query in ("limit=0", "tag=A&limit=x"):
        for method in ("HEAD", "GET", "OPTIONS", "POST", "DELETE"):
            hand.send(method, f"/items?{query}", who=hand.ada)
    for path in ("/users/me", "/users/{user}", "/items/{item}", "/healthz", "/readyz"):
        hand.send("GET", f"{filled(path, hand)}?limit=0&after=x&tag=A", who=hand.ada)


def paging(hand: Hand) -> None:
    """Pages of any size, with every set of filters, walked to the end."""
    tags: tuple[list[str], ...] = ([], ["a"], ["b", "a"], ["a-b", "0"])
    for status, listed in itertools.product(("draft", "active", "archived"), tags):
        hand.api.create_item(hand.bob, name=f"{status} {listed}", status=status, tags=listed)
    filters = itertools.product(
        (None, hand.ada.id, hand.bob.id, UNKNOWN), (None, "active"), (None, "a")
    )
    for (owner, state, tag), limit in itertools.product(filters, (2, 5)):
        given = {"owner_id": owner, "status": state, "tag": tag, "limit": limit}
        query = "&".join(f"{name}={value}" for name, value in given.items() if value is not None)
        walk(hand, f"/items?{query}")
    for limit in (1, 2):
        walk(hand, f"/users?limit={limit}")


def walk(hand: Hand, target: str) -> None:
    """Follow `next` to the end, by GET, and ask for each page by HEAD."""
    page: str | None = target
    while page:
        hand.send("HEAD", page, who=hand.ada)
        page = hand.api.get(page, token=hand.ada).json()["next"]


# -- bodies


def media_types(hand: Hand) -> None:
    """Every media type at operations of each method, with a good body, a bad one and none."""
    targets = [("POST", "/items"), ("PUT", hand.lamp.path), ("PATCH", hand.lamp.path)]
    for (method, target), media in itertools.product(targets, MEDIA):
        field = ("Content-Type", media.encode())
        for body in (ITEM, "{" if method == "PUT" else None):
            hand.send(method, target, field, body=body, who=hand.ada)
    for method, target in (
        *targets,
        ("POST", "/users"),
        ("POST", "/tokens"),
        ("PUT", hand.ada.path),
    ):
        for body in (ITEM, "", None):
            hand.send(method, target, body=body, who=hand.ada)
    for target in ("/users", "/tokens"):
        for media in MEDIA:
            hand.send("POST", target, ("Content-Type", media.encode()), body="[]")


def texts(hand: Hand) -> None:
    """Every text that is JSON, nearly JSON, or JSON that most parsers take wrongly."""
    for turn, text in enumerate(TEXTS):
        hand.send("POST", "/items", JSON, body=text, who=hand.ada)
        if turn % 3:
            hand.send("PATCH", hand.lamp.path, MERGE, body=text, who=hand.ada)
        else:
            hand.send("POST", "/tokens", JSON, body=text)


def values(hand: Hand) -> None:
    """Every member of an item with every odd value, in each operation that takes it."""
    bodies: list[str] = [dumped(name=name, price_cents=1) for name in NAMES]
    bodies += [dumped(name="Lamp", price_cents=1, description=d) for d in DESCRIPTIONS]
    bodies += [f'{{"name":"Lamp","price_cents":{price}}}' for price in PRICES]
    bodies += [dumped(name="Lamp", price_cents=1, status=state) for state in STATES]
    bodies += [dumped(name="Lamp", price_cents=1, tags=tags) for tags in TAG_LISTS]
    for turn, body in enumerate(bodies):
        for method, path in some(turn, [("POST", "/items"), ("PUT", hand.lamp.path)], 1):
            hand.send(method, path, JSON, body=body, who=hand.ada)
    for name, given in (
        *(("name", NAMES), ("description", DESCRIPTIONS), ("status", STATES), ("tags", TAG_LISTS)),
    ):
        for value in given:
            hand.send("PATCH", hand.lamp.path, JSON, body=dumped(**{name: value}), who=hand.ada)
    for price in PRICES:
        body = f'{{"price_cents":{price}}}'
        hand.send("PATCH", hand.lamp.path, MERGE, body=body, who=hand.ada)
    for body in (dumped(name="", price_cents=-1, tags=["A", "a", "a"], x=1, status=0),
                 dumped(id=1, owner_id=2, created_at="x", version=3, name="Lamp")):  # fmt: skip
        for method, path in (
            ("POST", "/items"),
            ("PUT", hand.lamp.path),
            ("PATCH", hand.lamp.path),
        ):
            hand.send(method, path, JSON, body=body, who=hand.ada)


def dumped(**fields: Any) -> str:  # noqa: ANN401 - JSON
    """Return a JSON object, not escaped beyond need."""
    return json.dumps(fields, ensure_ascii=False)


def users(hand: Hand) -> None:
    """Every member of a user with every odd value; those that are valid are few: they cost."""
    for email in ADDRESSES:
        sign_up(hand, email=email, password=SHORT)
        body = dumped(email=email)
        hand.send("PATCH", hand.ada.path, JSON, body=body, who=hand.ada)
        hand.send("POST", "/tokens", JSON, body=dumped(email=email, password=WRONG))
    for name in PERSON_NAMES:
        sign_up(hand, name=name, password=SHORT)
        hand.send("PATCH", hand.ada.path, JSON, body=dumped(name=name), who=hand.ada)
        body = dumped(name=name, email=hand.ada.email)
        hand.send("PUT", hand.ada.path, JSON, body=body, who=hand.ada)
    for password in PASSWORDS:
        sign_up(hand, password=password)
        hand.send("PATCH", hand.ada.path, JSON, body=dumped(password=password), who=hand.ada)
        body = dumped(email=hand.ada.email, password=password)
        hand.send("POST", "/tokens", JSON, body=body)
    for extra in (
        {"id": 1},
        {"created_at": None},
        {"password_hash": "x"},
        {"Email": "a@b.test"},
        {},
    ):
        hand.send("PATCH", hand.ada.path, JSON, body=dumped(**extra), who=hand.ada)
        hand.send("PUT", hand.ada.path, JSON, body=dumped(name="Ada", **extra), who=hand.ada)
        sign_up(hand, password=SHORT, **extra)


def sign_up(hand: Hand, **fields: Any) -> int:  # noqa: ANN401 - JSON
    """POST /users with these fields and plausible others."""
    body = {"email": "new@hand.test", "name": "New", "password": PASSWORD} | fields
    return hand.send("POST", "/users", JSON, body=dumped(**body))


def emails(hand: Hand) -> None:
    """Addresses that are taken, in any case, and one that is free again."""
    for email in (hand.bob.email, hand.bob.email.upper(), "Bob@Hand.Test"):
        sign_up(hand, email=email)
        for method in ("PUT", "PATCH"):
            body = dumped(email=email, name="Ada")
            hand.send(method, hand.ada.path, JSON, body=body, who=hand.ada)
    own = dumped(email=hand.ada.email.upper())
    hand.send("PATCH", hand.ada.path, JSON, body=own, who=hand.ada)
    cleo = hand.sign_up("Cleo.O'Neil".replace("'", ""))
    hand.send("PATCH", cleo.path, JSON, body=dumped(email="moved@hand.test"), who=cleo)
    again = hand.sign_up("cleo.oneil")
    hand.send("DELETE", again.path, who=again)
    for who in (cleo, again):
        hand.send("GET", again.path, who=who)
        hand.send("GET", "/users/me", who=who)
    longest = f"{'L' * 64}@{'b' * 63}.{'c' * 63}.{'d' * 60}"
    sign_up(hand, email=longest, name="😀" * 100, password=LONGEST)
    sign_up(hand, email=longest.lower())


def lengths(hand: Hand) -> None:
    """The same body whole, in chunks of every size, and with chunk extensions and trailers."""
    coded = ("Transfer-Encoding", "chunked")
    body = dumped(name="Chunk", price_cents=1, tags=["b", "a"]).encode()
    for size in (1, 2, 3, 7, 16, len(body)):
        pieces = [body[start : start + size] for start in range(0, len(body), size)]
        for case in ("chunked", "Chunked"):
            field = ("Transfer-Encoding", case)
            hand.send("POST", "/items", JSON, field, body=chunked(pieces), who=hand.ada)
        hand.send("PUT", hand.lamp.path, JSON, coded, body=chunked(pieces), who=hand.ada)
        hand.send("PATCH", hand.lamp.path, MERGE, coded, body=chunked(pieces), who=hand.ada)
    hand.send(
        "POST",
        "/items",
        JSON,
        coded,
        body=b"%X\r\n%s\r\n0\r\n\r\n" % (len(body), body),
        who=hand.ada,
    )
    for empty in (b"", b"{", b" "):
        pieces = [empty] if empty else []
        hand.send("POST", "/items", JSON, coded, body=chunked(pieces), who=hand.ada)
        hand.send("GET", "/users/me", coded, body=chunked(pieces), who=hand.ada)
        hand.send("DELETE", "/items/7777", coded, body=chunked(pieces), who=hand.ada)


def sizes(hand: Hand) -> None:
    """Bodies up to the greatest length and beyond it, announced and chunked."""
    coded = ("Transfer-Encoding", "chunked")
    for method, path in (("POST", "/items"), ("PATCH", hand.lamp.path), ("POST", "/tokens")):
        for size in (LIMIT - 1, LIMIT, LIMIT + 1, 2 * LIMIT):
            body = (b'{"x":1}' + b" " * size)[:size]
            hand.send(method, path, JSON, body=body, who=hand.ada)
            pieces = [body[start : start + 4096] for start in range(0, size, 4096)]
            hand.send(method, path, JSON, coded, body=chunked(pieces), who=hand.ada)
            hand.send("GET", "/users/me", who=hand.ada)


# -- precedence


SIGNERS = ("nobody", "forged", "other", "owner")
CONTENTS = (None, "text/plain", "application/json")
ITEMS = ("", "{", "[]", '{"name":""}', '{"name":"Lamp","price_cents":5}')
Flaws = tuple[str, str, tuple[Field, ...], tuple[Field, ...], str]
TAGS_GIVEN: tuple[tuple[Field, ...], ...] = (
    (),
    (("If-Match", '"0"'),),
    (("If-None-Match", "*"),),
    (("If-Match", "*"), ("If-None-Match", '"0"')),
)


def signer(hand: Hand, who: str) -> Sequence[Field]:
    """Return the fields that make a request the owner's (Ada's), another's, or nobody's."""
    accounts: dict[str, Account | str] = {"forged": FORGED, "other": hand.bob, "owner": hand.ada}
    return () if who == "nobody" else (bearer(accounts[who]),)


def bodies(kinds: Iterable[str]) -> Iterator[tuple[tuple[Field, ...], str]]:
    """Yield every media type with every body."""
    for media, body in itertools.product(CONTENTS, kinds):
        yield (() if media is None else (("Content-Type", media),)), body


def flaws(kinds: Sequence[str], *paths: str) -> Iterator[Flaws]:
    """Yield every set of a path, a signer, preconditions, a media type and a body.

    What stands behind a bad token is not looked at, so less of it is varied.
    """
    for path, who in itertools.product(paths, SIGNERS):
        several = kinds if who in ("other", "owner") else kinds[1::3]
        for given in TAGS_GIVEN if who == "owner" else TAGS_GIVEN[:2]:
            for media, body in bodies(several):
                yield path, who, given, media, body


def item_precedence(hand: Hand) -> None:
    """Every set of flaws that a write of an item can have."""
    item = hand.api.create_item(hand.ada, name="Precedence")
    every = flaws(ITEMS, item.path, f"/items/{UNKNOWN}")
    for turn, (path, who, given, media, body) in enumerate(every):
        for method in some(turn, ("PUT", "PATCH"), 1):
            hand.send(method, path, *signer(hand, who), *media, *given, body=body)
    deletions(hand, item.path, f"/items/{UNKNOWN}")
    for who, (media, body) in itertools.product(SIGNERS, bodies(ITEMS)):
        hand.send("POST", "/items", *signer(hand, who), *media, body=body)


def user_precedence(hand: Hand) -> None:
    """Every set of flaws that a write of a user can have."""
    person, invalid = '{"name":"Ada","email":"%s"}', '{"name":"","email":"%s"}'
    taken = hand.bob.email
    kinds = ("", "{", "[]", person % hand.ada.email, person % taken, invalid % taken)
    every = flaws(kinds, hand.ada.path, f"/users/{UNKNOWN}")
    for turn, (path, who, given, media, body) in enumerate(every):
        for method in some(turn, ("PATCH", "PUT"), 1):
            hand.send(method, path, *signer(hand, who), *media, *given, body=body)
    deletions(hand, hand.ada.path, f"/users/{UNKNOWN}")


def deletions(hand: Hand, *paths: str) -> None:
    """Every set of flaws that a deletion can have; none succeeds."""
    for path, who, given in itertools.product(paths, SIGNERS, TAGS_GIVEN):
        if given in TAGS_GIVEN[1:3] or who != "owner":
            hand.send("DELETE", path, *signer(hand, who), *given)


def list_precedence(hand: Hand) -> None:
    """What a list, a read or a probe looks at, and in which order."""
    paths = ("/users", "/items", "/users/me", hand.bob.path, hand.desk.path, f"/items/{UNKNOWN}")
    every = itertools.product(paths, SIGNERS, ("", "?limit=0", "?limit=1"))
    for turn, (path, who, query) in enumerate(every):
        method, other = some(turn, ("GET", "HEAD", "HEAD", "GET", "GET", "HEAD"), 2)
        hand.send(method, f"{path}{query}", *signer(hand, who), ("If-None-Match", "*"))
        hand.send(other, f"{path}{query}", *signer(hand, who), ("If-Match", '"0"'), body="{")


def sign_up_precedence(hand: Hand) -> None:
    """Every set of flaws of a sign-up and of a login but those that cost a hash."""
    taken = dumped(email=hand.bob.email, name="", password=SHORT)
    for path, (media, body) in itertools.product(
        ("/users", "/tokens"), bodies(["", "{", "[]", "{}", taken])
    ):
        for fields in ((), (bearer(FORGED),), (("If-Match", '"0"'), ("If-None-Match", "*"))):
            hand.send("POST", path, *media, *fields, body=body)


# -- conditional requests, header fields


def conditions(hand: Hand) -> None:
    """Every list of entity-tags in both fields, at reads and at writes."""
    item = hand.api.create_item(hand.ada, name="Tagged")
    version = 1  # `{v}` stands for the tag of it, without its quotes
    every = itertools.product(TAGS_LISTED, ("If-Match", "If-None-Match"))
    elsewhere = ("/users/me", "/items", "/healthz", hand.bob.path)
    for turn, (value, name) in enumerate(every):
        now: Field = (name, value.replace("{v}", f"{item.id}-{version}").encode())
        hand.send(("GET", "HEAD")[turn // 2 % 2], item.path, now, who=hand.ada)
        hand.send("GET", elsewhere[turn % len(elsewhere)], now, who=hand.ada)
        method, body = (("PATCH", '{"price_cents":1}'), ("PUT", ITEM))[turn // 2 % 2]
        version += hand.send(method, item.path, now, JSON, body=body, who=hand.ada) == 200
        if turn % 3 == 0:
            one_time = hand.api.create_item(hand.ada, name="Once")
            once = (name, value.replace("{v}", f"{one_time.id}-1").encode())
            hand.send("DELETE", one_time.path, once, who=hand.ada)
            hand.send("POST", "/items", now, JSON, body="{}", who=hand.ada)
    lines(hand, item, version)


def lines(hand: Hand, item: Item, version: int) -> None:
    """The two fields in several lines, together, and beside those of dates."""
    current, old = item.tag(version), item.tag(0)
    late, early = "Fri, 31 Dec 2100 23:59:59 GMT", "Mon, 01 Jan 2001 00:00:00 GMT"
    for name in ("If-Match", "If-None-Match"):
        for values in ((old, current), (current, old), (old, old), ("*", old), ("", current)):
            fields = [(name, value) for value in values]
            hand.send("GET", item.path, *fields, who=hand.ada)
            hand.send("PATCH", item.path, JSON, *fields, body="{}", who=hand.ada)
            hand.send("DELETE", item.path, *fields, who=hand.bob)
    for date, name in itertools.product(
        (late, early, "x"), ("If-Modified-Since", "If-Unmodified-Since")
    ):
        hand.send("GET", item.path, (name, date), who=hand.ada)
        hand.send("PATCH", item.path, (name, date), JSON, body="{}", who=hand.ada)
        hand.send("GET", item.path, (name, date), ("If-None-Match", current), who=hand.ada)
    hand.send("GET", item.path, ("Range", "bytes=0-1"), ("If-Range", current), who=hand.ada)


def message_fields(hand: Hand) -> None:
    """Request ids of every form, with answers of every kind."""
    for turn, value in enumerate(REQUEST_IDS):
        for method, path in some(turn, ANSWERED, 3):
            hand.send(method, path, ("X-Request-ID", value.encode()))
    for value in ("a", "a b"):
        hand.send(
            "GET", hand.lamp.path, ("X-Request-ID", value), ("If-None-Match", "*"), who=hand.ada
        )
        hand.send("POST", "/items", ("X-Request-ID", value), JSON, body="{", who=hand.ada)


def ignored(hand: Hand) -> None:
    """Fields that some frameworks look at and the contract does not."""
    for turn, field in enumerate(IGNORED):
        for method, path in some(turn, SAFE, 2):
            hand.send(method, path, field, who=hand.ada)
        if field[0] != "Content-Length":
            hand.send("POST", "/items", field, JSON, body=ITEM, who=hand.ada)
    for suffix in ("?format=xml", "?_method=DELETE", "?callback=f", "?format=json&format=api"):
        hand.send("GET", f"/users/me{suffix}", who=hand.ada)
        hand.send("POST", f"/items{suffix}", JSON, body=ITEM, who=hand.ada)
    for method, path in (
        ("GET", "/users/me"),
        ("GET", "/items"),
        ("DELETE", "/items/7777"),
        ("GET", "/healthz"),
    ):
        for body in ("{", "{}", "x" * 1000):
            hand.send(method, path, JSON, body=body, who=hand.ada)
            hand.send(
                method,
                path,
                ("Content-Type", "application/x-www-form-urlencoded"),
                body=body,
                who=hand.ada,
            )
    for connection in ("close", "keep-alive", "Close", "upgrade", "x"):
        hand.send("GET", "/users/me", ("Connection", connection), who=hand.ada)
        hand.send("GET", "/ws/echo", ("Connection", connection))


# -- logins and lives


def logins(hand: Hand) -> None:
    """Logins that succeed and fail; each costs a hash."""
    for email, password in (
        (hand.ada.email, PASSWORD),
        (hand.ada.email.upper(), PASSWORD),
        (hand.ada.email, PASSWORD.upper()),
        (hand.ada.email, f"{PASSWORD} "),
        ("nobody@hand.test", PASSWORD),
        (hand.ada.email, "😀" * 128),
    ):
        hand.send(
            "POST", "/tokens", JSON, bearer(FORGED), body=dumped(email=email, password=password)
        )
    changed = dumped(password=PASSPHRASE)
    hand.send("PATCH", hand.bob.path, JSON, body=changed, who=hand.bob)
    for password in (
        PASSPHRASE,
        "Pä55 wörd\u0301",
        "  Pä55 w\u00f6rd\u0301  ",
        PASSWORD,
    ):
        hand.send("POST", "/tokens", JSON, body=dumped(email=hand.bob.email, password=password))


def lives(hand: Hand) -> None:
    """A user and items from birth to death, and what is left of them."""
    dora = hand.sign_up("dora")
    items = [hand.api.create_item(dora, name=f"Item {n}", tags=["dora"]) for n in range(3)]
    for body in ('{"name":"A"}', '{"name":"A"}', dumped(name="B", email="DORA@hand.test")):
        hand.send("PATCH", dora.path, JSON, body=body, who=dora)
        hand.send("GET", "/users/me", who=dora)
        hand.send("GET", dora.path, who=hand.ada)
    hand.send("DELETE", items[1].path, who=dora)
    for path in (items[1].path, items[0].path, f"/items?owner_id={dora.id}", "/items?tag=dora"):
        hand.send("GET", path, who=hand.ada)
    hand.send("DELETE", dora.path, ("If-Match", '"1"'), who=dora)
    hand.send("DELETE", dora.path, ("If-Match", '"4"'), who=dora)
    for path in (dora.path, items[0].path, f"/items?owner_id={dora.id}", "/items?tag=dora"):
        for who in (hand.ada, dora):
            hand.send("GET", path, who=who)
            hand.send("DELETE", path, who=who)
    hand.send("POST", "/items", JSON, body=ITEM, who=dora)
    hand.sign_up("dora")


# -- websockets


ASKING = (("Upgrade", "websocket"), ("Connection", "Upgrade"))
PLACES = ("after=", "after=x", "after=-1", "after=01", "after=1.0", f"after={10**18}")


def handshakes(hand: Hand) -> None:
    """Handshakes that are refused, and what is asked of the paths without one."""
    for path, method in itertools.product(("/ws/echo", "/ws/events", "/ws/other"), ("GET", "HEAD")):
        for fields in ((), ASKING[:1], ASKING[1:], (("Upgrade", "h2c"), ASKING[1])):
            for who in (None, hand.ada):
                hand.send(method, f"{path}?after=x", *fields, who=who)
    for options in without_a_token(hand.ada.token):
        refused(hand.target, "/ws/events", **options)
        refused(hand.target, "/ws/other", **options)
    for query in (*PLACES, "after=0&after=x"):
        refused(hand.target, f"/ws/events?{query}", token=hand.ada.token)
        refused(hand.target, f"/ws/events?{query}")


def without_a_token(token: str) -> list[dict[str, Any]]:
    """Return options of a socket that carry no token, or this one where it does not count."""
    return [
        {},
        {"token": FORGED},
        {"headers": {"Authorization": "Basic x"}},
        {"protocols": ["chat"]},
        {"protocols": ["bearer"]},
        {"protocols": ["bearer", FORGED]},
        {"protocols": [FORGED, "bearer"]},
        {"token": FORGED, "protocols": ["bearer", token]},
        {"protocols": ["chat", token]},
        {"headers": {"Authorization": "Bearer"}},
        {"headers": {"X-Request-ID": "mine"}},
    ]


LENGTHS = (125, 126, 65535, LIMIT)
ECHOED = ("", "a", " ", "☃😀", '{"type":"ping"}', *("a" * length for length in LENGTHS), "\u0000")
IN_PIECES = (
    (Opcode.TEXT, ["a", "b", ""]),
    (Opcode.BINARY, ["", "x", "y"]),
    (Opcode.TEXT, ["☃"] * 9),
)
OFFERS = (
    *(["bearer"], ["bearer", "x"], ["x", "bearer"]),
    *(["chat"], ["Bearer", "x"], ["bearer", "chat"]),
)


def echoes(hand: Hand) -> None:
    """Messages of each kind and length, whole and in pieces, and protocols on offer."""
    with Socket(hand.target) as socket:
        for text in ECHOED:
            for message in (text, text.encode()):
                socket.send(message)
                socket.receive()
        socket.send(b"\xff\xfe")
        socket.receive()
    with RawWebSocket(hand.target) as raw:
        for opcode, pieces in IN_PIECES:
            for number, piece in enumerate(pieces):
                kind = opcode if number == 0 else Opcode.CONT
                raw.send_frame(kind, piece.encode(), fin=number == len(pieces) - 1)
            raw.receive()
        for data in (b"", b"ping", b"x" * 125):
            raw.send_frame(Opcode.PING, data)
            raw.receive()
    for protocols in OFFERS:
        with Socket(hand.target, protocols=protocols) as socket:
            socket.send("hello")
            socket.receive()


def commands(hand: Hand) -> None:
    """What a client may say and what not, with writes between."""
    with Feed(hand.target, token=hand.ada.token) as feed:
        for number, command in enumerate(COMMANDS):
            feed.ask(command)
            if number % 4 == 0:
                hand.send("PATCH", hand.desk.path, JSON, body='{"status":"active"}', who=hand.bob)
                hand.send("PATCH", hand.bob.path, JSON, body='{"name":"Bob"}', who=hand.bob)
    for topics in (["items"], ["users"], ["users", "items"]):
        with Feed(hand.target, protocols=["bearer", hand.ada.token]) as feed:
            feed.ask({"type": "subscribe", "topics": topics})
            item = hand.api.create_item(hand.bob, name="☃", tags=["z", "a"], description="\u2028")
            hand.send("PUT", item.path, JSON, body=ITEM, who=hand.bob)
            hand.send("PATCH", item.path, JSON, body='{"price_cents":1e2}', who=hand.bob)
            hand.send("PATCH", item.path, JSON, body='{"price_cents":-1}', who=hand.bob)
            hand.send("PATCH", hand.bob.path, JSON, body='{"name":"é"}', who=hand.bob)
            hand.send("DELETE", item.path, who=hand.bob)
            feed.settled()


ENDINGS = (
    (Opcode.TEXT, b"\xff"),
    (Opcode.TEXT, b"a\xed\xa0\x80"),
    (Opcode.BINARY, b"a"),
    (Opcode.BINARY, b""),
    (Opcode.TEXT, b"a" * (LIMIT + 1)),
    (Opcode.BINARY, b"a" * (LIMIT + 1)),
    (Opcode.TEXT, b" " * LIMIT),
    *((Opcode.CLOSE, code.to_bytes(2, "big")) for code in (1000, 1001, 3000, 4000)),
    (Opcode.CLOSE, b""),
)


def closes(hand: Hand) -> None:
    """Every way in which a socket ends by what was sent on it."""
    for path, token in (("/ws/echo", None), ("/ws/events", hand.ada.token)):
        for opcode, data in ENDINGS:
            with RawWebSocket(hand.target, path, token=token) as raw:
                if token:
                    raw.receive()
                raw.send_frame(opcode, data)
                raw.receive()


def resumes(hand: Hand) -> None:
    """The feed from its beginning, from every hundredth event, and from beyond its end."""
    emil = hand.sign_up("emil")
    with Feed(hand.target, token=emil.token) as feed:
        newest = feed.ready["after"]
    for after in (newest, newest - 1, newest - 150, newest + 5, 10**18 - 1):
        with Feed(hand.target, token=hand.ada.token, after=after) as feed:
            hand.send("PATCH", hand.desk.path, JSON, body='{"status":"draft"}', who=hand.bob)
            feed.settled()
    items = [hand.api.create_item(emil, name=f"Item {n}") for n in range(3)]
    with (
        Feed(hand.target, token=emil.token) as own,
        Feed(hand.target, token=hand.ada.token) as other,
    ):
        hand.send("DELETE", items[1].path, who=emil)
        hand.send("DELETE", emil.path, who=emil)
        own.close_code()
        other.settled()
    refused(hand.target, "/ws/events", token=emil.token)
    with Feed(hand.target, token=hand.ada.token, after=newest) as feed:
        feed.take(12)
        feed.settled()
