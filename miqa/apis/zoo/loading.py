"""Load weights by name or file."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from miqa.apis.exports.formats import FORMATS
from miqa.apis.gate_threshold import ABOUT
from miqa.apis.methods import (
    DEMOS,
    LITE,
    METHODS,
    SHORT_SIDE,
    is_method_name,
    labels_of_network,
    method_name,
    tasks_of_network,
)
from miqa.apis.spec import ModelSpec
from miqa.errors import CheckpointError
from miqa.outside import check_regular
from miqa.outside.config_text import read_config_text
from miqa.outside.walking import suffix_of
from miqa.pictures.suffixes import IMAGE_SUFFIXES
from miqa.running import require
from miqa.taxonomy import LABELS, RELEASED_METHODS, TASKS, check_choice

from .catalogue import DEFAULT_TASK, demo_weights, fetch, find
from .packaged import packaged_model

if TYPE_CHECKING:
    import torch

DEFAULT_METHOD, DEFAULT_LABEL = LITE, 'composite'
#: Endings of weights files, by which a text is known as a path where no file of that name is there.
_WEIGHT_ENDINGS = ('.pth', '.pt', '.tar', '.safetensors', '.ckpt', '.bin', *FORMATS)


def name_and_weights(
    model: str | os.PathLike | None, weights: str | os.PathLike | None = None
) -> tuple[str | None, str | os.PathLike | None]:
    """Return (name, path) of ``model``, which is a name or a path; either may be None.

    A known name is a name, whatever files there are; anything else is a path if it is there or looks like one.

    Raises:
        TypeError: ``model`` is of another type.
        ValueError: ``model`` and ``weights`` are two paths; or it is neither a known name nor a path.
    """
    if model is None:
        return None, weights
    if isinstance(model, str) and is_method_name(model):
        return model, weights
    if not isinstance(model, (str, os.PathLike)):
        raise TypeError(f'model is a name, a path or a MIQAModel, not of type {type(model).__name__}.')
    text = os.fspath(model)
    if suffix_of(text) in IMAGE_SUFFIXES:
        raise ValueError(f'{text} is a picture, not a model: name one of `miqa models`, or a weights file.')
    if isinstance(model, str) and not _looks_like_path(text):
        method_name(text)  # says what names there are
    if weights is not None:
        raise ValueError(f'Two weights files are named, {text} and {os.fspath(weights)}: leave out one.')
    return None, model


def _looks_like_path(text: str) -> bool:
    separators = {os.sep, os.altsep or os.sep}
    return any(sign in text for sign in separators) or text.lower().endswith(_WEIGHT_ENDINGS) or Path(text).exists()


def locate(name: str | None, task: str | None, label: str | None, weights: str | os.PathLike | None) -> Path:
    """Find the weights file; the zoo's are fetched at first use.

    Returns:
        The file; or a folder that :meth:`miqa.apis.MIQAModel.save_pretrained` wrote.

    Raises:
        ValueError: name, task or label is unknown.
        FileNotFoundError: there is no such file, or it is in the zoo and cannot be fetched.
        MissingPackage: it is in the zoo, and PyTorch is not installed.
    """
    for value, allowed, kind in ((task, TASKS, 'task'), (label, LABELS, 'label')):
        if value is not None:
            check_choice(value, allowed, kind)
    if weights is not None:
        path = Path(weights).expanduser()
        gate = path.parent if path.name == ABOUT else path
        if (gate / ABOUT).is_file():
            raise ValueError(
                f'{path} is a gate, not a model. Filter by it, or serve it: miqa filter FOLDER '
                f'--gate {shlex.quote(str(gate))} --to GOOD'
            )
        if path.is_dir() and not (path / 'config.json').is_file():
            raise FileNotFoundError(f'{path} is a folder; name the weights file in it, such as {path / "best.pth"}.')
        if not path.exists():
            raise FileNotFoundError(f'There is no weights file {path}.')
        return path if path.is_dir() else check_regular(path, kind='checkpoint file')
    method = method_name(name or DEFAULT_METHOD)
    if method in DEMOS:
        return demo_weights(method, task)
    if method == LITE:
        return packaged_model()
    released = find(method, task or DEFAULT_TASK, label or DEFAULT_LABEL)
    require('torch', f'The model {method}')  # before anything is downloaded for it
    return fetch(released)


def read_model(path: Path) -> tuple[ModelSpec, dict[str, torch.Tensor]]:
    """Read a checkpoint of our own or a released file; no code in the file is run.

    Our own checkpoints hold their config. Of a released file the tensor names tell the method and the file name
    the task and label; if it was renamed, these two are None.

    Raises:
        CheckpointError: the file is damaged, unsafe, or of another program.
        ValueError: its config cannot be read.
    """
    # PyTorch is imported here: exported files are scored without it.
    from miqa.models.parts.checkpoints import parse_released_name, read_checkpoint

    checkpoint = read_checkpoint(path)
    meta = checkpoint.get('meta', {})
    released = meta.get('released')
    if released is None:
        if not isinstance(meta.get('cfg'), str):
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


def agreed(
    spec: ModelSpec, path: Path, name: str | None, task: str | None, label: str | None, exported: bool = False
) -> ModelSpec:
    """Return ``spec`` completed by the caller's values; values that both have must agree.

    A network with heads for several labels scores the requested one, unless it was ``exported`` for another; one that
    scores for several tasks does so for the requested one.

    Raises:
        ValueError: the file is of another method, task or label than the caller asks for.
    """
    expected = {'task': task, 'label': label}
    if name is not None and (method := method_name(name)) not in DEMOS:
        expected['method'] = method
    values: dict[str, Any] = {}
    for field, value in expected.items():
        if value is None:
            continue
        stored = getattr(spec, field)
        if field == 'label' and not exported and value in labels_of_network(spec.network):
            values['network'] = {**spec.network, 'label': value}
        elif stored not in (None, value) and not (field == 'task' and value in tasks_of_network(spec.network)):
            raise ValueError(
                f'{path} is a model of {field} {stored}, not {value}: leave out {field}, or choose other weights.'
            )
        values[field] = value
    return replace(spec, **values)
