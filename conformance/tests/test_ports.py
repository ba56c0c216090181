"""Ports: processes of one machine, of one run or of several, never get the same one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rosetta.targets import ports
from rosetta.targets.ports import PORTS, SHARE, PortError, free_port

CONFORMANCE = Path(__file__).parents[1]
# Takes ports, shows them, and holds its share until its input is closed.
OTHER_RUN = """
import os, sys
from rosetta.targets.ports import free_port
os.getpid = lambda: int(sys.argv[1])
print(*[free_port() for _ in range(200)], flush=True)
sys.stdin.read()
"""


def other_run(pid: int) -> subprocess.Popen[str]:
    """Start a process of another run, whose id would lead it to the same share as ``pid``."""
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", OTHER_RUN, str(pid)],
        cwd=CONFORMANCE,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def shown(process: subprocess.Popen[str]) -> set[int]:
    assert process.stdout is not None
    return {int(port) for port in process.stdout.readline().split()}


def test_free_ports_lie_below_the_ephemeral_range_and_differ() -> None:
    given = [free_port() for _ in range(SHARE - 1)]
    assert all(port in PORTS for port in given)
    assert len(set(given)) > 0.9 * SHARE  # but those that other programs listen on


def test_processes_have_ports_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    for pid in (4000, 4001, 4000 + len(PORTS) // SHARE):  # the last of another run, perhaps
        monkeypatch.setattr(os, "getpid", lambda pid=pid: pid)
        given.append({free_port() for _ in range(50)})
    first, second, third = given
    assert not (first & second | second & third | third & first)


def test_two_runs_at_once_have_no_port_in_common() -> None:
    with other_run(77) as one, other_run(77) as another:
        assert not (shown(one) & shown(another))
        one.communicate()
        another.communicate()


def test_a_share_is_free_again_after_its_process_was_killed() -> None:
    with other_run(77) as killed:
        taken = shown(killed)
        killed.send_signal(signal.SIGKILL)
    with other_run(77) as process:
        assert shown(process) & taken
        process.communicate()


def test_when_every_share_is_taken_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    ports._share.cache_clear()
    monkeypatch.setattr(ports, "PORTS", range(31900, 31902))
    monkeypatch.setattr(ports, "SHARE", 2)
    try:
        monkeypatch.setattr(os, "getpid", lambda: 1)
        assert free_port() == 31901
        monkeypatch.setattr(os, "getpid", lambda: 2)
        with pytest.raises(PortError, match="all 1 shares of ports"):
            free_port()
    finally:
        ports._share.cache_clear()
