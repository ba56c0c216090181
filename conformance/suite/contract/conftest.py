"""The engine runs once; the tests of layer 1 look at what it found."""

from __future__ import annotations

import pytest

from rosetta.client import Api
from suite.contract.engine import Outcome, run


@pytest.fixture(scope="session")
def outcome(fresh_api: Api, seed: int) -> Outcome:
    """Return what the engine found."""
    return run(fresh_api, seed)
