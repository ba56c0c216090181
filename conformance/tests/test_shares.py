from __future__ import annotations

import pytest

from rosetta.runner.process import FIRST, WAITING, place_of, share_of
from rosetta.targets.manifest import ROOT

SUITE = ROOT / "conformance" / "suite"
CLOCKS = "suite/rules/test_clocks.py"
STOPS = "suite/rules/test_disruptions.py"


@pytest.mark.parametrize("path", FIRST)
def test_what_comes_first_is_there(path: str) -> None:
    file, _, test = path.partition("::")
    assert (SUITE / file).exists()
    assert not test or f"def {test}" in (SUITE / file).read_text(encoding="utf-8")


def test_what_waits_is_one_share_and_every_other_file_one_of_its_own() -> None:
    assert {share_of(f"suite/{path}::test_x[y]") for path in WAITING} == {"waiting"}
    assert share_of("suite/rules/test_bodies.py::test_x[a::b]") == "suite/rules/test_bodies.py"
    assert share_of("suite/model/test_http.py::test_x") != share_of("suite/model/test_feed.py::t")


def test_the_time_of_quiet_begins_before_the_others_that_wait_and_is_over_after_them() -> None:
    begin, amid, end = f"{CLOCKS}::test_a_lost_wake_up_x", f"{STOPS}::t", f"{CLOCKS}::test_an_idle"
    assert place_of(begin) < place_of(amid) < place_of(end)
    assert place_of("suite/rules/test_routing.py::t") == len(FIRST)
