"""Least-squares maps of predictions onto labels, fitted before an error is measured."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import least_squares
from scipy.special import expit

from miqa.taxonomy import check_choice

#: ``linear``: b1 x + b2.
#: ``logistic4``: b2 + (b1 - b2) / (1 + exp(-(x - b3) / |b4|)), VQEG, "Final report on the validation of
#: objective models of video quality assessment, phase II", 2003, section 4.
#: ``logistic5``: b1 (1/2 - 1 / (1 + exp(b2 (x - b3)))) + b4 x + b5, Sheikh, Sabir and Bovik, "A statistical
#: evaluation of recent full reference image quality assessment algorithms", IEEE TIP 15(11), 2006, eq. (8).
MAPPINGS = (None, 'linear', 'logistic4', 'logistic5')

# A logistic curve is found on at most this many points, evenly spaced in rank, and then polished on all.
_SEARCH_POINTS = 4096


def fit_mapping(pred: np.ndarray, gt: np.ndarray, mapping: str | None) -> Callable[[np.ndarray], np.ndarray]:
    """Fit a map of predictions onto labels by least squares and return it as a function.

    Args:
        pred: finite float64 array of shape (N,), not constant.
        gt: finite float64 array of shape (N,).
        mapping: one of :data:`MAPPINGS`; ``None`` is the identity.

    Returns:
        A function from predictions (any shape) to mapped predictions. A logistic map is never worse in squared
        error than the best of its starting points; ``logistic5`` contains the linear map and so is never worse than it.

    Raises:
        ValueError: ``mapping`` is unknown.
    """
    check_choice(mapping, MAPPINGS, 'mapping')
    if mapping is None:
        return lambda x: np.asarray(x, dtype=np.float64)
    center, scale = pred.mean(), pred.std()
    z = (pred - center) / scale
    if mapping == 'linear':
        slope, intercept = _solve(_linear_columns(z), gt)
        return lambda x: slope * (np.asarray(x) - center) / scale + intercept
    columns = _logistic4_columns if mapping == 'logistic4' else _logistic5_columns
    shape = _fit_shape(z, gt, columns)
    weights = _solve(columns(z, *shape), gt)
    return lambda x: _combine(columns((np.asarray(x, dtype=np.float64) - center) / scale, *shape), weights)


# Both logistic maps are linear in all coefficients but steepness and midpoint. Only these two need a search;
# the others follow by linear least squares (variable projection, Golub and Pereyra, 1973).


def _linear_columns(z):
    return (z, np.ones_like(z))


def _logistic4_columns(z, log_steepness, midpoint):
    return (expit(np.exp(log_steepness) * (z - midpoint)), np.ones_like(z))


def _logistic5_columns(z, log_steepness, midpoint):
    # 1/2 - 1 / (1 + exp(t)) is expit(t) - 1/2; the half joins the constant column.
    return (expit(np.exp(log_steepness) * (z - midpoint)), z, np.ones_like(z))


def _solve(columns, target):
    matrix = np.stack(columns, axis=1)
    return np.linalg.lstsq(matrix, target, rcond=None)[0]


def _combine(columns, weights):
    return sum(weight * column for weight, column in zip(weights, columns, strict=True))


def _fit_shape(z, gt, columns):
    order = np.argsort(z, kind='stable')
    picks = order[np.unique(np.linspace(0, len(order) - 1, min(len(order), _SEARCH_POINTS)).astype(np.int64))]
    low, high = z[order[0]], z[order[-1]]

    def residuals(shape, x, y):
        basis = columns(x, *shape)
        return _combine(basis, _solve(basis, y)) - y

    # Flatter than exp(-4) is a line over the data, steeper than exp(6) a step between two neighbours.
    bounds = ([-4.0, low - 3.0], [6.0, high + 3.0])
    starts = [
        (log_steepness, midpoint) for log_steepness in (-1.0, 0.5, 2.0) for midpoint in np.quantile(z, (0.2, 0.5, 0.8))
    ]
    found = [least_squares(residuals, start, bounds=bounds, args=(z[picks], gt[picks])) for start in starts]
    best = min(found, key=lambda fit: fit.cost)
    if len(picks) == len(z):
        return best.x
    return least_squares(residuals, best.x, bounds=bounds, args=(z, gt), max_nfev=5).x
