"""Number of usable cores: of the machine, the affinity mask and the container quota."""

from __future__ import annotations

import math
import os
from pathlib import Path


def usable_cores(groups: Path = Path('/sys/fs/cgroup'), membership: Path = Path('/proc/self/cgroup')) -> int:
    """Return how many processes that compute this one should start at most: at least 1.

    Args:
        groups: where Linux shows the limits of containers (cgroups).
        membership: which of them this process belongs to.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    return max(1, min([cores, *(math.ceil(quota) for quota in _quotas(groups, membership))]))


def _quotas(groups: Path, membership: Path) -> list[float]:
    """Return the quotas, in cores, of this process's group and of all groups above it."""
    quotas = []
    try:
        lines = membership.read_text(encoding='utf-8').splitlines()
    except (OSError, ValueError):
        lines = []
    # In a container its own group is the root.
    places = {('', '/'), ('cpu', '/'), ('cpu,cpuacct', '/')}
    for line in lines:
        _, names, path = [*line.split(':', 2), '', '', ''][:3]
        if not names or 'cpu' in names.split(','):
            places.add((names, path))
    for names, path in places:
        folder = groups / names / path.lstrip('/')
        for each in (folder, *folder.parents):
            if not each.is_relative_to(groups):
                break
            quotas += _quota_of(each)
    return quotas


def _quota_of(folder: Path) -> list[float]:
    for files in (['cpu.max'], ['cpu.cfs_quota_us', 'cpu.cfs_period_us']):
        try:
            quota, period = ' '.join((folder / file).read_text(encoding='ascii') for file in files).split()[:2]
            if int(quota) > 0 and int(period) > 0:
                return [int(quota) / int(period)]
        except (OSError, ValueError):
            continue
    return []
