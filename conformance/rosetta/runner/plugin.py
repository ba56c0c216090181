"""The pytest plugin of the suite: its options and fixtures.

What a run does is in ``worker``, what becomes of its findings in ``controller``.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from rosetta.clients.http import Api
from rosetta.contract.spec import Rules, read_yaml
from rosetta.results import run as results
from rosetta.results.run import Held, RunResult, now
from rosetta.runner.controller import Controller, Template
from rosetta.runner.process import WORKER, Plan, Worker
from rosetta.targets import databases, venvs
from rosetta.targets.databases import PostgresDatabase, SqliteDatabase
from rosetta.targets.fleet import LIMITS, SECRET_KEY, Fleet, Launch
from rosetta.targets.manifest import ROOT, Implementation, ManifestError, find
from rosetta.targets.server import Server, Target
from rosetta.targets.venvs import VenvError


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the suite."""
    group = parser.getgroup("rosetta", "conformance to spec/")
    group.addoption("--impl", metavar="NAME", help="start and test impl/NAME")
    group.addoption("--base-url", metavar="URL", help="test a server that runs already")
    group.addoption("--database", choices=databases.KINDS, default="sqlite")
    group.addoption("--workers", type=int, default=1, metavar="N", help="more than 1 needs Redis")
    group.addoption("--seed", type=int, default=0, metavar="N", help="of whatever is generated")
    group.addoption("--results", type=Path, default=ROOT / "results", metavar="DIR")
    group.addoption(
        "--rule",
        action="append",
        default=[],
        metavar="ID",
        help="only tests marked with this rule; may be repeated",
    )
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
    options = config.option
    if options.collectonly or options.help:
        return
    try:
        _check(options)
        rules = rule_texts(options.root)
        check_known(options.rule, rules)
        implementation = find(options.impl, options.root) if options.impl else None
        if options.numprocesses:  # xdist's workers are other processes, which come here as well
            _add_controller(config, implementation, rules)
            if implementation:
                config.pluginmanager.register(Template(_fleet(config, implementation)))
        else:
            _add_worker(config, implementation, rules)
    except (ManifestError, VenvError) as error:
        raise pytest.UsageError(str(error)) from None


def pytest_collection_finish() -> None:
    """Leave what was imported and collected out of every search for garbage from now on."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """Search once for garbage that complains, before pytest does so several times over."""
    gc.collect()
    gc.freeze()


def _check(options: Any) -> None:  # noqa: ANN401 - argparse's
    """Raise UsageError unless the options name one target."""
    if bool(options.impl) == bool(options.base_url):
        raise pytest.UsageError("say what to test: either --impl NAME or --base-url URL")
    if options.workers < 1:
        raise pytest.UsageError("--workers must be at least 1")
    if options.base_url and options.numprocesses:
        raise pytest.UsageError("--base-url takes no --numprocesses: there is one server")


def check_known(wanted: Iterable[str], rules: Iterable[str]) -> None:
    """Raise UsageError unless every id that is wanted is a rule's, naming the nearest."""
    known = list(rules)
    for rule in wanted:
        if rule not in known:
            near = get_close_matches(rule, known)
            hint = f"did you mean {' or '.join(near)}?" if near else "see spec/rules.yaml"
            raise pytest.UsageError(f"--rule {rule}: there is no such rule; {hint}")


def _label(options: Any) -> str:  # noqa: ANN401
    if options.base_url:
        return "url"
    if options.database == "sqlite" and options.workers == 1:
        return str(options.impl)
    return f"{options.impl}-{options.database}-{options.workers}"


def _logs(options: Any) -> Path:  # noqa: ANN401
    return Path(options.results) / f"{_label(options)}.logs"


def _add_controller(
    config: pytest.Config, implementation: Implementation | None, rules: Mapping[str, str]
) -> Controller:
    options = config.option
    for log in _logs(options).glob("*.log"):  # of an older run
        log.unlink()
    if not options.xmlpath:
        options.xmlpath = str(options.results / f"{_label(options)}.xml")
    if options.tbstyle == "auto":
        options.tbstyle = "short"
    controller = Controller(_result(options, implementation), options.results, rules)
    config.pluginmanager.register(controller, "rosetta-controller")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return controller


def _add_worker(
    config: pytest.Config, implementation: Implementation | None, rules: Mapping[str, str]
) -> None:
    options = config.option
    several = ["workers"] if options.workers > 1 else []
    worker = Worker(
        rules,
        fleet=_fleet(config, implementation) if implementation else None,
        target=Target(options.base_url) if options.base_url else None,
        configuration=frozenset([options.database, *several]),
        secret_key=SECRET_KEY if implementation else os.environ.get("ROSETTA_SECRET_KEY"),
    )
    config.stash[WORKER] = worker
    config.pluginmanager.register(worker, "rosetta-worker")
    if hasattr(config, "workeroutput"):
        worker.deliver = _send_to(config)
    else:  # registered behind the worker, it also hears the end of the run behind it
        worker.deliver = _add_controller(config, implementation, rules).hear


def _fleet(config: pytest.Config, implementation: Implementation) -> Fleet:
    """Return a fleet whose logs are told from those of another process by their names."""
    options = config.option
    given = getattr(config, "workerinput", {})
    process = f"{given['workerid']}-" if given else ""
    offer = Path(given["template"]) if "template" in given else None
    return Fleet(implementation, options.database, options.workers, _logs(options), process, offer)


def _send_to(config: pytest.Config) -> Callable[[Plan], None]:
    """Return a function that leaves a plan where pytest-xdist brings it to the controller."""

    def deliver(plan: Plan) -> None:
        config.workeroutput["plan"] = asdict(plan)  # type: ignore[attr-defined]

    return deliver


def _result(options: Any, implementation: Implementation | None) -> RunResult:  # noqa: ANN401
    commit, dirty = results.commit()
    label = _label(options)
    about: dict[str, Any] = {"versions": {"python": results.python_version()}, "lock": ""}
    if implementation:
        about = results.tested(implementation, venvs.environment_of(implementation))
    return RunResult(
        label=label,
        implementation=implementation.name if implementation else label,
        framework=implementation.framework if implementation else label,
        database=options.database if implementation else "unknown",
        workers=options.workers if implementation else 0,
        processes=options.numprocesses or 1,
        seed=options.seed,
        run_id=options.run_id or uuid4().hex,
        base_url=options.base_url,
        commit=commit,
        dirty=dirty,
        started=now(),
        **about,
    )


def rule_texts(root: Path = ROOT) -> dict[str, str]:
    """Return the text of each rule of spec/rules.yaml by its id; raise UsageError."""
    path = root / "spec" / "rules.yaml"
    try:
        found = Rules(read_yaml(path)).rules
    except (OSError, yaml.YAMLError, LookupError, TypeError) as error:
        raise pytest.UsageError(f"{path} cannot be read: {error!r}") from None
    return {rule.id: rule.text.strip() for rule in found.values()}


# -- fixtures


@pytest.fixture(scope="session")
def _worker(pytestconfig: pytest.Config) -> Worker:
    return pytestconfig.stash[WORKER]


@pytest.fixture(scope="session")
def rules(_worker: Worker) -> Mapping[str, str]:
    """Return the text of each rule by its id."""
    return _worker.rules


@pytest.fixture(scope="session")
def seed(pytestconfig: pytest.Config) -> int:
    """Return the seed for whatever is generated."""
    number: int = pytestconfig.option.seed
    return number


@pytest.fixture
def held(request: pytest.FixtureRequest) -> Held:
    """Return a function to tell to which rules answers were held, where no mark says it."""

    def held(rules: Iterable[str]) -> None:
        request.node.user_properties += [("held", rule) for rule in sorted(rules)]

    return held


@pytest.fixture(scope="session")
def server(_worker: Worker, request: pytest.FixtureRequest) -> Target:
    """Return the main server: with --impl a Server, with --base-url only a Target."""
    return _worker.main(request.session)


@pytest.fixture(scope="session")
def api(_worker: Worker, server: Target) -> Api:
    """Return a client of the main server."""
    return _worker.client(server)


@pytest.fixture(scope="session")
def limits_server(_worker: Worker, request: pytest.FixtureRequest) -> Server:
    """Return the server with a token life of 3 s, 3 sockets and a queue of 10 events."""
    return _worker.server("limits", request.session, LIMITS)


@pytest.fixture(scope="session")
def limits_api(_worker: Worker, limits_server: Server) -> Api:
    """Return a client of the server with small limits."""
    return _worker.client(limits_server)


@pytest.fixture(scope="session")
def secret_key(_worker: Worker) -> str:
    """Return the SECRET_KEY of all servers, to forge tokens with."""
    assert _worker.secret_key is not None
    return _worker.secret_key


@pytest.fixture(scope="session")
def fleet(_worker: Worker) -> Fleet:
    """Return the maker of servers and databases of this run."""
    assert _worker.fleet is not None
    return _worker.fleet


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
def client(_worker: Worker) -> Iterator[Callable[[Target], Api]]:
    """Return a function that makes a client of another server, closed with the test."""
    made: list[Api] = []

    def client(target: Target) -> Api:
        made.append(_worker.client(target))
        return made[-1]

    yield client
    for api in made:
        _worker.forget(api)
