"""Before the first test: every test is held to the rules, and what cannot run here is left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

import pytest
import yaml

from rosetta.contract.spec import Rules, read_yaml
from rosetta.results.run import layer_of
from rosetta.targets import databases
from rosetta.targets.manifest import ROOT

NEEDS_PROCESS = "needs the process"
NEEDS_DIRECTNESS = "needs a server without a proxy before it: http:// and no path prefix"
# A test that uses one of these cannot run against a server that is not ours.
CONTROLLED_FIXTURES = frozenset(
    {"database", "fleet", "launch", "limits_api", "limits_server", "redis_url"}
)


@dataclass
class Plan:
    """What was collected, and what was wrong apart from tests that failed."""

    collected: int = 0
    partial: str = ""  # why this run is no proof: what was deselected, or left out
    problems: list[str] = field(default_factory=list)


@dataclass(eq=False)
class Planner:
    """The hooks of collection.

    ``configuration`` is what the run has (``sqlite`` or ``postgresql``, ``workers``); without
    ``controlled`` the server is not ours, without ``knows_key`` no token can be forged, without
    ``direct`` there is a proxy before it.
    """

    rules: Mapping[str, str]
    configuration: frozenset[str]
    controlled: bool
    knows_key: bool
    direct: bool
    plan: Plan = field(default_factory=Plan)
    skips: dict[str, str] = field(default_factory=dict)  # why a test is not run

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Hold the tests to the rules before anything is deselected, and plan the skips."""
        whole = any(_is_suite(argument, config) for argument in config.args)
        self.plan.problems += rule_problems(items, self.rules, whole=whole)
        self.plan.problems += requirement_problems(items)
        if not whole:
            self.plan.partial = f"only {' '.join(config.args)}"
        self.plan.collected = len(items)
        for item in items:
            self._plan_test(item)
        if config.option.rule:
            _select(config, items, set(config.option.rule))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a module that skips itself, or cannot be imported: its tests are lost."""
        if report.skipped:
            self.plan.problems.append(f"unexpected skip of {report.nodeid}")
        elif report.failed:
            self.plan.problems.append(f"{report.nodeid} cannot be collected\n{report.longreprtext}")

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        """Note that a run which leaves tests out proves nothing."""
        total = self.plan.collected
        self.plan.collected -= len(items)
        if items:
            self.plan.partial = f"{self.plan.collected} of {total} tests selected"

    def _plan_test(self, item: pytest.Item) -> None:
        item.user_properties += [("rule", rule) for rule in dict.fromkeys(rules_of(item))]
        if reason := self._why_not(item):
            self.skips[item.nodeid] = reason
            item.user_properties.append(("not run", reason))
            item.add_marker(pytest.mark.skip(reason=reason))

    def _why_not(self, item: pytest.Item) -> str:
        """Return why a test cannot be run in this configuration, or nothing."""
        fixtures = set(getattr(item, "fixturenames", ()))
        if not self.controlled and (
            fixtures & CONTROLLED_FIXTURES or item.get_closest_marker("controlled")
        ):
            return NEEDS_PROCESS
        if "secret_key" in fixtures and not self.knows_key:
            return f"{NEEDS_PROCESS}, or its key in ROSETTA_SECRET_KEY"
        if item.get_closest_marker("direct") and not self.direct:
            return NEEDS_DIRECTNESS
        for mark in item.iter_markers("requires"):
            for name in mark.args:
                if name not in self.configuration:
                    return f"requires {name}"
        return ""


PLANNER = pytest.StashKey[Planner]()


def rules_of(item: pytest.Item) -> Iterator[str]:
    """Yield the rules that a test is marked with."""
    for mark in item.iter_markers("rule"):
        yield from mark.args


def requirement_problems(items: list[pytest.Item]) -> list[str]:
    """Return the marks that no configuration could ever satisfy."""
    known = {*databases.KINDS, "workers"}
    return [
        f"{item.nodeid} requires {name!r}, which is none of {', '.join(sorted(known))}"
        for item in items
        for mark in item.iter_markers("requires")
        for name in mark.args
        if name not in known
    ]


def rule_problems(items: list[pytest.Item], rules: Mapping[str, str], *, whole: bool) -> list[str]:
    """Return what is wrong between tests and rules; only the whole suite must cover them all."""
    marked = {item.nodeid: set(rules_of(item)) for item in items}
    problems = []
    for item in items:
        if unknown := marked[item.nodeid] - set(rules):
            problems.append(f"{item.nodeid} names an unknown rule: {', '.join(sorted(unknown))}")
        if layer_of(item.nodeid) == "rules" and not marked[item.nodeid]:
            problems.append(f"{item.nodeid} names no rule")
    if whole:
        covered = set().union(*marked.values())
        bare = [rule for rule in rules if rule not in covered]
        problems += [f"rules without a test ({len(bare)}): {', '.join(bare)}"] if bare else []
        problems += [] if rules else ["spec/rules.yaml has no rule"]
    return problems


def _select(config: pytest.Config, items: list[pytest.Item], rules: set[str]) -> None:
    """Leave only the tests that pin one of the rules."""
    others = [item for item in items if rules.isdisjoint(rules_of(item))]
    items[:] = [item for item in items if not rules.isdisjoint(rules_of(item))]
    config.hook.pytest_deselected(items=others)


def _is_suite(argument: str, config: pytest.Config) -> bool:
    path = (config.invocation_params.dir / argument).resolve()
    return path.is_dir() and path.name == "suite"


def check_known(wanted: Iterable[str], rules: Iterable[str]) -> None:
    """Raise UsageError unless every id that is wanted is a rule's, naming the nearest."""
    known = list(rules)
    for rule in wanted:
        if rule not in known:
            near = get_close_matches(rule, known)
            hint = f"did you mean {' or '.join(near)}?" if near else "see spec/rules.yaml"
            raise pytest.UsageError(f"--rule {rule}: there is no such rule; {hint}")


def rule_texts(root: Path = ROOT) -> dict[str, str]:
    """Return the text of each rule of spec/rules.yaml by its id; raise UsageError."""
    path = root / "spec" / "rules.yaml"
    try:
        found = Rules(read_yaml(path)).rules
    except (OSError, yaml.YAMLError, LookupError, TypeError) as error:
        raise pytest.UsageError(f"{path} cannot be read: {error!r}") from None
    return {rule.id: rule.text.strip() for rule in found.values()}
