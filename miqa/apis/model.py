"""MIQAModel: one model, ready to score pictures."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

import numpy as np

from miqa.errors import CheckpointError
from miqa.keeping import sha256_of_file
from miqa.keeping.files import state_of_file
from miqa.pictures.value_range import ValueRange
from miqa.taxonomy import check_whole_number

from .assessment import Assessment
from .diagnosis import Diagnosis
from .exports.formats import files_of
from .inputs import Picture, Pictures, Preparation, is_list_of_pictures, picture_name
from .model_files import ModelFiles
from .opening import LoadedModel, open_model
from .quality import DEFAULT_THRESHOLDS, Thresholds, quality_of
from .runtimes.base import Device, Runtime
from .spec import ModelSpec
from .stream import ItemResult, all_or_error, answered

if TYPE_CHECKING:
    import torch
    from typing_extensions import Self

    from .heatmap import Heatmap


class ViewAnswers(NamedTuple):
    """Scores of a picture's squares, float32 (rows, columns), and what is wrong with the picture."""

    scores: np.ndarray
    damage: Diagnosis | None

    @property
    def score(self) -> float:
        """Of the picture: the mean of its squares."""
        return float(self.scores.mean())


class MIQAModel(ModelFiles):
    """Predicts how well vision models will do on a picture.

    Examples::

        model = MIQAModel()                                        # miqa-lite, which ships with the package
        model = MIQAModel('ra-miqa')                               # the paper's, fetched at first use
        model = MIQAModel('ra-miqa', task='det', label='accuracy')
        model = MIQAModel('work_dirs/x/best.pth')                  # a run of your own
        model = MIQAModel('model.onnx')                            # what model.export wrote; needs no PyTorch
        model.assess('photo.jpg')                                  # -> 0.87
        model.assess(['a.jpg', 'b.jpg'])                           # -> [0.87, 0.31]

    Args:
        model: a name: ``miqa-lite``, ``ra-miqa``, ``vit-small``, ``efficientnet-b5``, ``efficientnet-b1``,
            ``resnet50``, ``resnet18`` (case, hyphens and underscores do not matter), or ``demo`` and ``demo-fast`` for
            the quickstart's weights and its camera model. Or the path of a checkpoint of your own, of a released
            ``.pth.tar``, of an exported ``.onnx`` or ``.xml``, or of a folder that :meth:`save_pretrained` wrote. Or
            another MIQAModel, whose runtime is shared.
            None for ``miqa-lite``, or for what ``weights`` holds.
        task: ``cls`` (default), ``det`` or ``ins``: which vision task the score speaks of. Or several, such as
            ``('cls', 'det', 'ins')``: then :meth:`assess` returns a dict from task to score, and what the models share
            is computed once, see :class:`miqa.apis.multitask.MultiTaskModel`.
        label: ``composite`` (default), ``consistency`` or ``accuracy``: what the score predicts.
        weights: a path as above, beside a name that it must agree with; for several tasks a dict from task to path.
            Method, task and label come from the file; those that are given too must agree with it.
        device: such as ``cpu``, ``cuda:1``; None for a GPU where there is one.
        precision: ``fp32``, ``bf16`` or (on GPUs) ``fp16``; ``auto``, which None means where ``$MIQA_PRECISION`` says
            nothing else: the fastest way whose scores stay with float32's (0.005 in the mean, 0.02 at most, SRCC
            0.999), measured at the first use of these weights and kept in the cache folder: number formats that the
            processor computes in itself, and for RA-MIQA on a CPU OpenVINO, where it is installed.
        batch_size: pictures at a time, None for 32 on a GPU and 8 on a CPU (with ONNX Runtime two for each core, at
            most 8), where larger batches only miss its caches; scores do not depend on it beyond rounding.
        workers: decoding threads for lists of pictures; None for one a core.
        channels_last: memory layout of pictures; None for what suits the network.
        compile: compile the network with ``torch.compile``: slow to start, then faster.
        thresholds: where quality changes its name, see :class:`miqa.apis.quality.Thresholds`.
        decode: ``exact``, or ``fast``, which None means for a model of the whole picture in one view: JPEG files are
            decoded at a fraction of their size wherever twice the pixels that are needed remain along each side;
            see :class:`miqa.apis.inputs.Preparation` for what it costs.
        coverage: ``center``: the central square counts, as in the paper, and what is at the sides of a 16:9 frame does
            not. ``whole``: overlapping squares over the whole picture; the score is the mean of theirs.
        value_range: the value of white, such as 4095, or those of black and white, where pictures with more than 8
            bits mean something else than :mod:`miqa.pictures.value_range` says.

    Attributes:
        spec: method, task, label and preprocessing, see :class:`miqa.apis.spec.ModelSpec`.
        runtime: what computes, see :class:`miqa.apis.runtimes.Runtime`.
        source: the weights file.

    Raises:
        ValueError: a name is unknown, or disagrees with what the file holds.
        FileNotFoundError: there is no such file.
        WeightsUnavailable: the zoo's weights cannot be fetched; the message says which file to put where.
        CheckpointError: the file is damaged, unsafe, or of another program.
    """

    def __new__(cls, model=None, *, task=None, weights=None, **options):
        """Several tasks make a :class:`miqa.apis.multitask.MultiTaskModel` of one model for each."""
        if task is None or isinstance(task, str):
            return super().__new__(cls)
        from .multitask import MultiTaskModel

        tasks = tuple(dict.fromkeys(task))
        if not tasks:
            raise ValueError('task=() names no task. Choose some of cls, det and ins, or leave task out.')
        several = isinstance(weights, Mapping)
        if weights is not None and (not several or set(weights) != set(tasks)):
            raise ValueError(f'For several tasks, weights is a dict with one file for each of {", ".join(tasks)}.')
        return MultiTaskModel(
            {one: cls(model, task=one, weights=weights[one] if several else None, **options) for one in tasks}
        )

    def __init__(
        self,
        model: str | os.PathLike | MIQAModel | None = None,
        *,
        task: str | None = None,
        label: str | None = None,
        weights: str | os.PathLike | None = None,
        device: str | Device | torch.device | None = None,
        precision: str | None = None,
        batch_size: int | None = None,
        workers: int | None = None,
        channels_last: bool | None = None,
        compile: bool | str = False,
        thresholds: Thresholds | None = None,
        decode: str | None = None,
        value_range: ValueRange = None,
        coverage: str = 'center',
    ):
        if isinstance(model, MIQAModel):
            options: dict[str, Any] = dict(task=task, label=label, weights=weights, device=device, precision=precision)
            options.update(channels_last=channels_last, compile=compile or None)
            if settled := [name for name, value in options.items() if value is not None]:
                raise ValueError(
                    f'{", ".join(settled)} cannot be changed for a loaded model: name its weights instead.'
                )
            opened: LoadedModel = model.spec, model.runtime, model.source, model.thresholds
        else:
            opened = open_model(
                model, task, label, weights, device=device, precision=precision, channels_last=channels_last,
                compile=compile,
            )  # fmt: skip
        spec, runtime, source, stored_thresholds = opened
        self._set(
            spec, runtime, source, batch_size=batch_size, workers=workers, thresholds=thresholds or stored_thresholds,
            decode=decode, value_range=value_range, coverage=coverage,
        )  # fmt: skip

    def _set(
        self,
        spec: ModelSpec,
        runtime: Runtime,
        source: str,
        *,
        batch_size: int | None = None,
        workers: int | None = None,
        thresholds: Thresholds | None = None,
        decode: str | None = None,
        value_range: ValueRange = None,
        coverage: str = 'center',
    ) -> None:
        if batch_size is None:
            batch_size = runtime.usual_batch
        check_whole_number('batch_size', batch_size)
        check_whole_number('workers', 0 if workers is None else workers, 0)
        self.spec, self.runtime, self.source = spec, runtime, source
        self._identity: str | None = None
        self._files = {file: state_of_file(file) for file in files_of(Path(source)) if file.is_file()}
        self.batch_size = batch_size
        self.workers = workers
        self.thresholds = Thresholds(*(thresholds or DEFAULT_THRESHOLDS)).checked()
        self.prepare = Preparation(spec, decode, value_range, coverage)

    @classmethod
    def from_runtime(cls, spec: ModelSpec, runtime: Runtime, source: str, **reading: Any) -> Self:
        """Make a model around a runtime of any kind.

        Args:
            spec: method, task, label and preprocessing.
            runtime: what computes.
            source: what to call its weights in errors.
            reading: options of :data:`miqa.apis.model_files.READING`, as for the class.
        """
        model = cls.__new__(cls)
        model._set(spec, runtime, source, **reading)
        return model

    @property
    def device(self) -> torch.device | Device:
        """Where scores are really computed."""
        return self.runtime.device

    @property
    def precision(self) -> str:
        """Number format of the arithmetic: ``fp32``, ``bf16``, ``fp16`` or ``int8``."""
        return self.runtime.precision

    @property
    def identity(self) -> str:
        """A short name of exactly these weights, for result files: method, task, label and digest.

        Raises:
            CheckpointError: their file was replaced since it was opened.
        """
        if self._identity is None:
            for file, state in self._files.items():
                if state_of_file(file) != state:
                    raise CheckpointError(f'{file} has changed since it was opened. Open the model again.')
            digests = [sha256_of_file(file) for file in self._files]
            several = hashlib.sha256(''.join(digests).encode()).hexdigest()
            digest = several[:12] if len(digests) > 1 else digests[0][:12] if digests else self.source
            purpose = '/'.join((self.spec.method, self.spec.task or 'unknown', self.spec.label or 'unknown'))
            precision = '' if self.precision == 'fp32' else f' {self.precision}'
            self._identity = f'{purpose}@{digest}{precision}{self.prepare.note}'
        return self._identity

    def __repr__(self) -> str:
        """Name method, task, label and file."""
        return f'MIQAModel({self.spec.method}, task={self.spec.task}, label={self.spec.label}, weights={self.source!r})'

    @overload
    def assess(self, picture: Picture, heatmap: Literal[False] = ..., diagnose: Literal[False] = ...) -> float: ...
    @overload
    def assess(
        self, picture: Pictures, heatmap: Literal[False] = ..., diagnose: Literal[False] = ...
    ) -> list[float]: ...
    @overload
    def assess(self, picture: Picture, heatmap: Literal[False] = ..., *, diagnose: Literal[True]) -> Assessment: ...
    @overload
    def assess(
        self, picture: Pictures, heatmap: Literal[False] = ..., *, diagnose: Literal[True]
    ) -> list[Assessment]: ...
    @overload
    def assess(self, picture: Picture, heatmap: Literal[True] | str) -> Heatmap: ...
    @overload
    def assess(self, picture: Pictures, heatmap: Literal[True] | str) -> list[Heatmap]: ...
    def assess(self, picture: Any, heatmap: bool | str = False, diagnose: bool = False) -> Any:
        """Score one picture, or each of a list.

        Args:
            picture: path, bytes of a file, Pillow picture, **BGR** array (H, W, 3) as OpenCV gives it, **RGB** tensor
                (3, H, W); see :func:`miqa.apis.inputs.to_rgb` for grey, alpha, 16 bits and floats. Or a list of
                these, or an array or tensor with one more dimension in front.
            heatmap: True to also see where the score comes from: ``'views'``, the score of each square, with
                ``coverage='whole'``, else ``'occlusion'`` to find which parts of the picture help and hurt, by hiding
                one after the other; ``'rollout'`` for where a transformer looks.
            diagnose: True to also predict what is wrong with the picture, by a model that can (``miqa-lite``).

        Returns:
            The raw regression value, nominally 0 to 1, higher is better; with ``heatmap`` a
            :class:`~miqa.apis.heatmap.Heatmap`, with ``diagnose`` an :class:`~miqa.apis.assessment.Assessment` whose
            ``damage`` is a :class:`~miqa.apis.diagnosis.Diagnosis`; both carry the score. A list for a list, in its
            order.

        Raises:
            FileNotFoundError: there is no such file.
            UnreadableImage: a file is damaged or no picture.
            TypeError, ValueError: an array or tensor is not as described.
        """
        if diagnose:
            return self._diagnosed(picture, heatmap)
        if heatmap:
            usual = 'occlusion' if self.prepare.coverage == 'center' else 'views'
            method = usual if heatmap is True else heatmap
            if is_list_of_pictures(picture):
                return [self._heatmap(one, method) for one in picture]
            return self._heatmap(picture, method)
        if not is_list_of_pictures(picture):
            return self.answer_prepared([self.prepare.views(picture)])[0].score
        return [answer.score for answer in all_or_error(self._answered(picture, None))]

    __call__ = assess

    def _diagnosed(self, picture: Any, heatmap: bool | str) -> Assessment | list[Assessment]:
        if heatmap:
            raise ValueError('diagnose=True and heatmap exclude each other: call assess twice.')
        if not self.can_diagnose:
            raise ValueError(
                f"The model {self.spec.method} gives no diagnosis: leave out diagnose, or use MIQAModel('miqa-lite')."
            )
        if not is_list_of_pictures(picture):
            return self._assessment(picture_name(picture, 0), self.answer_prepared([self.prepare.views(picture)])[0])
        assessments = list(self.assess_all(picture))
        for assessment in assessments:
            if assessment.error is not None:
                raise assessment.error
        return assessments

    def _heatmap(self, picture: Picture, method: str) -> Heatmap:
        from .heatmap import heatmap_of

        return heatmap_of(picture, method, self.prepare, self.score_pixels, self.spec, self.runtime)

    def answer_prepared(self, pictures: list[np.ndarray]) -> list[ViewAnswers]:
        """Score what ``prepare.views`` gave for each picture of a batch, and say what is wrong with it.

        Args:
            pictures: the squares of each, uint8 RGB (rows, columns, 3, size, size).
        """
        outputs = self.pixel_outputs(np.concatenate([views.reshape(-1, *views.shape[2:]) for views in pictures]))
        words, answers, start = self.runtime.words, [], 0
        for views in pictures:
            end = start + views.shape[0] * views.shape[1]
            damage = None
            if words is not None:
                # Of several squares the mean of their outputs counts.
                mean = {name: outputs[name][start:end].mean(axis=0) for name in ('damage', 'strength', 'place')}
                damage = words.diagnosis(mean['damage'], float(mean['strength']), mean['place'])
            answers.append(ViewAnswers(outputs['score'][start:end].reshape(views.shape[:2]), damage))
            start = end
        return answers

    def assess_all(self, pictures: Iterable[Picture], on_batch=None) -> Iterator[Assessment]:
        """Score any number of pictures in batches, decoding in threads; memory does not grow with their number.

        ``pictures`` may be a generator; ``on_batch`` is called with the number of pictures done, after each batch.

        Yields:
            One :class:`Assessment` per picture, in order. A picture that cannot be read has its ``error`` set.
        """
        for result in self._answered(pictures, on_batch):
            if result.answer is None:
                yield Assessment(result.name, None, None, result.error)
            else:
                yield self._assessment(result.name, result.answer)

    def _assessment(self, name: str, answer: ViewAnswers) -> Assessment:
        views = None if self.prepare.coverage == 'center' else answer.scores
        return Assessment(name, answer.score, self.quality(answer.score), None, views, answer.damage)

    @property
    def can_diagnose(self) -> bool:
        """True if the model predicts what is wrong with a picture: ``assess(..., diagnose=True)``."""
        return self.runtime.words is not None

    @property
    def extra_columns(self) -> tuple[str, ...]:
        """Columns of result files that this model fills beside the usual ones: see ``Assessment.extra``."""
        minimum = () if self.prepare.coverage == 'center' else ('minimum',)
        return (*minimum, 'damage') if self.can_diagnose else minimum

    def _answered(self, pictures: Iterable[Picture], on_batch) -> Iterator[ItemResult[ViewAnswers]]:
        return answered(pictures, self.prepare.views, self.answer_prepared, self.batch_size, self.workers, on_batch)

    def score_pixels(self, pixels: np.ndarray | torch.Tensor) -> np.ndarray:
        """Score prepared pictures, uint8 RGB (B, 3, size, size), in batches of ``batch_size``: float32 (B,).

        ``model.prepare(picture)`` makes one of them.

        Raises:
            ValueError: the network gave something that is not a number.
        """
        pixels = np.asarray(pixels)
        starts = range(0, len(pixels), self.batch_size)
        return self._finite(np.concatenate([self.runtime(pixels[start : start + self.batch_size]) for start in starts]))

    def pixel_outputs(self, pixels: np.ndarray | torch.Tensor) -> dict[str, np.ndarray]:
        """Return all that the model predicts for prepared pictures, uint8 RGB (B, 3, size, size): float32 by name.

        Always ``score``, (B,). Of ``miqa-lite`` also ``consistency``, ``accuracy``, ``composite`` and ``strength``
        (B,), the probabilities ``damage`` (B, K) and ``place`` (B, P), and ``features`` (B, D) for networks of your
        own.

        Raises:
            ValueError: the network gave something that is not a number.
        """
        pixels = np.asarray(pixels)
        starts = range(0, len(pixels), self.batch_size)
        parts = [self.runtime.outputs(pixels[start : start + self.batch_size]) for start in starts]
        return {name: self._finite(np.concatenate([part[name] for part in parts])) for name in parts[0]}

    def _finite(self, values: np.ndarray) -> np.ndarray:
        if not np.isfinite(values).all():
            raise ValueError(f'The weights {self.source} give scores that are not numbers: they are damaged.')
        return values

    def quality(self, score: float) -> str:
        """Return ``high``, ``medium`` or ``low`` for a score, by this model's thresholds."""
        return quality_of(score, self.thresholds)
