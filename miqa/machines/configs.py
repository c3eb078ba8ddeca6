"""Lists of vision systems in config files, and the systems built from them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from mmengine.config import Config

from ..registry import MACHINES
from .base import Machine


def load_machine_configs(path: str | os.PathLike, names: Iterable[str] | None = None) -> list[dict]:
    """Read ``machines = [dict(type=..., ...), ...]`` from a Python config file.

    Args:
        path: a file such as ``configs/machines/cls_efficientnet_lite.py``.
        names: keep only the systems so named; None: all.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it has no ``machines``, two systems share a name, or one of ``names`` is missing.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'There is no config of vision systems {path}. See configs/machines/.')
    machines = Config.fromfile(path).get('machines')
    if not machines:
        raise ValueError(f'{path} lists no systems. It must define machines = [dict(type=..., ...), ...].')
    machines = [machine.to_dict() if hasattr(machine, 'to_dict') else dict(machine) for machine in machines]
    known = [machine_name(machine) for machine in machines]
    twice = sorted({name for name in known if known.count(name) > 1})
    if twice:
        raise ValueError(f'{path} lists {twice[0]} twice. Give each system its own name=...')
    if names is None:
        return machines
    missing = sorted(set(names) - set(known))
    if missing:
        raise ValueError(f'{path} has no system {missing[0]}. It has: {", ".join(known)}.')
    return [machine for machine, name in zip(machines, known, strict=True) if name in set(names)]


def machine_name(config: dict) -> str:
    """Return the name that a system built from ``config`` will have."""
    name = config.get('name') or config.get('model') or Path(config.get('config') or config.get('file') or '').stem
    if not name:
        raise ValueError(f'This system has no name: {config}. Say name=...')
    return str(name)


def build_machine(config: dict, device: str = 'cpu') -> Machine:
    """Build one system on ``device``.

    Raises:
        KeyError: its type is not registered.
    """
    return MACHINES.build({**config, 'device': config.get('device', device)})
