"""How the state machines of layer 3 are run."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from machines.world import World

# Hypothesis has no setting for it, and allows itself five minutes.
SHRINKING_SECONDS = "hypothesis.internal.conjecture.engine.MAX_SHRINKING_SECONDS"


def run_machine(
    machine: type[Any],
    world: World,
    number: int,
    *,
    examples: int,
    steps: int = 25,
    shrinking: float = 15,
) -> None:
    """Run a machine against a world, the same examples for the same seed.

    ``shrinking`` is how many seconds may be spent on making a failure short.
    """
    bound = type(machine.__name__, (machine,), {"world": world})
    how = settings(
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
    )
    with patch(SHRINKING_SECONDS, shrinking):
        run_state_machine_as_test(seed(number)(bound), settings=how)
