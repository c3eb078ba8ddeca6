"""Ranks of repeated values, from one sort."""

from __future__ import annotations

import numpy as np


class SortedValues:
    """Values sorted once, whose ranks can then be had for any weights of their sources.

    Args:
        values: float64 (N,), finite.
        sources: int64 (N,), number of each value's source.

    Attributes:
        order: int64 (N,), positions of the values from lowest to highest.
        group: int64 (N,), for each value the number of its group of equal values, lowest first.
    """

    def __init__(self, values: np.ndarray, sources: np.ndarray):
        self.order = np.argsort(values, kind='stable')
        ordered = values[self.order]
        new = np.concatenate([[True], ordered[1:] != ordered[:-1]])
        self.group_sorted = np.cumsum(new) - 1
        self.group = np.empty(len(values), np.int64)
        self.group[self.order] = self.group_sorted
        self.source_sorted = sources[self.order]
        self._ends = np.append(np.flatnonzero(new)[1:], len(values)) - 1
        self.untied = len(self._ends) == len(values)

    def centred_ranks(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rank the values as if each were there ``weights[source]`` times (float64 (S,), whole), ties by average rank.

        Returns:
            (rank minus mean rank of each group (G,), weight of each group (G,), weight of each item in
            the order of ``order`` (N,)).
        """
        item_weights = weights[self.source_sorted]
        below = np.cumsum(item_weights)
        if not self.untied:
            below = below[self._ends]
        group_weights = np.diff(below, prepend=0.0)
        # Average rank of a group is (weight below it) + (its weight + 1) / 2; the mean rank of all is (total + 1) / 2.
        ranks = below
        ranks -= 0.5 * group_weights
        ranks -= 0.5 * group_weights.sum()
        return ranks, group_weights, item_weights
