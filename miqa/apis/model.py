"""One model, ready to score pictures."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from miqa.utils import sha256_of_file

from .heatmap import Heatmap, heatmap_of
from .inputs import Picture, Preparation, is_list_of_pictures
from .loading import agreed, locate, read_model
from .quality import DEFAULT_THRESHOLDS, Thresholds, quality_of
from .runtime import OnnxRuntime, TorchRuntime
from .spec import ModelSpec
from .stream import prepared_batches


class Assessment(NamedTuple):
    """What came of one picture of many.

    Attributes:
        name: the path, or ``picture <number>`` where there is none.
        score: raw regression value, nominally 0 to 1, higher is better; None if the picture could not be read.
        quality: ``high``, ``medium`` or ``low``; None with the score.
        error: why there is no score, or None.
    """

    name: str
    score: float | None
    quality: str | None
    error: Exception | None = None


class MIQAModel:
    """Predicts how well vision models will do on a picture.

    Examples::

        model = MIQAModel('ra-miqa')                               # the paper's, fetched at first use
        model = MIQAModel('ra-miqa', task='det', label='accuracy')
        model = MIQAModel(weights='work_dirs/x/best.pth')          # a run of your own
        model = MIQAModel(weights='model.onnx')                    # what model.export wrote
        model.assess('photo.jpg')                                  # -> 0.87
        model.assess(['a.jpg', 'b.jpg'])                           # -> [0.87, 0.31]

    Args:
        model_name: ``ra-miqa``, ``vit-small``, ``efficientnet-b5``, ``efficientnet-b1``, ``resnet50``, ``resnet18``
            (case, hyphens and underscores do not matter), or ``demo`` for the quickstart's weights. None for
            ``ra-miqa``, or for what ``weights`` holds.
        task: ``cls`` (default), ``det`` or ``ins``: which vision task the score speaks of.
        label: ``composite`` (default), ``consistency`` or ``accuracy``: what the score predicts.
        weights: a checkpoint of your own, a released ``.pth.tar`` or an ``.onnx`` file, in place of the zoo's. Method,
            task and label come from the file; those that are given too must agree with it.
        device: such as ``cpu``, ``cuda:1``; None for a GPU where there is one.
        precision: ``fp32``, ``bf16`` or (on GPUs) ``fp16``.
        batch_size: pictures at a time, None for 32 on a GPU and 8 on a CPU, where larger batches only miss its caches;
            scores do not depend on it beyond rounding.
        workers: decoding threads for lists of pictures; None for one a core.
        channels_last: memory layout of pictures; None for what suits the network.
        compile: compile the network with ``torch.compile``: slow to start, then faster.
        thresholds: where quality changes its name, see :class:`miqa.apis.quality.Thresholds`.

    Attributes:
        spec: method, task, label and preprocessing, see :class:`miqa.apis.spec.ModelSpec`.
        source: the weights file.

    Raises:
        ValueError: a name is unknown, or disagrees with what the file holds.
        FileNotFoundError: there is no such file.
        WeightsUnavailable: the zoo's weights cannot be fetched; the message says which file to put where.
        CheckpointError: the file is damaged, unsafe, or of another program.
    """

    def __init__(
        self,
        model_name: str | None = None,
        *,
        task: str | None = None,
        label: str | None = None,
        weights: str | os.PathLike | None = None,
        device: str | torch.device | None = None,
        precision: str = 'fp32',
        batch_size: int | None = None,
        workers: int | None = None,
        channels_last: bool | None = None,
        compile: bool | str = False,
        thresholds: Thresholds = DEFAULT_THRESHOLDS,
    ):
        path = locate(model_name, task, label, weights)
        if path.suffix.lower() == '.onnx':
            if precision != 'fp32' or compile:
                raise ValueError('An ONNX file is run as it was exported: leave out precision and compile.')
            runtime = OnnxRuntime(path, device)
            spec = agreed(runtime.spec, path, model_name, task, label)
        else:
            spec, state = read_model(path)
            spec = agreed(spec, path, model_name, task, label)
            runtime = TorchRuntime(spec.build(state, str(path)), device, precision, channels_last, compile)
        self._set(spec, runtime, str(path), batch_size, workers, thresholds)

    def _set(self, spec, runtime, source, batch_size, workers, thresholds) -> None:
        if batch_size is None:
            batch_size = 8 if runtime.device.type == 'cpu' else 32
        if batch_size < 1:
            raise ValueError(f'batch_size must be at least 1, not {batch_size}.')
        self.spec: ModelSpec = spec
        self.runtime: TorchRuntime | OnnxRuntime = runtime
        self.source: str = source
        self._identity: str | None = None
        self.batch_size = batch_size
        self.workers = workers
        self.thresholds = Thresholds(*thresholds).checked()
        self.prepare = Preparation(spec)

    @property
    def device(self) -> torch.device:
        """Where scores are computed."""
        return self.runtime.device

    @property
    def identity(self) -> str:
        """A short name of exactly these weights, for result files: method, task, label and digest."""
        if self._identity is None:
            digest = sha256_of_file(self.source) if Path(self.source).is_file() else self.source
            said = '/'.join((self.spec.method, self.spec.task or 'unknown', self.spec.label or 'unknown'))
            precision = '' if self.runtime.precision == 'fp32' else f' {self.runtime.precision}'
            self._identity = f'{said}@{digest[:12] if digest != self.source else digest}{precision}'
        return self._identity

    def __repr__(self) -> str:
        """Name method, task, label and file."""
        return f'MIQAModel({self.spec.method}, task={self.spec.task}, label={self.spec.label}, weights={self.source!r})'

    def assess(
        self, picture: Picture | list[Picture], heatmap: bool | str = False
    ) -> float | list[float] | Heatmap | list[Heatmap]:
        """Score one picture, or each of a list.

        Args:
            picture: path, bytes of a file, Pillow picture, **BGR** array (H, W, 3) as OpenCV gives it, **RGB** tensor
                (3, H, W); see :func:`miqa.apis.inputs.to_rgb` for grey, alpha, 16 bits and floats. Or a list of
                these, or an array or tensor with one more dimension in front.
            heatmap: True or ``'occlusion'`` to also find which parts of the picture help and hurt, by hiding one
                after the other; ``'rollout'`` for where a transformer looks.

        Returns:
            The raw regression value, nominally 0 to 1, higher is better; with ``heatmap`` a
            :class:`~miqa.apis.heatmap.Heatmap`, which carries the score. A list for a list, in its order.

        Raises:
            FileNotFoundError: there is no such file.
            UnreadableImage: a file is damaged or no picture.
            TypeError, ValueError: an array or tensor is not as described.
        """
        if heatmap:
            method = 'occlusion' if heatmap is True else heatmap
            if is_list_of_pictures(picture):
                return [heatmap_of(self, one, method) for one in picture]
            return heatmap_of(self, picture, method)
        if not is_list_of_pictures(picture):
            return float(self.score_pixels(self.prepare(picture)[None])[0])
        scores = []
        for assessment in self.assess_all(picture):
            if assessment.error is not None:
                raise assessment.error
            scores.append(assessment.score)
        return scores

    def assess_all(self, pictures: Iterable[Picture], on_batch=None) -> Iterator[Assessment]:
        """Score any number of pictures in batches, decoding in threads; memory does not grow with their number.

        Args:
            pictures: read as needed; a generator will do.
            on_batch: called with the number of pictures done, after each batch.

        Yields:
            One :class:`Assessment` per picture, in order. A picture that cannot be read has its ``error`` set.
        """
        for batch in prepared_batches(pictures, self.prepare, self.batch_size, self.workers):
            pixels = [item.pixels for item in batch if item.error is None]
            scores = iter(self.score_pixels(torch.stack(pixels)).tolist() if pixels else ())
            for item in batch:
                if item.error is not None:
                    yield Assessment(item.name, None, None, item.error)
                else:
                    score = next(scores)
                    yield Assessment(item.name, score, self.quality(score))
            if on_batch is not None:
                on_batch(len(batch))

    def score_pixels(self, pixels: torch.Tensor) -> np.ndarray:
        """Score prepared pictures, uint8 RGB (B, 3, size, size), in batches of ``batch_size``: float32 (B,).

        ``model.prepare(picture)`` makes one of them.

        Raises:
            ValueError: the network gave something that is no number.
        """
        scores = np.concatenate([self.runtime(part) for part in pixels.split(self.batch_size)])
        if not np.isfinite(scores).all():
            raise ValueError(f'The weights {self.source} give scores that are no numbers: they are damaged.')
        return scores

    def quality(self, score: float) -> str:
        """Return ``high``, ``medium`` or ``low`` for a score, by this model's thresholds."""
        return quality_of(score, self.thresholds)

    def export(self, path: str | os.PathLike) -> Path:
        """Write the model for use elsewhere: ``.onnx`` or ``.pt2`` (torch.export).

        See :func:`miqa.apis.export.export_model`.
        """
        from .export import export_model

        return export_model(self, path)

    def save_pretrained(self, folder: str | os.PathLike) -> Path:
        """Write weights, config and model card into a folder; see :func:`miqa.apis.hub.save_pretrained`."""
        from .hub import save_pretrained

        return save_pretrained(self, folder)

    def push_to_hub(self, repo_id: str, **options) -> str:
        """Upload to the Hugging Face Hub; see :func:`miqa.apis.hub.push_to_hub`."""
        from .hub import push_to_hub

        return push_to_hub(self, repo_id, **options)

    @classmethod
    def from_pretrained(cls, repo_id: str | os.PathLike, *, revision: str | None = None, token=None, **options):
        """Load a model from the Hugging Face Hub, or from a folder of :meth:`save_pretrained`.

        Args:
            repo_id: ``user/repo``, or a folder.
            revision: branch, tag or commit.
            token: of the Hub, for private repositories.
            options: ``device``, ``precision``, ``batch_size``, ``workers``, ``channels_last``, ``compile``,
                ``thresholds`` as for the class.

        Raises:
            WeightsUnavailable: there is no such repository, or it cannot be reached.
            CheckpointError, ValueError: its files are not those of a quality model.
        """
        from .hub import read_pretrained

        spec, state, thresholds, source = read_pretrained(repo_id, revision, token)
        return cls.from_parts(spec, state, source, **{'thresholds': thresholds, **options})

    @classmethod
    def from_parts(
        cls,
        spec: ModelSpec,
        state: dict[str, torch.Tensor],
        source: str,
        *,
        device=None,
        precision='fp32',
        batch_size=None,
        workers=None,
        channels_last=None,
        compile=False,
        thresholds=DEFAULT_THRESHOLDS,
    ):
        """Make a model of a spec and its tensors; ``source`` names them in errors, the rest is as for the class."""
        model = cls.__new__(cls)
        runtime = TorchRuntime(spec.build(state, source), device, precision, channels_last, compile)
        model._set(spec, runtime, source, batch_size, workers, thresholds)
        return model
