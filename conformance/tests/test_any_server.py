"""The clients, at a server behind TLS and a prefix, and what keeps a base URL from being one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.frames import Opcode

from rosetta.clients import raw
from rosetta.clients.evidence import as_command, as_shell
from rosetta.clients.http import Account, Api, expect, expect_problem
from rosetta.clients.websocket import Feed, RawWebSocket, Socket, refused
from rosetta.identity.corpus import Line
from rosetta.identity.player import Player
from rosetta.runner.process import check_reachable
from rosetta.targets.server import Server, ServerError, Target
from tests.conftest import AddTiny
from tests.test_plugin import BOTH_RULES, Suite

CONFORMANCE = Path(__file__).parents[1]
PREFIX = "/api/v1"


@pytest.fixture
def untrusted(tiny: Server, tmp_path: Path) -> Iterator[tuple[Target, str]]:
    """The tiny server behind the proxy, and the CA that a client must trust."""
    if shutil.which("openssl") is None:
        pytest.skip("the openssl command is not installed")
    command = [sys.executable, "-m", "tests.tls_proxy", "--to", tiny.base_url, "--prefix", PREFIX]
    with subprocess.Popen(  # noqa: S603
        command,
        cwd=CONFORMANCE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    ) as proxy:
        try:
            assert proxy.stdout is not None
            url, ca = proxy.stdout.readline().strip(), proxy.stdout.readline().strip()
            yield Target(url), ca
        finally:
            proxy.kill()  # told to stop, it would wait for connections that are open


@pytest.fixture
def target(untrusted: tuple[Target, str], monkeypatch: pytest.MonkeyPatch) -> Target:
    monkeypatch.setenv("SSL_CERT_FILE", untrusted[1])
    return untrusted[0]


@pytest.fixture
def api(target: Target) -> Iterator[Api]:
    with Api(target) as api:
        yield api


@pytest.fixture
def ada(api: Api) -> Account:
    return api.sign_up()


def test_the_http_client_follows_paths_relative_to_the_base_url(api: Api, ada: Account) -> None:
    created = expect(api.post("/items", token=ada, json={"name": "Lamp", "price_cents": 1}), 201)
    read = expect(api.get(created.headers["Location"], token=ada), 200)
    assert read.json() == created.json()
    assert read.request.url == f"{api.target.base_url}/items/{created.json()['id']}"
    assert f"{api.target.base_url}/items/" in as_command(read.request)


def test_an_idle_connection_over_tls_is_used_again(api: Api) -> None:
    ports = set()
    for _ in range(3):
        with api._pool.connection() as connection:
            ports.add(connection.socket.getsockname())
            expect(connection.request("GET", "/healthz"), 200)
    assert len(ports) == 1


def test_the_raw_client_speaks_tls_and_puts_the_prefix_in_front(
    target: Target, ada: Account
) -> None:
    expect(raw.send(target, "GET", "/users/me", [("Authorization", f"Bearer {ada.token}")]), 200)
    with raw.RawConnection(target) as connection:
        connection.send(connection.build("GET", "/healthz"))
        assert connection.read().status == 200
        connection.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")  # not under the prefix
        assert connection.read().status == 404
        assert connection.closed()


def test_what_tls_itself_sends_is_no_answer(target: Target) -> None:
    with raw.RawConnection(target) as connection:
        assert not connection.readable  # though the tickets of its session have come
        connection.send(connection.build("GET", "/healthz"))
        while not connection.readable:
            pass
        assert connection.read().status == 200
        assert not connection.stale


def test_websockets_go_through(target: Target, api: Api, ada: Account) -> None:
    with Feed(target, token=ada.token) as feed:
        item = api.create_item(ada)
        assert feed.next()["data"] == item.body
        feed.drop()
        assert feed.close_code() == 1006
    with Socket(target, token=ada.token) as echo:
        echo.send("x" * 60_000)
        assert echo.receive() == "x" * 60_000
    with RawWebSocket(target, token=ada.token, receive_buffer=4096) as slow:
        slow.send_frame(Opcode.TEXT, b"still works")
        assert slow.receive() is not None
    expect_problem(refused(target, "/ws/events"), "unauthorized")


def test_a_recording_is_played_under_the_prefix(target: Target) -> None:
    asked = b"GET /healthz HTTP/1.1\r\nHost: rosetta.test\r\n\r\n"
    with Player(target, "k") as player:
        [answer] = player.play([Line((asked,))])
    assert answer.response is not None
    assert answer.response.status == 200


def test_a_server_whose_certificate_nobody_knows_is_not_tested(
    untrusted: tuple[Target, str],
) -> None:
    with pytest.raises(ServerError, match="SSL_CERT_FILE"):
        check_reachable(untrusted[0])


def test_what_a_proxy_would_hide_is_not_run_behind_one(
    pytester: pytest.Pytester, repository: Path, add_tiny: AddTiny, tiny: Server, target: Target
) -> None:
    suite = Suite(pytester, repository, add_tiny)
    source = BOTH_RULES.replace("def test_feed", "@pytest.mark.direct\ndef test_feed")
    for url, outcome in ((tiny.base_url, "passed"), (target.base_url, "not-run")):
        assert suite.run(source, target=url).ret == 0
        assert suite.result("url")["tests"][1]["outcome"] == outcome
    assert "without a proxy" in suite.result("url")["tests"][1]["reason"]


def test_a_raw_request_over_tls_is_shown_as_one_that_openssl_sends() -> None:
    command = as_shell(b"GET / HTTP/1.1\r\n\r\n", Target("https://h"))
    assert command.endswith("| openssl s_client -quiet -connect h:443")


def test_a_base_url_is_taken_apart() -> None:
    target = Target("https://h/api/v1/")
    assert (target.host, target.port, target.tls, target.prefix) == ("h", 443, True, "/api/v1")
    assert (target.base_url, target.ws_url) == ("https://h/api/v1", "wss://h/api/v1")
    assert (target.at("/items"), target.at("*")) == ("/api/v1/items", "*")
    plain = Target("http://[::1]:8000")
    assert (plain.host, plain.port, plain.netloc, plain.prefix) == ("::1", 8000, "[::1]:8000", "")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("127.0.0.1:8000", "http:// or https://"),
        ("ws://h", "http:// or https://"),
        ("http://ada:secret@h", "leave out user and password"),
        ("http://h/?x=1", "ends with its path"),
        ("http://h/é", "percent-encoded"),
        ("http://h:port", "port"),
    ],
)
def test_what_cannot_be_a_base_url_is_refused_with_a_reason(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Target(url)
