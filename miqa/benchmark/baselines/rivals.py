"""Common practice for judging frames for machines, without training.

* ``sharpness``, ``brightness``, ``contrast`` and ``blur-exposure``: the checks of frame validators in robotics.
* ``tta:CLASSIFIER``: agreement of a classifier's outputs for the picture, mirrored and at another scale.
* ``ccs:MACHINES.py``: agreement of a detector's kept boxes with those it finds in the mirrored and rescaled picture, in
  the spirit of the Cumulative Consensus Score (arXiv 2509.12871).
* ``encoder:MODEL``: cosine similarity with the clean source in the features of any frozen timm encoder, in the spirit
  of ML-CLIPSim (arXiv 2605.09479).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property

import cv2
import numpy as np
import timm
import torch
from torchvision.ops import box_iou

from miqa.machines import Machine, TimmClassifier, build_machine, load_machine_configs
from miqa.machines.base import DetectionPrediction
from miqa.networks.packaged_weights import PACKAGED_LITES
from miqa.taxonomy import DATABASE_TASKS, check_choice

from .picture_measure import PictureMeasure, required_reference

#: Variance of the Laplacian of an 8-bit picture below which frame validators commonly call it blurred: the threshold of
#: 100 goes back to A. Rosebrock's tutorial "Blur detection with OpenCV" (2015) on Pech-Pacheco et al., "Diatom
#: autofocusing in brightfield microscopy" (ICPR 2000).
BLURRED = 100.0
#: Mean grey values outside of which a picture is commonly called under- or over-exposed.
DARK, BRIGHT = 40.0, 220.0
FLAT = 20.0  # RMS contrast below which a picture is commonly called flat
KEPT_SCORE = 0.3  # Detections with less do not count: MMDetection's default for drawing them


def sharpness(grey: np.ndarray) -> float:
    """Return the variance of the Laplacian of a uint8 grey picture."""
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())


def brightness(grey: np.ndarray) -> float:
    """Return how near the mean grey value is to the middle: minus its distance from 127.5."""
    return -abs(float(grey.mean()) - 127.5)


def contrast(grey: np.ndarray) -> float:
    """Return the RMS contrast: the standard deviation of the grey values."""
    return float(grey.std())


def blur_exposure(grey: np.ndarray) -> float:
    """Return the worst of three checks, each 1 at its threshold and beyond: sharp, well exposed, not flat; 0 to 1."""
    mean = float(grey.mean())
    exposed = min(mean / DARK, (255 - mean) / (255 - BRIGHT))
    return min(1.0, sharpness(grey) / BLURRED, exposed, contrast(grey) / FLAT)


_CHECKS: dict[str, Callable[[np.ndarray], float]] = {
    'sharpness': sharpness,
    'brightness': brightness,
    'contrast': contrast,
    'blur-exposure': blur_exposure,
}


class FrameCheck(PictureMeasure):
    """One of the checks of frame validators: a few numbers of the grey picture."""

    needs_reference = False

    def __init__(self, name: str, device: str = 'cpu'):
        self.name, self.version = name, f'opencv {cv2.__version__}'

    def measure(self, images: list[np.ndarray], reference: np.ndarray | None) -> np.ndarray:
        """Return raw values, float64 (N,), of uint8 RGB images (H, W, 3) that share one source and size."""
        return np.array([_CHECKS[self.name](cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)) for image in images])


def _shown_again(image: np.ndarray) -> list[np.ndarray]:
    """Return the picture mirrored, and at 3/4 of its size."""
    height, width = image.shape[:2]
    smaller = cv2.resize(image, (max(1, width * 3 // 4), max(1, height * 3 // 4)), interpolation=cv2.INTER_AREA)
    return [np.ascontiguousarray(image[:, ::-1]), smaller]


def _classifier(name: str, device: str) -> TimmClassifier:
    """Build the classifier of timm behind the colon of a measure's name."""
    model = name.partition(':')[2]
    return TimmClassifier(model, 'packaged' if model in PACKAGED_LITES else 'pretrained', device=device)


class SelfAgreement(PictureMeasure):
    """Mean overlap of a classifier's probabilities for the picture with those for it mirrored and smaller; 0 to 1.

    Raises:
        OSError: the classifier's weights cannot be fetched.
    """

    needs_reference = False

    def __init__(self, name: str, device: str = 'cpu'):
        self.name, self.device = name, device
        self.version = f'timm {timm.__version__}'
        self.machine = _classifier(name, device)

    def measure(self, images: list[np.ndarray], reference: np.ndarray | None) -> np.ndarray:
        """Return raw values, float64 (N,), of uint8 RGB images (H, W, 3) that share one source and size."""
        values = []
        for image in images:
            views = [self.machine.prepare(view) for view in (image, *_shown_again(image))]
            answers = np.stack([answer.probabilities for answer in self.machine.predict_prepared(views)])
            values.append(np.minimum(answers[:1], answers[1:]).sum(1).mean())
        return np.array(values, np.float64)


class BoxAgreement(PictureMeasure):
    """How well a detector's kept boxes are found again in the mirrored and the smaller picture; 0 to 1.

    For each kept box the best overlap (IoU) with a box of the same class in the other view, times the mean of both
    scores; averaged over the boxes of both views and over the two views. Without any box there is nothing to agree on,
    and the score is 0.
    """

    needs_reference = False

    def __init__(self, name: str, device: str = 'cpu'):
        self.name, self.device = name, device
        self.version = 'miqa 1'
        self.config = name.partition(':')[2]
        # Read here, so that a missing file is named before the pictures are.
        self._machine_config = load_machine_configs(self.config)[0]

    @cached_property
    def machine(self) -> Machine:
        """The first machine of the config file."""
        return build_machine(self._machine_config)

    def measure(self, images: list[np.ndarray], reference: np.ndarray | None) -> np.ndarray:
        """Return raw values, float64 (N,), of uint8 RGB images (H, W, 3) that share one source and size."""
        values = []
        for image in images:
            plain, mirrored, smaller = self._detections([image, *_shown_again(image)])
            width = image.shape[1]
            flipped = mirrored.boxes.copy()
            flipped[:, [0, 2]] = width - mirrored.boxes[:, [2, 0]]
            scale = np.float32(width / max(1, width * 3 // 4))
            variants = replace(mirrored, boxes=flipped), replace(smaller, boxes=smaller.boxes * scale)
            values.append(np.mean([agreement(plain, other) for other in variants]))
        return np.array(values, np.float64)

    def _detections(self, images: list[np.ndarray]) -> list[DetectionPrediction]:
        answers = self.machine.predict(images)
        detections = [answer for answer in answers if isinstance(answer, DetectionPrediction)]
        if len(detections) < len(images):
            raise ValueError(
                f'The machines of {self.config} do {self.machine.task} and find no boxes: {self.name} needs a detector '
                '(det) or an instance segmenter (ins).'
            )
        return detections


def agreement(first: DetectionPrediction, second: DetectionPrediction) -> float:
    """Return the mean, over the kept boxes of both, of the best overlap with the other times the mean of the scores."""
    a, b = ([boxes_of[part] for part in ('boxes', 'scores', 'labels')] for boxes_of in (_kept(first), _kept(second)))
    if not len(a[0]) or not len(b[0]):
        return 0.0
    overlap = box_iou(*(torch.from_numpy(boxes.astype(np.float64)) for boxes in (a[0], b[0]))).numpy()
    overlap *= a[2][:, None] == b[2][None, :]
    weight = (a[1][:, None] + b[1][None, :]) / 2
    agreements = overlap * weight
    return float(np.concatenate([agreements.max(1), agreements.max(0)]).mean())


def _kept(answer: DetectionPrediction) -> dict[str, np.ndarray]:
    confident = answer.scores >= KEPT_SCORE
    return {'boxes': answer.boxes[confident], 'scores': answer.scores[confident], 'labels': answer.labels[confident]}


class EncoderSimilarity(PictureMeasure):
    """Cosine similarity of the pooled features of a picture and of its clean source, by a frozen timm encoder.

    Raises:
        OSError: the encoder's weights cannot be fetched.
    """

    needs_reference = True

    def __init__(self, name: str, device: str = 'cpu'):
        self.name, self.device = name, device
        self.version = f'timm {timm.__version__}'
        machine = _classifier(name, device)
        self.network, self.prepare = machine.network, machine.prepare

    @torch.inference_mode()
    def measure(self, images: list[np.ndarray], reference: np.ndarray | None) -> np.ndarray:
        """Return raw values, float64 (N,), of uint8 RGB images (H, W, 3) that share one source and size."""
        features = []
        pictures = [required_reference(reference, self.name), *images]
        for start in range(0, len(pictures), 16):
            batch = torch.stack([self.prepare(image) for image in pictures[start : start + 16]])
            maps = self.network.forward_features(batch.to(self.device))
            features.append(self.network.forward_head(maps, pre_logits=True).float().cpu())
        vectors = torch.nn.functional.normalize(torch.cat(features), dim=1).double()
        return (vectors[1:] @ vectors[0]).numpy()


#: First part of a name -> its measure; the part after the colon names a network or a file.
_NETWORKS: dict[str, Callable[[str, str], PictureMeasure]] = {
    'tta': SelfAgreement,
    'ccs': BoxAgreement,
    'encoder': EncoderSimilarity,
}
#: Tasks that a measure is for, by the first part of its name; all where it is not listed.
_TASKS = {'tta': ('cls',), 'ccs': ('det', 'ins')}

RIVALS = (*_CHECKS, 'tta:CLASSIFIER', 'ccs:MACHINES.py', 'encoder:MODEL')


def is_rival_name(name: str) -> bool:
    """Return True if :func:`build_rival` takes the name."""
    first, colon, argument = name.partition(':')
    return name in _CHECKS or (first in _NETWORKS and bool(colon and argument) and '=' not in name)


def build_rival(name: str, device: str = 'cpu') -> PictureMeasure:
    """Build one of :data:`RIVALS` by name.

    Raises:
        ValueError: there is no such measure or network.
        OSError: weights cannot be fetched, or a file is missing.
    """
    first = name.partition(':')[0]
    if first in _NETWORKS:
        return _NETWORKS[first](name, device)
    return FrameCheck(check_choice(name, _CHECKS, 'check of frames'), device)


def tasks_of_rival(name: str) -> tuple[str, ...]:
    """Return the tasks that a measure is for."""
    return _TASKS.get(name.partition(':')[0], DATABASE_TASKS)


def machine_of_rival(name: str) -> str | None:
    """Return the machine that a measure asks about the picture itself, or None."""
    first, _, argument = name.partition(':')
    return argument if first == 'tta' else None
