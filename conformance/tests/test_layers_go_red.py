"""Each layer is green on the reference server and red on its faults; layer 1 repeats itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from machines.engine import RULES, Choice, Outcome, run
from machines.feed_machine import FeedMachine
from machines.http_machine import HttpMachine
from machines.machine import run_machine
from machines.world import World
from rosetta.clients.http import Api, Violation
from rosetta.contract.spec import load
from rosetta.targets.manifest import ROOT
from tests import faults
from tests.reference import Reference, Service

Fault = type[Service]
EXAMPLES = 60
KNOWN = load().rules.rules
# Of a request, what is not the same for the same seed.
UNLIKE = {"Authorization", "X-Schemathesis-TestCaseId"}
CONCURRENCY = "suite/rules/test_concurrency.py"
LAYER_2 = [
    ("test_a_field_without_the_current_tag_refuses_the_write", faults.MatchesWeakly),
    ("test_a_write_that_changes_no_value_moves_version_and_time", faults.KeepsTagAtPatch),
    ("test_anothers_address_is_taken_in_any_case", faults.ComparesAddressesByCase),
]


def contract(*mixed_in: Fault, phases: tuple[str, ...], seed: int = 0) -> Outcome:
    with Reference(*mixed_in) as target, Api(target) as api:
        return run(api, seed, Choice(phases=phases), salt="same")


def sent(outcome: Outcome) -> list[tuple[str, str, bytes | None, str | None]]:
    """Return the requests but for the tokens, which the server made, and the server's port."""
    requests = [interaction.request for interaction in outcome.requests]
    return [
        (
            request.method,
            request.uri.partition("//")[2].partition("/")[2],
            request.body,
            str({k: v for k, v in request.headers.items() if k not in UNLIKE}),
        )
        for request in requests
    ]


# -- layer 1


@pytest.mark.parametrize("phase", ["examples", "coverage", "fuzzing", "stateful"])
def test_layer_1_is_green_and_sends_the_same_again(phase: str) -> None:
    first, second = contract(phases=(phase,)), contract(phases=(phase,))
    assert first.requests
    assert (first.findings, first.problems) == ([], [])
    assert sent(first) == sent(second)


def test_layer_1_sends_something_else_for_another_seed() -> None:
    first, second = (contract(phases=("fuzzing",), seed=seed) for seed in (1, 2))
    assert sent(first) != sent(second)


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        (faults.AcceptsAnyPrice, "negative_data_rejection"),
        (faults.IgnoresAuthentication, "ignored_auth"),
        (faults.NoNosniff, "response_headers_conformance"),
        (faults.ShowsPassword, "response_schema_conformance"),
    ],
)
def test_layer_1_goes_red(fault: Fault, check: str) -> None:
    outcome = contract(fault, phases=("coverage",))
    assert check in {finding.check for finding in outcome.findings}
    assert all("curl " in finding.text for finding in outcome.findings)


def test_layer_1_names_the_rules_that_it_holds_answers_to() -> None:
    outcome = contract(faults.IgnoresAuthentication, phases=("coverage",))
    assert {"bearer"} <= {rule for finding in outcome.findings for rule in finding.rules}
    assert {"etag", "item-schema"} <= outcome.held["PATCH /items/{item_id}", "coverage"]
    assert {rule for held in outcome.held.values() for rule in held} <= set(KNOWN)
    assert set(RULES.values()) <= set(KNOWN)


def test_layer_1_notes_an_operation_that_never_succeeds() -> None:
    outcome = contract(faults.RefusesEveryPut, phases=("coverage",))
    assert not outcome.succeeded("PUT /items/{item_id}")
    assert outcome.succeeded("PUT /users/{user_id}")


# -- layer 2


def rules(tmp_path: Path, test: str, *mixed_in: Fault) -> int:
    """Run a test of layer 2 in a process of its own, as a user does, and return its exit code."""
    with Reference(*mixed_in) as target:
        return subprocess.run(  # noqa: S603
            [
                *(sys.executable, "-m", "pytest", f"{CONCURRENCY}::{test}"),
                *("--base-url", target.base_url, "--results", str(tmp_path)),
            ],
            cwd=ROOT / "conformance",
            env=dict(os.environ),
            stdout=subprocess.DEVNULL,
            check=False,
        ).returncode


@pytest.mark.parametrize(("test", "fault"), LAYER_2)
def test_layer_2_goes_red(tmp_path: Path, test: str, fault: Fault) -> None:
    assert rules(tmp_path, test) == pytest.ExitCode.OK
    assert rules(tmp_path, test, fault) == pytest.ExitCode.TESTS_FAILED


# -- layer 3


def model(machine: type, *mixed_in: Fault) -> set[str]:
    """Run a machine and return the rules to which it held answers."""
    with Reference(*mixed_in) as target, Api(target) as api:
        world = World(api)
        run_machine(machine, world, 0, examples=EXAMPLES, shrinking=1)
        return world.held


@pytest.mark.parametrize(
    ("machine", "some"),
    [
        (HttpMachine, {"etag", "if-match", "ownership", "pages", "validation-errors"}),
        (FeedMachine, {"feed", "feed-order", "feed-data", "feed-commands", "ws-close"}),
    ],
)
def test_layer_3_is_green_and_names_the_rules_that_it_holds_answers_to(
    machine: type, some: set[str]
) -> None:
    held = model(machine)
    assert held >= some
    assert held <= set(KNOWN)


@pytest.mark.parametrize(
    ("fault", "rule"),
    [
        (faults.ComparesAddressesByCase, "email-taken"),
        (faults.CrashesOnUnicode, "success"),
        (faults.ForgetsNothing, "bearer"),
        (faults.IgnoresOwnership, "ownership"),
        (faults.KeepsDeleted, "not-found"),
        (faults.KeepsTagAtPatch, "etag"),
        (faults.MatchesWeakly, "if-match"),
        (faults.PutKeepsDescription, "item-schema"),
        (faults.SkipsARow, "pages"),
    ],
)
def test_the_http_machine_goes_red_and_names_a_rule(fault: Fault, rule: str) -> None:
    with pytest.raises(Violation, match=r"(?s)1\. .*In the last step: expected.*curl") as caught:
        model(HttpMachine, fault)
    assert rule in caught.value.rules
    assert caught.value.exchanges


@pytest.mark.parametrize(
    ("fault", "rule"),
    [
        (faults.DeletesUserFirst, "feed"),
        (faults.IgnoresTopics, "feed"),
        (faults.LosesAnEvent, "feed"),
        (faults.RepeatsAfterResume, "feed"),
        (faults.SendsTheNewest, "feed-data"),
    ],
)
def test_the_feed_machine_goes_red_and_names_a_rule(fault: Fault, rule: str) -> None:
    with pytest.raises(Violation, match=r"(?s)1\. .*In the last step: ") as caught:
        model(FeedMachine, fault)
    assert rule in caught.value.rules
