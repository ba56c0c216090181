from __future__ import annotations

import os
from pathlib import Path

import pytest

from rosetta.targets.cpus import cpus


@pytest.fixture(autouse=True)
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the machine have eight processors."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


@pytest.mark.parametrize(
    ("limit", "count"),
    [
        ("max 100000", 8),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("50000 100000", 1),
        ("1600000 100000", 8),
        ("nonsense", 8),
    ],
)
def test_a_limit_of_version_2_counts(tmp_path: Path, limit: str, count: int) -> None:
    (tmp_path / "cpu.max").write_text(f"{limit}\n")
    assert cpus(tmp_path) == count


@pytest.mark.parametrize(("quota", "count"), [("-1", 8), ("300000", 3)])
def test_a_limit_of_version_1_counts(tmp_path: Path, quota: str, count: int) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert cpus(tmp_path) == count


def test_without_a_limit_the_affinity_counts(tmp_path: Path) -> None:
    assert cpus(tmp_path) == 8
