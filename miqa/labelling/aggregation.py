"""From the scores of single machines to a label of the image: pure functions of arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Summary(NamedTuple):
    """Scores of M machines for N images, summarised; NaN where no machine has a score.

    Attributes:
        weighted: float64 (N,), weighted average over the machines.
        mean: float64 (N,), plain average.
        std: float64 (N,), standard deviation over the machines (divided by their number).
        votes: int64 (N,), how many machines have a score.
    """

    weighted: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    votes: np.ndarray


class Aggregation:
    """Average of machines' scores that are added one machine at a time, so that memory does not grow with machines.

    Formulas, over the machines m that have a score ``s_mi`` for image i (the others abstain)::

        weighted_i = sum_m w_m s_mi / sum_m w_m        mean_i = sum_m s_mi / n_i
        std_i = sqrt(sum_m (s_mi - mean_i)^2 / n_i)
    """

    def __init__(self, count: int):
        self.weighted, self.weights = np.zeros(count), np.zeros(count)
        self.mean, self.squares = np.zeros(count), np.zeros(count)
        self.votes = np.zeros(count, np.int64)

    def add(self, scores: np.ndarray, weight: float) -> None:
        """Add one machine's scores, float (N,), NaN where it abstains.

        Raises:
            ValueError: the weight is not positive, or the number of scores differs.
        """
        if not weight > 0:
            raise ValueError(f'The weight of a machine must be positive, not {weight}.')
        if scores.shape != self.mean.shape:
            raise ValueError(f'Expected {len(self.mean)} scores, got an array of shape {scores.shape}.')
        scored = np.flatnonzero(~np.isnan(scores))
        values = scores[scored].astype(np.float64)
        self.weighted[scored] += weight * values
        self.weights[scored] += weight
        self.votes[scored] += 1
        # Welford's update keeps the variance exact where all machines agree.
        step = values - self.mean[scored]
        self.mean[scored] += step / self.votes[scored]
        self.squares[scored] += step * (values - self.mean[scored])

    def summary(self) -> Summary:
        """Return what has been added so far."""
        none = self.votes == 0
        with np.errstate(invalid='ignore'):
            weighted = self.weighted / self.weights
            std = np.sqrt(np.maximum(self.squares, 0) / self.votes)
        # Rounding may put an average of ones a hair above 1.
        weighted = np.clip(weighted, 0, 1)
        return Summary(
            np.where(none, np.nan, weighted), np.where(none, np.nan, self.mean), np.where(none, np.nan, std), self.votes
        )


def summarise(scores: np.ndarray, weights: np.ndarray) -> Summary:
    """Summarise scores of M machines, float (M, N) in [0, 1] or NaN, with ``weights`` (M,)."""
    total = Aggregation(scores.shape[1])
    for row, weight in zip(scores, weights, strict=True):
        total.add(np.asarray(row, np.float64), float(weight))
    return total.summary()


def composite(consistency: np.ndarray, accuracy: np.ndarray) -> np.ndarray:
    """Return ``0.5 * consistency + 0.5 * accuracy`` (the paper's composite label)."""
    return 0.5 * np.asarray(consistency) + 0.5 * np.asarray(accuracy)
