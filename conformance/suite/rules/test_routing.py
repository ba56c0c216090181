"""Which paths there are, which methods they have, and what HEAD and OPTIONS answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import pytest

from machines.operations import (
    OPERATIONS,
    SPEC,
    WAYS,
    Flaws,
    Scene,
    allow_of,
    allowed,
    call,
    checks,
    concrete,
    lacking,
    make_scene,
    paths,
)
from rosetta.clients import raw
from rosetta.clients.http import Account, Api, expect, expect_header, expect_problem, violation
from rosetta.clients.message import Response
from rosetta.contract.terms import METHODS
from rosetta.targets.server import Target

NO_ID = 999_999_999_999_999_999  # well-formed, and of nothing

# Each is made from the id of a resource that exists: who reads it leniently finds something.
ODD_IDS = [
    *("0", "00", "0{id}", "00{id}", "+{id}", "-{id}", "%2B{id}", "{id}_0", "_{id}", "1_0"),
    *("{id}.0", "{id}.", "{id}e0", "{id}E0", "0x{id}", "{id}L", "{id}a", "a{id}", "{id},1"),
    *("{id}%20", "%20{id}", "{id}%0A", "%0A{id}", "{id}%0D", "{id}%09", "{id}%00", "{id}%C2%A0"),
    *("{id};a=1", "{id}.json", "me{id}", "null", "None", "true", "[{id}]", "'{id}'"),
    # Ten to the eighteenth, which has nineteen digits, and more.
    *("1000000000000000000", "9999999999999999999", "9223372036854775807", "9223372036854775808"),
    "1" + "0" * 40,
    # The digit one in Arabic-Indic, Devanagari, full width, superscript, and circled.
    *("%D9%A1", "%E0%A5%A7", "%EF%BC%91", "%C2%B9", "%E2%91%A0", "{id}%D9%A1"),
]
NO_ROUTES = [
    *("/", "/Users", "/USERS/{user}", "/user", "/users/me/items", "/users/Me", "/users/ME"),
    *("/users/{user}/items", "/items/{item}/tags", "/items/me", "/items/{item}/owner"),
    *("/tokens/1", "/tokens/me", "/Tokens", "/Items", "/item", "/items.json", "/users.json"),
    *("/items;a=1", "/items,", "/itemsx", "/healthz/x", "/Healthz", "/readyz/x", "/READYZ"),
    *("/ws", "/ws/other", "/ws/Echo", "/WS/echo", "/ws/echo/x", "/ws/events/1", "/ws/event"),
    *("/nowhere", "/static/app.py", "/favicon.ico", "/robots.txt"),
]
HEADED = [name for name, operation in OPERATIONS.items() if operation.method == "GET"]
NOT_GETS = {"content-length", "date", "transfer-encoding", "connection", "keep-alive"}


@pytest.fixture(scope="module")
def scene(api: Api) -> Scene:
    return make_scene(api)


@pytest.fixture(scope="module")
def account(scene: Scene) -> Account:
    return scene.owner


def expect_no_route(api: Api, path: str, token: Account, methods: Iterable[str]) -> None:
    """Fail unless the path is 404 for these methods with a token, and for GET without."""
    __tracebackhide__ = True
    for method, own in [("GET", None), *((method, token) for method in methods)]:
        response = api.request(method, path, token=own)
        if method == "HEAD":
            expect(response, 404)
        else:
            expect_problem(response, "not-found")
        expect_header(response, "Location", None)


# -- routes, ids, slash


@pytest.mark.rule("routes")
@pytest.mark.parametrize(("number", "template"), list(enumerate(NO_ROUTES)))
def test_a_path_the_contract_does_not_have_is_404_whatever_the_method(
    api: Api, scene: Scene, number: int, template: str
) -> None:
    path = template.format(user=scene.owner.id, item=scene.item.id)

    # A third of the methods each: three paths that follow each other have them all.
    expect_no_route(api, path, scene.owner, METHODS[number % 3 :: 3])


@pytest.mark.rule("routes")
def test_a_path_the_contract_does_not_have_is_404_for_every_method(api: Api, scene: Scene) -> None:
    expect_no_route(api, "/nowhere", scene.owner, METHODS)


@pytest.mark.rule("ids")
@pytest.mark.parametrize("odd", ODD_IDS)
def test_what_is_no_id_is_no_route(server: Target, api: Api, scene: Scene, odd: str) -> None:
    bearer = ("Authorization", f"Bearer {scene.owner.token}")
    json = ("Content-Type", "application/json")
    targets = {"/users/": scene.owner.id, "/items/": scene.item.id}
    with raw.RawConnection(server) as connection:
        for start, real in targets.items():
            target = start + odd.format(id=real)
            expect_problem(connection.request("GET", target), "not-found")
            for method in ("GET", "OPTIONS", "DELETE", "TRACE"):
                expect_problem(connection.request(method, target, [bearer]), "not-found")
            patched = connection.request("PATCH", target, [bearer, json], b"{}")
            expect_problem(patched, "not-found")
    expect(api.get(scene.item.path, token=scene.owner), 200)


@pytest.mark.rule("ids", "not-found")
@pytest.mark.parametrize("start", ["/users/", "/items/"])
def test_an_id_of_eighteen_digits_is_a_route(api: Api, account: Account, start: str) -> None:
    path = f"{start}{NO_ID}"

    expect_problem(api.get(path, token=account), "not-found")
    expect_problem(api.get(path), "unauthorized")
    expect(api.options(path), 204)
    expect_problem(api.post(path, json={}), "method-not-allowed")


@pytest.mark.rule("slash")
@pytest.mark.parametrize("template", paths())
@pytest.mark.parametrize("suffix", ["/", "/?limit=1"])
def test_a_path_with_a_slash_more_is_404_and_no_redirect(
    api: Api, scene: Scene, template: str, suffix: str
) -> None:
    methods = {*allowed(template), "OPTIONS", "TRACE"}
    expect_no_route(api, concrete(template, scene) + suffix, scene.owner, sorted(methods))


# -- method, allow, options


LACKING = [(template, method) for template in paths() for method in lacking(template)]


@pytest.mark.rule("method", "allow")
@pytest.mark.parametrize(("template", "method"), LACKING)
def test_a_method_that_a_path_lacks_is_405_with_allow(
    api: Api, scene: Scene, template: str, method: str
) -> None:
    authorization = (None, f"Bearer {scene.owner.token}", "x")[
        LACKING.index((template, method)) % 3
    ]
    fields = {} if authorization is None else {"Authorization": authorization}

    response = api.request(method, concrete(template, scene), headers=fields)

    if method == "HEAD":
        expect(response, 405)
    else:
        expect_problem(response, "method-not-allowed")
    expect_allow(response, template)


@pytest.mark.rule("ids")
def test_me_is_a_route_of_its_own(api: Api) -> None:
    own = api.account()
    assert allow_of(expect(api.options("/users/me"), 204)) == {"GET", "HEAD", "OPTIONS"}
    for method, body in (("PUT", {"email": own.email, "name": "A"}), ("PATCH", {"name": "A"})):
        refused = api.request(method, "/users/me", token=own, json=body)
        expect_problem(refused, "method-not-allowed")
    expect_problem(api.delete("/users/me", token=own), "method-not-allowed")
    assert expect(api.get("/users/me", token=own), 200).json() == own.body


@pytest.mark.rule("method", "allow")
@pytest.mark.parametrize("start", ["/users", "/items"])
def test_a_method_is_looked_at_before_the_resource(api: Api, account: Account, start: str) -> None:
    response = api.post(f"{start}/{NO_ID}", token=account, json={})

    expect_problem(response, "method-not-allowed")
    expect_allow(response, f"{start}/{{{start[1:-1]}_id}}")


@pytest.mark.rule("method")
def test_trace_echoes_nothing(server: Target) -> None:
    secret = "a-secret-that-must-not-be-reflected"  # noqa: S105 - it is the point
    fields = [("Cookie", secret), ("Authorization", f"Bearer {secret}")]

    response = raw.send(server, "TRACE", f"/items?{secret}", fields)

    expect_problem(response, "method-not-allowed")
    assert all(secret not in value for _, value in response.fields)


PREFLIGHT = {
    "Origin": "https://elsewhere.test",
    "Access-Control-Request-Method": "PUT",
    "Access-Control-Request-Headers": "authorization, content-type",
}
ASKED_WITH = [
    pytest.param({}, None, id="plain"),
    pytest.param(PREFLIGHT, None, id="preflight"),
    pytest.param({"Authorization": "Bearer nonsense"}, None, id="bad token"),
    pytest.param({"Accept": "text/html", "If-Match": '"0"', "If-None-Match": "*"}, None, id="odd"),
    pytest.param({"Content-Type": "text/plain"}, b"{", id="body"),
]


@pytest.mark.rule("options", "allow")
@pytest.mark.parametrize("template", paths())
@pytest.mark.parametrize(("fields", "content"), ASKED_WITH)
def test_options_is_204_with_allow_whoever_asks(
    api: Api, scene: Scene, template: str, fields: Mapping[str, str], content: bytes | None
) -> None:
    response = api.options(concrete(template, scene), headers=fields, content=content)

    expect_options(response, template)


@pytest.mark.rule("options", "allow")
@pytest.mark.parametrize("template", ["/users/{user_id}", "/items/{item_id}"])
def test_options_does_not_look_whether_the_resource_exists(api: Api, template: str) -> None:
    response = api.options(template.format(user_id=NO_ID, item_id=NO_ID))

    expect_options(response, template)


def expect_options(response: Response, template: str) -> None:
    __tracebackhide__ = True
    expect(response, 204)
    expect_allow(response, template)
    expect_header(response, "Content-Type", None)
    if cors := [name for name in response.headers if name.startswith("access-control-")]:
        raise violation(response, "no CORS fields", cors)
    assert response.content == b""


def expect_allow(response: Response, template: str) -> None:
    __tracebackhide__ = True
    if allow_of(response) != allowed(template):
        got = response.headers.get("Allow")
        raise violation(response, f"Allow with {sorted(allowed(template))}", got)


# -- head


def flaws_of(operation: str) -> Iterator[Flaws]:
    """Yield no flaw, and each one that GET can be answered for."""
    yield {}
    for check in checks(operation):
        if check not in {"method", "upgrade", "connection-cap"}:
            yield from ({check: way} for way in WAYS.get(check, ("",)))


def named(flaws: Flaws) -> str:
    return " ".join(part for flaw in flaws.items() for part in flaw).strip() or "success"


@pytest.mark.rule("head")
@pytest.mark.parametrize(
    ("operation", "flaws"),
    [
        pytest.param(name, flaws, id=f"{name}: {named(flaws)}")
        for name in HEADED
        if name in SPEC.operations
        for flaws in flaws_of(name)
    ],
)
def test_head_answers_as_get_without_the_body(
    server: Target, scene: Scene, operation: str, flaws: Flaws
) -> None:
    sent = call(operation, scene, flaws)

    expect_alike(server, sent.path, sent.fields)


@pytest.mark.rule("head", "if-none-match")
@pytest.mark.parametrize("operation", SPEC.rules.sets["reads"])
@pytest.mark.parametrize("tag", ["*", "{etag}", "W/{etag}", '"0"'])
def test_head_honours_a_condition_as_get_does(
    server: Target, scene: Scene, operation: str, tag: str
) -> None:
    sent = call(operation, scene)
    etag = scene.item.etag if operation == "get_item" else scene.owner.etag

    condition = {"If-None-Match": tag.format(etag=etag)}
    status = expect_alike(server, sent.path, {**sent.fields, **condition})

    assert status == (200 if tag == '"0"' else 304)


@pytest.mark.rule("head")
@pytest.mark.parametrize("path", ["/ws/echo", "/ws/events", "/ws/other"])
def test_head_of_a_websocket_answers_as_get(server: Target, path: str) -> None:
    assert expect_alike(server, path, {}) == (404 if path == "/ws/other" else 426)


@pytest.mark.rule("head", "pages")
def test_head_of_a_page_has_its_link(server: Target, api: Api, scene: Scene) -> None:
    api.create_item(scene.owner)
    path = f"/items?owner_id={scene.owner.id}&limit=1"

    expect_alike(server, path, {"Authorization": f"Bearer {scene.owner.token}"})

    response = api.head(path, token=scene.owner)
    target = f"/items?owner_id={scene.owner.id}&limit=1&after={scene.item.id}"
    expect_header(response, "Link", f'<{target}>; rel="next"')


def expect_alike(server: Target, path: str, fields: Mapping[str, str]) -> int:
    """Send GET and HEAD; fail unless they differ in the body alone; return their status."""
    __tracebackhide__ = True
    sent = [*fields.items(), ("X-Request-ID", "alike"), ("Connection", "close")]
    with raw.RawConnection(server) as connection:
        get = connection.request("GET", path, sent)
    with raw.RawConnection(server) as connection:
        head = connection.request("HEAD", path, sent)
        beyond = connection.rest(2)

    expect(head, get.status)
    if beyond:
        raise violation(head, "no body", repr(beyond))
    if compared(head) != compared(get):
        raise violation(head, f"the fields {compared(get)}", compared(head))
    length = head.get("Content-Length")
    if length is not None and get.content and length != str(len(get.content)):
        raise violation(head, f"Content-Length {len(get.content)} or none", length)
    return head.status


def compared(response: Response) -> list[tuple[str, str]]:
    """Return the fields that HEAD and GET must have in common, a list's order aside."""
    return sorted(
        (name.lower(), value) for name, value in response.fields if name.lower() not in NOT_GETS
    )
