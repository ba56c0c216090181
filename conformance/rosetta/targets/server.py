"""Run one implementation's server as a user would: migrate, serve on a port, stop."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Self
from urllib.parse import SplitResult, urlsplit

import psutil

from rosetta.targets.builds import command_path
from rosetta.targets.databases import Database
from rosetta.targets.manifest import Implementation
from rosetta.targets.ports import HOST, PortError, free_port
from rosetta.targets.seed import Pool
from rosetta.targets.venvs import bin_directory

START_DEADLINE = 30.0
STOP_DEADLINE = 10.0
MIGRATE_DEADLINE = 60.0
LOG_TAIL = 40


class ServerError(Exception):
    """A server did not start, stop or migrate; the message ends with the tail of its log."""


@dataclass(frozen=True)
class Exit:
    """How a server ended: its exit code (a negative one is a signal) and after how long."""

    code: int
    seconds: float


class Target:
    """A server somewhere, known by its base URL; raise ValueError where that cannot be one.

    A prefix in the base URL (``https://host/api/v1``) is put in front of every path that is asked
    for. The contract's own paths in answers (Location, Link, ``next``) have no prefix: a proxy that
    strips it passes them on as they are, so each is followed relative to the base URL, and compared
    with what the contract says. A server that writes the prefix into them breaks the contract.

    TLS takes its certificate authorities from SSL_CERT_FILE, or else from the system. ``pool`` has
    the users that stand ready in the server's database.
    """

    pool: Pool | None = None

    def __init__(self, base_url: str) -> None:
        parts = urlsplit(base_url.rstrip("/"))
        if problem := _problem_of(parts):
            raise ValueError(f"{base_url} cannot be tested: {problem}")
        self.base_url = parts.geturl()
        self.tls = parts.scheme == "https"
        self.host = parts.hostname or HOST
        self.port = parts.port or (443 if self.tls else 80)
        self.netloc = parts.netloc
        self.prefix = parts.path
        self.ws_url = f"ws{self.base_url.removeprefix('http')}"

    @property
    def direct(self) -> bool:
        """Whether no proxy seems to stand before it: plain HTTP, and no prefix."""
        return not (self.tls or self.prefix)

    def at(self, path: str) -> str:
        """Return what to ask for to reach a path of the contract; ``*`` and URLs stay as is."""
        return f"{self.prefix}{path}" if path.startswith("/") else path


def _problem_of(base_url: SplitResult) -> str:
    """Return what keeps a base URL from being tested, and what would do; nothing if it can be."""
    if base_url.scheme not in ("http", "https") or not base_url.hostname:
        return "a base URL is http:// or https:// with a host, a port and a path, as the server has"
    if base_url.username is not None:
        return "Authorization is for the contract's tokens; leave out user and password"
    if base_url.query or base_url.fragment:
        return "a base URL ends with its path; leave out what follows ? or #"
    if not base_url.path.isascii() or re.search(r"[\x00-\x20\x7f]", base_url.path):
        return "write the path percent-encoded, as it is to stand in a request"
    return ""


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
        try:
            placed = {"HOST": HOST, "PORT": str(free_port()), "WORKERS": "1", **variables}
        except PortError as error:
            raise ServerError(str(error)) from None
        command = implementation.serve_command(
            placed["HOST"], int(placed["PORT"]), int(placed["WORKERS"])
        )
        environment = environment_for(implementation, venv, placed)
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
    """Run the implementation's migrate command, if it has one, on the database.

    Raise ServerError if it fails or takes longer than a minute.
    """
    if not implementation.migrate:
        return
    environment = environment_for(implementation, venv, {"DATABASE_URL": database_url})
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


def environment_for(
    implementation: Implementation, venv: Path, variables: Mapping[str, str]
) -> dict[str, str]:
    """Return the environment of the implementation's commands, made from nothing.

    A Python implementation has its virtual environment; any other has the caller's PATH after the
    folder's own commands, and the constants of its manifest. ``variables`` are the contract's.
    """
    if implementation.uses_venv:
        return server_environment(venv, variables)
    path = command_path(implementation.folder)
    return {**_kept(), "PATH": path, **implementation.environment, **variables}


def server_environment(venv: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """Return an environment made from nothing, so that none of the tester's own leaks in."""
    return {
        **_kept(),
        "PATH": f"{bin_directory(venv)}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PYTHONUNBUFFERED": "1",
        "VIRTUAL_ENV": str(venv),
        **variables,
    }


def _kept() -> dict[str, str]:
    """Return what every server has: the tester's directories, and one language for all."""
    kept = {name: os.environ[name] for name in ("HOME", "TMPDIR") if name in os.environ}
    return {**kept, "LANG": "C.UTF-8"}


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


def tail(log: Path, lines: int = LOG_TAIL) -> str:
    """Return the last lines of a log file."""
    if not log.exists():
        return ""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def log_report(log: Path) -> str:
    """Return the tail of a log under a heading, for an error message."""
    return f"--- {log} ---\n{tail(log) or '(nothing was written)'}"
