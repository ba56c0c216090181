"""Which pages of other origins may read the answers: CORS_ORIGINS names two, or all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from machines.operations import (
    CAP,
    CHECKS,
    OPERATIONS,
    SPEC,
    Flaws,
    Scene,
    allowed,
    call,
    checks,
    concrete,
    make_scene,
    paths,
    plain,
)
from machines.sockets import SOCKETS
from rosetta.clients import raw
from rosetta.clients.cors import (
    expect_fields,
    expect_preflight,
    expect_readable,
    members,
    preflight,
)
from rosetta.clients.http import Account, Api, expect
from rosetta.targets.fleet import ORIGINS
from rosetta.targets.server import Server

ORIGIN = ORIGINS[0]
STRANGERS = [
    *("null", "https://app.example/", "https://app.example:443", "http://app.example"),
    *("https://app.example.evil.test", "https://evil.test/https://app.example", "*", ""),
    *("https://app.exampl", "app.example", "HTTPS://APP.EXAMPLE", f"{ORIGIN}, {ORIGINS[1]}"),
    *("http://localhost", "http://localhost:51730", f"{ORIGIN} {ORIGINS[1]}"),
]


def each_answer() -> list[tuple[str, Flaws]]:
    """Return every operation without a flaw, and with each flaw that is refused."""
    found: list[tuple[str, Flaws]] = []
    for operation in OPERATIONS:
        if operation not in SPEC.websockets:
            found.append((operation, {}))
        refusing = [check for check in checks(operation) if check != CAP]
        found += [(operation, plain(check)) for check in refusing]
    return found


@pytest.fixture(scope="module")
def api_with_cors(limits_server: Server, secret_key: str) -> Iterator[Api]:
    """A client whose accounts have tokens that outlive the module."""
    with Api(limits_server, secret_key=secret_key) as api:
        yield api


@pytest.fixture(scope="module")
def scene(api_with_cors: Api) -> Scene:
    return make_scene(api_with_cors)


@pytest.fixture(scope="module")
def guest(api_with_cors: Api) -> Account:
    """An account that is only read."""
    return api_with_cors.account()


@pytest.mark.rule("cors")
@pytest.mark.parametrize(("operation", "flaws"), each_answer(), ids=str)
def test_a_page_of_an_allowed_origin_may_read_every_answer(
    api_with_cors: Api, scene: Scene, operation: str, flaws: Flaws
) -> None:
    here = scene if flaws else make_scene(api_with_cors)  # which a success may change

    response = call(operation, here, flaws).send(api_with_cors, {"Origin": ORIGIN})

    if flaws:
        (check,) = flaws
        expect(response, CHECKS[check].status)
    else:
        expect(response, 200, 201, 204)
    expect_readable(response, ORIGIN)


@pytest.mark.rule("cors")
@pytest.mark.parametrize("origin", ORIGINS)
def test_every_origin_of_the_list_is_allowed(
    api_with_cors: Api, guest: Account, origin: str
) -> None:
    fields = {"Origin": origin}
    tag = {"If-None-Match": guest.etag}
    expect_readable(api_with_cors.get("/healthz", headers=fields), origin)
    expect_readable(api_with_cors.head("/users/me", token=guest, headers=fields), origin)
    kept = api_with_cors.get("/users/me", token=guest, headers=fields | tag)
    expect_readable(expect(kept, 304), origin)


@pytest.mark.rule("cors")
@pytest.mark.parametrize("origin", STRANGERS)
def test_another_origin_is_answered_as_if_it_had_not_been_named(
    api_with_cors: Api, guest: Account, origin: str
) -> None:
    for method, path in (("GET", "/users/me"), ("GET", "/nowhere"), ("DELETE", "/items")):
        unnamed = api_with_cors.request(method, path, token=guest)
        named = api_with_cors.request(method, path, token=guest, headers={"Origin": origin})
        expect_fields(expect(named, unnamed.status_code), set())
        assert named.content == unnamed.content
    asked = api_with_cors.options("/items", headers=preflight(origin))
    expect_fields(expect(asked, 204), set())


@pytest.mark.rule("cors")
def test_without_an_origin_there_are_no_fields(api_with_cors: Api, guest: Account) -> None:
    expect_fields(api_with_cors.get("/users/me", token=guest), set())
    expect_fields(api_with_cors.options("/users/me"), set())
    asked = {"Access-Control-Request-Method": "GET"}
    expect_fields(api_with_cors.options("/users/me", headers=asked), set())


@pytest.mark.rule("cors", "options", "allow")
@pytest.mark.parametrize("template", paths())
def test_a_preflight_is_the_answer_to_options_with_what_may_be_sent(
    api_with_cors: Api, scene: Scene, template: str
) -> None:
    path = concrete(template, scene)

    asked = api_with_cors.options(path, headers=preflight(ORIGIN))
    simple = api_with_cors.options(path, headers={"Origin": ORIGIN})

    expect_preflight(asked, allowed(template), ORIGIN)
    expect_readable(expect(simple, 204), ORIGIN)
    assert members(asked, "Allow") == members(simple, "Allow")
    assert asked.content == simple.content == b""


@pytest.mark.rule("cors", "options")
@pytest.mark.parametrize("method", ["GET", "TRACE", "get", "x", ""])
def test_a_preflight_for_whatever_method_has_the_methods_of_the_path(
    api_with_cors: Api, method: str
) -> None:
    asked = api_with_cors.options("/items", headers=preflight(ORIGIN, method))
    expect_preflight(asked, allowed("/items"), ORIGIN)


@pytest.mark.rule("cors")
def test_a_preflight_is_options_alone(api_with_cors: Api, guest: Account) -> None:
    fields = preflight(ORIGIN)
    expect_readable(api_with_cors.get("/users/me", token=guest, headers=fields), ORIGIN)
    expect_readable(expect(api_with_cors.options("/nowhere", headers=fields), 404), ORIGIN)
    expect_readable(expect(api_with_cors.options("/items/", headers=fields), 404), ORIGIN)


@pytest.mark.rule("cors", "ws-handshake")
@pytest.mark.parametrize("path", SOCKETS)
@pytest.mark.parametrize("origin", [ORIGIN, "https://elsewhere.test"])
def test_a_websocket_is_open_to_pages_of_every_origin(
    limits_server: Server, guest: Account, path: str, origin: str
) -> None:
    """Browsers ask for no leave here; the token is what protects the feed."""
    fields = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Origin": origin,
        "Sec-WebSocket-Protocol": f"bearer, {guest.token}",
    }
    with raw.RawConnection(limits_server) as connection:
        expect_fields(expect(connection.request("GET", path, fields.items()), 101), set())


@pytest.mark.rule("cors", "headers-closed")
@pytest.mark.parametrize("fields", [{"Origin": ORIGIN}, preflight(ORIGIN)], ids=["", "preflight"])
def test_without_the_setting_no_origin_is_allowed(api: Api, fields: Mapping[str, str]) -> None:
    for path in ("/healthz", "/users/me", "/nowhere", "/ws/events"):
        for method in ("GET", "OPTIONS"):
            expect_fields(api.request(method, path, headers=fields), set())
