from __future__ import annotations

import json
from pathlib import Path

import pytest

from rosetta.results import run as results
from rosetta.results.run import Evidence, Outcome, RunResult, TestResult, rule_outcomes
from tests import samples


def outcome_of(outcome: Outcome, *rules: str) -> TestResult:
    return TestResult("id", "rules", list(rules), outcome, 0.5)


@pytest.mark.parametrize(
    ("outcomes", "rule"),
    [
        ([], "not-run"),
        (["not-run"], "not-run"),
        (["passed"], "passed"),
        (["passed", "not-run"], "passed"),
        (["passed", "failed"], "failed"),
        (["failed", "passed"], "failed"),
        (["failed", "not-run"], "failed"),
    ],
)
def test_one_failure_breaks_a_rule_and_one_pass_is_needed(
    outcomes: list[Outcome], rule: Outcome
) -> None:
    tests = [outcome_of(outcome, "etag") for outcome in outcomes]
    assert rule_outcomes(["etag", "feed"], tests) == {"etag": rule, "feed": "not-run"}


def test_a_failure_that_names_its_rules_breaks_no_other() -> None:
    failed = outcome_of("failed", "etag")
    failed.broken = ["feed"]
    assert rule_outcomes(["etag", "feed"], [failed]) == {"etag": "not-run", "feed": "failed"}


def test_only_a_test_that_pins_a_rule_makes_it_pass() -> None:
    passed = outcome_of("passed", "etag")
    passed.held = ["feed"]
    assert rule_outcomes(["etag", "feed"], [passed]) == {"etag": "passed", "feed": "not-run"}


def test_a_result_reads_back_as_it_was_written(tmp_path: Path) -> None:
    failed = outcome_of("failed", "etag")
    failed.evidence = Evidence([{"request": "curl", "response": "HTTP/1.1 500"}], "a line")
    run = run_of([outcome_of("passed", "etag"), failed])
    assert RunResult.read(run.write(tmp_path)) == run
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.json"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"tests": [{"outcome": "passed"}]}'])
def test_what_is_no_result_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="is no result file"):
        RunResult.read(path)


def test_an_unknown_member_is_refused(tmp_path: Path) -> None:
    path = run_of([]).write(tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"green": True}))
    with pytest.raises(ValueError, match="is no result file"):
        RunResult.read(path)


def test_a_run_with_fewer_outcomes_than_tests_is_incomplete() -> None:
    run = run_of([outcome_of("passed")])
    run.finish([], collected=2, finished="now")
    assert not run.complete


def test_versions_are_those_installed(tmp_path: Path) -> None:
    folder = tmp_path / "lib" / "python3.11" / "site-packages" / "My_App-1.2.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: My_App\nVersion: 1.2\n")
    found = results.versions(tmp_path, {"Mine": "my-app", "Other": "other"})
    assert found == {"Mine": "1.2", "Other": "unknown"}


def run_of(tests: list[TestResult]) -> RunResult:
    run = samples.run()
    run.tests = tests
    return run
