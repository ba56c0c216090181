"""A process of a run: it holds the collected tests to the rules, starts servers, runs the tests.

With ``--numprocesses`` pytest-xdist makes several, each with servers of its own, and a controller
beside them; without it there is one process, which is its own controller.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx
import pytest

from rosetta.clients.http import Api, Violation
from rosetta.results.run import EVIDENCE, Evidence, layer_of
from rosetta.targets import databases
from rosetta.targets.fleet import SECRET_KEY, Fleet
from rosetta.targets.server import Server, ServerError, Target

NEEDS_PROCESS = "needs the process"
# A test that uses one of these cannot run against a server that is not ours.
CONTROLLED_FIXTURES = frozenset(
    {"database", "fleet", "launch", "limits_api", "limits_server", "redis_url"}
)
LOG_SHOWN = 3000
# What mostly waits is one process's share: a server is given its 20 s of quiet amid other tests.
WAITING = (
    *("rules/test_clocks.py::test_a_lost_wake_up", "rules/test_disruptions.py"),
    *("rules/test_limits.py", "rules/test_failures.py", "rules/test_workers.py"),
    "rules/test_clocks.py",
)
# What takes longest begins first, so that no process is left alone with it at the end.
FIRST = (
    *(*WAITING, "contract/", "rules/test_operations.py", "rules/test_resources.py"),
    *("rules/test_concurrency.py", "rules/test_feed.py", "model/", "rules/test_authentication.py"),
    *("rules/test_bodies.py", "rules/test_messages.py", "rules/test_queries.py"),
    "rules/test_feed_close.py",
)


@dataclass
class Plan:
    """What one process collected, and what was wrong besides tests that failed."""

    collected: int = 0
    partial: str = ""  # why this run is no proof: what was deselected, or left out
    problems: list[str] = field(default_factory=list)


@dataclass(eq=False)
class Worker:
    """The hooks of one process, and its servers: of a fleet of its own, or one that runs."""

    rules: Mapping[str, str]
    fleet: Fleet | None
    target: Target | None
    configuration: frozenset[str]
    secret_key: str | None
    deliver: Callable[[Plan], None] = field(init=False)  # to the controller, at the end
    plan: Plan = field(default_factory=Plan)
    _apis: list[Api] = field(default_factory=list)
    _skips: dict[str, str] = field(default_factory=dict)
    _servers: dict[str, Server] = field(default_factory=dict)
    _log_start: int = 0

    # -- collection

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Hold the tests to the rules before anything is deselected, and plan the skips."""
        if hasattr(config, "workerinput"):  # one process alone begins with what it was given
            items.sort(key=lambda item: place_of(item.nodeid))
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
        """Note a module that skips itself: it has no tests that could."""
        if report.skipped:
            self.plan.problems.append(f"unexpected skip of {report.nodeid}")

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        """Note that a run which leaves tests out proves nothing."""
        total = self.plan.collected
        self.plan.collected -= len(items)
        if items:
            self.plan.partial = f"{self.plan.collected} of {total} tests selected"

    def _plan_test(self, item: pytest.Item) -> None:
        item.user_properties += [("rule", rule) for rule in dict.fromkeys(rules_of(item))]
        if reason := self._why_not(item):
            self._skips[item.nodeid] = reason
            item.user_properties.append(("not run", reason))
            item.add_marker(pytest.mark.skip(reason=reason))

    def _why_not(self, item: pytest.Item) -> str:
        """Return why a test cannot be run in this configuration, or nothing."""
        fixtures = set(getattr(item, "fixturenames", ()))
        if not self.fleet and (
            fixtures & CONTROLLED_FIXTURES or item.get_closest_marker("controlled")
        ):
            return NEEDS_PROCESS
        if "secret_key" in fixtures and not self.secret_key:
            return f"{NEEDS_PROCESS}, or its key in ROSETTA_SECRET_KEY"
        for mark in item.iter_markers("requires"):
            for name in mark.args:
                if name not in self.configuration:
                    return f"requires {name}"
        return ""

    # -- servers

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """End a run against a server that is not there before its first test."""
        if session.items and self.target and not session.config.option.collectonly:
            try:
                check_reachable(self.target)
            except ServerError as error:
                self.plan.problems.append(str(error))
                pytest.exit(str(error), returncode=pytest.ExitCode.TESTS_FAILED)

    def main(self, session: pytest.Session) -> Target:
        """Return the server under test."""
        return self.target or self.server("main", session)

    def server(
        self, name: str, session: pytest.Session, environment: Mapping[str, str] | None = None
    ) -> Server:
        """Return one of the servers that last as long as the process, started at the first call.

        One that does not start ends the run: no test could pass.
        """
        assert self.fleet is not None
        if name not in self._servers:
            try:
                self._servers[name] = self.fleet.server(name, environment=environment)
                self._servers[name].start()
            except Exception as error:
                self.plan.problems.append(str(error))
                session.shouldfail = f"the server {name!r} did not start"
                raise
        return self._servers[name]

    def client(self, target: Target) -> Api:
        """Return a client whose exchanges stand in the report of a failure."""
        known = isinstance(target, Server) and signs_as_we_do(target)
        self._apis.append(Api(target, secret_key=SECRET_KEY if known else None))
        return self._apis[-1]

    def forget(self, api: Api) -> None:
        """Close a client before the end."""
        api.close()
        self._apis.remove(api)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """End the servers, then tell the controller what it cannot see."""
        for api in self._apis:
            api.close()
        try:
            if self.fleet:
                self.fleet.close()
        except Exception as error:  # the results must be written all the same
            self.plan.problems.append(f"cleaning up failed: {error}")
        self.deliver(self.plan)

    # -- reports

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Let a failure report show only what its own test did."""
        for api in self._apis:
            api.exchanges.clear()
        self._log_start = _size(self._log)
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[object]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Turn an unplanned skip into a failure, and a failure into a bug report."""
        report = yield
        if report.skipped and item.nodeid not in self._skips:
            reason = getattr(report, "wasxfail", None) or _skip_reason(report)
            report.outcome = "failed"
            report.longrepr = f"unexpected skip or xfail: {reason}"
            report.__dict__.pop("wasxfail", None)
        if report.failed:
            self._explain(item, report)
            error = call.excinfo.value if call.excinfo else None
            # pytest-xdist carries what a report has, as long as it is made of dicts and lists.
            report.__dict__[EVIDENCE] = asdict(self._evidence(error))
            broken = error.rules if isinstance(error, Violation) else []
            report.user_properties += [("broken", rule) for rule in broken]
        return report

    def _evidence(self, error: BaseException | None) -> Evidence:
        """Return what was asked and answered, in order, what was judged at the end."""
        judged = error.exchanges if isinstance(error, Violation) else []
        before = [exchange.told for api in self._apis for exchange in api.exchanges]
        told = [*(each for each in before if each not in judged), *judged]
        exchanges = [{"request": request, "response": response} for request, response in told]
        return Evidence(exchanges, _read_from(self._log, self._log_start))

    def _explain(self, item: pytest.Item, report: pytest.TestReport) -> None:
        for rule in dict.fromkeys(rules_of(item)):
            report.sections.append((f"rule {rule}: the contract says", self.rules.get(rule, "?")))
        told = report.longreprtext
        exchanges = [str(exchange) for api in self._apis for exchange in api.exchanges]
        exchanges = [text for text in exchanges if text.splitlines()[0] not in told]
        if exchanges:
            report.sections.append(("exchanges before", "\n\n".join(exchanges)))
        if log := _read_from(self._log, self._log_start):
            report.sections.append(("the main server's log", log))

    @property
    def _log(self) -> Path | None:
        main = self._servers.get("main")
        return main.log if main else None


WORKER = pytest.StashKey[Worker]()


# -- rules


def rules_of(item: pytest.Item) -> Iterator[str]:
    """Yield the rules that a test is marked with."""
    for mark in item.iter_markers("rule"):
        yield from mark.args


def _select(config: pytest.Config, items: list[pytest.Item], rules: set[str]) -> None:
    """Leave only the tests that pin one of the rules."""
    others = [item for item in items if rules.isdisjoint(rules_of(item))]
    items[:] = [item for item in items if not rules.isdisjoint(rules_of(item))]
    config.hook.pytest_deselected(items=others)


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


# -- small things


def check_reachable(target: Target) -> None:
    """Raise ServerError unless a server answers there."""
    try:
        answer = httpx.get(f"{target.base_url}/healthz", timeout=5, trust_env=False)
    except httpx.HTTPError as error:
        raise ServerError(f"no server at {target.base_url}: {error}") from None
    if answer.status_code != httpx.codes.OK:
        raise ServerError(f"{target.base_url}/healthz answered {answer.status_code}, not 200")


def signs_as_we_do(server: Server) -> bool:
    """Tell whether the suite's own tokens are those that this server would issue."""
    environment = server.environment
    return environment.get("SECRET_KEY") == SECRET_KEY and "TOKEN_TTL_SECONDS" not in environment


def place_of(test: str) -> int:
    """Return the place of a test; those of files not in FIRST stay as they are, behind."""
    places = (place for place, path in enumerate(FIRST) if f"suite/{path}" in test)
    return next(places, len(FIRST))


def share_of(test: str) -> str:
    """Return the name of what one process runs from beginning to end: a file, or what waits."""
    return "waiting" if place_of(test) < len(WAITING) else test.partition("::")[0]


def _is_suite(argument: str, config: pytest.Config) -> bool:
    path = (config.invocation_params.dir / argument).resolve()
    return path.is_dir() and path.name == "suite"


def _skip_reason(report: pytest.TestReport) -> str:
    return report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)


def _size(log: Path | None) -> int:
    return log.stat().st_size if log and log.exists() else 0


def _read_from(log: Path | None, start: int) -> str:
    if log is None or not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(start, _size(log) - LOG_SHOWN))
        return file.read().decode("utf-8", "replace")
