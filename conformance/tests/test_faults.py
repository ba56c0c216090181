"""The table of faults is whole, and the runner tells what is caught from what is not."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest
from rich.console import Console

from faults import FAULTS, IMPLEMENTATION
from rosetta.cli import main
from rosetta.contract import spec
from rosetta.controls import trial as trials
from rosetta.controls.campaign import control, recollect, take, write
from rosetta.controls.fault import Edit, Fault, FaultError, apply, plant
from rosetta.controls.matrix import Finding, Matrix, Outcome, Trial, conclude, document
from rosetta.identity.compare import Difference
from rosetta.results import run as results
from rosetta.results.documents import DocumentError
from rosetta.results.reasons import closing
from rosetta.results.run import RunResult, TestResult
from rosetta.targets.databases import Kind, SqliteDatabase
from rosetta.targets.manifest import ROOT, find
from rosetta.targets.server import ServerError

CONFORMANCE = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faults") / "original"
    shutil.copytree(find(IMPLEMENTATION).folder, folder)
    return folder


def test_every_rule_has_two_faults_and_no_other_has_one() -> None:
    counts = Counter(fault.rule for fault in FAULTS)
    known = set(spec.load().rules.rules)
    assert {rule for rule in known if counts[rule] < 2} == set()
    assert set(counts) <= known
    assert len(FAULTS) >= 90


def test_ids_are_unique_and_every_fault_says_what_is_wrong() -> None:
    assert [name for name, count in Counter(f.id for f in FAULTS).items() if count > 1] == []
    assert [fault.id for fault in FAULTS if not fault.wrong.endswith(".")] == []


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_a_fault_fits_the_implementation(fault: Fault, original: Path, tmp_path: Path) -> None:
    for name in {edit.file for edit in fault.edits}:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(original / name, tmp_path / name)
    apply(fault.edits, tmp_path)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (Edit("a.py", "z", "y"), "a.py has 0 times, not once: 'z'"),
        (Edit("a.py", "x", "y"), "a.py has 2 times, not once: 'x'"),
        (Edit("b.py", "x", "y"), "b.py has 0 times"),
        (Edit("a.py", "x = ", "x x"), "a.py, line 1: invalid syntax"),
    ],
)
def test_a_fault_that_does_not_fit_is_an_error(edit: Edit, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n# x\n")
    with pytest.raises(FaultError, match=message):
        apply([edit], tmp_path)


# -- which tests are to catch it


def test_every_test_of_a_rule_is_in_a_file_that_is_run_for_it() -> None:
    for path in (CONFORMANCE / "suite" / "rules").glob("test_*.py"):
        for marks in re.findall(r"mark\.rule\((.*?)\)", path.read_text()):
            for rule in re.findall(r'"([^"]*)"', marks):
                assert f"suite/rules/{path.name}" in trials.files_of(rule)


def test_the_tests_of_its_own_rule_are_run_behind_a_sign_of_life() -> None:
    arguments = trials.arguments_of(mistake("a", rule="slash"), "rules")
    assert arguments[:4] == ["-x", "--rule", "slash", "faults/test_alive.py"]
    assert trials.arguments_of(mistake("a"), "model") == ["-x", "suite/model"]


# -- what a run means

DIFFERENCE = Difference("by-hand", 7, "", "GET /", (), (), "status is 404 and 200")


def finished(*tests: TestResult, problems: Sequence[str] = ()) -> RunResult:
    return RunResult(
        *("flask", "flask", "Flask", "sqlite", 1, 1, 0, "id", None, "c", False, "l", {}, "now"),
        complete=True,
        problems=list(problems),
        tests=list(tests),
    )


def outcome_of(name: str, failure: str = "") -> TestResult:
    outcome: Literal["passed", "failed"] = "failed" if failure else "passed"
    return TestResult(name, "rules", ["etag"], outcome, 0.1, failure)


ALIVE = outcome_of("faults/test_alive.py::test_it")
DEAD = outcome_of("faults/test_alive.py::test_it", "assert 8 <= 4")
RED = outcome_of("suite/rules/test_a.py::test_b", "def test_b():\nE   expected 2\nE   more")


@pytest.mark.parametrize(
    ("result", "outcome", "evidence"),
    [
        (finished(ALIVE, RED), "caught", "expected 2"),
        (finished(ALIVE), "survived", ""),
        (finished(DEAD), "broke", "assert 8 <= 4"),
        (finished(RED, problems=["did not answer /healthz"]), "broke", "expected 2"),
        (finished(ALIVE, problems=["no test collected"]), "unproven", "no test collected"),
        (None, "unproven", "ERROR: no such option"),
    ],
)
def test_only_a_failing_test_of_a_living_server_is_a_catch(
    result: RunResult | None, outcome: str, evidence: str
) -> None:
    found = trials.judge(result, "ERROR: no such option", 1.0)
    assert (found.outcome, found.evidence) == (outcome, evidence)


def test_a_run_broken_off_is_no_proof() -> None:
    result = finished(ALIVE)
    result.complete = False
    assert trials.judge(result, "", 1.0).outcome == "unproven"


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (finished(outcome_of("t::a")), {"t::b": "it was not run"}),
        (finished(outcome_of("t::a"), outcome_of("t::b", "E   no")), {"t::b": "no"}),
        (finished(problems=["no server"]), {"t::a": "no server", "t::b": "no server"}),
        (None, {"t::a": "ERROR: no such option", "t::b": "ERROR: no such option"}),
    ],
)
def test_a_test_that_does_not_pass_without_a_fault_is_told_with_its_reason(
    result: RunResult | None, why: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials, "run", lambda *_: (result, "ERROR: no such option"))
    bench: Any = None
    assert trials.failures(bench, ("sqlite", 1), "t", ["t::a", "t::b"]) == why


# -- all of them


class Pool:
    """Does at once what a pool would do in another process: `failures` of tests not in `good`."""

    def __init__(self, good: set[str]) -> None:
        self.good = good

    def submit(
        self, _: object, bench: object, configuration: object, file: str, tests: list[str]
    ) -> Future[dict[str, str]]:
        done: Future[dict[str, str]] = Future()
        done.set_result(dict.fromkeys(set(tests) - self.good, "expected 1"))
        return done


@pytest.fixture
def bench(original: Path, tmp_path: Path) -> trials.Bench:
    """Return what trials of layer 4 need: a server that is never started has no database."""
    template = SqliteDatabase(tmp_path, "template.db")
    answers = {"by-hand": [{"status": 200}]}
    return trials.Bench(find(IMPLEMENTATION), template, template, {}, answers)


@pytest.mark.parametrize(
    ("found", "outcome", "tests", "evidence"),
    [
        (None, "survived", [], ""),
        (DIFFERENCE, "caught", ["corpus/by-hand::by-hand, line 7"], "status is 404 and 200"),
        (ServerError("it ended"), "broke", [], "it ended"),
        (KeyboardInterrupt(), "unproven", [], "the replay did not come to its end"),
    ],
)
def test_an_answer_to_the_corpus_that_is_not_the_good_one_catches_a_fault(
    bench: trials.Bench,
    found: Difference | BaseException | None,
    outcome: str,
    tests: list[str],
    evidence: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def first_difference(_: object, answers: object) -> Difference | None:
        assert answers is bench.answers
        if isinstance(found, BaseException):
            raise found
        return found

    monkeypatch.setattr(trials, "first_difference", first_difference)
    finding = trials.attempt(bench, mistake("a"), "identity")
    assert (finding.outcome, finding.tests, finding.evidence) == (outcome, tests, evidence)


def test_a_replay_that_time_runs_out_on_has_caught_no_fault_and_proves_no_good_copy(
    bench: trials.Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(trials, "first_difference", interrupted)
    monkeypatch.setattr(trials, "DEADLINE", 0)
    edit = Edit("app/config.py", "= 1000", "= 1001")
    outcomes = [
        trials.replayed(bench, edits, ("sqlite", 1), bench.answers).outcome
        for edits in ([edit], [])
    ]
    assert outcomes == ["survived", "unproven"]


def test_without_a_fault_the_corpus_is_answered_as_ever(
    bench: trials.Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    tests, found = ["corpus/by-hand::by-hand, line 7"], [DIFFERENCE, None]
    monkeypatch.setattr(trials, "first_difference", lambda *_: found.pop(0))
    failures = partial(trials.failures, bench, ("sqlite", 1), "corpus/by-hand", tests)
    assert [failures(), failures()] == [{tests[0]: "status is 404 and 200"}, {}]


def mistake(name: str, rule: str = "etag", database: Kind = "sqlite", workers: int = 1) -> Fault:
    return Fault(name, rule, f"{name} is wrong.", (), database, workers)


def caught(fault: Fault, *tests: str) -> Trial:
    return Trial(fault, {"rules": Finding("caught", 1.25, list(tests), "expected 2, got 1")})


def test_what_fails_without_a_fault_catches_none() -> None:
    found = [caught(mistake("one"), "t::test_good"), caught(mistake("two"), "t::test_flaky")]
    pool: Any = Pool({"t::test_good"})
    bench: Any = None
    assert control(pool, bench, found) == ["t::test_flaky"]
    assert [trial.outcome for trial in found] == ["caught", "unproven"]
    assert found[1].findings["rules"].evidence == "fails without the fault, too: expected 1"


@pytest.mark.parametrize("outcome", ["survived", "broke", "unproven"])
def test_what_is_not_caught_is_red_and_stands_first(
    outcome: Outcome, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = Trial(mistake("two", database="postgresql", workers=2), {"rules": Finding(outcome, 1.0)})
    matrix = Matrix([caught(mistake("one"), "t::test_a_b[x]"), lost], ["rules"])
    assert matrix.lost == [lost]
    page = document(matrix, "flask")
    assert page.index("`two`") < page.index("`one`")
    assert f"| two is wrong. (postgresql, 2 workers) | **{outcome}** |" in page
    assert "**1 of 2 faults, of 1 rules, are caught.**" in page
    conclude(matrix, Console(soft_wrap=True))
    out = capsys.readouterr().out
    assert out.startswith(f"{outcome.upper()}: two (rule etag): two is wrong.")


def test_all_caught_is_green() -> None:
    matrix = Matrix([caught(mistake("one"), "t::test_a_b[x]")], ["rules"])
    assert not matrix.lost
    assert "| `etag` | `one` | one is wrong. | a b (1.2 s) |" in document(matrix, "flask")
    [row] = matrix.as_json()["faults"]
    assert (row["id"], row["outcome"]) == ("one", "caught")
    assert row["findings"]["rules"]["tests"] == ["t::test_a_b[x]"]
    assert "edits" not in row


def test_a_later_run_adds_to_an_earlier_one() -> None:
    one, two = mistake("one"), mistake("two")
    earlier = Matrix([caught(two, "t::flaky"), caught(one, "t::good")], ["rules"], ["t::flaky"])
    model = Trial(one, {"model": Finding("survived", 9.0)})
    newer = Matrix([model, caught(two, "t::better")], ["rules", "model"])
    again = Matrix.of({**earlier.as_json()}, [one, two])
    assert again.as_json() == replace(earlier, trials=earlier.trials[::-1]).as_json()
    joined = again.joined(newer, [one, two])
    assert (joined.layers, joined.failing) == (["rules", "model"], [])
    assert joined.known() == {"one": "t::good", "two": "t::better"}
    assert not joined.lost
    page = document(joined, "flask")
    assert "| good (1.2 s) | survived |" in page
    assert "| better (1.2 s) | not tried |" in page
    assert joined.joined(Matrix([], []), [two]).known() == {"two": "t::better"}


def test_nothing_is_added_to_the_results_of_another_commit(tmp_path: Path) -> None:
    path = tmp_path / results.MATRIX
    with pytest.raises(DocumentError, match=r"faults\.json is no result file"):
        take(path, keep=True)
    implementation = find(IMPLEMENTATION)
    made = results.provenance("faults", "", results.now())
    matrix = Matrix([caught(mistake("a"), "t")], ["rules"])
    write(matrix, implementation, tmp_path, made | {"commit": "0" * 40})
    with pytest.raises(FaultError, match="of another commit, 00000"):
        take(path, keep=True)
    assert path.exists()
    assert take(path, keep=False).trials == ()
    assert not path.exists()


def test_every_fault_was_tried_at_its_own_rule_and_the_page_tells_it() -> None:
    found = recollect()
    assert Counter(trial.outcome for trial in found.trials) == {"caught": len(FAULTS)}
    assert (ROOT / "docs" / "faults.md").read_text() == document(
        found.of_all(FAULTS), IMPLEMENTATION
    )


def test_only_a_layer_at_which_all_faults_were_tried_is_remembered() -> None:
    one, two = mistake("one"), mistake("two")
    model = Trial(one, {"model": Finding("survived", 9.0)})
    matrix = Matrix([caught(one, "t::a", "t::b")], ["rules"]).joined(
        Matrix([model, caught(two, "t::c")], ["rules", "model"]), [one, two]
    )
    assert matrix.of_all([one]).layers == ["rules", "model"]
    kept = matrix.of_all([one, two])
    assert kept.layers == ["rules"]
    assert matrix.of_all([one, two, mistake("three")]).layers == []
    found = {"outcome": "caught", "seconds": 1.25, "tests": ["t::a"]}
    assert kept.memory()["one"] == {"rules": found}
    again = Matrix.recalled(kept.memory(), [two, one])
    assert again.known() == {"one": "t::a", "two": "t::c"}
    assert again.memory() == kept.memory()


def test_what_is_sure_of_some_faults_fills_gaps_alone() -> None:
    one, two, three = map(mistake, ("one", "two", "three"))
    known = Matrix([caught(one, "t::a"), Trial(two, {"model": Finding("broke", 9.0)})], ["rules"])
    run = Matrix(
        [
            Trial(one, {"rules": Finding("caught", 1, ["t::b"]), "model": Finding("survived", 1)}),
            Trial(two, {"rules": Finding("survived", 1), "model": Finding("caught", 1, ["t::c"])}),
            Trial(three, {"rules": Finding("unproven", 1), "model": Finding("broke", 1)}),
        ],
        ["rules", "model"],
    )
    found = run.lacking(known)
    assert {trial.fault.id: [*trial.findings] for trial in found.trials} == {
        "one": ["model"],
        "two": ["model"],
    }
    assert found.layers == ["model"]


def test_without_its_own_rule_a_fault_is_untried() -> None:
    seen = Trial(mistake("a"), {"model": Finding("caught", 1, ["t::test_a"])})
    broken = Trial(mistake("b"), {"contract": Finding("survived", 1), "model": Finding("broke", 1)})
    matrix = Matrix([seen, broken], ["contract", "model"])
    assert [trial.outcome for trial in matrix.trials] == ["untried", "broke"]
    assert matrix.lost == [broken]
    assert "**0 of 2 faults" in document(matrix, "flask")


@pytest.mark.parametrize(
    ("outcome", "partial", "end"),
    [
        ("caught", "some", (True, "some")),
        ("survived", "some", (True, "some")),
        ("broke", "some", (False, "1 not caught: a (broke)")),
        ("survived", "", (False, "1 not tried at their own rules")),
    ],
)
def test_what_was_not_tried_at_its_own_rule_is_never_green(
    outcome: Outcome, partial: str, end: tuple[bool, str]
) -> None:
    matrix = Matrix([Trial(mistake("a"), {"model": Finding(outcome, 1)})], ["model"])
    made = results.provenance("faults", "", results.now())
    bearable, line = closing({**made, **matrix.as_json(), "partial": partial})
    word = "PARTIAL" if bearable else "RED"
    assert (bearable, line) == (end[0], f"{word}: 0 of 1 faults, of 1 rules, caught: {end[1]}")


def test_a_partial_matrix_says_what_each_layer_caught() -> None:
    seen = Trial(mistake("a"), {"contract": Finding("survived", 1), "model": Finding("caught", 1)})
    assert Matrix([seen], ["contract", "model"]).catches() == "contract caught 0, model caught 1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope"], "no fault nope; they stand in conformance/faults/"),
        (["--rule", "nope"], "no rule nope; they stand in spec/rules.yaml"),
    ],
)
def test_unknown_names_are_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    older = tmp_path / results.MATRIX
    older.touch()
    assert main(["faults", *arguments, "--results", str(tmp_path)]) == 1
    assert message in capsys.readouterr().err
    assert older.exists()


def test_an_unknown_layer_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["faults", "--layers", "rules,relay"]) == 1
    assert "no layer relay; there are rules, contract, model" in capsys.readouterr().err


def test_a_copy_sees_the_specification_and_the_environments(tmp_path: Path) -> None:
    implementation = find(IMPLEMENTATION)
    edit = Edit("app/config.py", "MIN_KEY_BYTES = 32", "MIN_KEY_BYTES = 31")
    planted = plant(implementation, [edit], tmp_path, ROOT)
    assert "= 31" in (planted.folder / "app" / "config.py").read_text()
    assert "= 32" in (implementation.folder / "app" / "config.py").read_text()
    assert find(IMPLEMENTATION, tmp_path) == planted
    assert (tmp_path / "spec" / "rules.yaml").samefile(ROOT / "spec" / "rules.yaml")
