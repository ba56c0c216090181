"""The table of faults is whole, and the runner tells what is caught from what is not."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from faults import FAULTS, IMPLEMENTATION
from rosetta import spec
from rosetta.manifest import find
from rosetta.mutants import Edit, Fault, FaultError, apply


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
