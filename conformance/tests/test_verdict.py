from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from rosetta import verdict
from rosetta.results import LAYERS, RunResult, TestResult
from rosetta.verdict import judge

Change = Callable[[RunResult], object]


def green(name: str = "tiny", run_id: str = "this") -> RunResult:
    run = RunResult(
        label=name,
        implementation=name,
        framework="http.server",
        database="sqlite",
        workers=1,
        processes=1,
        seed=0,
        run_id=run_id,
        base_url=None,
        commit="c" * 40,
        dirty=False,
        lock="hash",
        versions={"python": "3.11"},
        started="2026-11-21T09:59:30.500Z",
        tests=[TestResult(layer, layer, ["etag"], "passed", 1.0) for layer in LAYERS],
    )
    run.finish(["etag"], collected=3, finished="2026-11-21T10:00:00.000Z")
    return run


def with_test(run: RunResult, outcome: str, reason: str = "") -> None:
    run.tests.append(TestResult("x", "rules", [], outcome, 0.1, reason=reason))  # type: ignore[arg-type]


def test_a_whole_run_without_a_fault_is_green() -> None:
    assert judge(green(), run_id="this", head="c" * 40).green


def test_a_test_that_another_configuration_runs_does_no_harm() -> None:
    run = green()
    with_test(run, "not-run", "requires postgresql")
    assert judge(run).green


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda r: r.rules.update(etag="failed"), "1 rules broken: etag"),
        (lambda r: r.rules.update(feed="not-run"), "1 rules not tested: feed"),
        (lambda r: r.rules.update(feed="green"), "unknown outcome: feed"),
        (lambda r: r.rules.clear(), "no rule was tested"),
        (lambda r: with_test(r, "failed"), "1 tests failed"),
        (lambda r: with_test(r, "not-run"), "1 tests have no known outcome"),
        (lambda r: with_test(r, "skipped", "why not"), "have no known outcome"),
        (lambda r: r.tests.clear(), "no test of layer contract passed"),
        (lambda r: r.tests.pop(1), "no test of layer rules passed"),
        (lambda r: setattr(r, "finished", ""), "has not finished"),
        (lambda r: setattr(r, "complete", False), "was broken off"),
        (lambda r: setattr(r, "partial", "3 of 9 tests selected"), "is partial: 3 of 9"),
        (lambda r: r.problems.append("no test collected"), "no test collected"),
        (lambda r: setattr(r, "run_id", "older"), "is from an older run"),
        (lambda r: setattr(r, "commit", "d" * 40), "is of another commit, dddddddddd"),
        (lambda r: setattr(r, "commit", ""), "is of another commit, unknown"),
    ],
)
def test_whatever_is_unknown_missing_or_stale_is_a_fault(change: Change, fault: str) -> None:
    run = green()
    change(run)
    judgement = judge(run, run_id="this", head="c" * 40)
    assert not judgement.green
    assert fault in "\n".join(judgement.faults)


def test_the_closing_line_is_green_with_proof(tmp_path: Path, capsys: Capture) -> None:
    green().write(tmp_path)
    assert verdict.main(["--results", str(tmp_path), "--run", "this", "--expect", "tiny"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "GREEN: tiny conform to all 1 rules (3 tests passed)"


def test_a_missing_implementation_is_red(tmp_path: Path, capsys: Capture) -> None:
    green().write(tmp_path)
    arguments = ["--results", str(tmp_path), "--run", "this", "--expect", "tiny", "flask"]
    assert verdict.main(arguments) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "RED: flask: no result"


def test_an_older_run_is_no_result_of_this_one(tmp_path: Path, capsys: Capture) -> None:
    green(run_id="older").write(tmp_path)
    assert verdict.main(["--results", str(tmp_path), "--run", "this", "--expect", "tiny"]) == 1
    out = capsys.readouterr().out
    assert "RED: tiny: no result" in out
    assert "✓" not in out


def test_without_a_run_the_commit_must_be_the_one_checked_out(
    tmp_path: Path, capsys: Capture
) -> None:
    green().write(tmp_path)
    assert verdict.main(["--results", str(tmp_path)]) == 1
    assert "is of another commit" in capsys.readouterr().out


def test_a_server_elsewhere_is_judged_only_when_asked(tmp_path: Path, capsys: Capture) -> None:
    run = green("url")
    run.base_url = "http://127.0.0.1:8000"
    path = run.write(tmp_path)
    assert verdict.main(["--results", str(tmp_path)]) == 1
    assert "RED: no result found" in capsys.readouterr().out
    assert verdict.main(["--run", "this", str(path)]) == 0


def test_one_red_run_makes_all_red(tmp_path: Path, capsys: Capture) -> None:
    green("good").write(tmp_path)
    bad = green("bad")
    bad.rules["etag"] = "failed"
    bad.write(tmp_path)
    assert verdict.main(["--results", str(tmp_path), "--run", "this"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "RED: bad"


@pytest.mark.parametrize("content", [None, "{}", "not JSON"])
def test_nothing_to_judge_is_red(tmp_path: Path, content: str | None, capsys: Capture) -> None:
    if content is not None:
        (tmp_path / "x.json").write_text(content)
    assert verdict.main(["--results", str(tmp_path)]) == 1
    assert "RED" in "".join(capsys.readouterr())


def test_the_matrix_of_faults_is_no_run(tmp_path: Path, capsys: Capture) -> None:
    green().write(tmp_path)
    (tmp_path / "faults.json").write_text('{"faults": []}')
    assert verdict.main(["--results", str(tmp_path), "--run", "this"]) == 0


def test_the_tables_show_every_rule_and_layer() -> None:
    good, bad = green("good"), green("bad")
    bad.rules = {"etag": "failed", "feed": "not-run"}
    out = StringIO()
    console = Console(file=out, width=120)
    verdict.report([judge(good), judge(bad)], [], console)
    lines = out.getvalue().splitlines()
    assert any("etag" in line and "✓" in line and "✗" in line for line in lines)
    assert any("feed" in line and "?" in line and "·" in line for line in lines)
    row = next(line for line in lines if "good, sqlite" in line)
    assert [cell.strip() for cell in row.split("│")[2:-1]] == [*["1 / 0 / 0  1.0 s"] * 3, "30 s"]


Capture = pytest.CaptureFixture[str]
