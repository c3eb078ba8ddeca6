"""Thresholds on a score with a guarantee, from a finite calibration set.

The search is Learn then Test (Angelopoulos, Bates, Candes, Jordan, Lei: arXiv 2110.01052): each candidate threshold is
a hypothesis "what passes is worse than the target", tested in fixed sequences from strict to lax, so that the chance of
any wrong promise is at most 1 - confidence. The p-value is the exact binomial one; where pictures share a source, or
outcomes are not only 0 and 1, it is the binomial one of an effective sample size (Korn and Graubard, Survey Methodology
24, 1998, 193-201), which counts pictures of one source as what they are worth together.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .distributions import incomplete_beta, normal_quantile, student_quantile

CANDIDATES = 200  # Thresholds that are tried, spread evenly over the calibration set's ranks
#: Sequences of tests, which share the permitted error; the first begins at 1.5 times the least number of pictures
#: that could promise anything. Both were chosen on simulated sets: one sequence often ends at once by bad luck.
SEQUENCES, FIRST_START = 3, 1.5


class Evidence(NamedTuple):
    """What a set of outcomes says of their mean.

    Attributes:
        n: pictures.
        mean: of their outcomes.
        clusters: independent groups of pictures.
        effective: number of independent pictures of outcome 0 or 1 that would tell as much about the mean.
        binary: whether every outcome is 0 or 1.
    """

    n: float
    mean: float
    clusters: float
    effective: float
    binary: bool

    def times(self, factor: float) -> Evidence:
        """Return the evidence of ``factor`` times as many pictures and groups of the same kind."""
        return self._replace(n=self.n * factor, clusters=self.clusters * factor, effective=self.effective * factor)


def weigh(outcomes: np.ndarray, clusters: np.ndarray | None, alpha: float) -> Evidence:
    """Weigh outcomes, float64 (N,) in [0, 1], of pictures that may belong to groups, int64 (N,) from 0, or None."""
    n = len(outcomes)
    mean = float(outcomes.mean())
    binary = bool(((outcomes == 0) | (outcomes == 1)).all())
    if clusters is None:
        count, sums = n, outcomes - mean
    else:
        sums = np.bincount(clusters, outcomes - mean).astype(np.float64)
        count = int(np.count_nonzero(np.bincount(clusters)))
    if clusters is None and binary:
        return Evidence(n, mean, n, n, binary)
    if count < 2:
        return Evidence(n, mean, count, count, binary)
    variance = count / (count - 1) * float(sums @ sums) / n**2
    if variance <= 0 or not 0 < mean < 1:
        # Nothing differs, so how alike the members of a group are cannot be seen: each group counts as one.
        return Evidence(n, mean, count, count, binary)
    # Korn and Graubard: binomial variance by observed variance, and Student's factor for few groups.
    effective = mean * (1 - mean) / variance * (normal_quantile(alpha) / student_quantile(alpha, count - 1)) ** 2
    return Evidence(n, mean, count, min(effective, n) if binary else effective, binary)


def p_value(evidence: Evidence, target: float) -> float:
    """Return the chance of evidence as good as this, or better, if the true mean were ``target`` (at most).

    Source: binomial tail by the incomplete beta function, for fractional counts too.
    """
    if evidence.n == 0 or evidence.mean <= target:
        return 1.0
    capped = _tail(min(evidence.effective, evidence.n), evidence.mean, target)
    if evidence.binary or evidence.effective <= evidence.n:
        return capped
    # Outcomes between 0 and 1 may vary less than a coin, and then tell more than as many coins would; but rare
    # failures may have stayed unseen: a share of 1 - target / mean of them would break the promise.
    unseen = (target / evidence.mean) ** evidence.clusters
    return min(capped, max(_tail(evidence.effective, evidence.mean, target), unseen))


def _tail(n: float, mean: float, target: float) -> float:
    hits = n * mean
    return target**n if hits >= n else incomplete_beta(hits, n - hits + 1, target)


class Search(NamedTuple):
    """What a search for a threshold found.

    Attributes:
        threshold: the lowest score that may pass; None where nothing can be promised.
        kept: share of the calibration set that passes.
        mean: mean outcome of what passes.
        needed: how many calibration pictures in all would probably do, where there is no threshold; None where no
            number would, because the score never separates well enough.
    """

    threshold: float | None
    kept: float
    mean: float
    needed: int | None


def lowest_threshold(
    scores: np.ndarray, outcomes: np.ndarray, clusters: np.ndarray | None, target: float, confidence: float
) -> Search:
    """Find the lowest threshold whose passing pictures have a mean outcome of at least ``target``.

    With probability ``confidence`` over calibration sets, the true mean outcome of pictures with at least the
    threshold's score is at least ``target`` (both in (0, 1)), if the mean does not fall where the score rises.
    ``scores`` are finite float64 (N,), ``outcomes`` float64 (N,) in [0, 1]; ``clusters``, int64 (N,), say which
    pictures belong together.
    """
    order = np.argsort(-scores, kind='stable')
    scores, outcomes = scores[order], outcomes[order]
    clusters = None if clusters is None else clusters[order]
    n = len(scores)
    error = 1 - confidence
    least = int(np.ceil(np.log(error / SEQUENCES) / np.log(target)))
    # Pictures of equal scores pass together: a candidate ends where the next score differs.
    ends = np.append(np.flatnonzero(scores[1:] < scores[:-1]) + 1, n)
    ranks = np.unique(ends[np.searchsorted(ends, np.linspace(min(least, n), n, CANDIDATES).astype(int))])
    starts = np.unique(np.searchsorted(ranks, np.geomspace(min(FIRST_START * least, n), n, SEQUENCES + 1)[:-1]))
    alpha = error / len(starts)
    best = 0
    for start in starts:
        for rank in ranks[start:]:
            if rank > best:
                evidence = weigh(outcomes[:rank], None if clusters is None else clusters[:rank], alpha)
                if p_value(evidence, target) > alpha:
                    break
                best = int(rank)
    if best:
        return Search(float(scores[best - 1]), best / n, float(outcomes[:best].mean()), None)
    ranks = np.unique(ends[np.searchsorted(ends, np.linspace(1, n, CANDIDATES).astype(int))])
    factor = np.inf
    for rank in ranks:
        evidence = weigh(outcomes[:rank], None if clusters is None else clusters[:rank], alpha)
        factor = min(factor, _factor(evidence, target, alpha, factor))
    return Search(None, 0.0, float('nan'), int(np.ceil(factor * n)) if np.isfinite(factor) else None)


def highest_threshold(scores: np.ndarray, clusters: np.ndarray | None, max_stopped: float, confidence: float) -> Search:
    """Find the highest threshold that stops at most a share ``max_stopped`` of pictures like these.

    Args:
        scores: float64 (N,), of pictures on which the machine did well.
        clusters: int64 (N,) or None, as for :func:`lowest_threshold`.
        max_stopped: share in (0, 1).
        confidence: in (0, 1).
    """
    alpha = 1 - confidence
    values = np.unique(scores)
    tried = values[np.unique(np.linspace(0, len(values) - 1, min(len(values), 10 * CANDIDATES)).astype(int))]
    best = None
    for value in tried:
        passed = (scores >= value).astype(np.float64)
        if p_value(weigh(passed, clusters, alpha), 1 - max_stopped) > alpha:
            break
        best = float(value)
    if best is None:
        independent = len(scores) if clusters is None else len(np.unique(clusters))
        return Search(
            None, 0.0, float('nan'), _pictures_without_failure(max_stopped, alpha, len(scores) / max(independent, 1))
        )
    share = float((scores >= best).mean())
    return Search(best, share, share, None)


def _pictures_without_failure(share: float, alpha: float, pictures_a_group: float) -> int:
    return int(np.ceil(np.log(alpha) / np.log(1 - share) * pictures_a_group))


def _factor(evidence: Evidence, target: float, alpha: float, lower: float) -> float:
    """Return how many times as much evidence of the same kind would do; infinity where none below ``lower`` would."""
    # The rank with the best luck so far would promise too much: one more failure stands for what luck hides.
    evidence = evidence._replace(mean=evidence.mean * evidence.n / (evidence.n + 1))
    if evidence.mean <= target or (lower < np.inf and p_value(evidence.times(lower), target) > alpha):
        return np.inf
    low, high = 1.0, 2.0
    while p_value(evidence.times(high), target) > alpha:
        high *= 2
        if high > 1e6:
            return np.inf
    while high - low > 0.01 * low:
        middle = (low + high) / 2
        low, high = (middle, high) if p_value(evidence.times(middle), target) > alpha else (low, middle)
    return high


def as_clusters(groups: ArrayLike | None, n: int) -> np.ndarray | None:
    """Return group names (N,) as numbers (N,), or None where every picture stands for itself.

    Raises:
        ValueError: there are not as many groups as pictures.
    """
    if groups is None:
        return None
    names = np.asarray(groups).ravel()
    if len(names) != n:
        raise ValueError(f'There are {n} scores but {len(names)} groups; give the group of each picture.')
    different, place = np.unique(names if names.dtype.kind in 'iu' else names.astype(str), return_inverse=True)
    return None if len(different) == n else place
