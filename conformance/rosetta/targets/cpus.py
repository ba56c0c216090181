"""How many processors this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def cpus(cgroup: Path = CGROUP) -> int:
    """Return the number of processors, as far as affinity and the container's limit allow."""
    if hasattr(os, "sched_getaffinity"):
        available = len(os.sched_getaffinity(0))
    else:  # macOS
        available = os.cpu_count() or 1
    return max(1, min(available, _limit(cgroup) or available))


def _limit(cgroup: Path) -> int | None:
    """Return the processors that a control group grants, rounded up; None without a limit.

    Version 2 has ``cpu.max`` with quota and period, version 1 a file for each, in microseconds.
    """
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            folder = cgroup / "cpu"
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if not quota.isdecimal() or not period.isdecimal() or int(period) == 0:
        return None  # "max", and -1 in version 1
    return math.ceil(int(quota) / int(period))
