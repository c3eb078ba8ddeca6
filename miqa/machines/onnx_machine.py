"""Networks in ONNX files as vision systems, through onnxruntime."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ..registry import MACHINES
from ..taxonomy import check_choice
from ..utils import require, sha256_of_file
from .base import ClassPrediction, DetectionPrediction, Machine, Prediction


class OnnxPreparation:
    """Resize an image for a network with a fixed input, and normalise it, as a picklable function.

    Args:
        size: (height, width) that the image is stretched to, or None to keep its size.
        mean: per channel, on values in [0, 1].
        std: per channel, on values in [0, 1].
    """

    def __init__(self, size: tuple[int, int] | None, mean: Sequence[float], std: Sequence[float]):
        self.size, self.mean, self.std = size, tuple(mean), tuple(std)

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, tuple[float, float]]:
        """Return float32 (3, h, w), RGB, and the factors (x, y) from its pixels to the image's."""
        height, width = image.shape[:2]
        if self.size is not None:
            target = (self.size[1], self.size[0])
            image = np.asarray(Image.fromarray(image).resize(target, Image.Resampling.BILINEAR))
        values = (image.astype(np.float32) / 255 - self.mean) / self.std
        scale = (width / image.shape[1], height / image.shape[0])
        return np.ascontiguousarray(values.transpose(2, 0, 1), np.float32), scale


@MACHINES.register_module()
class OnnxMachine(Machine):
    """A classifier or detector in an ONNX file, run by onnxruntime.

    The input is float32 (B, 3, h, w), RGB. Outputs by ``task``: cls: the first output, (B, K) ``logits`` or
    ``probabilities``. det: outputs called ``boxes_name``, ``scores_name`` and ``labels_name``, (N, 4), (N,) and (N,)
    with or without a leading 1, boxes in pixels of the network's input; images are then run one at a time.

    Args:
        file: path of the ONNX file.
        task: cls or det.
        name: defaults to the file's stem.
        weight: share in weighted labels.
        size: (height, width) of the input, or None to keep each image's size (det, with a network that allows it).
        mean: normalisation per channel, on values in [0, 1].
        std: normalisation per channel, on values in [0, 1].
        outputs: cls: ``logits`` or ``probabilities``.
        boxes_name: name of det's output of boxes.
        scores_name: name of det's output of scores.
        labels_name: name of det's output of labels.
        classes: class names that labels count.
        device: ``cpu`` or ``cuda``.

    Raises:
        FileNotFoundError: there is no such file.
        ImportError: onnxruntime is not installed.
    """

    def __init__(
        self,
        file: str | os.PathLike,
        task: str = 'cls',
        name: str | None = None,
        weight: float = 1.0,
        size: tuple[int, int] | None = (224, 224),
        mean: Sequence[float] = (0.485, 0.456, 0.406),
        std: Sequence[float] = (0.229, 0.224, 0.225),
        outputs: str = 'logits',
        boxes_name: str = 'boxes',
        scores_name: str = 'scores',
        labels_name: str = 'labels',
        classes: Sequence[str] | None = None,
        device: str = 'cpu',
    ):
        check_choice(task, ('cls', 'det'), 'task of an ONNX file')
        check_choice(outputs, ('logits', 'probabilities'), 'kind of outputs')
        super().__init__(name or Path(file).stem, task, weight, classes)
        if not Path(file).is_file():
            raise FileNotFoundError(f'There is no ONNX file {file}.')
        runtime = require('onnxruntime', 'Networks in ONNX files')
        self.file, self.outputs = Path(file), outputs
        self.names = (boxes_name, scores_name, labels_name)
        providers = ['CUDAExecutionProvider'] if device.startswith('cuda') else []
        self.session = runtime.InferenceSession(str(file), providers=[*providers, 'CPUExecutionProvider'])
        self.input = self.session.get_inputs()[0].name
        self.prepare = OnnxPreparation(tuple(size) if size else None, mean, std)

    def predict_prepared(self, batch: list[tuple[np.ndarray, tuple[float, float]]]) -> list[Prediction]:
        """Return predictions for prepared images."""
        if self.task == 'cls':
            values = self.session.run(None, {self.input: np.stack([image for image, _ in batch])})[0]
            return [self._classes(row.astype(np.float64)) for row in values]
        return [self._detections(image, scale) for image, scale in batch]

    def _classes(self, row: np.ndarray) -> ClassPrediction:
        if self.outputs == 'probabilities':
            return ClassPrediction(row.astype(np.float32))
        total = float(np.logaddexp.reduce(row))
        return ClassPrediction(np.exp(row - total).astype(np.float32), total)

    def _detections(self, image: np.ndarray, scale: tuple[float, float]) -> DetectionPrediction:
        boxes, scores, labels = self.session.run(list(self.names), {self.input: image[None]})
        boxes = boxes.reshape(-1, 4).astype(np.float32) * np.array([*scale, *scale], np.float32)
        return DetectionPrediction(boxes, scores.reshape(-1).astype(np.float32), labels.reshape(-1).astype(np.int64))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the file and of the preparation's values."""
        text = f'{sha256_of_file(self.file)}{self.prepare.size}{self.prepare.mean}{self.prepare.std}{self.outputs}'
        return hashlib.sha256(text.encode()).hexdigest()

    def describe(self) -> dict:
        """Return the manifest's entry, with the file's name and the preparation."""
        preparation = {'size': self.prepare.size, 'mean': self.prepare.mean, 'std': self.prepare.std}
        return {**super().describe(), 'file': self.file.name, 'preparation': str(preparation)}
