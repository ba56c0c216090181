"""What a run shows while it runs: one live line per target, and each failure when it happens."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rosetta.results.run import TestResult
from rosetta.runner.schedule import Schedule, Shard

LIVE_INTERVAL = 0.5  # seconds between two pictures on a terminal
PLAIN_INTERVAL = 30.0  # seconds between two lines elsewhere
LOG_WIDTH = 120


@dataclass
class Row:
    """What is known of one target."""

    expected: int
    passed: int = 0
    failed: int = 0
    problems: int = 0
    ended: float | None = None


@dataclass
class Progress:
    """Shows a run on a console: pictures on a terminal, lines elsewhere."""

    console: Console
    rows: dict[str, Row] = field(default_factory=dict)
    _began: float = 0.0
    _shown: float = 0.0
    _estimate: float = 0.0
    _spent: float = 0.0
    _planned: float = 0.0
    _live: Live | None = None
    _schedule: Schedule | None = None

    @property
    def interval(self) -> float:
        """The seconds after which ``show`` wants to be called again."""
        return LIVE_INTERVAL if self.console.is_terminal else PLAIN_INTERVAL

    def begin(self, schedule: Schedule, expected: Mapping[str, int]) -> None:
        """Start to show a run; ``expected`` is the number of tests by target."""
        self.rows = {label: Row(count) for label, count in expected.items()}
        self._schedule, self._estimate = schedule, schedule.left
        self._began = self._shown = time.monotonic()
        if self.console.is_terminal:
            # No thread may run beside a fork: the pool asks for each picture.
            self._live = Live(console=self.console, auto_refresh=False, transient=True)
            self._live.start()

    def note(self, label: str, test: TestResult) -> None:
        """Count a test, and show it if it failed."""
        row = self.rows[label]
        row.passed += test.outcome == "passed"
        if test.outcome == "failed":
            row.failed += 1
            rules = f" ({', '.join(test.blamed)})" if test.blamed else ""
            self.say(f"FAILED {label}: {test.nodeid}{rules}", "bold red")
            self.say(test.failure)

    def problem(self, label: str, text: str) -> None:
        """Show what is wrong apart from a test that failed."""
        self.rows[label].problems += 1
        self.say(f"RED {label}: {text}", "red")

    def done(self, shard: Shard, seconds: float) -> None:
        """Note that a shard is done, for the estimate, and show a target that has ended."""
        self._planned += shard.seconds
        self._spent += seconds
        assert self._schedule is not None
        running = [lane for lane in self._schedule.lanes if lane.target == shard.target]
        busy = [lane for lane in running if lane.shard and lane.shard is not shard]
        if not busy and not self._schedule.left_of(shard.target):
            self.rows[shard.target].ended = time.monotonic()
            self.say(self._line(shard.target), None if self._good(shard.target) else "red")

    def show(self) -> None:
        """Show how far the run is, if it is time to."""
        now = time.monotonic()
        if self._live:
            self._live.update(self._picture(), refresh=True)
        elif now - self._shown >= PLAIN_INTERVAL:
            self._shown = now
            self.console.print(self._closing(), highlight=False)

    def end(self) -> None:
        """Stop showing."""
        if self._live:
            self._live.stop()
            self._live = None

    def _good(self, label: str) -> bool:
        row = self.rows[label]
        return not (row.failed or row.problems)

    def _line(self, label: str) -> str:
        row = self.rows[label]
        seconds = (row.ended or time.monotonic()) - self._began
        return f"{label}: {row.passed} passed, {row.failed} failed, after {seconds:.0f} s"

    def _picture(self) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0))
        for name in ("", "passed", "failed", "of", "running"):
            table.add_column(name, justify="left" if name in ("", "running") else "right")
        for label, row in self.rows.items():
            style = "" if self._good(label) else "red"
            counts = (str(row.passed), str(row.failed), str(row.expected))
            table.add_row(label, *counts, self._running(label), style=style)
        table.caption, table.caption_justify = self._closing(), "left"
        return table

    def _running(self, label: str) -> str:
        assert self._schedule is not None
        if self.rows[label].ended:
            return "done"
        lanes = [lane for lane in self._schedule.lanes if lane.target == label and lane.shard]
        names = (lane.shard.name for lane in lanes if lane.shard)
        return ", ".join(name.rpartition("/")[2].removesuffix(".py") for name in names)

    def _closing(self) -> str:
        """Return how long it has taken, and the estimated rest."""
        passed = sum(row.passed for row in self.rows.values())
        expected = sum(row.expected for row in self.rows.values())
        failed = sum(row.failed for row in self.rows.values())
        elapsed = time.monotonic() - self._began
        told = f"{passed} of {expected} tests passed, {failed} failed; {elapsed:.0f} s"
        share = self._planned / self._estimate if self._estimate else 1.0
        return f"{told}, some {elapsed / share - elapsed:.0f} s left" if share > 0.05 else told

    def say(self, text: str, style: str | None = None) -> None:
        """Show a text, control characters escaped."""
        self.console.print(Text(printable(text), style=style or ""), soft_wrap=True)


def printable(text: str) -> str:
    """Return a text with control characters escaped: it may hold bytes of a server's answer."""
    return "".join(
        char if char.isprintable() or char in "\n\t" else char.encode("unicode_escape").decode()
        for char in text
    )
