"""Before the upgrade: who gets a websocket, with what subprotocol, and who gets which problem."""

from __future__ import annotations

import time

import pytest

from machines.sockets import (
    INVALID_TOKEN,
    PLAIN,
    SOCKETS,
    UPGRADE_REQUIRED,
    expect_headers,
    expect_open,
    expect_refusal,
    forge,
    lists_upgrade,
    shake,
)
from rosetta.clients import raw
from rosetta.clients.expectations import (
    expect_message,
    expect_no_event,
)
from rosetta.clients.http import Account, Api, expect, violation
from rosetta.clients.message import Response
from rosetta.clients.websocket import Feed, HandshakeRefused, Socket
from rosetta.targets.server import Target

pytestmark = pytest.mark.rule("ws-handshake")

PROTOCOL = "Sec-WebSocket-Protocol"


@pytest.fixture(scope="module")
def ada(api: Api) -> Account:
    return api.account()


def credentials(
    token: str, authorization: str | None, protocols: list[str]
) -> list[tuple[str, str]]:
    """Return the fields, one line for each of ``protocols``; {} stands for the token."""
    fields = [] if authorization is None else [("Authorization", authorization.format(token))]
    return [*fields, *((PROTOCOL, line.format(token)) for line in protocols)]


# -- the token and the subprotocol


@pytest.mark.parametrize(
    ("authorization", "protocols", "selected"),
    [
        pytest.param("Bearer {}", [], None, id="Authorization"),
        pytest.param("bEARER   {}", [], None, id="scheme in any case"),
        pytest.param(None, ["bearer, {}"], "bearer", id="subprotocol"),
        pytest.param(None, ["bearer,{}"], "bearer", id="without a space"),
        pytest.param(None, ["bearer ,  {}"], "bearer", id="more spaces"),
        pytest.param(None, ["bearer", "{}"], "bearer", id="two field lines"),
        pytest.param(None, ["bearer, {}, chat"], "bearer", id="more protocols"),
        pytest.param("", ["bearer, {}"], "bearer", id="empty Authorization"),
        pytest.param("Bearer {}", ["bearer, nonsense"], "bearer", id="Authorization wins"),
        pytest.param("Bearer {}", ["bearer"], "bearer", id="both, bearer alone"),
        pytest.param("Bearer {}", ["chat"], None, id="another protocol"),
        pytest.param("Bearer {}", ["chat, bearer"], None, id="bearer second"),
        pytest.param("Bearer {}", ["Bearer"], None, id="bearer in another case"),
        pytest.param("Bearer {}", ["bearer2"], None, id="a longer name"),
    ],
)
def test_a_token_opens_the_feed_and_only_bearer_is_ever_selected(
    server: Target, ada: Account, authorization: str | None, protocols: list[str], selected: str
) -> None:
    fields = credentials(ada.token, authorization, protocols)
    expect_open(shake(server, "/ws/events", fields), selected)


@pytest.mark.rule("bearer", "precedence")
@pytest.mark.parametrize(
    ("authorization", "protocols", "challenge"),
    [
        pytest.param(None, [], PLAIN, id="nothing"),
        pytest.param("", [], PLAIN, id="empty"),
        pytest.param("Basic {}", [], PLAIN, id="another scheme"),
        pytest.param("{}", [], PLAIN, id="no scheme"),
        pytest.param("Bearer", [], INVALID_TOKEN, id="Bearer alone"),
        pytest.param("Bearer {}x", [], INVALID_TOKEN, id="a broken signature"),
        pytest.param("Bearer {0} {0}", [], INVALID_TOKEN, id="two words"),
        pytest.param("Bearer nonsense", ["bearer, {}"], INVALID_TOKEN, id="Authorization wins"),
        pytest.param("Basic x", ["bearer, {}"], PLAIN, id="another scheme wins"),
        pytest.param("Bearer", ["bearer, {}"], INVALID_TOKEN, id="Bearer alone wins"),
        pytest.param(None, ["bearer"], INVALID_TOKEN, id="protocol alone"),
        pytest.param(None, ["bearer, nonsense"], INVALID_TOKEN, id="protocol and nonsense"),
        pytest.param(None, ["bearer, chat, {}"], INVALID_TOKEN, id="token third"),
        pytest.param(None, ["Bearer, {}"], PLAIN, id="protocol in another case"),
        pytest.param(None, ["chat, bearer, {}"], PLAIN, id="bearer second"),
        pytest.param(None, ["{}, bearer"], PLAIN, id="token first"),
        pytest.param(None, ["{}"], PLAIN, id="token as protocol"),
    ],
)
def test_without_a_valid_token_the_feed_is_refused(
    server: Target, ada: Account, authorization: str | None, protocols: list[str], challenge: str
) -> None:
    fields = credentials(ada.token, authorization, protocols)
    refusal = shake(server, "/ws/events", fields)
    expect_refusal(refusal, "unauthorized", fields={"www-authenticate": challenge})


@pytest.mark.rule("bearer")
@pytest.mark.parametrize("name", ["token", "access_token", "bearer", "authorization"])
def test_a_token_in_the_query_is_not_looked_at(server: Target, ada: Account, name: str) -> None:
    refusal = shake(server, f"/ws/events?{name}={ada.token}")
    expect_refusal(refusal, "unauthorized", fields={"www-authenticate": PLAIN})


@pytest.mark.rule("token")
@pytest.mark.parametrize("place", ["Authorization", PROTOCOL])
@pytest.mark.parametrize("what", ["expired", "too early", "other key", "deleted user"])
def test_a_token_is_held_to_the_same_rules_in_both_places(
    server: Target, api: Api, ada: Account, secret_key: str, place: str, what: str
) -> None:
    if what == "deleted user":
        gone = api.account()
        expect(api.delete(gone.path, token=gone), 204)
        token = gone.token
    else:
        token = {
            "expired": forge(secret_key, ada, lives=-1),
            "too early": forge(secret_key, ada, nbf=time.time() + 60),
            "other key": forge(secret_key[::-1], ada),
        }[what]
    value = f"bearer, {token}" if place == PROTOCOL else f"Bearer {token}"
    refusal = shake(server, "/ws/events", [(place, value)])
    expect_refusal(refusal, "unauthorized", fields={"www-authenticate": INVALID_TOKEN})


@pytest.mark.rule("echo", "bearer")
@pytest.mark.parametrize(
    ("fields", "selected"),
    [
        pytest.param([], None, id="none"),
        pytest.param([(PROTOCOL, "bearer")], "bearer", id="bearer"),
        pytest.param([(PROTOCOL, "bearer, nonsense")], "bearer", id="bearer first"),
        pytest.param([(PROTOCOL, "bearer"), (PROTOCOL, "chat")], "bearer", id="two lines"),
        pytest.param([(PROTOCOL, "chat")], None, id="another"),
        pytest.param([(PROTOCOL, "chat, bearer")], None, id="bearer second"),
        pytest.param([(PROTOCOL, "BEARER")], None, id="another case"),
        pytest.param([("Authorization", "Bearer nonsense")], None, id="a bad token"),
        pytest.param([("Authorization", "")], None, id="an empty token"),
    ],
)
def test_the_echo_asks_for_no_token_and_selects_only_bearer(
    server: Target, fields: list[tuple[str, str]], selected: str | None
) -> None:
    expect_open(shake(server, "/ws/echo", fields), selected)


@pytest.mark.rule("echo", "feed-data")
def test_the_echo_reads_no_query_and_the_feed_only_after(server: Target, ada: Account) -> None:
    expect_open(shake(server, "/ws/echo?after=nonsense"), None)
    fields = [("Authorization", f"Bearer {ada.token}")]
    expect_open(shake(server, "/ws/events?limit=x&After=x&unknown", fields), None)


# -- the upgrade


@pytest.mark.rule("problem", "nosniff", "request-id", "headers-closed", "precedence")
@pytest.mark.parametrize("path", [*SOCKETS, "/ws/events?after=nonsense"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "fields",
    [
        pytest.param([], id="plain"),
        pytest.param([("Authorization", "Bearer nonsense")], id="a bad token"),
        pytest.param([("X-Request-ID", "a.B-9_")], id="a request id"),
        pytest.param([("Connection", "Upgrade")], id="no Upgrade"),
        pytest.param([("Upgrade", "websocket")], id="no Connection"),
        pytest.param([("Upgrade", "websocket"), ("Connection", "keep-alive")], id="keep-alive"),
        pytest.param([("Upgrade", "h2c"), ("Connection", "Upgrade")], id="another protocol"),
        pytest.param([("Connection", "close")], id="close"),
        pytest.param([("Upgrade", "websocket"), ("Connection", "close")], id="close, no Upgrade"),
        pytest.param(
            [("Upgrade", "h2c"), ("Connection", "Upgrade, close")], id="another protocol, close"
        ),
    ],
)
def test_who_asks_for_no_upgrade_is_told_to(
    server: Target, method: str, path: str, fields: list[tuple[str, str]]
) -> None:
    with raw.RawConnection(server) as connection:
        response = connection.request(method, path, fields)
        assert connection.rest(0.05) == b"" if method == "HEAD" else True
    named = dict(fields).get("X-Request-ID")
    if method == "GET":
        expect_refusal(response, "upgrade-required", fields=UPGRADE_REQUIRED, request_id=named)
    else:
        expect(response, 426)
        of_body = {"content-type": "application/problem+json"}
        expect_headers(response, UPGRADE_REQUIRED | of_body, named)
    if not lists_upgrade(response):
        raise violation(response, "a Connection field that lists Upgrade", "none")


def test_a_valid_token_changes_nothing_about_a_missing_upgrade(api: Api, ada: Account) -> None:
    refusal = api.get("/ws/events", token=ada)
    expect_refusal(refusal, "upgrade-required", fields=UPGRADE_REQUIRED)


@pytest.mark.parametrize("path", SOCKETS)
@pytest.mark.parametrize(
    "asking",
    [
        pytest.param([("upgrade", "WebSocket"), ("connection", "upgrade")], id="in any case"),
        pytest.param(
            [("Upgrade", "websocket"), ("Connection", "keep-alive, Upgrade")], id="listed"
        ),
        pytest.param(
            [("Upgrade", "\twebsocket\t"), ("Connection", " \tUpgrade \t ")], id="white space"
        ),
    ],
)
def test_the_fields_that_ask_for_the_upgrade_are_read_in_any_case_and_as_lists(
    server: Target, ada: Account, path: str, asking: list[tuple[str, str]]
) -> None:
    key = [("sec-websocket-version", "13"), ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")]
    token = [("Authorization", f"Bearer {ada.token}")]
    with raw.RawConnection(server) as connection:
        expect_open(connection.request("GET", path, [*asking, *key, *token]), None)


@pytest.mark.rule("method", "allow", "problem", "headers-closed")
@pytest.mark.parametrize("path", SOCKETS)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "QUERY"])
def test_other_methods_are_refused_without_a_token(server: Target, method: str, path: str) -> None:
    response = raw.send(server, method, path)
    expect_refusal(response, "method-not-allowed")
    expect_allow(response)


@pytest.mark.rule("options", "allow", "headers-closed")
@pytest.mark.parametrize("path", [*SOCKETS, "/ws/events?after=nonsense"])
def test_options_tells_the_methods_without_a_token(server: Target, path: str) -> None:
    response = raw.send(server, "OPTIONS", path)
    expect(response, 204)
    expect_headers(response, {})
    expect_allow(response)


def expect_allow(response: Response) -> None:
    got = {method.strip() for method in (response.get("Allow") or "").split(",")}
    if got != {"GET", "HEAD", "OPTIONS"}:
        raise violation(response, "Allow: GET, HEAD, OPTIONS", response.get("Allow"))


@pytest.mark.rule("routes", "slash", "precedence")
@pytest.mark.parametrize(
    "path", ["/ws", "/ws/", "/ws/echo/", "/ws/events/", "/ws/other", "/WS/echo", "/ws/echo/1"]
)
def test_an_unknown_path_is_not_found_upgrade_or_not(server: Target, path: str) -> None:
    expect_refusal(shake(server, path), "not-found")
    expect_refusal(raw.send(server, "GET", path), "not-found")


# -- the query


@pytest.mark.rule("feed-data", "query", "validation-errors")
@pytest.mark.parametrize(
    ("query", "code"),
    [
        *((query, "type") for query in ("after=", "after", "after=x", "after=1.0", "after=01")),
        *((query, "type") for query in ("after=%2B1", "after=+1", "after=1%20", "after=1_0")),
        *((query, "type") for query in ("after=%D9%A3", "after=0;x=1", "after=0&after=x")),
        *((query, "minimum") for query in ("after=-1", "after=0&after=-1")),
        ("after=1000000000000000000", "maximum"),
        (f"after={'9' * 40}", "maximum"),
    ],
)
def test_a_bad_after_is_refused(server: Target, ada: Account, query: str, code: str) -> None:
    refusal = shake(server, f"/ws/events?{query}", [("Authorization", f"Bearer {ada.token}")])
    expect_refusal(refusal, "validation", errors=[("query", "/after", code)])


@pytest.mark.rule("feed-data", "query")
@pytest.mark.parametrize(
    "query", ["after=0", "after=-0", "after=999999999999999999", "after=x&after=7", "%61fter=7"]
)
def test_a_good_after_is_accepted(server: Target, ada: Account, query: str) -> None:
    fields = [("Authorization", f"Bearer {ada.token}")]
    expect_open(shake(server, f"/ws/events?{query}", fields), None)


@pytest.mark.rule("precedence")
def test_the_token_is_checked_before_after(server: Target) -> None:
    refusal = shake(server, "/ws/events?after=x")
    expect_refusal(refusal, "unauthorized", fields={"www-authenticate": PLAIN})


@pytest.mark.rule("request-id", "nosniff", "headers-closed")
def test_a_refused_handshake_carries_the_ordinary_headers(server: Target) -> None:
    kept = shake(server, "/ws/other", request_id="kept.As-it_is")
    expect_refusal(kept, "not-found", request_id="kept.As-it_is")
    expect_refusal(shake(server, "/ws/other", request_id="not kept"), "not-found")
    refusal = shake(server, "/ws/events", request_id="x" * 64)
    challenge = {"www-authenticate": PLAIN}
    expect_refusal(refusal, "unauthorized", fields=challenge, request_id="x" * 64)
    with pytest.raises(HandshakeRefused):  # a real client can read it too
        Feed(server).__enter__()


@pytest.mark.rule("echo")
def test_a_socket_opened_with_a_subprotocol_works(server: Target, ada: Account) -> None:
    with Feed(server, protocols=["bearer", ada.token]) as feed:
        assert feed.protocol == "bearer"
        expect_no_event(feed)
    with Socket(server, protocols=["bearer"]) as echo:
        echo.send("hello")
        expect_message(echo, "hello")
        assert echo.protocol == "bearer"
