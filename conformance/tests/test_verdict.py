"""The verdict is green only with proof: every way in which it must end red."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from rich.console import Console

from rosetta.cli import main
from rosetta.contract.spec import load
from rosetta.results import documents, summary, verdict
from rosetta.results.inputs import inputs_of, why_not_again
from rosetta.results.reasons import closing, judge, verdict_of
from rosetta.results.run import LAYERS, RunResult, TestResult
from rosetta.targets.manifest import ROOT, discover
from tests import samples

Json = Any
Change = Callable[[Any], object]
COUNT = len(load().rules.rules)
NAME = next(iter(discover()))


def parts_of(*parts: RunResult | Json) -> summary.Parts:
    """Return runs and other documents, sorted as a summary takes them."""
    sorted_in = summary.Parts()
    for part in parts:
        document = part.document if isinstance(part, RunResult) else part
        sorted_in.add(document, elsewhere=True)
    return sorted_in


def summed(*parts: RunResult | Json, **about: Any) -> Json:  # noqa: ANN401
    """Return the summary of these parts, with its verdict."""
    made = summary.summary(parts_of(*parts), run_id="this", **about)
    return made | {"verdict": verdict_of(made)}


def concluded(*parts: RunResult | Json, **about: Any) -> tuple[str, list[str]]:  # noqa: ANN401
    """Return the status of a verdict, and the lines that it prints."""
    out = StringIO()
    with TemporaryDirectory() as directory:
        document = summary.summary(parts_of(*parts), run_id="this", **about)
        status = verdict.conclude(document, Path(directory), Console(file=out, width=160))
    return status, out.getvalue().splitlines()


def judged_alone(directory: Path) -> int:
    """Judge what a directory holds, as ``nox -s verdict`` does."""
    return main(["verdict", f"--results={directory}"])


def with_test(run: RunResult, outcome: str, reason: str = "") -> None:
    run.tests.append(TestResult("x", "rules", [], outcome, 0.1, reason=reason))  # type: ignore[arg-type]


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
        (lambda r: r.problems.append("no test collected"), "no test collected"),
    ],
)
def test_whatever_is_unknown_missing_or_stale_is_a_fault(change: Change, fault: str) -> None:
    run = samples.run()
    change(run)
    assert fault in "\n".join(judge(summed(run))["tiny"])


def test_the_closing_line_is_green_with_proof() -> None:
    status, out = concluded(samples.run(), expected=["tiny"])
    assert status == "green"
    assert out[-1] == f"GREEN: tiny conform to all {COUNT} rules (3 tests passed)"
    assert not any("✓" in line for line in out)  # the table of rules is only for what is not


def test_a_missing_implementation_is_red() -> None:
    status, out = concluded(samples.run(), expected=["tiny", "flask"])
    assert (status, out[-1]) == ("red", "RED: flask: no result")


def test_what_is_stale_is_red_and_named() -> None:
    status, out = concluded(samples.run(), stale={"tiny": ["is of another state"]})
    assert (status, out[-1]) == ("red", "RED: tiny")
    assert "tiny: is of another state" in out


def test_called_alone_it_judges_by_what_results_depend_on(tmp_path: Path, capsys: Capture) -> None:
    made = samples.run(NAME)
    made.implementation, made.inputs = (
        NAME,
        inputs_of(discover()[NAME].folder, ROOT, made.configuration),
    )
    made.write(tmp_path)
    assert judged_alone(tmp_path) == 0
    assert "GREEN" in capsys.readouterr().out
    made.inputs = "0" * 64
    made.write(tmp_path)
    assert judged_alone(tmp_path) == 1
    assert f"{NAME}: is of another state of the repository" in capsys.readouterr().out


def test_a_server_elsewhere_is_judged_only_when_asked(tmp_path: Path, capsys: Capture) -> None:
    run = samples.run("url")
    run.base_url = "http://127.0.0.1:8000"
    run.write(tmp_path)
    assert judged_alone(tmp_path) == 1
    assert "RED: results" in capsys.readouterr().out


def test_one_red_run_makes_all_red() -> None:
    bad = samples.run("bad")
    bad.rules["etag"] = "failed"
    status, out = concluded(samples.run("good"), bad)
    assert (status, out[-1]) == ("red", "RED: bad")


def test_a_result_that_is_used_again_is_named() -> None:
    status, out = concluded(samples.run("one"), samples.run("two"), reused=["one"])
    assert status == "green"
    assert any(line.startswith("used again: one: nothing") for line in out)
    assert any("one, sqlite (again)" in line for line in out)


# -- partial


def test_a_selection_is_partial_and_never_green() -> None:
    run = samples.run()
    run.partial = "3 of 9 tests selected"
    run.rules["feed"] = "not-run"
    status, out = concluded(run)
    assert status == "partial"
    passed = f"{COUNT - 1} of {COUNT} rules, all passed"
    assert out[-1] == f"PARTIAL: tiny: {passed}; 3 of 9 tests selected"


def test_a_selection_in_which_a_test_failed_is_red() -> None:
    run = samples.run()
    run.partial = "3 of 9 tests selected"
    with_test(run, "failed")
    assert concluded(run)[0] == "red"


def of_url() -> RunResult:
    """Return a run of a server that is not ours, in which two rules could not be tested."""
    run = samples.run("url")
    run.base_url, run.database = "http://127.0.0.1:8000", "unknown"
    for rule in ("etag", "feed"):
        run.rules[rule] = "not-run"
        run.tests.append(
            TestResult(rule, "rules", [rule], "not-run", 0, reason="needs the process")
        )
    return run


def test_a_server_elsewhere_is_partial_and_says_what_is_missing_and_why() -> None:
    status, out = concluded(of_url())
    assert status == "partial"
    missing = "2 rules not tested: etag, feed (needs the process)"
    assert out[-1] == f"PARTIAL: url: {COUNT - 2} of {COUNT} rules, all passed; {missing}"


def test_a_server_elsewhere_that_breaks_a_rule_is_red() -> None:
    run = of_url()
    run.rules["head"] = "failed"
    status, out = concluded(run)
    assert (status, out[-1]) == ("red", "RED: url")
    assert "url: 1 rules broken: head" in out


def test_a_rule_that_is_not_tested_at_an_implementation_is_red() -> None:
    run = samples.run()
    run.rules["etag"] = "not-run"
    assert concluded(run)[0] == "red"


# -- layers by identity


def follower(name: str = "two") -> RunResult:
    """Return a run in which layers 1 and 3 did not run."""
    run = samples.run(name)
    run.live = ["rules"]
    run.tests = [test for test in run.tests if test.layer == "rules"]
    return run


def test_layers_follow_from_one_that_answers_alike() -> None:
    status, out = concluded(samples.run("one"), follower(), samples.replay("one", "two"))
    assert status == "green"
    row = next(line for line in out if "two, sqlite" in line)
    assert row.count("by identity (one)") == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda _, replay: replay.update(differences=[samples.difference(["one"], ["two"])]),
        lambda _, replay: replay.update(groups=[["one"], ["two"]]),
        lambda _, replay: replay.update(groups=[["one"]]),
        lambda _, replay: replay.update(database="postgresql"),
        lambda _, replay: replay.update(judged={"answers": 0, "failures": []}),
        lambda _, replay: replay.update(
            judged={"answers": 9, "failures": [samples.judgement("one")]}
        ),
        lambda _, replay: replay.update(partial="only a file"),
        lambda _, replay: replay.update(problems=["two: no start"]),
        lambda lead, _: lead.rules.update(etag="failed"),
        lambda lead, _: lead.problems.append("no"),
        lambda lead, _: setattr(lead, "complete", False),
        lambda lead, _: setattr(lead, "partial", "one test"),
        lambda lead, _: setattr(lead, "database", "postgresql"),
        lambda lead, _: setattr(lead, "workers", 2),
        lambda lead, _: lead.tests.pop(0),
        lambda lead, _: lead.live.remove("contract"),
    ],
    ids=itertools.count(),
)
def test_no_layer_follows_from_what_is_no_proof(
    change: Callable[[RunResult, Json], object],
) -> None:
    lead, replay = samples.run("one"), samples.replay("one", "two")
    change(lead, replay)
    status, out = concluded(lead, follower(), replay)
    assert status == "red"
    assert "two: layer contract neither ran nor is proven by identity" in out


def test_without_a_replay_no_layer_follows() -> None:
    assert concluded(samples.run("one"), follower())[0] == "red"


def test_the_rules_never_follow() -> None:
    run = follower()
    run.live = []
    reasons = judge(summed(samples.run("one"), run, samples.replay("one", "two")))
    assert "layer rules did not run" in reasons["two"]


def test_each_database_has_a_replay_of_its_own() -> None:
    lead, other = samples.run("one"), follower()
    for run in (lead, other):
        run.label, run.database = f"{run.label}-postgresql-1", "postgresql"
    both = [samples.replay("one", "two"), samples.replay("one", "two") | {"database": "postgresql"}]
    status, out = concluded(samples.run("one"), follower(), lead, other, *both)
    assert status == "green"
    assert out[-3].startswith("replay: 10 requests")
    assert out[-2].startswith("replay-postgresql: 10 requests")


# -- inputs


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a small repository without git."""
    for name in ("impl/one/app.py", "spec/rules.yaml", "conformance/suite.py", "conformance/a.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("impl/one/app.py", "changed"),
        ("impl/one/new.py", ""),
        ("spec/rules.yaml", "changed"),
        ("conformance/suite.py", "changed"),
    ],
)
def test_a_result_depends_on_its_folder_the_contract_and_the_suite(
    tree: Path, name: str, content: str
) -> None:
    before = inputs_of(tree / "impl/one", tree, {"database": "sqlite"})
    (tree / name).write_text(content)
    assert inputs_of(tree / "impl/one", tree, {"database": "sqlite"}) != before


@pytest.mark.parametrize("name", ["impl/two/app.py", "conformance/a.md", "conformance/tests/t.py"])
def test_a_result_does_not_depend_on_anything_else(tree: Path, name: str) -> None:
    before = inputs_of(tree / "impl/one", tree, {"database": "sqlite"})
    (tree / name).parent.mkdir(parents=True, exist_ok=True)
    (tree / name).write_text("changed")
    assert inputs_of(tree / "impl/one", tree, {"database": "sqlite"}) == before


def test_a_result_depends_on_its_configuration(tree: Path) -> None:
    folder = tree / "impl/one"
    hashes = {inputs_of(folder, tree, {"database": name}) for name in ("sqlite", "postgresql")}
    assert len(hashes) == 2


def test_a_good_result_of_the_same_inputs_is_used_again() -> None:
    run = samples.run()
    run.inputs = samples.LOCK
    assert why_not_again(run, samples.LOCK, LAYERS) == ""


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda r: setattr(r, "inputs", "b" * 64), "something that it depends on has changed"),
        (lambda r: setattr(r, "live", ["rules"]), "it has no layer contract, model"),
        (lambda r: setattr(r, "complete", False), "was broken off"),
        (lambda r: setattr(r, "partial", "one test"), "one test"),
        (lambda r: with_test(r, "failed"), "1 tests failed"),
        (lambda r: r.problems.append("no server"), "no server"),
        (lambda r: r.rules.update(etag="failed"), "1 rules broken: etag"),
    ],
)
def test_no_other_result_is_used_again(change: Change, why: str) -> None:
    run = samples.run()
    run.inputs = samples.LOCK
    change(run)
    assert why_not_again(run, samples.LOCK, LAYERS) == why


# -- files


@pytest.mark.parametrize("content", ["{}", "[]", "not JSON", '{"kind": "run"}', '{"kind": "x"}'])
def test_a_file_that_is_no_result_is_red_and_named(
    tmp_path: Path, content: str, capsys: Capture
) -> None:
    (tmp_path / "odd.json").write_text(content)
    assert judged_alone(tmp_path) == 1
    out = capsys.readouterr().out
    assert "odd.json is no result file" in out
    assert out.splitlines()[-1] == "RED: results"


def test_nothing_to_judge_is_red(tmp_path: Path, capsys: Capture) -> None:
    assert judged_alone(tmp_path) == 1
    assert "results: no result found\nRED: results" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d: d["rules"].update(etag="green"), 'rules.etag: "green" is not one of'),
        (lambda d: d["tests"][0].update(outcome="ok"), 'tests.0.outcome: "ok" is not one of'),
        (lambda d: d.pop("commit"), '"commit" is a required property'),
        (lambda d: d.update(green=True), "'green' was unexpected"),
        (lambda d: d.update(finished="yesterday"), "finished"),
        (lambda d: d.update(live=["identity"]), "live.0"),
        (lambda d: d.update(inputs="abc"), "inputs"),
    ],
)
def test_a_run_that_was_tampered_with_is_red(
    tmp_path: Path, change: Change, told: str, capsys: Capture
) -> None:
    path = samples.run().write(tmp_path)
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    assert judged_alone(tmp_path) == 1
    assert told in capsys.readouterr().out


def test_what_is_printed_was_read(tmp_path: Path, capsys: Capture) -> None:
    good = summed(samples.run())
    assert verdict.read(documents.write(good, tmp_path / "results.json")) == good
    bad = json.loads(json.dumps(good))
    bad["runs"][0]["rules"]["etag"] = "failed"
    with pytest.raises(documents.DocumentError, match="verdict is not what it proves"):
        verdict.read(documents.write(bad, tmp_path / "results.json"))


# -- what is not a run


def both() -> list[Any]:
    return [samples.run("one"), samples.run("two"), samples.replay("one", "two")]


def test_identical_answers_are_told_in_one_line() -> None:
    status, out = concluded(*both(), expected=["one", "two", "replay"])
    assert status == "green"
    assert out[-2] == "replay: 10 requests, 4 feed messages, 2 implementations, identical"
    assert out[-1].endswith(f"(6 tests passed); {out[-2].removeprefix('replay: ')}")


def test_a_missing_replay_is_red_where_one_was_begun() -> None:
    status, out = concluded(*both()[:2], expected=["one", "two", "replay"])
    assert (status, out[-1]) == ("red", "RED: replay: no result")


@pytest.mark.parametrize(
    ("kind", "change", "fault"),
    [
        ("replay", {"differences": [samples.difference(["one"], ["two"])]}, "1 requests were not"),
        ("replay", {"groups": [["one"], ["two"]]}, "only these agree in everything: one | two"),
        ("replay", {"groups": [["one"]]}, "without answers: two"),
        ("replay", {"groups": []}, "without answers: one, two"),
        ("replay", {"problems": ["two: no start"]}, "two: no start"),
        ("replay", {"judged": {"answers": 1, "failures": [samples.judgement("one")]}}, "1 answers"),
        ("replay", {"corpus": {}}, "nothing was sent"),
        ("replay", {"implementations": {}}, "0 implementations are too few"),
        ("replay", {"verdict": "different"}, "says different"),
        ("relay", {"problem": "expected 2\nmore"}, "expected 2"),
        ("relay", {"requests": 0}, "nothing was sent"),
        ("relay", {"implementations": {}}, "0 implementations are too few"),
        ("relay", {"verdict": "different"}, "says different"),
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
        documents.write(matrix, tmp_path / "faults.json")


def test_all_parts_are_told() -> None:
    parts = [*both(), samples.relay("one", "two"), samples.faults(), samples.stability()]
    assert concluded(*parts)[1][-5:-1] == [
        "replay: 10 requests, 4 feed messages, 2 implementations, identical",
        "relay: 8 requests handed round 2 implementations on one database, interchangeable",
        "faults: 1 of 1 faults, of 1 rules, caught",
        "stability: 2 runs of tiny, stable",
    ]


@pytest.mark.parametrize("kind", ["replay", "faults"])
def test_a_part_that_is_partial_makes_all_partial(kind: str) -> None:
    part = {"replay": samples.replay("one", "two"), "faults": samples.faults()}[kind]
    status, out = concluded(part | {"partial": "only some"})
    assert (status, out[-1]) == ("partial", f"PARTIAL: {kind}: only some")


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


def test_the_table_shows_every_rule_that_is_not_proven_and_no_other() -> None:
    bad = samples.run("bad")
    bad.rules |= {"etag": "failed"}
    for test in bad.tests:
        test.rules.remove("feed")
    bad.rules.pop("feed")
    _, lines = concluded(samples.run("good"), bad)
    assert any("etag" in line and "✓" in line and "✗" in line for line in lines)
    assert any("feed" in line and "✓" in line and "·" in line for line in lines)
    assert sum("✓" in line for line in lines) == 2
    row = next(line for line in lines if "good, sqlite" in line)
    cells = [cell.strip() for cell in row.split("│")[2:-1]]
    assert cells == [f"{COUNT} of {COUNT}", *["1 / 0 / 0"] * 3, "30 s"]


def test_an_answer_that_is_not_right_is_shown_with_its_rule() -> None:
    wrong = {"judged": {"answers": 9, "failures": [samples.judgement("one")]}}
    status, out = concluded(*both()[:2], samples.replay("one", "two") | wrong)
    assert status == "red"
    assert "  one, update_item, rule etag: without the fields etag" in out
    assert "replay: 1 answers are not what the contract says: etag" in out


Capture = pytest.CaptureFixture[str]
