from __future__ import annotations

import subprocess

import pytest

from rosetta.clients import raw
from rosetta.clients.evidence import as_shell
from rosetta.clients.message import Response
from rosetta.clients.raw import RawConnection, RawError
from rosetta.targets.server import Server, Target
from tests.canned import canned

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


def read(answer: bytes, method: str = "GET") -> Response:
    with canned(answer) as server, RawConnection(server.target) as connection:
        return connection.request(method, "/x")


def test_fields_keep_their_order_case_and_duplicates() -> None:
    response = read(b"HTTP/1.1 204 No\r\nB: 1\r\na: \t2 \r\nb: 3\r\n\r\n")
    assert response.fields == (("B", "1"), ("a", "2"), ("b", "3"))
    assert response.all("b") == ["1", "3"]
    assert response.get("A") == "2"
    assert response.get("c") is None
    with pytest.raises(AssertionError, match="came 2 times"):
        response.get("b")


def test_a_body_has_the_length_announced() -> None:
    response = read(b'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{"a": 1}EXTRA')
    assert (response.status, response.reason, response.json()) == (200, "OK", {"a": 1})


def test_a_chunked_body_is_put_together() -> None:
    chunks = raw.chunked([b"abc", b"d" * 20])
    response = read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
    assert response.content == b"abc" + b"d" * 20


def test_a_body_without_a_length_goes_to_the_end() -> None:
    assert read(b"HTTP/1.1 200 OK\r\n\r\nall of it").content == b"all of it"


@pytest.mark.parametrize(
    ("status", "method"),
    [(b"204 No Content", "GET"), (b"304 Not Modified", "GET"), (b"200 OK", "HEAD")],
)
def test_what_has_no_body_is_read_without_one(status: bytes, method: str) -> None:
    head = b"HTTP/1.1 " + status + b"\r\nContent-Length: 5\r\n\r\n"
    with canned(head + b"extra") as server, RawConnection(server.target) as connection:
        response = connection.request(method, "/")
        assert response.content == b""
        assert connection.rest() == b"extra"


def test_informational_responses_are_passed_over() -> None:
    assert read(b"HTTP/1.1 100 Continue\r\n\r\n" + OK).status == 200


def test_two_responses_on_one_connection_are_told_apart() -> None:
    with (
        canned(OK + OK.replace(b"hi", b"ho")) as server,
        RawConnection(server.target) as connection,
    ):
        assert connection.request("GET", "/").content == b"hi"
        assert connection.read().content == b"ho"
        assert connection.rest() == b""


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"", "closed before the end"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", "closed before the end"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "not a status line"),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "not a status line"),
        (b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", "not a header field"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
            "does not end where its size says",
        ),
    ],
)
def test_what_is_no_response_is_an_error(answer: bytes, message: str) -> None:
    with pytest.raises(RawError, match=message):
        read(answer)


def test_silence_is_an_error_not_an_empty_response() -> None:
    with (
        canned(b"HTTP/1.1 200 OK\r\n", close=False) as server,
        RawConnection(server.target, timeout=0.2) as connection,
        pytest.raises(RawError, match="no whole response in time"),
    ):
        connection.request("GET", "/")


def test_a_close_is_told_from_an_open_connection(tiny: Server) -> None:
    with canned(OK) as server, RawConnection(server.target) as connection:
        connection.request("GET", "/")
        assert connection.closed()
    with RawConnection(tiny) as connection:
        connection.request("GET", "/healthz")
        assert not connection.closed(timeout=0.1)


def test_exactly_the_bytes_given_are_sent() -> None:
    with canned(OK) as server, RawConnection(server.target) as connection:
        connection.send(b"GET /%2e%2e/./ HTTP/1.1\r\nHOST:x\r\n\r\n")
        assert connection.read().request.data == server.received[0]
    assert server.received[0] == b"GET /%2e%2e/./ HTTP/1.1\r\nHOST:x\r\n\r\n"


def test_a_built_request_is_complete() -> None:
    request = raw.build("POST", "/users", [("X", b"\xff")], b"{}", host="h:1")
    assert request == b"POST /users HTTP/1.1\r\nHost: h:1\r\nX: \xff\r\nContent-Length: 2\r\n\r\n{}"


@pytest.mark.parametrize("field", [("content-length", "9"), ("Transfer-Encoding", "chunked")])
def test_a_length_that_is_given_is_left_alone(field: tuple[str, str]) -> None:
    request = raw.build("POST", "/", [field, ("Host", "mine")], b"{}")
    assert request.lower().count(b"content-length") == (field[0] == "content-length")
    assert request.count(b"Host: mine") == request.count(b"Host") == 1


def test_the_shell_command_sends_the_same_bytes() -> None:
    request = raw.build("PUT", "/a%20'b", [("X", b"\xff\x00")], b"50% \\ \n")
    command, _, target = as_shell(request, Target("http://h:80")).partition(" | ")
    printed = subprocess.run(["bash", "-c", command], capture_output=True, check=True)  # noqa: S603, S607
    assert printed.stdout == request
    assert target == "nc h 80"
