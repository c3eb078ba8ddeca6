"""What a checkpoint says of itself: method, task and label."""

from __future__ import annotations

import os
from typing import NamedTuple

from mmengine.config import Config

from miqa.models import parse_released_name, read_checkpoint


class Provenance(NamedTuple):
    """Where weights come from; None where the file does not say."""

    task: str | None = None
    label: str | None = None
    config: Config | None = None


def provenance_of(path: str | os.PathLike) -> Provenance:
    """Tell what a checkpoint was trained for.

    Our own checkpoints carry their whole config. Released files say it in their names; a renamed one says nothing.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: it is damaged, unsafe or of another program.
    """
    meta = read_checkpoint(path).get('meta', {})
    if 'cfg' in meta:
        config = Config.fromstring(meta['cfg'], '.py')
        return Provenance(config.get('task'), config.get('label'), config)
    try:
        name = parse_released_name(path)
    except ValueError:
        return Provenance()
    return Provenance(name.task, name.label)
