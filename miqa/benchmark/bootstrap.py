"""Bootstrap of the four scores by source image.

The 250 versions of a source share its content, so they are not independent: a resample draws whole sources with
replacement (the cluster bootstrap; Davison and Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8).
Drawing sources is a reweighting: source ``s`` counts ``w_s`` times. Values are therefore sorted once, and

* PLCC and RMSE of a resample follow from sums over each source;
* ranks of a resample are cumulative sums of weights over the fixed order (average rank for ties);
* KRCC is a quadratic form ``w' C w``, see :mod:`miqa.benchmark.concordance`.

Each number is what scipy gives for the resample written out in full.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from miqa.evaluation import quality_correlations
from miqa.evaluation.mapping import fit_mapping
from miqa.running import generator_for

from .concordance import MAX_GROUP, concordance_matrix
from .weighted_ranks import SortedValues

#: Above this number of sources the concordance matrix (8 bytes an entry) costs more than sorting each resample.
MAX_SOURCES = 4096


@dataclass(frozen=True)
class BootstrapScores:
    """Scores of one method on a test set and on its resamples."""

    values: dict[str, float]  # score name -> its value on the test set
    #: score name -> float64 (B,), its value in each resample; NaN where it is not defined there (all predictions or
    #: labels of the resample are equal).
    resamples: dict[str, np.ndarray]

    def interval(self, name: str, confidence: float = 0.95) -> tuple[float, float]:
        """Return :func:`percentile_interval` of the score ``name``."""
        return percentile_interval(self.resamples[name], confidence)


@dataclass(frozen=True)
class PairedDifference:
    """Difference between two methods in one score, on the same resamples."""

    value: float  # score of the first minus score of the second
    low: float  # lower end of the percentile interval
    high: float  # upper end
    #: two-sided: twice the smaller share of resamples on either side of 0, at least ``1 / (B + 1)`` a side.
    p_value: float

    @property
    def is_one(self) -> bool:
        """True if the interval leaves out 0: only then do the data show a difference."""
        return bool(self.low > 0 or self.high < 0)


class SourceBootstrap:
    """Resamples of one test set, the same for every method that is compared on it.

    Args:
        labels: shape (N,), finite.
        sources: name of each image's source, shape (N,).
        resamples: number B of resamples.
        kendall_resamples: how many of them also give KRCC where there are too many sources for the matrix.
        seed: of the resamples, which depend on it, on ``resamples`` and on the number of sources.

    Raises:
        ValueError: shapes differ, or there are fewer than 2 sources.
    """

    def __init__(
        self, labels: ArrayLike, sources: ArrayLike, resamples: int = 1000, kendall_resamples: int = 200, seed: int = 0
    ):
        labels, sources = np.asarray(labels, np.float64).ravel(), np.asarray(sources).ravel()
        if labels.shape != sources.shape:
            raise ValueError(f'Every label needs a source; there are {labels.size} labels and {sources.size} sources.')
        self.sources, codes = np.unique(sources, return_inverse=True)
        count = len(self.sources)
        if count < 2:
            raise ValueError(f'A bootstrap by source needs at least 2 source images; there is {count}.')
        self._order = np.argsort(codes, kind='stable')
        self._codes = codes[self._order]
        self._starts = np.flatnonzero(np.diff(self._codes, prepend=-1))
        self.labels = labels[self._order]
        self.kendall_resamples = kendall_resamples
        rng = generator_for('bootstrap by source', seed, count, resamples)
        #: int64 (B, S): how often each source is drawn in each resample.
        self.weights = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
        self._label_ranks = SortedValues(self.labels, self._codes)

    def scores(self, predictions: ArrayLike, mapping: str | None = 'linear') -> BootstrapScores:
        """Score predictions (N,), in the order of the labels, on the test set and on every resample.

        The linear ``mapping`` is fitted anew in each resample, a logistic one once, on the whole test set.

        Raises:
            ValueError: as :func:`miqa.evaluation.quality_correlations` does.
        """
        predictions = np.asarray(predictions, np.float64).ravel()
        if predictions.shape != self.labels.shape:
            raise ValueError(f'There are {predictions.size} predictions for {self.labels.size} labels.')
        predictions = predictions[self._order]
        values = quality_correlations(predictions, self.labels, mapping)
        ranks = SortedValues(predictions, self._codes)
        srcc, untied = self._rank_correlations(ranks)
        plcc, rmse = self._linear_scores(predictions, mapping)
        krcc = self._kendall(predictions, ranks, untied)
        return BootstrapScores(values, {'SRCC': srcc, 'PLCC': plcc, 'KRCC': krcc, 'RMSE': rmse})

    def _rank_correlations(self, ranks: SortedValues) -> tuple[np.ndarray, np.ndarray]:
        """Return SRCC (B,), and (B,) the geometric mean of the ordered pairs that x and that y leave untied."""
        label_group = self._label_ranks.group[ranks.order]
        srcc, untied = np.empty(len(self.weights)), np.empty(len(self.weights))
        for b, weights in enumerate(self.weights.astype(np.float64)):
            x, x_weights, item_weights = ranks.centred_ranks(weights)
            y, y_weights, _ = self._label_ranks.centred_ranks(weights)
            products = y[label_group]
            products *= item_weights
            covariance = np.dot(products, x if ranks.untied else x[ranks.group_sorted])
            variances = np.dot(x_weights, x * x) * np.dot(y_weights, y * y)
            srcc[b] = covariance / np.sqrt(variances) if variances > 0 else np.nan
            pairs = item_weights.sum() ** 2
            untied[b] = np.sqrt((pairs - np.dot(x_weights, x_weights)) * (pairs - np.dot(y_weights, y_weights)))
        return srcc, untied

    def _linear_scores(self, predictions: np.ndarray, mapping: str | None) -> tuple[np.ndarray, np.ndarray]:
        """Return PLCC (B,) and RMSE (B,)."""
        labels = self.labels - self.labels.mean()
        fitted = fit_mapping(predictions, self.labels, mapping)(predictions)
        # For a linear map PLCC is that of the raw predictions, sign included.
        x = fitted if mapping in ('logistic4', 'logistic5') else predictions
        x = (x - x.mean()) / x.std()
        columns = [np.ones_like(x), x, labels, x * x, labels * labels, x * labels, (fitted - self.labels) ** 2]
        sums = np.stack([np.add.reduceat(column, self._starts) for column in columns], axis=1)
        n, sx, sy, sxx, syy, sxy, error = (self.weights @ sums).T
        x_variance, y_variance = sxx - sx * sx / n, syy - sy * sy / n
        # Rounding leaves a hair of variance in a resample of equal values.
        tiny = 1e-12 * n
        defined = (x_variance > tiny) & (y_variance > tiny * self.labels.var())
        with np.errstate(invalid='ignore', divide='ignore'):
            plcc = np.where(defined, (sxy - sx * sy / n) / np.sqrt(x_variance * y_variance), np.nan)
        if mapping == 'linear':
            return plcc, np.sqrt(np.maximum(y_variance, 0) / n * np.maximum(1 - plcc**2, 0))
        return plcc, np.sqrt(error / n)

    def _kendall(self, predictions: np.ndarray, ranks: SortedValues, untied: np.ndarray) -> np.ndarray:
        """Return KRCC (B,)."""
        sizes = np.diff(np.append(self._starts, len(predictions)))
        if len(sizes) <= MAX_SOURCES and sizes.max() <= MAX_GROUP:
            matrix = concordance_matrix(ranks.group, self._label_ranks.group, self._starts)
            weights = self.weights.astype(np.float64)
            with np.errstate(invalid='ignore', divide='ignore'):
                return np.einsum('bs,bs->b', weights @ matrix, weights) / np.where(untied > 0, untied, np.nan)
        from scipy import stats  # it takes a second to import

        return np.array(
            [
                stats.kendalltau(
                    np.repeat(predictions, weights[self._codes]), np.repeat(self.labels, weights[self._codes])
                ).statistic
                for weights in self.weights[: self.kendall_resamples]
            ]
        )


def percentile_interval(resamples: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    """Return the percentile interval of resampled values, NaN twice where more than 1 in 20 is not defined."""
    finite = resamples[~np.isnan(resamples)]
    if len(finite) < 0.95 * len(resamples):
        return float('nan'), float('nan')
    low, high = np.quantile(finite, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def paired_difference(
    first: BootstrapScores, second: BootstrapScores, name: str = 'SRCC', confidence: float = 0.95
) -> PairedDifference:
    """Compare two methods that were scored on the same resamples.

    Raises:
        ValueError: they were not.
    """
    a, b = first.resamples[name], second.resamples[name]
    if a.shape != b.shape:
        raise ValueError(f'A paired bootstrap needs the same resamples of both methods, not {len(a)} and {len(b)}.')
    differences = a - b
    finite = differences[~np.isnan(differences)]
    sides = [
        (np.count_nonzero(finite <= 0) + 1) / (len(finite) + 1),
        (np.count_nonzero(finite >= 0) + 1) / (len(finite) + 1),
    ]
    low, high = percentile_interval(differences, confidence)
    return PairedDifference(first.values[name] - second.values[name], low, high, float(min(1.0, 2 * min(sides))))
