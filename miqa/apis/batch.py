"""Score many pictures in one call."""

from __future__ import annotations

import os
from collections.abc import Sequence

from .inputs import Picture
from .model import MIQAModel
from .scoring import Scorer, load_scorer, score_images


def batch_assess(
    paths: Sequence[Picture], model: str | os.PathLike | Scorer | None = None, *, errors: str = 'raise', **options
) -> list[float | None]:
    """Score pictures in batches: ``batch_assess(paths, 'ra-miqa')``; for very many use :meth:`MIQAModel.assess_all`.

    Args:
        paths: paths, or pictures in any form that :meth:`MIQAModel.assess` takes.
        model: a name, a path or an object, as for :class:`MIQAModel`; or any object with a method ``assess``.
        errors: ``raise`` at the first picture that cannot be read, or ``none`` to put None in its place.
        options: further arguments of :class:`MIQAModel`: ``task``, ``label``, ``weights``, ``device``, ...

    Returns:
        Raw regression values, nominally 0 to 1, higher is better, in the order of ``paths``.

    Raises:
        ValueError: ``errors`` is neither; and what :class:`MIQAModel` and :meth:`MIQAModel.assess` raise.
        TypeError: ``paths`` is a single path.
    """
    if errors not in ('raise', 'none'):
        raise ValueError(f"errors must be 'raise' or 'none', not {errors!r}.")
    if isinstance(paths, (str, bytes)):
        raise TypeError(
            "batch_assess takes a list of pictures, such as sorted(Path('photos').glob('*.jpg')); for one use "
            'MIQAModel(...).assess(picture).'
        )
    scorer = load_scorer(model, **options)
    if not isinstance(scorer, MIQAModel):
        return list(score_images(scorer, paths))
    scores: list[float | None] = []
    for assessment in scorer.assess_all(paths):
        if assessment.error is not None and errors == 'raise':
            raise assessment.error
        scores.append(assessment.score)
    return scores
