"""A gate with a promise: a threshold fitted to outcomes, and the small file that carries it."""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from miqa.errors import MIQAError
from miqa.evaluation.risk_control import as_clusters, highest_threshold, lowest_threshold
from miqa.keeping import write_json
from miqa.outside.checked_values import shown
from miqa.outside.json_text import parse_json
from miqa.outside.regular_files import open_regular

_FORMAT = 1
_MAX_BYTES = 1 << 20
_LARGEST = 1e30
_MAKE_AGAIN = 'Make it again with `miqa gate fit CSV --out FILE`.'


class NoGate(MIQAError, ValueError):
    """No threshold can promise what is asked.

    Attributes:
        needed: how many calibration pictures in all would probably do; None where no number would.
    """

    def __init__(self, message: str, needed: int | None = None):
        super().__init__(message)
        self.needed = needed


@dataclass(frozen=True)
class Gate:
    """A threshold on the score, and what it promises.

    Attributes:
        threshold: pictures with at least this score pass.
        target: with probability ``confidence`` over calibration sets, the mean outcome of what passes is at least
            this; None where only false alarms are limited.
        max_false_alarms: with probability ``confidence``, at most this share of the pictures on which the machine did
            well is stopped; None where that is not promised.
        confidence: of the promises, each.
        kept: share of the calibration set that passes.
        mean_outcome: of the calibration set's pictures that pass.
        false_alarms: share of the calibration set's good pictures that are stopped.
        pictures, groups: size of the calibration set; pictures of one group count as one bundle.
        model: identity of the model whose scores these are; None where it is not known.
    """

    threshold: float
    target: float | None
    max_false_alarms: float | None
    confidence: float
    kept: float
    mean_outcome: float
    false_alarms: float
    pictures: int
    groups: int
    model: str | None = None

    def passes(self, scores: ArrayLike) -> np.ndarray:
        """Tell which scores (N,) pass: bool (N,)."""
        return np.asarray(scores, np.float64) >= self.threshold

    def describe(self) -> str:
        """Say in sentences what is promised."""
        sentences = [f'Pictures with a score of at least {self.threshold:.4f} pass.']
        sure = f'With {100 * self.confidence:g} % confidence'
        if self.target is not None:
            sentences.append(f'{sure}, the mean outcome of what passes is at least {self.target:g}.')
        if self.max_false_alarms is not None:
            sentences.append(
                f'{sure}, at most {100 * self.max_false_alarms:g} % of the pictures on which the machine did well are '
                'stopped.'
            )
        sentences.append(
            f'Of the {self.pictures} calibration pictures in {self.groups} groups {100 * self.kept:.1f} % pass, with a '
            f'mean outcome of {self.mean_outcome:.4f}; {100 * self.false_alarms:.1f} % of the good ones are stopped.'
        )
        return ' '.join(sentences)

    def save(self, path: str | os.PathLike) -> Path:
        """Write the gate as JSON with a checksum, whole or not at all; a file of this name is replaced."""
        content = asdict(self)
        write_json(path, {'format': _FORMAT, 'gate': content, 'sha256': _digest(content)})
        return Path(path)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Gate:
        """Read what :meth:`save` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is not a gate, or was damaged or edited.
        """
        with open_regular(path, _MAX_BYTES, what='gate file') as stream:
            raw = stream.read()
        try:
            data = parse_json(raw.decode('utf-8'), 'it')
        except ValueError as error:
            raise ValueError(f'{path} is not a gate file: {str(error).rstrip(".")}. {_MAKE_AGAIN}') from None
        if not isinstance(data, dict) or set(data) != {'format', 'gate', 'sha256'} or data['format'] != _FORMAT:
            raise ValueError(f'{path} is not a gate file of format {_FORMAT}. {_MAKE_AGAIN}')
        content = data['gate']
        if not isinstance(content, dict) or set(content) != set(cls.__dataclass_fields__):
            raise ValueError(f'{path} is not a gate file: its keys are not those of a gate. {_MAKE_AGAIN}')
        for key, value in content.items():
            _check_value(path, key, value)
        if _digest(content) != data['sha256']:
            raise ValueError(f'{path} was damaged or edited: its checksum does not fit. {_MAKE_AGAIN}')
        return cls(**content)

    def check_model(self, identity: str) -> None:
        """Raise a ValueError if the gate was fitted to the scores of another model than ``identity``."""
        if self.model is not None and self.model != identity:
            raise ValueError(
                f'The gate was fitted to scores of the model {self.model}, and these are of {identity}: its promise '
                'does not hold for them. Fit a gate to scores of this model with `miqa gate fit`.'
            )


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
        found = lowest_threshold(scores, outcomes, clusters, target, confidence)
        if found.threshold is None:
            raise NoGate(_no_gate(f'a mean outcome of {target:g}', confidence, len(scores), found.needed), found.needed)
        threshold = found.threshold
    if max_false_alarms is not None:
        if not good.any():
            raise NoGate(f'No picture has an outcome of at least {good_from:g}, so false alarms cannot be counted.')
        limit = highest_threshold(
            scores[good], None if clusters is None else clusters[good], max_false_alarms, confidence
        )
        if limit.threshold is None:
            needed = None if limit.needed is None else math.ceil(limit.needed * len(scores) / good.sum())
            what = f'at most {100 * max_false_alarms:g} % false alarms'
            raise NoGate(_no_gate(what, confidence, len(scores), needed), needed)
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


def _no_gate(what: str, confidence: float, have: int, needed: int | None) -> str:
    text = f'No threshold can promise {what} with {100 * confidence:g} % confidence from {have} calibration pictures.'
    if needed is None:
        return f'{text} More pictures would hardly help: not even the best-scored ones reach it. Ask for less.'
    more = max(needed - have, 1)
    return f'{text} About {more} more like them would probably do ({needed} in all), or ask for less.'


def _digest(content: dict) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _check_value(path, key: str, value) -> None:
    # Comparing is safe for whole numbers of any size, which math.isfinite is not.
    number = isinstance(value, int | float) and not isinstance(value, bool) and -_LARGEST <= value <= _LARGEST
    if key == 'model':
        fits = value is None or (isinstance(value, str) and len(value) < 1000)
    elif key in ('target', 'max_false_alarms'):
        fits = value is None or (number and 0 < value < 1)
    elif key in ('pictures', 'groups'):
        fits = isinstance(value, int) and number and value > 0
    elif key == 'threshold':
        fits = number
    else:
        fits = number and 0 <= value <= 1
    if not fits:
        raise ValueError(f'{path}: {key} is {shown(value)}, which no gate can have. {_MAKE_AGAIN}')
