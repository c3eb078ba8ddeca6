"""Pretrained weights of timm and torchvision, loaded only when training starts."""

from __future__ import annotations

import contextlib
from pathlib import Path

import safetensors.torch
import timm
import torch
import torchvision
from torch import nn

from miqa.outside.checkpoint_files import CheckpointError, check_safetensors, fit_state, read_torch_file, state_dict_of
from miqa.outside.hub import hub_or_cache

from .weight_files import WeightsUnavailable, weight_file

#: What a config may say: True for the zoo's weights, False for random ones, or the path of a file.
Pretrained = bool | str


def load_timm_pretrained(model: nn.Module, name: str, pretrained: Pretrained, options: dict) -> None:
    """Load pretrained weights into ``model``, which is ``timm.create_model(name, **options)`` or a part of it.

    timm itself fits them, for instance resizes position embeddings. All that ``model`` has is loaded, but for a
    classifier of another size; all that the weights have must belong to timm's model.

    Args:
        model: the network to fill, with timm's tensor names.
        name: timm's model name.
        pretrained: True for timm's own weights of that name, path of a file of them (.safetensors, or torch.save's
            .pth and .bin), or False to keep the network's weights.
        options: what the network was created with.

    Raises:
        WeightsUnavailable: they cannot be fetched or found, or are not those of this model.
        CheckpointError: the file is damaged or unsafe.
    """
    if pretrained is False:
        return
    zoo = timm.get_pretrained_cfg(name)
    if zoo is None:
        raise WeightsUnavailable(
            f'timm {timm.__version__} knows no pretrained weights of {name}: set `pretrained=False` to start from '
            'random weights.'
        )
    overlay = {} if pretrained is True else {'state_dict': _tensors(weight_file(pretrained))}
    # With the number of classes that the weights have, timm checks every name; with another it would only log.
    whole = {**options, 'num_classes': zoo.num_classes}
    try:
        with hub_or_cache() if pretrained is True else contextlib.nullcontext():
            donor = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **whole)
    except Exception as error:
        # What an unreachable hub raises depends on the versions of timm, of the hub client and of its HTTP library.
        source = f'https://huggingface.co/{zoo.hf_hub_id}' if pretrained is True else pretrained
        raise WeightsUnavailable(
            f'Cannot load pretrained weights of timm model {name} from {source} ({type(error).__name__}: '
            f'{" ".join(str(error).split())[:300]}). Without internet access, download model.safetensors from '
            f'https://huggingface.co/{zoo.hf_hub_id} elsewhere and set `pretrained` to its path, or set '
            '`pretrained=False` to start from random weights.'
        ) from error
    own, donated = model.state_dict(), donor.state_dict()
    own.update({key: donated[key] for key in own if key in donated and donated[key].shape == own[key].shape})
    model.load_state_dict(own)


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    if path.suffix != '.safetensors':
        return state_dict_of(read_torch_file(path), path)
    try:
        return safetensors.torch.load_file(check_safetensors(path))
    except safetensors.SafetensorError as error:
        raise CheckpointError(f'{path} is not a whole safetensors file ({error}). Fetch it again.') from error


def load_torchvision_pretrained(
    model: nn.Module, name: str, pretrained: Pretrained, head: str | tuple[str, ...] | None, zoo: str = 'IMAGENET1K_V1'
) -> None:
    """Load torchvision's published weights into ``model``, all but the classifier.

    Args:
        model: the network to fill, with the tensor names of ``torchvision.models.get_model(name)``.
        name: such as ``resnet50``.
        pretrained: True for the weights ``zoo``, a path or URL of a file of such weights, or False.
        head: name of the classifier, or names of parts, whose tensors are left alone; None to load all.
        zoo: torchvision's name of the weights.

    Raises:
        WeightsUnavailable: there is no such file, or it cannot be downloaded.
        CheckpointError: the file does not hold this network's weights.
    """
    if pretrained is False:
        return
    path = weight_file(torchvision.models.get_model_weights(name)[zoo].url if pretrained is True else pretrained)
    state = {k: v for k, v in state_dict_of(read_torch_file(path), path).items() if not _is_of(k, head)}
    own = model.state_dict()
    expected = {key: value for key, value in own.items() if not _is_of(key, head)}
    # The oldest files lack BatchNorm's counters, which nothing reads.
    counters = {k: v for k, v in expected.items() if k.endswith('num_batches_tracked') and k not in state}
    own.update(fit_state({**state, **counters}, expected, path, f'{name}{f" without {_named(head)}" if head else ""}'))
    model.load_state_dict(own)


def _is_of(key: str, head: str | tuple[str, ...] | None) -> bool:
    names = (head,) if isinstance(head, str) else head or ()
    return key.startswith(tuple(f'{name}.' for name in names))


def _named(head: str | tuple[str, ...]) -> str:
    return 'its classifier' if isinstance(head, str) else ', '.join(head)
