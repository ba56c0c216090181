"""What a user and an item may be, what each way of writing them means, and what deletion takes."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Mapping
from typing import Any
from uuid import uuid4
from zlib import crc32

import pytest

from rosetta.clients.http import (
    Account,
    Api,
    Item,
    expect,
    expect_header,
    expect_problem,
    unique_email,
    violation,
)
from rosetta.clients.message import Response
from rosetta.clients.websocket import Feed
from rosetta.contract.terms import TIMESTAMP
from rosetta.targets.databases import PostgresDatabase, SqliteDatabase
from rosetta.targets.server import Target

ASTRAL = "\N{GRINNING FACE}"
USER_MEMBERS = {"id", "email", "name", "created_at", "updated_at"}
ITEM_MEMBERS = {
    *("id", "owner_id", "name", "description", "price_cents", "status", "tags"),
    *("created_at", "updated_at"),
}
WRITES = ("create", "replace", "update")
CONTROLS = [chr(code) for code in [*range(0x20), 0x7F]]
SOME_CONTROLS = ["\x00", "\t", "\n", "\x1f", "\x7f"]

# Characters that a server with an opinion of its own would trim, fold, escape or refuse.
KEPT_NAMES = [
    "a",
    " ",
    " padded ",
    "\N{NO-BREAK SPACE}a\N{LINE SEPARATOR}",
    "e\N{COMBINING ACUTE ACCENT}",
    "\N{LATIN SMALL LETTER E WITH ACUTE}",
    "\N{LATIN SMALL LIGATURE FI}\N{ANGSTROM SIGN}",
    "\x80\x9f",
    "\N{ZERO WIDTH SPACE}\N{ZERO WIDTH NO-BREAK SPACE}",
    "\ud7ff\ue000\ufffd\uffff\U0010ffff",
    "'\"\\/<b>&amp;</b>%s{0}${x}\N{RIGHT-TO-LEFT OVERRIDE}",
    "null",
    "0",
]
NO_STRINGS: list[tuple[Any, str]] = [
    (value, "type") for value in (None, True, 0, 1.5, [], ["Ada"], {}, {"a": 1})
]

Flaw = tuple[Any, str]


def shown(value: object) -> str:
    """Return the id of a case."""
    text = json.dumps(value)
    return text if len(text) < 40 else f"{text[:12]}…({len(text)}, {crc32(text.encode()):x})"


def cases(*values: Any) -> list[Any]:  # noqa: ANN401 - JSON
    """Return one parameter a value, or a tuple, named by how it starts."""
    return [
        pytest.param(*value, id=shown(value[0]))
        if isinstance(value, tuple)
        else pytest.param(value, id=shown(value))
        for value in values
    ]


def same(response: Response, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body if it is exactly this one, types included; raise Violation."""
    body: dict[str, Any] = response.json()
    if json.dumps(body, sort_keys=True) != json.dumps(wanted, sort_keys=True):
        raise violation(response, f"the body {json.dumps(wanted)}", json.dumps(body))
    return body


def holds(response: Response, **members: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Return the body if it has these members, types included; raise Violation."""
    body: dict[str, Any] = response.json()
    got = {name: body.get(name) for name in members}
    if json.dumps(got) != json.dumps(members):
        raise violation(response, json.dumps(members), json.dumps(got))
    return body


@pytest.fixture(scope="module")
def writer(api: Api) -> Account:
    """An account whose name and password tests of this module change; its address stays."""
    return api.account()


@pytest.fixture(scope="module")
def owner(api: Api) -> Account:
    """An account that no test changes; it owns items."""
    return api.account()


@pytest.fixture
def item(api: Api, owner: Account) -> Item:
    """An item in which no member has its default."""
    return api.create_item(
        owner,
        name="Lamp",
        description="Brass",
        price_cents=1999,
        status="active",
        tags=["brass", "old"],
    )


def write_user(api: Api, writer: Account, write: str, members: Mapping[str, Any]) -> Response:
    """Create a user, or replace or update the writer, with these members and valid others."""
    if write == "create":
        fields = {"email": unique_email(), "name": "Ada", "password": "12345678"}
        return api.post("/users", json=fields | dict(members))
    if write == "replace":
        fields = {"email": writer.email, "name": "Ada"}
        return api.put(writer.path, token=writer, json=fields | dict(members))
    return api.patch(writer.path, token=writer, json=dict(members))


def write_item(
    api: Api, owner: Account, item: Item, write: str, members: Mapping[str, Any]
) -> Response:
    """Create an item, or replace or update this one, with these members and valid others."""
    fields = {"name": "Lamp", "price_cents": 1} | dict(members)
    if write == "create":
        return api.post("/items", token=owner, json=fields)
    if write == "replace":
        return api.put(item.path, token=owner, json=fields)
    return api.patch(item.path, token=owner, json=dict(members))


def read(api: Api, account: Account, path: str) -> dict[str, Any]:
    """Return the resource as it is now."""
    body: dict[str, Any] = expect(api.get(path, token=account), 200).json()
    return body


def in_list(api: Api, account: Account, path: str) -> dict[str, Any] | None:
    """Return the resource as the list shows it, or nothing."""
    collection, _, number = path.rpartition("/")
    page = expect(
        api.get(collection, token=account, params={"after": int(number) - 1, "limit": 1}), 200
    )
    found: list[dict[str, Any]] = [r for r in page.json()["data"] if r["id"] == int(number)]
    return found[0] if found else None


# -- users


@pytest.mark.rule("user-schema")
@pytest.mark.parametrize("write", WRITES)
def test_a_users_name_is_kept_as_sent(api: Api, writer: Account, write: str) -> None:
    bounds = ["x" * 100, ASTRAL * 100]
    # A password is hashed for every user, so only some are created.
    for name in [*(KEPT_NAMES[::4] if write == "create" else KEPT_NAMES), *bounds]:
        written = expect(write_user(api, writer, write, {"name": name}), 200, 201)
        body = holds(written, name=name)
        holds(api.get(f"/users/{body['id']}", token=writer), name=name)


def addresses() -> list[str]:
    """Return templates of addresses at the bounds; {} takes 12 hexadecimal digits."""
    return [
        "{}@a.b",
        "{}" + "a" * 52 + "@a.b",
        "{}._%+-@a.b",
        ".{}.@-a-.-.-",
        "{}..x@a.b.c.d.e",
        "{}@" + "a" * 63 + "." + "b" * 63,
        "{}" + "a" * 52 + "@" + ".".join(["a" * 63, "b" * 63, "c" * 61]),
        "{}@1.2",
    ]


@pytest.mark.rule("user-schema")
@pytest.mark.parametrize("template", addresses())
def test_an_address_at_the_bounds_is_accepted(api: Api, owner: Account, template: str) -> None:
    email = template.format(uuid4().hex[:12])
    assert len(email) <= 254
    created = expect(write_user(api, owner, "create", {"email": email}), 201)
    holds(created, email=email)


@pytest.mark.rule("user-schema")
@pytest.mark.parametrize("write", WRITES)
def test_an_address_is_stored_and_returned_in_lower_case(api: Api, write: str) -> None:
    account = api.account()
    email = f"Ada.{uuid4().hex.upper()}@Example.COM"
    written = expect(write_user(api, account, write, {"email": email}), 200, 201)
    body = holds(written, email=email.lower())
    path = f"/users/{body['id']}"
    assert read(api, account, path)["email"] == email.lower()
    assert (in_list(api, account, path) or {})["email"] == email.lower()


PASSWORDS = [
    *("12345678", ASTRAL * 8, "e\u0301" * 4),
    *(ASTRAL * 128, "x" * 128, ASTRAL * 128),
    *("  \t\n\x01\x7f  ", "\x01" * 8, "\u2028" * 128),
]


@pytest.mark.rule("user-schema", "passwords")
@pytest.mark.parametrize(("number", "password"), list(enumerate(PASSWORDS)))
def test_a_password_at_the_bounds_is_accepted_and_logs_in(
    api: Api, writer: Account, number: int, password: str
) -> None:
    write = WRITES[number % 3]  # each at the least and at the most
    written = expect(write_user(api, writer, write, {"password": password}), 200, 201)
    assert api.log_in(written.json()["email"], password)


USER_FLAWS: dict[str, list[Flaw]] = {
    "name": [
        ("", "minLength"),
        ("x" * 101, "maxLength"),
        (ASTRAL * 101, "maxLength"),
        ("x" * 100 + "\n", "maxLength"),
        ("Ada\n", "pattern"),
        *((f"A{control}a", "pattern") for control in SOME_CONTROLS),
        *NO_STRINGS,
    ],
    "email": [
        ("", "pattern"),
        ("ada", "pattern"),
        ("@a.b", "pattern"),
        ("ada@", "pattern"),
        ("ada@a", "pattern"),
        ("ada@a.", "pattern"),
        ("ada@.a", "pattern"),
        ("ada@a..b", "pattern"),
        ("ada@a@a.b", "pattern"),
        (" ada@a.b", "pattern"),
        ("ada@a.b ", "pattern"),
        ("ada@a.b\n", "pattern"),
        ("ada@a.b\r\nBcc: x@a.b", "pattern"),
        ("ada@a.b\x00", "pattern"),
        ("ada lovelace@a.b", "pattern"),
        ('"ada"@a.b', "pattern"),
        ("ada!@a.b", "pattern"),
        ("ada@a_b.c", "pattern"),
        ("ada@[127.0.0.1]", "pattern"),
        ("Ada <ada@a.b>", "pattern"),
        ("\N{KELVIN SIGN}@a.b", "pattern"),
        ("ada@\N{LATIN SMALL LETTER E WITH ACUTE}.b", "pattern"),
        ("\N{ARABIC-INDIC DIGIT ONE}@a.b", "pattern"),
        ("a" * 65 + "@a.b", "pattern"),
        ("ada@" + "a" * 64 + ".b", "pattern"),
        ("ada@a." + "b" * 64, "pattern"),
        ("a" * 65 + "@" + ".".join(["a" * 63, "b" * 63, "c" * 61]), "maxLength"),
        ("a" * 64 + "@" + ".".join(["a" * 63, "b" * 63, "c" * 62]), "maxLength"),
        ("@" * 255, "maxLength"),
        *NO_STRINGS,
    ],
    "password": [
        ("", "minLength"),
        ("1234567", "minLength"),
        (ASTRAL * 7, "minLength"),
        ("x" * 129, "maxLength"),
        (ASTRAL * 129, "maxLength"),
        ("12345678\x00", "pattern"),
        ("\x00" * 8, "pattern"),
        *NO_STRINGS,
    ],
}


@pytest.mark.rule("user-schema", "validation-errors")
@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("member", USER_FLAWS)
def test_a_member_of_a_user_beyond_its_bounds_is_refused(
    api: Api, writer: Account, write: str, member: str
) -> None:
    for value, code in USER_FLAWS[member]:
        response = write_user(api, writer, write, {member: value})
        expect_problem(response, "validation", errors=[("body", f"/{member}", code)])


@pytest.mark.rule("user-schema", "item-schema")
@pytest.mark.parametrize("path", ["/users", "/items"])
def test_a_name_holds_no_control_character(api: Api, owner: Account, path: str) -> None:
    other: dict[str, dict[str, Any]] = {
        "/users": {"email": unique_email(), "password": "12345678"},
        "/items": {"price_cents": 1},
    }
    for control in CONTROLS:
        response = api.post(path, token=owner, json={"name": f"A{control}a", **other[path]})
        expect_problem(response, "validation", errors=[("body", "/name", "pattern")])


@pytest.mark.rule("user-schema", "login", "validation-errors")
@pytest.mark.parametrize("member", ["email", "password"])
def test_credentials_beyond_their_bounds_are_refused(
    api: Api, writer: Account, member: str
) -> None:
    for value, code in USER_FLAWS[member]:
        credentials = {"email": writer.email, "password": writer.password, member: value}
        response = api.post("/tokens", json=credentials)
        expect_problem(response, "validation", errors=[("body", f"/{member}", code)])


UNKNOWN_USER_MEMBERS = [
    *("id", "created_at", "updated_at", "version", "password_hash", "owner_id", "items"),
    *("Email", "Name ", "", "__proto__", "is_admin", "class", "model_config"),
]


@pytest.mark.rule("user-schema", "validation-errors")
@pytest.mark.parametrize("write", WRITES)
def test_a_user_takes_no_member_the_schema_does_not_name(
    api: Api, writer: Account, write: str
) -> None:
    for member in UNKNOWN_USER_MEMBERS:
        response = write_user(api, writer, write, {"name": "Ada", member: 1})
        errors = [("body", f"/{member}", "additionalProperties")]
        expect_problem(response, "validation", errors=errors)


@pytest.mark.rule("user-schema", "user-replace")
@pytest.mark.parametrize(
    ("method", "required"),
    [("POST", ["email", "name", "password"]), ("PUT", ["email", "name"])],
)
def test_each_required_member_of_a_user_is_required(
    api: Api, writer: Account, method: str, required: list[str]
) -> None:
    path, whole = ("/users", {}) if method == "POST" else (writer.path, {"password": "12345678"})
    whole |= {"email": unique_email(), "name": "Ada", "password": "12345678"}
    for missing in required:
        body = {name: value for name, value in whole.items() if name != missing}
        response = api.request(method, path, token=writer, json=body)
        expect_problem(response, "validation", errors=[("body", f"/{missing}", "required")])
    response = api.request(method, path, token=writer, json={})
    errors = [("body", f"/{name}", "required") for name in required]
    expect_problem(response, "validation", errors=errors)


@pytest.mark.rule("user-schema", "success")
def test_a_user_has_exactly_the_documented_members_wherever_it_is_shown(
    api: Api, owner: Account
) -> None:
    created = expect(write_user(api, owner, "create", {"name": "Ada"}), 201)
    body = created.json()
    assert set(body) == USER_MEMBERS
    assert type(body["id"]) is int
    assert body["id"] >= 1
    path = f"/users/{body['id']}"
    expect_header(created, "Location", path)
    same(api.get(path, token=owner), body)
    assert in_list(api, owner, path) == body
    same(api.get("/users/me", token=owner), owner.body)


@pytest.mark.rule("user-replace")
def test_put_of_a_user_replaces_address_and_name_and_keeps_the_password(api: Api) -> None:
    account = api.account()
    email = unique_email()
    written = api.put(account.path, token=account, json={"email": email, "name": "After"})
    body = holds(expect(written, 200), id=account.id, email=email, name="After")
    assert body["created_at"] == account.body["created_at"]
    same(api.get(account.path, token=account), body)
    assert api.log_in(email, account.password)
    old = api.post("/tokens", json={"email": account.email, "password": account.password})
    expect_problem(old, "invalid-credentials")


@pytest.mark.rule("user-replace", "user-patch")
@pytest.mark.parametrize("write", ["replace", "update"])
def test_a_new_password_replaces_the_old_and_tokens_stay_valid(api: Api, write: str) -> None:
    account = api.account()
    new = "another password"
    expect(write_user(api, account, write, {"password": new}), 200)
    assert api.log_in(account.email, new)
    old = api.post("/tokens", json={"email": account.email, "password": account.password})
    expect_problem(old, "invalid-credentials")
    expect(api.get("/users/me", token=account), 200)


def subsets(*names: str) -> list[tuple[str, ...]]:
    """Return every non-empty choice of the names."""
    sizes = range(1, len(names) + 1)
    return [chosen for size in sizes for chosen in itertools.combinations(names, size)]


@pytest.mark.rule("user-patch")
@pytest.mark.parametrize("members", subsets("email", "name", "password"), ids="+".join)
def test_patch_of_a_user_changes_exactly_the_members_sent(
    api: Api, members: tuple[str, ...]
) -> None:
    account = api.account()
    new = {"email": unique_email("new"), "name": "New", "password": "a new password"}
    patch = {name: new[name] for name in members}
    written = expect(api.patch(account.path, token=account, json=patch), 200)
    expected = {"email": account.email, "name": account.name, "password": account.password} | patch
    body = holds(written, id=account.id, email=expected["email"], name=expected["name"])
    same(api.get(account.path, token=account), body)
    assert api.log_in(expected["email"], expected["password"])


@pytest.mark.rule("user-patch", "validation-errors")
@pytest.mark.parametrize("media_type", ["application/json", "application/merge-patch+json"])
@pytest.mark.parametrize(
    ("patch", "errors"),
    [
        ({}, [("body", "", "minProperties")]),
        ({"name": None}, [("body", "/name", "type")]),
        ({"email": None}, [("body", "/email", "type")]),
        ({"password": None}, [("body", "/password", "type")]),
        (
            {"password": None, "name": None, "email": None},
            [("body", f"/{name}", "type") for name in ("email", "name", "password")],
        ),
        ({"nickname": None}, [("body", "/nickname", "additionalProperties")]),
    ],
)
def test_patch_of_a_user_needs_a_member_and_removes_none(
    api: Api,
    writer: Account,
    media_type: str,
    patch: dict[str, None],
    errors: list[tuple[str, str, str]],
) -> None:
    before = read(api, writer, writer.path)
    headers = {"Content-Type": media_type}
    response = api.patch(writer.path, token=writer, json=patch, headers=headers)
    expect_problem(response, "validation", errors=errors)
    same(api.get(writer.path, token=writer), before)


# -- items


TAGS = sorted(["a", "0", "a" * 30, "a-", "0-9", "a--b", "-".join("abcdefghijklmno") + "-"])
ITEM_VALUES: dict[str, list[Any]] = {
    "name": [*KEPT_NAMES, "x" * 200, ASTRAL * 200],
    "description": [
        *("", *KEPT_NAMES, "x" * 2000, ASTRAL * 2000),
        *("\x01\t\r\n\x0b\x1f\x7f", "ends\n", None),
    ],
    "price_cents": [0, 1, 100_000_000],
    "status": ["draft", "active", "archived"],
    "tags": [[], *([tag] for tag in TAGS), TAGS],
}


@pytest.mark.rule("item-schema")
@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("member", ITEM_VALUES)
def test_a_member_of_an_item_within_its_bounds_is_kept_as_sent(
    api: Api, owner: Account, item: Item, write: str, member: str
) -> None:
    for value in ITEM_VALUES[member]:
        written = expect(write_item(api, owner, item, write, {member: value}), 200, 201)
        body = holds(written, **{member: value})
        same(api.get(f"/items/{body['id']}", token=owner), body)


@pytest.mark.rule("item-schema", "strict-types")
@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize(
    ("literal", "stored"),
    [("1.0", 1), ("1e2", 100), ("-0", 0), ("-0.0", 0), ("100000000.0", 10**8)],
)
def test_a_whole_number_is_an_integer_however_it_is_written(
    api: Api, owner: Account, item: Item, write: str, literal: str, stored: int
) -> None:
    method, path = {"create": ("POST", "/items"), "replace": ("PUT", item.path)}.get(
        write, ("PATCH", item.path)
    )
    written = api.request(
        method,
        path,
        token=owner,
        content=f'{{"name": "Lamp", "price_cents": {literal}}}',
        headers={"Content-Type": "application/json"},
    )
    body = holds(expect(written, 200, 201), price_cents=stored)
    holds(api.get(f"/items/{body['id']}", token=owner), price_cents=stored)


NOT_INTEGERS: list[Flaw] = [
    (value, "type") for value in list[Any](["1", "", True, False, None, 0.5, 1e-9, [1], {}])
]
ITEM_FLAWS: dict[str, list[Flaw]] = {
    "name": [
        ("", "minLength"),
        ("x" * 201, "maxLength"),
        (ASTRAL * 201, "maxLength"),
        ("Lamp\n", "pattern"),
        *((f"L{control}p", "pattern") for control in SOME_CONTROLS),
        *NO_STRINGS,
    ],
    "description": [
        ("x" * 2001, "maxLength"),
        (ASTRAL * 2001, "maxLength"),
        ("\x00", "pattern"),
        ("brass\x00", "pattern"),
        *((value, "type") for value, _ in NO_STRINGS if value is not None),
    ],
    "price_cents": [
        (-1, "minimum"),
        (-(10**30), "minimum"),
        (100_000_001, "maximum"),
        (2**31, "maximum"),
        (2**63, "maximum"),
        (2**64 + 1, "maximum"),
        (1e300, "maximum"),
        (-1e300, "minimum"),
        *NOT_INTEGERS,
    ],
    "status": [
        ("", "enum"),
        ("Draft", "enum"),
        ("draft ", "enum"),
        ("draft\n", "enum"),
        ("deleted", "enum"),
        *((value, "type") for value in list[Any]([None, 0, True, [], ["draft"], {}])),
    ],
    "tags": [
        (None, "type"),
        ("brass", "type"),
        ({}, "type"),
        ({"0": "brass"}, "type"),
        (0, "type"),
        ([f"t{number}" for number in range(11)], "maxItems"),
        (["t"] * 11, "maxItems"),
        ([1] * 11, "maxItems"),
        (["brass", "brass"], "uniqueItems"),
        (["a", "b", "c", "a"], "uniqueItems"),
    ],
}


@pytest.mark.rule("item-schema", "validation-errors")
@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("member", ITEM_FLAWS)
def test_a_member_of_an_item_beyond_its_bounds_is_refused(
    api: Api, owner: Account, write: str, member: str
) -> None:
    kept = api.create_item(owner)
    for value, code in ITEM_FLAWS[member]:
        response = write_item(api, owner, kept, write, {member: value})
        expect_problem(response, "validation", errors=[("body", f"/{member}", code)])
    same(api.get(kept.path, token=owner), kept.body)
    expect_header(api.get(kept.path, token=owner), "ETag", kept.tag(1))


TAG_FLAWS: list[Flaw] = [
    ("", "pattern"),
    ("-a", "pattern"),
    ("A", "pattern"),
    ("aB", "pattern"),
    ("a_b", "pattern"),
    ("a b", "pattern"),
    (" a", "pattern"),
    ("a\n", "pattern"),
    ("a\x00", "pattern"),
    ("\N{LATIN SMALL LETTER E WITH ACUTE}", "pattern"),
    ("\N{ARABIC-INDIC DIGIT ONE}", "pattern"),
    ("a" * 31, "pattern"),
    *NO_STRINGS,
]


@pytest.mark.rule("item-schema", "validation-errors")
@pytest.mark.parametrize("write", WRITES)
def test_a_bad_tag_is_named_by_its_place_and_hides_repetition(
    api: Api, owner: Account, item: Item, write: str
) -> None:
    for tag, code in TAG_FLAWS:
        response = write_item(api, owner, item, write, {"tags": ["a", tag, "a"]})
        expect_problem(response, "validation", errors=[("body", "/tags/1", code)])


@pytest.mark.rule("item-schema")
@pytest.mark.parametrize("write", WRITES)
def test_tags_come_back_sorted_by_code_point(
    api: Api, owner: Account, item: Item, write: str, seed: int
) -> None:
    tags = ["1", "10", "2", "a", "a-", "a-b", "a1", "aa", "ab", "z"]
    assert tags == sorted(tags)
    sent = random.Random(seed).sample(tags, len(tags))  # noqa: S311 - an order, not a secret
    for order in (tags[::-1], sent):
        written = expect(write_item(api, owner, item, write, {"tags": order}), 200, 201)
        body = holds(written, tags=tags)
        path = f"/items/{body['id']}"
        same(api.get(path, token=owner), body)
        assert in_list(api, owner, path) == body


UNKNOWN_ITEM_MEMBERS = [
    *("id", "owner_id", "created_at", "updated_at", "version", "owner", "Tags", "price", ""),
]


@pytest.mark.rule("item-schema", "validation-errors")
@pytest.mark.parametrize("write", WRITES)
def test_an_item_takes_no_member_the_schema_does_not_name(
    api: Api, owner: Account, item: Item, write: str
) -> None:
    for member in UNKNOWN_ITEM_MEMBERS:
        response = write_item(api, owner, item, write, {"name": "Lamp", member: owner.id})
        errors = [("body", f"/{member}", "additionalProperties")]
        expect_problem(response, "validation", errors=errors)


@pytest.mark.rule("item-schema", "item-replace")
@pytest.mark.parametrize("write", ["create", "replace"])
def test_name_and_price_of_an_item_are_required(
    api: Api, owner: Account, item: Item, write: str
) -> None:
    method, path = ("POST", "/items") if write == "create" else ("PUT", item.path)
    optional = {"description": "d", "status": "draft", "tags": []}
    for missing in (["name"], ["price_cents"], ["name", "price_cents"]):
        whole = optional | {"name": "Lamp", "price_cents": 1}
        body = {name: value for name, value in whole.items() if name not in missing}
        response = api.request(method, path, token=owner, json=body)
        errors = [("body", f"/{name}", "required") for name in missing]
        expect_problem(response, "validation", errors=errors)


@pytest.mark.rule("item-schema", "success")
def test_an_item_left_to_its_defaults_has_exactly_the_documented_members(
    api: Api, owner: Account
) -> None:
    created = api.post("/items", token=owner, json={"name": "Lamp", "price_cents": 0})
    body = expect(created, 201).json()
    assert set(body) == ITEM_MEMBERS
    assert type(body["id"]) is int
    expect_header(created, "Location", f"/items/{body['id']}")
    holds(created, owner_id=owner.id, name="Lamp", description=None, price_cents=0)
    holds(created, status="draft", tags=[])
    same(api.get(f"/items/{body['id']}", token=owner), body)
    assert in_list(api, owner, f"/items/{body['id']}") == body


@pytest.mark.rule("item-schema")
def test_any_status_may_follow_any_other(api: Api, owner: Account) -> None:
    for before, after in itertools.product(ITEM_VALUES["status"], repeat=2):
        made = api.create_item(owner, status=before)
        holds(expect(api.patch(made.path, token=owner, json={"status": after}), 200), status=after)


@pytest.mark.rule("item-replace")
@pytest.mark.parametrize(
    "given", [(), *subsets("description", "status", "tags")], ids=lambda names: "+".join(names)
)
def test_put_of_an_item_resets_what_it_leaves_out(
    api: Api, owner: Account, item: Item, given: tuple[str, ...]
) -> None:
    new = {"description": "New", "status": "archived", "tags": ["new"]}
    defaults: dict[str, Any] = {"description": None, "status": "draft", "tags": []}
    chosen = {name: new[name] for name in given}
    sent = {"name": "Chair", "price_cents": 5} | chosen
    written = expect(api.put(item.path, token=owner, json=sent), 200)
    body = written.json()
    kept = {name: item.body[name] for name in ("id", "owner_id", "created_at")}
    same(written, {**kept, **defaults, **sent, "updated_at": body["updated_at"]})
    same(api.get(item.path, token=owner), body)


@pytest.mark.rule("item-replace")
@pytest.mark.parametrize("status", ITEM_VALUES["status"])
def test_put_of_an_item_without_a_status_makes_a_draft_of_it(
    api: Api, owner: Account, status: str
) -> None:
    made = api.create_item(owner, status=status)
    written = api.put(made.path, token=owner, json={"name": "Chair", "price_cents": 5})
    holds(expect(written, 200), status="draft")


ITEM_CHANGES: dict[str, list[Any]] = {
    "name": ["Chair"],
    "description": ["Wood", "", None],
    "price_cents": [0, 7],
    "status": ["draft", "archived"],
    "tags": [[], ["new"], ["brass", "new"]],
}


@pytest.mark.rule("item-patch")
@pytest.mark.parametrize("media_type", ["application/json", "application/merge-patch+json"])
@pytest.mark.parametrize(
    "patch",
    cases(
        *({member: value} for member, values in ITEM_CHANGES.items() for value in values),
        {"description": None, "tags": []},
        {"name": "Chair", "price_cents": 0, "description": "x", "status": "draft", "tags": ["z"]},
    ),
)
def test_patch_of_an_item_changes_exactly_the_members_sent(
    api: Api, owner: Account, item: Item, media_type: str, patch: dict[str, Any]
) -> None:
    headers = {"Content-Type": media_type}
    written = expect(api.patch(item.path, token=owner, json=patch, headers=headers), 200)
    body = written.json()
    same(written, {**item.body, **patch, "updated_at": body["updated_at"]})
    same(api.get(item.path, token=owner), body)


@pytest.mark.rule("item-patch", "validation-errors")
@pytest.mark.parametrize("media_type", ["application/json", "application/merge-patch+json"])
@pytest.mark.parametrize(
    ("patch", "errors"),
    [
        ({}, [("body", "", "minProperties")]),
        *(
            ({member: None}, [("body", f"/{member}", "type")])
            for member in ("name", "price_cents", "status", "tags")
        ),
        ({"description": None, "name": None}, [("body", "/name", "type")]),
        ({"tags": [None]}, [("body", "/tags/0", "type")]),
        ({"colour": None}, [("body", "/colour", "additionalProperties")]),
    ],
)
def test_patch_of_an_item_needs_a_member_and_removes_only_the_description(
    api: Api,
    owner: Account,
    item: Item,
    media_type: str,
    patch: dict[str, Any],
    errors: list[tuple[str, str, str]],
) -> None:
    headers = {"Content-Type": media_type}
    response = api.patch(item.path, token=owner, json=patch, headers=headers)
    expect_problem(response, "validation", errors=errors)
    same(api.get(item.path, token=owner), item.body)


# -- what is never shown


@pytest.mark.rule("write-only-password")
def test_no_answer_and_no_event_holds_a_password_or_its_hash(
    api: Api, server: Target, owner: Account
) -> None:
    passwords = [f"{way}-{uuid4().hex}" for way in ("post", "put", "patch", "short")]
    with Feed(server, token=owner.token) as feed:
        account = api.sign_up(password=passwords[0])
        whole = {"email": account.email, "name": "Ada", "password": passwords[1]}
        answers = [
            api.post(
                "/users", json={"email": account.email, "name": "Ada", "password": passwords[0]}
            ),
            api.post("/users", json={"email": 1, "name": "Ada", "password": passwords[3]}),
            api.put(account.path, token=account, json=whole),
            api.patch(account.path, token=account, json={"password": passwords[2]}),
            api.patch(account.path, token=account, json={"password": passwords[3] * 5}),
            api.post("/tokens", json={"email": account.email, "password": passwords[2]}),
            api.post("/tokens", json={"email": account.email, "password": passwords[0]}),
            api.get(account.path, token=account),
            api.get("/users/me", token=account),
            api.get("/users", token=account, params={"after": account.id - 1}),
        ]
        expect(api.delete(account.path, token=account), 204)
        events = feed.until(
            lambda event: (event["event"], event["resource_id"]) == ("user.deleted", account.id)
        )
    told = [answer.text for answer in answers] + [json.dumps(account.body), json.dumps(events)]
    for text, secret in itertools.product(told, [*passwords, "argon2"]):
        assert secret not in text
    shown_users = [answers[2].json(), account.body, *(event["data"] or {} for event in events)]
    assert not any("password" in user for user in shown_users)


@pytest.mark.rule("write-only-password")
def test_no_event_row_holds_a_password_or_its_hash(
    api: Api, database: SqliteDatabase | PostgresDatabase
) -> None:
    account = api.sign_up()
    expect(api.patch(account.path, token=account, json={"password": "another password"}), 200)
    rows = database.rows(
        "SELECT event, data FROM events WHERE resource_id = ? ORDER BY id", [account.id]
    )
    data = [row["data"] for row in rows if row["event"].startswith("user.")]
    assert [set(json.loads(d) if isinstance(d, str) else d) for d in data] == [USER_MEMBERS] * 2


# -- timestamps


def moments(resource: Mapping[str, Any]) -> tuple[str, str]:
    """Return the timestamps of a resource, which must have the contract's form."""
    created, updated = resource["created_at"], resource["updated_at"]
    assert TIMESTAMP.fullmatch(created), created
    assert TIMESTAMP.fullmatch(updated), updated
    return created, updated


@pytest.mark.rule("timestamps", "etag")
@pytest.mark.parametrize("kind", ["user", "item"])
def test_created_at_stays_and_updated_at_moves_with_each_write(api: Api, kind: str) -> None:
    account = api.sign_up() if kind == "user" else api.account()
    resource = account if kind == "user" else api.create_item(account)
    required = {"email": account.email} if kind == "user" else {"price_cents": 1}
    created, updated = moments(resource.body)
    assert created == updated
    seen = [updated]
    for method, extra in [("PATCH", {}), ("PUT", required), ("PATCH", {}), ("PUT", required)]:
        answer = api.request(method, resource.path, token=account, json={"name": "New"} | extra)
        body = expect(answer, 200).json()
        assert moments(body)[0] == created
        seen.append(body["updated_at"])
        same(api.get(resource.path, token=account), body)
        assert in_list(api, account, resource.path) == body
    assert seen == sorted(set(seen)), "updated_at must move forward with each write"


MIDNIGHT = "2026-11-21 06:44:00.000000"
SHOWN_MIDNIGHT = "2026-11-21T06:44:00.000000Z"


def store_moment(
    database: SqliteDatabase | PostgresDatabase, table: str, number: int, moment: str
) -> None:
    """Write a moment, in UTC, as both timestamps of a row."""
    stored = moment if database.kind == "sqlite" else f"{moment}+00"
    database.rows(
        f"UPDATE {table} SET created_at = ?, updated_at = ? WHERE id = ?",  # noqa: S608 - ours
        [stored, stored, number],
    )


@pytest.mark.rule("timestamps")
def test_a_whole_second_keeps_its_six_zeros(
    api: Api, owner: Account, item: Item, database: SqliteDatabase | PostgresDatabase
) -> None:
    account = api.account()
    store_moment(database, "users", account.id, MIDNIGHT)
    store_moment(database, "items", item.id, MIDNIGHT)
    times = {"created_at": SHOWN_MIDNIGHT, "updated_at": SHOWN_MIDNIGHT}
    for path in (account.path, item.path):
        holds(api.get(path, token=owner), **times)
        found = in_list(api, owner, path) or {}
        assert {name: found[name] for name in times} == times
    holds(api.patch(account.path, token=account, json={"name": "A"}), created_at=SHOWN_MIDNIGHT)


@pytest.mark.rule("etag", "timestamps")
def test_updated_at_stays_where_the_clock_went_back(
    api: Api, owner: Account, item: Item, database: SqliteDatabase | PostgresDatabase
) -> None:
    account = api.account()
    store_moment(database, "users", account.id, "2099-01-01 00:00:00.000001")
    store_moment(database, "items", item.id, "2099-01-01 00:00:00.000001")
    body = {"email": account.email, "name": "A"}
    put = {"name": "A", "price_cents": 1}
    future = {"updated_at": "2099-01-01T00:00:00.000001Z"}
    holds(api.patch(account.path, token=account, json={"name": "A"}), **future)
    holds(api.put(account.path, token=account, json=body), **future)
    holds(api.patch(item.path, token=owner, json={"name": "A"}), **future)
    replaced = holds(api.put(item.path, token=owner, json=put), **future)
    same(api.get(item.path, token=owner), replaced)
    expect_header(api.get(item.path, token=owner), "ETag", item.tag(3))


# -- ids


@pytest.mark.rule("id-sequence")
def test_ids_ascend_and_the_greatest_is_not_reused_after_its_deletion(api: Api) -> None:
    first = api.account()
    items = [api.create_item(first) for _ in range(3)]
    assert 1 <= items[0].id < items[1].id < items[2].id
    expect(api.delete(items[2].path, token=first), 204)
    assert api.create_item(first).id > items[2].id
    second = api.sign_up()
    assert 1 <= first.id < second.id
    left = api.create_item(second)
    expect(api.delete(second.path, token=second), 204)
    third = api.sign_up()
    assert third.id > second.id
    assert api.create_item(third).id > left.id


@pytest.mark.rule("id-sequence")
def test_a_refused_creation_does_not_upset_the_order(api: Api, owner: Account) -> None:
    before, newest = api.create_item(owner), api.sign_up()
    expect_problem(api.post("/items", token=owner, json={}), "validation")
    taken = {"email": owner.email, "name": "Ada", "password": "12345678"}
    expect_problem(api.post("/users", json=taken), "email-taken")
    assert api.create_item(owner).id > before.id
    assert api.sign_up().id > newest.id


# -- deletion


@pytest.mark.rule("user-deletion", "not-found", "success")
def test_a_deleted_user_takes_its_items_along_and_frees_its_address(
    api: Api, owner: Account
) -> None:
    account = api.sign_up()
    items = [api.create_item(account, tags=["a", "b"]) for _ in range(3)]
    kept = api.create_item(owner)
    gone = expect(api.delete(account.path, token=account), 204)
    assert gone.content == b""
    expect_header(gone, "ETag", None)
    expect_header(gone, "Content-Type", None)
    for path in [account.path, *(item.path for item in items)]:
        expect_problem(api.get(path, token=owner), "not-found")
        assert in_list(api, owner, path) is None
    page = expect(api.get("/items", token=owner, params={"owner_id": account.id}), 200)
    same(page, {"data": [], "next": None})
    same(api.get(kept.path, token=owner), kept.body)
    again = api.sign_up(email=account.email, name="Someone else")
    assert again.id > account.id
    assert again.etag == again.tag(1)
    page = expect(api.get("/items", token=again, params={"owner_id": again.id}), 200)
    same(page, {"data": [], "next": None})


@pytest.mark.rule("user-deletion", "bearer")
def test_the_tokens_of_a_deleted_user_are_invalid_also_when_its_address_returns(api: Api) -> None:
    account = api.sign_up()
    tokens = [account.token, api.log_in(account)]
    expect(api.delete(account.path, token=account), 204)
    credentials = {"email": account.email, "password": account.password}
    expect_problem(api.post("/tokens", json=credentials), "invalid-credentials")
    again = api.sign_up(email=account.email)
    for token, path in itertools.product(tokens, ["/users/me", account.path, "/items", "/users"]):
        response = api.get(path, token=token)
        expect_problem(response, "unauthorized")
        challenge = 'Bearer realm="api", error="invalid_token"'
        expect_header(response, "WWW-Authenticate", challenge)
    expect(api.get(again.path, token=again), 200)


@pytest.mark.rule("user-deletion", "storage")
def test_nothing_of_a_deleted_user_stays_but_its_events(
    api: Api, database: SqliteDatabase | PostgresDatabase
) -> None:
    account = api.account()
    items = [api.create_item(account, tags=["a", "b"]) for _ in range(2)]
    expect(api.delete(account.path, token=account), 204)
    assert database.rows("SELECT id FROM users WHERE id = ?", [account.id]) == []
    assert database.rows("SELECT id FROM items WHERE owner_id = ?", [account.id]) == []
    for made in items:
        assert database.rows("SELECT tag FROM item_tags WHERE item_id = ?", [made.id]) == []
        events = database.rows(
            "SELECT event FROM events WHERE resource_id = ? AND event LIKE 'item.%' ORDER BY id",
            [made.id],
        )
        assert [row["event"] for row in events] == ["item.created", "item.deleted"]


@pytest.mark.rule("not-found")
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("kind", ["users", "items"])
def test_what_is_not_there_or_no_more_is_404_for_every_method(
    api: Api, owner: Account, kind: str, method: str
) -> None:
    gone = api.create_item(owner)
    expect(api.delete(gone.path, token=owner), 204)
    paths = [f"/{kind}/{'9' * 18}", *([gone.path] if kind == "items" else [])]
    for path in paths:
        response = api.request(method, path, token=owner, json={"name": "Lamp"})
        if method == "HEAD":
            expect(response, 404)
            assert response.content == b""
        else:
            expect_problem(response, "not-found")
