from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rosetta.targets import venvs
from rosetta.targets.venvs import VenvError, ensure


@pytest.fixture
def requirements(tmp_path: Path) -> Path:
    path = tmp_path / "requirements.txt"
    path.write_text("# nothing\n")
    return path


def test_an_environment_is_made_once_and_again_when_the_lock_changes(
    tmp_path: Path, requirements: Path
) -> None:
    venv = ensure(tmp_path / "venv", requirements)
    mark = venv / "mark"
    mark.touch()
    ensure(venv, requirements)
    assert mark.exists()
    requirements.write_text("# changed\n")
    ensure(venv, requirements)
    assert not mark.exists()


def test_its_python_runs_inside_it(tmp_path: Path, requirements: Path) -> None:
    venv = ensure(tmp_path / "venv", requirements)
    command = [str(venvs.bin_directory(venv) / "python"), "-c", "import sys; print(sys.prefix)"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    assert Path(shown.stdout.strip()) == venv


def test_pip_stands_in_for_uv(
    tmp_path: Path, requirements: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(venvs, "find_uv", lambda: None)
    venv = ensure(tmp_path / "venv", requirements)
    assert (venvs.bin_directory(venv) / "pip").exists()


def test_another_python_makes_another_environment(
    requirements: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = venvs.fingerprint(requirements)
    monkeypatch.setattr(sys, "version", "4.0")
    assert venvs.fingerprint(requirements) != before


def test_a_lock_without_hashes_is_refused_and_leaves_no_stamp(
    tmp_path: Path, requirements: Path
) -> None:
    requirements.write_text("idna==3.20\n")
    for _ in range(2):
        with pytest.raises(VenvError, match=r"(?i)hash"):
            ensure(tmp_path / "venv", requirements)


def test_a_missing_lock_is_named(tmp_path: Path) -> None:
    with pytest.raises(VenvError, match=r"nothing\.txt is missing"):
        ensure(tmp_path / "venv", tmp_path / "nothing.txt")
