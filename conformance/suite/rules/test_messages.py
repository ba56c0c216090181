"""What every message has in common: media types, headers, ids, problems."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import count
from typing import Any

import pytest

from machines.headers import expect_closed
from machines.operations import (
    CHECKS,
    OPERATIONS,
    SPEC,
    WAYS,
    Call,
    Scene,
    call,
    checks,
    concrete,
    make_scene,
    paths,
    table,
)
from rosetta.clients import raw
from rosetta.clients.http import (
    PASSWORD,
    Account,
    Api,
    expect,
    expect_header,
    expect_problem,
    violation,
)
from rosetta.clients.message import Response
from rosetta.clients.websocket import Socket, refused
from rosetta.contract import spec
from rosetta.contract.headers import BODYLESS, FREE, OWN_TO_HTTP
from rosetta.contract.terms import PROBLEMS, UUID4
from rosetta.targets.server import Target

OWN_TO_HANDSHAKES = {"connection", "upgrade", "sec-websocket-accept", "date", "server"}


# -- an answer of every kind


@dataclass(frozen=True)
class Kind:
    """A kind of answer that a client can bring about, and what the contract says of it."""

    name: str
    documented: spec.Response
    template: str
    request: Callable[[Scene], Call]


def kinds_of(operation: str) -> Iterator[Kind]:
    """Yield a kind for each status of an operation, of GET also as HEAD."""
    described = OPERATIONS[operation]
    made = list(_kinds(operation, described))
    yield from made
    if operation in SPEC.operations and described.method == "GET":
        yield from (as_head(kind) for kind in made)


def _kinds(operation: str, described: spec.Operation) -> Iterator[Kind]:
    def kind(name: str, status: int, request: Callable[[Scene], Call]) -> Kind:
        return Kind(f"{operation} {name}", described.responses[status], described.path, request)

    for check in [*checks(operation), *(["size"] if 413 in described.responses else [])]:
        for way in WAYS.get(check, ("",)):
            if check not in {"route", "method", "connection-cap"}:
                request = bound(operation, {check: way})
                yield kind(f"{check} {way}", CHECKS[check].status, request)
    if 304 in described.responses:
        yield kind("304", 304, lambda scene: conditional(call(operation, scene)))
    if operation in SPEC.operations:
        yield kind("success", min(described.responses), bound(operation, {}))


def bound(operation: str, flaws: Mapping[str, str]) -> Callable[[Scene], Call]:
    # After a 413 the server may close the connection, as the client here says it will.
    fields = {"Connection": "close"} if "size" in flaws else {}

    def request(scene: Scene) -> Call:
        sent = call(operation, scene, flaws)
        return replace(sent, fields={**sent.fields, **fields})

    return request


def conditional(sent: Call) -> Call:
    return replace(sent, fields={**sent.fields, "If-None-Match": "*"})


def as_head(kind: Kind) -> Kind:
    return replace(
        kind,
        name=f"HEAD {kind.name}",
        request=lambda scene: replace(kind.request(scene), method="HEAD"),
    )


def kinds_at(template: str) -> Iterator[Kind]:
    """Yield what a path answers that belongs to no operation."""
    for method, suffix, name in (
        ("OPTIONS", "", "Options"),
        ("TRACE", "", "MethodNotAllowed"),
        ("GET", "/", "NotFound"),
        ("POST", "/", "NotFound"),
        ("HEAD", "/", "NotFound"),
    ):
        documented = SPEC.response(SPEC.at(SPEC.openapi, "components", "responses", name))
        yield Kind(f"{method} {suffix}", documented, template, at_path(method, template, suffix))


def at_path(method: str, template: str, suffix: str) -> Callable[[Scene], Call]:
    return lambda scene: Call(method, concrete(template, scene) + suffix)


# Those that delete come last: nothing is left to ask for after them.
DELETIONS = ("delete_item", "delete_user")
GROUPS: Mapping[str, list[Kind]] = {
    **{template: list(kinds_at(template)) for template in paths()},
    **{name: list(kinds_of(name)) for name in OPERATIONS if name not in DELETIONS},
    **{name: list(kinds_of(name)) for name in DELETIONS},
}


@dataclass(frozen=True)
class Answer:
    """A response, its kind, and the request id that was sent."""

    kind: Kind
    response: Response
    request_id: str

    @property
    def has_body(self) -> bool:
        return self.response.request.method != "HEAD" and self.response.status_code not in BODYLESS


@pytest.fixture(scope="module")
def scene(api: Api) -> Scene:
    return make_scene(api)


@pytest.fixture(scope="module")
def lasting(api: Api) -> Scene:
    """Return a scene of which nothing is deleted."""
    return make_scene(api)


@pytest.fixture(scope="module")
def answers(api: Api, scene: Scene) -> Callable[[str], list[Answer]]:
    """Return a function that asks for every kind of response of a group.

    The tests look at the same answers: each group is asked for once.
    """
    numbers = count(1)

    @cache
    def answers(group: str) -> list[Answer]:
        asked = [(kind, f"Kind_{next(numbers)}.of-answer") for kind in GROUPS[group]]
        return [
            Answer(kind, kind.request(scene).send(api, {"X-Request-ID": own}), own)
            for kind, own in asked
        ]

    return answers


Answers = Callable[[str], list[Answer]]
every_kind = pytest.mark.parametrize("group", GROUPS)


@pytest.mark.rule("headers-closed")
@every_kind
def test_a_response_carries_the_headers_documented_for_it_and_no_others(
    answers: Answers, group: str
) -> None:
    for answer in answers(group):
        expect_closed(answer.response, answer.kind.documented, answer.kind.template)


@pytest.mark.rule("nosniff")
@every_kind
def test_every_response_forbids_sniffing(answers: Answers, group: str) -> None:
    for answer in answers(group):
        expect_header(answer.response, "X-Content-Type-Options", "nosniff")


@pytest.mark.rule("request-id")
@every_kind
def test_every_response_carries_the_id_of_its_request(answers: Answers, group: str) -> None:
    for answer in answers(group):
        expect_header(answer.response, "X-Request-ID", answer.request_id)


@pytest.mark.rule("media-type")
@every_kind
def test_every_body_is_json_under_its_exact_media_type(answers: Answers, group: str) -> None:
    for answer in answers(group):
        failed = answer.response.status_code >= 400
        wanted = "application/problem+json" if failed else "application/json"
        bodyless = answer.response.status_code in BODYLESS
        expect_header(answer.response, "Content-Type", None if bodyless else wanted)
        if answer.has_body:
            json.loads(answer.response.content.decode("utf-8", "strict"))
        else:
            assert answer.response.content == b""


@pytest.mark.rule("problem")
@every_kind
def test_every_error_is_its_problem_and_no_success_is_one(answers: Answers, group: str) -> None:
    for answer in answers(group):
        slug = answer.kind.documented.problem
        if slug is None:
            expect(answer.response, 200, 201, 204, 304)
        elif answer.has_body:
            expect_problem(answer.response, slug)
        else:
            expect(answer.response, PROBLEMS[slug][0])


# -- media-type


BODILESS_REQUESTS = ["HEAD {item}", "HEAD /nowhere", "HEAD /tokens", "OPTIONS /items", "GET {item}"]


@pytest.mark.rule("media-type", "head", "options")
@pytest.mark.parametrize("request_line", BODILESS_REQUESTS)
def test_not_one_byte_follows_a_header_that_has_no_body(
    server: Target, api: Api, request_line: str
) -> None:
    owner = api.account()
    method, target = request_line.format(item=api.create_item(owner).path).split()
    fields = [("Authorization", f"Bearer {owner.token}"), ("Connection", "close")]

    with raw.RawConnection(server) as connection:
        response = connection.request(method, target, [*fields, ("If-None-Match", "*")])
        rest = connection.rest(2)

    assert response.content + rest == b""


@pytest.mark.rule("media-type")
def test_a_body_is_utf_8_whatever_charset_the_client_asks_for(api: Api) -> None:
    name = "Zoë \N{SNOWMAN} \N{GRINNING FACE}"
    owner = api.sign_up(name=name)

    response = api.get(owner.path, token=owner, headers={"Accept-Charset": "iso-8859-1"})

    assert json.loads(response.content.decode("utf-8"))["name"] == name


# -- headers-closed


@pytest.mark.rule("headers-closed")
@pytest.mark.parametrize("operation", ["get_item", "list_items", "create_item", "liveness"])
def test_nothing_a_browser_sends_brings_more_headers(
    api: Api, lasting: Scene, operation: str
) -> None:
    browser = {
        "Origin": "https://elsewhere.test",
        "Cookie": "session=1; sessionid=2; csrftoken=3; messages=4",
        "Referer": "https://elsewhere.test/",
        "Range": "bytes=0-1",
        "If-Modified-Since": "Sat, 21 Nov 2026 06:44:00 GMT",
        "Accept-Encoding": "gzip, deflate, br, zstd",
        "Accept-Language": "de",
        "Forwarded": "for=192.0.2.1;proto=https",
        "X-Forwarded-Host": "elsewhere.test",
    }
    described = SPEC.operations[operation]
    status = min(described.responses)

    response = expect(call(operation, lasting).send(api, browser), status)

    expect_closed(response, described.responses[status], described.path)


@pytest.mark.rule("headers-closed")
@pytest.mark.parametrize(
    ("path", "protocols"), [("/ws/echo", []), ("/ws/events", []), ("/ws/echo", ["bearer"])]
)
def test_an_upgrade_carries_the_handshakes_own_headers_only(
    server: Target, api: Api, path: str, protocols: list[str]
) -> None:
    token = api.account().token

    with Socket(server, path, token=token, protocols=protocols) as connected:
        fields = {name.lower() for name in connected.handshake.headers}

    selected = {"sec-websocket-protocol"} if protocols else set()
    assert fields - OWN_TO_HTTP - FREE - OWN_TO_HANDSHAKES == selected


# -- request-id


@pytest.mark.rule("request-id")
@pytest.mark.parametrize("own", ["a", "0", ".", "-", "_", "Az09._-", "A" * 64, f"{1:036}"])
def test_a_well_formed_request_id_comes_back_unchanged(api: Api, own: str) -> None:
    expect_header(api.get("/healthz", headers={"X-Request-ID": own}), "X-Request-ID", own)


@pytest.mark.rule("request-id")
@pytest.mark.parametrize("before", ["", "\t", " \t "])
@pytest.mark.parametrize("after", ["", "\t", " \t "])
def test_white_space_around_a_request_id_is_no_part_of_it(
    server: Target, before: str, after: str
) -> None:
    field = ("X-Request-ID", f"{before}mine{after}")
    for path, status in [("/healthz", 200), ("/nowhere", 404), ("/ws/events", 426)]:
        response = expect(raw.send(server, "GET", path, [field]), status)
        expect_header(response, "X-Request-ID", "mine")


@pytest.mark.rule("request-id")
@pytest.mark.parametrize(
    "bad",
    [
        *(b"", b"A" * 65, b"a b", b"a,b", b"a/b", b"a:b", b"a+b", b"{a}", b'"a"', b"a\tb"),
        *("ä".encode(), "ä".encode("latin-1"), "\N{ARABIC-INDIC DIGIT ONE}".encode()),
    ],
    ids=repr,
)
def test_a_bad_request_id_is_replaced_and_is_no_error(server: Target, bad: bytes) -> None:
    response = expect(raw.send(server, "GET", "/healthz", [("X-Request-ID", bad)]), 200)

    expect_fresh_id(response)


@pytest.mark.rule("request-id")
def test_a_field_of_a_like_name_is_another_field(server: Target) -> None:
    """CGI, and so WSGI, cannot tell the two names apart."""
    response = expect(raw.send(server, "GET", "/healthz", [("X_Request_ID", b"mine")]), 200)

    expect_fresh_id(response)


@pytest.mark.rule("request-id")
@pytest.mark.parametrize(
    "request_line",
    [
        *("GET /healthz", "GET /nowhere", "PUT /items", "GET /items", "HEAD /users/me"),
        *("OPTIONS /users", "POST /tokens", "GET /ws/echo"),
    ],
)
def test_without_a_request_id_each_answer_has_a_fresh_one(api: Api, request_line: str) -> None:
    method, path = request_line.split()

    ids = {expect_fresh_id(api.request(method, path)) for _ in range(2)}

    assert len(ids) == 2


def expect_fresh_id(response: Response) -> str:
    __tracebackhide__ = True
    found: str = response.headers.get("X-Request-ID", "")
    if not UUID4.fullmatch(found):
        raise violation(response, "a UUID of version 4 as X-Request-ID", repr(found))
    return found


@pytest.mark.rule("request-id", "nosniff", "problem", "headers-closed")
def test_a_refused_handshake_is_an_ordinary_answer(server: Target) -> None:
    response = refused(server, "/ws/events", headers={"X-Request-ID": "shake-hands"})

    expect_problem(response, "unauthorized")
    expect_header(response, "X-Request-ID", "shake-hands")
    expect_header(response, "X-Content-Type-Options", "nosniff")
    expect_closed(response, OPERATIONS["watch_events"].responses[401])


# -- validation-errors


USER = {"email": "ada@rosetta.test", "name": "Ada", "password": PASSWORD}
ITEM = {"name": "Lamp", "price_cents": 1999}
Errors = list[tuple[str, str]]

FAULTY_USERS: list[tuple[Any, Errors]] = [
    ({}, [("/email", "required"), ("/name", "required"), ("/password", "required")]),
    (
        {"email": 1, "colour": 2},
        [
            *(("/colour", "additionalProperties"), ("/email", "type")),
            *(("/name", "required"), ("/password", "required")),
        ],
    ),
    ({**USER, "email": "a" * 255}, [("/email", "maxLength")]),
    ({**USER, "email": ""}, [("/email", "pattern")]),
    ({**USER, "email": "ada@rosetta.test\n"}, [("/email", "pattern")]),
    ({**USER, "name": "\0" * 101}, [("/name", "maxLength")]),
    ({**USER, "name": "\0"}, [("/name", "pattern")]),
    ({**USER, "name": ""}, [("/name", "minLength")]),
    ({**USER, "password": "\0" * 7}, [("/password", "minLength")]),
    ({**USER, "password": "\0" * 129}, [("/password", "maxLength")]),
    ({**USER, "password": "\0" * 8}, [("/password", "pattern")]),
    # Seven code points, but more bytes, UTF-16 units and, combined, fewer graphemes.
    ({**USER, "password": "\N{GRINNING FACE}" * 7}, [("/password", "minLength")]),
    ({**USER, "password": "e\N{COMBINING ACUTE ACCENT}" * 65}, [("/password", "maxLength")]),
    (
        {**USER, "id": 1, "created_at": None},
        [("/created_at", "additionalProperties"), ("/id", "additionalProperties")],
    ),
]

FAULTY_ITEMS: list[tuple[Any, Errors]] = [
    *((body, [("", "type")]) for body in (None, [], [ITEM], "{}", 1, 1.5, True)),
    ({**ITEM, "": 1}, [("/", "additionalProperties")]),
    ({**ITEM, "a/b~c~1": 1}, [("/a~1b~0c~01", "additionalProperties")]),
    ({**ITEM, "'\"\\%\n é": 1}, [("/'\"\\%\n é", "additionalProperties")]),
    ({**ITEM, "colour": {"price_cents": "x", "a": [None]}}, [("/colour", "additionalProperties")]),
    # Upper case before lower, digits before both.
    (
        {**ITEM, "a": 1, "B": 1, "0": 1, "_": 1},
        [(f"/{name}", "additionalProperties") for name in ("0", "B", "_", "a")],
    ),
    # In UTF-16 the astral character would come before the halfwidth one.
    (
        {**ITEM, "\N{GRINNING FACE}": 1, "\N{HALFWIDTH IDEOGRAPHIC FULL STOP}": 1, "~": 1, "é": 1},
        [
            (f"/{name}", "additionalProperties")
            for name in ("~0", "é", "\N{HALFWIDTH IDEOGRAPHIC FULL STOP}", "\N{GRINNING FACE}")
        ],
    ),
    ({**ITEM, "name": None, "price_cents": None}, [("/name", "type"), ("/price_cents", "type")]),
    ({**ITEM, "price_cents": -1}, [("/price_cents", "minimum")]),
    ({**ITEM, "price_cents": 100_000_001}, [("/price_cents", "maximum")]),
    ({**ITEM, "price_cents": -1.5}, [("/price_cents", "type")]),
    ({**ITEM, "status": None}, [("/status", "type")]),
    ({**ITEM, "status": 1}, [("/status", "type")]),
    ({**ITEM, "status": ["draft"]}, [("/status", "type")]),
    ({**ITEM, "status": "Draft"}, [("/status", "enum")]),
    ({**ITEM, "tags": None}, [("/tags", "type")]),
    ({**ITEM, "tags": "a"}, [("/tags", "type")]),
    ({**ITEM, "tags": {"0": "a"}}, [("/tags", "type")]),
    (
        {**ITEM, "tags": ["a", 1, "B", "b\n", ""]},
        [("/tags/1", "type"), *((f"/tags/{index}", "pattern") for index in (2, 3, 4))],
    ),
    ({**ITEM, "tags": [1] * 11}, [("/tags", "maxItems")]),
    ({**ITEM, "tags": ["a"] * 11}, [("/tags", "maxItems")]),
    ({**ITEM, "tags": ["a", "b", "a"]}, [("/tags", "uniqueItems")]),
    ({**ITEM, "tags": ["a", "a", "A"]}, [("/tags/2", "pattern")]),
    ({**ITEM, "tags": ["A", "A"]}, [("/tags/0", "pattern"), ("/tags/1", "pattern")]),
    ({**ITEM, "tags": [["a"], ["a"]]}, [("/tags/0", "type"), ("/tags/1", "type")]),
    ({**ITEM, "tags": ["a", "a"], "name": ""}, [("/name", "minLength"), ("/tags", "uniqueItems")]),
    ({**ITEM, "description": "\0" * 2001}, [("/description", "maxLength")]),
    ({**ITEM, "description": "\0"}, [("/description", "pattern")]),
    ({**ITEM, "description": 1}, [("/description", "type")]),
    (
        {"tags": ["a", "é"], "price_cents": "1", "colour": None, "status": "", "name": "\n"},
        [
            *(("/colour", "additionalProperties"), ("/name", "pattern"), ("/price_cents", "type")),
            *(("/status", "enum"), ("/tags/1", "pattern")),
        ],
    ),
]

FAULTY_PATCHES: list[tuple[Any, Errors]] = [
    ({}, [("", "minProperties")]),
    ({"colour": 1}, [("/colour", "additionalProperties")]),
    ([], [("", "type")]),
    (None, [("", "type")]),
    ({"name": None}, [("/name", "type")]),
    ({"name": ""}, [("/name", "minLength")]),
    ({"id": 1, "name": 1}, [("/id", "additionalProperties"), ("/name", "type")]),
]
FAULTY_QUERIES: list[tuple[str, Errors]] = [
    ("limit=0&after=-1", [("/after", "minimum"), ("/limit", "minimum")]),
    ("limit=101", [("/limit", "maximum")]),
    ("limit=x", [("/limit", "type")]),
    ("limit=%2D1&after=1000000000000000000", [("/after", "maximum"), ("/limit", "minimum")]),
    (
        "tag=A&status=x&owner_id=0&limit=&after=z",
        [
            *(("/after", "type"), ("/limit", "type"), ("/owner_id", "minimum")),
            *(("/status", "enum"), ("/tag", "pattern")),
        ],
    ),
]


@pytest.fixture(scope="module")
def account(api: Api) -> Account:
    return api.account()


def in_body(errors: Errors) -> list[tuple[str, str, str]]:
    return [("body", pointer, code) for pointer, code in errors]


@pytest.mark.rule("validation-errors")
@pytest.mark.parametrize(("body", "errors"), table(FAULTY_USERS))
def test_every_error_of_a_new_user_is_named_in_order(api: Api, body: Any, errors: Errors) -> None:  # noqa: ANN401
    response = api.post("/users", json=body)

    expect_problem(response, "validation", errors=in_body(errors))


@pytest.mark.rule("validation-errors")
@pytest.mark.parametrize(("body", "errors"), table(FAULTY_ITEMS))
@pytest.mark.parametrize("operation", ["create_item", "replace_item"])
def test_every_error_of_an_item_is_named_in_order(
    api: Api,
    lasting: Scene,
    operation: str,
    body: Any,  # noqa: ANN401
    errors: Errors,
) -> None:
    sent = call(operation, lasting)

    response = replace(sent, content=json.dumps(body).encode()).send(api)

    expect_problem(response, "validation", errors=in_body(errors))


@pytest.mark.rule("validation-errors")
@pytest.mark.parametrize(("body", "errors"), table(FAULTY_PATCHES))
@pytest.mark.parametrize("operation", ["update_user", "update_item"])
def test_every_error_of_a_patch_is_named_in_order(
    api: Api,
    lasting: Scene,
    operation: str,
    body: Any,  # noqa: ANN401
    errors: Errors,
) -> None:
    sent = call(operation, lasting)

    response = replace(sent, content=json.dumps(body).encode()).send(api)

    expect_problem(response, "validation", errors=in_body(errors))


@pytest.mark.rule("validation-errors")
@pytest.mark.parametrize(("query", "errors"), table(FAULTY_QUERIES))
def test_every_error_of_a_query_is_named_in_order(
    api: Api, account: Account, query: str, errors: Errors
) -> None:
    response = api.get(f"/items?{query}", token=account)

    wanted = [("query", pointer, code) for pointer, code in errors]
    expect_problem(response, "validation", errors=wanted)


@pytest.mark.rule("validation-errors")
@pytest.mark.parametrize("name", ["\N{GRINNING FACE}" * 100, "e\N{COMBINING ACUTE ACCENT}" * 50])
def test_lengths_count_code_points(api: Api, account: Account, name: str) -> None:
    assert (
        expect(api.patch(account.path, token=account, json={"name": name}), 200).json()["name"]
        == name
    )
    too_long = api.patch(account.path, token=account, json={"name": f"{name}a"})
    expect_problem(too_long, "validation", errors=[("body", "/name", "maxLength")])


@pytest.mark.rule("validation-errors")
@pytest.mark.parametrize(("member", "most"), [("name", 200), ("description", 2000)])
def test_lengths_of_an_item_count_code_points(
    api: Api, account: Account, member: str, most: int
) -> None:
    text = "\N{GRINNING FACE}" * most
    assert api.create_item(account, **{member: text}).body[member] == text
    too_long = {"name": "Lamp", "price_cents": 1} | {member: f"{text}a"}
    refused = api.post("/items", token=account, json=too_long)
    expect_problem(refused, "validation", errors=[("body", f"/{member}", "maxLength")])
