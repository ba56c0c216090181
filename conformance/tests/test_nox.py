"""Each way to call nox proves what it says, with nothing shared between its sessions.

The noxfile runs as it is, on two made-up implementations and a suite that only notes its arguments.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rosetta.targets.manifest import ROOT

SUITE = """
import json, os, sys
if sys.argv[1] == "environment":
    print(sys.executable)
else:
    with open("calls", "a") as calls:
        calls.write(json.dumps([os.getpid(), *sys.argv[1:]]) + "\\n")
    sys.exit("red" in " ".join(sys.argv[1:]))
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "noxfile.py").write_text((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    suite = tmp_path / "conformance" / "rosetta"
    suite.mkdir(parents=True)
    (suite / "__main__.py").write_text(SUITE)
    for name in ("one", "two"):
        (tmp_path / "impl" / name).mkdir(parents=True)
        (tmp_path / "impl" / name / "pyproject.toml").write_text("[tool.conformance]\n")
    return tmp_path


def nox(root: Path, *arguments: str) -> tuple[int, list[list[str]]]:
    """Run nox; return its exit code and the arguments of each call of the suite, sorted."""
    command = [sys.executable, "-m", "nox", *arguments]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603
    noted = root / "conformance" / "calls"
    assert noted.exists(), done.stderr
    calls = [json.loads(line) for line in noted.read_text().splitlines()]
    assert len({process for process, *_ in calls}) == len(calls)
    return done.returncode, sorted(call for _, *call in calls)


@pytest.mark.parametrize(
    ("arguments", "calls"),
    [
        ([], [["prove"]]),
        (["--", "--jobs", "2"], [["prove", "--jobs", "2"]]),
        (["-s", "conformance", "--", "--full"], [["prove", "--full"]]),
        (["-s", "conformance(two)"], [["prove", "--impl", "two"]]),
        (
            ["-s", "conformance(two)", "--", "-k", "faults"],
            [["prove", "--impl", "two", "-k", "faults"]],
        ),
        (["-s", "replay", "verdict"], [["replay"], ["verdict"]]),
    ],
)
def test_a_session_is_one_call_of_the_suite(
    root: Path, arguments: list[str], calls: list[list[str]]
) -> None:
    assert nox(root, *arguments) == (0, calls)


@pytest.mark.parametrize("parallel", [[], ["--parallel", "2", "--allow-parallel"]])
def test_sessions_know_nothing_of_each_other(root: Path, parallel: list[str]) -> None:
    code, calls = nox(root, *parallel, "-s", "conformance(one)", "conformance(two)")
    assert code == 0
    assert calls == [["prove", "--impl", "one"], ["prove", "--impl", "two"]]


@pytest.mark.parametrize("parallel", [[], ["--parallel", "2", "--allow-parallel"]])
def test_one_red_session_makes_nox_red(root: Path, parallel: list[str]) -> None:
    (root / "impl" / "two").rename(root / "impl" / "red")
    code, _ = nox(root, *parallel, "-s", "conformance(one)", "conformance(red)")
    assert code != 0
