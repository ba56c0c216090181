"""What becomes of reports: the result of one target, gathered from whatever process ran a test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rosetta.results import junit
from rosetta.results.run import EVIDENCE, Evidence, RunResult, TestResult, layer_of, now
from rosetta.runner.plan import Plan


class Notes(dict[str, TestResult]):
    """Tests by their node id, as far as reports have told of them."""

    def note(self, report: pytest.TestReport) -> TestResult:
        """Note the outcome of one phase of a test, and return what is known of the test."""
        test = self.setdefault(report.nodeid, _test(report))
        test.held = _named(report, "held")
        test.broken = list(dict.fromkeys([*test.broken, *_named(report, "broken")]))
        test.seconds = round(test.seconds + report.duration, 4)
        if report.failed:
            test.outcome = "failed"
            test.failure = "\n".join(filter(None, [test.failure, failure_text(report)]))
            test.evidence = test.evidence or Evidence(**getattr(report, EVIDENCE, {}))
        elif report.when == "call" and report.passed and test.outcome == "not-run":
            test.outcome = "passed"
        return test


@dataclass(eq=False)
class Gatherer:
    """Collects the tests of one target and writes its result file."""

    result: RunResult
    directory: Path
    rules: Mapping[str, str]
    tests: Notes = field(default_factory=Notes)

    def begin(self) -> None:
        """Replace the result of an older run by one that has not ended."""
        self.result.write(self.directory)

    def blame(self, problems: Iterable[str]) -> None:
        """Note what is wrong apart from tests that failed, each thing once."""
        known = self.result.problems
        known += [text for text in dict.fromkeys(problems) if text not in known]

    def finish(self, plan: Plan, collected: int, ended: str = "") -> None:
        """Write the result file; ``collected`` is how many tests were to be run.

        ``ended`` is when the last of them was over, if that is not now.
        """
        self.result.partial = plan.partial
        self.blame(plan.problems)
        self.blame([] if collected else ["no test collected"])
        tests = [test for _, test in sorted(self.tests.items())]
        self.result.tests = [test for test in tests if test.outcome != "not-run" or test.reason]
        self.result.finish(self.rules, collected, ended or now())
        self.result.write(self.directory)
        junit.write(self.result, self.directory / f"{self.result.label}.xml")

    @property
    def red(self) -> bool:
        """Whether a test failed or something else is wrong."""
        failed = any(test.outcome == "failed" for test in self.tests.values())
        return failed or bool(self.result.problems) or not self.result.complete

    def break_off(self, why: str) -> None:
        """Write the result file of a run that did not come to its end."""
        self.result.complete = False
        self.blame([why])
        self.result.write(self.directory)


def failure_text(report: pytest.TestReport) -> str:
    """Return a failure with all that the report has to say of it."""
    sections = [f"--- {title} ---\n{text}" for title, text in report.sections]
    return "\n\n".join([report.longreprtext, *sections])


def _test(report: pytest.TestReport) -> TestResult:
    reason = "".join(_named(report, "not run"))
    rules = _named(report, "rule")
    return TestResult(report.nodeid, layer_of(report.nodeid), rules, "not-run", 0.0, reason=reason)


def _named(report: pytest.TestReport, wanted: str) -> list[str]:
    """Return the values of the properties of this name."""
    return [str(value) for name, value in report.user_properties if name == wanted]
