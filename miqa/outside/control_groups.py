"""The control groups (cgroups) of Linux that this process belongs to: where containers write their limits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

GROUPS, MEMBERSHIP = Path('/sys/fs/cgroup'), Path('/proc/self/cgroup')


def group_folders(controller: str, groups: Path = GROUPS, membership: Path = MEMBERSHIP) -> Iterator[Path]:
    """Yield the folders of this process's groups and of all groups above them; some may not be there.

    Args:
        controller: ``cpu`` or ``memory``; in version 1 each has folders of its own.
        groups: where Linux shows the groups.
        membership: names those of this process.
    """
    try:
        lines = membership.read_text(encoding='utf-8').splitlines()
    except (OSError, ValueError):
        lines = []
    # In a container its own group is the root.
    places = {('', '/'), (controller, '/'), ('cpu,cpuacct' if controller == 'cpu' else controller, '/')}
    for line in lines:
        _, names, path = [*line.split(':', 2), '', '', ''][:3]
        if not names or controller in names.split(','):
            places.add((names, path))
    for names, path in places:
        folder = groups / names / path.lstrip('/')
        for each in (folder, *folder.parents):
            if not each.is_relative_to(groups):
                break
            yield each
