"""How many cores this process really has: its CPU affinity, and its container's quota."""

from __future__ import annotations

import os
from pathlib import Path

CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # "200000 100000" or "max 100000": microseconds per period


def usable_cores(quota_file: Path = CGROUP_QUOTA) -> int:
    """At least 1. Reads cgroup v2 only; under v1 the affinity alone counts."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = quota_file.read_text().split()
    except (OSError, ValueError):
        return affinity
    return affinity if quota == "max" else max(1, min(affinity, round(int(quota) / int(period))))
