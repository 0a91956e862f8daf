"""How many cores this process really has: its CPU affinity, and the quotas of its control groups; and how a
thread leaves them to others.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

MEMBERSHIP = Path("/proc/self/cgroup")
CGROUPS = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """At least 1. A quota of 1.5 cores counts as 2, one of 0.5 as 1."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, round(min([affinity, *_quotas()])))


def be_nice(niceness: int) -> None:
    """Lets the calling thread leave the cores to others, for good: only root may take that back."""
    if sys.platform == "linux":  # elsewhere it would be the whole process
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, max(niceness, os.getpriority(os.PRIO_PROCESS, thread)))


def _quotas() -> Iterator[float]:
    """Of the process's groups and all that these are in, in cores: each limits what is below it."""
    for folder in _groups():
        quota = _of_version_2(folder) or _of_version_1(folder)
        if quota is not None:
            yield quota


def _groups() -> Iterator[Path]:
    """Their folders, from the top down, those that are not there included.

    In a container its own group is at the top, whatever path the machine has for it.
    """
    try:
        lines = MEMBERSHIP.read_text().splitlines()
    except OSError:
        lines = []
    for line in ("0::/", *lines):
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            tops = [CGROUPS, CGROUPS / "unified"]
        elif "cpu" in controllers.split(","):
            tops = [CGROUPS / "cpu", CGROUPS / controllers]
        else:
            continue
        names = PurePosixPath(path).parts[1:]
        yield from (top.joinpath(*names[:depth]) for top in tops for depth in range(len(names) + 1))


def _of_version_2(folder: Path) -> float | None:
    """From "200000 100000" or "max 100000": microseconds per period."""
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else int(quota) / int(period)


def _of_version_1(folder: Path) -> float | None:
    """From two files; a quota of -1 is none."""
    try:
        quota, period = (int((folder / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
    except (OSError, ValueError):
        return None
    return quota / period if quota > 0 else None
