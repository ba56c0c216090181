"""Entity-tags, conditional requests, addresses that two want, and writers at the same moment."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import pytest

from rosetta.clients import raw
from rosetta.clients.concurrently import (
    at_once,
)
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
from rosetta.targets.databases import PostgresDatabase, SqliteDatabase
from rosetta.targets.fleet import Launch
from rosetta.targets.server import Target

WRITERS = 20
WAITING = 0.7  # seconds in which a request comes to wait for a lock
PROBLEM_STATUSES = {409, 412, 415, 422}
INVALID_TOKEN = 'Bearer realm="api", error="invalid_token"'  # noqa: S105 - a challenge
JSON = ("Content-Type", "application/json")
# What every server sends about the connection, and what is not compared.
NOT_COMPARED = {
    *("date", "server", "connection", "keep-alive", "content-length", "transfer-encoding"),
    *("vary", "allow", "referrer-policy", "cross-origin-opener-policy", "x-frame-options"),
}

T = TypeVar("T")
Resource = Account | Item


def statuses(responses: Sequence[Response]) -> dict[int, int]:
    """Return how often each status came."""
    return dict(Counter(response.status_code for response in responses))


def etag_of(api: Api, reader: Account, path: str) -> str:
    """Return the current entity-tag of a resource."""
    tag: str = expect(api.get(path, token=reader), 200).headers["ETag"]
    return tag


def version_of(response: Response) -> int:
    """Return the version in the response's entity-tag."""
    return int(response.headers["ETag"].strip('"').rpartition("-")[2])


def expect_gone_caller(response: Response) -> None:
    """Hold the response to that of a caller who was deleted meanwhile."""
    expect_problem(response, "unauthorized")
    expect_header(response, "WWW-Authenticate", INVALID_TOKEN)


@pytest.fixture(scope="module")
def owner(api: Api) -> Account:
    """An account that owns items and is itself never changed."""
    return api.account()


@pytest.fixture(scope="module")
def writer(api: Api) -> Account:
    """An account that tests change; its address stays."""
    return api.account()


@pytest.fixture(scope="module")
def crowd(api: Api) -> list[Account]:
    """As many accounts as there are parallel writers; their addresses change."""
    return at_once([api.account] * WRITERS)


@pytest.fixture
def item(api: Api, owner: Account) -> Item:
    """A new item, of version 1."""
    return api.create_item(owner, tags=["a", "b"])


@dataclass(frozen=True)
class Versioned:
    """A resource, who may write it, and the least body of a PUT."""

    resource: Resource
    writer: Account
    whole: dict[str, Any]

    @property
    def path(self) -> str:
        return self.resource.path


def of_user(account: Account) -> Versioned:
    """Return a user as what its own account writes."""
    return Versioned(account, account, {"email": account.email, "name": "Whole"})


def new_item(api: Api, owner: Account) -> Versioned:
    """Create an item of the owner's."""
    return Versioned(api.create_item(owner), owner, {"name": "Whole", "price_cents": 2})


@pytest.fixture(params=["user", "item"])
def versioned(request: pytest.FixtureRequest, api: Api, owner: Account) -> Versioned:
    """A user or item of version 1."""
    return of_user(api.account()) if request.param == "user" else new_item(api, owner)


@pytest.fixture(params=["user", "item"])
def created(request: pytest.FixtureRequest, api: Api, owner: Account) -> Versioned:
    """A user or item that the server has just created."""
    return of_user(api.sign_up()) if request.param == "user" else new_item(api, owner)


# -- etag


@pytest.mark.rule("etag", "success")
def test_the_version_begins_at_1_and_moves_with_each_accepted_write(
    api: Api, created: Versioned
) -> None:
    path, token = created.path, created.writer
    assert created.resource.etag == created.resource.tag(1)
    patch = {"name": "Part"}
    for version, (method, body) in enumerate(
        [
            ("PATCH", patch),
            ("PUT", created.whole),
            ("PUT", created.whole),
            ("PATCH", patch),
            ("PATCH", patch),
        ],
        start=2,
    ):
        written = expect(api.request(method, path, token=token, json=body), 200)
        expect_header(written, "ETag", created.resource.tag(version))
        for read in (api.get(path, token=token), api.head(path, token=token)):
            expect_header(expect(read, 200), "ETag", created.resource.tag(version))


@pytest.mark.rule("etag")
def test_a_write_that_changes_no_value_moves_version_and_time(
    api: Api, versioned: Versioned
) -> None:
    path, token = versioned.path, versioned.writer
    before = versioned.resource.body
    for version in (2, 3):
        written = api.patch(path, token=token, json={"name": before["name"]})
        expect_header(expect(written, 200), "ETag", versioned.resource.tag(version))
        after = written.json()
        assert after == before | {"updated_at": after["updated_at"]}
        assert after["updated_at"] > before["updated_at"]
        before = after


@pytest.mark.rule("etag")
def test_a_change_of_only_the_password_moves_the_version(api: Api) -> None:
    account = api.account()
    body = {"password": "another password"}
    written = expect(api.patch(account.path, token=account, json=body), 200)
    expect_header(written, "ETag", account.tag(2))
    assert written.json()["updated_at"] > account.body["updated_at"]


@pytest.mark.rule("etag")
def test_me_and_the_users_own_path_have_one_tag(api: Api, writer: Account) -> None:
    expect(api.patch(writer.path, token=writer, json={"name": "Once more"}), 200)
    tag = etag_of(api, writer, writer.path)
    assert tag != writer.tag(1)
    assert etag_of(api, writer, "/users/me") == tag
    expect_header(api.head("/users/me", token=writer), "ETag", tag)


@pytest.mark.rule("etag")
def test_what_happens_to_an_item_leaves_its_owners_version_alone(api: Api) -> None:
    account = api.account()
    made = [api.create_item(account), api.create_item(account)]
    expect(api.patch(made[0].path, token=account, json={"tags": ["z"]}), 200)
    put = {"name": "n", "price_cents": 1}
    expect(api.put(made[0].path, token=account, json=put), 200)
    expect(api.delete(made[0].path, token=account), 204)
    assert etag_of(api, account, account.path) == account.tag(1)
    assert etag_of(api, account, made[1].path) == made[1].tag(1)
    assert expect(api.get(account.path, token=account), 200).json() == account.body
    expect(api.patch(account.path, token=account, json={"name": "New"}), 200)
    assert etag_of(api, account, made[1].path) == made[1].tag(1)


@pytest.mark.rule("etag", "precedence")
def test_a_refused_write_moves_neither_version_nor_time(
    api: Api, owner: Account, versioned: Versioned
) -> None:
    path, token = versioned.path, versioned.writer
    name, tag = {"name": "Refused"}, versioned.resource.tag
    refused = [
        api.patch(path, token=token, json=name, headers={"If-Match": tag(2)}),
        api.put(path, token=token, json=versioned.whole, headers={"If-None-Match": tag(1)}),
        api.patch(path, token=token, json=name | {"id": 1}),
        api.patch(path, token=token, json={"name": ""}),
        api.put(path, token=token, json=name),
        api.patch(path, token=token, content=b'{"name": "Refused"'),
        api.delete(path, token=token, headers={"If-Match": tag(0)}),
    ]
    if isinstance(versioned.resource, Account):
        taken = {"name": "Refused", "email": owner.email}
        refused += [
            api.patch(path, token=token, json=taken),
            api.put(path, token=token, json=taken),
        ]
    assert all(response.status_code in PROBLEM_STATUSES for response in refused)
    now = expect(api.get(path, token=token), 200)
    expect_header(now, "ETag", tag(1))
    assert now.json() == versioned.resource.body


@pytest.mark.rule("etag")
def test_lists_and_deletions_have_no_tag(api: Api, owner: Account, item: Item) -> None:
    expect_header(expect(api.get("/items", token=owner), 200), "ETag", None)
    expect_header(expect(api.get("/users", token=owner), 200), "ETag", None)
    expect_header(expect(api.delete(item.path, token=owner), 204), "ETag", None)


# -- if-match

# Of a resource with the version 1: field lines of If-Match that hold, and that do not. `of` puts
# the id before each number.
HOLDING = [
    ['"1"'],
    [' "1" '],
    ['\t"1"\t'],
    ['"1" \t '],
    ["*\t"],
    ['"1", "2"'],
    ['"2","1"'],
    ['"2" ,\t"1" , "3"'],
    ['"2",,"1"'],
    [', "1"'],
    ['"1",'],
    [" , ,", '"1"'],
    ['W/"1", "1"'],
    ['W/"2", "1"'],
    ['x, "1"'],
    ['"1", x'],
    ['1, "1"'],
    ['*, "1"'],
    ['"1", *'],
    ['"", "1"'],
    ['"a,b", "1"'],
    ['"W/", "1"'],
    ['"\xe9", "1"'],
    ["*"],
    [" * "],
    ['"2"', '"1"'],
    ['"1"', '"2"'],
    ["", '"1"'],
    ['W/"1"', '"1"'],
    ["*", '"1"'],
    [", ".join(f'"{number}"' for number in range(200, 0, -1))],
]
FAILING = [
    ['"2"'],
    ['"0"'],
    ['"01"'],
    ['"1 "'],
    ['" 1"'],
    ['"1.0"'],
    ['"11"'],
    ['""'],
    ['"*"'],
    ['"1-gzip"'],
    ["1"],
    ["'1'"],
    ["“1”".encode().decode("latin-1")],
    ['W/"1"'],
    ['w/"1"'],
    ['W/ "1"'],
    ['W"1"'],
    ['W/"1", W/"2"'],
    ['"2", W/"1"'],
    [""],
    ["   "],
    ["\t"],
    [","],
    [" , , "],
    ["x"],
    ["**"],
    ["*, *"],
    ['*, "2"'],
    ['"2", *'],
    ["*", "*"],
    ["*", '"2"'],
    ['"2"', "*"],
    ['"2"', '"3"'],
    ["", ""],
    ["1", "W/1"],
    ['"1"x'],
    ['x"1"'],
    ['"1";q=1'],
    ['"1""1"'],
]
# Tags that have only a part of the current one, or more; `{id}` is the resource's.
NEARLY = ['"1"', '"{id}"', '"{id}-"', '"-1"', '"2-{id}"', '"0{id}-1"', '"{id}-1-1"', '"{id}1"']


def of(resource: Resource, fields: Sequence[str]) -> list[str]:
    """Return field lines with the resource's tags in the place of its versions."""
    return [re.sub(r"[0-9]+", lambda found: f"{resource.id}-{found[0]}", each) for each in fields]


def lines(fields: Sequence[str]) -> str:
    """Return the id of a case: its field lines."""
    text = " | ".join(fields)
    return ascii(text if len(text) < 40 else f"{text[:40]}...")


def send(
    server: Target,
    method: str,
    versioned_path: str,
    token: str,
    fields: Sequence[tuple[str, str]],
    body: object | None = None,
) -> Response:
    """Send a request with exactly these field lines."""
    all_fields = [("Authorization", f"Bearer {token}"), *fields]
    if body is None:
        return raw.send(server, method, versioned_path, all_fields)
    return raw.send(server, method, versioned_path, [*all_fields, JSON], json.dumps(body).encode())


@pytest.mark.rule("if-match")
@pytest.mark.parametrize("fields", HOLDING, ids=lines)
def test_a_field_that_lists_the_current_tag_lets_the_write_through(
    server: Target, owner: Account, item: Item, fields: list[str]
) -> None:
    conditions = [("If-Match", value) for value in of(item, fields)]
    response = send(server, "PATCH", item.path, owner.token, conditions, {"name": "New"})
    expect_header(expect(response, 200), "ETag", item.tag(2))


@pytest.mark.rule("if-match")
@pytest.mark.parametrize("fields", FAILING, ids=lines)
def test_a_field_without_the_current_tag_refuses_the_write(
    api: Api, server: Target, owner: Account, item: Item, fields: list[str]
) -> None:
    conditions = [("If-Match", value) for value in of(item, fields)]
    response = send(server, "PATCH", item.path, owner.token, conditions, {"name": "New"})
    expect_problem(response, "precondition-failed")
    expect_header(response, "ETag", None)
    assert expect(api.get(item.path, token=owner), 200).json() == item.body


@pytest.mark.rule("if-match", "if-none-match", "etag")
@pytest.mark.parametrize("nearly", NEARLY)
def test_a_tag_is_the_id_and_the_version_and_nothing_less(
    api: Api, owner: Account, item: Item, nearly: str
) -> None:
    tag = nearly.format(id=item.id)
    refused = api.patch(item.path, token=owner, json={"name": "x"}, headers={"If-Match": tag})
    expect_problem(refused, "precondition-failed")
    expect(api.get(item.path, token=owner, headers={"If-None-Match": tag}), 200)


@pytest.mark.rule("etag", "if-match", "if-none-match")
def test_no_two_resources_have_one_tag(api: Api, owner: Account, item: Item) -> None:
    other = api.create_item(owner)
    assert other.etag != item.etag
    condition = {"If-Match": other.etag}
    refused = api.patch(item.path, token=owner, json={"name": "x"}, headers=condition)
    expect_problem(refused, "precondition-failed")
    expect(api.get(item.path, token=owner, headers={"If-None-Match": other.etag}), 200)


@pytest.mark.rule("etag", "if-none-match")
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_me_is_never_another_users_by_its_tag(api: Api, method: str) -> None:
    """A browser keeps what it was answered for one user, and asks with its tag for the next."""
    first, second = api.account(), api.account()
    kept = expect(api.get("/users/me", token=first), 200)
    condition = {"If-None-Match": kept.headers["ETag"]}
    asked = expect(api.request(method, "/users/me", token=second, headers=condition), 200)
    expect_header(asked, "ETag", second.etag)
    assert method == "HEAD" or asked.json() == second.body


CONDITIONS: list[tuple[dict[str, str], bool]] = [
    ({"If-Match": '"1"'}, True),
    ({"If-Match": "*"}, True),
    ({"If-Match": '"2"'}, False),
    ({"If-Match": 'W/"1"'}, False),
    ({"If-Match": ""}, False),
    ({"If-None-Match": '"2"'}, True),
    ({"If-None-Match": ""}, True),
    ({"If-None-Match": "x"}, True),
    ({"If-None-Match": '"1"'}, False),
    ({"If-None-Match": 'W/"1"'}, False),
    ({"If-None-Match": '"2", "1"'}, False),
    ({"If-None-Match": "*"}, False),
    ({"If-Match": '"1"', "If-None-Match": '"2"'}, True),
    ({"If-Match": '"1"', "If-None-Match": '"1"'}, False),
    ({"If-Match": '"2"', "If-None-Match": '"2"'}, False),
    ({"If-Match": "*", "If-None-Match": "*"}, False),
    ({"If-Match": '"1"', "If-Unmodified-Since": "Sat, 01 Jan 2000 00:00:00 GMT"}, True),
    ({"If-Unmodified-Since": "Sat, 01 Jan 2000 00:00:00 GMT"}, True),
    ({"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}, True),
]


def with_tags(field: str, tags: Mapping[str, str]) -> str:
    """Return the field with each tag replaced."""
    return re.sub(r'"[12]"', lambda found: tags[found[0]], field)


@pytest.mark.rule("if-match", "if-none-match")
def test_every_write_honours_both_fields(api: Api, versioned: Versioned) -> None:
    path, token = versioned.path, versioned.writer
    number, tag = 1, versioned.resource.tag
    for (fields, holds), method in itertools.product(CONDITIONS, ["PUT", "PATCH", "DELETE"]):
        if method == "DELETE" and holds:
            continue  # tested apart: the resource would be gone
        tags = {'"1"': tag(number), '"2"': tag(number + 1)}
        headers = {name: with_tags(value, tags) for name, value in fields.items()}
        body = versioned.whole if method == "PUT" else {"name": "Part"}
        response = api.request(method, path, token=token, json=body, headers=headers)
        if holds:
            number += 1
            expect_header(expect(response, 200), "ETag", tag(number))
        else:
            expect_problem(response, "precondition-failed")
    assert etag_of(api, token, path) == tag(number)


@pytest.mark.rule("if-match", "if-none-match", "success")
@pytest.mark.parametrize(
    "fields", [fields for fields, holds in CONDITIONS if holds], ids=lambda f: ascii(str(f))
)
def test_a_deletion_whose_conditions_hold_deletes(
    api: Api, owner: Account, item: Item, fields: dict[str, str]
) -> None:
    tags = {'"1"': item.tag(1), '"2"': item.tag(2)}
    headers = {name: with_tags(value, tags) for name, value in fields.items()}
    deleted = expect(api.delete(item.path, token=owner, headers=headers), 204)
    assert deleted.content == b""
    expect_problem(api.get(item.path, token=owner), "not-found")


@pytest.mark.rule("if-match", "user-deletion")
def test_a_user_is_deleted_under_its_current_tag_only(api: Api) -> None:
    account = api.account()
    expect(api.patch(account.path, token=account, json={"name": "Changed"}), 200)
    stale = api.delete(account.path, token=account, headers={"If-Match": account.tag(1)})
    expect_problem(stale, "precondition-failed")
    expect(api.delete(account.path, token=account, headers={"If-Match": account.tag(2)}), 204)


# -- if-none-match


def compared(response: Response) -> set[str]:
    """Return the names of the headers that the contract closes."""
    return {name.lower() for name in response.headers} - NOT_COMPARED


@pytest.mark.rule("etag", "cache", "if-none-match", "head", "media-type", "headers-closed")
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_304_has_the_tag_and_neither_body_nor_media_type(
    api: Api, server: Target, versioned: Versioned, method: str
) -> None:
    paths = [versioned.path]
    if isinstance(versioned.resource, Account):
        paths.append("/users/me")
    for path in paths:
        with raw.RawConnection(server) as connection:
            fields = [
                ("Authorization", f"Bearer {versioned.writer.token}"),
                ("If-None-Match", versioned.resource.etag),
                ("X-Request-ID", "mine"),
            ]
            response = expect(connection.request(method, path, fields), 304)
            expect_header(response, "ETag", versioned.resource.etag)
            expect_header(response, "Cache-Control", "private, no-cache")
            expect_header(response, "X-Request-ID", "mine")
            expect_header(response, "X-Content-Type-Options", "nosniff")
            assert compared(response) == {
                *("cache-control", "etag", "x-request-id", "x-content-type-options")
            }
            assert connection.rest(0.05) == b""


WEAKLY_HOLDING = [[field.replace('"1"', 'W/"1"') for field in fields] for fields in HOLDING]


@pytest.mark.rule("if-none-match")
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_field_that_lists_the_current_tag_in_either_strength_is_304(
    server: Target, owner: Account, unread: Item, method: str
) -> None:
    for fields in [*HOLDING, *WEAKLY_HOLDING]:
        conditions = [("If-None-Match", value) for value in of(unread, fields)]
        response = send(server, method, unread.path, owner.token, conditions)
        expect_header(expect(response, 304), "ETag", unread.etag)


@pytest.fixture(scope="module")
def unread(api: Api, owner: Account) -> Item:
    """An item that is only ever read."""
    return api.create_item(owner)


NOT_MATCHING = [fields for fields in FAILING if 'W/"1"' not in ", ".join(fields)]


@pytest.mark.rule("if-none-match")
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_field_without_the_current_tag_is_answered_in_full(
    server: Target, owner: Account, unread: Item, method: str
) -> None:
    for fields in NOT_MATCHING:
        conditions = [("If-None-Match", value) for value in of(unread, fields)]
        response = expect(send(server, method, unread.path, owner.token, conditions), 200)
        expect_header(response, "Content-Type", "application/json")
        assert response.content == b"" if method == "HEAD" else response.json() == unread.body


@pytest.mark.rule("if-none-match")
def test_a_tag_that_was_current_is_current_no_more_after_a_write(api: Api) -> None:
    account = api.account()
    for path in (account.path, "/users/me"):
        expect(api.get(path, token=account, headers={"If-None-Match": account.tag(1)}), 304)
    expect(api.patch(account.path, token=account, json={"name": "New"}), 200)
    for path in (account.path, "/users/me"):
        expect(api.get(path, token=account, headers={"If-None-Match": account.tag(1)}), 200)
        expect(api.get(path, token=account, headers={"If-None-Match": account.tag(2)}), 304)


EVERYTHING = {
    "If-Match": '"999"',
    "If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT",
    "If-Unmodified-Since": "Sat, 01 Jan 2000 00:00:00 GMT",
}


@pytest.mark.rule("if-none-match", "if-match")
@pytest.mark.parametrize("fields", [EVERYTHING, {"If-Match": ""}, {"If-Match": 'W/"1"'}], ids=str)
def test_reading_ignores_if_match_and_dates(
    api: Api, owner: Account, unread: Item, fields: dict[str, str]
) -> None:
    for path, tag in ((unread.path, unread.etag), (owner.path, owner.etag), ("/users/me", "*")):
        for method in ("GET", "HEAD"):
            expect(api.request(method, path, token=owner, headers=fields), 200)
            both = fields | {"If-None-Match": tag}
            expect(api.request(method, path, token=owner, headers=both), 304)


@pytest.mark.rule("if-none-match", "if-match")
@pytest.mark.parametrize("tag", ["*", '"999"'])
def test_other_operations_ignore_both_fields(api: Api, owner: Account, tag: str) -> None:
    for fields in ({"If-None-Match": tag}, {"If-Match": tag}, EVERYTHING):
        options: dict[str, Any] = {"token": owner, "headers": fields}
        for path in ("/users", "/items", "/healthz", "/readyz"):
            expect(api.get(path, **options), 200)
            expect(api.head(path, **options), 200)
        expect(api.options("/users/me", **options), 204)
        expect(api.post("/items", json={"name": "n", "price_cents": 0}, **options), 201)
        credentials = {"email": owner.email, "password": owner.password}
        expect(api.post("/tokens", json=credentials, **options), 201)
        taken = credentials | {"name": "Ada"}
        expect_problem(api.post("/users", json=taken, **options), "email-taken")


# -- cache


@pytest.mark.rule("cache")
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_is_read_with_a_token_is_asked_for_again_and_kept_by_the_browser_alone(
    api: Api, owner: Account, unread: Item, method: str
) -> None:
    resources = {owner.path: owner.etag, "/users/me": owner.etag, unread.path: unread.etag}
    for path in (*resources, "/users?limit=1", "/items", f"/items?owner_id={owner.id}&after=999"):
        read = expect(api.request(method, path, token=owner), 200)
        assert read.all("Cache-Control") == ["private, no-cache"]
    for path, tag in resources.items():
        kept = api.request(method, path, token=owner, headers={"If-None-Match": tag})
        assert expect(kept, 304).all("Cache-Control") == ["private, no-cache"]


@pytest.mark.rule("cache", "headers-closed")
def test_nothing_else_says_how_it_may_be_kept(api: Api, owner: Account) -> None:
    item = {"name": "Lamp", "price_cents": 1}
    made = expect(api.post("/items", token=owner, json=item), 201)
    path = made.headers["Location"]
    answers = [
        made,
        expect(api.put(path, token=owner, json=item), 200),
        expect(api.patch(path, token=owner, json={"price_cents": 2}), 200),
        expect(api.delete(path, token=owner), 204),
        expect(api.get(path, token=owner), 404),
        expect(api.get("/users/me"), 401),
        expect(api.get("/users?limit=0", token=owner), 422),
        expect(api.delete("/users/me", token=owner), 405),
        expect(api.options("/users/me", token=owner), 204),
        expect(api.get("/healthz"), 200),
        expect(api.get("/readyz"), 200),
    ]
    for answer in answers:
        expect_header(answer, "Cache-Control", None)


# -- writers at the same moment


@pytest.mark.rule("if-match")
@pytest.mark.parametrize("methods", [["PATCH"], ["PUT"], ["PATCH", "PUT"]], ids="+".join)
def test_of_parallel_writers_with_one_tag_exactly_one_succeeds(
    api: Api, versioned: Versioned, methods: list[str]
) -> None:
    def write(number: int) -> Response:
        body = versioned.whole | {"name": f"Writer {number}"}
        method = methods[number % len(methods)]
        headers = {"If-Match": versioned.resource.tag(1)}
        return api.request(
            method, versioned.path, token=versioned.writer, json=body, headers=headers
        )

    responses = at_once([partial(write, number) for number in range(WRITERS)])
    assert statuses(responses) == {200: 1, 412: WRITERS - 1}
    (winner,) = (response for response in responses if response.status_code == 200)
    expect_header(winner, "ETag", versioned.resource.tag(2))
    now = expect(api.get(versioned.path, token=versioned.writer), 200)
    expect_header(now, "ETag", versioned.resource.tag(2))
    assert now.json() == winner.json()


@pytest.mark.rule("if-match")
def test_of_twenty_races_none_has_two_winners(api: Api, owner: Account, item: Item) -> None:
    for version in range(1, 21):
        headers = {"If-Match": item.tag(version)}
        write = partial(api.patch, item.path, token=owner, json={"name": "n"}, headers=headers)
        assert statuses(at_once([write] * 6)) == {200: 1, 412: 5}, f"race {version}"
    expect_header(api.get(item.path, token=owner), "ETag", item.tag(21))


@pytest.mark.rule("if-match")
def test_of_parallel_writers_and_deleters_with_one_tag_exactly_one_succeeds(
    api: Api, owner: Account, item: Item
) -> None:
    def write(number: int) -> Response:
        method = "DELETE" if number % 2 else "PATCH"
        headers = {"If-Match": item.tag(1)}
        return api.request(method, item.path, token=owner, json={"name": "n"}, headers=headers)

    responses = at_once([partial(write, number) for number in range(WRITERS)])
    won = [response for response in responses if response.status_code in (200, 204)]
    assert len(won) == 1, statuses(responses)
    deleted = won[0].status_code == 204
    for response in responses:
        if response.status_code == 404:
            assert deleted
            expect_problem(response, "not-found")
        elif response is not won[0]:
            expect_problem(response, "precondition-failed")
    expect(api.get(item.path, token=owner), 404 if deleted else 200)


@pytest.mark.rule("if-match", "precedence")
def test_of_parallel_deleters_exactly_one_succeeds(api: Api, owner: Account, item: Item) -> None:
    responses = at_once([partial(api.delete, item.path, token=owner)] * WRITERS)
    assert statuses(responses) == {204: 1, 404: WRITERS - 1}
    account = api.account()
    responses = at_once([partial(api.delete, account.path, token=account)] * WRITERS)
    assert statuses(responses) == {204: 1, 401: WRITERS - 1}
    for response in responses:
        if response.status_code == 401:
            expect_gone_caller(response)


@pytest.mark.rule("if-match", "etag")
def test_parallel_writers_without_conditions_all_succeed_and_each_has_its_version(
    api: Api, versioned: Versioned
) -> None:
    def write(number: int) -> Response:
        if number % 4 == 0:
            body = versioned.whole | {"name": f"Put {number}"}
            return api.put(versioned.path, token=versioned.writer, json=body)
        return api.patch(versioned.path, token=versioned.writer, json={"name": f"Part {number}"})

    responses = at_once([partial(write, number) for number in range(WRITERS)])
    assert statuses(responses) == {200: WRITERS}
    by_version = {version_of(response): response for response in responses}
    assert sorted(by_version) == list(range(2, WRITERS + 2))
    times = [by_version[version].json()["updated_at"] for version in sorted(by_version)]
    assert times == sorted(times), "updated_at went back"
    now = expect(api.get(versioned.path, token=versioned.writer), 200)
    expect_header(now, "ETag", versioned.resource.tag(WRITERS + 1))
    assert now.json() == by_version[WRITERS + 1].json()


@pytest.mark.rule("if-match", "etag", "item-patch")
def test_a_write_is_made_on_what_another_that_it_waited_for_has_left(
    api: Api, owner: Account, item: Item, database: SqliteDatabase | PostgresDatabase
) -> None:
    """The other write is made past the server, which so cannot but wait for its end."""
    stale = {"token": owner, "headers": {"If-Match": item.tag(1)}}
    with ThreadPoolExecutor(3) as pool:
        with database.transaction() as run:
            run("UPDATE items SET name = 'Other', version = 2 WHERE id = ?", [item.id])
            run("DELETE FROM item_tags WHERE item_id = ?", [item.id])
            run("INSERT INTO item_tags (item_id, tag) VALUES (?, 'other')", [item.id])
            patch = pool.submit(api.patch, item.path, token=owner, json={"price_cents": 7})
            late = [
                pool.submit(api.patch, item.path, json={"price_cents": 8}, **stale),
                pool.submit(api.delete, item.path, **stale),
            ]
            assert not wait([patch, *late], timeout=WAITING).done
        written = expect(patch.result(), 200)
        for each in late:
            expect_problem(each.result(), "precondition-failed")
    expect_header(written, "ETag", item.tag(3))
    changes = {"name": "Other", "tags": ["other"], "price_cents": 7}
    known = item.body | changes | {"updated_at": written.json()["updated_at"]}
    assert written.json() == known
    assert expect(api.get(item.path, token=owner), 200).json() == known


@pytest.mark.rule("if-match", "etag", "item-patch")
def test_parallel_patches_of_different_members_lose_none(
    api: Api, owner: Account, item: Item
) -> None:
    changes: list[dict[str, Any]] = [
        {"name": "New"},
        {"description": "New"},
        {"price_cents": 7},
        {"status": "archived"},
        {"tags": ["new"]},
    ] * 4
    calls = [partial(api.patch, item.path, token=owner, json=change) for change in changes]

    responses = at_once(calls)

    assert statuses(responses) == {200: len(changes)}
    by_version = {
        version_of(response): (change, response)
        for change, response in zip(changes, responses, strict=True)
    }
    known = dict(item.body)
    for _, (change, response) in sorted(by_version.items()):
        known |= change
        answered = response.json()
        known["updated_at"] = answered["updated_at"]
        if answered != known:  # it read what others had not yet changed
            raise violation(response, f"the body {json.dumps(known)}", response.text)
    assert expect(api.get(item.path, token=owner), 200).json() == known


@pytest.mark.rule("if-match", "success")
def test_thirty_parallel_writers_are_all_served(api: Api, owner: Account) -> None:
    def write(number: int) -> list[Response]:
        name = {"name": f"Lamp {number}", "price_cents": number, "tags": [f"t{number}"]}
        created = expect(api.post("/items", token=owner, json=name), 201)
        path = created.headers["Location"]
        patched = expect(api.patch(path, token=owner, json={"tags": ["b", "a"]}), 200)
        tag = patched.headers["ETag"]
        deleted = expect(api.delete(path, token=owner, headers={"If-Match": tag}), 204)
        return [created, patched, deleted]

    written = at_once([partial(write, number) for number in range(30)])
    ids = [responses[0].json()["id"] for responses in written]
    assert len(set(ids)) == 30


# -- email-taken


@pytest.mark.rule("email-taken")
@pytest.mark.parametrize("change", [str.lower, str.upper, str.title])
def test_anothers_address_is_taken_in_any_case(
    api: Api, owner: Account, writer: Account, change: Callable[[str], str]
) -> None:
    before = expect(api.get(writer.path, token=writer), 200)
    body = {"email": change(owner.email), "name": "Ada"}
    refused = [
        api.post("/users", json=body | {"password": "12345678"}),
        api.put(writer.path, token=writer, json=body),
        api.put(writer.path, token=writer, json=body | {"password": "not to be set"}),
        api.patch(writer.path, token=writer, json=body),
        api.patch(writer.path, token=writer, json={"email": change(owner.email)}),
    ]
    for response in refused:
        expect_problem(response, "email-taken")
    now = expect(api.get(writer.path, token=writer), 200)
    assert (now.json(), now.headers["ETag"]) == (before.json(), before.headers["ETag"])
    assert api.log_in(writer)


@pytest.mark.rule("email-taken")
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_ones_own_address_in_another_case_is_no_conflict(
    api: Api, writer: Account, method: str
) -> None:
    for email in (writer.email, writer.email.upper()):
        body = {"email": email, "name": "Ada"}
        response = expect(api.request(method, writer.path, token=writer, json=body), 200)
        assert response.json()["email"] == writer.email


@pytest.mark.rule("email-taken")
@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_an_address_left_is_free_for_another(api: Api, method: str) -> None:
    account = api.sign_up()
    body = {"email": unique_email(), "name": "Ada"}
    expect(api.request(method, account.path, token=account, json=body), 200)
    assert api.sign_up(email=account.email).id > account.id
    back = api.request(method, account.path, token=account, json=body | {"email": account.email})
    expect_problem(back, "email-taken")


def in_some_case(email: str, number: int) -> str:
    """Return the address, in one of three cases."""
    return (str.lower, str.upper, str.title)[number % 3](email)


@pytest.mark.rule("email-taken")
def test_of_parallel_sign_ups_with_one_address_exactly_one_wins(api: Api, owner: Account) -> None:
    email = unique_email()

    def sign_up(number: int) -> Response:
        fields = {"name": f"{number}", "password": f"password {number}"}
        return api.post("/users", json=fields | {"email": in_some_case(email, number)})

    responses = at_once([partial(sign_up, number) for number in range(WRITERS)])
    assert statuses(responses) == {201: 1, 409: WRITERS - 1}
    winner = next(response for response in responses if response.status_code == 201).json()
    for response in responses:
        if response.status_code == 409:
            expect_problem(response, "email-taken")
    assert api.log_in(email, f"password {winner['name']}")
    assert expect(api.get(f"/users/{winner['id']}", token=owner), 200).json() == winner


@pytest.mark.rule("email-taken")
@pytest.mark.parametrize("methods", [["PUT"], ["PATCH"], ["PUT", "PATCH", "POST"]], ids="+".join)
def test_of_parallel_changes_to_one_address_exactly_one_wins(
    api: Api, crowd: list[Account], methods: list[str]
) -> None:
    email = unique_email()

    def change(number: int) -> Response:
        account, method = crowd[number], methods[number % len(methods)]
        body = {"email": in_some_case(email, number), "name": f"{number}"}
        if method == "POST":
            return api.post("/users", json=body | {"password": "12345678"})
        return api.request(method, account.path, token=account, json=body)

    responses = at_once([partial(change, number) for number in range(len(crowd))])
    won = [response for response in responses if response.status_code in (200, 201)]
    assert len(won) == 1, statuses(responses)
    for response in responses:
        if response is not won[0]:
            expect_problem(response, "email-taken")
    path = f"/users/{won[0].json()['id']}"
    assert expect(api.get(path, token=crowd[0]), 200).json() == won[0].json()


@pytest.mark.rule("email-taken")
def test_two_users_who_swap_addresses_at_once_are_both_refused(api: Api) -> None:
    """No order of the two lets one through: the other still holds the address it wants."""
    accounts = [api.account() for _ in range(8)]
    wanted = list(zip(accounts, [*accounts[4:], *accounts[:4]], strict=True))
    for _ in range(4):
        responses = at_once(
            [
                partial(api.patch, one.path, token=one, json={"email": other.email})
                for one, other in wanted
            ]
        )
        for response in responses:
            expect_problem(response, "email-taken")
    for account in accounts:
        assert expect(api.get(account.path, token=account), 200).json() == account.body


# Between a user's new row and the look at who else has its address pass 300 ms: PostgreSQL fills
# the older index first.
SLOW_ADDRESSES = """
    CREATE FUNCTION slow(text) RETURNS text LANGUAGE plpgsql IMMUTABLE
    AS 'BEGIN PERFORM pg_sleep(0.3); RETURN $1; END';
    CREATE INDEX slow_names ON users (slow(name));
    ALTER TABLE users DROP CONSTRAINT {0}, ADD CONSTRAINT {0} UNIQUE (email)
"""
UNIQUE_ADDRESS = """
    SELECT conname AS name FROM pg_constraint
    WHERE conrelid = 'users'::regclass AND contype = 'u'
"""


@pytest.mark.rule("email-taken")
@pytest.mark.requires("postgresql")
def test_two_users_who_wait_for_each_others_address_are_both_refused(
    launch: Launch, client: Callable[[Target], Api]
) -> None:
    """Each has left its address and waits for what becomes of the other's: a deadlock."""
    server = launch()
    assert isinstance(server.database, PostgresDatabase)
    server.database.rows("DELETE FROM users")  # the index calls the slow function for each
    (constraint,) = server.database.rows(UNIQUE_ADDRESS)
    for statement in SLOW_ADDRESSES.format(constraint["name"]).split(";\n"):
        server.database.rows(statement)
    api = client(server)
    ada, eve = api.sign_up(), api.sign_up()
    responses = at_once(
        [
            partial(api.patch, one.path, token=one, json={"email": other.email})
            for one, other in ((ada, eve), (eve, ada))
        ]
    )
    for response in responses:
        expect_problem(response, "email-taken")
    assert expect(api.get(ada.path, token=ada), 200).json() == ada.body


@pytest.mark.rule("email-taken")
def test_an_address_left_at_the_same_moment_is_taken_or_free_and_never_an_error(
    api: Api, crowd: list[Account]
) -> None:
    for leaver, taker in itertools.pairwise(crowd[:8]):
        old = expect(api.get(leaver.path, token=leaver), 200).json()["email"]
        leave = partial(api.patch, leaver.path, token=leaver, json={"email": unique_email()})
        take = partial(api.patch, taker.path, token=taker, json={"email": old})
        left, taken = at_once([leave, take])
        expect(left, 200)
        if taken.status_code != 200:
            expect_problem(taken, "email-taken")


# -- what vanishes while a request runs


@pytest.mark.rule("precedence", "user-deletion", "feed-order")
@pytest.mark.parametrize("repetition", range(3))
def test_creating_items_while_their_owner_is_deleted_leaves_no_orphan(
    api: Api, owner: Account, repetition: int
) -> None:
    account = api.account()
    existing = api.create_item(account)
    body = {"name": "Lamp", "price_cents": repetition, "tags": ["a"]}
    create = partial(api.post, "/items", token=account, json=body)
    calls = [create, create, create, partial(api.delete, account.path, token=account)]
    calls += [create, create, create]
    for response in at_once(calls):
        if response.request.method == "DELETE":
            expect(response, 204)
        elif response.status_code == 201:
            path = response.headers["Location"]
            expect_problem(api.get(path, token=owner), "not-found")
        else:
            expect_gone_caller(response)
    expect_problem(api.get(existing.path, token=owner), "not-found")
    page = expect(api.get("/items", token=owner, params={"owner_id": account.id}), 200)
    assert page.json() == {"data": [], "next": None}


@pytest.mark.rule("feed-order", "storage")
def test_each_item_of_a_deleted_owner_was_created_and_deleted_in_the_events(
    api: Api, database: SqliteDatabase | PostgresDatabase
) -> None:
    account = api.account()
    body = {"name": "Lamp", "price_cents": 1}
    create = partial(api.post, "/items", token=account, json=body)
    delete = partial(api.delete, account.path, token=account)
    responses = at_once([create] * 4 + [delete] + [create] * 4)
    assert set(statuses(responses)) <= {201, 204, 401}
    created = [response.json()["id"] for response in responses if response.status_code == 201]
    assert database.rows("SELECT id FROM items WHERE owner_id = ?", [account.id]) == []
    last: list[int] = []
    for number in created:
        events = database.rows(
            "SELECT id, event FROM events "
            "WHERE resource_id = ? AND event LIKE 'item.%' ORDER BY id",
            [number],
        )
        assert [event["event"] for event in events] == ["item.created", "item.deleted"]
        last.append(events[-1]["id"])
    (gone,) = database.rows(
        "SELECT id FROM events WHERE resource_id = ? AND event = 'user.deleted'", [account.id]
    )
    assert all(number < gone["id"] for number in last)


@pytest.mark.rule("precedence", "user-deletion")
def test_changing_an_item_while_its_owner_is_deleted_is_done_before_or_401(api: Api) -> None:
    account = api.account()
    made = api.create_item(account)
    patch = partial(api.patch, made.path, token=account, json={"name": "New"})
    change = partial(api.patch, account.path, token=account, json={"name": "New"})
    delete = partial(api.delete, account.path, token=account)
    for response in at_once([patch, change, patch, delete, patch, change, patch]):
        if response.status_code == 401:
            expect_gone_caller(response)
        else:
            expect(response, 204 if response.request.method == "DELETE" else 200)


@pytest.mark.rule("precedence", "not-found")
def test_changing_an_item_while_it_is_deleted_is_done_before_or_404(
    api: Api, owner: Account, item: Item
) -> None:
    patch = partial(api.patch, item.path, token=owner, json={"tags": ["new"]})
    delete = partial(api.delete, item.path, token=owner)
    for response in at_once([patch] * 4 + [delete] + [patch] * 4):
        if response.status_code == 404:
            expect_problem(response, "not-found")
        else:
            expect(response, 204 if response.request.method == "DELETE" else 200)
    expect_problem(api.get(item.path, token=owner), "not-found")


@pytest.mark.rule("precedence", "user-deletion")
def test_a_caller_or_resource_that_goes_while_the_body_is_on_its_way(
    api: Api, server: Target, owner: Account
) -> None:
    """The head has passed the checks; the resource goes; then the body comes."""
    for kind in ("caller", "item"):
        account = api.account() if kind == "caller" else owner
        made = api.create_item(account)
        body = b'{"name": "Too late"}'
        fields = [
            ("Authorization", f"Bearer {account.token}"),
            JSON,
            ("Content-Length", str(len(body))),
        ]
        with raw.RawConnection(server) as connection:
            head = connection.build("PATCH", made.path, fields)
            connection.send(head + body[:5])
            path = account.path if kind == "caller" else made.path
            expect(api.delete(path, token=account), 204)
            connection.send(body[5:])
            response = connection.read("PATCH")
        expect_problem(response, "unauthorized" if kind == "caller" else "not-found")
        if kind == "caller":
            expect_header(response, "WWW-Authenticate", INVALID_TOKEN)
