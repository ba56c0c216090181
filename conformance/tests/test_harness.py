from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil
import pytest

from rosetta.clients.http import Api
from rosetta.targets import server as harness
from rosetta.targets import venvs
from rosetta.targets.ports import HOST
from rosetta.targets.server import (
    Server,
    ServerError,
    migrate,
    server_environment,
    spawn,
)
from tests.conftest import AddTiny

Script = Callable[[str], Server]

HEALTHY = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(STATUS)
        self.send_header("Content-Length", "0")
        self.end_headers()
address = os.environ["HOST"], int(os.environ["PORT"])
http.server.HTTPServer.allow_reuse_address = True
server = http.server.HTTPServer(address, Handler)
""".replace("STATUS", "200")
FOREVER = "import time\nwhile True: time.sleep(60)\n"


def test_a_started_server_answers_and_a_stopped_one_is_gone(tiny: Server) -> None:
    with Api(tiny) as api:
        assert api.get("/healthz").json() == {"status": "ok"}
    pid = tiny.pid
    ended = tiny.stop()
    assert ended.code == -signal.SIGTERM
    assert ended.seconds < 5
    assert not psutil.pid_exists(pid)
    assert not tiny.running


def test_a_server_that_dies_is_noticed_at_once_with_its_log(script: Script) -> None:
    server = script("raise SystemExit('no such table: users')")
    begin = time.monotonic()
    with pytest.raises(ServerError, match="ended with exit code 1 before") as error:
        server.start()
    assert "no such table: users" in str(error.value)
    assert time.monotonic() - begin < 5


def test_a_server_that_never_listens_is_given_up_and_killed(script: Script) -> None:
    server = script("print('waiting', flush=True)\n" + FOREVER)
    with pytest.raises(ServerError, match="within 3 s") as error:
        server.start(deadline=3)
    assert "waiting" in str(error.value)
    assert not server.running


def test_a_server_that_is_not_healthy_is_not_started(script: Script) -> None:
    source = HEALTHY.replace("200", "503") + "server.serve_forever()"
    with pytest.raises(ServerError, match="did not answer /healthz with 200"):
        script(source).start(deadline=0.5)


def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    environment = server_environment(tmp_path, {"HOST": HOST, "PORT": "1"})
    server = Server(
        ["no-such-program"], folder=tmp_path, environment=environment, log=tmp_path / "log"
    )
    with pytest.raises(ServerError, match="cannot run no-such-program"):
        server.start()


def test_stop_ends_the_whole_group(script: Script, tmp_path: Path) -> None:
    child = f"import subprocess; child = subprocess.Popen(['sleep', '60'])\n{HEALTHY}"
    server = script(f"{child}print(child.pid, flush=True)\nserver.serve_forever()")
    server.start()
    pid = int(server.log_tail().splitlines()[0])
    assert psutil.pid_exists(pid)
    server.stop()
    assert gone(pid)


def test_a_server_deaf_to_sigterm_is_killed(script: Script) -> None:
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    server = script(f"{deaf}{HEALTHY}server.serve_forever()")
    server.start()
    ended = server.stop(timeout=0.3)
    assert ended.code == -signal.SIGKILL
    assert ended.seconds >= 0.3


def test_a_graceful_exit_code_is_reported(script: Script) -> None:
    graceful = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
    server = script(f"{graceful}{HEALTHY}server.serve_forever()")
    server.start()
    assert server.stop().code == 0


def test_an_interrupt_amid_a_start_loses_no_process(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(
        command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path
    ) -> subprocess.Popen[bytes]:
        process = spawn(command, folder, environment, log)
        signal.raise_signal(signal.SIGINT)
        return process

    monkeypatch.setattr(harness, "spawn", interrupted)
    server = script(FOREVER)
    with pytest.raises(KeyboardInterrupt):
        server.start()
    assert server.running
    assert server.kill() == -signal.SIGKILL


def test_kill_leaves_no_time_to_clean_up(script: Script) -> None:
    server = script(f"{HEALTHY}server.serve_forever()")
    server.start()
    assert server.kill() == -signal.SIGKILL


def test_a_restart_keeps_the_port(tiny: Server) -> None:
    before, pid = tiny.base_url, tiny.pid
    tiny.kill()
    tiny.restart()
    assert (tiny.base_url, tiny.pid != pid) == (before, True)
    with Api(tiny) as api:
        assert api.get("/healthz").status_code == 200


def test_a_refused_start_gives_its_exit_code(script: Script) -> None:
    server = script("raise SystemExit(3)")
    server.spawn()
    assert server.wait(10) == 3


def test_waiting_for_a_server_that_goes_on_is_an_error(script: Script) -> None:
    server = script(FOREVER)
    server.spawn()
    with pytest.raises(ServerError, match=r"still runs after 0\.2 s"):
        server.wait(0.2)


def test_nothing_of_the_testers_environment_leaks_in(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "SECRET_KEY", "PYTHONPATH", "WS_MAX_CONNECTIONS"):
        monkeypatch.setenv(name, "leaked")
    environment = server_environment(Path("/venv"), {"PORT": "1"})
    assert "leaked" not in environment.values()
    assert environment["PATH"].startswith(f"/venv/bin{os.pathsep}")
    assert environment["PORT"] == "1"


def test_memory_counts_the_children(tiny: Server) -> None:
    alone = psutil.Process(tiny.pid).memory_info().rss
    assert 0 < alone <= tiny.rss() * 1.01


def test_a_failed_migration_shows_its_log(add_tiny: AddTiny, tmp_path: Path) -> None:
    implementation = add_tiny()
    failing = ("python", "-c", "raise SystemExit('relation exists')")
    broken = type(implementation)(**{**vars(implementation), "migrate": failing})
    venv = venvs.environment_of(implementation)
    with pytest.raises(ServerError, match="exit code 1") as error:
        migrate(broken, venv, "sqlite:///x", tmp_path / "migrate.log")
    assert "relation exists" in str(error.value)


def gone(pid: int) -> bool:
    """A killed child of a killed server is a zombie until init takes it."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
