from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator

import pytest

from rosetta.clients import raw
from rosetta.clients.evidence import as_curl
from rosetta.clients.http import (
    Api,
    Violation,
    expect,
    expect_header,
    expect_problem,
    unique_email,
)
from rosetta.clients.message import Request, Response
from rosetta.clients.raw import RawError
from rosetta.contract.spec import load
from rosetta.contract.terms import PROBLEMS
from rosetta.targets.server import Server, Target
from tests.canned import canned

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
ERRORS = [
    {"in": "body", "pointer": "/name", "code": "required"},
    {"in": "query", "pointer": "/limit", "code": "type"},
]


@pytest.fixture
def api(tiny: Server) -> Iterator[Api]:
    with Api(tiny) as api:
        yield api


def problem(slug: str = "not-found", **changes: object) -> Response:
    status, title = PROBLEMS[slug]
    body = {"type": f"/problems/{slug}", "title": title, "status": status} | changes
    return answer(status, json.dumps(body).encode())


def answer(
    status: int, content: bytes = b"", content_type: str = "application/problem+json"
) -> Response:
    fields = (("Content-Type", content_type),)
    return Response(status, "", fields, content, asked(raw.build("GET", "/users/1")))


def asked(data: bytes) -> Request:
    return Request(data, Target("http://h"), exact=False)


def test_the_problems_are_those_of_the_contract() -> None:
    problems = load().rules.problems.values()
    assert {p.slug: (p.status, p.title) for p in problems} == dict(PROBLEMS)


def test_accounts_and_items_come_ready_to_use(api: Api) -> None:
    account = api.sign_up(name="Grace")
    assert account.body["name"] == account.name == "Grace"
    assert account.etag == account.tag(1)
    assert api.get("/users/me", token=account).json() == account.body
    assert api.get("/users/me", token=api.log_in(account)).status_code == 200
    item = api.create_item(account, price_cents=5)
    assert api.get(item.path, token=account.token).json() == item.body


def test_a_refused_sign_up_is_an_error(api: Api) -> None:
    with pytest.raises(Violation, match="expected status 201, got status 422"):
        api.sign_up(name="")


def test_addresses_are_never_the_same() -> None:
    assert len({unique_email() for _ in range(100)}) == 100


def test_redirects_are_not_followed() -> None:
    moved = b"HTTP/1.1 307 Moved\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
    with canned(moved) as server, Api(server.target) as api:
        assert api.get("/users/").status_code == 307


def test_null_is_a_body_and_no_body_is_none() -> None:
    with canned(OK, OK) as server, Api(server.target) as api:
        api.post("/", json=None, headers={"Connection": "close"})
        api.post("/", headers={"Connection": "close"})
    with_null, without = server.received
    assert with_null.endswith(b"\r\n\r\nnull")
    assert b"content-type: application/json" in with_null.lower()
    assert b"content-type" not in without.lower()


def test_the_content_type_given_wins() -> None:
    with canned(OK) as server, Api(server.target) as api:
        api.patch("/", json={}, headers={"Content-Type": "application/merge-patch+json"})
    assert b"application/merge-patch+json" in server.received[0]
    assert b"application/json" not in server.received[0]


def test_only_the_last_exchanges_are_kept(tiny: Server) -> None:
    with Api(tiny, history=2) as api:
        for path in ("/a", "/b", "/c"):
            api.get(path)
        assert [exchange.request.path for exchange in api.exchanges] == ["/b", "/c"]


def test_an_exchange_without_a_response_is_kept_too() -> None:
    with canned(b"") as server, Api(server.target) as api:
        with pytest.raises(RawError):
            api.get("/healthz")
        assert "RawError: closed before the end" in str(api.exchanges[0])


@pytest.mark.parametrize("body", [b'{"a": "it\'s 100%"}', b"\xff\x00%\\", "ü\n".encode()])
def test_curl_gets_the_same_body(body: bytes) -> None:
    request = asked(raw.build("PUT", "/a?b=c&d", [("If-Match", '"1"')], body))
    printed, _, curl = as_curl(request).partition(" | ")
    output = subprocess.run(["bash", "-c", printed], capture_output=True, check=True).stdout  # noqa: S603, S607
    assert output == body
    words = shlex.split(curl)
    assert words[-1] == "http://h/a?b=c&d"
    assert 'if-match: "1"' in [word.lower() for word in words]
    assert "PUT" in words


def test_curl_of_a_head_asks_for_the_head() -> None:
    assert "--head" in as_curl(asked(raw.build("HEAD", "/")))


def test_a_violation_reads_like_a_bug_report() -> None:
    with pytest.raises(Violation) as error:
        expect(problem("not-found"), 200)
    text = str(error.value)
    assert "expected status 200, got status 404" in text
    assert "curl -i" in text
    assert "http://h/users/1" in text
    assert '"title": "Not found"' in text


def test_a_raw_response_is_reported_as_bytes(tiny: Server) -> None:
    with pytest.raises(Violation, match=r"printf .* \| nc 127\.0\.0\.1"):
        expect(raw.send(tiny, "GET", "/nope"), 200)


def test_what_was_expected_passes() -> None:
    assert expect(answer(204), 200, 204).status_code == 204
    assert expect_problem(problem(), "not-found")["status"] == 404
    in_order = [("body", "/name", "required"), ("query", "/limit", "type")]
    expect_problem(problem("validation", errors=ERRORS), "validation")
    expect_problem(problem("validation", errors=ERRORS), "validation", errors=in_order)


@pytest.mark.parametrize(
    "response",
    [
        problem("forbidden"),
        problem(title="not found"),
        problem(type="/problems/forbidden"),
        problem(status="404"),
        problem(status=404.0),
        problem(detail="more"),
        problem(errors=[]),
        answer(404, problem().content, "application/problem+json; charset=utf-8"),
        answer(404, problem().content, "application/json"),
        answer(404, b"not JSON"),
        answer(404, b"[]"),
    ],
)
def test_anything_but_the_problem_is_a_violation(response: Response) -> None:
    with pytest.raises(Violation):
        expect_problem(response, "not-found")


@pytest.mark.parametrize(
    "errors",
    [
        [],
        "required",
        ERRORS[::-1],
        [{"in": "body", "pointer": "/name"}],
        [{"in": "body", "pointer": "/name", "code": "required", "message": "…"}],
        [{"in": "body", "pointer": "/name", "code": 1}],
        [ERRORS[0], ERRORS[0] | {"code": "type"}],
    ],
)
def test_errors_without_their_form_are_a_violation(errors: object) -> None:
    with pytest.raises(Violation):
        expect_problem(problem("validation", errors=errors), "validation")


def test_other_errors_are_a_violation() -> None:
    with pytest.raises(Violation):
        expect_problem(
            problem("validation", errors=ERRORS), "validation", errors=[("body", "/name", "type")]
        )


@pytest.mark.parametrize("value", ["text/plain", None])
def test_a_field_with_another_value_is_a_violation(value: str | None) -> None:
    expect_header(answer(200), "X-Absent", None)
    with pytest.raises(Violation, match="Content-Type"):
        expect_header(answer(200), "Content-Type", value)
