"""A pool of processes as wide as the machine, for every test and every part of the corpus.

Why not pytest-xdist: each of its processes imports and collects the whole suite, for one target.
Here the suite is collected once, and each lane is a fork that knows all tests already.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from pathlib import Path

import psutil
import pytest

from rosetta.identity.corpus import Recording
from rosetta.identity.replay import Played
from rosetta.results.run import TestResult, now
from rosetta.runner.gather import Gatherer
from rosetta.runner.lane import Message, Subject, run_lane
from rosetta.runner.plan import PLANNER
from rosetta.runner.progress import Progress
from rosetta.runner.schedule import Lane, Schedule, Shard, shards_of

# Of lanes that keep a core busy: tests that wait often measure seconds, so they have priority.
NICENESS = 5
# Time for interrupted lanes to end their servers and drop their databases, in seconds.
PATIENCE = 15.0
CORPUS_PACE = 200.0  # requests per second, for the estimate


@dataclass(eq=False)
class Running:
    """A lane, and the process and connection that it consists of."""

    name: str
    lane: Lane
    process: ForkProcess
    connection: Connection


@dataclass(eq=False)
class Pool:
    """The plugin that runs what was collected, for every subject, in forks of this process."""

    subjects: Mapping[str, Subject]
    gatherers: Mapping[str, Gatherer]
    recordings: Mapping[str, Sequence[Recording]]  # by subject
    busy: int  # lanes that keep a core busy
    waiting: int  # lanes for what mostly waits
    progress: Progress
    exit_first: bool = False
    played: dict[str, list[Played]] = field(default_factory=dict)
    _running: list[Running] = field(default_factory=list)
    _expected: dict[str, int] = field(default_factory=dict)
    _began: set[str] = field(default_factory=set)  # subjects that have, or had, a lane
    _ended: dict[str, str] = field(default_factory=dict)  # when the last lane of a subject did
    _count: int = 0

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run everything; pytest's own loop has nothing left to do."""
        if session.testsfailed or session.config.option.collectonly:
            return True
        schedule = Schedule(self._shards(session), self.busy, self.waiting)
        self.progress.begin(schedule, self._expected)
        try:
            self._run(schedule, session)
        except BaseException:
            self._interrupt()
            raise
        finally:
            self.progress.end()
        return True

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the result of every subject."""
        plan = session.config.stash[PLANNER].plan
        for problem in plan.problems:
            self.progress.say(f"RED: {problem}", "red")
        for label, gatherer in self.gatherers.items():
            gatherer.finish(plan, self._expected.get(label, 0), self._ended.get(label, ""))

    def _shards(self, session: pytest.Session) -> list[Shard]:
        shards = []
        for label, subject in self.subjects.items():
            nodeids = {
                place: item.nodeid
                for place, item in enumerate(session.items)
                if subject.runs(item.nodeid)
            }
            self._expected[label] = len(nodeids)
            shards += shards_of(label, nodeids, shared=subject.target is not None)
            shards += [
                Shard(label, f"corpus/{each.name}", each.requests / CORPUS_PACE)
                for each in self.recordings.get(label, ())
            ]
        return shards

    # -- lanes

    def _run(self, schedule: Schedule, session: pytest.Session) -> None:
        self._open_lanes(schedule, session)
        while self._running:
            by_connection = {running.connection: running for running in self._running}
            for ready in wait(list(by_connection), self.progress.interval):
                assert isinstance(ready, Connection)
                self._hear(by_connection[ready], schedule)
            self._open_lanes(schedule, session)
            self.progress.show()

    def _open_lanes(self, schedule: Schedule, session: pytest.Session) -> None:
        while lane := schedule.open():
            self._start(lane, session)
            self._give(self._running[-1], schedule)

    def _start(self, lane: Lane, session: pytest.Session) -> None:
        """Fork a process for a lane."""
        self._count += 1
        if lane.target not in self._began:
            self._began.add(lane.target)
            self.gatherers[lane.target].result.started = now()
        name = f"lane{self._count}"
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("fork").Process(
            target=self._in_lane, args=(name, lane, session, ours, theirs), name=name
        )
        process.start()
        theirs.close()
        self._running.append(Running(name, lane, process, ours))

    def _in_lane(
        self,
        name: str,
        lane: Lane,
        session: pytest.Session,
        ours: Connection,
        theirs: Connection,
    ) -> None:
        """Be the lane; what was inherited of others would hide their end."""
        ours.close()
        for other in self._running:
            other.connection.close()
        run_lane(
            name,
            self.subjects[lane.target],
            self.recordings.get(lane.target, ()),
            session,
            theirs,
            niceness=0 if lane.waits else NICENESS,
        )

    def _give(self, running: Running, schedule: Schedule) -> None:
        """Send a lane its next shard, or tell it that there is none."""
        with contextlib.suppress(BrokenPipeError):  # its end is heard of next
            running.connection.send(schedule.take(running.lane))

    def _hear(self, running: Running, schedule: Schedule) -> None:
        """Take one message of a lane, or notice its end."""
        try:
            message: Message = running.connection.recv()
        except (EOFError, ConnectionResetError):
            self._end(running, schedule)
            return
        gatherer, label = self.gatherers[running.lane.target], running.lane.target
        match message:
            case ("test", members):
                test = TestResult.of(members)
                gatherer.tests[test.nodeid] = test
                self.progress.note(label, test)
                if self.exit_first and test.outcome == "failed":
                    raise KeyboardInterrupt
            case ("played", members):
                self.played.setdefault(label, []).append(Played(**members))
            case ("problem", text):
                gatherer.blame([text])
                self.progress.problem(label, text)
                schedule.drop(label)
            case ("done", seconds):
                assert running.lane.shard is not None
                self.progress.done(running.lane.shard, seconds)
                self._give(running, schedule)

    def _end(self, running: Running, schedule: Schedule) -> None:
        """Let a lane go; one that did not end by itself has left its servers."""
        running.process.join()
        running.connection.close()
        self._running.remove(running)
        schedule.close(running.lane)
        label = running.lane.target
        self._ended[label] = now()
        if running.process.exitcode:
            shard = running.lane.shard.name if running.lane.shard else "its end"
            what = f"{running.name} of the suite broke down in {shard}"
            problem = f"{what}, with exit code {running.process.exitcode}"
            self.gatherers[label].blame([problem])
            self.progress.problem(label, problem)
            schedule.drop(label)
            end_servers_of(self.subjects[label].logs, running.name)

    def _interrupt(self) -> None:
        """Interrupt every lane and wait until its servers have ended."""
        for running in self._running:
            if running.process.pid and running.process.is_alive():
                os.kill(running.process.pid, signal.SIGINT)
        deadline = time.monotonic() + PATIENCE
        for running in self._running:
            running.connection.close()
            running.process.join(max(0.0, deadline - time.monotonic()))
            if running.process.is_alive():
                running.process.kill()
                end_servers_of(self.subjects[running.lane.target].logs, running.name)


def end_servers_of(logs: Path, process: str) -> None:
    """SIGKILL the servers of a process that broke down: those that write its logs."""
    logs = logs.resolve()
    for server in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            opened = [Path(file.path) for file in server.open_files()]
            if any(log.parent == logs and log.name.startswith(f"{process}-") for log in opened):
                server.kill()
