"""What is done in one piece, and who takes what next; simulated, no process is started."""

from __future__ import annotations

from collections import Counter

import pytest

from rosetta.runner.schedule import (
    SECONDS,
    SHAREABLE,
    WAITING,
    Lane,
    Schedule,
    Shard,
    group_of,
    makespan,
    shards_of,
)
from rosetta.targets.manifest import ROOT

SUITE = ROOT / "conformance" / "suite"
CLOCKS = "suite/rules/test_clocks.py"
STOPS = "suite/rules/test_disruptions.py"


@pytest.mark.parametrize("path", [path for paths in WAITING.values() for path in paths])
def test_what_waits_is_there(path: str) -> None:
    file, _, test = path.partition("::")
    assert (SUITE / file).exists()
    assert not test or f"def {test}" in (SUITE / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted({*SECONDS, *SHAREABLE}))
def test_what_the_tables_name_is_there(name: str) -> None:
    groups = [*WAITING, *(str(path.relative_to(SUITE)) for path in SUITE.rglob("test_*.py"))]
    assert any(group.startswith(name) for group in groups)


def test_a_file_is_a_shard_and_so_is_what_waits_together() -> None:
    assert group_of("suite/rules/test_bodies.py::test_x[a::b]") == "rules/test_bodies.py"
    assert group_of(f"{CLOCKS}::test_an_idle") == group_of(f"{STOPS}::t") == "waiting (stops)"


def test_the_quiet_time_begins_before_the_others_that_wait_and_ends_after_them() -> None:
    nodeids = [f"{CLOCKS}::test_an_idle", f"{STOPS}::a", f"{STOPS}::b"]
    nodeids += [f"{CLOCKS}::test_a_lost_wake_up_x"]
    [shard] = shards_of("one", dict(enumerate(nodeids)))
    assert shard.tests == (3, 1, 2, 0)


def test_no_test_is_lost_and_none_is_in_two_shards() -> None:
    nodeids = {n: f"suite/rules/{file}::t{n}" for n, file in enumerate(["a", "b", "a"] * 9)}
    shards = shards_of("one", nodeids)
    assert sorted(place for shard in shards for place in shard.tests) == sorted(nodeids)


# -- lanes


def shard(target: str, name: str, seconds: float, *, waits: bool = False) -> Shard:
    return Shard(target, name, seconds, waits=waits)


def run(schedule: Schedule) -> list[str]:
    """Return the shards in the order in which lanes that are all equally fast take them."""
    taken: list[str] = []
    while True:
        while lane := schedule.open():
            schedule.take(lane)
        busy = [lane for lane in schedule.lanes if lane.shard]
        if not busy:
            return taken
        first = min(busy, key=lambda lane: lane.shard.seconds if lane.shard else 0)
        assert first.shard
        taken.append(f"{first.target} {first.shard.name}")
        if schedule.take(first) is None:
            schedule.close(first)


def test_the_longest_shard_goes_first() -> None:
    schedule = Schedule([shard("a", "short", 1), shard("a", "long", 9), shard("a", "mid", 5)], 1, 1)
    assert run(schedule) == ["a long", "a mid", "a short"]


def test_no_more_lanes_run_than_there_is_room_for() -> None:
    shards = [shard(t, f"{n}", 10, waits=n > 3) for t in "abcdef" for n in range(6)]
    schedule = Schedule(shards, 3, 2)
    while lane := schedule.open():
        schedule.take(lane)
    assert Counter(lane.waits for lane in schedule.lanes) == {False: 3, True: 2}


def opened(schedule: Schedule) -> Lane:
    """Return a new lane that has taken its first shard."""
    lane = schedule.open()
    assert lane
    schedule.take(lane)
    return lane


def test_a_lane_stays_with_its_target_and_others_help_when_theirs_are_done() -> None:
    shards = [shard("a", "1", 9), shard("b", "1", 9), shard("b", "2", 6), shard("b", "3", 5)]
    schedule = Schedule(shards, 2, 1)
    first, second = opened(schedule), opened(schedule)
    assert [first.target, second.target] == ["b", "a"]
    assert schedule.take(second) is None
    schedule.close(second)
    assert opened(schedule).target == "b"


def test_no_lane_is_opened_for_less_than_its_start() -> None:
    schedule = Schedule([shard("a", "long", 9), shard("a", "tiny", 1)], 2, 1)
    lane = opened(schedule)
    assert schedule.open() is None
    taken = schedule.take(lane)
    assert taken is not None
    assert taken.name == "tiny"


def test_a_target_that_is_dropped_is_not_taken_up_again() -> None:
    schedule = Schedule([shard("a", "1", 5), shard("a", "2", 5), shard("b", "1", 1)], 1, 1)
    lane = opened(schedule)
    schedule.drop("a")
    assert schedule.take(lane) is None
    schedule.close(lane)
    assert run(schedule) == ["b 1"]


def test_on_a_shared_server_what_cannot_be_shared_runs_alone() -> None:
    files = ("rules/test_routing", "rules/test_feed", "rules/test_messages", "model/test_http")
    nodeids = {
        place: f"suite/{file}.py::t{place}" for place, file in enumerate(f for f in files * 300)
    }
    schedule = Schedule(shards_of("url", nodeids, shared=True), 4, 4)
    lanes = [opened(schedule), opened(schedule)]
    names = {lane.shard.name for lane in lanes if lane.shard}
    assert names == {"rules/test_routing.py", "rules/test_messages.py"}
    assert schedule.open() is None
    assert schedule.take(lanes[0]) is None
    schedule.close(lanes[0])
    assert schedule.open() is None
    assert (alone := schedule.take(lanes[1]))
    assert alone.alone
    assert schedule.open() is None


@pytest.mark.parametrize("jobs", [1, 2, 8, 16])
def test_on_paper_every_shard_is_done_and_more_lanes_take_no_longer(jobs: int) -> None:
    shards = [shard(t, f"{n}", 3 + n, waits=n == 0) for t in "abcdefgh" for n in range(8)]
    seconds, chains = makespan(shards, jobs, start=1)
    work = sum(each.seconds for each in shards)
    assert work / (2 * jobs) < seconds <= makespan(shards, max(1, jobs // 2), start=1)[0]
    assert seconds >= max(end - begin for begin, end, _ in chains) - 1e-9
    assert max(end for _, end, _ in chains) == seconds
