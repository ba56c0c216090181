"""The verdict is green only with proof: every way in which it must end red."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from rosetta.contract.spec import load
from rosetta.results import documents, summary, verdict
from rosetta.results.reasons import closing, judge, verdict_of
from rosetta.results.run import RunResult, TestResult
from tests import samples

Json = Any
Change = Callable[[Any], object]
COUNT = len(load().rules.rules)


def written(directory: Path, *parts: RunResult | Json) -> Path:
    """Write runs and other documents as the sessions do."""
    for part in parts:
        if isinstance(part, RunResult):
            part.write(directory)
        else:
            documents.write(part, directory / f"{part['kind']}.json")
    return directory


def summed(*parts: RunResult | Json, run_id: str = "this", expected: tuple[str, ...] = ()) -> Json:
    """Return the summary of these parts, with its verdict."""
    runs = [part for part in parts if isinstance(part, RunResult)]
    others = {part["kind"]: part for part in parts if not isinstance(part, RunResult)}
    made = summary.summary(summary.Parts(runs, others), run_id=run_id, expected=expected)
    made |= {"commit": samples.HEAD}
    return made | {"verdict": verdict_of(made)}


def with_test(run: RunResult, outcome: str, reason: str = "") -> None:
    run.tests.append(TestResult("x", "rules", [], outcome, 0.1, reason=reason))  # type: ignore[arg-type]


def only(directory: Path, *expected: str) -> list[str]:
    return ["--results", str(directory), "--run", "this", "--expect", *expected]


# -- runs


def test_a_whole_run_without_a_fault_is_green() -> None:
    assert judge(summed(samples.run())) == {}


def test_a_test_that_another_configuration_runs_does_no_harm() -> None:
    run = samples.run()
    with_test(run, "not-run", "requires postgresql")
    assert judge(summed(run)) == {}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda r: r.rules.update(etag="failed"), "1 rules broken: etag"),
        (lambda r: r.rules.update(feed="not-run"), "1 rules not tested: feed"),
        (lambda r: r.rules.update(feed="green"), "unknown outcome: feed"),
        (lambda r: r.rules.pop("feed"), "tells nothing of 1 rules: feed"),
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
    ],
)
def test_whatever_is_unknown_missing_or_stale_is_a_fault(change: Change, fault: str) -> None:
    run = samples.run()
    change(run)
    assert fault in "\n".join(judge(summed(run))["tiny"])


@pytest.mark.parametrize(("commit", "told"), [("d" * 40, "dddddddddd"), ("", "unknown")])
def test_without_a_run_the_commit_counts(commit: str, told: str) -> None:
    run = samples.run()
    run.commit = commit
    assert judge(summed(run, run_id="")) == {"tiny": [f"is of another commit, {told}"]}


def test_the_closing_line_is_green_with_proof(tmp_path: Path, capsys: Capture) -> None:
    assert verdict.main(only(written(tmp_path, samples.run()), "tiny")) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == f"GREEN: tiny conform to all {COUNT} rules (3 tests passed)"


def test_a_missing_implementation_is_red(tmp_path: Path, capsys: Capture) -> None:
    assert verdict.main(only(written(tmp_path, samples.run()), "tiny", "flask")) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "RED: flask: no result"


def test_an_older_run_is_no_result_of_this_one(tmp_path: Path, capsys: Capture) -> None:
    assert verdict.main(only(written(tmp_path, samples.run(run_id="older")), "tiny")) == 1
    out = capsys.readouterr().out
    assert "RED: tiny: no result" in out
    assert "✓" not in out


def test_called_alone_it_judges_by_the_commit(tmp_path: Path, capsys: Capture) -> None:
    assert verdict.main(["--results", str(written(tmp_path, samples.run()))]) == 1
    assert "is of another commit" in capsys.readouterr().out


def test_a_server_elsewhere_is_judged_only_when_asked(tmp_path: Path, capsys: Capture) -> None:
    run = samples.run("url")
    run.base_url = "http://127.0.0.1:8000"
    path = run.write(tmp_path)
    assert verdict.main(["--results", str(tmp_path)]) == 1
    assert "RED: results" in capsys.readouterr().out
    assert verdict.main(["--results", str(tmp_path), "--run", "this", str(path)]) == 0


def test_one_red_run_makes_all_red(tmp_path: Path, capsys: Capture) -> None:
    bad = samples.run("bad")
    bad.rules["etag"] = "failed"
    assert verdict.main(only(written(tmp_path, samples.run("good"), bad))) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "RED: bad"


# -- files


@pytest.mark.parametrize("content", ["{}", "[]", "not JSON", '{"kind": "run"}', '{"kind": "x"}'])
def test_a_file_that_is_no_result_is_red_and_named(
    tmp_path: Path, content: str, capsys: Capture
) -> None:
    written(tmp_path, samples.run())
    (tmp_path / "odd.json").write_text(content)
    assert verdict.main(only(tmp_path, "tiny")) == 1
    out = capsys.readouterr().out
    assert "odd.json is no result file" in out
    assert out.splitlines()[-1] == "RED: results"


def test_nothing_to_judge_is_red(tmp_path: Path, capsys: Capture) -> None:
    assert verdict.main(["--results", str(tmp_path)]) == 1
    assert "results: no result found\nRED: results" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d: d["rules"].update(etag="green"), 'rules.etag: "green" is not one of'),
        (lambda d: d["tests"][0].update(outcome="ok"), 'tests.0.outcome: "ok" is not one of'),
        (lambda d: d.pop("commit"), '"commit" is a required property'),
        (lambda d: d.update(green=True), "'green' was unexpected"),
        (lambda d: d.update(finished="yesterday"), "finished"),
    ],
)
def test_a_run_that_was_tampered_with_is_red(
    tmp_path: Path, change: Change, told: str, capsys: Capture
) -> None:
    path = samples.run().write(tmp_path)
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    assert verdict.main(only(tmp_path, "tiny")) == 1
    out = capsys.readouterr().out
    assert told in out
    assert "tiny: no result" in out.splitlines()[-1]


def test_what_is_printed_was_read(tmp_path: Path, capsys: Capture) -> None:
    good = summed(samples.run())
    assert verdict.read(documents.write(good, tmp_path / "results.json")) == good
    bad = json.loads(json.dumps(good))
    bad["runs"][0]["rules"]["etag"] = "failed"
    with pytest.raises(documents.DocumentError, match="verdict is not what it proves"):
        verdict.read(documents.write(bad, tmp_path / "results.json"))


def test_the_summary_of_before_is_no_part_of_the_next(tmp_path: Path) -> None:
    written(tmp_path, samples.run())
    assert verdict.main(only(tmp_path, "tiny")) == 0
    assert verdict.main(only(tmp_path, "tiny")) == 0
    (tmp_path / "tiny.json").unlink()
    assert verdict.main(only(tmp_path, "tiny")) == 1


# -- what is not a run


def both() -> list[Any]:
    return [samples.run("one"), samples.run("two"), samples.replay("one", "two")]


def test_identical_answers_are_told_in_one_line(tmp_path: Path, capsys: Capture) -> None:
    assert verdict.main(only(written(tmp_path, *both()), "one", "two", "replay")) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[-2] == "replay: 10 requests, 4 feed messages, 2 implementations, identical"
    assert out[-1].endswith(f"(6 tests passed); {out[-2].removeprefix('replay: ')}")


def test_a_missing_replay_is_red_where_one_was_begun(tmp_path: Path, capsys: Capture) -> None:
    written(tmp_path, *both()[:2])
    assert verdict.main(only(tmp_path, "one", "two")) == 0
    assert verdict.main(only(tmp_path, "one", "two", "replay")) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "RED: replay: no result"


def test_a_replay_of_an_older_run_is_none_of_this(tmp_path: Path, capsys: Capture) -> None:
    *runs, replay = both()
    written(tmp_path, *runs, replay | {"run_id": "older"})
    assert verdict.main(only(tmp_path, "one", "two", "replay")) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "RED: replay: no result"


@pytest.mark.parametrize(
    ("kind", "change", "fault"),
    [
        ("replay", {"differences": [samples.difference(["one"], ["two"])]}, "1 requests were not"),
        ("replay", {"groups": [["one"], ["two"]]}, "only these agree in everything: one | two"),
        ("replay", {"groups": [["one"]]}, "without answers: two"),
        ("replay", {"groups": []}, "without answers: one, two"),
        ("replay", {"problems": ["two: no start"]}, "two: no start"),
        ("replay", {"partial": "only a file"}, "is partial: only a file"),
        ("replay", {"corpus": {}}, "nothing was sent"),
        ("replay", {"implementations": {}}, "0 implementations are too few"),
        ("replay", {"verdict": "different"}, "says different"),
        ("relay", {"problem": "expected 2\nmore"}, "expected 2"),
        ("relay", {"requests": 0}, "nothing was sent"),
        ("relay", {"implementations": {}}, "0 implementations are too few"),
        ("relay", {"verdict": "different"}, "says different"),
        ("faults", {"partial": "1 of 2 faults"}, "is partial: 1 of 2"),
        ("faults", {"faults": []}, "no fault was tried"),
        ("faults", {"control": {"tests": ["t"], "failing": ["t"]}}, "without a fault, too: t"),
        ("stability", {"implementations": {}}, "nothing was run"),
        ("stability", {"runs": 3}, "tiny: 2 of 3 runs"),
        ("stability", {"verdict": "unstable"}, "says unstable"),
    ],
)
def test_whatever_is_no_proof_is_red(kind: str, change: Json, fault: str) -> None:
    good = {
        "replay": samples.replay("one", "two"),
        "relay": samples.relay("one", "two"),
        "faults": samples.faults(),
        "stability": samples.stability(),
    }
    assert judge(summed(good[kind])) == {}
    found = summed(good[kind] | change)
    assert fault in "\n".join(found["verdict"]["reasons"][kind])
    assert found["verdict"]["lines"][-1] == f"RED: {kind}"


def test_a_replay_or_relay_that_leaves_one_out_is_red() -> None:
    found = summed(samples.run("three"), *both(), samples.relay("one", "two"))
    left_out = ["left out three"]
    assert found["verdict"]["reasons"] == {"replay": left_out, "relay": left_out}


@pytest.mark.parametrize("outcome", ["survived", "broke", "unproven"])
def test_a_fault_that_was_not_caught_is_red(outcome: str) -> None:
    matrix = samples.faults()
    matrix["faults"][0]["outcome"] = outcome
    assert judge(summed(matrix)) == {"faults": [f"1 not caught: same-tag ({outcome})"]}


def test_an_unknown_outcome_of_a_fault_is_no_document(tmp_path: Path) -> None:
    matrix = samples.faults()
    matrix["faults"][0]["outcome"] = "fine"
    with pytest.raises(documents.DocumentError, match=r"faults\.0\.outcome: \"fine\""):
        written(tmp_path, matrix)


def test_all_parts_are_told(tmp_path: Path, capsys: Capture) -> None:
    parts = [*both(), samples.relay("one", "two"), samples.faults(), samples.stability()]
    assert verdict.main(only(written(tmp_path, *parts))) == 0
    assert capsys.readouterr().out.splitlines()[-5:-1] == [
        "replay: 10 requests, 4 feed messages, 2 implementations, identical",
        "relay: 8 requests handed round 2 implementations on one database, interchangeable",
        "faults: 1 of 1 faults, of 1 rules, caught",
        "stability: 2 runs of tiny, stable",
    ]


@pytest.mark.parametrize(
    ("part", "green", "line"),
    [
        (
            samples.replay("one", "two"),
            True,
            "GREEN: 10 requests, 4 feed messages, 2 implementations, identical",
        ),
        (samples.faults(), True, "GREEN: 1 of 1 faults, of 1 rules, caught"),
        (
            samples.faults() | {"partial": "1 of 9 faults, by rules"},
            True,
            "PARTIAL: 1 of 1 faults, of 1 rules, caught: 1 of 9 faults, by rules",
        ),
        (
            samples.faults() | {"partial": "none", "faults": []},
            False,
            "RED: 0 of 0 faults, of 0 rules, caught: no fault was tried",
        ),
        (
            samples.relay("one", "two") | {"verdict": "different", "problem": "x\ny"},
            False,
            "RED: 8 requests handed round 2 implementations on one database, different: x",
        ),
    ],
)
def test_a_session_of_its_own_ends_with_the_verdict_on_its_document(
    part: Json, green: bool, line: str
) -> None:
    assert closing(part) == (green, line)


# -- rule x implementation x layer


def test_a_difference_is_held_against_all_who_were_compared() -> None:
    *runs, replay = both()
    replay |= {
        "differences": [samples.difference(["one"], ["two"])],
        "groups": [["one"], ["two"]],
        "rules": {"etag": {"lines": 7, "differences": 1}, "allow": {"lines": 2, "differences": 0}},
    }
    found = summed(*runs, samples.faults(), replay)["rules"]
    for name in ("one", "two"):
        etag = found["etag"]["runs"][name]
        assert (etag["outcome"], etag["layers"]["rules"]["outcome"]) == ("failed", "passed")
        assert etag["layers"]["identity"] == {
            "outcome": "failed",
            "passed": 6,
            "failed": 1,
            "not_run": 0,
            "failing": ["http, line 3"],
        }
        assert found["allow"]["runs"][name]["layers"]["identity"]["outcome"] == "passed"
        assert found["feed"]["runs"][name]["layers"]["identity"]["outcome"] == "not-run"
    assert found["etag"]["faults"] == {"same-tag": "caught"}


def test_a_failed_test_is_named_under_its_rule_and_layer() -> None:
    run = samples.run()
    run.tests.append(TestResult("m", "model", ["etag"], "failed", 0.1))
    found = summed(run)["rules"]
    assert found["etag"]["runs"]["tiny"]["outcome"] == "failed"
    assert found["etag"]["runs"]["tiny"]["layers"]["model"]["failing"] == ["m"]
    assert found["feed"]["runs"]["tiny"]["outcome"] == "passed"


def test_what_a_layer_held_answers_to_counts_for_the_layer_alone() -> None:
    run = samples.run()
    for test in run.tests:
        test.rules.remove("feed")
    run.tests[0].held = ["feed"]
    run.rules["feed"] = "not-run"
    found = summed(run)["rules"]["feed"]["runs"]["tiny"]
    assert (found["outcome"], found["layers"]["contract"]["outcome"]) == ("not-run", "passed")


def test_a_failure_is_held_against_the_rules_that_it_names() -> None:
    run = samples.run()
    run.tests.append(TestResult("c", "contract", [], "failed", 0.1, broken=["feed"], held=["etag"]))
    found = summed(run)["rules"]
    assert found["feed"]["runs"]["tiny"]["layers"]["contract"]["failing"] == ["c"]
    assert found["feed"]["runs"]["tiny"]["outcome"] == "failed"
    assert found["etag"]["runs"]["tiny"]["layers"]["contract"]["failed"] == 0


def test_several_runs_of_one_share_a_column() -> None:
    bad = samples.run("tiny")
    bad.label, bad.database = "tiny-postgresql-2", "postgresql"
    bad.rules["etag"] = "failed"
    out = StringIO()
    verdict.report(summed(samples.run("tiny"), bad), Console(file=out, width=120))
    lines = out.getvalue().splitlines()
    assert lines[1].split() == ["┃", "rule", "┃", "tiny", "┃"]
    assert any("etag" in line and "✗" in line and "✓" not in line for line in lines)
    assert any("tiny, postgresql" in line for line in lines)


def test_the_tables_show_every_rule_and_layer() -> None:
    bad = samples.run("bad")
    bad.rules |= {"etag": "failed"}
    for test in bad.tests:
        test.rules.remove("feed")
    bad.rules.pop("feed")
    out = StringIO()
    verdict.report(summed(samples.run("good"), bad), Console(file=out, width=120))
    lines = out.getvalue().splitlines()
    assert any("etag" in line and "✓" in line and "✗" in line for line in lines)
    assert any("feed" in line and "✓" in line and "·" in line for line in lines)
    row = next(line for line in lines if "good, sqlite" in line)
    assert [cell.strip() for cell in row.split("│")[2:-1]] == [*["1 / 0 / 0  1.0 s"] * 3, "30 s"]


Capture = pytest.CaptureFixture[str]
