"""What the engine found, operation by operation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rosetta.clients.http import Violation
from rosetta.contract.spec import load
from rosetta.results.run import Held

if TYPE_CHECKING:  # every process collects this file, one runs the engine
    from machines.engine import Finding, Outcome

OPERATIONS = load().operations
LABELS = {id_: f"{operation.method} {operation.path}" for id_, operation in OPERATIONS.items()}
WITH_EXAMPLES = [id_ for id_, operation in OPERATIONS.items() if operation.media_types]
SHOWN_FAILURES = 5
UNLINKED = {"get_current_user", "liveness", "readiness"}


def report(findings: list[Finding]) -> Violation:
    """Return findings as a bug report, one of each check first."""
    once = {(f.operation, f.phase, f.check): f for f in reversed(findings)}
    shown = list(once.values())[::-1][:SHOWN_FAILURES]
    more = len(findings) - len(shown)
    texts = [str(finding) for finding in shown] + ([f"and {more} more like these"] if more else [])
    exchanges = [exchange for finding in shown for exchange in finding.exchanges]
    rules = dict.fromkeys(rule for finding in findings for rule in finding.rules)
    return Violation("\n\n---\n\n".join(texts), exchanges, rules)


def check(outcome: Outcome, operation: str, phase: str, held: Held) -> None:
    __tracebackhide__ = True
    label = LABELS[operation]
    held(outcome.held.get((label, phase), ()))
    if findings := outcome.of(label, phase):
        raise report(findings)
    # Which of its links a random walk takes is chance.
    if phase != "stateful":
        assert (label, phase) in outcome.tested, f"{label} was not tested in phase {phase}"


@pytest.mark.parametrize("operation", WITH_EXAMPLES)
def test_documented_examples_are_answered_as_documented(
    outcome: Outcome, operation: str, held: Held
) -> None:
    check(outcome, operation, "examples", held)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_values_at_every_bound_are_answered_as_documented(
    outcome: Outcome, operation: str, held: Held
) -> None:
    check(outcome, operation, "coverage", held)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_random_requests_are_answered_as_documented(
    outcome: Outcome, operation: str, held: Held
) -> None:
    check(outcome, operation, "fuzzing", held)


@pytest.mark.parametrize("operation", [id_ for id_ in OPERATIONS if id_ not in UNLINKED])
def test_sequences_along_links_are_answered_as_documented(
    outcome: Outcome, operation: str, held: Held
) -> None:
    check(outcome, operation, "stateful", held)


def test_sequences_followed_links(outcome: Outcome) -> None:
    assert outcome.followed, "no request came from a link"


@pytest.mark.parametrize("operation", OPERATIONS)
def test_some_generated_request_succeeded(outcome: Outcome, operation: str) -> None:
    statuses = dict(outcome.statuses.get(LABELS[operation], {}))
    assert outcome.succeeded(LABELS[operation]), f"answered only with {statuses}"


def test_the_engine_came_to_its_end_without_an_error(outcome: Outcome) -> None:
    errors = [finding for finding in outcome.findings if finding.operation not in LABELS.values()]
    if errors:
        raise report(errors)
    assert not outcome.problems
