"""Method, task and label recorded in a checkpoint."""

from __future__ import annotations

import os
from typing import NamedTuple

from miqa.models import parse_released_name, read_checkpoint
from miqa.outside.config_text import read_config_text
from miqa.taxonomy import DATABASE_TASKS, LABELS, check_choice


class Provenance(NamedTuple):
    """Where weights come from; None where the file does not say."""

    task: str | None = None
    label: str | None = None
    config: dict | None = None


def provenance_of(path: str | os.PathLike) -> Provenance:
    """Tell what a checkpoint was trained for.

    Our own checkpoints carry their whole config, which is parsed, not run. Released files say it in their names; a
    renamed one says nothing.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: it is damaged, unsafe or of another program.
        ValueError: its config cannot be read, or names no task or label of this field.
    """
    meta = read_checkpoint(path).get('meta', {})
    if 'cfg' in meta:
        config = read_config_text(meta['cfg'], str(path))
        for field, allowed in (('task', DATABASE_TASKS), ('label', LABELS)):
            if config.get(field) is not None:
                check_choice(str(config[field]), allowed, f'{field} in {path}')
        return Provenance(config.get('task'), config.get('label'), config)
    try:
        name = parse_released_name(path)
    except ValueError:
        return Provenance()
    return Provenance(name.task, name.label)
