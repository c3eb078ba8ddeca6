"""The classifiers that label versions, run by ONNX Runtime: five times as fast as PyTorch on one core."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from photographs import Photograph
from PIL import Image
from timm.data import resolve_model_data_config
from torch import nn

from miqa.labelling.classification import soft_consistency
from miqa.machines.timm_classifier import TimmPreparation
from miqa.networks.packaged_weights import EFFICIENTNET_LITE_MEAN, EFFICIENTNET_LITE_STD, efficientnet_lite


def export_classifiers(folder: Path, sizes: tuple[int, ...]) -> None:
    """Write EfficientNet-Lites with packaged weights as ONNX files into ``folder``, where they are missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for size in sizes:
        path = folder / f'lite{size}.onnx'
        if path.exists():
            continue
        network = efficientnet_lite(size)
        side = resolve_model_data_config(network)['input_size'][-1]
        temporary = path.with_suffix('.part')
        export_onnx(network, torch.zeros(1, 3, side, side), temporary, 'image')
        temporary.rename(path)


def export_onnx(
    network: nn.Module, pixels: torch.Tensor, path: Path, name: str, outputs: Sequence[str] | None = None
) -> None:
    """Write a network as ONNX with the input ``name``, like ``pixels`` but of any batch size."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torch.onnx.export(
            network, (pixels,), str(path), input_names=[name], output_names=outputs, opset_version=18, dynamo=False,
            dynamic_axes={each: {0: 'batch'} for each in (name, *(outputs or ()))},
        )  # fmt: skip


def open_session(path: str | Path) -> onnxruntime.InferenceSession:
    """Open an ONNX file for one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options)


class Classifiers:
    """Several classifiers with timm's own preprocessing: a picture in, probabilities (machines, 1000) out."""

    def __init__(self, folder: Path, sizes: tuple[int, ...]):
        self._members = [_member(str(folder), size) for size in sizes]

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return float32 (machines, 1000) for uint8 RGB (H, W, 3)."""
        picture = Image.fromarray(image)
        rows = []
        for session, prepare in self._members:
            logits = session.run(None, {'image': prepare(picture).numpy()[None]})[0][0]
            powers = np.exp(logits - logits.max())
            rows.append(powers / powers.sum())
        return np.stack(rows)

    def consistency(self, answers: np.ndarray, clean: np.ndarray) -> np.ndarray:
        """Return how far each keeps its probabilities, (machines,)."""
        return soft_consistency(answers, clean)

    def accuracy(self, answers: np.ndarray, photograph: Photograph) -> np.ndarray:
        """Return whether each is right, (machines,); NaN where the class is unknown."""
        known = photograph.class_index >= 0
        return answers.argmax(1) == photograph.class_index if known else np.full(len(answers), np.nan)

    def confidence(self, answers: np.ndarray) -> np.ndarray:
        """Return the largest probability of each, (machines,)."""
        return answers.max(1)


@functools.cache
def _member(folder: str, size: int):
    session = open_session(Path(folder) / f'lite{size}.onnx')
    config = resolve_model_data_config(efficientnet_lite(size))
    config.update(mean=EFFICIENTNET_LITE_MEAN, std=EFFICIENTNET_LITE_STD)
    return session, TimmPreparation(config).transform
