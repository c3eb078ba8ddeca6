"""Direct regression: any timm or torchvision classifier with a single output."""

from __future__ import annotations

from typing import Any

import torch
import torchvision
from torch import nn

from miqa.models.parts.heads import calm_output
from miqa.models.parts.library_options import TIMM_NAME, TIMM_OPTIONS, TORCHVISION_NAME, checked_classifier, timm_model
from miqa.models.parts.pretrained import Pretrained, load_timm_pretrained, load_torchvision_pretrained
from miqa.networks.packaged_weights import efficientnet_lite
from miqa.outside.checked_values import Ignored, Whole
from miqa.registry import MODELS


class Regressor(nn.Module):
    """A network ``backbone`` with one output for view ``image``.

    Subclasses build ``backbone`` with random weights in ``__init__`` and load pretrained ones in ``init_weights``.
    """

    backbone: Any  # what it can do beyond a module differs from library to library
    foreign_part = 'network'

    def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return raw scores (B,) of ``inputs['image']``, normalised RGB of shape (B, 3, H, W)."""
        return self.backbone(inputs['image']).squeeze(1)

    def init_weights(self) -> None:
        """Load the pretrained weights; called only when training starts."""
        raise NotImplementedError


@MODELS.register_module()
class TimmRegressor(Regressor):
    """Any timm model with a single linear output.

    Args:
        model_name: a name that ``timm.list_models()`` knows.
        pretrained: True for timm's weights, path of a file of them, or False.
        options: further arguments of ``timm.create_model``, such as ``dict(img_size=176, drop_path_rate=0.1)``.
    """

    foreign_options = {'model_name': TIMM_NAME, 'pretrained': Ignored(False), 'options': TIMM_OPTIONS}

    def __init__(self, model_name: str, pretrained: Pretrained = True, options: dict | None = None):
        super().__init__()
        self.model_name = model_name
        self.pretrained = pretrained
        self.options = dict(num_classes=1, **(options or {}))
        self.backbone = timm_model(model_name, **self.options)
        calm_output(self.backbone.get_classifier())

    def init_weights(self) -> None:
        """Load timm's weights, all but the classifier; raises WeightsUnavailable if they are not to be had."""
        load_timm_pretrained(self.backbone, self.model_name, self.pretrained, self.options)
        calm_output(self.backbone.get_classifier())


@MODELS.register_module()
class TorchvisionRegressor(Regressor):
    """A torchvision classifier whose whole classifier is replaced by one Linear with a single output.

    The published baselines are ``resnet18``, ``resnet50``, ``efficientnet_b1`` and ``efficientnet_b5``.

    Args:
        model_name: a name that ``torchvision.models.list_models()`` knows, of a network that ends in ``fc``
            (ResNet and kin) or ``classifier`` (EfficientNet, MobileNet, ConvNeXt, ...).
        pretrained: True for torchvision's IMAGENET1K_V1 weights, path or URL of a file of them, or False.

    Raises:
        ValueError: there is no such classifier, or it ends in neither.
    """

    foreign_options = {'model_name': TORCHVISION_NAME, 'pretrained': Ignored(False)}

    def __init__(self, model_name: str, pretrained: Pretrained = True):
        super().__init__()
        self.model_name = checked_classifier(model_name)
        self.pretrained = pretrained
        self.backbone = torchvision.models.get_model(model_name, weights=None)
        self.head = next((name for name in ('fc', 'classifier') if hasattr(self.backbone, name)), None)
        if self.head is None:
            raise ValueError(f'torchvision {model_name} has neither `fc` nor `classifier`: use TimmRegressor instead.')
        old = getattr(self.backbone, self.head)
        features = [module.in_features for module in old.modules() if isinstance(module, nn.Linear)][0]
        setattr(self.backbone, self.head, nn.Linear(features, 1))

    def init_weights(self) -> None:
        """Load torchvision's weights, all but the classifier; raises WeightsUnavailable if they are not to be had."""
        load_torchvision_pretrained(self.backbone, self.model_name, self.pretrained, self.head)


@MODELS.register_module()
class PackagedRegressor(Regressor):
    """EfficientNet-Lite with a single output and the ImageNet weights that its Python package ships.

    For machines without network access: normalise with mean 127/255 and std 128/255.
    """

    foreign_options = {'size': Whole(0, 2), 'pretrained': Ignored(False)}

    def __init__(self, size: int = 0, pretrained: bool = True):
        super().__init__()
        self.size = size
        self.pretrained = pretrained
        self.backbone = timm_model(f'tf_efficientnet_lite{size}', num_classes=1)
        calm_output(self.backbone.classifier)

    def init_weights(self) -> None:
        """Load the packaged weights, all but the classifier."""
        if self.pretrained:
            donor = efficientnet_lite(self.size, num_classes=0)
            own = self.backbone.state_dict()
            own.update(donor.state_dict())
            self.backbone.load_state_dict(own)
