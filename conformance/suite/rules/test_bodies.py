"""What a request body may be: media type, size, JSON and its types."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from machines.operations import BODIES, SPEC, Call, Flaws, Scene, call, make_scene, members, table
from rosetta.clients import raw
from rosetta.clients.http import Account, Api, expect, expect_problem, violation
from rosetta.clients.message import Response
from rosetta.contract.terms import LIMIT
from rosetta.targets.server import Target

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
PATCHES = SPEC.rules.sets["patches"]
ITEM_WRITES = ("create_item", "replace_item", "update_item")
ITEM = b'{"name": "Lamp", "price_cents": 1999'

every_operation = pytest.mark.parametrize("operation", BODIES)


@pytest.fixture(scope="module")
def scene(api: Api) -> Scene:
    return make_scene(api)


@pytest.fixture(scope="module")
def account(scene: Scene) -> Account:
    return scene.owner


def with_type(sent: Call, content_type: str | None) -> Call:
    fields = dict(sent.fields)
    del fields["Content-Type"]
    if content_type is not None:
        fields["Content-Type"] = content_type
    return replace(sent, fields=fields)


# -- content-type


GOOD_TYPES = [
    *("application/json", "Application/JSON", "APPLICATION/JSON", "application/json;charset=utf-8"),
    *("application/json; charset=iso-8859-1", "application/json ; a=b", "application/json;"),
    *(
        'application/json; a="; b"',
        "application/json\t;a",
        "application/json;;;",
    ),
]
GOOD_PATCH_TYPES = [
    *(
        MERGE_PATCH,
        "Application/Merge-Patch+JSON",
        f"{MERGE_PATCH}; charset=utf-8",
        f"{MERGE_PATCH} ;",
    ),
]
BAD_TYPES = [
    *(
        "",
        ";",
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
    ),
    *("application/octet-stream", "application/problem+json", "application/vnd.api+json"),
    *(
        "application/json-patch+json",
        "application/jsonp",
        "application/json5",
        "application/x-json",
    ),
    *("application/*", "*/*", "json", "application", "application/", "/json", "application /json"),
    *("application/ json", "application/json, application/json", "application/json,text/plain"),
    *("application/json charset=utf-8", "; application/json", '"application/json"'),
    *(
        "application/json+merge-patch",
        "text/plain; application/json",
        "application/json\N{NO-BREAK SPACE}",
    ),
]


@pytest.mark.rule("content-type")
@every_operation
def test_json_is_taken_in_any_case_and_with_any_parameters(
    api: Api, scene: Scene, operation: str
) -> None:
    # An empty object passes the check of the type, and fails the next but one.
    sent = replace(call(operation, scene), content=b"{}")

    for content_type in GOOD_TYPES:
        expect_problem(with_type(sent, content_type).send(api), "validation")


@pytest.mark.rule("content-type")
@every_operation
def test_white_space_around_the_type_is_no_part_of_it(
    server: Target, scene: Scene, operation: str
) -> None:
    sent = replace(call(operation, scene), content=b"{}")
    for before, after in [("\t", ""), ("", "\t"), (" \t ", " \t ")]:
        fields = with_type(sent, f"{before}application/json{after}").fields.items()
        response = raw.send(server, sent.method, sent.path, fields, sent.content)
        expect_problem(response, "validation")


@pytest.mark.rule("content-type")
@every_operation
def test_a_merge_patch_is_taken_by_patch_alone(api: Api, scene: Scene, operation: str) -> None:
    sent = replace(call(operation, scene), content=b"{}")
    answer = "validation" if operation in PATCHES else "unsupported-media-type"

    for content_type in GOOD_PATCH_TYPES:
        expect_problem(with_type(sent, content_type).send(api), answer)


@pytest.mark.rule("content-type")
@every_operation
def test_any_other_type_is_415(server: Target, scene: Scene, operation: str) -> None:
    sent = call(operation, scene)
    with raw.RawConnection(server) as connection:
        for content_type in (None, *BAD_TYPES):
            fields = with_type(sent, content_type).fields
            latin = [(name, value.encode("latin-1")) for name, value in fields.items()]

            response = connection.request(sent.method, sent.path, latin, sent.content)

            expect_problem(response, "unsupported-media-type")


@pytest.mark.rule("content-type")
@every_operation
@pytest.mark.parametrize("content", [None, b""], ids=["no length", "length 0"])
def test_without_a_body_too_any_other_type_is_415(
    server: Target, scene: Scene, operation: str, content: bytes | None
) -> None:
    for content_type in (None, "", "text/plain"):
        sent = with_type(call(operation, scene), content_type)
        response = raw.send(server, sent.method, sent.path, sent.fields.items(), content)
        expect_problem(response, "unsupported-media-type")


@pytest.mark.rule("content-type")
@pytest.mark.parametrize("charset", ["iso-8859-1", "utf-16", "us-ascii", "nonsense"])
def test_no_charset_makes_a_body_anything_but_utf_8(
    api: Api, account: Account, charset: str
) -> None:
    name = "Zoë \N{SNOWMAN}"
    fields = {"Content-Type": f"application/json; charset={charset}"}
    content = json.dumps({"name": name}, ensure_ascii=False).encode()

    response = api.patch(account.path, token=account, content=content, headers=fields)

    assert expect(response, 200).json()["name"] == name


UNASKED = [
    pytest.param({}, b"{", id="no type"),
    pytest.param({"Content-Type": JSON}, b"{", id="malformed"),
    pytest.param({"Content-Type": JSON}, b'{"name": 1}', id="invalid"),
    pytest.param({"Content-Type": "text/plain"}, b"\xff\x00", id="text"),
    pytest.param({"Content-Type": "multipart/form-data; boundary=x"}, b"--x\r\n", id="form"),
    pytest.param(
        {"Content-Type": JSON, "Transfer-Encoding": "chunked"},
        raw.chunked([b"{", b"x"]),
        id="chunked",
    ),
]


@pytest.mark.rule("content-type")
@pytest.mark.parametrize(("fields", "content"), UNASKED)
def test_a_body_sent_where_none_is_documented_is_ignored(
    server: Target,
    api: Api,
    account: Account,
    fields: Mapping[str, str],
    content: bytes,
) -> None:
    item = api.create_item(account)
    bearer = ("Authorization", f"Bearer {account.token}")

    for method, path, status in [
        *(("GET", path, 200) for path in ("/healthz", "/users/me", "/items?limit=1", item.path)),
        *(("HEAD", item.path, 200), ("OPTIONS", item.path, 204), ("DELETE", item.path, 204)),
    ]:
        response = raw.send(server, method, path, [bearer, *fields.items()], content)
        expect(response, status)


# -- negotiation


NEGOTIATIONS = [
    *({"Accept": value} for value in ("", "text/html", "application/xml;q=1, */*;q=0", "nonsense")),
    *({"Accept": value} for value in ("application/json;q=0", "application/vnd.api+json", ",;=")),
    {"Accept": "text/html,application/xhtml+xml;q=0.9,image/avif,*/*;q=0.1"},
    {"Accept-Charset": "utf-16", "Accept-Language": "tlh"},
    {"X-Requested-With": "XMLHttpRequest"},
]


@pytest.mark.rule("negotiation")
@pytest.mark.parametrize(
    ("operation", "flaws"),
    [
        *(("get_item", {}), ("list_users", {}), ("create_item", {}), ("liveness", {})),
        *(("get_item", {"resource": ""}), ("list_users", {"schema": ""})),
        *(("create_token", {"json": ""}), ("liveness", {"method": ""})),
    ],
)
def test_no_accept_changes_an_answer(api: Api, scene: Scene, operation: str, flaws: Flaws) -> None:
    sent = call(operation, scene, flaws)
    plain = sent.send(api)

    for fields in NEGOTIATIONS:
        asked = expect(sent.send(api, fields), plain.status_code)
        assert asked.headers["Content-Type"] == plain.headers["Content-Type"]
        assert operation == "create_item" or asked.content == plain.content


@pytest.mark.rule("negotiation")
@pytest.mark.parametrize("wish", ["json", "html", "xml", "api", "", "nonsense"])
def test_a_format_in_the_query_is_ignored(api: Api, scene: Scene, wish: str) -> None:
    path = scene.item.path

    response = api.get(f"{path}?format={wish}", token=scene.owner)

    assert expect(response, 200).json() == api.get(path, token=scene.owner).json()
    assert response.headers["Content-Type"] == JSON
    expect_problem(api.get(f"/nowhere?format={wish}"), "not-found")


@pytest.mark.rule("negotiation")
@pytest.mark.parametrize("name", ["X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"])
def test_no_field_makes_a_post_another_method(api: Api, scene: Scene, name: str) -> None:
    fields = {name: "DELETE"}

    refused = api.post(scene.item.path, token=scene.owner, json={}, headers=fields)
    created = call("create_item", scene).send(api, {name: "GET"})
    read = api.get(scene.item.path, token=scene.owner, headers=fields)

    expect_problem(refused, "method-not-allowed")
    expect(created, 201)
    assert expect(read, 200).json() == scene.item.body


# -- json


def number_of(digits: int) -> bytes:
    return b"9" * digits


def nested(levels: int) -> bytes:
    """Return arrays in each other, so many levels that the object around them is one more."""
    return b"[" * (levels - 1) + b"]" * (levels - 1)


# Whole bodies that are no JSON text.
MALFORMED = [
    *(b"", b" ", b"\n\t\r ", b"{", b"}", b"nul", b"Null", b"None", b"True", b"undefined", b"abc"),
    *(b"{}x", b"{}{}", b"{} {}", b"{},", b"[],", b"{}\x00", b"\x00{}", b"{}\x0c", b"\x0b{}"),
    *(b"{}\xc2\xa0", b"\xc2\xa0{}", b"{}\xe2\x80\xa8", b"{}//", b"/**/{}", b"#\n{}", b"name=Lamp"),
    *(b"\xef\xbb\xbf{}", b"\xef\xbb\xbf" + ITEM + b"}", b"{}\xef\xbb\xbf", b")]}',\n{}"),
    *((ITEM + b"}").decode().encode(encoding) for encoding in ("utf-16", "utf-16-le", "utf-16-be")),
    *((ITEM + b"}").decode().encode(encoding) for encoding in ("utf-32", "utf-32-le", "utf-32-be")),
    *(b"{'name': 1}", b"{name: 1}", b"{1: 1}", b"{,}", b'{"name"}', b'{"name":}', b'{"name" 1}'),
    *(b"{null: 1}", b'{"a": 1 "b": 2}', b'{"a": 1, , "b": 2}', b'{"a":: 1}', b'{"a": 1]', b"[1}"),
    *(ITEM, ITEM + b",}", ITEM + b"}}", ITEM + b'} // "lamp"', b"\xff\xfe" + ITEM + b"}"),
    b"[" * 60_000,
    b"[" * 20_001 + b"]" * 20_001,
    b"[" * 32_000 + b"]" * 32_000,
]

# Values that no member may have: each is tried in a known, an unknown and an overridden member.
MALFORMED_VALUES = [
    *(b"NaN", b"nan", b"-NaN", b"Infinity", b"-Infinity", b"+Infinity", b"inf", b"undefined"),
    *(b"01", b"-01", b"00", b"+1", b".5", b"1.", b"-", b"-.5", b"1.e1", b"1e", b"1e+", b"0x1f"),
    *(b"1_000", b"1,000", b"1L", b"1n", b"--1", b"0b1", b"0o7", b"1e1.5", b"\xd9\xa1"),
    *(
        b"1e400",
        b"-1e400",
        b"1E+400",
        b"1e309",
        b"1.7976931348623159e308",
        b"1e99999999999999999999",
    ),
    *(b"1" + b"0" * 400 + b".0", b"-1" + b"0" * 400 + b".5", b"0.1e310", b"1" + b"0" * 309 + b"e0"),
    *(number_of(4301), b"-" + number_of(4301), number_of(10_000), b"1" + b"0" * 4300),
    *(b"'a'", b"a", b'"a', b'a"', b"`a`", b'"""a"""', b'"a" "b"', b'"a" + "b"', b'u"a"', b'b"a"'),
    *(b'"\t"', b'"\n"', b'"\r"', b'"\x00"', b'"\x1f"', b'"\x08"', b'"a\\\nb"'),
    *(rb'"\x41"', rb'"\a"', rb'"\0"', rb'"\u12"', rb'"\u12G4"', rb'"\u{41}"', rb'"\U0001F600"'),
    *(rb'"\'"', rb'"\u 041"', rb'"\u+041"', rb'"\u00_1"', rb'"\v"', b'"\\"', rb'"\N{BULLET}"'),
    # Unpaired surrogates: high, low, reversed, high twice, high before another escape or text.
    *(rb'"\ud800"', rb'"\udfff"', rb'"\uDBFF"', rb'"\uDc00"', rb'"\ude00\ud83d"', rb'"\ud83dx"'),
    *(rb'"\ud83d\ud83d\ude00"', rb'"\ud83d\ude00\ude00"', rb'"\ud83d\n\ude00"', rb'"a\ud83d"'),
    *(rb'"\ud83d\u0041"', rb'"\\\ud800"', rb'"\ud83d\\ude00"', b'"\\ud83d\xf0\x9f\x98\x80"'),
    # Bytes that are no UTF-8: stray, cut short, overlong, surrogate, beyond U+10FFFF, Latin-1.
    *(b'"\xff"', b'"\x80"', b'"\xe2\x82"', b'"\xf0\x9f\x98"', b'"\xc0\x80"', b'"\xc0\xaf"'),
    *(b'"\xe0\x80\xaf"', b'"\xed\xa0\x80"', b'"\xed\xbf\xbf"', b'"\xed\xa0\xbd\xed\xb8\x80"'),
    *(b'"\xf4\x90\x80\x80"', b'"\xf8\x88\x80\x80\x80"', b'"Zo\xeb"', b'"\xc3"'),
    *(b"[1,]", b"[,1]", b"[1 2]", b"[", b"{", b'{"a": 1,}', b"{a: 1}", b"/* */ 1", b"1 // one\n"),
    *(b"True", b"FALSE", b"none", b"", b"@", b"$a", b"(1)", b"<1>", b"1;"),
    nested(20_001),
]

# In the name of a member.
MALFORMED_NAMES = [
    *(
        rb'"\ud800"',
        rb'"a\udc00"',
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'"\n"',
        b"'a'",
        b"a",
        b"1",
        b"null",
    ),
]

PLACES = {
    "a known member": b'{"name": "Lamp", "price_cents": 1, "description": %s}',
    "an unknown member": ITEM + b', "colour": %s}',
    "an overridden member": b'{"name": "Lamp", "price_cents": %s, "price_cents": 1}',
    "deep inside": ITEM + b', "colour": {"a": [[1, {"b": %s}]]}}',
}


@pytest.mark.rule("json")
@pytest.mark.parametrize("content", table((one,) for one in MALFORMED))
def test_what_is_no_json_text_is_400(api: Api, account: Account, content: bytes) -> None:
    expect_malformed(post_item(api, account, content))


@pytest.mark.rule("json")
@pytest.mark.parametrize("value", table((one,) for one in MALFORMED_VALUES))
def test_a_malformed_value_is_400_wherever_it_stands(
    api: Api, account: Account, value: bytes
) -> None:
    known, *others = PLACES.values()
    # Which of the other places goes by the value, the same in every run: each has its turn.
    for template in (known, others[MALFORMED_VALUES.index(value) % len(others)]):
        expect_malformed(post_item(api, account, template.replace(b"%s", value)))


@pytest.mark.rule("json")
@pytest.mark.parametrize("name", table((one,) for one in MALFORMED_NAMES))
def test_a_malformed_name_is_400(api: Api, account: Account, name: bytes) -> None:
    for template in (b"%s, %s: 1}", b'%s, "colour": {"a": [{%s: 1}]}}'):
        expect_malformed(post_item(api, account, template % (ITEM, name)))


SPOILT = [
    *(b"", b"\xef\xbb\xbf%s", b"%s\x00", b"%s%s", rb'{"a": "\ud800", %s', b'{"a": "\xff", %s'),
    *(b'{"a": NaN, %s', b'{"a": 1e400, %s', b'{"a": ' + number_of(4301) + b", %s"),
]


@pytest.mark.rule("json")
@every_operation
def test_every_operation_is_as_strict(api: Api, scene: Scene, operation: str) -> None:
    sent = call(operation, scene)
    assert sent.content is not None

    for spoilt in SPOILT:
        body = sent.content[1:] if spoilt.startswith(b"{") else sent.content
        response = replace(sent, content=spoilt.replace(b"%s", body)).send(api)
        expect_malformed(response)


WELL_FORMED: list[tuple[bytes, Any]] = [
    (rb'"\ud83d\ude00"', "\N{GRINNING FACE}"),
    (rb'"\uD83D\uDE00\uDBFF\uDFFF"', "\N{GRINNING FACE}\U0010ffff"),
    (rb'"\\ud800"', r"\ud800"),
    (rb'"\\\\udc00 \\u"', r"\\udc00 \u"),
    (rb'"\"\\\/\b\f\n\r\t\u0041\u00e9"', '"\\/\b\f\n\r\tA\xe9'),
    (rb'"\u0001\u001f\u007f"', "\x01\x1f\x7f"),
    (b'"\x7f\xc2\x80\xe2\x80\xa8\xe2\x80\xa9"', "\x7f\x80\u2028\u2029"),
    (b'"\xef\xbf\xbf\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf"', "\uffff\U0001f600\U0010ffff"),
    (b'"\xef\xbb\xbf"', "\ufeff"),
    (b'"// no comment, NaN"', "// no comment, NaN"),
    (b"\"{'a': Infinity, 01}\"", "{'a': Infinity, 01}"),
    (b"null", None),
]


@pytest.mark.rule("json")
@pytest.mark.parametrize(("literal", "value"), table(WELL_FORMED))
def test_every_form_of_a_string_is_read(
    api: Api, account: Account, literal: bytes, value: str | None
) -> None:
    response = post_item(api, account, ITEM + b', "description": %s}' % literal)

    assert expect(response, 201).json()["description"] == value


@pytest.mark.rule("json")
def test_white_space_of_json_may_stand_anywhere(api: Api, account: Account) -> None:
    gap = b" \t\r\n"
    tokens = [b"{", b'"name"', b":", b'"Lamp"', b",", b'"price_cents"', b":", b"1", b"}"]

    response = post_item(api, account, gap + gap.join(tokens) + gap)

    assert expect(response, 201).json()["price_cents"] == 1


LAST_WINS: list[tuple[bytes, dict[str, Any]]] = [
    (b'{"name": "a", "price_cents": 1, "name": "b"}', {"name": "b"}),
    (b'{"name": "a", "price_cents": "x", "price_cents": 1}', {"price_cents": 1}),
    (
        b'{"price_cents": {"a": null}, "name": "", "name": "b", "price_cents": 2}',
        {"price_cents": 2},
    ),
    (rb'{"name": "a", "price_cents": 1, "n\u0061me": "b"}', {"name": "b"}),
    (rb'{"n\u0061me": "b", "price_cents": 1, "name": "a"}', {"name": "a"}),
    (b'{"tags": ["A"], "name": "a", "price_cents": 1, "tags": ["b"]}', {"tags": ["b"]}),
    (
        b'{"name": "a", "price_cents": 1, "description": "x", "description": null}',
        {"description": None},
    ),
]


@pytest.mark.rule("json")
@pytest.mark.parametrize(("content", "wanted"), table(LAST_WINS))
def test_of_members_of_one_name_the_last_wins_and_only_it_is_validated(
    api: Api, account: Account, content: bytes, wanted: dict[str, Any]
) -> None:
    body = expect(post_item(api, account, content), 201).json()

    assert {name: body[name] for name in wanted} == wanted


@pytest.mark.rule("json")
def test_the_last_of_two_is_refused_though_the_first_was_right(api: Api, account: Account) -> None:
    response = post_item(api, account, ITEM + b', "price_cents": "1"}')

    expect_problem(response, "validation", errors=[("body", "/price_cents", "type")])


@pytest.mark.rule("json")
@every_operation
def test_a_body_that_is_json_but_no_object_is_422(api: Api, scene: Scene, operation: str) -> None:
    for content in (b"null", b"true", b"1", b"1.5", b'"{}"', b"[]", b"[{}]", b" 0 "):
        response = replace(call(operation, scene), content=content).send(api)
        expect_problem(response, "validation", errors=[("body", "", "type")])


IN_AN_UNKNOWN_MEMBER = [
    *(nested(200), b'{"a":' * 199 + b"1" + b"}" * 199, b'[{"a":' * 99 + b"1" + b"}]" * 99),
    *(
        number_of(4300),
        b"-" + number_of(4300),
        b"1.7976931348623157e308",
        b"1.7976931348623158e308",
    ),
    *(b"1e308", b"-1e308", b"1e-400", b"0e400", b"0.0e999", b"1" + b"0" * 308 + b".0"),
    *(b"-0", b"-0.0", b"1E5", b"1e+5", b"1e-5", b"0.1", b"[]", b"{}", b'[1, "a", null, true, {}]'),
]


@pytest.mark.rule("json")
@pytest.mark.parametrize("value", table((one,) for one in IN_AN_UNKNOWN_MEMBER))
def test_what_is_well_formed_is_read_however_far_it_goes(
    api: Api, account: Account, value: bytes
) -> None:
    response = post_item(api, account, ITEM + b', "colour": %s}' % value)

    expect_problem(response, "validation", errors=[("body", "/colour", "additionalProperties")])


BIG_NUMBERS = [
    *((number_of(4300), "maximum"), (b"-" + number_of(4300), "minimum"), (b"100000001", "maximum")),
    *((b"1" + b"0" * 30, "maximum"), (b"9223372036854775808", "maximum"), (b"1e308", "maximum")),
    *((b"-9223372036854775809", "minimum"), (b"-1e300", "minimum"), (b"1e-5", "type")),
    *((b"18446744073709551617", "maximum"), (b"4294967297", "maximum"), (b"1.5e0", "type")),
    *((b"100000000.1", "type"), (b"-0.5", "type"), (b"1e20", "maximum"), (b"5e-324", "type")),
]


@pytest.mark.rule("json", "strict-types")
@pytest.mark.parametrize(("literal", "code"), table(BIG_NUMBERS))
def test_a_number_of_any_size_is_exact(
    api: Api, account: Account, literal: bytes, code: str
) -> None:
    response = post_item(api, account, b'{"name": "Lamp", "price_cents": %s}' % literal)

    expect_problem(response, "validation", errors=[("body", "/price_cents", code)])


def post_item(api: Api, account: Account, content: bytes) -> Any:  # noqa: ANN401 - a response
    return api.post("/items", token=account, content=content, headers={"Content-Type": JSON})


def expect_malformed(response: Any) -> None:  # noqa: ANN401 - a response
    __tracebackhide__ = True
    expect_problem(response, "malformed-json")


# -- strict-types


INTEGERS = [
    *(
        (b"1.0", 1),
        (b"1e2", 100),
        (b"-0", 0),
        (b"-0.0", 0),
        (b"0.0", 0),
        (b"1E2", 100),
        (b"1e+2", 100),
    ),
    *((b"1.50e1", 15), (b"1200e-2", 12), (b"1e8", 100_000_000), (b"1e-400", 0), (b"0e999", 0)),
    # The nearest double of each is an integer.
    *((b"100000000.000000000001", 100_000_000), (b"0.99999999999999999999", 1)),
]


@pytest.mark.rule("strict-types")
@pytest.mark.parametrize(("literal", "value"), table(INTEGERS))
def test_an_integer_in_any_notation_is_one_and_comes_back_as_one(
    api: Api, scene: Scene, literal: bytes, value: int
) -> None:
    whole = b'{"name": "Lamp", "price_cents": %s}'
    for operation in ITEM_WRITES:
        template = b'{"price_cents": %s}' if operation == "update_item" else whole
        sent = replace(call(operation, scene), content=template % literal)

        response = expect(sent.send(api), 200, 201)

        got = response.json()["price_cents"]
        if type(got) is not int or got != value:
            raise violation(response, f"the integer {value}", repr(got))


Values = list[Any]
OF_ITEMS: dict[str, Values] = {
    "name": [1, 1.5, True, False, None, ["Lamp"], [], {}, {"a": "b"}],
    "price_cents": ["1", "", "1.0", True, False, None, 1.5, [1], {}, "x"],
    "description": [1, 0, True, False, ["a"], [], {}, {"a": 1}],
    "status": [0, 1, True, None, ["draft"], {}, {"draft": 1}],
    "tags": ["a", "a,b", "", 0, True, None, {}, {"0": "a"}, {"a": 1}],
}
NO_STRINGS: Values = [1, 1.5, True, False, None, ["ada"], [], {}, {"a": "b"}]


@pytest.mark.rule("strict-types")
@pytest.mark.parametrize("operation", ITEM_WRITES)
@pytest.mark.parametrize("name", OF_ITEMS)
def test_no_value_of_an_item_is_coerced(api: Api, scene: Scene, operation: str, name: str) -> None:
    for value in OF_ITEMS[name]:
        expect_type_error(api, scene, operation, name, value)


@pytest.mark.rule("strict-types")
def test_no_member_of_a_list_is_coerced(api: Api, account: Account) -> None:
    for member in NO_STRINGS:
        item = {"name": "Lamp", "price_cents": 1, "tags": ["a", member]}
        response = api.post("/items", token=account, json=item)
        expect_problem(response, "validation", errors=[("body", "/tags/1", "type")])


@pytest.mark.rule("strict-types")
@pytest.mark.parametrize(
    ("operation", "name"),
    [
        (operation, name)
        for operation in ("create_user", "replace_user", "update_user", "create_token")
        for name in ("email", "name", "password")
        if (operation, name) != ("create_token", "name")
    ],
)
def test_no_value_of_a_user_is_coerced(api: Api, scene: Scene, operation: str, name: str) -> None:
    for value in NO_STRINGS:
        expect_type_error(api, scene, operation, name, value)


def expect_type_error(api: Api, scene: Scene, operation: str, name: str, value: object) -> None:
    __tracebackhide__ = True
    content = json.dumps({**members(operation, scene), name: value}).encode()
    response = replace(call(operation, scene), content=content).send(api)
    expect_problem(response, "validation", errors=[("body", f"/{name}", "type")])


KEPT = [
    *(" ", "  a  ", "\N{NO-BREAK SPACE}", "a\N{IDEOGRAPHIC SPACE}", "1", "true", "null", "\\u0041"),
    *(
        "e\N{COMBINING ACUTE ACCENT}",
        "é",
        "\N{LATIN SMALL LIGATURE FI}",
        "\N{ANGSTROM SIGN}",
        "ß",
        "İ",
    ),
    *(
        "<b>&amp;</b>",
        "%41",
        "a+b",
        "'; --",
        "\N{ZERO WIDTH SPACE}",
        "\ufeff",
        "\uffff",
        "\U0010ffff",
    ),
]


@pytest.mark.rule("strict-types")
@pytest.mark.parametrize("text", KEPT, ids=ascii)
def test_a_string_is_kept_as_sent(api: Api, account: Account, text: str) -> None:
    item = api.create_item(account, name=text, description=text)

    stored = expect(api.get(item.path, token=account), 200).json()

    assert [item.body["name"], item.body["description"]] == [text, text]
    assert [stored["name"], stored["description"]] == [text, text]


# -- size


def padded(content: bytes, size: int) -> bytes:
    """Return a JSON text of that many bytes: a server that cut it at the limit would take it."""
    return content.ljust(size)


def in_pieces(content: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


PIECES = {"announced": 0, "one chunk": 1 << 20, "small chunks": 1000, "tiny chunks": 64}


def send_sized(server: Target, sent: Call, content: bytes, piece: int) -> Response:
    """Send a body with its length announced, or (``piece`` bytes at a time) chunked."""
    fields = list(sent.fields.items())
    if piece:
        fields.append(("Transfer-Encoding", "chunked"))
        content = raw.chunked(in_pieces(content, piece))
    return raw.send(server, sent.method, sent.path, fields, content)


@pytest.mark.rule("size")
@every_operation
@pytest.mark.parametrize("coding", ["Chunked", "CHUNKED", "cHuNkEd"])
def test_chunked_is_chunked_in_any_case(
    server: Target, scene: Scene, operation: str, coding: str
) -> None:
    sent = call(operation, scene)
    fields = [*sent.fields.items(), ("Transfer-Encoding", coding)]
    good, bad = (
        raw.send(server, sent.method, sent.path, fields, raw.chunked([content]))
        for content in (b"{}", b"{")
    )
    expect_problem(good, "validation")
    expect_problem(bad, "malformed-json")


@pytest.mark.rule("size")
@every_operation
@pytest.mark.parametrize("piece", PIECES.values(), ids=PIECES)
def test_a_body_of_65_536_bytes_is_accepted(
    server: Target, scene: Scene, operation: str, piece: int
) -> None:
    sent = call(operation, scene)
    assert sent.content is not None

    response = send_sized(server, sent, padded(sent.content, LIMIT), piece)

    expect(response, 200, 201)


@pytest.mark.rule("size")
@every_operation
@pytest.mark.parametrize("piece", PIECES.values(), ids=PIECES)
def test_a_body_of_more_is_413_and_not_cut_short(
    server: Target, scene: Scene, operation: str, piece: int
) -> None:
    sent = call(operation, scene)
    assert sent.content is not None

    for size in (LIMIT + 1, LIMIT + 2, 70_000, 200_000):
        response = send_sized(server, sent, padded(sent.content, size), piece)
        expect_problem(response, "content-too-large")


@pytest.mark.rule("size")
def test_a_body_that_is_too_large_changes_nothing(server: Target, api: Api, scene: Scene) -> None:
    before = api.get(f"/items?owner_id={scene.other.id}&limit=100", token=scene.other).json()
    theirs = replace(scene, owner=scene.other, item=scene.others_item)

    for operation in ("create_item", "replace_item", "update_item"):
        sent = call(operation, theirs)
        assert sent.content is not None
        for piece in PIECES.values():
            response = send_sized(server, sent, padded(sent.content, LIMIT + 1), piece)
            expect_problem(response, "content-too-large")

    after = api.get(f"/items?owner_id={scene.other.id}&limit=100", token=scene.other).json()
    assert after == before


@pytest.mark.rule("size")
def test_the_size_is_counted_in_bytes(server: Target, scene: Scene) -> None:
    # Fewer than 65,536 characters, all well-formed: only the count of bytes refuses it.
    content = ITEM + b', "colour": "%s"}' % ("é" * 40_000).encode()

    response = send_sized(server, call("create_item", scene), content, 0)

    expect_problem(response, "content-too-large")


@pytest.mark.rule("size")
def test_a_body_of_just_the_limit_is_read_to_its_last_byte(server: Target, scene: Scene) -> None:
    end = b', "price_cents": 77}'
    body = (b'{"name": "Lamp"' + b" " * LIMIT)[: LIMIT - len(end)] + end
    assert len(body) == LIMIT

    for piece in PIECES.values():
        response = send_sized(server, call("create_item", scene), body, piece)

        assert expect(response, 201).json()["price_cents"] == 77
