from __future__ import annotations

from pathlib import Path

import pytest

from rosetta.repository.concerns import CONCERNS, faults
from rosetta.targets.manifest import Implementation, discover
from tests.conftest import AddTiny

MODULE = """
from elsewhere import imported
constant = 1
typed: int = 2
async def coroutine(): ...
class Thing:
    def method(self): ...
"""


def test_every_concern_of_every_implementation_leads_somewhere() -> None:
    wrong = {name: faults(implementation) for name, implementation in discover().items()}
    assert not {name: found for name, found in wrong.items() if found}


@pytest.fixture
def mapped(add_tiny: AddTiny, tmp_path: Path) -> Implementation:
    (tmp_path / "app.py").write_text(MODULE)
    concerns = dict.fromkeys(CONCERNS, "app.py:Thing.method")
    return type(add_tiny())(**vars(add_tiny()) | {"folder": tmp_path, "concerns": concerns})


@pytest.mark.parametrize("symbol", ["constant", "typed", "coroutine", "Thing", "Thing.method"])
def test_what_a_file_defines_is_found(mapped: Implementation, symbol: str) -> None:
    mapped.concerns["feed"] = f"app.py:{symbol}"  # type: ignore[index]
    assert faults(mapped) == []


@pytest.mark.parametrize(
    "place",
    ["app.py:Other", "app.py:method", "app.py:imported", "none.py:Thing", "app.py", ":Thing"],
)
def test_what_it_does_not_define_is_not(mapped: Implementation, place: str) -> None:
    mapped.concerns["feed"] = place  # type: ignore[index]
    assert faults(mapped) == [f"'feed' leads to {place}, which does not exist"]


def test_missing_and_unknown_concerns_are_named(mapped: Implementation) -> None:
    mapped.concerns["magic"] = mapped.concerns.pop("feed")  # type: ignore[attr-defined, index]
    assert faults(mapped) == ["'feed' is missing", "'magic' is no concern"]
