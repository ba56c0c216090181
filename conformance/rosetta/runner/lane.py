"""The other side of the pool: one process, forked after the collection, that runs shards.

A fork shares what was imported and collected, so that a lane costs no start of its own. The pool
sends shards until it sends None; a lane answers with messages, tuples of a word and its value:

========  =====================================================================
test      a test that ran, as the members of a TestResult
played    a part of the corpus that was sent, as the members of a Played
done      the seconds that a shard took
problem   what is wrong apart from tests that failed
========  =====================================================================
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from rosetta.identity.corpus import Recording
from rosetta.identity.replay import play
from rosetta.results.run import layer_of
from rosetta.runner.gather import Notes
from rosetta.runner.plan import PLANNER
from rosetta.runner.process import PROCESS, Process
from rosetta.runner.schedule import Shard
from rosetta.targets.databases import Kind
from rosetta.targets.fleet import SECRET_KEY, Fleet
from rosetta.targets.manifest import Implementation
from rosetta.targets.server import Target

Message = tuple[str, Any]


@dataclass(frozen=True)
class Subject:
    """What is tested: an implementation, or a server that runs already.

    ``live`` are the layers whose tests run against it, ``offer`` is the directory in which its
    lanes pass on migrated databases.
    """

    label: str
    live: frozenset[str]
    logs: Path
    implementation: Implementation | None = None
    target: Target | None = None
    secret_key: str | None = SECRET_KEY
    database: Kind = "sqlite"
    workers: int = 1
    offer: Path | None = None

    def runs(self, nodeid: str) -> bool:
        """Tell whether a test belongs to the layers that run live."""
        return layer_of(nodeid) not in {"contract", "model"} - self.live

    def fleet(self, name: str, *, seeded: bool) -> Fleet | None:
        """Return the maker of servers for the lane of this name; None for a server elsewhere."""
        if self.implementation is None:
            return None
        return Fleet(
            self.implementation,
            self.database,
            self.workers if seeded else 1,
            self.logs,
            process=f"{name}-",
            offer=self.offer,
            seeded=seeded,
        )


class _Sender:
    """A plugin that passes each test on when it is over."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._notes = Notes()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._notes.note(report)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        if test := self._notes.pop(nodeid, None):
            self._connection.send(("test", asdict(test)))


def run_lane(
    name: str,
    subject: Subject,
    recordings: Sequence[Recording],
    session: pytest.Session,
    connection: Connection,
    niceness: int = 0,
) -> None:
    """Run one shard after another until none comes, or the pool is gone; end all servers.

    ``niceness`` is added to that of the lane and of its servers.
    """
    os.nice(niceness)
    for sent in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sent, signal.default_int_handler)
    work = _Work(name, subject, recordings, session, connection)
    try:
        while shard := connection.recv():
            begin = time.monotonic()
            work.do(shard)
            connection.send(("done", time.monotonic() - begin))
            if session.shouldfail:
                break
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        pass  # the pool knows: it has ended, or has sent the interrupt
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one would leave servers behind
        work.close()


class _Work:
    """What a lane does, and the servers that it does it with."""

    def __init__(
        self,
        name: str,
        subject: Subject,
        recordings: Sequence[Recording],
        session: pytest.Session,
        connection: Connection,
    ) -> None:
        planner = session.config.stash[PLANNER]
        fleet = subject.fleet(name, seeded=True)
        self._process = Process(
            planner.rules, planner.skips, fleet, subject.target, subject.secret_key
        )
        # Of its own, without users: the corpus knows every id.
        self._bare = subject.fleet(f"{name}-corpus", seeded=False) if recordings else None
        self._parts = {f"corpus/{recording.name}": recording for recording in recordings}
        self._session, self._connection = session, connection
        session.config.stash[PROCESS] = self._process
        session.config.pluginmanager.register(self._process)
        session.config.pluginmanager.register(_Sender(connection))

    def do(self, shard: Shard) -> None:
        """Run the tests of a shard, or play its part of the corpus."""
        if shard.name in self._parts:
            assert self._bare is not None
            played = play(self._bare, self._parts[shard.name])
            self._connection.send(("played", asdict(played)))
            return
        items = [self._session.items[place] for place in shard.tests]
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self._session.shouldfail:
                return

    def close(self) -> None:
        """End all servers and drop their databases; send the problems there were."""
        self._process.close()
        if self._bare:
            self._bare.close()
        with contextlib.suppress(BrokenPipeError):  # nobody is left to be told
            for problem in self._process.problems:
                self._connection.send(("problem", problem))
        self._connection.close()
