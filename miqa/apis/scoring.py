"""The scorer interface of videos, cameras and the page: an object with ``assess`` and finite scores."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from .diagnosis import Diagnosis
from .quality import DEFAULT_THRESHOLDS, Thresholds

#: What results of frames hold of a :class:`~miqa.apis.diagnosis.Diagnosis`: in words, then one by one.
DAMAGE_COLUMNS = ('damage', 'damage_kind', 'damage_strength', 'damage_place')


class Scorer(Protocol):
    """Anything that scores pictures: a :class:`miqa.apis.model.MIQAModel`, or a stand-in with the same method."""

    def assess(self, images: list[Any], /) -> list[float]:
        """Score uint8 pictures of shape (H, W, 3), BGR; higher is better."""


def load_scorer(model: str | os.PathLike | Scorer | None = None, **options) -> Scorer:
    """Return ``model`` where it is an object with a method ``assess``, else a :class:`miqa.apis.model.MIQAModel`.

    ``options`` are further arguments of ``MIQAModel``; those that are None keep its defaults.

    Raises:
        ValueError: both words for the model are used, or options are given for an object that is a model already.
        TypeError: the object does not score; or there is no such option.
    """
    named = {name: value for name, value in options.items() if value is not None}
    if model is None or isinstance(model, (str, os.PathLike)):
        from .model import MIQAModel

        return MIQAModel(model, **named)
    if not callable(getattr(model, 'assess', None)):
        raise TypeError(f'A model is a name, a path, or an object with a method assess; not a {type(model).__name__}.')
    if named:
        raise ValueError(f'{", ".join(named)}: unknown, or cannot be changed for a loaded model; leave out.')
    return model


class ScoredImage(NamedTuple):
    """A score, and what is wrong with the picture, of a model that can tell; else None."""

    score: float
    damage: Diagnosis | None

    def columns(self) -> dict:
        """Return ``score`` and, of a model that can tell, :data:`DAMAGE_COLUMNS`."""
        if self.damage is None:
            return {'score': self.score}
        damage = (str(self.damage), self.damage.kind, self.damage.strength, self.damage.place)
        return {'score': self.score, **dict(zip(DAMAGE_COLUMNS, damage, strict=True))}


def score_images(model: Scorer, images: Sequence[Any], subject: str = 'a picture') -> list[float]:
    """Score a batch of pictures, uint8 BGR (H, W, 3) of any sizes, and check the answer.

    ``subject`` says in errors what the pictures are.

    Raises:
        ValueError: the model gave a wrong number of scores, or one that is not finite.
        TypeError: the model did not give numbers.
    """
    return [image.score for image in diagnose_images(model, images, subject, diagnose=False)]


def diagnose_images(
    model: Scorer, images: Sequence[Any], subject: str = 'a picture', diagnose: bool = True
) -> list[ScoredImage]:
    """Score a batch as :func:`score_images` does, and say what is wrong with each picture where the model can tell.

    A model that can tell has a true ``can_diagnose``, and an ``assess`` that takes ``diagnose=True`` and then returns
    objects with ``score`` and ``damage``. With ``diagnose=False`` it is not asked.
    """
    if diagnose and getattr(model, 'can_diagnose', False):
        assess: Any = model.assess
        answers = [ScoredImage(float(one.score), one.damage) for one in assess(list(images), diagnose=True)]
    else:
        scores = model.assess(list(images))
        try:
            answers = [ScoredImage(float(score), None) for score in scores]
        except (TypeError, ValueError):
            raise TypeError(
                f'{type(model).__name__}.assess is given a list of pictures and must return as many numbers; it '
                f'returned {repr(scores)[:60]}.'
            ) from None
    if len(answers) != len(images):
        raise ValueError(f'The model gave {len(answers)} scores for {len(images)} pictures ({subject}).')
    if not all(math.isfinite(answer.score) for answer in answers):
        raise ValueError(
            f'The model gave a score that is not a finite number for {subject}: '
            f"{[answer.score for answer in answers]}. Check its weights, or try precision='fp32'."
        )
    return answers


def describe_scorer(model: Scorer) -> dict:
    """Return method, task, label and exact weights (``identity``) of a model, as far as it names them."""
    spec = getattr(model, 'spec', None)
    facts = {name: getattr(spec, name, None) for name in ('method', 'task', 'label')}
    facts['identity'] = getattr(model, 'identity', None)
    return {name: value for name, value in facts.items() if value is not None}


def scorer_line(description: dict) -> str:
    """Return one line for people of what :func:`describe_scorer` found; empty for an unknown scorer."""
    return ', '.join(description[name] for name in ('method', 'task', 'label') if name in description)


def scorer_thresholds(model: Scorer) -> Thresholds:
    """Return where the model's quality changes its name, or the usual places."""
    return Thresholds(*getattr(model, 'thresholds', DEFAULT_THRESHOLDS))
