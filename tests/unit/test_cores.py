"""Threads are counted by what the container may use, not by what the machine has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from weaviate_prism import cores

HAS = 16


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where control groups are, of a process that is in none."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(HAS)), raising=False)
    monkeypatch.setattr(cores, "CGROUPS", tmp_path)
    monkeypatch.setattr(cores, "MEMBERSHIP", tmp_path / "membership")
    return tmp_path


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


def test_without_groups_the_affinity_counts(groups: Path) -> None:
    assert cores.usable_cores() == HAS


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        *(("max 100000", HAS), ("200000 100000", 2), ("50000 100000", 1), ("1000 100000", 1), ("150000 100000", 2)),
        *(("400000 50000", 8), ("9900000 100000", HAS), ("", HAS), ("nonsense", HAS)),
    ],
)
def test_a_containers_quota_counts(groups: Path, quota: str, expected: int) -> None:
    write(groups, cpu__max=quota)
    assert cores.usable_cores() == expected


@pytest.mark.parametrize(
    ("quota", "period", "expected"), [("-1", "100000", HAS), ("250000", "50000", 5), ("10000", "100000", 1)]
)
@pytest.mark.parametrize("controllers", ["cpu", "cpu,cpuacct"])
def test_version_1_counts_too(groups: Path, controllers: str, quota: str, period: str, expected: int) -> None:
    write(groups, membership=f"9:memory:/\n4:{controllers}:/docker/abc\n3:cpuset:/")
    write(groups / controllers, cpu__cfs_quota_us=quota, cpu__cfs_period_us=period)
    assert cores.usable_cores() == expected


def test_of_nested_groups_the_tightest_counts(groups: Path) -> None:
    write(groups, membership="0::/system.slice/prism.service")
    write(groups / "system.slice", cpu__max="300000 100000")
    write(groups / "system.slice" / "prism.service", cpu__max="max 100000")
    assert cores.usable_cores() == 3
    write(groups / "system.slice" / "prism.service", cpu__max="100000 100000")
    assert cores.usable_cores() == 1


def test_nested_groups_of_version_1_count(groups: Path) -> None:
    write(groups, membership="2:cpu:/kubepods/pod1")
    write(groups / "cpu", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    write(groups / "cpu" / "kubepods" / "pod1", cpu__cfs_quota_us="400000", cpu__cfs_period_us="100000")
    assert cores.usable_cores() == 4


def test_the_group_of_another_process_does_not_count(groups: Path) -> None:
    write(groups, membership="0::/ours")
    write(groups / "theirs", cpu__max="100000 100000")
    assert cores.usable_cores() == HAS
