"""The threshold of a gate, its guarantee, and the small file that stores both; needs only numpy."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from miqa.keeping import write_json
from miqa.outside.checked_values import shown
from miqa.outside.json_text import parse_json
from miqa.outside.regular_files import decoded_text, open_regular

#: The file that makes a folder a gate, its keys, and its first head, which reads pictures alone.
ABOUT, BEFORE = 'gate.json', 'before'
KEYS = {'format', 'task', 'label', 'machine', 'numbers', 'files', 'heads', 'made', 'sha256'}
#: Keys of a file of ``miqa gate fit``.
FILE_KEYS = {'format', 'gate', 'sha256'}
_FORMAT = 1
_MAX_BYTES = 1 << 20
_LARGEST = 1e30
_MAKE_AGAIN = 'Make it again with `miqa gate fit CSV --out FILE`.'


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
        """Return the promise in sentences."""
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
        write_json(path, {'format': _FORMAT, 'gate': content, 'sha256': digest_of(content)})
        return Path(path)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Gate:
        """Read what :meth:`save` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is not a gate, or was damaged or edited.
        """
        with open_regular(path, _MAX_BYTES, kind='gate file') as stream:
            raw = stream.read()
        try:
            data = parse_json(decoded_text(raw, 'it'), 'it')
        except ValueError as error:
            raise ValueError(f'{path} is not a gate file: {str(error).rstrip(".")}. {_MAKE_AGAIN}') from None
        if not isinstance(data, dict) or set(data) != FILE_KEYS or data['format'] != _FORMAT:
            raise ValueError(f'{path} is not a gate file of format {_FORMAT}. {_MAKE_AGAIN}')
        gate = cls.from_dict(data['gate'], str(path))
        if digest_of(data['gate']) != data['sha256']:
            raise ValueError(f'{path} was damaged or edited: its checksum does not fit. {_MAKE_AGAIN}')
        return gate

    @classmethod
    def from_dict(cls, content: object, source: str) -> Gate:
        """Read the attributes of a gate; every value is checked.

        Raises:
            ValueError: keys or values are not those of a gate.
        """
        if not isinstance(content, dict) or set(content) != set(cls.__dataclass_fields__):
            raise ValueError(f'{source} is not a gate file: its keys are not those of a gate. {_MAKE_AGAIN}')
        for key, value in content.items():
            _check_value(source, key, value)
        return cls(**content)

    def check_model(self, identity: str) -> None:
        """Raise a ValueError unless the gate says that it was fitted to the scores of the model ``identity``."""
        if self.model is None:
            raise ValueError(
                f'The gate does not say which model gave the scores it was fitted to, so its promise may not hold for '
                f'{identity}. If they were of this model, fit it again with: miqa gate fit CSV --model-identity '
                f'{shlex.quote(identity)} --out GATE'
            )
        if self.model != identity and self.model.split()[0] == identity.split()[0]:
            raise ValueError(
                f'The gate was fitted to scores of {self.model}, and these are of the same weights in another way: '
                f'{identity}. Say the same precision (--precision fp32 where none is named), decoding and coverage.'
            )
        if self.model != identity:
            raise ValueError(
                f'The gate was fitted to scores of the model {self.model}, and these are of {identity}: its promise '
                'does not hold for them. Choose its model (--model), or fit one to these scores with `miqa gate fit`.'
            )


def digest_of(content: dict) -> str:
    """Return the SHA-256 of JSON values, by which an edited gate shows."""
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
