"""Distil a small student for cameras from a teacher, on pictures damaged on the fly.

Knowledge distillation (Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", arXiv 1503.02531) for
quality scores: no labels are needed, only pictures, and a teacher that scores every version. Configs name this module
in ``custom_imports``; they are in ``configs/distill/``, and ``miqa train`` trains them like every other.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook

from .apis.opening import open_model
from .apis.runtimes.torch_runtime import TorchRuntime
from .distortions import candidates, distort
from .distortions.compose import fuse, random_ellipse, soft_mask
from .pictures.resizing import INTERPOLATIONS, central_corner, cut_planes, resize_short_side
from .registry import HOOKS, TRANSFORMS
from .structures import SampleBatch, meta_of
from .taxonomy import LABELS, check_choice, distortions_named

TEACHER_VIEW = 'teacher'  # The input that carries the teacher's pixels from the pipeline to :class:`TeacherScores`


@TRANSFORMS.register_module()
class DistortAtRandom:
    """Damage ``picture`` at random: one distortion, evenly at one of its strengths, or a different one in a part.

    Args:
        clean: share of pictures that stay as they are.
        fused: share of pictures whose foreground, a soft ellipse somewhere, has another strength than the rest.
        distortions: names or families (``miqd``, ``extra``, ``camera``, ``all``); none named: the ten of MIQD-2.5M.

    Raises:
        ValueError: a share or a name is wrong.
    """

    def __init__(self, clean: float = 0.05, fused: float = 0.3, distortions: Sequence[str] = ()):
        if not (0 <= clean <= 1 and 0 <= fused <= 1):
            raise ValueError(f'clean and fused are shares between 0 and 1, not {clean} and {fused}.')
        self.clean, self.fused = clean, fused
        self.distortions = distortions_named(distortions or ['miqd'])

    def __call__(self, results: dict) -> dict:
        """Replace ``picture``, uint8 (H, W, 3)."""
        rng, picture = results['rng'], results['picture']
        if rng.random() < self.clean:
            return results
        name = self.distortions[rng.integers(len(self.distortions))]
        strengths = candidates(name)
        damaged = distort(picture, name, strengths[rng.integers(len(strengths))], rng)
        if rng.random() < self.fused:
            other = distort(picture, name, strengths[rng.integers(len(strengths))], rng)
            damaged = fuse(damaged, other, soft_mask(random_ellipse(picture.shape[0], picture.shape[1], rng)))
        results['picture'] = damaged
        return results


@TRANSFORMS.register_module()
class PackStudentAndTeacher:
    """Cut what student and teacher see of ``picture``: the centre of it, resized for each, as at inference.

    Args:
        student: ``dict(short_side=..., size=...)`` in pixels, and ``interpolation`` where it is not bilinear.
        teacher: the same of the teacher, whose own preprocessing it must be; :class:`TeacherScores` checks the size.
    """

    def __init__(self, student: Mapping, teacher: Mapping):
        self.views = {'image': dict(student), TEACHER_VIEW: dict(teacher)}
        for name, view in self.views.items():
            check_choice(view.setdefault('interpolation', 'bilinear'), INTERPOLATIONS, 'interpolation')
            if set(view) != {'short_side', 'size', 'interpolation'} or not 1 <= view['size'] <= view['short_side']:
                raise ValueError(
                    f'{name} must be dict(short_side=..., size=..., interpolation=...) with size the smaller one, not '
                    f'{view}.'
                )

    def __call__(self, results: dict) -> dict:
        """Set ``inputs``: uint8 RGB (3, size, size) for ``image`` and ``teacher``."""
        results['inputs'] = {}
        for name, view in self.views.items():
            picture = resize_short_side(results['picture'], view['short_side'], view['interpolation'])
            top, left = central_corner(picture.shape[0], picture.shape[1], view['size'])
            results['inputs'][name] = torch.from_numpy(cut_planes(picture, top, left, view['size']))
        return results


@HOOKS.register_module()
class TeacherScores(Hook):
    """Let a teacher score every batch that carries its view, before the student's forward pass.

    The labels of the batch become the teacher's scores: that of its label, or all labels that it has heads for. Batches
    without the view, such as those of a labelled validation, stay as they are. The teacher is not part of the student:
    its weights are in no checkpoint.

    Args:
        teacher: what :class:`miqa.apis.MIQAModel` takes: a name, such as ``ra-miqa`` or ``demo``, or a path.
        task: of the teacher, where its weights do not say.
        label: of the teacher, where it could score several.
        precision: of the teacher's arithmetic.

    Raises:
        ValueError, FileNotFoundError, WeightsUnavailable, CheckpointError: see :class:`miqa.apis.MIQAModel`.
    """

    priority = 'VERY_HIGH'

    def __init__(
        self, teacher: str | os.PathLike, task: str | None = None, label: str | None = None, precision: str = 'fp32'
    ):
        self.spec, self.runtime, self.source, _ = open_model(teacher, task, label, precision=precision)

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Score a batch of the training."""
        self.mark(data_batch)

    def before_val_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Score a batch of the validation."""
        self.mark(data_batch)

    def mark(self, batch: Mapping | None) -> None:
        """Put the teacher's scores into the data samples of a batch, and take its view out.

        Raises:
            ValueError: the view is not of the teacher's input size, or a score is not a number.
        """
        if not batch or TEACHER_VIEW not in batch['inputs']:
            return
        pixels = batch['inputs'].pop(TEACHER_VIEW)
        pixels = (pixels if isinstance(pixels, torch.Tensor) else torch.stack(list(pixels))).numpy()
        if pixels.shape[-1] != self.spec.view_size:
            raise ValueError(
                f'The teacher {self.source} takes {self.spec.view_size} pixels of a short side of '
                f'{self.spec.short_side}; the pipeline packs {pixels.shape[-1]}. Set teacher= of PackStudentAndTeacher.'
            )
        scores = self.scores(pixels)
        if any(not np.isfinite(values).all() for values in scores.values()):
            raise ValueError(f'The teacher {self.source} gives scores that are not numbers.')
        samples = batch['data_sample']
        label = meta_of(samples, 'label')[0]
        unknown = np.full(len(pixels), math.nan, np.float32)
        outputs = {
            'gt_score': torch.from_numpy(scores[label if label in scores else next(iter(scores))]),
            'gt_scores': torch.from_numpy(np.stack([scores.get(name, unknown) for name in LABELS], axis=1)),
        }
        if isinstance(samples, SampleBatch):
            samples.labels = outputs
            return
        for number, sample in enumerate(samples):
            for name, values in outputs.items():
                setattr(sample, name, values[number])

    def scores(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """Score uint8 pixels (B, 3, size, size): label -> float32 (B,)."""
        runtime: Any = self.runtime
        network: Any = getattr(runtime.module, 'network', None)
        if not isinstance(runtime, TorchRuntime) or not hasattr(network, 'label_scores'):
            return {self.spec.label or LABELS[0]: runtime(pixels)}
        with torch.inference_mode(), runtime.arithmetic():
            scores = network.label_scores(runtime.module.views(runtime.on_device(pixels)))
        return {label: values.float().cpu().numpy() for label, values in scores.items()}
