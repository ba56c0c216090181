"""The pytest plugin of the suite: its options, and what a run of pytest by itself does.

``python -m rosetta prove`` collects with it and runs the tests in a pool. Without the pool, as in
``python -m pytest suite --impl flask -x --pdb``, one process does everything, and writes the same
result file.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rosetta.runner.alone import Alone
from rosetta.runner.gather import Gatherer
from rosetta.runner.plan import PLANNER, Planner, check_known, rule_texts
from rosetta.runner.pool import Pool
from rosetta.runner.process import PROCESS, Process, target_at
from rosetta.runner.subjects import blank_result, label_of, logs_of
from rosetta.targets import databases
from rosetta.targets.fleet import SECRET_KEY, Fleet
from rosetta.targets.manifest import ROOT, ManifestError, find
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
        "markers",
        "direct: needs the server to feel a client's small window, as none does by a proxy",
    )
    config.addinivalue_line("markers", "direct: needs a server without a proxy before it")
    config.addinivalue_line(
        "markers", "requires(name): runs only in a run with 'sqlite', 'postgresql' or 'workers'"
    )
    options = config.option
    if options.help:
        return
    pooled = any(isinstance(plugin, Pool) for _, plugin in config.pluginmanager.list_name_plugin())
    try:
        rules = rule_texts(options.root)
        check_known(options.rule, rules)
        if pooled:
            _add_planner(config, rules)
        elif not options.collectonly:
            _check(options)
            _run_alone(config, _add_planner(config, rules))
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


def _add_planner(config: pytest.Config, rules: Mapping[str, str]) -> Planner:
    options = config.option
    several = ["workers"] if options.workers > 1 else []
    planner = Planner(
        rules,
        configuration=frozenset([options.database, *several]),
        controlled=not options.base_url,
        knows_key=not options.base_url or "ROSETTA_SECRET_KEY" in os.environ,
        direct=not options.base_url or target_at(options.base_url).direct,
    )
    config.stash[PLANNER] = planner
    config.pluginmanager.register(planner, "rosetta-planner")
    return planner


def _run_alone(config: pytest.Config, planner: Planner) -> None:
    """Let this process run the tests and write their result."""
    options = config.option
    implementation = find(options.impl, options.root) if options.impl else None
    label = label_of(implementation, options.database, options.workers)
    logs = logs_of(options.results, label)
    fleet = None
    if implementation:
        fleet = Fleet(implementation, options.database, options.workers, logs, seeded=True)
    process = Process(
        planner.rules,
        planner.skips,
        fleet=fleet,
        target=target_at(options.base_url) if options.base_url else None,
        secret_key=SECRET_KEY if fleet else os.environ.get("ROSETTA_SECRET_KEY"),
    )
    config.stash[PROCESS] = process
    result = blank_result(implementation, options)
    gatherer = Gatherer(result, options.results, planner.rules)
    config.pluginmanager.register(process, "rosetta-process")
    config.pluginmanager.register(Alone(gatherer, planner, process), "rosetta-alone")
    if options.tbstyle == "auto":
        options.tbstyle = "short"
    signal.signal(signal.SIGTERM, signal.default_int_handler)
