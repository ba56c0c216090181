"""The engine runs once; the tests of layer 1 look at what it found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rosetta.clients.http import Api
from rosetta.targets.server import Target

if TYPE_CHECKING:
    from machines.engine import Outcome


@pytest.fixture(scope="session")
def outcome(server: Target, seed: int) -> Outcome:
    """Return what the engine found.

    Its users log in as any client does, and no test has spoken to the server before.
    """
    from machines.engine import run  # takes longer to import than other files to collect

    with Api(server) as api:
        return run(api, seed)
