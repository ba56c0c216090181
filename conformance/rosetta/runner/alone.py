"""A run of pytest by itself: one process runs every test and writes the result."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest

from rosetta.runner.gather import Gatherer
from rosetta.runner.plan import Planner
from rosetta.runner.process import Process, check_reachable
from rosetta.targets.server import ServerError


@dataclass(eq=False)
class Alone:
    """The hooks that note every report and judge the run at its end."""

    gatherer: Gatherer
    planner: Planner
    process: Process

    def pytest_sessionstart(self) -> None:
        """Replace the result of an older run."""
        self.gatherer.begin()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """End a run against a server that is not there before its first test."""
        if session.items and self.process.target:
            try:
                check_reachable(self.process.target)
            except ServerError as error:
                self.process.problems.append(str(error))
                pytest.exit(str(error), returncode=pytest.ExitCode.TESTS_FAILED)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the outcome of one phase of a test."""
        self.gatherer.tests.note(report)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """End the servers, write the result, and be red for what is not a test's failure."""
        self.process.close()
        self.gatherer.blame(self.process.problems)
        self.gatherer.finish(self.planner.plan, self.planner.plan.collected)
        if exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            self.gatherer.break_off(f"pytest ended with {pytest.ExitCode(exitstatus).name}")
        if self.gatherer.result.problems and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what was left out and what is wrong apart from failures."""
        result = self.gatherer.result
        reasons = Counter(test.reason for test in result.tests if test.reason)
        for reason, count in sorted(reasons.items()):
            terminalreporter.write_line(f"not run: {count} tests ({reason})")
        for problem in result.problems:
            terminalreporter.write_line(f"RED: {problem}", red=True)
