"""Least-squares fit of a logistic curve, robust to the scale of the predictions.

A logistic curve with its level and height, and perhaps a line beside it, is linear in all coefficients but the
steepness and the midpoint. Only these two are searched; the others follow by linear least squares (variable
projection, Golub and Pereyra, 1973). The squared error as a function of the two has many valleys, above all where
predictions have heavy tails: then nearly all of them lie within a small part of their range. So the search starts from
a grid whose midpoints and widths are those of the predictions' ranks, from the best steps and from the edges, and
the best of the grid are polished.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares
from scipy.special import expit

# Points, evenly spaced in rank, on which the grid is evaluated, and on which its best are refined first.
_GRID_POINTS, _SEARCH_POINTS = 1024, 4096
# Midpoints are these quantiles; widths reach from a midpoint this far, in shares of the points.
_QUANTILES = np.linspace(0, 1, 25)
_REACHES = (0.003, 0.01, 0.03, 0.08, 0.2, 0.4, 0.8)
# Starts from which a few steps are made, those that are polished on the sample, and of these on all points.
_LOOKED_AT, _FEW_STEPS, _POLISHED, _FINALISTS = 48, 10, 8, 3
# Beyond these steepnesses, for predictions of deviation 1, a curve is a line or a step in float64.
_FLATTEST, _STEEPEST = -12.0, 40.0


class _Shape(NamedTuple):
    log_steepness: float
    midpoint: float


def fit_logistic(x: np.ndarray, y: np.ndarray, with_line: bool) -> Callable[[np.ndarray], np.ndarray]:
    """Fit ``a + b / (1 + exp(-k (x - m)))``, perhaps with a line ``c x`` beside it, by least squares; return the curve.

    ``x`` and ``y`` are finite float64 (N,), ``x`` of mean 0 and deviation 1. With a line, the curve is never worse than
    the one without.
    """
    order = np.argsort(x, kind='stable')
    x, y = x[order], y[order]
    target, shapes = y, _candidates(x, y, False)
    if with_line:
        # The best curve without a line is a start for that with one.
        shapes = [*_candidates(x, y, True), _best(x, target, shapes, False)]
    best = _best(x, target, shapes, with_line)
    side = _side(x, best)
    top = _curve(x, best, side).max() or 1.0
    weights = np.linalg.lstsq(_columns(x, best, with_line, side, top), y, rcond=None)[0]

    def curve(new: np.ndarray) -> np.ndarray:
        new = np.asarray(new, np.float64)
        return (_columns(new.ravel(), best, with_line, side, top) @ weights).reshape(new.shape)

    return curve


def _candidates(x: np.ndarray, y: np.ndarray, with_line: bool) -> list[_Shape]:
    """Return the most promising shapes for sorted ``x``."""
    small = _sample(len(x), _GRID_POINTS)
    log_steepness, midpoint = _grid(x)
    errors = _errors(x[small], y[small], log_steepness, midpoint, with_line)
    # Few of each midpoint, a flat and a steep one, so that not all starts lie in one valley; a few steps tell which
    # valleys are deep, as the error at their rim does not.
    best_of: dict[tuple[float, bool], int] = {}
    steep = np.median(log_steepness)
    for place in np.argsort(errors, kind='stable'):
        best_of.setdefault((midpoint[place], log_steepness[place] > steep), place)
    places = list(best_of.values())[:_LOOKED_AT]
    tried = [
        _polish(x[small], y[small], _Shape(log_steepness[place], midpoint[place]), with_line, _FEW_STEPS)
        for place in places
    ]
    starts: list[_Shape] = []
    for shape in sorted(tried, key=lambda shape: _error(x[small], y[small], shape, with_line)):
        if len(starts) < _POLISHED and not any(_is_near(shape, other) for other in starts):
            starts.append(shape)
    starts.extend(_steps(x, y, with_line))
    picks = _sample(len(x), _SEARCH_POINTS)
    polished = [_polish(x[picks], y[picks], start, with_line, 40) for start in starts]
    if len(picks) == len(x):
        return polished
    ranked = sorted(polished, key=lambda shape: _error(x[picks], y[picks], shape, with_line))
    finalists = [_polish(x, y, shape, with_line, 12) for shape in ranked[:_FINALISTS]]
    return finalists + starts[-2:]


def _is_near(one: _Shape, other: _Shape) -> bool:
    """Return True if two shapes are on their way to the same place."""
    apart = abs(one.midpoint - other.midpoint) * np.exp(min(one.log_steepness, other.log_steepness, _STEEPEST))
    return abs(one.log_steepness - other.log_steepness) < 0.3 and apart < 0.3


def _best(x: np.ndarray, y: np.ndarray, shapes: list[_Shape], with_line: bool) -> _Shape:
    return min(shapes, key=lambda shape: _error(x, y, shape, with_line))


def _sample(count: int, most: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def _grid(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return logarithms of steepness and midpoints on the scale of the ranks of sorted ``x``."""
    count = len(x)
    span = x[-1] - x[0]
    pairs: list = []
    for share in _QUANTILES:
        middle = np.quantile(x, share)
        for reach in _REACHES:
            low, high = np.quantile(x, (max(share - reach, 0), min(share + reach, 1)))
            width = max(high - low, 1e-14 * span, 1e-16) / 4
            pairs.extend((-np.log(width * factor), middle) for factor in (0.4, 1.5))
    # Curves of which the data show one end alone: exponential to either side.
    for reach in np.geomspace(1 / max(count, 4), 1, 8):
        for end, sign, inner in ((x[-1], 1, np.quantile(x, 1 - reach)), (x[0], -1, np.quantile(x, reach))):
            width = max(abs(end - inner), 1e-6 * span, 1e-12) / 3
            pairs.append((-np.log(width), end + sign * 4 * width))
    log_steepness, midpoint = np.array(pairs).T
    return np.clip(log_steepness, _FLATTEST, _STEEPEST), midpoint


def _steps(x: np.ndarray, y: np.ndarray, with_line: bool) -> list[_Shape]:
    """Return the two best steps between neighbours of sorted ``x``, by their exact errors."""
    cuts = np.flatnonzero(np.diff(x) > 0)
    count = len(x)
    centred = y - y.mean()
    above = np.arange(count - 1, 0, -1, dtype=np.float64)[cuts]
    inner = centred.sum() - np.cumsum(centred)[cuts]
    spread = above * (count - above) / count
    if with_line:
        # The step and the labels without their parts along x, whose mean is 0.
        along = x - x.mean()
        length = along @ along
        step_along = along.sum() - np.cumsum(along)[cuts]
        inner = inner - step_along * (along @ centred) / length
        spread = spread - step_along**2 / length
    gain = np.where(spread > 1e-9 * count, inner**2 / np.maximum(spread, 1e-300), 0)
    best = cuts[np.argsort(-gain, kind='stable')[:2]]
    return [_Shape(float(np.log(80 / (x[cut + 1] - x[cut]))), float((x[cut] + x[cut + 1]) / 2)) for cut in best]


def _side(x: np.ndarray, shape: _Shape) -> int:
    """1 to use the curve, -1 to use what it lacks to its upper level: that which is small keeps its digits."""
    return 1 if shape.midpoint >= x.mean() else -1


def _curve(x: np.ndarray, shape: _Shape, side: int) -> np.ndarray:
    steepness = np.exp(np.clip(shape.log_steepness, _FLATTEST, _STEEPEST))
    with np.errstate(over='ignore'):
        return expit(side * steepness * (x - shape.midpoint))


def _columns(x: np.ndarray, shape: _Shape, with_line: bool, side: int, top: float) -> np.ndarray:
    # The curve in units of its highest value: of an exponential flank that may be very small.
    columns = [_curve(x, shape, side) / top, np.ones_like(x)]
    return np.stack([*columns, x] if with_line else columns, axis=1)


def _free(vectors: np.ndarray, x: np.ndarray, with_line: bool) -> np.ndarray:
    """Take the constant, and the line where it is fitted, out of vectors (..., N)."""
    vectors = vectors - vectors.mean(-1, keepdims=True)
    if with_line:
        line = x - x.mean()
        length = np.sqrt(line @ line)
        if length > 0:
            line = line / length
            vectors = vectors - (vectors @ line)[..., None] * line
    return vectors


def _errors(x, y, log_steepness, midpoint, with_line) -> np.ndarray:
    """Squared errors of many shapes at once."""
    side = np.where(midpoint >= x.mean(), 1, -1)
    with np.errstate(over='ignore'):
        curves = expit((side * np.exp(log_steepness))[:, None] * (x[None] - midpoint[:, None]))
    curves /= np.maximum(curves.max(1, keepdims=True), 1e-300)
    target, curves = _free(y, x, with_line), _free(curves, x, with_line)
    power = (curves**2).sum(1)
    usable = power > 1e-18 * len(x)
    gain = np.where(usable, (curves @ target) ** 2 / np.where(usable, power, 1), 0)
    return target @ target - gain


def _error(x: np.ndarray, y: np.ndarray, shape: _Shape, with_line: bool) -> float:
    side = _side(x, shape)
    columns = _columns(x, shape, with_line, side, _curve(x, shape, side).max() or 1.0)
    residuals = columns @ np.linalg.lstsq(columns, y, rcond=None)[0] - y
    return float(residuals @ residuals)


def _polish(x: np.ndarray, y: np.ndarray, start: _Shape, with_line: bool, most: int) -> _Shape:
    """Improve a shape by Levenberg-Marquardt with Kaufman's Jacobian of the projected problem."""
    target = _free(y, x, with_line)

    def parts(shape):
        shape = _Shape(*shape)
        side = _side(x, shape)
        curve = _curve(x, shape, side)
        top = curve.max()
        curve = curve / top if top > 0 else curve
        free = _free(curve, x, with_line)
        power = free @ free
        return shape, side, curve, top, free, power

    def residuals(shape):
        *_, free, power = parts(shape)
        return target - free * (free @ target / power if power > 1e-18 * len(x) else 0)

    def jacobian(shape):
        shape, side, curve, top, free, power = parts(shape)
        if not power > 1e-18 * len(x):
            return np.zeros((len(x), 2))
        slope = side * curve * (1 - curve * top) * (free @ target / power)
        steepness = np.exp(np.clip(shape.log_steepness, _FLATTEST, _STEEPEST))
        changes = _free(np.stack([slope * steepness * (x - shape.midpoint), -slope * steepness]), x, with_line)
        return (free[None] * (changes @ free / power)[:, None] - changes).T

    if len(x) < 3:
        return start
    with np.errstate(all='ignore'):
        fit = least_squares(residuals, start, jacobian, method='lm', x_scale='jac', max_nfev=most)
    return _Shape(*fit.x) if np.isfinite(fit.x).all() else start
