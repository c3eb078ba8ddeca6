"""Write a model in the format of the paper's authors, for their scripts."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import nn

from miqa.apis.methods import METHODS, SHORT_SIDE
from miqa.apis.spec import ModelSpec
from miqa.keeping import atomic_write
from miqa.models import QualityAssessor, parse_released_name, to_released
from miqa.models.parts.checkpoints import identify_method, read_checkpoint
from miqa.outside.checkpoint_files import fit_state
from miqa.taxonomy import RELEASED_METHODS

SUFFIX = '.pth.tar'  # How the names of such files end


def export_released(spec: ModelSpec, module: nn.Module, path: str | os.PathLike) -> Path:
    """Write a ``.pth.tar`` file with ``epoch``, ``arch``, ``state_dict``, ``best_srcc`` and the released tensor names.

    Where ``path`` is named as the released files are, ``miqa_{method}_{task}_{label}_metric.pth.tar``, the name must
    say what the model is.

    Raises:
        ValueError: the network is not one of the six or differs from it in tensors, takes other views than the authors'
            scripts give it, or contradicts the file name.
    """
    path = Path(path)
    state = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in to_released(module).items()}
    released = identify_method(state)
    if released is None:
        raise ValueError('These weights are not those of a released method.')
    method = METHODS[RELEASED_METHODS[released]]
    _check_name(path, released, spec)
    views = {name: {key: _plain(view[key]) for key in ('size', 'mean', 'std')} for name, view in spec.views.items()}
    theirs = {name: {key: _plain(value) for key, value in view.items()} for name, view in method.views.items()}
    if views != theirs or (spec.short_side, spec.interpolation) != (SHORT_SIDE, 'bilinear'):
        raise ValueError(
            f"The authors' scripts give {method.title} the views {theirs} of pictures of a short side of {SHORT_SIDE} "
            f'pixels, resized bilinearly; this model takes {views} of {spec.short_side} ({spec.interpolation}), so its '
            'scores there would be wrong.'
        )
    like = to_released(QualityAssessor(dict(method.network), {'type': 'ViewPreprocessor', 'views': method.views}))
    fit_state(state, like, 'The model', f'the released {method.title}')
    with atomic_write(path) as temporary:
        # The SRCC of their training is unknown.
        torch.save({'epoch': 0, 'arch': released, 'state_dict': state, 'best_srcc': float('nan')}, temporary)
        reread = to_released_names(read_checkpoint(temporary))
        if any(not torch.equal(reread[name], tensor) for name, tensor in state.items()):
            raise ValueError(f'{path} does not hold what was written: not kept.')
    return path


def to_released_names(checkpoint: dict) -> dict[str, torch.Tensor]:
    """Return the tensors of a checkpoint that :func:`miqa.models.read_checkpoint` read, under the released names."""
    prefix = 'network.' if checkpoint['meta']['released'] == 'ra_miqa' else 'network.backbone.'
    return {name.removeprefix(prefix): tensor for name, tensor in checkpoint['state_dict'].items()}


def _check_name(path: Path, released: str, spec: ModelSpec) -> None:
    try:
        name = parse_released_name(path)
    except ValueError:
        return  # a name of the user's own says nothing
    for kind, named, true in (
        ('method', name.method, released),
        ('task', name.task, spec.task),
        ('label', name.label, spec.label),
    ):
        if true is not None and named != true:
            raise ValueError(
                f'{path.name} says {kind} {named}, but the model is of {kind} {true}: choose another name.'
            )


def _plain(value):
    return [round(float(item), 6) for item in value] if isinstance(value, (list, tuple)) else int(value)
