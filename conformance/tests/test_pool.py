"""Several processes share one run: of one target or of several, to its end or not."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import AddTiny
from tests.test_plugin import BOTH_RULES, CONFORMANCE

ETAG, FEED = BOTH_RULES.partition('@pytest.mark.rule("feed")')[::2]
FEED = f'import pytest\n@pytest.mark.rule("feed"){FEED}'


class Runs:
    """Calls of ``rosetta prove`` in a folder with a small suite, on the tiny server."""

    def __init__(self, folder: Path, repository: Path, add_tiny: AddTiny) -> None:
        self.folder, self.repository, self.add_tiny = folder, repository, add_tiny
        settings = f"[tool.pytest]\nstrict = true\npythonpath = ['{CONFORMANCE}']"
        (folder / "pyproject.toml").write_text(settings)
        self.write("conftest.py", (CONFORMANCE / "suite" / "conftest.py").read_text())
        self.write("rules/test_etag.py", ETAG)
        self.write("rules/test_feed.py", FEED)
        for layer in ("contract", "model"):
            self.write(f"{layer}/test_{layer}.py", f"def test_{layer}(): pass\n")

    def write(self, name: str, source: str) -> None:
        path = self.folder / "suite" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)

    def start(self, *options: str, targets: tuple[str, ...] = ("tiny",)) -> subprocess.Popen[str]:
        for target in targets:
            self.add_tiny(target.removeprefix("tiny").removeprefix("-"))
        named = [f"--impl={target}" for target in targets]
        command = [sys.executable, "-m", "rosetta", "prove", *named, *options]
        return subprocess.Popen(  # noqa: S603
            [*command, f"--root={self.repository}", f"--results={self.folder / 'results'}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(CONFORMANCE)},
        )

    def run(self, *options: str, targets: tuple[str, ...] = ("tiny",)) -> tuple[int, str]:
        with self.start(*options, targets=targets) as process:
            said, _ = process.communicate()
        return process.returncode, said

    def result(self, label: str = "tiny") -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            (self.folder / "results" / f"{label}.json").read_text(encoding="utf-8")
        )
        return found


@pytest.fixture
def runs(tmp_path: Path, repository: Path, add_tiny: AddTiny) -> Runs:
    return Runs(tmp_path, repository, add_tiny)


def test_lanes_share_the_run_of_one_target(runs: Runs) -> None:
    code, said = runs.run("--jobs=2")
    assert code == 0, said
    result = runs.result()
    assert result["rules"] == {"etag": "passed", "feed": "passed"}
    assert (result["complete"], result["processes"], len(result["tests"])) == (True, 2, 4)
    assert (runs.folder / "results" / "tiny.xml").exists()
    assert "tiny: 4 passed, 0 failed" in said
    assert said.splitlines()[-1] == "GREEN: tiny conform to all 2 rules (4 tests passed)"


def test_every_target_has_a_result_of_its_own(runs: Runs) -> None:
    sniffs = '(api): assert api.get("/healthz").headers["X-Content-Type-Options"]'
    runs.write("rules/test_feed.py", FEED.replace("(api): pass", sniffs))
    _, said = runs.run("--jobs=4", "-k", "test_", targets=("tiny", "tiny-no-nosniff"))
    good, bad = runs.result("tiny"), runs.result("tiny-no-nosniff")
    assert good["rules"] == {"etag": "passed", "feed": "passed"}, said
    assert bad["rules"] == {"etag": "passed", "feed": "failed"}, said
    assert good["run_id"] == bad["run_id"]


def test_what_is_wrong_with_the_suite_is_said_once(runs: Runs) -> None:
    runs.write("rules/test_feed.py", FEED.replace('"feed"', '"etag"') + "\ndef test_lost(): pass\n")
    code, _ = runs.run("--jobs=2")
    assert code == 1
    assert len(runs.result()["problems"]) == 2


def test_a_failure_in_a_lane_reads_like_a_bug_report_when_it_happens(runs: Runs) -> None:
    runs.write("rules/test_feed.py", FEED.replace(": pass", ": assert api.sign_up() == 1"))
    code, said = runs.run()
    assert code == 1
    assert "FAILED tiny: suite/rules/test_feed.py::test_feed (feed)" in said
    assert "The feed MUST tell of every write" in said
    assert "the main server's log" in said
    [test] = [test for test in runs.result()["tests"] if test["outcome"] == "failed"]
    asked = [exchange["request"] for exchange in test["evidence"]["exchanges"]]
    assert [request.rpartition("/")[2] for request in asked] == ["users"]


def test_hostile_bytes_do_not_reach_the_terminal(runs: Runs) -> None:
    runs.write("rules/test_feed.py", FEED.replace(": pass", r": assert False, '\x1b[2J'"))
    _, said = runs.run()
    assert "\x1b[2J" not in said
    assert r"\x1b[2J" in said


def test_a_server_that_does_not_start_ends_its_target_alone(runs: Runs) -> None:
    code, said = runs.run("--jobs=1", "-k", "test_", targets=("tiny-dies", "tiny"))
    assert code == 1
    assert "cannot start: no such table" in said
    assert not runs.result("tiny-dies")["complete"]
    assert runs.result("tiny")["rules"]["etag"] == "passed"


def test_a_lane_that_breaks_down_is_red_and_its_servers_end(runs: Runs) -> None:
    body = "(server): import os; print(server.pid); os._exit(3)"
    runs.write("rules/test_feed.py", FEED.replace("(api): pass", body))
    code, said = runs.run("--jobs=2")
    assert code == 1
    assert re.search("RED tiny: lane. of the suite broke down in rules/test_feed.py", said)
    assert runs.result()["problems"]
    assert not runs.result()["complete"]
    logs = runs.folder / "results" / "tiny.logs"
    assert list(logs.glob("lane*-main.log"))
    assert [process for process in psutil.process_iter() if writes_to(process, logs)] == []


def writes_to(process: psutil.Process, logs: Path) -> bool:
    """Tell whether a process has a log of this directory open."""
    try:
        return any(Path(file.path).parent == logs for file in process.open_files())
    except psutil.Error:
        return False


def test_the_first_failure_ends_a_run_that_is_to_stop_there(runs: Runs) -> None:
    runs.write("rules/test_feed.py", FEED.replace(": pass", ": assert False"))
    code, _ = runs.run("-x", "--jobs=1")
    assert code == 1
    assert not runs.result()["complete"]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_its_servers_and_is_not_green(
    runs: Runs, sent: signal.Signals
) -> None:
    told = runs.folder / "pid"
    os.mkfifo(told)
    waiting = f"open({str(told)!r}, 'w').write(str(server.pid)); import time; time.sleep(60)"
    runs.write("rules/test_feed.py", FEED.replace("(api): pass", f"(server): {waiting}"))
    with runs.start("--jobs=2") as process:
        server = int(told.read_text())
        process.send_signal(sent)
        process.communicate()
    assert process.returncode != 0
    assert not psutil.pid_exists(server)
    assert not runs.result()["complete"]


def test_a_database_is_migrated_once_for_all_lanes_of_a_target(runs: Runs) -> None:
    for number in range(6):
        runs.write(f"rules/test_{number}.py", FEED.replace("(api): pass", "(server): pass"))
    code, said = runs.run("--jobs=3")
    assert code == 0, said
    assert len(list((runs.folder / "results/tiny.logs").glob("*-migrate.log"))) == 1


def test_a_selection_is_partial(runs: Runs) -> None:
    code, said = runs.run("-k", "test_etag")
    assert code == 0, said
    assert runs.result()["partial"] == "1 of 4 tests selected"


def test_a_module_that_cannot_be_imported_is_red(runs: Runs) -> None:
    runs.write("rules/test_gone.py", "import nothing_of_the_kind\n")
    code, said = runs.run()
    assert code == 1
    assert "nothing_of_the_kind" in said


def test_an_unknown_rule_is_refused_with_the_nearest(runs: Runs) -> None:
    code, said = runs.run("--rule=etags")
    assert code == 1
    assert "no such rule; did you mean etag?" in said


def test_a_path_that_is_not_there_is_refused(runs: Runs) -> None:
    code, said = runs.run("faults-k")
    assert code == 1
    assert "faults-k is no file of tests" in said
