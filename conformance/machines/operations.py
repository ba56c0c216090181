"""Every operation as a request that succeeds, and the same request broken at chosen checks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from rosetta.clients.http import PASSWORD, Account, Api, Item, expect, unique_email
from rosetta.clients.message import Response
from rosetta.contract import spec
from rosetta.contract.terms import LIMIT, METHODS

SPEC = spec.load()
OPERATIONS: Mapping[str, spec.Operation] = {**SPEC.operations, **SPEC.websockets}
BODIES = SPEC.rules.sets["bodies"]
SIGNED = (*SPEC.rules.sets["signed"], "watch_events")
CHECKS = {check.check: check for check in SPEC.rules.precedence}
CAP = "connection-cap"  # has a server, and tests, of its own
HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}

# The ways in which one check can fail, where there are several; the first is the plain one.
WAYS: Mapping[str, tuple[str, ...]] = {
    "token": ("absent", "forged", "of a deleted user"),
    "precondition": ("If-Match", "If-None-Match"),
}
Flaws = Mapping[str, str]


@dataclass(frozen=True)
class Scene:
    """Two users with an item each, and what is left of a third: its id and its token."""

    owner: Account
    other: Account
    gone: Account
    item: Item
    others_item: Item
    gone_item: Item
    others_gone_item: Item


@dataclass(frozen=True)
class Call:
    """One request, ready to be sent."""

    method: str
    path: str
    fields: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None

    def send(self, api: Api, fields: Mapping[str, str] | None = None) -> Response:
        """Send it, with more header fields if they are given."""
        headers = {**self.fields, **(fields or {})}
        return api.request(self.method, self.path, headers=headers, content=self.content)


def make_scene(api: Api) -> Scene:
    """Create the users and items that the calls are about; ``other`` is the newest user."""
    owner, gone = api.account(), api.account()
    other = api.sign_up()
    expect(api.delete(gone.path, token=gone), 204)
    item, others_item = api.create_item(owner), api.create_item(other)
    gone_items = []
    for account in (owner, other):
        gone_items.append(api.create_item(account))
        expect(api.delete(gone_items[-1].path, token=account), 204)
    return Scene(owner, other, gone, item, others_item, *gone_items)


def checks(operation: str) -> list[str]:
    """Return the checks that an operation makes, in their order, but those of no fixed place."""
    return [
        name for name, check in CHECKS.items() if operation in check.operations and not check.free
    ]


def plain(*names: str) -> Flaws:
    """Return the flaws that fail these checks, each in its plain way."""
    return {name: WAYS.get(name, ("",))[0] for name in names}


def in_tails(operation: str) -> Iterator[Flaws]:
    """Yield for each check its flaw together with those of all later checks."""
    made = [check for check in checks(operation) if check != CAP]
    for start in range(len(made) - 2):
        yield plain(*made[start:])


def before_after(flaws: Flaws) -> str:
    named = [f"{check} {way}".strip() for check, way in flaws.items()]
    return " before ".join(filter(None, [named[0], ", ".join(named[1:])]))


def call(operation: str, scene: Scene, flaws: Flaws | None = None) -> Call:
    """Return a request for the operation that fails exactly the checks named in ``flaws``."""
    broken = flaws or {}
    return Call(
        method=_method(operation, broken),
        path=_path(operation, scene, broken) + _query(operation, broken),
        fields=_fields(operation, scene, broken),
        content=_content(operation, scene, broken),
    )


def table(rows: Iterable[tuple[Any, ...]]) -> list[Any]:
    """Return the rows as parameter sets, each named by its number and first value."""
    return [
        pytest.param(*row, id=f"{number}: {shown(row[0])}") for number, row in enumerate(rows, 1)
    ]


def shown(value: object) -> str:
    """Return a value as the short name of a case."""
    if isinstance(value, bytes):
        text = repr(value)[2:-1]
    else:
        text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 50 else f"{text[:24]}…{text[-24:]}"


def concrete(template: str, scene: Scene) -> str:
    """Return a path of the contract with the ids of the scene's owner and item."""
    return template.format(user_id=scene.owner.id, item_id=scene.item.id)


def paths() -> list[str]:
    """Return every path of the contract, the websockets' included, as a template."""
    return list(dict.fromkeys(operation.path for operation in OPERATIONS.values()))


def allowed(template: str) -> set[str]:
    """Return what Allow says of a path."""
    methods = {one.method for one in OPERATIONS.values() if one.path == template}
    return methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())


def lacking(template: str) -> list[str]:
    """Return the methods that the contract names and the path has not."""
    return [method for method in METHODS if method not in allowed(template)]


def allow_of(response: Response) -> set[str]:
    """Return the methods that a response's Allow lists."""
    return {one.strip() for one in response.headers.get("Allow", "").split(",")} - {""}


def members(operation: str, scene: Scene) -> dict[str, Any]:
    """Return a body that the operation accepts."""
    user = {"email": scene.owner.email, "name": "Grace"}
    item = {"name": "Lamp", "price_cents": 1999}
    accepted: dict[str, dict[str, Any]] = {
        "create_user": {"email": unique_email(), "name": "Ada", "password": PASSWORD},
        "replace_user": user,
        "update_user": {"name": "Grace"},
        "create_token": {"email": scene.owner.email, "password": scene.owner.password},
        "create_item": item,
        "replace_item": item,
        "update_item": {"price_cents": 5},
    }
    return accepted[operation]


def _method(operation: str, flaws: Flaws) -> str:
    described = OPERATIONS[operation]
    if "method" not in flaws:
        return described.method
    return next(one for one in ("PUT", "POST") if one in lacking(described.path))


def _path(operation: str, scene: Scene, flaws: Flaws) -> str:
    template = OPERATIONS[operation].path
    user, item = scene.owner, scene.item
    if "resource" in flaws:
        user = scene.gone
        item = scene.others_gone_item if "owner" in flaws else scene.gone_item
    elif "owner" in flaws:
        user, item = scene.other, scene.others_item
    path = template.format(user_id=user.id, item_id=item.id)
    return f"{path}/" if "route" in flaws else path


def _query(operation: str, flaws: Flaws) -> str:
    if "schema" not in flaws or operation in BODIES:
        return ""
    return "?after=x" if operation == "watch_events" else "?limit=0"


def _fields(operation: str, scene: Scene, flaws: Flaws) -> dict[str, str]:
    fields: dict[str, str] = {}
    if operation in SPEC.websockets and not {"route", "method", "upgrade"} & set(flaws):
        fields |= HANDSHAKE
    if operation in SIGNED and (token := _token(scene, flaws.get("token"))):
        fields["Authorization"] = f"Bearer {token}"
    if operation in BODIES:
        wrong = "content-type" in flaws
        fields["Content-Type"] = "text/plain" if wrong else "application/json"
    if "precondition" in flaws:
        way = flaws["precondition"]
        fields[way] = '"0"' if way == "If-Match" else "*"
    return fields


def _token(scene: Scene, way: str | None) -> str:
    return {
        None: scene.owner.token,
        "absent": "",
        "forged": f"{scene.owner.token[:-8]}AAAAAAAA",
        "of a deleted user": scene.gone.token,
    }[way]


def _content(operation: str, scene: Scene, flaws: Flaws) -> bytes | None:
    if operation not in BODIES:
        return None
    body = members(operation, scene)
    if "email" in flaws:
        body["email"] = scene.other.email
    if "credentials" in flaws:
        body["email"] = unique_email("nobody")
    if "schema" in flaws:
        body["colour"] = 1
    text = json.dumps(body)
    # Read laxly it is an object of which the schema, too, would have something to say.
    text = f'{text[:-1]}, "shade": NaN}}' if "json" in flaws else text
    return text.ljust(LIMIT + 1).encode() if "size" in flaws else text.encode()
