"""How many cores this process may use."""

import os
from collections.abc import Iterator
from pathlib import Path


def available_cores() -> int:
    """Return how many cores this process may use, by affinity and by the limit of its container (cgroup)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for quota, period in _cgroup_limits():
        if quota > 0 and period > 0:
            cores = min(cores, max(1, round(quota / period)))
    return cores


def _cgroup_limits() -> Iterator[tuple[int, int]]:
    """Quota and period of the container's share of processor time, of cgroups v2 and v1."""
    for files in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            numbers = " ".join(Path("/sys/fs/cgroup", file).read_text(encoding="ascii") for file in files).split()
            yield int(numbers[0]), int(numbers[1])
        except (OSError, ValueError, IndexError):  # no such limit
            continue
