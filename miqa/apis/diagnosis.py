"""What is wrong with a picture: kind and strength of the damage, and the affected region."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from miqa.outside.checked_values import Real, Several, checked_mapping, shown

UNKNOWN = 'unknown'  # Said instead of a kind or a part where the model would guess
NONE = 'none'  # The kind of an undamaged picture
#: Lowest strength, in levels from 0 to 5, that is called by a word: midway between MIQD's levels 1, 3 and 5.
STRENGTH_WORDS = ((4.0, 'strong'), (2.0, 'moderate'), (0.0, 'slight'))
_MOST_NAMES = 64  # Most kinds and parts that a file may name


class Diagnosis(NamedTuple):
    """A model's diagnosis of a picture: the kind of damage, its strength and place."""

    #: of damage, such as ``motion_blur``; ``none`` for an undamaged picture, ``unknown`` where the model would guess.
    kind: str
    strength: float  # in levels, 0 (undamaged) to 5 (severe)
    place: str  # ``whole``, ``object`` or ``surroundings``: what suffers (more); or ``unknown``
    probability: float  # that the likeliest kind is right, 0 to 1
    likeliest: str  # the kind that would have to be guessed

    def __str__(self) -> str:
        """Say it in words, such as ``motion blur, strong, whole picture``."""
        if self.kind == NONE:
            return NONE
        word = next(word for least, word in STRENGTH_WORDS if self.strength >= least)
        parts = {'whole': 'whole picture', UNKNOWN: ''}
        suffering = parts.get(self.place, self.place)
        return ', '.join(filter(None, (self.kind.replace('_', ' '), word, suffering.replace('_', ' '))))


class _Name:
    """A name in small letters."""

    def checked(self, value: object, location: str) -> str:
        """Return the name; ``location`` names it in the ValueError."""
        if not isinstance(value, str) or not re.fullmatch(r'[a-z][a-z_]{0,39}', value):
            raise ValueError(f'{location} must be a name of at most 40 small letters, not {shown(value)}.')
        return value


class DiagnosisWords(NamedTuple):
    """How outputs of a network become a :class:`Diagnosis`."""

    #: kinds, places: names by number of the outputs ``damage`` and ``place``.
    kinds: tuple[str, ...]
    places: tuple[str, ...]
    #: least_kind, least_place: lowest probabilities for a name; below them it is ``unknown``. Chosen on photographs set
    #: apart, see the model's card.
    least_kind: float
    least_place: float

    @classmethod
    def from_dict(cls, data: object, location: str) -> DiagnosisWords:
        """Read what a file says, checking every value.

        Raises:
            ValueError: a key is missing or unknown, or a value is not what it must be; the message names it.
        """
        names = Several(_Name(), _MOST_NAMES)
        kinds = {'kinds': names, 'places': names, 'least_kind': Real(0, 1), 'least_place': Real(0, 1)}
        values = checked_mapping(data, kinds, location)
        if set(values) != set(kinds):
            raise ValueError(f'{location} must have the keys {", ".join(kinds)}, not {", ".join(values) or "none"}.')
        return cls(tuple(values['kinds']), tuple(values['places']), values['least_kind'], values['least_place'])

    def to_dict(self) -> dict:
        """Return the words as JSON-ready data."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in self._asdict().items()}

    def diagnosis(self, damage: np.ndarray, strength: float, place: np.ndarray) -> Diagnosis:
        """Return the diagnosis of one picture.

        Args:
            damage: probabilities of the kinds, (K,).
            strength: in levels.
            place: probabilities of the places, (P,).
        """
        best, index = int(damage.argmax()), int(place.argmax())
        sure = damage[best] >= self.least_kind
        kind = self.kinds[best] if sure else UNKNOWN
        name = self.places[index] if place[index] >= self.least_place and kind != NONE else UNKNOWN
        return Diagnosis(kind, round(float(strength), 3), name, round(float(damage[best]), 4), self.kinds[best])
