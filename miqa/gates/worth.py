"""Value of a score as a filter: rank correlation, and the gain of dropping the lowest, with intervals.

Pictures of one source share its scene, so every interval is a bootstrap over sources
(:mod:`miqa.benchmark.bootstrap` says where that comes from).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from miqa.benchmark.bootstrap import BootstrapScores, SourceBootstrap, paired_difference, percentile_interval
from miqa.running import generator_for

#: Shares of the lowest-scored pictures whose dropping the curves show; the headline is at the second.
REMOVED = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
HEADLINE = 0.2
RESAMPLES = 200
RANDOM = 'random order'

#: What is measured of a set of pictures: their weights, float64 (N,), not negative, to a number.
Measure = Callable[[np.ndarray], float]


class Interval(NamedTuple):
    """A value with the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        interval = 'no interval' if math.isnan(self.low) else f'{self.low:.3f}, {self.high:.3f}'
        return f'{self.value:.3f} [{interval}]'

    @property
    def is_above_zero(self) -> bool:
        """True if the whole interval lies above 0."""
        return bool(self.low > 0)


@dataclass
class Worth:
    """What one score is worth."""

    srcc: Interval  # its rank correlation with the outcomes
    curve: np.ndarray  # of the measure on what is kept, one value for each of :data:`REMOVED`
    gain: Interval  # of the measure at :data:`HEADLINE` above that of all pictures
    resamples: BootstrapScores | None  # of the correlation, for differences
    gains: np.ndarray  # of the gain, float64 (B,), for differences


def mean_outcome(outcomes: np.ndarray) -> Measure:
    """Return the measure that is the mean outcome of the pictures, (N,)."""

    def measure(weights: np.ndarray) -> float:
        return float(weights @ outcomes / weights.sum())

    return measure


def kept_weights(scores: np.ndarray, weights: np.ndarray, removed: float) -> np.ndarray:
    """Return the weights (N,) of what stays when the lowest-scored ``removed`` share of the weight goes.

    At the boundary a picture stays in part, so that the share is exact.
    """
    order = np.argsort(scores, kind='stable')
    before = np.cumsum(weights[order]) - weights[order]
    left = np.empty_like(weights)
    left[order] = np.clip(before + weights[order] - removed * weights.sum(), 0, weights[order])
    return left


def worth_of(
    scores: Mapping[str, np.ndarray], outcomes: np.ndarray, sources: np.ndarray, measure: Measure | None = None
) -> dict[str, Worth]:
    """Say what each of several scores (N,), finite, higher is better, is worth, and a random order.

    ``outcomes`` are float64 (N,) in [0, 1]; pictures of one source show the same scene; ``measure`` is that of what is
    kept, None for the mean outcome.

    Raises:
        ValueError: there are fewer than two sources.
    """
    measure = measure or mean_outcome(outcomes)
    boot = SourceBootstrap(outcomes, sources, resamples=RESAMPLES)
    _, source_numbers = np.unique(sources, return_inverse=True)
    generator = generator_for('order of equal scores', len(outcomes))
    chance = generator.permutation(len(outcomes)).astype(np.float64)
    results = {}
    ones = np.ones(len(outcomes))
    resampled = boot.weights[:, source_numbers].astype(np.float64)
    starts = np.array([measure(weights) for weights in resampled])
    for name, values in {**scores, RANDOM: chance}.items():
        # Of equal scores none is better: chance decides, as it would in use.
        ranks = np.lexsort((chance, values)).argsort().astype(np.float64)
        if np.ptp(values) > 0:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')  # a resample without spread is NaN, and is counted as such
                bootstrap = boot.scores(values, None)
            srcc = Interval(bootstrap.values['SRCC'], *bootstrap.interval('SRCC'))
        else:
            bootstrap, srcc = None, Interval(0.0, float('nan'), float('nan'))
        curve = np.array([measure(kept_weights(ranks, ones, share)) for share in REMOVED])
        resampled_values = np.array([measure(kept_weights(ranks, weights, HEADLINE)) for weights in resampled])
        gains = resampled_values - starts
        value = curve[REMOVED.index(HEADLINE)] - curve[0]
        results[name] = Worth(srcc, curve, Interval(float(value), *percentile_interval(gains)), bootstrap, gains)
    return results


def difference(first: Worth, second: Worth) -> tuple[Interval, Interval]:
    """Return first minus second in rank correlation and in gain, by the same resamples."""
    gain = Interval(first.gain.value - second.gain.value, *percentile_interval(first.gains - second.gains))
    if first.resamples is None or second.resamples is None:
        unknown = float('nan')
        return Interval(first.srcc.value - second.srcc.value, unknown, unknown), gain
    paired = paired_difference(first.resamples, second.resamples)
    return Interval(paired.value, paired.low, paired.high), gain


class PooledPrecision:
    """COCO's average precision at an overlap of .50 over a set of pictures together, for any weights of them.

    ``pycocotools`` matches detections with objects once; what a set of pictures has follows from cumulative sums.

    Args:
        evaluations: of each picture, by class: scores, whether each detection is right (1), wrong (0) or ignored (-1),
            and the number of objects.
    """

    #: Recalls at which COCO reads the precision.
    RECALLS = np.linspace(0, 1, 101)

    def __init__(self, evaluations: Sequence[Mapping[int, tuple[np.ndarray, np.ndarray, int]]]):
        self.count = len(evaluations)
        columns: dict[int, tuple[list, list, list, np.ndarray]] = {}
        for picture, classes in enumerate(evaluations):
            for number, (scores, right, objects) in classes.items():
                column = columns.setdefault(number, ([], [], [], np.zeros(self.count)))
                used = right >= 0
                column[0].append(scores[used])
                column[1].append(right[used].astype(np.float64))
                column[2].append(np.full(int(used.sum()), picture))
                column[3][picture] = objects
        self._classes = []
        for all_scores, all_right, pictures, counts in columns.values():
            if not counts.any():
                continue  # a class without objects has no precision, as in COCO
            order = np.argsort(-np.concatenate(all_scores), kind='mergesort')
            self._classes.append((np.concatenate(all_right)[order], np.concatenate(pictures)[order], counts))

    def __call__(self, weights: np.ndarray) -> float:
        """Return the average precision of pictures with such weights (N,); NaN where none has an object."""
        values = []
        for right, pictures, objects in self._classes:
            total = float(weights @ objects)
            if total <= 0:
                continue
            weight = weights[pictures]
            hits = np.cumsum(weight * right)
            counts = np.cumsum(weight)
            precision = hits / np.maximum(counts, 1e-12)
            precision = np.maximum.accumulate(precision[::-1])[::-1]
            positions = np.searchsorted(hits / total, self.RECALLS - 1e-12)
            values.append(np.where(positions < len(precision), np.append(precision, 0.0)[positions], 0.0).mean())
        return float(np.mean(values)) if values else float('nan')
