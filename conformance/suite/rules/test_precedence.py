"""The order of checks: of several faults the first one answers, and a refusal changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise
from typing import Any

import httpx
import pytest

from rosetta import raw
from rosetta.client import Account, Api, expect, expect_header, expect_problem, unique_email
from rosetta.feed import Feed, Socket
from rosetta.fleet import LIMITS, Fleet
from rosetta.harness import Server, Target
from suite.rules._operations import (
    CHECKS,
    HANDSHAKE,
    OPERATIONS,
    WAYS,
    Call,
    Faults,
    Scene,
    call,
    checks,
    make_scene,
    members,
    plain,
)

pytestmark = pytest.mark.rule("precedence")

CAP = "connection-cap"  # has servers, and tests, of its own
SAFE = {"GET", "HEAD"}


def in_pairs(operation: str) -> Iterator[Faults]:
    """Yield two faults at a time, of checks that follow each other, in every way they fail."""
    for earlier, later in pairwise(check for check in checks(operation) if check != CAP):
        for way in WAYS.get(earlier, ("",)):
            for other_way in WAYS.get(later, ("",)):
                yield {earlier: way, later: other_way}


def in_tails(operation: str) -> Iterator[Faults]:
    """Yield for each check its fault together with those of all later checks."""
    made = [check for check in checks(operation) if check != CAP]
    for start in range(len(made) - 2):
        yield plain(*made[start:])


def alone(operation: str) -> Iterator[Faults]:
    """Yield the fault of the last check alone, in every way it fails."""
    *_, last = (check for check in checks(operation) if check != CAP)
    yield from ({last: way} for way in WAYS.get(last, ("",)))


def rows(*tables: Callable[[str], Iterable[Faults]]) -> list[Any]:
    """Return one parameter set for each operation and combination of faults."""
    return [
        pytest.param(operation, faults, id=f"{operation}: {before_after(faults)}")
        for operation in OPERATIONS
        for table in tables
        for faults in table(operation)
    ]


def before_after(faults: Faults) -> str:
    named = [f"{check} {way}".strip() for check, way in faults.items()]
    return " before ".join(filter(None, [named[0], ", ".join(named[1:])]))


@pytest.fixture(scope="module")
def scene(api: Api) -> Scene:
    return make_scene(api)


class Watch:
    """Remembers what there is, to tell whether a request changed it."""

    def __init__(self, api: Api, scene: Scene) -> None:
        self._api = api
        self._token = scene.owner.token
        users = f"/users?limit=100&after={scene.owner.id - 1}"
        self._lists = {
            "/users": [users],
            "/items": [f"/items?limit=100&owner_id={one.id}" for one in (scene.owner, scene.other)],
        }
        self._seen = {start: self._look(start) for start in self._lists}

    def assert_unchanged(self, path: str) -> None:
        """Fail if the users or items, whichever the path is about, are not what they were."""
        start = "/users" if path.startswith("/users") else "/items"
        before, self._seen[start] = self._seen[start], self._look(start)
        assert self._seen[start] == before, f"a refused request to {path} changed something"

    def _look(self, start: str) -> list[Any]:
        answers = (self._api.get(path, token=self._token) for path in self._lists[start])
        return [expect(answer, 200).json() for answer in answers]


@pytest.fixture(scope="module")
def watch(api: Api, scene: Scene) -> Watch:
    return Watch(api, scene)


@pytest.mark.parametrize(("operation", "faults"), rows(in_pairs, in_tails, alone))
def test_the_first_of_several_faults_answers_and_nothing_changes(
    api: Api, scene: Scene, watch: Watch, operation: str, faults: Faults
) -> None:
    broken = call(operation, scene, faults)

    response = broken.send(api)

    expect_refusal(response, next(iter(faults)), faults)
    if broken.method not in SAFE:
        watch.assert_unchanged(broken.path)


def expect_refusal(response: httpx.Response, check: str, faults: Faults) -> None:
    __tracebackhide__ = True
    expect_problem(response, CHECKS[check].slug)
    if check == "token":
        plainly = faults[check] == WAYS[check][0]
        error = "" if plainly else ', error="invalid_token"'
        expect_header(response, "WWW-Authenticate", f'Bearer realm="api"{error}')


def test_a_password_sent_with_a_failing_precondition_is_not_taken(api: Api, scene: Scene) -> None:
    change = {"password": "another battery staple"}
    stale = {"If-Match": '"0"'}

    refused = api.patch(scene.owner.path, token=scene.owner, json=change, headers=stale)

    expect_problem(refused, "precondition-failed")
    api.log_in(scene.owner)


def test_a_refused_request_writes_no_event(api: Api, server: Target, scene: Scene) -> None:
    with Feed(server, token=scene.owner.token) as feed:
        for operation in OPERATIONS:
            for faults in (*in_pairs(operation), *in_tails(operation), *alone(operation)):
                broken = call(operation, scene, faults)
                if broken.method not in SAFE:
                    broken.send(api)
        marker = api.create_item(scene.other)

        events = feed.until(
            lambda message: (
                (message["event"], message["resource_id"]) == ("item.created", marker.id)
            )
        )

    assert [(event["event"], event["resource_id"]) for event in events[:-1]] == []


# -- the connection cap comes last


@pytest.fixture(scope="module")
def house(limits_server: Server, fleet: Fleet) -> Iterator[Server]:
    """Return a server of one worker with small limits: the cap is a worker's."""
    if limits_server.environment["WORKERS"] == "1":
        yield limits_server
        return
    own = fleet.server("house", workers=1, environment=dict(LIMITS))
    own.start()
    yield own
    fleet.discard([own])


@pytest.fixture(scope="module")
def house_account(house: Server) -> Account:
    with Api(house) as api:
        return api.sign_up()


@pytest.fixture
def house_api(house: Server, client: Callable[[Target], Api]) -> Api:
    return client(house)


@pytest.fixture
def full_house(house: Server) -> Iterator[Server]:
    """Take every place that the server has."""
    with ExitStack() as stack:
        for _ in range(int(LIMITS["WS_MAX_CONNECTIONS"])):
            stack.enter_context(Socket(house))
        yield house


@pytest.mark.parametrize(
    ("operation", "faults"),
    [
        pytest.param(operation, faults, id=f"{operation}: {before_after({**faults, CAP: ''})}")
        for operation in ("echo", "watch_events")
        for faults in [*in_tails(operation), *(plain(one) for one in checks(operation)[:-1])]
    ],
)
def test_every_other_check_of_a_handshake_comes_before_the_connection_cap(
    house_api: Api,
    house_account: Account,
    full_house: Server,
    scene: Scene,
    operation: str,
    faults: Faults,
) -> None:
    owner = replace(house_account, token=house_api.log_in(house_account))

    response = call(operation, replace(scene, owner=owner), faults).send(house_api)

    expect_problem(response, CHECKS[next(iter(faults))].slug)
    assert full_house.running


@pytest.mark.parametrize("path", ["/ws/echo", "/ws/events"])
def test_a_handshake_without_fault_meets_the_connection_cap(
    house_api: Api, house_account: Account, full_house: Server, path: str
) -> None:
    token = house_api.log_in(house_account)

    response = house_api.get(path, token=token, headers=HANDSHAKE)

    expect_problem(response, "unavailable")
    expect_header(response, "Retry-After", "1")
    assert full_house.running


# -- what vanishes while a request runs


class HeldRequest:
    """A request of which the last byte of the body is held back until ``finish``."""

    def __init__(self, api: Api, held: Call, fields: Mapping[str, str] | None = None) -> None:
        assert held.content is not None
        self._method = held.method
        self._last = held.content[-1:]
        self._connection = raw.RawConnection(api.target)
        headers = {**held.fields, **(fields or {}), "Content-Length": str(len(held.content))}
        start = raw.build(held.method, held.path, headers.items(), host=api.target.host)
        self._connection.send(start + held.content[:-1])
        # A sign-up takes longer than whatever is checked before a body is read.
        api.sign_up()

    def finish(self) -> raw.RawResponse:
        with self._connection as connection:
            connection.send(self._last)
            return connection.read(self._method)


OF_A_CALLER = ("create_item", "replace_item", "update_item", "replace_user", "update_user")


@pytest.mark.parametrize("operation", OF_A_CALLER)
@pytest.mark.parametrize("fields", [{}, {"If-Match": '"1"'}], ids=["", "If-Match"])
def test_a_caller_deleted_while_the_request_runs_is_401(
    api: Api, scene: Scene, operation: str, fields: Mapping[str, str]
) -> None:
    owner = api.sign_up()
    here = replace(scene, owner=owner, item=api.create_item(owner))
    held = HeldRequest(api, call(operation, here), fields)
    expect(api.delete(owner.path, token=owner), 204)

    response = held.finish()

    expect_problem(response, "unauthorized")
    expect_header(response, "WWW-Authenticate", 'Bearer realm="api", error="invalid_token"')
    expect_problem(api.get(owner.path, token=scene.owner), "not-found")
    left = api.get(f"/items?owner_id={owner.id}", token=scene.owner)
    assert left.json() == {"data": [], "next": None}


@pytest.mark.parametrize("operation", ["replace_item", "update_item"])
@pytest.mark.parametrize("if_match", [None, "*", '"1"'])
def test_an_item_deleted_while_the_request_runs_is_404(
    api: Api, scene: Scene, operation: str, if_match: str | None
) -> None:
    here = replace(scene, item=api.create_item(scene.owner))
    held = HeldRequest(api, call(operation, here), {"If-Match": if_match} if if_match else {})
    expect(api.delete(here.item.path, token=scene.owner), 204)

    response = held.finish()

    expect_problem(response, "not-found")
    expect_problem(api.get(here.item.path, token=scene.owner), "not-found")


@pytest.mark.parametrize("operation", ["replace_item", "update_item"])
def test_an_item_changed_while_the_request_runs_fails_its_condition(
    api: Api, scene: Scene, operation: str
) -> None:
    here = replace(scene, item=api.create_item(scene.owner))
    held = HeldRequest(api, call(operation, here), {"If-Match": here.item.etag})
    newer = expect(api.patch(here.item.path, token=scene.owner, json={"name": "Newer"}), 200)

    response = held.finish()

    expect_problem(response, "precondition-failed")
    assert api.get(here.item.path, token=scene.owner).json() == newer.json()


@pytest.mark.parametrize("operation", ["replace_user", "update_user"])
def test_a_user_changed_while_the_request_runs_fails_its_condition(
    api: Api, scene: Scene, operation: str
) -> None:
    owner = api.sign_up()
    held = HeldRequest(api, call(operation, replace(scene, owner=owner)), {"If-Match": owner.etag})
    newer = expect(api.patch(owner.path, token=owner, json={"name": "Newer"}), 200)

    response = held.finish()

    expect_problem(response, "precondition-failed")
    assert api.get(owner.path, token=owner).json() == newer.json()


@pytest.mark.parametrize("operation", ["create_user", "replace_user", "update_user"])
def test_an_address_taken_while_the_request_runs_is_409(
    api: Api, scene: Scene, operation: str
) -> None:
    email = unique_email()
    wished = call(operation, scene)
    body = json.dumps({**members(operation, scene), "email": email}).encode()
    held = HeldRequest(api, replace(wished, content=body))
    taker = api.sign_up(email=email)

    response = held.finish()

    expect_problem(response, "email-taken")
    assert api.get(taker.path, token=taker).json() == taker.body
    assert api.get(scene.owner.path, token=taker).json()["email"] == scene.owner.email
