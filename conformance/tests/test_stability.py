"""Runs that are not all the same are found, and are red; so is what is always red."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rosetta.cli import main
from rosetta.controls import stability
from rosetta.controls.stability import Attempt
from rosetta.results import documents
from rosetta.targets.manifest import ROOT, ManifestError, discover
from tests import samples

Change = Callable[[Attempt], object]
NAME = next(iter(discover()))


NAMES = ("tiny", NAME)


def steady(_: int) -> dict[str, Attempt]:
    return {name: Attempt(samples.run(name), []) for name in NAMES}


def third(change: Change) -> stability.Prove:
    """Return a fake whose third run is changed."""

    def prove(number: int) -> dict[str, Attempt]:
        made = steady(number)
        if number == 3:
            for attempt in made.values():
                change(attempt)
        return made

    return prove


def test_runs_that_are_the_same_are_stable() -> None:
    found = stability.repeat(steady, ["tiny"], 3)["tiny"]
    assert stability.stable(found)
    assert found == {
        "tests": 3,
        "verdicts": [[], [], []],
        "seconds": [3.0, 3.0, 3.0],
        "differing": [],
    }


def fail(attempt: Attempt) -> None:
    assert attempt.run
    attempt.run.tests[2].outcome = "failed"


def lose(attempt: Attempt) -> None:
    assert attempt.run
    attempt.run.tests.pop(2)


@pytest.mark.parametrize(
    ("change", "outcomes"),
    [
        (fail, ["passed", "passed", "failed", "passed"]),
        (lose, ["passed", "passed", "missing", "passed"]),
    ],
)
def test_a_test_that_differs_once_is_named(change: Change, outcomes: list[str]) -> None:
    found = stability.repeat(third(change), ["tiny"], 4)["tiny"]
    assert found["differing"] == [{"nodeid": "model", "outcomes": outcomes}]
    assert not stability.stable(found)


def test_a_verdict_that_differs_once_is_not_stable() -> None:
    found = stability.repeat(third(lambda attempt: attempt.reasons.append("x")), ["tiny"], 3)[
        "tiny"
    ]
    assert found["verdicts"] == [[], [], ["x"]]
    assert not stability.stable(found)


def test_a_run_without_a_result_is_not_stable() -> None:
    def prove(number: int) -> dict[str, Attempt]:
        return steady(number) if number == 1 else {}

    found = stability.repeat(prove, ["tiny"], 2)["tiny"]
    assert found["verdicts"] == [[], ["no result"]]
    assert not stability.stable(found)


# -- the command, on a fake


def command(
    monkeypatch: pytest.MonkeyPatch, results: Path, prove: stability.Prove, *words: str
) -> int:
    monkeypatch.setattr(stability, "prove_in", lambda *_: prove)
    return main(["stability", *words, f"--results={results}"])


def test_the_result_is_written_and_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, tmp_path, steady, "2", NAME) == 0
    written = documents.read(tmp_path / "stability.json")
    assert (written["runs"], list(written["implementations"])) == (2, [NAME])
    out = capsys.readouterr().out.splitlines()
    assert out == [
        f"{NAME}, 1 of 2: green, 3 tests",
        f"{NAME}, 2 of 2: green, 3 tests",
        f"GREEN: 2 runs of {NAME}, stable",
    ]


@pytest.mark.parametrize(
    ("run", "told"),
    [
        (third(fail), f"{NAME}: model: passed, passed, failed"),
        (lambda _: {}, f"{NAME}: 3 of 3 runs were red"),
    ],
)
def test_whatever_is_not_always_green_is_red(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    run: stability.Prove,
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command(monkeypatch, tmp_path, run, NAME, "3") == 1
    out = capsys.readouterr().out
    assert told in out
    assert out.splitlines()[-1].startswith(f"RED: 3 runs of {NAME}, ")


def test_ten_runs_of_all_are_the_default() -> None:
    assert stability.chosen([]) == (10, list(discover()))
    assert stability.chosen(["3"])[0] == 3


@pytest.mark.parametrize("words", [["nope"], ["2", "3"], ["0"]])
def test_words_that_mean_nothing_are_refused(words: list[str]) -> None:
    with pytest.raises(ManifestError):
        stability.chosen(words)


def test_a_run_that_leaves_no_verdict_has_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT / "conformance")
    prove = stability.prove_in(tmp_path, [NAME], ["suite/nothing_of_the_kind.py"])
    assert prove(1) == {}
    assert "is no file of tests" in (tmp_path / "1" / "said.txt").read_text()
