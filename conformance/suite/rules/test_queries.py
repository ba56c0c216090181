"""How a query is read, and how lists are walked page by page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from machines.operations import table
from rosetta.clients import raw
from rosetta.clients.http import Account, Api, Item, expect, expect_header, expect_problem
from rosetta.targets.server import Target

MAX_ID = 999_999_999_999_999_999


@dataclass(frozen=True)
class Shelf:
    """One owner's 101 items, in the order in which they were created.

    Every third is active, the others drafts; the first ten bear a tag of this shelf alone.
    """

    owner: Account
    items: tuple[Item, ...]
    tag: str

    @property
    def path(self) -> str:
        return f"/items?owner_id={self.owner.id}"

    @property
    def ids(self) -> list[int]:
        return [item.id for item in self.items]

    @property
    def active(self) -> list[int]:
        return self.ids[::3]


@pytest.fixture(scope="module")
def shelf(api: Api) -> Shelf:
    owner, tag = api.account(), f"t{uuid4().hex[:20]}"
    items = []
    for number in range(101):
        status = "draft" if number % 3 else "active"
        tags = ["zz", tag, "aa"] if number < 10 else ["aa"]
        items.append(api.create_item(owner, name=f"{number}", status=status, tags=tags))
    return Shelf(owner, tuple(items), tag)


def page(api: Api, path: str, token: Account) -> dict[str, Any]:
    """Return a page; its Link must say what its ``next`` says."""
    __tracebackhide__ = True
    response = expect(api.get(path, token=token), 200)
    body: dict[str, Any] = response.json()
    assert set(body) == {"data", "next"}
    link = None if body["next"] is None else f'<{body["next"]}>; rel="next"'
    expect_header(response, "Link", link)
    return body


def ids_of(body: Mapping[str, Any]) -> list[int]:
    return [one["id"] for one in body["data"]]


def walk(api: Api, path: str, token: Account) -> Iterator[list[int]]:
    """Follow ``next`` to the end; yield the ids of each page. It must not lead in a circle."""
    target: str | None = path
    seen = set[str]()
    while target is not None:
        assert target not in seen, f"next leads back to {target}"
        seen.add(target)
        body = page(api, target, token)
        yield ids_of(body)
        target = body["next"]


# -- pages


@pytest.mark.rule("pages")
@pytest.mark.parametrize("limit", [1, 2, 7, 20, 50, 99, 100])
def test_a_walk_sees_every_item_once_in_ascending_order(api: Api, shelf: Shelf, limit: int) -> None:
    pages = list(walk(api, f"{shelf.path}&limit={limit}", shelf.owner))

    assert [one for ids in pages for one in ids] == shelf.ids
    full, rest = divmod(len(shelf.ids), limit)
    assert [len(ids) for ids in pages] == [limit] * full + ([rest] if rest else [])


@pytest.mark.rule("pages", "query")
def test_a_page_without_limit_holds_twenty(api: Api, shelf: Shelf) -> None:
    body = page(api, shelf.path, shelf.owner)

    assert ids_of(body) == shelf.ids[:20]
    assert body["next"] == f"{shelf.path}&limit=20&after={shelf.ids[19]}"


@pytest.mark.rule("pages")
@pytest.mark.parametrize("left", [0, 1, 2, 3])
def test_next_is_null_exactly_when_nothing_follows(api: Api, shelf: Shelf, left: int) -> None:
    last = shelf.ids[-2 - left - 1]

    body = page(api, f"{shelf.path}&limit=2&after={last}", shelf.owner)

    start = len(shelf.ids) - 2 - left
    assert ids_of(body) == shelf.ids[start : start + 2]
    wanted = f"{shelf.path}&limit=2&after={shelf.ids[start + 1]}" if left else None
    assert body["next"] == wanted


@pytest.mark.rule("pages")
def test_what_the_filters_keep_out_makes_no_next_page(api: Api, shelf: Shelf) -> None:
    *_, before, last = shelf.active
    assert last < shelf.ids[-1]

    active = page(api, f"{shelf.path}&status=active&limit=1&after={before}", shelf.owner)
    tagged = page(api, f"/items?tag={shelf.tag}&limit=10", shelf.owner)

    assert (ids_of(active), active["next"]) == ([last], None)
    assert (ids_of(tagged), tagged["next"]) == (shelf.ids[:10], None)


@pytest.mark.rule("pages")
def test_behind_the_last_there_is_an_empty_page(api: Api, shelf: Shelf) -> None:
    for after in (shelf.ids[-1], MAX_ID):
        body = page(api, f"{shelf.path}&after={after}", shelf.owner)
        assert body == {"data": [], "next": None}


@pytest.mark.rule("pages")
@pytest.mark.parametrize(
    "query", ["owner_id={none}", "owner_id={none}&status=active", "tag={none}"]
)
def test_a_filter_that_names_nothing_is_an_empty_page(api: Api, shelf: Shelf, query: str) -> None:
    none = MAX_ID if "owner" in query else f"u{uuid4().hex[:20]}"

    body = page(api, f"/items?{query.format(none=none)}", shelf.owner)

    assert body == {"data": [], "next": None}


def filters(shelf: Shelf) -> dict[str, tuple[dict[str, str], list[int]]]:
    """Return filters and the ids that pass them."""
    owner, tag = {"owner_id": f"{shelf.owner.id}"}, {"tag": shelf.tag}
    active = {"status": "active"}
    tagged = shelf.ids[:10]
    return {
        "owner": (owner, shelf.ids),
        "tag": (tag, tagged),
        "owner and status": (owner | active, shelf.active),
        "owner and tag": (owner | tag, tagged),
        "status and tag": (active | tag, tagged[::3]),
        "all": (owner | active | tag, tagged[::3]),
        "another status": (owner | {"status": "archived"} | tag, []),
        "a tag of all": (owner | {"tag": "aa"}, shelf.ids),
        "the last tag": (owner | {"tag": "zz"}, tagged),
    }


FILTERS = (
    *("owner", "tag", "owner and status", "owner and tag", "status and tag", "all"),
    *("another status", "a tag of all", "the last tag"),
)


@pytest.mark.rule("pages")
@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("backwards", [False, True], ids=["in order", "out of order"])
def test_a_page_holds_what_passes_every_filter_and_next_repeats_them_in_order(
    api: Api, shelf: Shelf, name: str, backwards: bool
) -> None:
    given, passing = filters(shelf)[name]
    written = [f"{key}={value}" for key, value in given.items()]
    sent = ["limit=3", "colour=red", *(reversed(written) if backwards else written)]

    body = page(api, f"/items?{'&'.join(sent)}", shelf.owner)

    assert ids_of(body) == passing[:3]
    if len(passing) <= 3:
        assert body["next"] is None
    else:
        assert body["next"] == f"/items?{'&'.join(written)}&limit=3&after={passing[2]}"
    assert [one for ids in walk(api, f"/items?{'&'.join(sent)}", shelf.owner) for one in ids] == (
        passing
    )


@pytest.mark.rule("pages")
def test_an_item_in_a_list_is_whole_and_stands_there_once(api: Api, shelf: Shelf) -> None:
    for query in (f"{shelf.path}&limit=10", f"/items?tag={shelf.tag}", f"{shelf.path}&tag=zz"):
        body = page(api, query, shelf.owner)
        assert body["data"] == [item.body for item in shelf.items[:10]]


@pytest.mark.rule("pages")
def test_a_tag_is_matched_as_a_whole(api: Api) -> None:
    owner, tag = api.account(), f"a{uuid4().hex[:20]}"
    for other in (f"{tag}b", f"b{tag}", f"{tag}-", f"{tag}-b"):
        api.create_item(owner, tags=[other])
    wanted = api.create_item(owner, tags=[tag])

    assert ids_of(page(api, f"/items?tag={tag}", owner)) == [wanted.id]


@pytest.mark.rule("pages")
def test_an_items_place_is_its_id_whatever_is_written(api: Api) -> None:
    owner = api.account()
    items = [api.create_item(owner, name=name) for name in "cab"]
    expect(api.patch(items[0].path, token=owner, json={"name": "z"}), 200)
    put = {"name": "a", "price_cents": 0}
    expect(api.put(items[1].path, token=owner, json=put), 200)

    assert ids_of(page(api, f"/items?owner_id={owner.id}", owner)) == [one.id for one in items]


@pytest.mark.rule("pages")
def test_a_walk_goes_on_when_the_item_it_stands_at_is_deleted(api: Api) -> None:
    owner = api.account()
    items = [api.create_item(owner) for _ in range(4)]
    first = page(api, f"/items?owner_id={owner.id}&limit=2", owner)
    for item in items[:2]:
        expect(api.delete(item.path, token=owner), 204)

    second = page(api, first["next"], owner)

    assert (ids_of(second), second["next"]) == ([items[2].id, items[3].id], None)


@pytest.mark.rule("pages")
def test_what_is_created_during_a_walk_comes_at_its_end(api: Api) -> None:
    owner = api.account()
    items = [api.create_item(owner) for _ in range(3)]
    first = page(api, f"/items?owner_id={owner.id}&limit=2", owner)
    late = api.create_item(owner)

    second = page(api, first["next"], owner)

    assert (ids_of(second), second["next"]) == ([items[2].id, late.id], None)


@pytest.mark.rule("pages")
def test_users_are_listed_in_pages_too(api: Api) -> None:
    users = [api.sign_up() for _ in range(4)]
    caller, before = users[0], users[0].id - 1
    expect(api.delete(users[2].path, token=users[2]), 204)
    users.pop(2)

    first = page(api, f"/users?limit=2&owner_id={caller.id}&tag=&after={before}", caller)
    second = page(api, first["next"], caller)

    assert first["data"] == [user.body for user in users[:2]]
    assert first["next"] == f"/users?limit=2&after={users[1].id}"
    assert second["data"][0] == users[2].body
    assert page(api, f"/users?after={users[1].id}&limit=1", caller)["data"] == [users[2].body]
    everyone = [one for ids in walk(api, "/users?limit=100", caller) for one in ids]
    assert everyone == sorted(set(everyone))
    assert {user.id for user in users} <= set(everyone)


@pytest.mark.rule("pages", "query")
def test_the_last_user_has_no_next_page(api: Api) -> None:
    caller = api.sign_up()

    for limit in (1, 2):
        body = page(api, f"/users?limit={limit}&after={caller.id - 1}", caller)
        assert body == {"data": [caller.body], "next": None}
    assert page(api, f"/users?after={caller.id}", caller) == {"data": [], "next": None}


# -- query


FLAWS: list[tuple[str, str, str]] = [
    *((f"limit={value}", "limit", "type") for value in ("", "x", "1.0", "1e1", "01", "00", "0x1")),
    *(
        (f"limit={value}", "limit", "type")
        for value in ("+1", "%2B1", "%201", "1%20", "1%0A", "1_0")
    ),
    *((f"limit={value}", "limit", "type") for value in ("-", "--1", "-01", "null", "true", "1,2")),
    *((f"limit={value}", "limit", "type") for value in ("%D9%A1", "%EF%BC%91", "%C2%B2", "1%00")),
    *((f"limit={value}", "limit", "type") for value in ("'1'", "[1]", "Infinity", "NaN", "1L")),
    *(
        ("limit", "limit", "type"),
        ("limit=1;after=5", "limit", "type"),
        ("limit=1=", "limit", "type"),
    ),
    *(
        (f"limit={value}", "limit", "minimum")
        for value in ("0", "-0", "-1", "-100", "-" + "9" * 40)
    ),
    *(
        (f"limit={value}", "limit", "maximum")
        for value in ("101", "1000", "4294967297", "9" * 3000)
    ),
    *((f"limit={value}", "limit", "maximum") for value in ("18446744073709551617", "9" * 40)),
    ("limit=-" + "9" * 3000, "limit", "minimum"),
    *((f"after={value}", "after", "type") for value in ("", "x", "1.0", "007", "%2B0", "%D9%A0")),
    *(("after=-1", "after", "minimum"), ("after=1000000000000000000", "after", "maximum")),
    *(
        ("after=9223372036854775808", "after", "maximum"),
        ("after=" + "9" * 3000, "after", "maximum"),
    ),
    # Of a parameter given twice the last wins.
    *(("limit=2&limit=x", "limit", "type"), ("limit=2&limit=", "limit", "type")),
    *(("limit=2&limit=0", "limit", "minimum"), ("limit=2&limit", "limit", "type")),
    *(("limit=2&l%69mit=101", "limit", "maximum"), ("after=1&limit=2&after=x", "after", "type")),
]
FAULTS_OF_ITEMS: list[tuple[str, str, str]] = [
    *((f"owner_id={value}", "owner_id", "type") for value in ("", "x", "me", "01", "1.0", "%2B1")),
    *((f"owner_id={value}", "owner_id", "minimum") for value in ("0", "-0", "-1")),
    *((f"owner_id={value}", "owner_id", "maximum") for value in ("1" + "0" * 18, "9" * 100)),
    *((f"status={value}", "status", "enum") for value in ("", "Draft", "ACTIVE", "x", "draft%20")),
    *((f"status={value}", "status", "enum") for value in ("draft,active", "draft+", "null", "0")),
    *((f"status={value}", "status", "enum") for value in ("draft%0A", "draft;x", "%00")),
    *(
        (f"tag={value}", "tag", "pattern")
        for value in ("", "A", "-a", "a_b", "a+b", "a%20b", "a%0A")
    ),
    *(
        (f"tag={value}", "tag", "pattern")
        for value in ("a" * 31, "%C3%A9", "a,b", "*", "%25", "a;b")
    ),
    *((f"tag={value}", "tag", "pattern") for value in ("%D9%A1", "a%00", "%C4%B1", "%E2%84%AA")),
    *(("status", "status", "enum"), ("tag", "tag", "pattern"), ("owner_id", "owner_id", "type")),
    *(("status=draft&status=x", "status", "enum"), ("tag=a&tag=A", "tag", "pattern")),
    ("owner_id=1&owner_id=0", "owner_id", "minimum"),
]


@pytest.mark.rule("query")
@pytest.mark.parametrize(("query", "name", "code"), table(FLAWS))
def test_a_parameter_that_breaks_its_schema_is_422(
    server: Target, shelf: Shelf, query: str, name: str, code: str
) -> None:
    bearer = ("Authorization", f"Bearer {shelf.owner.token}")
    with raw.RawConnection(server) as connection:
        for path in ("/users", "/items"):
            response = connection.request("GET", f"{path}?{query}", [bearer])
            expect_problem(response, "validation", errors=[("query", f"/{name}", code)])


@pytest.mark.rule("query")
@pytest.mark.parametrize(("query", "name", "code"), table(FAULTS_OF_ITEMS))
def test_a_filter_that_breaks_its_schema_is_422_for_items_and_unknown_to_users(
    server: Target, shelf: Shelf, query: str, name: str, code: str
) -> None:
    bearer = ("Authorization", f"Bearer {shelf.owner.token}")
    with raw.RawConnection(server) as connection:
        response = connection.request("GET", f"/items?{query}", [bearer])
        expect_problem(response, "validation", errors=[("query", f"/{name}", code)])
        expect(connection.request("GET", f"/users?{query}", [bearer]), 200)


# What is added to `?owner_id=…`, and what the next page must say of limit and after.
READ: list[tuple[str, int, int]] = [
    *(
        ("limit=2", 2, 0),
        ("limit=x&limit=2", 2, 0),
        ("limit=&limit=2", 2, 0),
        ("limit&limit=2", 2, 0),
    ),
    *(
        ("limit=5&limit=9&limit=2", 2, 0),
        ("l%69mit=%32", 2, 0),
        ("&&limit=2&&", 2, 0),
        ("&", 20, 0),
    ),
    *(("Limit=2", 20, 0), ("LIMIT=x", 20, 0), ("limit%20=x", 20, 0), ("+limit=x", 20, 0)),
    *(
        ("limit[]=2", 20, 0),
        ("page=2&offset=7&cursor=x&sort=-id", 20, 0),
        ("=x", 20, 0),
        ("x", 20, 0),
    ),
    *(("colour=limit=2", 20, 0), ("a;limit=2", 20, 0), ("after=-0", 20, 0), ("after=0", 20, 0)),
    *(("x=1;limit=2", 20, 0), ("limit=2&x=1;limit=3", 2, 0), ("fields=id&expand=owner", 20, 0)),
    *(("limit=100", 100, 0), ("limit=1", 1, 0), ("limit=10&x=%C3%A9%20%2B", 10, 0)),
    *(("after=x&limit=3&after={5}", 3, 5), ("after={5}", 20, 5), ("after={9}&after={5}", 20, 5)),
    *(("owner_id=x&owner_id={owner}", 20, 0), ("status=x&tag=A&status=draft&tag=aa", 0, 0)),
]


@pytest.mark.rule("query")
@pytest.mark.parametrize(("query", "limit", "after"), table(READ))
def test_a_query_is_read_as_the_contract_says(
    server: Target, shelf: Shelf, query: str, limit: int, after: int
) -> None:
    for number in (5, 9):
        query = query.replace(f"{{{number}}}", str(shelf.ids[number - 1]))
    query = query.replace("{owner}", str(shelf.owner.id))
    bearer = ("Authorization", f"Bearer {shelf.owner.token}")

    response = raw.send(server, "GET", f"{shelf.path}&{query}", [bearer])

    body = expect(response, 200).json()
    if not limit:
        drafts = [one for one in shelf.ids if one not in shelf.active]
        assert ids_of(body) == drafts[:20]
        return
    shown = shelf.ids[after : after + limit]
    assert ids_of(body) == shown
    assert body["next"] == f"{shelf.path}&limit={limit}&after={shown[-1]}"


@pytest.mark.rule("query")
@pytest.mark.parametrize("query", ["limit=0", "after=x&status=x", "access_token=x", "a=%C3%A9&=&;"])
def test_a_query_where_none_is_documented_is_ignored(api: Api, shelf: Shelf, query: str) -> None:
    owner, item = shelf.owner, shelf.items[0]

    assert expect(api.get(f"/users/me?{query}", token=owner), 200).json() == owner.body
    assert expect(api.get(f"{item.path}?{query}", token=owner), 200).json() == item.body
    expect(api.get(f"/healthz?{query}"), 200)
    expect(api.options(f"/items?{query}"), 204)
    expect_problem(api.post(f"/items?{query}", token=owner, json={}), "validation")
    created = api.post(f"/tokens?{query}", json={"email": owner.email, "password": owner.password})
    expect(created, 201)


@pytest.mark.rule("query", "pages")
def test_the_greatest_ids_are_valid(api: Api, shelf: Shelf) -> None:
    query = f"owner_id={MAX_ID}&after={MAX_ID}&limit=100"

    assert page(api, f"/items?{query}", shelf.owner) == {"data": [], "next": None}
