"""Consistency and accuracy of a classifier's answers: pure functions of arrays."""

from __future__ import annotations

import numpy as np


def top1_consistency(distorted: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """Return 1 where the top-1 class of the distorted image is that of its clean source by the same machine, else 0.

    Formula: ``c_i = [argmax_k p_k(distorted_i) = argmax_k p_k(clean_i)]``; int (N,) each to float64 (N,).
    """
    return (np.asarray(distorted) == np.asarray(clean)).astype(np.float64)


def soft_consistency(distorted: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """Return the overlap of the probability vectors of the distorted and the clean image: float64 (N,) in [0, 1].

    Formula: ``c_i = sum_k min(p_k(distorted_i), p_k(clean_i))``, which is 1 minus the total variation distance: 1 for
    equal vectors, 0 for vectors without a common class. Both are float (N, K).
    """
    overlap = np.minimum(distorted.astype(np.float64), clean.astype(np.float64)).sum(1)
    # Vectors that are kept as float16 sum to 1 only within rounding.
    return np.clip(overlap, 0, 1)


def top1_accuracy(distorted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return 1 where the top-1 class of the distorted image is the source's true class, else 0.

    Formula: ``a_i = [argmax_k p_k(distorted_i) = y_i]``; int (N,) each to float64 (N,).
    """
    return (np.asarray(distorted) == np.asarray(truth)).astype(np.float64)
