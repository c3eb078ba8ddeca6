"""Weights of timm's and torchvision's model zoos, loaded when training starts and not before."""

from __future__ import annotations

import timm
import torchvision
from torch import nn

from .checkpoint_files import fit_state, read_torch_file, state_dict_of
from .weight_files import WeightsUnavailable, weight_file

#: What a config may say: True for the zoo's weights, False for random ones, or the path of a file.
Pretrained = bool | str


def load_timm_pretrained(model: nn.Module, name: str, pretrained: Pretrained, **options) -> None:
    """Load pretrained weights into ``model``, made by ``timm.create_model(name, **options)``.

    timm itself fits them: it leaves out a classifier of another size and resizes position embeddings.

    Args:
        model: the network to fill.
        name: timm's model name.
        pretrained: True for timm's own weights of that name, a path to a file of them (.safetensors, .pth, .bin,
            .npz), or False to leave the network as it is.
        options: what the network was created with.

    Raises:
        WeightsUnavailable: they cannot be fetched, found or fitted.
    """
    if pretrained is False:
        return
    overlay = {}
    if pretrained is not True:
        overlay = {'pretrained_cfg_overlay': {'file': str(weight_file(pretrained)), 'url': '', 'hf_hub_id': None}}
    try:
        donor = timm.create_model(name, pretrained=True, **overlay, **options)
    except Exception as error:
        # Which exception an unreachable hub raises depends on timm's, the hub client's and the HTTP library's version.
        home = timm.get_pretrained_cfg(name)
        source = pretrained if pretrained is not True else f'https://huggingface.co/{home.hf_hub_id}' if home else name
        raise WeightsUnavailable(
            f'Cannot load pretrained weights of timm model {name} from {source} '
            f'({type(error).__name__}: {str(error).splitlines()[0] if str(error) else "no message"}). '
            'Without internet access, download the file model.safetensors elsewhere and set `pretrained` to its '
            'path, or set `pretrained=False` to start from random weights.'
        ) from error
    model.load_state_dict(donor.state_dict())


def load_torchvision_pretrained(model: nn.Module, name: str, pretrained: Pretrained, head: str) -> None:
    """Load torchvision's ImageNet weights into ``model``, all but the classifier.

    Args:
        model: the network to fill, with the tensor names of ``torchvision.models.get_model(name)``.
        name: torchvision's model name, such as ``resnet50``.
        pretrained: True for the weights IMAGENET1K_V1, a path or URL of a file of such weights, or False.
        head: name of the classifier, whose tensors are left alone.

    Raises:
        WeightsUnavailable: there is no such file, or it cannot be downloaded.
        CheckpointError: the file does not hold this network's weights.
    """
    if pretrained is False:
        return
    if pretrained is True:
        pretrained = torchvision.models.get_model_weights(name)['IMAGENET1K_V1'].url
    path = weight_file(pretrained)
    state = {k: v for k, v in state_dict_of(read_torch_file(path), path).items() if not k.startswith(f'{head}.')}
    own = model.state_dict()
    wanted = {key: value for key, value in own.items() if not key.startswith(f'{head}.')}
    # The oldest files lack BatchNorm's counters, which nothing reads.
    counters = {k: v for k, v in wanted.items() if k.endswith('num_batches_tracked') and k not in state}
    own.update(fit_state({**state, **counters}, wanted, path, f'torchvision {name} without its classifier'))
    model.load_state_dict(own)
