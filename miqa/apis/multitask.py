"""Scores for several vision tasks, with decoding, resizing and shared encoders computed once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol, overload

import numpy as np

from .inputs import Picture, Pictures, Preparation, is_list_of_pictures
from .runtimes.base import Runtime
from .stream import ItemResult, all_or_error, answered


class OneTaskModel(Protocol):
    """As much of a :class:`miqa.apis.MIQAModel` as is used here."""

    prepare: Preparation
    runtime: Runtime
    batch_size: int
    workers: int | None
    source: str

    @property
    def identity(self) -> str:
        """A short name of exactly these weights."""


class TaskAssessment(NamedTuple):
    """What came of one picture of many.

    Attributes:
        name: the path, or ``picture <number>`` without one.
        scores: by task, nominally 0 to 1, higher is better; None if the picture could not be read.
        error: why there are no scores, or None.
    """

    name: str
    scores: dict[str, float] | None
    error: Exception | None = None


class MultiTaskModel:
    """Predicts how well models of several vision tasks will do on a picture.

    ``MIQAModel('ra-miqa', task=('cls', 'det', 'ins'))`` makes one. Pictures are decoded and resized once where the
    models prepare them alike, and frozen encoders with equal tensors run once.

    Attributes:
        models: the same.
        tasks: their names, in the order that was asked for.
    """

    def __init__(self, models: Mapping[str, OneTaskModel]):
        self.models = dict(models)
        self.tasks = tuple(self.models)
        first = next(iter(self.models.values()))
        self.batch_size, self.workers = first.batch_size, first.workers
        # Models that see the same pixels, and for each group what computes their scores: (B, ...) -> (B, models).
        groups: dict[tuple, list[str]] = {}
        for task, model in self.models.items():
            prepare = model.prepare
            resize = prepare.short_side, prepare.interpolation, prepare.fit, prepare.size
            key = (*resize, prepare.decode, str(prepare.value_range), prepare.coverage)
            groups.setdefault(key, []).append(task)
        self._groups = [(tasks, self._runner(tasks)) for tasks in groups.values()]

    def _runner(self, tasks: list[str]):
        runtimes: list[Any] = [self.models[task].runtime for task in tasks]
        if len(runtimes) > 1 and all(runtime.module is not None for runtime in runtimes):
            # Who has a module has imported PyTorch.
            from .runtimes.shared import SharedRuntime, can_share

            if can_share(runtimes):
                return SharedRuntime(runtimes)
        if runtimes[0].words is not None and len({self.models[task].source for task in tasks}) == 1:
            specs = [runtime.spec for runtime in runtimes]
            return lambda pixels: runtimes[0].scores_of_tasks(pixels, specs)
        return lambda pixels: np.stack([runtime(pixels) for runtime in runtimes], axis=1)

    @property
    def identity(self) -> str:
        """The identities of all models, for result files."""
        return ' + '.join(model.identity for model in self.models.values())

    def __repr__(self) -> str:
        """Name the models."""
        return f'MultiTaskModel({self.models})'

    @overload
    def assess(self, picture: Picture) -> dict[str, float]: ...
    @overload
    def assess(self, picture: Pictures) -> list[dict[str, float]]: ...
    def assess(self, picture: Any) -> dict[str, float] | list[dict[str, float]]:
        """Score one picture, or each of a list: a dict from task to score for each.

        Raises:
            What :meth:`miqa.apis.MIQAModel.assess` raises.
        """
        if not is_list_of_pictures(picture):
            return self._scores([self._prepare(picture)])[0]
        return all_or_error(self._answered(picture, None))

    def assess_all(self, pictures: Iterable[Picture], on_batch=None) -> Iterator[TaskAssessment]:
        """Score any number of pictures, as ``MIQAModel.assess_all`` does: one :class:`TaskAssessment` each."""
        for scores in self._answered(pictures, on_batch):
            yield TaskAssessment(scores.name, scores.answer, scores.error)

    def _answered(self, pictures: Iterable[Picture], on_batch) -> Iterator[ItemResult[dict[str, float]]]:
        return answered(pictures, self._prepare, self._scores, self.batch_size, self.workers, on_batch)

    def _prepare(self, picture: Picture, name: str | None = None) -> list[np.ndarray]:
        return [self.models[tasks[0]].prepare.views(picture, name) for tasks, _ in self._groups]

    def _scores(self, pictures: list[list[np.ndarray]]) -> list[dict[str, float]]:
        results: list[dict[str, float]] = [{} for _ in pictures]
        for number, (tasks, run) in enumerate(self._groups):
            views = [prepared[number] for prepared in pictures]
            flat = np.concatenate([one.reshape(-1, *one.shape[2:]) for one in views])
            starts = range(0, len(flat), self.batch_size)
            scores = np.concatenate([run(flat[start : start + self.batch_size]) for start in starts])
            ends = np.cumsum([one.shape[0] * one.shape[1] for one in views])[:-1]
            for result, part in zip(results, np.split(scores, ends), strict=True):
                result.update(zip(tasks, part.mean(axis=0).tolist(), strict=True))
        for scores in results:
            for task, score in scores.items():
                if not np.isfinite(score):
                    source = self.models[task].source
                    raise ValueError(f'The weights {source} give scores that are not numbers: they are damaged.')
        return [{task: scores[task] for task in self.tasks} for scores in results]
