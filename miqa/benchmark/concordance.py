"""Kendall's concordance between every two sources, so that any reweighting of sources is a quadratic form.

For sources s and t::

    C_st = sum over images i of s and j of t of sign(x_i - x_j) sign(y_i - y_j)

If source s counts ``w_s`` times, concordant minus discordant pairs number ``w' C w / 2``, and Kendall's tau-b (Kendall,
"The treatment of ties in ranking problems", Biometrika 33(3), 1945) is ::

    tau = w' C w / sqrt((T^2 - sum_g X_g^2) (T^2 - sum_g Y_g^2))

with T the total weight and X_g, Y_g the weights of the groups of equal x or y. Copies of one image tie with each other
on both sides, as they do in a resample that is written out.
"""

from __future__ import annotations

import numpy as np

MAX_GROUP = 2048  # Images of one source: a table of (2 n + 1)^2 cells is made for each source


def concordance_matrix(x: np.ndarray, y: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return C, float64 (S, S), symmetric whole numbers, for values that are sorted by source.

    For each source t, its n_t distinct values cut either axis into at most 2 n_t + 1 places (below, equal, between,
    ...). A table over pairs of places holds the sum of sign products of a point there against all of t, made by
    cumulative sums of a histogram. Every image of every source then needs one look-up: O(N S) steps in all, about 1.5 s
    for 250,000 images of 1,000 sources, where comparing all pairs takes 3e10 steps. ``x`` and ``y`` are dense ranks,
    int (N,), from 0; ``starts`` the first position of each source, int (S,), rising from 0.

    Raises:
        ValueError: a source has more than :data:`MAX_GROUP` images.
    """
    bounds = np.append(starts, len(x))
    largest = int(np.diff(bounds).max())
    if largest > MAX_GROUP:
        raise ValueError(f'A source has {largest} images; the table is made for at most {MAX_GROUP}.')
    x, y = x.astype(np.int32), y.astype(np.int32)
    x_count, y_count = int(x.max()) + 1, int(y.max()) + 1
    # A sum of n sign products lies in -n..n, and n is at most MAX_GROUP.
    matrix = np.zeros((len(starts), len(starts)))
    for t, start in enumerate(starts):
        # C is symmetric: only sources from t on.
        rows = slice(start, None)
        stop = bounds[t + 1]
        x_place, x_places = _places(x[start:stop], x_count)
        y_place, y_places = _places(y[start:stop], y_count)
        table = np.zeros((x_places, y_places), np.int16)
        np.add.at(table, (x_place[x[start:stop]], y_place[y[start:stop]]), 1)
        table = _signed_sums(_signed_sums(table, 0), 1)
        cells = x_place[x[rows]]
        cells *= y_places
        cells += y_place[y[rows]]
        sums = np.add.reduceat(table.ravel()[cells], starts[t:] - start, dtype=np.int64)
        matrix[t, t:] = matrix[t:, t] = sums
    return matrix


def _places(members: np.ndarray, count: int) -> tuple[np.ndarray, int]:
    """Return the place of every rank 0..count-1 among the distinct ``members``, int32, and the number of places."""
    steps = np.zeros(count + 1, np.int32)
    distinct = np.unique(members)
    # A member's own rank is one place up from the gap below it, and the next rank one more.
    steps[distinct] += 1
    steps[distinct + 1] += 1
    return np.cumsum(steps[:count], dtype=np.int32), 2 * len(distinct) + 1


def _signed_sums(table: np.ndarray, axis: int) -> np.ndarray:
    """Return for each place the sum of the entries below it minus the sum of those above it."""
    sums = np.cumsum(table, axis=axis, dtype=np.int16)
    total = np.take(sums, [-1], axis=axis)
    return 2 * sums - table - total
