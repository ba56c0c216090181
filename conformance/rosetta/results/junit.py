"""A result as JUnit XML, which most systems of continuous integration can show."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

from rosetta.results.run import RunResult, TestResult


def write(result: RunResult, path: Path) -> None:
    """Write one test suite, with a test case for each test of the result."""
    outcomes = Counter(test.outcome for test in result.tests)
    suite = ET.Element(
        "testsuite",
        name=result.label,
        tests=str(len(result.tests)),
        failures=str(outcomes["failed"]),
        skipped=str(outcomes["not-run"]),
        time=f"{sum(test.seconds for test in result.tests):.3f}",
        timestamp=result.started,
    )
    for test in result.tests:
        _add(suite, test)
    ET.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)


def _add(suite: ET.Element, test: TestResult) -> None:
    file, _, name = test.nodeid.partition("::")
    case = ET.SubElement(
        suite, "testcase", classname=file, name=legal(name), time=f"{test.seconds:.3f}"
    )
    if test.outcome == "failed":
        failure = ET.SubElement(case, "failure", message=", ".join(test.blamed))
        failure.text = legal(test.failure)
    elif test.outcome == "not-run":
        ET.SubElement(case, "skipped", message=test.reason)


def legal(text: str) -> str:
    """Return a text without what XML 1.0 cannot hold (section 2.2): it stands there escaped."""
    return "".join(
        char
        if char in "\t\n" or (char >= " " and not "\ud800" <= char <= "\udfff" and char < "\ufffe")
        else char.encode("unicode_escape", "surrogatepass").decode()
        for char in text
    )
