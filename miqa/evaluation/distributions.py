"""Tails of two distributions without SciPy, for fitting gates; tests compare them with SciPy's."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

# In place of 0: a sum with 1 is 0 or at least 1e-16.
_TINY = 1e-300
_STEPS = 100_000


def incomplete_beta(a: float, b: float, x: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b) for a, b > 0 and x in [0, 1].

    Source: the continued fraction of DLMF 8.17.22, evaluated by Lentz's method.
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(b, a, 1 - x)
    scale = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    c, d = 1.0, 1 / ((1 - (a + b) * x / (a + 1)) or _TINY)
    fraction = d
    for m in range(1, _STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / ((1 + term * d) or _TINY)
            c = (1 + term / c) or _TINY
            fraction *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return math.exp(scale) * fraction / a


def normal_quantile(tail: float) -> float:
    """Return the value that a standard normal variable exceeds with probability ``tail`` in (0, 1)."""
    return -NormalDist().inv_cdf(tail)


@lru_cache(maxsize=4096)
def student_quantile(tail: float, freedom: float) -> float:
    """Return the value that Student's t with ``freedom`` degrees exceeds with probability ``tail`` in (0, 1)."""
    if tail >= 0.5:
        return 0.0 if tail == 0.5 else -student_quantile(1 - tail, freedom)
    half = freedom / 2
    log_peak = math.lgamma(half + 0.5) - math.lgamma(half) - 0.5 * math.log(freedom * math.pi)
    # Newton's method from the left: beyond 0 the tail is convex, so no step passes the solution.
    value = normal_quantile(tail)
    for _ in range(200):
        excess = 0.5 * incomplete_beta(half, 0.5, freedom / (freedom + value * value)) - tail
        step = excess / math.exp(log_peak - (half + 0.5) * math.log1p(value * value / freedom))
        value += step
        if abs(step) <= 1e-13 * value:
            break
    return value
