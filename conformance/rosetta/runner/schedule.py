"""The plan of a run: what is done in one piece, how long it takes, and who takes what next.

Every implementation's tests and its share of the replay are cut into shards. Shards are handed to
*lanes*: a lane is one process of the suite with servers of its own, of one implementation. One lane
more than the machine has cores keeps them busy, since one or another waits for its server; as many
lanes as cores run shards that mostly wait.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

# Tests that mostly wait, in the order in which one lane runs them: a server of test_clocks.py is
# left alone for 20 s while the other tests of its group run.
WAITING: Mapping[str, Sequence[str]] = {
    "waiting (stops)": (
        "rules/test_clocks.py::test_a_lost_wake_up",
        "rules/test_disruptions.py",
        "rules/test_failures.py",
        "rules/test_clocks.py",
    ),
    "waiting (limits)": ("rules/test_limits.py", "rules/test_cors.py", "rules/test_workers.py"),
}
# What a shard takes, in seconds on a core of its own: the median of the implementations. Any other
# counts as PER_TEST seconds a test. Only the order of shards and the estimate depend on it.
SECONDS: Mapping[str, float] = {
    "contract/test_contract.py": 20.0,
    "waiting (stops)": 28.0,
    "waiting (limits)": 14.0,
    "rules/test_concurrency.py": 17.0,
    "rules/test_resources.py": 9.0,
    "rules/test_feed.py": 10.0,
    "model/test_http.py": 8.0,
    "rules/test_bodies.py": 7.0,
    "rules/test_authentication.py": 6.0,
    "rules/test_operations.py": 5.0,
    "model/test_feed.py": 4.0,
    "rules/test_queries.py": 4.0,
    "rules/test_feed_close.py": 4.0,
}
PER_TEST = 0.02
# Of a server that all lanes share, everything else is tested alone: it looks at the feed or at
# whole lists, in which what other lanes do shows.
SHAREABLE = tuple(
    f"rules/test_{name}.py" for name in ("authentication", "messages", "resources", "routing")
)
# Opening a lane costs the start of a server: it must be worth it, in seconds of work left.
WORTHWHILE = 4.0


@dataclass(frozen=True)
class Shard:
    """What one lane does in one piece, for one target.

    ``tests`` are places in the list of collected tests; a shard without any is a part of the
    corpus. One that is ``alone`` runs while nothing else of its target does.
    """

    target: str
    name: str
    seconds: float
    tests: tuple[int, ...] = ()
    waits: bool = False
    alone: bool = False


def group_of(nodeid: str) -> str:
    """Return the name of the shard to which a test belongs: a group that waits, or its file."""
    for name, paths in WAITING.items():
        if any(f"suite/{path}" in nodeid for path in paths):
            return name
    return nodeid.partition("::")[0].rpartition("suite/")[2]


def place_of(nodeid: str) -> int:
    """Return the place of a test within its group, 0 where the order of the files is right."""
    paths = WAITING.get(group_of(nodeid), ())
    return next((place for place, path in enumerate(paths) if f"suite/{path}" in nodeid), 0)


def weight_of(nodeid: str) -> float:
    """Return about how many seconds the shard of a test, or of a file, takes."""
    return SECONDS.get(group_of(nodeid), 2.0)


def shards_of(target: str, nodeids: Mapping[int, str], *, shared: bool = False) -> list[Shard]:
    """Return the shards of a target's tests, which are given by their places among all collected.

    ``shared`` tells whether all lanes test one server.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for place, nodeid in nodeids.items():
        groups[group_of(nodeid)].append(place)
    return [
        Shard(
            target,
            name,
            SECONDS.get(name, PER_TEST * len(places)),
            tuple(sorted(places, key=lambda place: (place_of(nodeids[place]), place))),
            waits=name in WAITING,
            alone=shared and name not in SHAREABLE,
        )
        for name, places in groups.items()
    ]


@dataclass(eq=False)
class Lane:
    """One process of the suite, as the schedule sees it."""

    target: str
    waits: bool
    shard: Shard | None = None


@dataclass
class Schedule:
    """Hands out shards: the longest first, to lanes that stay with their target to its end.

    At most ``busy`` lanes keep a core busy, and ``waiting`` lanes run what mostly waits.
    """

    shards: Iterable[Shard]
    busy: int
    waiting: int
    lanes: list[Lane] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._left: dict[str, list[Shard]] = defaultdict(list)
        for shard in sorted(self.shards, key=lambda shard: (shard.alone, -shard.seconds)):
            self._left[shard.target].append(shard)

    @property
    def left(self) -> float:
        """The seconds of work that no lane has taken yet."""
        return sum(map(self.left_of, list(self._left)))

    def left_of(self, target: str) -> float:
        """Return the seconds of work of a target that no lane has taken yet."""
        return sum(shard.seconds for shard in self._left[target])

    def open(self) -> Lane | None:
        """Return a new lane for whichever target needs one most; None while there is no room."""
        for waits in (True, False):
            room = self.waiting if waits else self.busy
            if self._open(waits) < room and (lane := self._needed(waits)):
                self.lanes.append(lane)
                return lane
        return None

    def take(self, lane: Lane) -> Shard | None:
        """Return the next shard of a lane; None if it has no more to do."""
        lane.shard = None
        lane.shard = next(iter(self._open_to(lane.target, lane.waits)), None)
        if lane.shard:
            self._left[lane.target].remove(lane.shard)
        return lane.shard

    def close(self, lane: Lane) -> None:
        """Forget a lane that has ended."""
        self.lanes.remove(lane)

    def drop(self, target: str) -> None:
        """Take back all that was still to be done for a target."""
        self._left[target].clear()

    def _open(self, waits: bool) -> int:
        return sum(lane.waits is waits for lane in self.lanes)

    def _needed(self, waits: bool) -> Lane | None:
        """Return a lane for the target that has most left for each of its lanes."""
        need: dict[str, float] = {}
        for target in self._left:
            open_to = self._open_to(target, waits)
            have = sum(lane.target == target and lane.waits is waits for lane in self.lanes)
            seconds = sum(shard.seconds for shard in open_to)
            if open_to and (seconds > WORTHWHILE or not have):
                need[target] = seconds / (have + 1)
        return Lane(max(need, key=lambda name: need[name]), waits) if need else None

    def _open_to(self, target: str, waits: bool) -> list[Shard]:
        """Return what a lane may take now, in order."""
        running = [lane.shard for lane in self.lanes if lane.target == target and lane.shard]
        if any(shard.alone for shard in running):
            return []
        shards = [shard for shard in self._left[target] if shard.waits is waits]
        if not waits and not shards:  # a lane with nothing else to do takes what waits
            shards = [shard for shard in self._left[target] if not shard.alone]
        return [shard for shard in shards if not (shard.alone and running)]


def makespan(
    shards: Sequence[Shard], cores: int, *, start: float = 1.0
) -> tuple[float, Sequence[tuple[float, float, Lane]]]:
    """Return how long a run takes on paper, and the chains: opening, end and lane of each.

    ``start`` is the time in seconds that a lane needs for its servers.
    """
    schedule, clock = Schedule(shards, cores, cores), 0.0
    running: list[tuple[float, int, float, Lane]] = []
    chains: list[tuple[float, float, Lane]] = []
    number = 0
    while True:
        while lane := schedule.open():
            number += 1
            shard = schedule.take(lane)
            heapq.heappush(
                running, (clock + start + (shard.seconds if shard else 0), number, clock, lane)
            )
        if not running:
            return clock, chains
        clock, _, opened, lane = heapq.heappop(running)
        if shard := schedule.take(lane):
            number += 1
            heapq.heappush(running, (clock + shard.seconds, number, opened, lane))
        else:
            schedule.close(lane)
            chains.append((opened, clock, lane))
