"""Least-squares maps of predictions onto labels, fitted before RMSE."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from miqa.taxonomy import check_choice

from .logistic import fit_logistic

#: ``linear``: b1 x + b2.
#: ``logistic4``: b2 + (b1 - b2) / (1 + exp(-(x - b3) / |b4|)), VQEG, "Final report on the validation of
#: objective models of video quality assessment, phase II", 2003, section 4.
#: ``logistic5``: b1 (1/2 - 1 / (1 + exp(b2 (x - b3)))) + b4 x + b5, Sheikh, Sabir and Bovik, "A statistical
#: evaluation of recent full reference image quality assessment algorithms", IEEE TIP 15(11), 2006, eq. (8).
MAPPINGS = (None, 'linear', 'logistic4', 'logistic5')


def fit_mapping(pred: np.ndarray, gt: np.ndarray, mapping: str | None) -> Callable[[np.ndarray], np.ndarray]:
    """Fit a map of predictions onto labels, both finite float64 (N,), by least squares and return it as a function.

    ``mapping`` is one of :data:`MAPPINGS`; ``None`` is the identity. In squared error ``logistic5`` is never worse
    than the linear map and ``logistic4``, both of which it contains. Constant predictions are mapped onto the mean.

    Raises:
        ValueError: ``mapping`` is unknown.
    """
    check_choice(mapping, MAPPINGS, 'mapping')
    if mapping is None:
        return lambda x: np.asarray(x, dtype=np.float64)
    # In units of the largest one, so that neither huge nor tiny numbers leave what float64 can square.
    unit = np.abs(pred).max() or 1.0
    center = (pred / unit).mean()
    span = np.abs(pred / unit - center).max()
    scale = ((pred / unit - center) / span).std() * span if span > 0 else 0.0
    if not scale > 0:
        mean = gt.mean()
        return lambda x: np.full(np.shape(x), mean)

    def standard(x):
        return (np.asarray(x, dtype=np.float64) / unit - center) / scale

    z = standard(pred)
    if mapping == 'linear':
        slope, intercept = np.linalg.lstsq(np.stack((z, np.ones_like(z)), axis=1), gt, rcond=None)[0]
        return lambda x: slope * standard(x) + intercept
    curve = fit_logistic(z, gt, with_line=mapping == 'logistic5')
    return lambda x: curve(standard(x))
