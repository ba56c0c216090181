"""The pytest plugin of the suite: options, servers, fixtures, rule marks, results."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar, cast
from uuid import uuid4

import httpx
import pytest
import yaml

from rosetta import databases, results
from rosetta.client import Api
from rosetta.databases import PostgresDatabase, SqliteDatabase
from rosetta.fleet import LIMITS, SECRET_KEY, Fleet, Launch, start_together
from rosetta.harness import Server, ServerError, Target
from rosetta.manifest import ROOT, ManifestError, find
from rosetta.results import LAYERS, RunResult, TestResult
from rosetta.spec import Rules
from rosetta.venvs import VenvError

NEEDS_PROCESS = "needs the process"
# A test that uses one of these cannot run against a server that is not ours.
CONTROLLED_FIXTURES = frozenset(
    {"database", "fleet", "launch", "limits_api", "limits_server", "redis_url"}
)
LOG_SHOWN = 3000
# The rules first: beside them layers 1 and 3 are under way, for which their tests only wait.
ORDER = ("rules", "contract", "model")

T = TypeVar("T")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the suite."""
    group = parser.getgroup("rosetta", "conformance to spec/")
    group.addoption("--impl", metavar="NAME", help="start and test impl/NAME")
    group.addoption("--base-url", metavar="URL", help="test a server that runs already")
    group.addoption("--database", choices=databases.KINDS, default="sqlite")
    group.addoption("--workers", type=int, default=1, metavar="N", help="more than 1 needs Redis")
    group.addoption("--seed", type=int, default=0, metavar="N", help="of whatever is generated")
    group.addoption("--results", type=Path, default=ROOT / "results", metavar="DIR")
    group.addoption("--run-id", default="", help="ties the results of one nox run together")
    group.addoption(
        "--root",
        type=Path,
        default=ROOT,
        metavar="DIR",
        help="the repository, with impl/ and spec/",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Check the options and prepare the run; nothing is started before tests are collected."""
    config.addinivalue_line("markers", "rule(*ids): the rules of spec/rules.yaml that a test pins")
    config.addinivalue_line("markers", "controlled: needs control of the server process")
    config.addinivalue_line(
        "markers", "requires(name): runs only in a run with 'sqlite', 'postgresql' or 'workers'"
    )
    if config.option.collectonly or config.option.help:
        return
    options = config.option
    run = _plan(options)
    if not options.xmlpath:
        options.xmlpath = str(options.results / f"{run.result.label}.xml")
    if options.tbstyle == "auto":
        options.tbstyle = "short"
    config.stash[RUN] = run
    config.pluginmanager.register(run, "rosetta-run")
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _plan(options: Any) -> Run:  # noqa: ANN401 - argparse's
    """Return the run that the options ask for; raise UsageError."""
    if bool(options.impl) == bool(options.base_url):
        raise pytest.UsageError("say what to test: either --impl NAME or --base-url URL")
    if options.workers < 1:
        raise pytest.UsageError("--workers must be at least 1")
    rules = rule_texts(options.root)
    try:
        return _url_run(options, rules) if options.base_url else _own_run(options, rules)
    except (ManifestError, VenvError) as error:
        raise pytest.UsageError(str(error)) from None


def _own_run(options: Any, rules: Mapping[str, str]) -> Run:  # noqa: ANN401
    implementation = find(options.impl, options.root)
    label = implementation.name
    if options.database != "sqlite" or options.workers > 1:
        label += f"-{options.database}-{options.workers}"
    logs = options.results / f"{label}.logs"
    fleet = Fleet(implementation, options.database, options.workers, logs)
    result = _result(options, label)
    result.implementation, result.framework = implementation.name, implementation.framework
    result.lock = results.lock_hash(implementation)
    names = {
        implementation.framework: implementation.package,
        implementation.server: implementation.server,
    }
    result.versions |= results.versions(fleet.venv, names)
    return Run(result, options.results, rules, fleet=fleet)


def _url_run(options: Any, rules: Mapping[str, str]) -> Run:  # noqa: ANN401
    result = _result(options, "url")
    result.database, result.workers = "unknown", 0
    return Run(result, options.results, rules, target=Target(options.base_url))


def _result(options: Any, label: str) -> RunResult:  # noqa: ANN401
    commit, dirty = results.commit()
    return RunResult(
        label=label,
        implementation=label,
        framework=label,
        database=options.database,
        workers=options.workers,
        seed=options.seed,
        run_id=options.run_id or uuid4().hex,
        base_url=options.base_url,
        commit=commit,
        dirty=dirty,
        lock="",
        versions={"python": results.python_version()},
        started=_now(),
    )


@dataclass(eq=False)
class Run:
    """One run of the suite against one target, and its hooks."""

    result: RunResult
    directory: Path
    rules: Mapping[str, str]
    fleet: Fleet | None = None
    target: Target | None = None
    limits: Server | None = None
    layers: Server | None = None
    collected: set[str] = field(default_factory=set)
    apis: list[Api] = field(default_factory=list)
    _reports: dict[str, list[pytest.TestReport]] = field(default_factory=dict)
    _tests: dict[str, TestResult] = field(default_factory=dict)
    _skips: dict[str, str] = field(default_factory=dict)
    _uncounted: float = 0.0  # seconds that the present phase waited beyond the work itself

    @property
    def secret_key(self) -> str | None:
        """The SECRET_KEY of the servers, if it is known."""
        return SECRET_KEY if self.fleet else os.environ.get("ROSETTA_SECRET_KEY")

    # -- collection

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(
        self, session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Hold the tests to the rules before anything is deselected, and plan the skips."""
        self.result.write(self.directory)
        items.sort(key=lambda item: _layer_order(_layer(item)))
        whole = any(_is_suite(argument, config) for argument in config.args)
        self.result.problems += rule_problems(items, self.rules, whole=whole)
        self.result.problems += requirement_problems(items)
        if not whole:
            self.result.partial = f"only {' '.join(config.args)}"
        self.collected = {item.nodeid for item in items}
        for item in items:
            self._plan_test(item)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a module that skips itself: it has no tests that could."""
        if report.skipped:
            self.result.problems.append(f"unexpected skip of {report.nodeid}")

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        """Note that a run which leaves tests out proves nothing."""
        gone = {item.nodeid for item in items}
        self.collected -= gone
        for nodeid in gone:
            self._tests.pop(nodeid, None)
        if gone:
            total = len(gone) + len(self.collected)
            self.result.partial = f"{len(self.collected)} of {total} tests selected"

    def _plan_test(self, item: pytest.Item) -> None:
        rules = list(dict.fromkeys(rules_of(item)))
        self._tests[item.nodeid] = TestResult(item.nodeid, _layer(item), rules, "not-run", 0.0)
        if reason := self._why_not(item):
            self._skips[item.nodeid] = reason
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
                if name not in self._configuration():
                    return f"requires {name}"
        return ""

    def _configuration(self) -> set[str]:
        several = {"workers"} if self.result.workers > 1 else set()
        return {self.result.database} | several

    # -- running

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Start what the selected tests need; a server that does not start ends the run."""
        if not session.items or session.config.option.collectonly:
            return
        try:
            self._start(session.items)
        except Exception as error:
            self.result.problems.append(str(error))
            pytest.exit(str(error), returncode=pytest.ExitCode.TESTS_FAILED)

    def _start(self, items: list[pytest.Item]) -> None:
        if self.fleet is None:
            assert self.target is not None
            _check_reachable(self.target)
            return
        servers = [self.fleet.server("main")]
        self.target = servers[0]
        used = {
            name
            for item in items
            if item.nodeid not in self._skips
            for name in getattr(item, "fixturenames", ())
        }
        if "limits_server" in used:
            self.limits = self.fleet.server("limits", environment=dict(LIMITS))
            servers.append(self.limits)
        if "layers_api" in used:
            self.layers = self.fleet.server("layers")
            servers.append(self.layers)
        start_together(servers)

    def result_of(self, work: Future[Timed[T]]) -> T:
        """Wait for work that was begun early and return its result, or raise its error.

        The test that asks is charged for the seconds of the work, not for those it waited: they
        are what the run reports of it.
        """
        begin = time.monotonic()
        done = work.result()
        self._uncounted += time.monotonic() - begin - done.seconds
        if done.error is not None:
            raise done.error
        return cast("T", done.value)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Let a failure report show only what its own test did."""
        for api in self.apis:
            api.exchanges.clear()
        self._log_start = _size(self._log)
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Turn an unplanned skip into a failure, and a failure into a bug report."""
        report = yield
        report.duration = max(report.duration - self._uncounted, 0.0)
        self._uncounted = 0.0
        if report.skipped and item.nodeid not in self._skips:
            reason = getattr(report, "wasxfail", None) or _skip_reason(report)
            report.outcome = "failed"
            report.longrepr = f"unexpected skip or xfail: {reason}"
            report.__dict__.pop("wasxfail", None)
        if report.failed:
            self._explain(item, report)
        return report

    def _explain(self, item: pytest.Item, report: pytest.TestReport) -> None:
        for rule in dict.fromkeys(rules_of(item)):
            report.sections.append((f"rule {rule}: the contract says", self.rules.get(rule, "?")))
        told = report.longreprtext
        exchanges = [str(exchange) for api in self.apis for exchange in api.exchanges]
        exchanges = [text for text in exchanges if text.splitlines()[0] not in told]
        if exchanges:
            report.sections.append(("exchanges before", "\n\n".join(exchanges)))
        if self.layers and "layers_api" in getattr(item, "fixturenames", ()):
            report.sections.append(("the end of its server's log", _read_from(self.layers.log, 0)))
        elif log := _read_from(self._log, self._log_start):
            report.sections.append(("the main server's log", log))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the outcome of one phase of a test."""
        test = self._tests[report.nodeid]
        test.seconds = round(test.seconds + report.duration, 4)
        if report.failed:
            test.outcome = "failed"
            test.failure = "\n".join(filter(None, [test.failure, _failure_text(report)]))
        elif report.skipped:
            test.reason = self._skips.get(report.nodeid, "")
        elif report.when == "call" and test.outcome == "not-run":
            test.outcome = "passed"

    # -- the end

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """End the servers, write the result file, and be red for what is not a test's failure."""
        self._end_servers()
        if not self.collected:
            self.result.problems.append("no test collected")
        ran = [test for test in self._tests.values() if test.outcome != "not-run" or test.reason]
        self.result.tests = ran
        self.result.finish(self.rules, len(self.collected), _now())
        if exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            self.result.problems.append(f"pytest ended with {pytest.ExitCode(exitstatus).name}")
        self.result.write(self.directory)
        if self.result.problems and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _end_servers(self) -> None:
        for api in self.apis:
            api.close()
        try:
            if self.fleet:
                self.fleet.close()
        except Exception as error:  # the results must be written all the same
            self.result.problems.append(f"cleaning up failed: {error}")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what was left out and what is wrong besides failures."""
        counts: dict[str, int] = {}
        for reason in self._skips.values():
            counts[reason] = counts.get(reason, 0) + 1
        for reason, count in sorted(counts.items()):
            terminalreporter.write_line(f"not run: {count} tests ({reason})")
        for problem in self.result.problems:
            terminalreporter.write_line(f"RED: {problem}", red=True)

    @property
    def _log(self) -> Path | None:
        return self.target.log if isinstance(self.target, Server) else None


RUN = pytest.StashKey[Run]()


@dataclass(frozen=True)
class Timed(Generic[T]):
    """How a piece of work ended, and how many seconds it took."""

    seconds: float
    value: T | None = None
    error: BaseException | None = None

    @classmethod
    def of(cls, work: Callable[[], T]) -> Timed[T]:
        """Do the work; whatever it raises is kept."""
        begin = time.monotonic()
        try:
            value = work()
        except BaseException as error:  # Hypothesis and pytest raise those too
            return cls(time.monotonic() - begin, error=error)
        return cls(time.monotonic() - begin, value)


# -- rules


def rule_texts(root: Path = ROOT) -> dict[str, str]:
    """Return the text of each rule of spec/rules.yaml by its id; raise UsageError."""
    path = root / "spec" / "rules.yaml"
    try:
        found = Rules(yaml.safe_load(path.read_text(encoding="utf-8"))).rules
    except (OSError, yaml.YAMLError, LookupError, TypeError) as error:
        raise pytest.UsageError(f"{path} cannot be read: {error!r}") from None
    return {rule.id: rule.text.strip() for rule in found.values()}


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
        if _layer(item) == "rules" and not marked[item.nodeid]:
            problems.append(f"{item.nodeid} names no rule")
    if whole:
        covered = set().union(*marked.values())
        bare = [rule for rule in rules if rule not in covered]
        problems += [f"rules without a test ({len(bare)}): {', '.join(bare)}"] if bare else []
        problems += [] if rules else ["spec/rules.yaml has no rule"]
    return problems


# -- fixtures


@pytest.fixture(scope="session")
def _run(pytestconfig: pytest.Config) -> Run:
    return pytestconfig.stash[RUN]


@pytest.fixture(scope="session")
def rules(_run: Run) -> Mapping[str, str]:
    """Return the text of each rule by its id."""
    return _run.rules


@pytest.fixture(scope="session")
def seed(_run: Run) -> int:
    """Return the seed for whatever is generated."""
    return _run.result.seed


@pytest.fixture(scope="session")
def server(_run: Run) -> Target:
    """Return the main server: with --impl a Server, with --base-url only a Target."""
    assert _run.target is not None
    return _run.target


@pytest.fixture(scope="session")
def api(_run: Run, server: Target) -> Api:
    """Return a client of the main server."""
    return _client(_run, server)


@pytest.fixture(scope="session")
def limits_server(_run: Run) -> Server:
    """Return the server with a token life of 3 s, 3 sockets and a queue of 10 events."""
    assert _run.limits is not None
    return _run.limits


@pytest.fixture(scope="session")
def limits_api(_run: Run, limits_server: Server) -> Api:
    """Return a client of the server with small limits."""
    return _client(_run, limits_server)


@pytest.fixture(scope="session")
def layers_api(_run: Run) -> Iterator[Api]:
    """Return the client of layers 1 and 3, which run beside other tests.

    Its server is their own, and its exchanges are not in another test's report. A server that is
    not ours is the one there is, and nothing runs beside anything.
    """
    if _run.layers is None:
        assert _run.target is not None
        yield _client(_run, _run.target)
    else:
        with Api(_run.layers) as api:
            yield api


@pytest.fixture(scope="session")
def secret_key(_run: Run) -> str:
    """Return the SECRET_KEY of all servers, to forge tokens with."""
    assert _run.secret_key is not None
    return _run.secret_key


@pytest.fixture(scope="session")
def fleet(_run: Run) -> Fleet:
    """Return the maker of servers and databases of this run."""
    assert _run.fleet is not None
    return _run.fleet


@pytest.fixture(scope="session")
def database(server: Server) -> SqliteDatabase | PostgresDatabase:
    """Return the main server's database, to look into past the server."""
    assert isinstance(server.database, SqliteDatabase | PostgresDatabase)
    return server.database


@pytest.fixture(scope="session")
def redis_url() -> str:
    """Return the URL of the Redis; a test that uses it carries requires("workers")."""
    return databases.redis_url()


@pytest.fixture
def launch(fleet: Fleet) -> Iterator[Launch]:
    """Return a function that starts a server of the test's own, ended with the test.

    ``launch(*, start=True, migrated=True, database=None, database_url=None, workers=1,
    environment={})``: on a new database of the run's kind unless one is given; a variable of
    ``environment`` that is None is not set.
    """
    servers: list[Server] = []

    def launch(*, start: bool = True, migrated: bool = True, **options: Any) -> Server:  # noqa: ANN401
        if not migrated:
            options["database"] = fleet.database(migrated=False)
        options.setdefault("workers", 1)
        server = fleet.server("launched", **options)
        servers.append(server)
        if start:
            server.start()
        return server

    yield launch
    fleet.discard(servers)


@pytest.fixture
def client(_run: Run) -> Iterator[Callable[[Target], Api]]:
    """Return a function that makes a client of another server, closed with the test."""
    made: list[Api] = []

    def client(target: Target) -> Api:
        made.append(_client(_run, target))
        return made[-1]

    yield client
    for api in made:
        api.close()
        _run.apis.remove(api)


def _client(run: Run, target: Target) -> Api:
    api = Api(target)
    run.apis.append(api)
    return api


# -- small things


def _is_suite(argument: str, config: pytest.Config) -> bool:
    path = (config.invocation_params.dir / argument).resolve()
    return path.is_dir() and path.name == "suite"


def _layer(item: pytest.Item) -> str:
    """Return the layer of a test: the folder under suite/ in which it lies."""
    parts = item.path.parts
    after = parts[parts.index("suite") + 1 :] if "suite" in parts else ()
    return after[0] if after and after[0] in LAYERS else "other"


def _layer_order(layer: str) -> int:
    return ORDER.index(layer) if layer in ORDER else len(ORDER)


def _check_reachable(target: Target) -> None:
    try:
        answer = httpx.get(f"{target.base_url}/healthz", timeout=5, trust_env=False)
    except httpx.HTTPError as error:
        raise ServerError(f"no server at {target.base_url}: {error}") from None
    if answer.status_code != httpx.codes.OK:
        raise ServerError(f"{target.base_url}/healthz answered {answer.status_code}, not 200")


def _failure_text(report: pytest.TestReport) -> str:
    sections = [f"--- {title} ---\n{text}" for title, text in report.sections]
    return "\n\n".join([report.longreprtext, *sections])


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


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
