"""The order of checks: of several flaws the first one answers, and a refusal changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from machines.operations import (
    CAP,
    CHECKS,
    OPERATIONS,
    WAYS,
    Call,
    Flaws,
    Scene,
    before_after,
    call,
    checks,
    in_tails,
    make_scene,
    members,
)
from rosetta.clients import raw
from rosetta.clients.http import Api, expect, expect_header, expect_problem, unique_email
from rosetta.clients.message import Response
from rosetta.clients.websocket import Feed
from rosetta.targets.server import Target

pytestmark = pytest.mark.rule("precedence")

WRITES = [name for name, operation in OPERATIONS.items() if operation.method != "GET"]


def in_pairs(operation: str) -> Iterator[Flaws]:
    """Yield two flaws at a time, of checks that follow each other, in every way they fail."""
    for earlier, later in pairwise(check for check in checks(operation) if check != CAP):
        for way in WAYS.get(earlier, ("",)):
            for other_way in WAYS.get(later, ("",)):
                yield {earlier: way, later: other_way}


def alone(operation: str) -> Iterator[Flaws]:
    """Yield the flaw of the last check alone, in every way it fails."""
    *_, last = (check for check in checks(operation) if check != CAP)
    yield from ({last: way} for way in WAYS.get(last, ("",)))


def rows(*tables: Callable[[str], Iterable[Flaws]]) -> list[Any]:
    """Return one parameter set for each operation and combination of flaws."""
    return [
        pytest.param(operation, flaws, id=f"{operation}: {before_after(flaws)}")
        for operation in OPERATIONS
        for table in tables
        for flaws in table(operation)
    ]


@pytest.fixture(scope="module")
def scene(api: Api) -> Scene:
    return make_scene(api)


def everything(api: Api, scene: Scene) -> list[Any]:
    """Return the users and items that a call could have changed, or made."""
    owners = (scene.owner.id, scene.other.id)
    paths = [scene.owner.path, f"/users?limit=100&after={scene.other.id - 1}"]
    paths += [f"/items?limit=100&owner_id={number}" for number in owners]
    return [expect(api.get(path, token=scene.owner), 200).json() for path in paths]


@pytest.mark.parametrize(("operation", "flaws"), rows(in_pairs, in_tails, alone))
def test_the_first_check_that_fails_answers(
    api: Api, scene: Scene, operation: str, flaws: Flaws
) -> None:
    response = call(operation, scene, flaws).send(api)

    expect_refusal(response, next(iter(flaws)), flaws)


def expect_refusal(response: Response, check: str, flaws: Flaws) -> None:
    __tracebackhide__ = True
    expect_problem(response, CHECKS[check].slug)
    if check == "token":
        plainly = flaws[check] == WAYS[check][0]
        error = "" if plainly else ', error="invalid_token"'
        expect_header(response, "WWW-Authenticate", f'Bearer realm="api"{error}')


def test_a_password_sent_with_a_failing_precondition_is_not_taken(api: Api, scene: Scene) -> None:
    change = {"password": "another battery staple"}
    stale = {"If-Match": scene.owner.tag(0)}

    refused = api.patch(scene.owner.path, token=scene.owner, json=change, headers=stale)

    expect_problem(refused, "precondition-failed")
    api.log_in(scene.owner)


def test_a_refused_request_changes_nothing_and_writes_no_event(
    api: Api, server: Target, scene: Scene
) -> None:
    before = everything(api, scene)
    with Feed(server, token=scene.owner.token) as feed:
        for operation in WRITES:
            for flaws in (*in_pairs(operation), *in_tails(operation), *alone(operation)):
                call(operation, scene, flaws).send(api)
            assert everything(api, scene) == before, f"a refused {operation} changed something"
        marker = api.create_item(scene.other)

        events = feed.until(
            lambda message: (
                (message["event"], message["resource_id"]) == ("item.created", marker.id)
            )
        )

    assert [(event["event"], event["resource_id"]) for event in events[:-1]] == []


# -- what vanishes while a request runs


class HeldRequest:
    """A request of which the last byte of the body is held back until ``finish``."""

    def __init__(self, api: Api, held: Call, fields: Mapping[str, str] | None = None) -> None:
        assert held.content is not None
        self._method = held.method
        self._last = held.content[-1:]
        self._connection = raw.RawConnection(api.target)
        headers = {**held.fields, **(fields or {}), "Content-Length": str(len(held.content))}
        start = self._connection.build(held.method, held.path, headers.items())
        self._connection.send(start + held.content[:-1])
        # A sign-up takes longer than whatever is checked before a body is read.
        api.sign_up()

    def finish(self) -> Response:
        with self._connection as connection:
            connection.send(self._last)
            return connection.read(self._method)


OF_A_CALLER = ("create_item", "replace_item", "update_item", "replace_user", "update_user")


@pytest.mark.parametrize("operation", OF_A_CALLER)
@pytest.mark.parametrize("conditional", [False, True], ids=["", "If-Match"])
def test_a_caller_deleted_while_the_request_runs_is_401(
    api: Api, scene: Scene, operation: str, conditional: bool
) -> None:
    owner = api.account()
    here = replace(scene, owner=owner, item=api.create_item(owner))
    tag = owner.etag if operation.endswith("user") else here.item.etag
    held = HeldRequest(api, call(operation, here), {"If-Match": tag} if conditional else {})
    expect(api.delete(owner.path, token=owner), 204)

    response = held.finish()

    expect_problem(response, "unauthorized")
    expect_header(response, "WWW-Authenticate", 'Bearer realm="api", error="invalid_token"')
    expect_problem(api.get(owner.path, token=scene.owner), "not-found")
    left = api.get(f"/items?owner_id={owner.id}", token=scene.owner)
    assert left.json() == {"data": [], "next": None}


@pytest.mark.parametrize("operation", ["replace_item", "update_item"])
@pytest.mark.parametrize("if_match", [None, "*", "current"])
def test_an_item_deleted_while_the_request_runs_is_404(
    api: Api, scene: Scene, operation: str, if_match: str | None
) -> None:
    here = replace(scene, item=api.create_item(scene.owner))
    tag = here.item.etag if if_match == "current" else if_match
    held = HeldRequest(api, call(operation, here), {"If-Match": tag} if tag else {})
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
    owner = api.account()
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
