"""Allowed values in configs that come with weights, each checked and rebuilt.

A network's class lists its options in ``foreign_options``, a dict of the kinds below. Options that only matter when
training starts (``pretrained``, ``weights``) are :class:`Ignored`: what they would load is in the file already.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

_LONGEST_TEXT = 500  # Characters of a name or of another short text


def shortened(text: str, longest: int = 300) -> str:
    """Return a text from elsewhere for a message, cut where it is long."""
    return text if len(text) <= longest else f'{text[:longest]}...'


def shown(value: object) -> str:
    """Return a value for a message: its beginning, or the kind of what would be long."""
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else f'{value[:60]}...')
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**20:
        return 'a whole number of more than 20 digits'
    return repr(value) if value is None or isinstance(value, (bool, int, float)) else f'a {type(value).__name__}'


class Kind(Protocol):
    """Something that checks values."""

    def checked(self, value: object, location: str) -> Any:
        """Return the value, made anew; ``location`` names it in the ValueError."""


@dataclass(frozen=True)
class Whole:
    """A whole number between two bounds, both allowed; ``optional`` allows None."""

    low: int
    high: int
    optional: bool = False

    def checked(self, value: object, location: str) -> int | None:
        """Return the number; ``location`` names it in the ValueError."""
        if value is None and self.optional:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not self.low <= value <= self.high:
            raise ValueError(f'{location} must be a whole number from {self.low} to {self.high}, not {shown(value)}.')
        return int(value)


@dataclass(frozen=True)
class Real:
    """A finite number between two bounds, both allowed; ``optional`` allows None."""

    low: float
    high: float
    optional: bool = False

    def checked(self, value: object, location: str) -> float | None:
        """Return the number; ``location`` names it in the ValueError."""
        if value is None and self.optional:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not self.low <= value <= self.high:
            raise ValueError(f'{location} must be a number from {self.low:g} to {self.high:g}, not {shown(value)}.')
        return value


@dataclass(frozen=True)
class Flag:
    """True or False."""

    def checked(self, value: object, location: str) -> bool:
        """Return the flag; ``location`` names it in the ValueError."""
        if not isinstance(value, bool):
            raise ValueError(f'{location} must be True or False, not {shown(value)}.')
        return value


@dataclass(frozen=True)
class Choice:
    """One of some texts."""

    allowed: Collection[str]

    def checked(self, value: object, location: str) -> str:
        """Return the text; ``location`` names it in the ValueError."""
        if not isinstance(value, str) or value not in self.allowed:
            raise ValueError(f'{location} must be one of {", ".join(self.allowed)}, not {shown(value)}.')
        return value


@dataclass(frozen=True)
class KnownName:
    """A name from a list that is loaded only when needed."""

    is_known: Callable[[str], bool]  # returns True for names on the list
    what: str  # the list, for the error

    def checked(self, value: object, location: str) -> str:
        """Return the name; ``location`` names it in the ValueError."""
        if not isinstance(value, str) or len(value) > _LONGEST_TEXT or not self.is_known(value):
            raise ValueError(
                f'{location} must be the name of a model of {self.what}, not {shown(value)}. Paths and names of hubs '
                'are not opened for a config that comes with weights.'
            )
        return value


@dataclass(frozen=True)
class Ignored:
    """An ignored entry, replaced by ``value``."""

    value: object

    def checked(self, value: object, location: str) -> object:
        """Return the fixed value."""
        return self.value


@dataclass(frozen=True)
class Several:
    """A list of up to ``most`` things of a kind; nested lists of them are allowed up to ``depth``."""

    kind: Kind
    most: int = 64
    depth: int = 1

    def checked(self, value: object, location: str) -> list:
        """Return a list; ``location`` names it in the ValueError."""
        if isinstance(value, str) or not isinstance(value, Sequence) or len(value) > self.most:
            raise ValueError(f'{location} must be a list of at most {self.most} entries, not {shown(value)}.')
        inner: Kind = Several(self.kind, self.most, self.depth - 1) if self.depth > 1 else self.kind
        return [
            (inner if isinstance(item, (list, tuple)) else self.kind).checked(item, f'{location}[{place}]')
            for place, item in enumerate(value)
        ]


@dataclass(frozen=True)
class Either:
    """The first of some kinds that fits."""

    kinds: Sequence[Kind]

    def checked(self, value: object, location: str) -> object:
        """Return what the kind that fits makes of it; ``location`` names it in the ValueError.

        That is the last kind's, except for a value that is no list where the last kind is one: then it is the first's.
        """
        first = None
        for kind in self.kinds[:-1]:
            try:
                return kind.checked(value, location)
            except ValueError as error:
                first = first or error
        if first is not None and isinstance(self.kinds[-1], Several) and not isinstance(value, (list, tuple)):
            raise first
        return self.kinds[-1].checked(value, location)


@dataclass(frozen=True)
class Options:
    """A dict, or None, in which only some keys may be; each has a kind of its own."""

    kinds: Mapping[str, Kind]

    def checked(self, value: object, location: str) -> dict:
        """Return a new dict; ``location`` names it in the ValueError."""
        if value is None:
            return {}
        return checked_mapping(value, self.kinds, location)


@dataclass(frozen=True)
class Part:
    """The config of a network inside the network, of one of some classes (their names) or of the user's own."""

    classes: tuple[str, ...]


def checked_mapping(value: object, kinds: Mapping, location: str) -> dict:
    """Return a new dict of the checked values of ``value``, whose keys must all be in ``kinds``.

    Raises:
        ValueError: it is no dict, a key is unknown, or a value is not of its kind; ``location`` names the dict.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f'{location} must be a dict, not {shown(value)}.')
    checked = {}
    for key, item in value.items():
        if not isinstance(key, str) or key not in kinds:
            raise ValueError(
                f'{location} must not have the key {shown(key)}; it may have {", ".join(kinds) or "none"}.'
            )
        checked[key] = kinds[key].checked(item, f'{location}.{key}')
    return checked


def plain_data(value: object, location: str, depth: int = 8, described: bool = False) -> object:
    """Copy what the options of a user's own class may be: numbers, flags, None, short names, lists and dicts.

    Texts are of letters, digits, ``_.+-`` and spaces, so that none is a path or an address. Keys must be Python names
    that do not start with ``_``; a ``type`` is refused, as nothing is built from within such options. With
    ``described``, for what is only shown and never built, texts may be any and ``type`` may be a key.

    Raises:
        ValueError: it is something else, nested more deeply than ``depth``, or of more than 1,000 entries.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return Whole(-(10**9), 10**9).checked(value, location)
    if isinstance(value, float):
        return Real(-1e30, 1e30).checked(value, location)
    if isinstance(value, str):
        if len(value) > _LONGEST_TEXT or not (described or re.fullmatch(r'[\w.+\- ]*', value)):
            raise ValueError(
                f'{location} must be a short text of letters, digits and _.+- and spaces, not {shown(value)}; a class '
                'that needs others lists them in its foreign_options.'
            )
        return value
    if depth == 0 or not isinstance(value, (list, tuple, Mapping)) or len(value) > 1000:
        raise ValueError(
            f'{location} must be plain data, at most 8 levels of lists and dicts of at most 1,000 entries, '
            f'not {shown(value)}.'
        )
    if isinstance(value, Mapping):
        for key in value:
            odd = not isinstance(key, str) or not key.isidentifier() or key.startswith('_')
            if odd or (key == 'type' and not described):
                raise ValueError(f'{location} must not have the key {shown(key)}.')
        return {key: plain_data(item, f'{location}.{key}', depth - 1, described) for key, item in value.items()}
    return [plain_data(item, f'{location}[{place}]', depth - 1, described) for place, item in enumerate(value)]
