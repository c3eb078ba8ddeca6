"""ONNX networks as machines, run by ONNX Runtime."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from miqa.registry import MACHINES
from miqa.taxonomy import DATABASE_TASKS, check_choice

from .answers import best_classes, digest_of, scores_of_queries, small_integers
from .base import ClassPrediction, DetectionPrediction, Machine, Prediction, SegmentationPrediction
from .exported_networks import ImageInput
from .network_files import open_network
from .onnx_layouts import CORNERS, LAYOUTS, LayoutOptions
from .onnx_preparation import BORDER, OnnxPreparation, Placement, map_of_pixels
from .value_checks import is_share, is_whole

_WHITE = 255  # Grey where the object is certain
_USUAL_SIZE = (224, 224)  # Input size of a network whose file names none

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@MACHINES.register_module()
class OnnxMachine(Machine):
    """A classifier, detector or segmenter in an ONNX file, run by onnxruntime.

    The input is float32, float16 or uint8 (pixels as they are), (B, 3, h, w) or (B, h, w, 3), RGB, or grey with one
    channel. A fixed batch is filled up with the last image. Outputs by ``task``:
    cls: the first output, (B, K) ``logits`` or ``probabilities``, with any axes of length 1, or one number for two
    classes; seg: the first output, (1, K, h, w) logits (or (1, h, w, K)), whole numbers (1, h, w), the class of each
    pixel, or one channel of the object's logits, or with ``outputs='scores'`` of its probability: class 1 above 0 or
    0.5, else 0, or with ``outputs='grey'`` of the same times 255; or queries' logits (1, Q, K + 1) with ``masks_name``
    (1, Q, h, w), as of MaskFormer and Mask2Former; det and ins: by ``layout``, one image at a time:

    - ``boxes_scores_labels``: finished detections, such as torchvision's exports (mean=(0, 0, 0), std=(1, 1, 1), and
      size=None if the export takes any size) or MMDeploy's (boxes_name='dets');
    - ``yolo``: the bare head of YOLOv5 to 11, with suppression by torchvision here (resize='letterbox');
    - ``detr``: logits and boxes of queries, such as DETR and RT-DETR from transformers;
    - ``mask_queries``: classes and masks of queries without boxes (Mask2Former);
    - ``places``: heads with outputs at every cell of their grids, in one output or several: YOLOX before grids
      and strides, NanoDet's distributions, FastestDet, boxes with scores of every class, ...;
    - ``rows``: finished detections as rows of one output, in any order of columns.

    :func:`miqa.machines.machine_from_file` finds all of this out from the file.

    Args:
        file: path of the ONNX file.
        task: cls, det, ins or seg.
        name: defaults to the file's stem.
        weight: share in weighted labels.
        size: (height, width) of the input, or one number for both; None to keep each image's size (with a network that
            allows it). Default: what the file says, else 224.
        mean: normalisation per channel, on values in [0, 1]. Default: ImageNet's; none for ``yolo``, nor for uint8.
        std: the same.
        outputs: cls: ``logits``, ``probabilities``, or ``scores`` of a sigmoid, which are divided by their sum;
            seg: see above.
        layout: det, ins: see above.
        resize: ``stretch``; ``letterbox`` or ``corner``, which keep proportions and fill up with grey, with the picture
            in the middle or at the top left; ``crop``, the middle of the picture, or ``cover``, as much as fits.
        channels: ``rgb``, or ``bgr`` for a network that takes blue first. mean and std stay those of red, green, blue.
            Of one channel: always ``grey``.
        border: what fills up a letterbox, 0 to 255.
        boxes_name: name of the output of boxes, where it is not the layout's usual one; ``places``: or one for each
            grid, the finest first; ``boxes_scores_labels``: '' for the boxes around the masks.
        scores_name: the same for scores.
        objectness_name: the same for ``places``' objectness.
        rows_name: the same for ``rows``, and for ``places`` whose values lie in one output.
        labels_name: the same for labels; '' for detectors of one class that give none.
        masks_name: the same for masks.
        logits_name: the same for ``detr``'s logits; cls, seg: of the output that is read, where it is not the first.
        classes: class names that labels count.
        device: ``cpu``, ``cuda`` or ``cuda:1``; the session computes there, or it is an error.
        device_id: number of the GPU, where ``device`` has none.
        threshold: det, ins: answers with a lower score are dropped at once.
        layout_options: further values of :class:`miqa.machines.onnx_layouts.LayoutOptions`, such as
            ``dict(iou=0.6, objectness=True)``.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: it is not a whole ONNX file.
        MissingPackage: onnxruntime is not installed.
        ValueError: it cannot compute on the device, or the file has other inputs or outputs than the layout's.
    """

    prepare: OnnxPreparation

    def __init__(
        self,
        file: str | os.PathLike,
        task: str = 'cls',
        name: str | None = None,
        weight: float = 1.0,
        size: tuple[int, int] | int | str | None = 'file',
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        outputs: str = 'logits',
        layout: str = 'boxes_scores_labels',
        resize: str = 'stretch',
        channels: str = 'rgb',
        border: int = BORDER,
        boxes_name: str | Sequence[str] | None = None,
        scores_name: str | Sequence[str] | None = None,
        objectness_name: str | Sequence[str] | None = None,
        rows_name: str | Sequence[str] | None = None,
        labels_name: str | None = None,
        masks_name: str | None = None,
        logits_name: str | None = None,
        classes: Sequence[str] | None = None,
        device: str = 'cpu',
        device_id: int | None = None,
        threshold: float = 0.01,
        layout_options: dict | None = None,
    ):
        check_choice(task, DATABASE_TASKS, 'task of an ONNX file')
        check_choice(outputs, ('logits', 'probabilities', 'scores', 'grey'), 'kind of outputs')
        check_choice(layout, LAYOUTS, 'layout of outputs')
        super().__init__(name or Path(file).stem, task, weight, classes)
        if device_id is not None and device == 'cuda':
            device = f'cuda:{device_id}'
        self.network = open_network(file, device)
        self.device: Any = self.network.device
        self.file, self.outputs = Path(file), outputs
        self.read, usual = LAYOUTS[layout]
        roles = {
            'boxes': boxes_name,
            'scores': scores_name,
            'objectness': objectness_name,
            'rows': rows_name,
            'labels': labels_name,
            'masks': masks_name,
            'logits': logits_name,
        }
        roles_given = {key: value for key, value in roles.items() if value is not None}
        options = {'classes': len(classes) if classes is not None else None, **(layout_options or {})}
        option_names = {field.name for field in fields(LayoutOptions)} - {'names', 'masks', 'threshold'}
        for key in options:
            check_choice(key, option_names, 'key of layout_options')
        names = {**usual, **roles_given}
        self.layout, self.options = layout, LayoutOptions(names, task == 'ins', threshold, **options)
        self._check_outputs(names, logits_name)
        #: cls, seg: the output that is read.
        self.output = logits_name or self.network.output_names[0]
        #: seg: the output of masks, where the one that is read has the classes of queries.
        self.masks_output = masks_name if task == 'seg' else None
        self.class_count = self._count_classes()
        plain = ((0.0,) * 3, (1.0,) * 3) if task in ('det', 'ins') and layout in ('yolo', 'places') else IMAGENET
        if self.input.type is np.uint8:
            if mean is not None or std is not None:
                raise ValueError(
                    f'{file} takes pixels from 0 to 255 and normalises them itself: leave mean and std out.'
                )
            plain = ((0.0,) * 3, (1 / 255,) * 3)
        normal = (mean if mean is not None else plain[0], std if std is not None else plain[1])
        channels = 'grey' if self.input.channels == 1 else channels
        self.prepare = OnnxPreparation(self._size(size), *normal, resize, channels, border)

    def _size(self, size: tuple[int, int] | int | str | None) -> tuple[int, int] | None:
        """Return (height, width) that pictures get, or None.

        Raises:
            ValueError: it is no size, or not the one that the file fixes.
        """
        fixed = self.input.size
        if size == 'file':
            return (fixed[0] or _USUAL_SIZE[0], fixed[1] or _USUAL_SIZE[1])
        sides = None if size is None else _two_sides(size)
        if any(side not in (None, requested) for side, requested in zip(fixed, sides or (None, None), strict=True)):
            takes = ' x '.join('any' if side is None else str(side) for side in fixed)
            raise ValueError(
                f'{self.file} takes pictures of {takes} pixels (height x width), but size={size!r} '
                f'{"keeps the size of each picture" if sides is None else "makes others"}. Leave size out.'
            )
        return sides

    def _count_classes(self) -> int | None:
        """Return how many classes the outputs tell apart, where their shape or the layout's options say it."""
        if self.task in ('det', 'ins'):
            return self.options.classes
        shape = next(output.shape for output in self.network.outputs if output.name == self.output)
        if self.task == 'cls':
            sides = [side for side in (shape[1:] if len(shape) > 1 else shape) if side != 1]
            if len(sides) > 1 or None in sides:
                return None
            return (sides[0] or 0) - self._without_first if sides else 2
        if self.masks_output is not None:
            return shape[2] - 1 if len(shape) == 3 and shape[2] else None
        count = shape[-1 if self.input.channels_last else 1] if len(shape) == 4 else None
        return None if count == 1 else count

    @property
    def input(self) -> ImageInput:
        """What the network takes."""
        return self.network.input

    def _check_outputs(self, names: dict[str, str | Sequence[str]], logits_name: str | None) -> None:
        output_names = self.network.output_names
        whole = {output.name for output in self.network.outputs if output.quantised}
        # Boxes of five values end with their score.
        last = {item.name: (item.shape or (None,))[-1] for item in self.network.outputs}
        with_scores = self.layout == 'boxes_scores_labels' and last.get(str(names['boxes'])) == 5
        unread = {'scores'} if with_scores else set()
        unread |= set() if self.task == 'ins' else {'masks'}
        unread |= {role for role in ('boxes', 'labels') if names.get(role) == ''}
        read = [name for role, name in names.items() if role not in unread]
        needed = {name for group in read for name in ([group] if isinstance(group, str) else group)}
        missing = sorted(needed - set(output_names))
        if self.task in ('cls', 'seg'):
            stated = [logits_name, names.get('masks') if names.get('masks') != 'masks' else None]
            for name in stated if self.task == 'seg' else stated[:1]:
                if name is not None and name not in output_names:
                    raise ValueError(f'{self.file} has no output {name!r}; it has {", ".join(output_names)}.')
            needed = {logits_name or output_names[0]} if self.task == 'cls' else set()
        elif missing:
            raise ValueError(
                f'{self.file} has no output {missing[0]!r}, which layout {self.layout!r} reads for {self.task}; it has '
                f'{", ".join(output_names)}. Give its name, such as boxes_name={output_names[0]!r}, or another layout.'
            )

        needed -= {str(names.get(role)) for role in ('labels', 'masks')}
        if needed & whole:
            raise ValueError(
                f'{self.file} gives {min(needed & whole)!r} as quantised numbers of 8 bits, whose scale nothing tells. '
                'Export it with outputs of type float: DequantizeLinear at the end.'
            )

    def predict_prepared(self, batch: list[tuple[np.ndarray, Placement]]) -> list[Prediction]:
        """Return predictions for prepared images."""
        if self.task == 'cls':
            images = [image for image, _ in batch]
            count = 1 if self._squeezed else len(images) if self.input.batch is None else max(1, self.input.batch)
            groups = [images[start : start + count] for start in range(0, len(images), count)]
            return [self._classes(row) for group in groups for row in self._first(np.stack(group))]
        return [self._finish(image, place) for image, place in batch]

    def _first(self, images: np.ndarray) -> np.ndarray:
        output = self.network.run(images, names=[self.output])[self.output].astype(np.float64)
        # Networks that end with a convolution give (B, K, 1, 1) or (B, 1, 1, K), some no batch axis.
        values = output if output.shape[:1] == (len(images),) and output.ndim > 1 else output[None]
        classes = [side for side in values.shape[1:] if side != 1]
        return values.reshape(len(values), -1) if len(classes) < 2 else values

    @property
    def _squeezed(self) -> bool:
        """The output has no batch axis."""
        return any(output.name == self.output and len(output.shape) == 1 for output in self.network.outputs)

    @property
    def _without_first(self) -> bool:
        return self.options.background == 'first'

    def _classes(self, row: np.ndarray) -> ClassPrediction:
        row = row[1:] if self._without_first else row
        if len(row) == 1 and self.outputs != 'probabilities':
            # One number is of two classes: the probability of the second, or its logit before the first.
            row = np.concatenate([1 - row if self.outputs == 'scores' else 0 * row, row])
        elif self._without_first and self.outputs == 'probabilities':
            row = row / max(1e-12, float(row.sum()))
        if self.outputs == 'probabilities':
            return ClassPrediction(row.astype(np.float32))
        if self.outputs == 'scores':
            if row.min() < 0 or not row.sum() > 0:
                raise ValueError(f'{self.file} gives scores below 0, or of 0 alone: no sigmoid. Correct outputs=.')
            return ClassPrediction((row / row.sum()).astype(np.float32))
        if len(row) > 1 and row.min() > 0 and abs(float(row.sum()) - 1) < 1e-4:
            raise ValueError(
                f"{self.file} gives probabilities, not logits: they sum to 1. Say outputs='probabilities'."
            )
        with np.errstate(invalid='ignore'):  # infinite logits are refused by what they give
            total = float(np.logaddexp.reduce(row))
        return ClassPrediction(np.exp(row - total).astype(np.float32), total)

    def _finish(self, image: np.ndarray, place: Placement) -> DetectionPrediction | SegmentationPrediction:
        values = self.network.run(image[None], place)
        if self.task == 'seg':
            if self.masks_output is not None:
                logits, masks = (torch.from_numpy(values[name].astype(np.float32))
                                 for name in (self.output, self.masks_output))  # fmt: skip
                scores = place.maps_to_image(scores_of_queries(logits, masks, place.canvas))
                return SegmentationPrediction(small_integers(best_classes(scores).numpy()))
            return SegmentationPrediction(small_integers(self._map(values[self.output], place)))
        for name, value in values.items():
            if value.dtype.kind == 'f' and np.isnan(value).any():  # no score of NaN reaches a threshold
                raise ValueError(f'The output {name} of {self.file} holds NaN.')
        return self.read(values, place, self.options)

    def _map(self, output: np.ndarray, place: Placement) -> np.ndarray:
        """Return the class of each pixel of the image, (H, W), from logits or from classes of pixels of the input."""
        values = map_of_pixels(output, place.canvas, self.input.channels_last)
        if values is not None and not np.isfinite(values).all():
            raise ValueError(f'Output {self.output} of {self.file} holds NaN or infinite numbers.')
        if values is not None and len(values) > 1:
            return best_classes(place.maps_to_image(torch.from_numpy(values.astype(np.float32)))).numpy()
        if self.outputs == 'grey' and values is not None and values.min() >= 0 and values.max() <= _WHITE:
            grey = place.maps_to_image(torch.from_numpy(values.astype(np.float32)))[0]
            return (grey > _WHITE / 2).numpy().astype(np.int64)
        if values is not None and is_whole(values) and self.outputs != 'grey':
            labels = place.maps_to_image(torch.from_numpy(values.astype(np.float32)), 'nearest-exact')
            return labels[0].numpy().astype(np.int64)
        if values is not None and self.outputs != 'grey' and is_share(values) == (self.outputs != 'logits'):
            scores = place.maps_to_image(torch.from_numpy(values.astype(np.float32)))[0]
            return (scores > (0.0 if self.outputs == 'logits' else 0.5)).numpy().astype(np.int64)
        raise ValueError(
            f'Output {self.output} of {self.file} is {output.dtype} {output.shape}; a map of classes is read from '
            'logits (1, K, h, w) of at least two classes, from whole numbers (1, h, w), or from one channel of logits, '
            "or of values from 0 to 1 with outputs='scores', or to 255 with outputs='grey'. Another output? Say "
            'logits_name=...'
        )

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the files as they were opened, the preparation's values and the meaning of outputs."""
        prepared = str(sorted(vars(self.prepare).items()))
        # What came later, or was computed in another way before, counts only where it is used.
        more = ['scale of each side'] if self.prepare.resize == 'letterbox' and self.prepare.size else []
        more += self.options.further()
        more += [self.options.corners] if self.options.corners != CORNERS[0] else []
        more += [self.output] if self.task in ('cls', 'seg') and self.output != self.network.output_names[0] else []
        more += [self.masks_output] if self.masks_output is not None else []
        return digest_of(*self.network.files.values(), prepared, self.outputs, self.layout, str(self.options), *more)

    def describe(self) -> dict:
        """Return the manifest's entry, with the file's name, the preparation, the layout and where it runs."""
        return {
            **super().describe(),
            'file': self.file.name,
            'preparation': str(vars(self.prepare)),
            'layout': self.layout if self.task in ('det', 'ins') else self.outputs,
            'device': str(self.device),
        }


@MACHINES.register_module()
class TfliteMachine(OnnxMachine):
    """The same for a network in a ``.tflite`` file, run by LiteRT on the CPU; arguments as of :class:`OnnxMachine`."""


@MACHINES.register_module()
class NcnnMachine(OnnxMachine):
    """The same for a network of ncnn, named by its ``.param``; arguments as of :class:`OnnxMachine`."""


def _two_sides(size: tuple[int, int] | int | str) -> tuple[int, int]:
    """Return (height, width) from two numbers, or from one for both."""
    sides = (size, size) if isinstance(size, int) else tuple(size)
    whole = [side for side in sides if isinstance(side, int) and side > 0]
    if len(sides) != 2 or len(whole) != 2:
        raise ValueError(f'size must be (height, width) in pixels, one number for both, or None, not {size!r}.')
    return whole[0], whole[1]
