from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from websockets.frames import Opcode

from rosetta.clients.expectations import (
    data_of,
    expect_answer,
    expect_close,
    expect_events,
    expect_message,
    expect_no_event,
    expect_no_gap,
    expect_ready,
)
from rosetta.clients.http import Account, Api, Violation, expect_problem
from rosetta.clients.websocket import Feed, HandshakeRefused, RawWebSocket, Silence, Socket, refused
from rosetta.targets import venvs
from rosetta.targets.server import Server
from tests.canned import canned
from tests.conftest import AddTiny

PING = {"type": "ping"}
WITHOUT_BODY = b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@pytest.fixture
def api(tiny: Server) -> Iterator[Api]:
    with Api(tiny) as api:
        yield api


@pytest.fixture
def ada(api: Api) -> Account:
    return api.sign_up()


def test_the_feed_is_ready_and_tells_what_happens(tiny: Server, api: Api, ada: Account) -> None:
    with Feed(tiny, token=ada.token, after=0) as feed:
        assert feed.ready == {"type": "ready", "after": 0}
        assert feed.next()["event"] == "user.created"
        item = api.create_item(ada)
        assert feed.take(1)[0]["data"] == item.body
        api.delete(ada.path, token=ada)
        last = feed.until(lambda message: message["event"] == "user.deleted")
        assert [message["event"] for message in last] == ["item.deleted", "user.deleted"]
        assert feed.take(0) == []


def test_an_answer_comes_with_the_events_before_it(tiny: Server, ada: Account) -> None:
    with Feed(tiny, token=ada.token, after=0) as feed:
        assert feed.next()["type"] == "event"
        assert feed.ask({"type": "ping"}) == [{"type": "pong"}]
        assert feed.settled() == []


def test_silence_is_an_error(tiny: Server, ada: Account) -> None:
    with Feed(tiny, token=ada.token) as feed:
        with pytest.raises(Silence, match=r"no message within 0\.1 s"):
            feed.next(timeout=0.1)
        with pytest.raises(Silence, match="did not close"):
            feed.close_code(timeout=0.1)
        with pytest.raises(Silence, match="until then"):
            feed.until(lambda _: False, timeout=0.1)


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda feed: expect_ready(feed, 1), r"the first message .*1\}, got .*0\}"),
        (lambda feed: expect_message(feed, {"type": "ready"}), 'got {"type": "event"'),
        (
            lambda feed: expect_events(feed, [2], lambda event: event["id"]),
            "2 of event 1 of 1, got 1",
        ),
        (
            lambda feed: expect_events(feed, [{}] * 3, timeout=0.1),
            "3 events, .*got no message within",
        ),
        (lambda feed: expect_no_gap(feed, 1, [{"id": 1}, {"id": 3}]), r"\[1, 2\], got \[1, 3\]"),
        (expect_no_event, "no event before it, got"),
        (lambda feed: expect_answer(feed, PING, PING), "to .*ping.*, got .*pong"),
        (
            lambda feed: expect_close(feed, 1000, 0.1),
            "close code 1000, got the server did not close",
        ),
    ],
)
def test_what_is_not_expected_on_a_feed_reads_like_a_bug_report(
    tiny: Server, ada: Account, check: Callable[[Feed], object], message: str
) -> None:
    with (
        Feed(tiny, token=ada.token, after=0) as feed,
        pytest.raises(Violation, match=message) as error,
    ):
        check(feed)
    [(handshake, said)] = error.value.exchanges
    assert handshake.startswith("curl -i")
    assert "after=0" in handshake
    assert '{"type": "ready", "after": 0}' in said
    assert said in str(error.value)


def test_what_is_expected_on_websockets_passes(tiny: Server, api: Api, ada: Account) -> None:
    with Feed(tiny, token=ada.token, after=0) as feed:
        expect_ready(feed, 0)
        events = expect_events(feed, [ada.body], data_of)
        expect_no_gap(feed, 1, events)
        item = api.create_item(ada)
        answers = (expect_answer(feed, PING, {"type": "pong"}, alone=False) for _ in range(5000))
        [created] = next(filter(None, answers))  # a feed tells of it within a second
        assert created["data"] == item.body
        expect_no_event(feed)
    with RawWebSocket(tiny, token=ada.token) as echo:
        echo.send_frame(Opcode.CLOSE, (1001).to_bytes(2, "big"))
        expect_close(echo, 1001)
    with Socket(tiny, token=ada.token) as echo:
        echo.send(b"x")
        expect_message(echo, b"x")
        echo.send(b"x")
        with pytest.raises(Violation, match="expected the message"):
            expect_message(echo, "x")


def test_a_feed_that_does_not_begin_with_ready_is_an_error(
    add_tiny: AddTiny, tmp_path: Path
) -> None:
    implementation = add_tiny("no-ready")
    venv = venvs.environment_of(implementation)
    with Server.of(implementation, venv, {}, tmp_path / "log") as server, Api(server) as api:
        token = api.sign_up().token
        with (
            pytest.raises(Silence, match="the first message is not ready"),
            Feed(server, token=token, after=0),
        ):
            pass


def test_a_refused_handshake_is_an_ordinary_response(tiny: Server) -> None:
    response = refused(tiny, "/ws/events")
    expect_problem(response, "unauthorized")
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="api"'
    with pytest.raises(HandshakeRefused) as error, Socket(tiny, token="wrong"):  # noqa: S106
        pass
    assert error.value.response.status_code == 401


def test_an_accepted_handshake_is_not_refused(tiny: Server, ada: Account) -> None:
    with pytest.raises(AssertionError, match="was accepted"):
        refused(tiny, "/ws/echo", token=ada.token)


def test_a_redirected_handshake_is_refused_and_not_followed() -> None:
    with canned(b"HTTP/1.1 307 Moved\r\nLocation: /elsewhere" + WITHOUT_BODY) as server:
        assert refused(server.target, "/ws/echo/").status_code == 307


def test_a_closed_connection_has_a_code(tiny: Server, ada: Account) -> None:
    with Socket(tiny, token=ada.token) as echo:
        echo.send(b"\x00")
        assert echo.receive() == b"\x00"
        tiny.kill()
        assert echo.close_code() == 1006
        with pytest.raises(Silence, match="closed"):
            echo.receive()


def test_a_dropped_connection_is_gone_without_a_close(tiny: Server, ada: Account) -> None:
    with Feed(tiny, token=ada.token) as feed:
        feed.drop()
        assert feed.close_code() == 1006


def test_a_raw_socket_sends_any_frame_and_answers_none(tiny: Server, ada: Account) -> None:
    with RawWebSocket(tiny, token=ada.token) as echo:
        echo.send_frame(Opcode.PING, b"p")
        pong = echo.receive()
        assert pong is not None
        assert (pong.opcode, bytes(pong.data)) == (Opcode.PONG, b"p")
        echo.send_frame(Opcode.TEXT, b"\xff")
        answered = echo.receive()
        assert answered is not None
        assert bytes(answered.data) == b"\xff"
        with pytest.raises(Silence):
            echo.receive(timeout=0.1)
        echo.send_frame(Opcode.CLOSE, (1001).to_bytes(2, "big"))
        assert echo.close_code() == 1001
        assert echo.receive() is None


def test_a_raw_socket_can_have_a_small_window(tiny: Server, ada: Account) -> None:
    with RawWebSocket(tiny, token=ada.token, receive_buffer=4096) as echo:
        assert echo.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) < 16384
        echo.send_frame(Opcode.TEXT, b"still works")
        assert echo.receive() is not None


def test_a_raw_socket_that_is_refused_is_an_error(tiny: Server) -> None:
    with pytest.raises(Exception, match="401"), RawWebSocket(tiny):
        pass
