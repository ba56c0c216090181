"""Run one implementation's server as a user would: migrate, serve on a port, stop."""

from __future__ import annotations

import contextlib
import functools
import http.client
import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Self
from urllib.parse import urlsplit

import psutil

from rosetta.targets.databases import Database
from rosetta.targets.manifest import Implementation
from rosetta.targets.venvs import bin_directory

HOST = "127.0.0.1"
START_DEADLINE = 30.0
STOP_DEADLINE = 10.0
MIGRATE_DEADLINE = 60.0
LOG_TAIL = 40
# Below Linux's ephemeral range, so that no outgoing connection takes the port of a server
# between its stop and its restart.
PORTS = range(20000, 32000)
SHARE = 300  # of them a process has, the first one being its claim to them


class ServerError(Exception):
    """A server did not start, stop or migrate; the message ends with the tail of its log."""


@dataclass(frozen=True)
class Exit:
    """How a server ended: its exit code (a negative one is a signal) and after how long."""

    code: int
    seconds: float


class Target:
    """A server somewhere, known by its base URL only."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url.rstrip("/")
        parts = urlsplit(self.base_url)
        self.host = parts.hostname or HOST
        self.port = parts.port or (443 if parts.scheme == "https" else 80)
        self.ws_url = f"ws{self.base_url.removeprefix('http')}"


class Server(Target):
    """One server process group of our own on a free port; as a context manager it always ends.

    ``environment`` is all that the process sees: see ``server_environment``.
    """

    def __init__(
        self, command: Sequence[str], *, folder: Path, environment: Mapping[str, str], log: Path
    ) -> None:
        super().__init__(f"http://{environment['HOST']}:{environment['PORT']}")
        self.command = list(command)
        self.folder = folder
        self.environment = dict(environment)
        self.log = log
        self.database: Database | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def of(
        cls, implementation: Implementation, venv: Path, variables: Mapping[str, str], log: Path
    ) -> Self:
        """Return a server of ``implementation``; ``variables`` are the contract's."""
        placed = {"HOST": HOST, "PORT": str(free_port()), "WORKERS": "1", **variables}
        command = implementation.serve_command(
            placed["HOST"], int(placed["PORT"]), int(placed["WORKERS"])
        )
        environment = server_environment(venv, placed)
        return cls(command, folder=implementation.folder, environment=environment, log=log)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def pid(self) -> int:
        """The id of the process and of its group."""
        if self._process is None:
            raise ServerError(f"{self._name} is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self, deadline: float = START_DEADLINE) -> None:
        """Start the process and return when /healthz answers 200; raise ServerError."""
        self.spawn()
        try:
            self._wait_until_healthy(deadline)
        except BaseException:
            self.kill()
            raise

    def spawn(self) -> None:
        """Start the process without waiting for it to answer."""
        if self.running:
            raise ServerError(f"{self._name} is already running")
        with uninterrupted():
            self._process = spawn(self.command, self.folder, self.environment, self.log)

    def wait(self, timeout: float) -> int:
        """Wait for the process to end by itself and return its exit code; raise ServerError."""
        process = self._running_process()
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise self._error(f"still runs after {timeout:g} s") from None
        finally:
            if process.returncode is not None:
                self.kill()

    def stop(self, timeout: float = STOP_DEADLINE) -> Exit:
        """Send SIGTERM, wait, and SIGKILL in any case what is left of the group."""
        if self._process is None:
            return Exit(0, 0.0)
        process, begin = self._process, time.monotonic()
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout)
        seconds = time.monotonic() - begin
        return Exit(self.kill(), seconds)

    def kill(self) -> int:
        """SIGKILL the whole group at once and return the exit code of its leader."""
        process = self._running_process()
        self._process = None
        return kill_group(process)

    def end(self) -> None:
        """SIGKILL the group if it runs: who tests no stop need not wait for one."""
        if self._process is not None:
            self.kill()

    def restart(self) -> None:
        """Start again, after a stop or a kill, on the same port and database."""
        if self.running:
            self.stop()
        self.start()

    def rss(self) -> int:
        """Return the resident memory of the process and all its descendants, in bytes."""
        leader = psutil.Process(self.pid)
        total = 0
        for process in [leader, *leader.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
        return total

    def log_tail(self, lines: int = LOG_TAIL) -> str:
        """Return the last lines of what the server wrote."""
        return tail(self.log, lines)

    @property
    def _name(self) -> str:
        return f"the server ({' '.join(self.command)})"

    def _running_process(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise ServerError(f"{self._name} is not running")
        return self._process

    def _wait_until_healthy(self, deadline: float) -> None:
        begin, pause = time.monotonic(), 0.02
        while not self._healthy():
            code = self._running_process().poll()
            if code is not None:
                raise self._error(f"ended with exit code {code} before it answered /healthz")
            if time.monotonic() - begin > deadline:
                raise self._error(f"did not answer /healthz with 200 within {deadline:g} s")
            time.sleep(pause)
            pause = min(pause * 1.5, 0.1)

    def _healthy(self) -> bool:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=1)
        try:
            connection.request("GET", "/healthz", headers={"Connection": "close"})
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _error(self, what: str) -> ServerError:
        return ServerError(f"{self._name} {what}\n{log_report(self.log)}")


def migrate(implementation: Implementation, venv: Path, database_url: str, log: Path) -> None:
    """Run the implementation's migrate command on the database; raise ServerError."""
    environment = server_environment(venv, {"DATABASE_URL": database_url})
    command = list(implementation.migrate)
    process = spawn(command, implementation.folder, environment, log)
    try:
        code = process.wait(MIGRATE_DEADLINE)
    except subprocess.TimeoutExpired:
        code = None
    finally:
        kill_group(process)
    if code != 0:
        what = "did not end" if code is None else f"ended with exit code {code}"
        raise ServerError(f"migrate ({' '.join(command)}) {what}\n{log_report(log)}")


def server_environment(venv: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """Return an environment made from nothing, so that none of the tester's own leaks in."""
    kept = {name: os.environ[name] for name in ("HOME", "TMPDIR") if name in os.environ}
    return {
        **kept,
        "LANG": "C.UTF-8",
        "PATH": f"{bin_directory(venv)}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PYTHONUNBUFFERED": "1",
        "VIRTUAL_ENV": str(venv),
        **variables,
    }


def spawn(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path
) -> subprocess.Popen[bytes]:
    """Start a command in a session and process group of its own, its output going to ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        try:
            return subprocess.Popen(  # noqa: S603 - the command of a manifest
                # Looked up on the environment's PATH: Popen would search the caller's.
                [shutil.which(command[0], path=environment["PATH"]) or command[0], *command[1:]],
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise ServerError(f"cannot run {' '.join(command)}: {error}") from error


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold an interrupt back until the block is done: a process amid its start would be lost."""
    if threading.current_thread() is not threading.main_thread():  # no other is interrupted
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    before = signal.signal(signal.SIGINT, lambda *call: came.append(call))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came and callable(before):
        before(*came[0])


def kill_group(process: subprocess.Popen[bytes]) -> int:
    """SIGKILL the group led by ``process``, see it gone, and return the leader's exit code."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    code = process.wait()
    deadline = time.monotonic() + 2
    while _group_lives(process.pid) and time.monotonic() < deadline:
        time.sleep(0.005)
    return code


def _group_lives(group: int) -> bool:
    """Tell whether a member may still hold a port; one that only waits for its parent may not."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return any(_in_group(process, group) for process in psutil.process_iter())


def _in_group(process: psutil.Process, group: int) -> bool:
    try:
        return os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False


def free_port() -> int:
    """Return a TCP port on which nothing listens, and none that was given out just now.

    A server takes its port long after this, and one that tests stop lets go of it for a while: so
    each process has a share of its own, in turn, which no other is given as long as it lives.
    """
    share, turns = _share(os.getpid())
    for _ in range(len(share)):
        port = share[next(turns) % len(share)]
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((HOST, port))
                return port
    raise ServerError(f"no free port on {HOST} from {share.start} on")


@functools.cache
def _share(process: int) -> tuple[range, Iterator[int]]:
    """Return the ports of a process; a fork of it, having another id, is given others."""
    shares = [PORTS[start : start + SHARE] for start in range(0, len(PORTS), SHARE)]
    at = process % len(shares)
    for share in shares[at:] + shares[:at]:
        claim = socket.socket()
        try:
            claim.bind((HOST, share.start))
        except OSError:
            claim.close()
        else:
            claim.detach()  # it stays open until the process ends
            return share[1:], itertools.count(random.SystemRandom().randrange(SHARE))
    raise ServerError(f"each port from {PORTS.start} to {PORTS.stop} is some process's")


def tail(log: Path, lines: int = LOG_TAIL) -> str:
    """Return the last lines of a log file."""
    if not log.exists():
        return ""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def log_report(log: Path) -> str:
    """Return the tail of a log under a heading, for an error message."""
    return f"--- {log} ---\n{tail(log) or '(nothing was written)'}"
