"""Number of usable cores: of the machine, the affinity mask and the container quota."""

from __future__ import annotations

import math
import os
from pathlib import Path

from miqa.outside.control_groups import GROUPS, MEMBERSHIP, group_folders


def usable_cores(groups: Path = GROUPS, membership: Path = MEMBERSHIP) -> int:
    """Return how many processes that compute this one should start at most: at least 1.

    Args:
        groups: where Linux shows the limits of containers (cgroups).
        membership: which of them this process belongs to.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    quotas = [quota for folder in group_folders('cpu', groups, membership) for quota in _quota_of(folder)]
    return max(1, min([cores, *map(math.ceil, quotas)]))


def _quota_of(folder: Path) -> list[float]:
    for files in (['cpu.max'], ['cpu.cfs_quota_us', 'cpu.cfs_period_us']):
        try:
            quota, period = ' '.join((folder / file).read_text(encoding='ascii') for file in files).split()[:2]
            if int(quota) > 0 and int(period) > 0:
                return [int(quota) / int(period)]
        except (OSError, ValueError):
            continue
    return []
