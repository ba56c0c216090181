"""The table of faults: at least two for each rule of spec/rules.yaml, in modules by its groups.

Each is an edit of impl/flask, as small as the mistake that it stands for.
"""

from __future__ import annotations

from faults import (
    authentication,
    bodies,
    concurrency,
    configuration,
    feed,
    messages,
    operations,
    order,
    queries,
    resources,
    routing,
    storage,
)
from rosetta.controls.fault import Fault

IMPLEMENTATION = "flask"
FAULTS: tuple[Fault, ...] = (
    *resources.FAULTS,
    *operations.FAULTS,
    *messages.FAULTS,
    *order.FAULTS,
    *routing.FAULTS,
    *bodies.FAULTS,
    *queries.FAULTS,
    *authentication.FAULTS,
    *concurrency.FAULTS,
    *feed.FAULTS,
    *configuration.FAULTS,
    *storage.FAULTS,
)
