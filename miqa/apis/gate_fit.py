"""Fit the threshold of a gate with a guarantee, from outcomes."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from miqa.errors import MIQAError
from miqa.evaluation.risk_control import as_clusters, highest_threshold, lowest_threshold

from .gate_threshold import Gate

__all__ = ['Gate', 'NoGate', 'fit_gate']


class NoGate(MIQAError, ValueError):
    """No threshold gives the requested guarantee.

    Attributes:
        needed: how many calibration pictures in all would probably do; None where no number would.
    """

    def __init__(self, message: str, needed: int | None = None):
        super().__init__(message)
        self.needed = needed


def fit_gate(
    scores: ArrayLike,
    outcomes: ArrayLike,
    *,
    target: float | None = 0.95,
    confidence: float = 0.95,
    groups: ArrayLike | None = None,
    max_false_alarms: float | None = None,
    good_from: float = 0.5,
    model: str | None = None,
) -> Gate:
    """Find the lowest threshold that keeps a promise on what passes; see :mod:`miqa.evaluation.risk_control`.

    The promise holds for pictures that come as the calibration pictures came, with a score on which outcomes do not
    fall where it rises.

    Args:
        scores: shape (N,), finite, higher is better.
        outcomes: shape (N,), from 0 (the machine failed) to 1 (it did as well as it should).
        target: lowest mean outcome of what passes, in (0, 1); None to limit only false alarms.
        confidence: of the promise, in (0, 1).
        groups: what each picture belongs to, such as its source photograph or drive; versions of one photograph
            tell less than as many photographs. None where every picture stands for itself.
        max_false_alarms: stop at most this share of the pictures on which the machine did well. Alone, it gives the
            highest such threshold; with ``target``, the threshold must keep both promises.
        good_from: outcome from which the machine did well.
        model: identity of the model, :attr:`miqa.apis.model.MIQAModel.identity`; kept in the gate.

    Raises:
        ValueError: numbers are not as described.
        NoGate: no threshold can promise it; the message says how many more pictures would probably do.
    """
    scores = np.asarray(scores, np.float64).ravel()
    outcomes = np.asarray(outcomes, np.float64).ravel()
    if len(scores) != len(outcomes) or not len(scores):
        raise ValueError(f'Scores and outcomes must be as many, at least one: {len(scores)} and {len(outcomes)}.')
    if not np.isfinite(scores).all():
        raise ValueError('Scores must be finite numbers. Leave out pictures without a score.')
    if not ((outcomes >= 0) & (outcomes <= 1)).all():
        raise ValueError('Outcomes must be numbers from 0 to 1. Leave out pictures without an outcome.')
    for name, value in (('target', target), ('confidence', confidence), ('max_false_alarms', max_false_alarms)):
        if value is not None and not 0 < value < 1:
            raise ValueError(f'{name} must lie between 0 and 1, not {value}.')
    if target is None and max_false_alarms is None:
        raise ValueError('Say what to promise: target, max_false_alarms or both.')
    clusters = as_clusters(groups, len(scores))
    good = outcomes >= good_from
    threshold = -math.inf
    if target is not None:
        lowest = lowest_threshold(scores, outcomes, clusters, target, confidence)
        if lowest.threshold is None:
            raise NoGate(
                _no_gate(f'a mean outcome of {target:g}', confidence, len(scores), lowest.needed), lowest.needed
            )
        threshold = lowest.threshold
    if max_false_alarms is not None:
        if not good.any():
            raise NoGate(f'No picture has an outcome of at least {good_from:g}, so false alarms cannot be counted.')
        limit = highest_threshold(
            scores[good], None if clusters is None else clusters[good], max_false_alarms, confidence
        )
        if limit.threshold is None:
            needed = None if limit.needed is None else math.ceil(limit.needed * len(scores) / good.sum())
            promise = f'at most {100 * max_false_alarms:g} % false alarms'
            raise NoGate(_no_gate(promise, confidence, len(scores), needed), needed)
        if threshold > limit.threshold:
            raise NoGate(
                f'A mean outcome of {target:g} needs a threshold of at least {threshold:.4f}, and at most '
                f'{100 * max_false_alarms:g} % false alarms one of at most {limit.threshold:.4f}: this score cannot '
                'promise both. Ask for less of one, or use a score that separates better.'
            )
        threshold = limit.threshold if target is None else threshold
    passed = scores >= threshold
    return Gate(
        threshold=float(threshold),
        target=target,
        max_false_alarms=max_false_alarms,
        confidence=confidence,
        kept=float(passed.mean()),
        mean_outcome=float(outcomes[passed].mean()),
        false_alarms=float((~passed[good]).mean()) if good.any() else 0.0,
        pictures=len(scores),
        groups=len(scores) if clusters is None else len(np.unique(clusters)),
        model=model,
    )


def _no_gate(promise: str, confidence: float, have: int, needed: int | None) -> str:
    text = (
        f'No threshold can promise {promise} with {100 * confidence:g} % confidence from {have} calibration pictures.'
    )
    if needed is None:
        return f'{text} More pictures would hardly help: not even the best-scored ones reach it. Ask for less.'
    more = max(needed - have, 1)
    return f'{text} About {more} more like them would probably do ({needed} in all), or ask for less.'
