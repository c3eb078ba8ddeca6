"""timm classifiers: pretrained from the hub, from a checkpoint, or with packaged weights."""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from miqa.networks.packaged_weights import (
    EFFICIENTNET_LITE_MEAN,
    EFFICIENTNET_LITE_STD,
    PACKAGED_LITES,
    efficientnet_lite,
    folded,
)
from miqa.networks.tensors import sha256_of_tensors
from miqa.outside import check_regular
from miqa.outside.checkpoint_files import CheckpointError
from miqa.outside.hub import hub_or_cache
from miqa.outside.regular_files import WEIGHTS_BYTES
from miqa.registry import MACHINES
from miqa.running.processor import has_bfloat16
from miqa.taxonomy import check_choice

from .answers import class_predictions
from .base import ClassPrediction, Machine


def is_timm_model(name: str) -> bool:
    """Return True if timm has a model of this name."""
    import timm  # takes seconds

    return timm.is_model(name)


def timm_models() -> list[str]:
    """Return the names of all models of timm."""
    import timm

    return timm.list_models()


class TimmPreparation:
    """timm's evaluation transform of a model, as a picklable function.

    Args:
        data_config: ``input_size``, ``interpolation``, ``mean``, ``std``, ``crop_pct`` and ``crop_mode``, as
            ``timm.data.resolve_model_data_config`` returns them.
    """

    def __init__(self, data_config: dict):
        from timm.data import create_transform

        self.data_config = data_config
        self.transform = create_transform(**data_config, is_training=False)

    def __call__(self, image: np.ndarray) -> torch.Tensor:
        """Return float32 (3, h, w), RGB, normalised, of a uint8 RGB array (H, W, 3)."""
        return self.transform(Image.fromarray(image))


def _published(model: str, pretrained: bool, options: dict) -> torch.nn.Module:
    """Build a model, with published weights where asked.

    Raises:
        ConnectionError: they cannot be fetched.
        ValueError: timm has no such weights.
    """
    import timm

    try:
        with hub_or_cache() if pretrained else contextlib.nullcontext():
            return timm.create_model(model, pretrained=pretrained, **options)
    except ConnectionError as error:
        raise ConnectionError(
            f'The weights of {model} cannot be fetched: {error}. Without a connection, fetch its checkpoint '
            f"elsewhere and say weights='FILE'; or take one that a package holds ({', '.join(PACKAGED_LITES)})."
        ) from None
    except RuntimeError as error:
        if 'pretrained' not in str(error):
            raise
        tags = ', '.join(timm.list_pretrained(f'{model.split(".")[0]}.*')[:8])
        raise ValueError(f'timm: {error} It has: {tags or "none"}.') from None


@MACHINES.register_module()
class TimmClassifier(Machine):
    """A timm classifier with timm's own evaluation transform of that model.

    Args:
        model: a timm name, such as ``resnet50.a1_in1k``.
        weights: ``'pretrained'`` (from the model hub), ``'packaged'`` (EfficientNet-Lite 0 to 2, from installed
            packages, offline), a path to a checkpoint, or None for random weights (only for tests of speed).
        weight: share in weighted labels, such as the published top-1 accuracy in percent.
        name: defaults to ``model``.
        device: where the network runs.
        num_classes: number of classes where it is not the pretrained model's.
        precision: ``fp32``; ``bf16``, which changes probabilities by about a hundredth; or ``fastest``: ``bf16`` where
            the processor computes in it. What is used is part of the fingerprint.

    Raises:
        ValueError: ``'packaged'`` weights of a model that is not packaged; an unknown model; no class.
        FileNotFoundError: the checkpoint is missing.
        CheckpointError: it is damaged, unsafe to read, or of another network.
        ConnectionError: published weights cannot be fetched.
    """

    prepare: TimmPreparation

    def __init__(
        self,
        model: str,
        weights: str | None = 'pretrained',
        weight: float = 1.0,
        name: str | None = None,
        device: str = 'cpu',
        num_classes: int | None = None,
        precision: str = 'fp32',
    ):
        super().__init__(name or model, 'cls', weight)
        self.model_name, self.weights = model, weights
        check_choice(precision, ('fp32', 'bf16', 'fastest'), 'precision')
        self.precision = ('bf16' if has_bfloat16() else 'fp32') if precision == 'fastest' else precision
        if num_classes is not None and num_classes < 1:
            raise ValueError(f'num_classes must be at least 1, not {num_classes}.')
        options = {} if num_classes is None else {'num_classes': num_classes}
        # Channels last is the faster order for convolutions (EfficientNet-Lite0 on a CPU: 23 ms instead of 35).
        network = self._load(model, weights, options).to(device)
        # PyTorch's types lack a keyword that its documentation has.
        self.network = network.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.device, self.class_count = device, getattr(self.network, 'num_classes', None)
        from timm.data import resolve_model_data_config

        data_config = resolve_model_data_config(self.network)
        if weights == 'packaged':
            # timm's own TensorFlow weights of the same networks were converted for mean = std = 0.5.
            data_config.update(mean=EFFICIENTNET_LITE_MEAN, std=EFFICIENTNET_LITE_STD)
        self.prepare = TimmPreparation(data_config)
        # The fingerprint is kept from here on: it is that of the weights as packaged.
        if weights == 'packaged' and self.fingerprint:
            folded(self.network)

    @staticmethod
    def _load(model: str, weights: str | None, options: dict) -> torch.nn.Module:
        import timm

        if not timm.is_model(model):
            raise ValueError(f'timm {timm.__version__} has no model {model!r}. See timm.list_models().')
        if weights == 'packaged':
            if model not in PACKAGED_LITES:
                raise ValueError(f'Packaged weights exist for {", ".join(PACKAGED_LITES)}, not for {model!r}.')
            return efficientnet_lite(PACKAGED_LITES.index(model), **options)
        if weights in (None, 'pretrained'):
            return _published(model, weights is not None, options)
        if not Path(weights).is_file():
            raise FileNotFoundError(f"There is no checkpoint {weights} for {model}; or say 'pretrained' or 'packaged'.")
        check_regular(weights, WEIGHTS_BYTES, kind='checkpoint')
        network = _published(model, False, options)
        try:
            timm.models.load_checkpoint(network, str(weights))
        except Exception as error:  # whatever a damaged or strange file raises
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise CheckpointError(
                f'{weights} cannot be loaded into {model} with {options or "its usual number of classes"}: '
                f'{" ".join(lines[:2])[:300]}'
            ) from error
        return network

    @torch.inference_mode()
    def predict_prepared(self, batch: list[torch.Tensor]) -> list[ClassPrediction]:
        """Return class probabilities for float tensors (3, h, w)."""
        images = torch.stack(batch).to(self.device, memory_format=torch.channels_last)
        with torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self.precision == 'bf16'):
            logits = self.network(images).float()
        return class_predictions(logits)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the weights as loaded, the model name and the transform's values."""
        values = sorted((key, str(value)) for key, value in self.prepare.data_config.items())
        texts = [self.model_name, str(values), *([self.precision] if self.precision != 'fp32' else [])]
        return sha256_of_tensors(self.network.state_dict(), *texts)

    def describe(self) -> dict:
        """Return the manifest's entry, with timm's version and transform."""
        import timm

        transform = {
            key: list(value) if isinstance(value, tuple) else value for key, value in self.prepare.data_config.items()
        }
        return {
            **super().describe(),
            'model': self.model_name,
            'weights': str(self.weights),
            'library': f'timm {timm.__version__}',
            'transform': transform,
            'precision': self.precision,
        }
