"""How tables of parameters are written.

Source of the 12 sets of the families ``miqd`` and ``extra``: the generator that the authors of MIQD-2.5M released
(XiaoqiWang/MIQD-2.5M, 18aeabc, ``generate_dataset``), whose distortions follow ImageNet-C (Hendrycks & Dietterich,
"Benchmarking Neural Network Robustness to Common Corruptions and Perturbations", ICLR 2019). "Weakest first" is the
order of the tables; the levels of an image are chosen by measured PSNR (see :mod:`miqa.distortions.select`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

CANDIDATES = 12  # Sets of parameters of each distortion of the families ``miqd`` and ``extra``


def by_name(names: Sequence[str], rows: Sequence) -> list[dict[str, float]]:
    """Name the parameters of each row; a row of one parameter may be a number."""
    return [dict(zip(names, row if isinstance(row, (tuple, list)) else (row,), strict=True)) for row in rows]


def log_spaced(first: float, last: float) -> list[float]:
    """Return 12 numbers, evenly spaced by their logarithm."""
    return [float(value) for value in np.logspace(np.log10(first), np.log10(last), CANDIDATES)]


def linear(first: Sequence[float], last: Sequence[float]) -> list[list[float]]:
    """Return 12 rows of numbers, evenly spaced."""
    start, stop = np.asarray(first, float), np.asarray(last, float)
    return [[float(value) for value in row] for row in start + np.linspace(0, 1, CANDIDATES)[:, None] * (stop - start)]
