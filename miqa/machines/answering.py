"""From prepared pictures to rows of responses: each answer is checked, and failures affect one picture only."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from miqa.errors import MIQAError

from .base import ClassPrediction, DetectionPrediction, Machine, Prediction, SegmentationPrediction
from .responses import answer_columns

LOGGER = logging.getLogger('miqa')

PATIENCE = 64  # A machine whose answers to so many pictures are not valid, and none is, is broken: the run ends

#: Scores of reduced precision may leave [0, 1], and boxes end before they begin, by rounding.
_SCORE_SLACK, _PIXEL_SLACK = 1e-3, 1e-2


class MachineFailed(MIQAError, RuntimeError, ValueError):
    """A machine fails on every picture."""


class WrongClasses(ValueError):
    """Answers and the names of classes do not belong together, so that all answers of the machine are in doubt."""


def unanswered(path: str | Path, shape: tuple[int, ...], error: Exception) -> str:
    """Say in a sentence that a machine fails on a picture of ``shape`` (H, W, 3)."""
    reason = next(iter(str(error).strip().splitlines()), '') or type(error).__name__
    return f'{path} ({shape[1]}x{shape[0]} pixels) gets no answer: {reason}'


def check_answer(answer: Prediction, classes: Sequence[str] | None, size: tuple[int, int]) -> None:
    """Make sure that an answer can be that of a machine with such classes to a picture of ``size`` (H, W) pixels.

    Raises:
        WrongClasses: it speaks of classes that the machine does not name.
        ValueError: scores outside [0, 1], boxes that end before they begin, masks or a map of other sizes.
    """
    if isinstance(answer, ClassPrediction):
        if classes is not None and len(classes) != len(answer.probabilities):
            raise WrongClasses(
                f'There are {len(answer.probabilities)} probabilities, but {len(classes)} names of classes. Correct '
                'classes= in its config.'
            )
    elif isinstance(answer, SegmentationPrediction):
        if answer.labels.shape != size:
            raise ValueError(
                f'The map of classes has {_pixels(answer.labels.shape)} pixels; it must have those of the picture.'
            )
        _check_labels(answer.labels, classes, 'pixel')
    else:
        _check_detections(answer, classes, size)


def _check_detections(answer: DetectionPrediction, classes: Sequence[str] | None, size: tuple[int, int]) -> None:
    if not len(answer.scores):
        return
    _check_labels(answer.labels, classes, 'detection')
    low, high = float(answer.scores.min()), float(answer.scores.max())
    if low < -_SCORE_SLACK or high > 1 + _SCORE_SLACK:
        raise ValueError(
            f'Scores must lie in [0, 1]; these go from {low:.4g} to {high:.4g}. Are they percent, or logits?'
        )
    turned = (answer.boxes[:, 2:] < answer.boxes[:, :2] - _PIXEL_SLACK).any(1)
    if turned.any():
        raise ValueError(
            f'Box {answer.boxes[int(turned.argmax())].tolist()} ends before it begins. Boxes are left, top, right, '
            'bottom in pixels, not a corner with width and height.'
        )
    for mask in answer.masks or ():
        if tuple(mask['size']) != size:
            raise ValueError(
                f'A mask has {_pixels(mask["size"])} pixels; it must have those of the picture. Enlarge masks to it.'
            )


def _check_labels(labels: np.ndarray, classes: Sequence[str] | None, kind: str) -> None:
    low, high = int(labels.min()), int(labels.max())
    if classes is not None and (low < 0 or high >= len(classes)):
        raise WrongClasses(
            f'The class of a {kind} is {low if low < 0 else high}, but it names {len(classes)} classes, from 0. '
            'Correct classes= in its config: a name for each index, one for the background too where that is counted.'
        )


def _pixels(shape: Sequence[int]) -> str:
    return f'{shape[1]}x{shape[0]}'


class Answering:
    """What completes the rows of a run with the answers of a machine.

    Args:
        machine: runs on the pictures.
        true_classes: source -> class index (cls), or None.
        parameters: options of :func:`miqa.machines.responses.answer_columns`.
    """

    def __init__(self, machine: Machine, true_classes: Mapping[str, int] | None, parameters: dict):
        self.machine, self.true_classes, self.parameters = machine, true_classes, parameters
        # The machine does not fail at every picture; number of answers that were not valid, until one was.
        self.works, self.invalid, self.last = False, 0, ''
        self.valid, self.empty = False, 0

    def complete(self, rows: list[dict], batch: list) -> list[dict]:
        """Return identifying columns ``rows`` with those of the answers, or with the reason why one is missing.

        ``batch`` are those that could be prepared, in the same order.

        Raises:
            ValueError: an answer cannot be kept: it is for another task, or of classes that the machine does not name.
            MachineFailed: the machine fails on every picture.
            MemoryError: there is not enough memory.
        """
        if not batch and not self.works and any(row['width'] for row in rows):
            # Not one of these whole pictures could be prepared: is it they, or the machine?
            try:
                self.machine.predict([_ordinary()])
            except Exception as error:
                raise self._failure(error) from error
        sound = [row for row in rows if row['error'] is None]
        answers = iter(self._predict(batch, [(row['height'], row['width']) for row in sound]))
        complete = []
        for row in rows:
            if row['error'] is None:
                row = self._with_answer(row, next(answers))
            if row['error'] is not None:
                LOGGER.warning('%s', row['error'])
            complete.append(row)
        return complete

    def _with_answer(self, row: dict, answer: Any) -> dict:
        if isinstance(answer, Exception) and not isinstance(answer, WrongClasses):
            return {**row, 'error': unanswered(row['filename'], (row['height'], row['width']), answer)}
        true_class = None if self.true_classes is None else self.true_classes[row['source']]
        try:
            if isinstance(answer, WrongClasses):
                raise answer
            return {**row, **answer_columns(answer, self.machine.task, true_class, self.parameters)}
        except ValueError as error:
            raise ValueError(f'{self.machine.name} on {row["filename"]}: {error}') from error

    def _predict(self, batch: list, sizes: list[tuple[int, int]]) -> list:
        """Return for each prepared picture its prediction, or the exception that it raised."""
        if not batch:
            return []
        try:
            answers = list(self.machine.predict_prepared(batch))
        except torch.OutOfMemoryError as error:
            raise MachineFailed(
                f'{self.machine.name}: the memory of {self.machine.device} does not suffice for {len(batch)} pictures '
                'at a time. Take fewer: --batch-size 1, say.'
            ) from error
        except MemoryError:
            raise
        except Exception as error:  # of any library
            self._check(error)
            if len(batch) == 1:
                return [error]
            return [self._predict([item], [size])[0] for item, size in zip(batch, sizes, strict=True)]
        if len(answers) != len(batch):
            raise ValueError(f'{self.machine.name} returned {len(answers)} predictions for {len(batch)} images.')
        self.works = True
        return [self._checked(answer, size) for answer, size in zip(answers, sizes, strict=True)]

    def _checked(self, answer: Any, size: tuple[int, int]) -> Any:
        if not isinstance(answer, Prediction):
            return answer  # what keeps it says what it must be
        try:
            check_answer(answer, self.machine.classes, size)
        except WrongClasses as error:
            return error
        except ValueError as error:
            self.invalid, self.last = self.invalid + 1, str(error)
            if self.invalid >= PATIENCE:
                self.check_some_valid()
            return error
        # That nothing was found in a picture tells nothing about the scores and boxes of others.
        if isinstance(answer, DetectionPrediction) and not len(answer.scores):
            self.empty += 1
        else:
            self.valid = True
        return answer

    def check_some_valid(self) -> None:
        """Raise a ValueError if the machine has given answers that are not valid, few empty ones, and no other."""
        if not self.valid and self.invalid > self.empty:
            raise ValueError(
                f'{self.machine.name} has given {self.invalid} answers that are not valid, and none that is. The last: '
                f'{self.last}'
            )

    def _check(self, error: Exception) -> None:
        """Raise ``error`` where the machine fails at an ordinary picture, too."""
        if not self.works:
            try:
                self.machine.predict([_ordinary()])
            except Exception:  # noqa: BLE001  the first one says what is wrong
                raise self._failure(error) from error
            self.works = True

    def _failure(self, error: Exception) -> MachineFailed:
        message = ' '.join(str(error).split())
        kind = '' if isinstance(error, ValueError) else f'{type(error).__name__}: '
        return MachineFailed(f'{self.machine.name} fails on every picture. {kind}{message[:500]}')


def _ordinary() -> np.ndarray:
    return np.full((96, 128, 3), 127, np.uint8)
