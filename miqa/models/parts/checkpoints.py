"""Checkpoints: the files that the paper's authors released, and our own; read safely, loaded strictly."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.model import is_model_wrapper
from torch import nn

from miqa.outside.checkpoint_files import CheckpointError, fit_state, read_torch_file, state_dict_of
from miqa.taxonomy import LABELS, RELEASED_METHODS, TASKS, check_choice

# A tensor that only this method's file has, looked for in this order: ResNet-50 has all names of ResNet-18's that
# distinguish it from others, EfficientNet-b5 those of b1.
_MARKERS = (
    ('ra_miqa', 'mask_projector.0.weight'),
    ('resnet50', 'layer1.0.conv3.weight'),
    ('resnet18', 'layer1.0.conv2.weight'),
    ('efficientnet_b5', 'features.7.2.block.0.0.weight'),
    ('efficientnet_b1', 'features.7.1.block.0.0.weight'),
    ('vit_small_patch16_224', 'blocks.11.attn.qkv.weight'),
)
_OWN = 'network.'
_FILE_NAME = re.compile(r'miqa_(?P<method>.+)_(?P<task>[a-z]+)_(?P<label>[a-z]+)_metric\.pth\.tar')


class ReleasedName(NamedTuple):
    """What the name of a released file says."""

    method: str
    task: str
    label: str


def parse_released_name(name: str | os.PathLike) -> ReleasedName:
    """Read ``miqa_{method}_{task}_{label}_metric.pth.tar``; a folder before it is ignored.

    Raises:
        ValueError: the name does not follow the pattern, or names an unknown method, task or label.
    """
    match = _FILE_NAME.fullmatch(Path(name).name)
    if match is None:
        raise ValueError(f'{name!r} is not named like a released file: miqa_<method>_<task>_<label>_metric.pth.tar.')
    return ReleasedName(
        check_choice(match['method'], RELEASED_METHODS, 'method'),
        check_choice(match['task'], TASKS, 'task'),
        check_choice(match['label'], LABELS, 'label'),
    )


def identify_method(state: Mapping[str, torch.Tensor]) -> str | None:
    """Tell from tensor names which released method a state dict belongs to, or None."""
    return next((method for method, marker in _MARKERS if marker in state), None)


def read_checkpoint(path: str | os.PathLike) -> dict:
    """Read one of our own checkpoints or a released file; no code in the file is run.

    Returns:
        A dict with ``state_dict`` in the names of a :class:`~miqa.models.QualityAssessor`. Of our own checkpoints
        also all else that they hold (``meta``, ``optimizer``, ``message_hub``, ...). Of a released file only
        ``meta``: ``released`` (the method) and, where the file has them, ``epoch`` and ``best_srcc``; its
        optimiser and schedule are those of another program. All tensors are on the CPU.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: the file is damaged, unsafe, or neither of the two kinds.
    """
    checkpoint = read_torch_file(path)
    state = state_dict_of(checkpoint, path)
    if all(key.startswith(_OWN) for key in state):
        metadata = checkpoint if isinstance(checkpoint, dict) and 'state_dict' in checkpoint else {}
        if not isinstance(metadata.get('meta', {}), dict):
            raise CheckpointError(f'{path}: meta must be a dict, not a {type(metadata["meta"]).__name__}.')
        # Only this function says that a file is a released one.
        meta = {key: value for key, value in metadata.get('meta', {}).items() if key != 'released'}
        return {**metadata, **({'meta': meta} if 'meta' in metadata else {}), 'state_dict': state}
    method = identify_method(state)
    if method is None:
        names = ', '.join(list(state)[:5])
        raise CheckpointError(
            f'{path} is neither a checkpoint of this project nor a released one of {", ".join(RELEASED_METHODS)}: '
            f'its {len(state)} tensors begin with {names}.'
        )
    meta = {'released': method}
    if isinstance(checkpoint, Mapping):
        settings = {key: checkpoint[key] for key in ('epoch', 'best_srcc') if key in checkpoint and key not in state}
        meta.update(settings)
    prefix = _OWN if method == 'ra_miqa' else f'{_OWN}backbone.'  # where the names begin in a QualityAssessor
    return {'state_dict': {prefix + key: value for key, value in state.items()}, 'meta': meta}


def unwrapped(model: nn.Module) -> Any:
    """Return the model itself where it is wrapped for distributed training."""
    return model.module if is_model_wrapper(model) else model


def load_checkpoint(model: nn.Module, checkpoint: str | os.PathLike | Mapping, source: str | None = None) -> dict:
    """Load weights into a model, wrapped for distributed training or not; every tensor of both must have its partner.

    Of a checkpoint written with EMA, the averaged weights are loaded: MMEngine stores them as ``state_dict``.
    ``checkpoint`` is a path or what :func:`read_checkpoint` returned, which is returned; ``source`` is then its name
    for errors.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: the file is damaged or unsafe, or tensors are missing, unexpected or of another shape.
    """
    if not isinstance(checkpoint, Mapping):
        source = source or str(checkpoint)
        checkpoint = read_checkpoint(checkpoint)
    model = unwrapped(model)
    description = f'the {type(model.network).__name__} of this config'
    method = checkpoint.get('meta', {}).get('released')
    if method is not None:
        description += f' (the file is a released {method}; its configs are configs/{RELEASED_METHODS[method]}_*.py)'
    model.load_state_dict(
        fit_state(checkpoint['state_dict'], model.state_dict(), source or 'The checkpoint', description)
    )
    return dict(checkpoint)


def to_released(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return a model's tensors under the released names, so that the authors' code can load them.

    Args:
        model: a :class:`~miqa.models.QualityAssessor` around one of the six published networks, perhaps wrapped.

    Raises:
        ValueError: the network is not one of the six.
    """
    model = unwrapped(model)
    state = {key.removeprefix(_OWN): value for key, value in model.state_dict().items()}
    if identify_method(state) == 'ra_miqa':
        return state
    bare = {key.removeprefix('backbone.'): value for key, value in state.items()}
    if identify_method(bare) is None:
        raise ValueError(
            f'{type(model.network).__name__} is not one of the released methods: {", ".join(RELEASED_METHODS)}.'
        )
    return bare
