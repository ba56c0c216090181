"""The suite must not be green without proof: every way in which it must end red."""

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

from rosetta.controls.trial import Only
from rosetta.runner import (  # noqa: F401 - else each run in this process imports them again
    fixtures,
    plugin,
)
from rosetta.targets.server import Server
from tests.conftest import AddTiny

CONFORMANCE = Path(__file__).parents[1]
# Without what a small suite does not need: their import takes longer than the run.
PLAIN = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:schemathesis")
BOTH_RULES = """
import pytest

@pytest.mark.rule("etag")
def test_etag(api):
    assert api.sign_up().etag.endswith('-1"')

@pytest.mark.rule("feed")
def test_feed(api): pass
"""


class Suite:
    """A small suite in a folder of its own, run by the plugin on the tiny server."""

    def __init__(self, pytester: pytest.Pytester, repository: Path, add_tiny: AddTiny) -> None:
        self.pytester, self.repository, self.add_tiny = pytester, repository, add_tiny
        self.results = pytester.path / "results"
        settings = f"[tool.pytest]\nstrict = true\npythonpath = ['{CONFORMANCE}']"
        pytester.makefile(".toml", pyproject=settings)
        self.write("conftest.py", (CONFORMANCE / "suite" / "conftest.py").read_text())

    def write(self, name: str, source: str) -> None:
        path = self.pytester.path / "suite" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)

    def run(
        self, source: str, *options: str, paths: tuple[str, ...] = ("suite",), target: str = "tiny"
    ) -> pytest.RunResult:
        self.write("rules/test_it.py", source)
        return self.start(*paths, *self.target(target), *options)

    def start(self, *options: str) -> pytest.RunResult:
        own = (f"--root={self.repository}", f"--results={self.results}")
        return self.pytester.runpytest_inprocess(*PLAIN, *own, *options)

    def target(self, name: str) -> tuple[str, ...]:
        if name.startswith("http"):
            return ("--base-url", name)
        self.add_tiny(name.removeprefix("tiny").removeprefix("-"))
        return ("--impl", name)

    def result(self, label: str = "tiny") -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.results / f"{label}.json").read_text())
        return found


@pytest.fixture
def suite(pytester: pytest.Pytester, repository: Path, add_tiny: AddTiny) -> Suite:
    return Suite(pytester, repository, add_tiny)


def red(run: pytest.RunResult, pattern: str) -> None:
    """Assert that a run failed and said why."""
    assert run.ret != 0
    assert re.search(pattern, run.stdout.str() + run.stderr.str()), run.stdout.str()


def test_a_suite_that_covers_the_rules_is_green(suite: Suite) -> None:
    run = suite.run(BOTH_RULES)
    assert run.ret == 0
    result = suite.result()
    assert result["rules"] == {"etag": "passed", "feed": "passed"}
    assert (result["complete"], result["partial"], result["problems"]) == (True, "", [])
    assert [test["layer"] for test in result["tests"]] == ["rules", "rules"]
    assert re.fullmatch("[0-9a-f]{64}", result["lock"])
    assert (suite.results / "tiny.xml").exists()


def test_a_run_of_only_some_tests_takes_the_plugin_that_names_them(suite: Suite) -> None:
    suite.write("rules/test_it.py", BOTH_RULES)
    own = (f"--root={suite.repository}", f"--results={suite.results}", *suite.target("tiny"))
    only = Only(["suite/rules/test_it.py::test_feed"])  # which cannot be hashed
    run = suite.pytester.runpytest_inprocess(*PLAIN, *own, "suite", plugins=[only])
    assert run.ret == 0, run.stdout.str()
    assert suite.result()["rules"] == {"etag": "not-run", "feed": "passed"}


def test_a_broken_rule_is_red_and_reads_like_a_bug_report(suite: Suite) -> None:
    source = BOTH_RULES.replace(
        "def test_feed(api): pass",
        """def test_feed(api):
    from rosetta.clients.http import expect
    expect(api.get("/nowhere"), 200)""",
    )
    run = suite.run(source)
    red(run, "expected status 200, got status 404")
    red(run, "rule feed: the contract says")
    red(run, "The feed MUST tell of every write")
    red(run, r"curl -i .*/nowhere")
    red(run, "the main server's log")
    assert suite.result()["rules"] == {"etag": "passed", "feed": "failed"}
    test = suite.result()["tests"][1]
    assert "The feed MUST" in test["failure"]
    [exchange] = test["evidence"]["exchanges"]
    assert exchange["request"].startswith("curl -i")
    assert exchange["response"].startswith("HTTP/1.1 404")
    assert "/nowhere" in test["evidence"]["log"]
    assert suite.result()["tests"][0]["evidence"] is None


def test_a_failure_shows_what_was_said_on_websockets(suite: Suite) -> None:
    source = BOTH_RULES.replace(
        "def test_feed(api): pass",
        """def test_feed(api, server):
    from rosetta.clients.websocket import Feed, RawWebSocket
    from websockets.frames import Opcode
    token = api.sign_up().token
    with Feed(server, token=token, after=0) as feed, RawWebSocket(server, token=token) as echo:
        echo.send_frame(Opcode.BINARY, b"\\x1b[2J" + b"x" * 1000)
        echo.send_frame(Opcode.CLOSE, (1001).to_bytes(2, "big") + b"bye")
        echo.close_code()
        assert [feed.next()] == feed.ask({"type": "ping"})""",
    )
    run = suite.run(source)
    red(run, "-- websockets --")
    red(run, r"curl -i .*'Upgrade: websocket' .*/ws/events\?after=0")
    red(run, r"[0-9.]+ s < text \([0-9]+ bytes\) \{.*\"event\": \"user.created\"")
    told = suite.result()["tests"][1]["evidence"]["exchanges"]
    [feed] = (each for each in told if "/ws/events" in each["request"])
    [echo] = (each for each in told if "/ws/echo" in each["request"])
    assert feed["response"].startswith("HTTP/1.1 101")
    kinds = [line.split(" s ")[1][:6] for line in feed["response"].splitlines() if " s " in line]
    assert (kinds[0], kinds.count("> text"), kinds[-1]) == ("< text", 1, "< clos")
    assert r"> binary (1004 bytes) \x1b[2J" in echo["response"]
    assert "> close 1001 bye" in echo["response"]
    assert "< close 1001" in echo["response"]
    assert len(echo["response"]) < 2000


def test_a_failure_shows_no_websocket_of_another_test(suite: Suite) -> None:
    source = """
import pytest
from rosetta.clients.websocket import Feed

@pytest.fixture(scope="module")
def feed(api, server):
    with Feed(server, token=api.sign_up().token) as feed:
        yield feed

@pytest.mark.rule("etag")
def test_etag(feed):
    for _ in range(60): feed.settled()

@pytest.mark.rule("feed")
@pytest.mark.parametrize("said", [False, True])
def test_feed(feed, said):
    assert said and feed.settled()
"""
    assert suite.run(source).ret != 0
    silent, said = (test["evidence"]["exchanges"] for test in suite.result()["tests"][1:])
    assert silent == []
    assert "earlier frames)" in said[0]["response"]
    assert len(said[0]["response"].splitlines()) < 70


def test_a_test_may_tell_the_rules_it_held_answers_to_and_its_failure_those_it_broke(
    suite: Suite,
) -> None:
    suite.write(
        "model/test_model.py",
        """
from rosetta.clients.http import Violation

def test_good(held): held({"feed", "etag"})

def test_bad(held):
    held(["etag"])
    raise Violation("no", [("curl x", "HTTP/1.1 500")], ["feed"])
""",
    )
    assert suite.run(BOTH_RULES).ret != 0
    result = suite.result()
    bad, good = result["tests"][:2]
    assert (good["held"], good["broken"]) == (["etag", "feed"], [])
    assert (bad["held"], bad["broken"]) == (["etag"], ["feed"])
    assert bad["evidence"]["exchanges"] == [{"request": "curl x", "response": "HTTP/1.1 500"}]
    assert result["rules"] == {"etag": "passed", "feed": "failed"}


@pytest.mark.parametrize(
    ("where", "broken"),
    [
        ("setup", "@pytest.fixture\ndef broken(): raise ValueError('early')\n"),
        ("teardown", "@pytest.fixture\ndef broken():\n    yield\n    raise ValueError('late')\n"),
    ],
)
def test_an_error_around_a_test_breaks_its_rule(suite: Suite, where: str, broken: str) -> None:
    source = f"{BOTH_RULES}\n{broken}".replace("test_feed(api)", "test_feed(broken)")
    assert suite.run(source).ret != 0
    assert suite.result()["rules"]["feed"] == "failed"


def test_a_rule_without_a_test_is_red(suite: Suite) -> None:
    run = suite.run(BOTH_RULES.replace('"feed"', '"etag"'))
    red(run, r"rules without a test \(1\): feed")
    assert suite.result()["rules"]["feed"] == "not-run"


def test_a_rule_without_a_test_is_red_whatever_is_selected(suite: Suite) -> None:
    red(
        suite.run(BOTH_RULES.replace('"feed"', '"etag"'), "-k", "test_etag"), "rules without a test"
    )


def test_a_test_without_a_rule_is_red(suite: Suite) -> None:
    red(suite.run(BOTH_RULES + "\ndef test_lost(): pass\n"), "test_lost names no rule")


def test_a_test_of_an_unknown_rule_is_red(suite: Suite) -> None:
    source = BOTH_RULES.replace('("feed")', '("feed", "nope")')
    red(suite.run(source), "test_feed names an unknown rule: nope")


def test_the_other_layers_need_no_rule_but_a_known_one(suite: Suite) -> None:
    suite.write("model/test_model.py", "def test_model(): pass\n")
    assert suite.run(BOTH_RULES).ret == 0
    suite.write(
        "model/test_model.py", "import pytest\n@pytest.mark.rule('x')\ndef test_m(): pass\n"
    )
    red(suite.run(BOTH_RULES), "unknown rule: x")


@pytest.mark.parametrize(
    "skipping",
    [
        "pytest.skip('no time')",
        "pytest.xfail('no time')",
        "pytest.importorskip('nothing_of_the_kind', reason='no time')",
    ],
)
def test_an_unexpected_skip_is_red(suite: Suite, skipping: str) -> None:
    run = suite.run(BOTH_RULES.replace("test_feed(api): pass", f"test_feed(api): {skipping}"))
    red(run, "unexpected skip or xfail: .*no time")
    assert suite.result()["rules"]["feed"] == "failed"


@pytest.mark.parametrize("mark", ["skip(reason='no time')", "xfail(reason='no time')"])
@pytest.mark.parametrize("body", ["pass", "assert False"])
def test_a_skipping_mark_is_red(suite: Suite, mark: str, body: str) -> None:
    source = BOTH_RULES.replace(
        "def test_feed(api): pass", f"@pytest.mark.{mark}\ndef test_feed(): {body}"
    )
    assert suite.run(source).ret != 0
    assert suite.result()["rules"]["feed"] == "failed"


def test_a_module_that_skips_itself_is_red(suite: Suite) -> None:
    suite.write("rules/test_gone.py", "import pytest\npytest.skip('x', allow_module_level=True)\n")
    red(suite.run(BOTH_RULES), "unexpected skip of suite/rules/test_gone.py")


def test_a_module_that_cannot_be_imported_is_red(suite: Suite) -> None:
    suite.write("rules/test_gone.py", "import nothing_of_the_kind\n")
    red(suite.run(BOTH_RULES), "nothing_of_the_kind")
    assert not suite.result()["complete"]


def test_what_another_configuration_runs_is_said(suite: Suite) -> None:
    source = (
        BOTH_RULES
        + """
@pytest.mark.rule("feed")
@pytest.mark.requires("postgresql")
def test_on_postgresql(): assert False
"""
    )
    run = suite.run(source)
    assert run.ret == 0
    run.stdout.fnmatch_lines(["*not run: 1 tests (requires postgresql)*"])
    assert suite.result()["tests"][2]["reason"] == "requires postgresql"
    assert suite.result()["rules"]["feed"] == "passed"


def test_a_misspelt_requirement_is_red(suite: Suite) -> None:
    source = BOTH_RULES.replace("def test_feed", "@pytest.mark.requires('postgres')\ndef test_feed")
    red(suite.run(source), "requires 'postgres'")


def test_no_test_collected_is_red(suite: Suite) -> None:
    red(suite.run(""), "no test collected")


def test_no_test_selected_is_red(suite: Suite) -> None:
    red(suite.run(BOTH_RULES, "-k", "nothing_like_it"), "no test collected")


def test_a_selection_is_partial(suite: Suite) -> None:
    assert suite.run(BOTH_RULES, "-k", "etag").ret == 0
    result = suite.result()
    assert result["partial"] == "1 of 2 tests selected"
    assert result["rules"] == {"etag": "passed", "feed": "not-run"}


def test_the_tests_of_a_rule_can_be_selected(suite: Suite) -> None:
    assert suite.run(BOTH_RULES, "--rule", "feed").ret == 0
    result = suite.result()
    assert result["partial"] == "1 of 2 tests selected"
    assert result["rules"] == {"etag": "not-run", "feed": "passed"}


def test_several_rules_can_be_selected(suite: Suite) -> None:
    run = suite.run(BOTH_RULES, "--rule=feed", "--rule=etag")
    assert run.ret == 0, run.stdout.str()
    assert (suite.result()["partial"], len(suite.result()["tests"])) == ("", 2)


def test_an_unknown_rule_cannot_be_selected(suite: Suite) -> None:
    red(suite.run(BOTH_RULES, "--rule", "etags"), "no such rule; did you mean etag")


def test_one_file_is_partial(suite: Suite) -> None:
    run = suite.run(BOTH_RULES.replace('"feed"', '"etag"'), paths=("suite/rules/test_it.py",))
    assert run.ret == 0
    assert suite.result()["partial"] == "only suite/rules/test_it.py"


def test_a_run_broken_off_is_incomplete(suite: Suite) -> None:
    source = BOTH_RULES.replace("assert api", "assert not api")
    assert suite.run(source, "-x").ret != 0
    assert not suite.result()["complete"]


def test_no_implementation_is_red(suite: Suite, tmp_path: Path) -> None:
    suite.write("rules/test_it.py", BOTH_RULES)
    (tmp_path / "spec").mkdir()
    (tmp_path / "spec" / "rules.yaml").write_text(
        (suite.repository / "spec/rules.yaml").read_text()
    )
    run = suite.pytester.runpytest_inprocess(*PLAIN, "suite", "--impl=tiny", f"--root={tmp_path}")
    red(run, "no implementation found")


def test_an_unknown_implementation_is_red(suite: Suite) -> None:
    suite.add_tiny()
    red(suite.start("suite", "--impl", "nope"), "no implementation 'nope': there are .*tiny")


@pytest.mark.parametrize("options", [(), ("--impl=tiny", "--base-url=http://h")])
def test_one_target_must_be_said(suite: Suite, options: tuple[str, ...]) -> None:
    red(suite.start("suite", *options), "either --impl NAME or --base-url URL")


def test_a_server_that_does_not_start_is_red_with_its_log(suite: Suite) -> None:
    run = suite.run(BOTH_RULES, target="tiny-dies")
    red(run, "cannot start: no such table")
    result = suite.result("tiny-dies")
    assert result["rules"] == {"etag": "failed", "feed": "not-run"}
    assert not result["complete"]
    assert "cannot start" in result["problems"][0]


def test_a_spec_that_cannot_be_read_is_red(suite: Suite, tmp_path: Path) -> None:
    run = suite.pytester.runpytest_inprocess(*PLAIN, "suite", "--impl=tiny", f"--root={tmp_path}")
    red(run, r"rules\.yaml cannot be read")


def test_another_server_can_be_tested_without_its_process(suite: Suite, tiny: Server) -> None:
    source = (
        BOTH_RULES
        + """
@pytest.mark.rule("feed")
def test_launch(launch): assert False

@pytest.mark.rule("feed")
@pytest.mark.controlled
def test_controlled(): assert False

@pytest.mark.rule("feed")
def test_forged(secret_key): assert False
"""
    )
    run = suite.run(source, target=tiny.base_url)
    assert run.ret == 0, run.stdout.str()
    run.stdout.fnmatch_lines(["*not run: 2 tests (needs the process)*"])
    run.stdout.fnmatch_lines(["*not run: 1 tests (needs the process, or its key*"])
    assert tiny.running


def test_the_key_of_another_server_may_be_told(
    suite: Suite, tiny: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROSETTA_SECRET_KEY", "k")
    source = BOTH_RULES.replace(
        "test_feed(api): pass", "test_feed(secret_key): assert secret_key == 'k'"
    )
    assert suite.run(source, target=tiny.base_url).ret == 0


def test_another_server_that_does_not_answer_is_red(suite: Suite) -> None:
    suite.write("rules/test_it.py", BOTH_RULES)
    options = [*PLAIN, "suite", "--base-url=http://127.0.0.1:1", f"--root={suite.repository}"]
    run = suite.pytester.runpytest_inprocess(*options, f"--results={suite.results}")
    red(run, "no server at http://127.0.0.1:1")


def test_a_base_url_that_cannot_be_tested_is_an_error_that_says_why(suite: Suite) -> None:
    run = suite.run(BOTH_RULES, target="http://ada:secret@127.0.0.1:1")
    red(run, "--base-url: .*leave out user and password")


def test_a_database_that_cannot_be_dropped_is_red(suite: Suite) -> None:
    breaking = """
import pytest

@pytest.mark.rule("etag", "feed")
def test_it(fleet, monkeypatch):
    def drop(): raise OSError("still there")
    fleet.database().drop = drop
"""
    red(suite.run(breaking), "cleaning up failed: still there")
    assert suite.result()["problems"] == ["cleaning up failed: still there"]


# -- the end


def test_both_servers_and_those_launched_end_with_the_run(suite: Suite) -> None:
    source = """
import pytest

@pytest.mark.rule("etag", "feed")
def test_servers(server, limits_server, launch, client, database):
    own = launch(environment={"TOKEN_TTL_SECONDS": "7", "SECRET_KEY": None})
    assert client(own).sign_up().token
    assert own.environment["TOKEN_TTL_SECONDS"] == "7"
    assert "SECRET_KEY" not in own.environment
    assert limits_server.environment["WS_MAX_CONNECTIONS"] == "3"
    assert server.environment["DATABASE_URL"] == database.url
    assert own.database.url != database.url
    print("pids", server.pid, limits_server.pid, own.pid)
"""
    run = suite.run(source, "-s")
    assert run.ret == 0, run.stdout.str()
    [pids] = re.findall(r"pids (\d+) (\d+) (\d+)", run.stdout.str())
    assert not any(psutil.pid_exists(int(pid)) for pid in pids)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_its_servers_and_is_not_green(
    suite: Suite, sent: signal.Signals
) -> None:
    told = suite.pytester.path / "pid"
    os.mkfifo(told)
    waiting = f"open({str(told)!r}, 'w').write(str(server.pid)); import time; time.sleep(60)"
    source = BOTH_RULES.replace("test_feed(api): pass", f"test_feed(server): {waiting}")
    suite.write("rules/test_it.py", source)
    options = [*suite.target("tiny"), f"--root={suite.repository}", f"--results={suite.results}"]
    command = [sys.executable, "-m", "pytest", "suite", *options]
    with subprocess.Popen(  # noqa: S603
        command, stdout=subprocess.PIPE, text=True, cwd=suite.pytester.path
    ) as process:
        server = int(told.read_text())
        process.send_signal(sent)
        process.communicate()
    assert process.returncode != 0
    assert not psutil.pid_exists(server)
    assert not suite.result()["complete"]
