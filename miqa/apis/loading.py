"""From a name or a file to a model that can score."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from miqa.models import CheckpointError, parse_released_name
from miqa.models.released_checkpoints import RELEASED_METHODS, read_checkpoint
from miqa.taxonomy import LABELS, TASKS, check_choice
from miqa.utils.config_text import read_config_text

from . import zoo
from .methods import DEMO, METHODS, SHORT_SIDE, method_name
from .spec import ModelSpec

#: What a model is when nothing else is said: the paper's.
DEFAULT_METHOD, DEFAULT_TASK, DEFAULT_LABEL = 'ra_miqa', 'cls', 'composite'


def locate(name: str | None, task: str | None, label: str | None, weights: str | os.PathLike | None) -> Path:
    """Find the weights file that is meant, fetching it at first use where it belongs to the zoo.

    Raises:
        ValueError: name, task or label is unknown.
        FileNotFoundError: there is no such file, or it is in the zoo and cannot be fetched.
    """
    for value, allowed, what in ((task, TASKS, 'task'), (label, LABELS, 'label')):
        if value is not None:
            check_choice(value, allowed, what)
    if weights is not None:
        path = Path(weights).expanduser()
        if path.is_dir():
            raise FileNotFoundError(f'{path} is a folder; name the weights file in it, such as {path / "best.pth"}.')
        if not path.is_file():
            raise FileNotFoundError(f'There is no weights file {path}.')
        return path
    method = method_name(name or DEFAULT_METHOD)
    if method == DEMO:
        return zoo.demo_weights()
    return zoo.fetch(zoo.find(method, task or DEFAULT_TASK, label or DEFAULT_LABEL))


def read_model(path: Path) -> tuple[ModelSpec, dict[str, torch.Tensor]]:
    """Read a checkpoint of our own or a released file; no code in the file is run.

    Our own checkpoints hold their config. Of a released file the tensor names tell the method and the file name
    the task and label; if it was renamed, these two are None.

    Raises:
        CheckpointError: the file is damaged, unsafe, or of another program.
        ValueError: its config cannot be read.
    """
    checkpoint = read_checkpoint(path)
    meta = checkpoint.get('meta', {})
    released = meta.get('released')
    if released is None:
        if 'cfg' not in meta:
            raise CheckpointError(f'{path} holds weights of this project but no config, so the model is not known.')
        config = read_config_text(meta['cfg'], str(path))
        return ModelSpec.from_config(config, str(path)), checkpoint['state_dict']
    method = METHODS[RELEASED_METHODS[released]]
    task = label = None
    try:
        name = parse_released_name(path)
    except ValueError:
        name = None  # renamed: the tensors alone speak
    if name is not None:
        if name.method != released:
            raise CheckpointError(
                f'{path} is named as weights of {name.method}, but its tensors are those of {released}: rename it.'
            )
        task, label = name.task, name.label
    return ModelSpec(method.name, task, label, method.network, method.views, SHORT_SIDE), checkpoint['state_dict']


def agreed(spec: ModelSpec, path: Path, name: str | None, task: str | None, label: str | None) -> ModelSpec:
    """Return ``spec`` with what only the caller knows, after checking that what both know is the same.

    Raises:
        ValueError: the file is of another method, task or label than the caller asks for.
    """
    wanted = {'task': task, 'label': label}
    if name is not None and (method := method_name(name)) != DEMO:
        wanted['method'] = method
    values = {field: getattr(spec, field) for field in spec.__dataclass_fields__}
    for field, value in wanted.items():
        if value is None:
            continue
        if values[field] is not None and values[field] != value:
            raise ValueError(
                f'{path} holds a model of {field} {values[field]}, but {value} was asked for. Leave out {field}, or '
                'choose other weights.'
            )
        values[field] = value
    return ModelSpec(**values)
