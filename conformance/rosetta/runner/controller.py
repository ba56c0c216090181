"""The process that gathers what a run found and writes its result file."""

from __future__ import annotations

import contextlib
import fcntl
import signal
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any, TextIO

import psutil
import psycopg
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from rosetta.results.run import EVIDENCE, Evidence, RunResult, TestResult, layer_of, now
from rosetta.runner.process import Plan, share_of
from rosetta.targets.fleet import Fleet
from rosetta.targets.server import ServerError

# Time for interrupted workers to end their servers and drop their databases, in seconds.
PATIENCE = 15.0


@dataclass(eq=False)
class Controller:
    """The hooks that note every report, of whatever process it comes, and judge the run."""

    result: RunResult
    directory: Path
    rules: Mapping[str, str]
    _tests: dict[str, TestResult] = field(default_factory=dict)
    _plans: list[Plan] = field(default_factory=list)

    def pytest_sessionstart(self) -> None:
        """Replace the result of an older run by one that has not ended."""
        self.result.write(self.directory)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the outcome of one phase of a test."""
        test = self._tests.setdefault(report.nodeid, _test(report))
        test.held = _named(report, "held")
        test.broken = list(dict.fromkeys([*test.broken, *_named(report, "broken")]))
        test.seconds = round(test.seconds + report.duration, 4)
        if report.failed:
            test.outcome = "failed"
            test.failure = "\n".join(filter(None, [test.failure, _failure_text(report)]))
            test.evidence = test.evidence or Evidence(**getattr(report, EVIDENCE, {}))
        elif report.when == "call" and report.passed and test.outcome == "not-run":
            test.outcome = "passed"

    def hear(self, plan: Plan) -> None:
        """Take what a process tells at its end."""
        self._plans.append(plan)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Producer) -> Shares:
        """Have the tests shared among the workers of pytest-xdist."""
        return Shares(config, log)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:  # noqa: ANN401 - xdist's
        """Take what a worker of pytest-xdist tells at its end, or that it told nothing."""
        if told := getattr(node, "workeroutput", {}).get("plan"):
            self.hear(Plan(**told))
        else:
            self.result.problems.append(f"{node.gateway.id} of the suite broke down: {error}")
            logs = self.directory.resolve() / f"{self.result.label}.logs"
            end_servers_of(logs, node.gateway.id)

    def pytest_keyboard_interrupt(self) -> None:
        """Interrupt the workers of pytest-xdist, too: it would kill them, and not their servers."""
        if self.result.processes > 1:
            workers = psutil.Process().children()
            servers = [server for worker in workers for server in worker.children()]
            for worker in workers:
                worker.send_signal(signal.SIGINT)
            psutil.wait_procs(servers, timeout=PATIENCE)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write the result file, and be red for what is not a test's failure."""
        result = self.result
        for plan in self._plans:
            result.partial = plan.partial
            result.problems += [text for text in plan.problems if text not in result.problems]
        collected = max((plan.collected for plan in self._plans), default=0)
        if not collected:
            result.problems.append("no test collected")
        tests = [test for _, test in sorted(self._tests.items())]
        result.tests = [test for test in tests if test.outcome != "not-run" or test.reason]
        result.finish(self.rules, collected, now())
        if exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            result.complete = False
            result.problems.append(f"pytest ended with {pytest.ExitCode(exitstatus).name}")
        result.write(self.directory)
        if result.problems and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what was left out and what is wrong besides failures."""
        reasons = Counter(test.reason for test in self.result.tests if test.reason)
        for reason, count in sorted(reasons.items()):
            terminalreporter.write_line(f"not run: {count} tests ({reason})")
        for problem in self.result.problems:
            terminalreporter.write_line(f"RED: {problem}", red=True)


class Shares(LoadScopeScheduling):  # type: ignore[misc] # xdist has no type hints
    """Gives each worker of pytest-xdist one share after another: mostly files."""

    def _split_scope(self, nodeid: str) -> str:
        return share_of(nodeid)


@dataclass(eq=False)
class Template:
    """The hooks that migrate one database for all workers of pytest-xdist.

    It is migrated while the workers still collect. A file that is locked until then names it, or
    nothing: without one a worker migrates, and fails, by itself.
    """

    fleet: Fleet
    _thread: Thread | None = None

    @property
    def _place(self) -> Path:
        return self.fleet.directory / "template"

    def pytest_sessionstart(self) -> None:
        """Begin to migrate, before there are workers."""
        file = self._place.open("w")
        fcntl.flock(file, fcntl.LOCK_EX)
        self._thread = Thread(target=self._migrate, args=[file])
        self._thread.start()

    def _migrate(self, file: TextIO) -> None:
        with file, contextlib.suppress(ServerError, psycopg.Error):
            file.write(self.fleet.template().place)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:  # noqa: ANN401 - xdist's
        """Tell a worker which file will name the database."""
        node.workerinput["template"] = str(self._place)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Remove the database."""
        if self._thread:
            self._thread.join()
        self.fleet.close()


def end_servers_of(logs: Path, process: str) -> None:
    """SIGKILL the servers of a process that broke down: those that write its logs."""
    for server in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            opened = [Path(file.path) for file in server.open_files()]
            if any(log.parent == logs and log.name.startswith(f"{process}-") for log in opened):
                server.kill()


def _test(report: pytest.TestReport) -> TestResult:
    reason = "".join(_named(report, "not run"))
    rules = _named(report, "rule")
    return TestResult(report.nodeid, layer_of(report.nodeid), rules, "not-run", 0.0, reason=reason)


def _named(report: pytest.TestReport, wanted: str) -> list[str]:
    """Return the values of the properties of this name."""
    return [str(value) for name, value in report.user_properties if name == wanted]


def _failure_text(report: pytest.TestReport) -> str:
    sections = [f"--- {title} ---\n{text}" for title, text in report.sections]
    return "\n\n".join([report.longreprtext, *sections])
