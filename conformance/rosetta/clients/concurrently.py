"""Calls that begin at the same moment, and conditions that come to hold."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def at_once(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Begin all calls at the same moment, each in a thread, and return what they return."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], T]) -> T:
        barrier.wait(timeout=30)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def eventually(found: Callable[[], bool], seconds: float) -> bool:
    """Tell whether a condition that announces itself nowhere holds within so many seconds."""
    deadline = time.monotonic() + seconds
    while not (holds := found()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return holds
