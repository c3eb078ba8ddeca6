"""Quality words for scores, and thresholds that keep a given share of vision accuracy."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

QUALITIES = ('high', 'medium', 'low')


class Thresholds(NamedTuple):
    """Where quality changes its name.

    The defaults lie midway between the examples of the paper's README, which calls 0.892 high, 0.634 medium and
    0.298 low. They are a convention; :func:`fit_thresholds` ties them to what a vision model achieves.

    Attributes:
        high: lowest score that is called high.
        medium: lowest score that is called medium; below it quality is low.
    """

    high: float = 0.76
    medium: float = 0.47

    def checked(self) -> Thresholds:
        """Return these thresholds if they are in order; else raise a ValueError."""
        for name, value in self._asdict().items():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e6:
                raise ValueError(f'The threshold of {name} must be a number, not {str(value)[:40]!r}.')
        if not self.high >= self.medium:
            raise ValueError(f'The threshold of high ({self.high}) must not be below that of medium ({self.medium}).')
        return self


DEFAULT_THRESHOLDS = Thresholds()


def quality_of(score: float, thresholds: Thresholds = DEFAULT_THRESHOLDS) -> str:
    """Return ``high``, ``medium`` or ``low`` for a score.

    Raises:
        ValueError: the score is not a number.
    """
    if score != score:
        raise ValueError('A score that is not a number has no quality.')
    if score >= thresholds.high:
        return 'high'
    return 'medium' if score >= thresholds.medium else 'low'


def fit_thresholds(
    scores: ArrayLike, accuracy: ArrayLike, high: float = 0.95, medium: float = 0.8, clean_accuracy: float | None = None
) -> Thresholds:
    """Choose thresholds on a test set so that what lies above them keeps a wanted share of vision accuracy.

    The threshold of share s is the lowest score t for which the images with a score of at least t are solved, on
    average, with at least ``s * clean_accuracy``.

    Args:
        scores: predicted quality, shape (N,), higher is better.
        accuracy: what the vision model achieves on each image, shape (N,): 0 or 1 for a classifier, or an average
            precision.
        high: share of accuracy that images called high must keep, in (0, 1].
        medium: share that images called medium or high must keep together, in (0, high].
        clean_accuracy: the vision model's accuracy on undistorted images, of which the shares are taken; None for
            its mean accuracy on the tenth of the images with the highest scores.

    Raises:
        ValueError: shapes differ, values are not finite, shares are out of range, or a share is reached by no
            threshold.
    """
    scores = np.asarray(scores, np.float64).ravel()
    accuracy = np.asarray(accuracy, np.float64).ravel()
    if scores.shape != accuracy.shape or scores.size == 0:
        raise ValueError(f'One accuracy per score is needed; got {scores.size} scores, {accuracy.size} accuracies.')
    if not (np.isfinite(scores).all() and np.isfinite(accuracy).all()):
        raise ValueError('Scores and accuracies must be finite numbers.')
    if not 0 < medium <= high <= 1:
        raise ValueError(f'Shares must satisfy 0 < medium <= high <= 1; got medium {medium}, high {high}.')
    order = np.argsort(-scores, kind='stable')
    scores, accuracy = scores[order], accuracy[order]
    if clean_accuracy is None:
        clean_accuracy = float(accuracy[: max(1, round(0.1 * len(accuracy)))].mean())
    mean_accuracy = np.cumsum(accuracy) / np.arange(1, len(accuracy) + 1)
    # Images that share a score are on the same side of any threshold.
    ends = np.append(scores[1:] != scores[:-1], True)
    fitted = {}
    for name, share in (('high', high), ('medium', medium)):
        fit = np.flatnonzero(ends & (mean_accuracy >= share * clean_accuracy - 1e-12))
        if not fit.size:
            raise ValueError(
                f'No threshold keeps {share:g} of the accuracy {clean_accuracy:.4g}; the highest is '
                f'{mean_accuracy[ends].max():.4g}. Lower the share.'
            )
        fitted[name] = float(scores[fit[-1]])
    return Thresholds(**fitted).checked()
