"""Conversion of pixel values to bytes.

- 8 bits a channel: 0 is black, 255 is white.
- 9 to 16 bits a channel: black is 0, white is the highest value of the bits that the file states (``BitsPerSample``);
  the highest eight of these bits are kept. Where a file's ``SMinSampleValue`` and ``SMaxSampleValue`` state another
  range, that one is stretched over 0 to 255.
- Floating point: black is 0, white is 1, or what the same two fields state.
- Integers of more than 16 bits, and signed ones: only where the file states the range.
- ``value_range`` goes before all of this.

Values outside the range, and those that are not numbers, are refused. Nothing is guessed from the content; but where 16
bits are stored of which the upper four are empty in every pixel, nothing tells whether the picture is nearly black
or has 12 bits (10, ...) in a container of 16, and it is refused until ``value_range`` says so.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable

import numpy as np

_UNCLEAR_BELOW = 1 << 12  # Below this highest value 16 bits may be 12 or fewer in the lower bits
_DOUBTFUL_BELOW = 1 << 14  # Below this one they may be 14; a photograph may also simply be dark

_VALUES_AT_A_TIME = 4_000_000

#: What callers may give: the value of white, or those of black and white; None for what the type or the file says.
ValueRange = float | tuple[float, float] | None


class UnclearValues(ValueError):
    """Pixel values whose white level is unknown; the message names the picture and the remedy."""


def check_range(value_range: ValueRange) -> tuple[float, float] | None:
    """Return the values of black and white; a single number is that of white.

    Raises:
        ValueError: they are not two finite numbers, the first below the second.
    """
    if value_range is None:
        return None
    pair = value_range if isinstance(value_range, (tuple, list)) else (0, value_range)
    try:
        low, high = map(float, pair)
    except (TypeError, ValueError):
        low = high = np.nan
    if not (np.isfinite([low, high]).all() and low < high):
        raise ValueError(
            'value_range must be the value of white, such as 4095, or those of black and white, such as (0, 4095); '
            f'{value_range!r} is neither.'
        )
    return low, high


def to_bytes(
    values: np.ndarray, name: str, value_range: tuple[float, float] | None = None, bits: int = 16, scaled: bool = False
) -> np.ndarray:
    """Turn the numbers of a picture, of any shape, into uint8 by the rule of this module.

    Args:
        values: uint8, uint16, other integers, or floating point.
        name: what to call the picture in an error.
        value_range: the values of black and white, stated by the file or the caller.
        bits: that the file states for unsigned integers, at most 16.
        scaled: the decoder has stretched the values to 16 bits already.

    Raises:
        UnclearValues: there are values outside the range, or NaN, or the range cannot be known.
        TypeError: the values are not numbers.
    """
    if values.dtype == np.uint8:
        # Eight bits leave nothing to be known.
        return values
    return _by_rows(values, bytes_function(values.dtype, *extremes([values]), name, value_range, bits, scaled))


def extremes(parts: Iterable[np.ndarray]) -> tuple[float, float]:
    """Return the lowest and the highest value of all parts of a picture; NaN where there is one, 0 where none is."""
    ranges = [(part.min(), part.max()) for part in parts if part.size]
    if not ranges:
        return 0, 0
    lowest, highest = (np.array(values) for values in zip(*ranges, strict=True))
    return lowest.min().item(), highest.max().item()


def bytes_function(
    dtype: np.dtype,
    lowest: float,
    highest: float,
    name: str,
    value_range: tuple[float, float] | None = None,
    bits: int = 16,
    scaled: bool = False,
) -> Callable[[np.ndarray], np.ndarray]:
    """Return what turns parts of a picture into bytes, given the :func:`extremes` of the whole.

    Arguments and errors as for :func:`to_bytes`.
    """
    # Files of Motorola's byte order (MM) are decoded as they are.
    dtype = dtype.newbyteorder('=')
    if dtype.kind not in 'uif':
        raise TypeError(f'Pixels must be integers or floating point in [0, 1]; those of {name} are {dtype}.')
    if dtype.kind == 'f':
        return _of_floats(lowest, highest, name, value_range or (0.0, 1.0), value_range is not None)
    if value_range is None:
        if dtype != np.uint16 and not scaled:
            raise UnclearValues(
                f'The values of {name} are {dtype}, whose white level is unknown. Name it: {_remedy(highest)}.'
            )
        bits = 16 if scaled else min(bits, 16)
        if bits == 16 and not scaled:
            _refuse_unclear(int(highest), name)
        value_range = (0, (1 << bits) - 1)
    low, high = value_range
    if lowest < low or highest > high:
        raise UnclearValues(
            f'The values of {name} reach from {lowest} to {highest}, beyond the range {low:g} to {high:g} that is '
            f'stated for them. Say which is right: {_remedy(highest)}.'
        )
    width = (int(high) + 1).bit_length() - 1
    if low == 0 and high == (1 << width) - 1 and width >= 8:
        return lambda part: part >> (width - 8)
    return lambda part: np.rint((part.astype(np.float64) - low) * (255 / (high - low)))


def _by_rows(values: np.ndarray, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Apply a function some rows at a time: what it needs in between is several times as large as the picture."""
    result = np.empty(values.shape, np.uint8)
    rows = max(1, _VALUES_AT_A_TIME // max(1, values[:1].size))
    for top in range(0, len(values), rows):
        result[top : top + rows] = function(values[top : top + rows])
    return result


def _of_floats(
    lowest: float, highest: float, name: str, value_range: tuple[float, float], stated: bool
) -> Callable[[np.ndarray], np.ndarray]:
    low, high = value_range
    # NaN fails this comparison too.
    if not (lowest >= low and highest <= high):
        words = f'the range {low:g} to {high:g} that is stated for them' if stated else '[0, 1]'
        raise UnclearValues(
            f'Floating-point pixels must lie in {words}; those of {name} reach from {lowest:g} to {highest:g}. '
            f'Divide by the largest possible value, or say which value is white: {_remedy(highest)}.'
        )
    if (low, high) == (0, 1):
        return lambda part: np.rint(part * 255)
    return lambda part: np.rint((part.astype(np.float64) - low) * (255 / (high - low)))


def check_high_bytes(highest: int, name: str) -> None:
    """Refuse a picture of 16 bits a channel, of which a decoder kept the upper eight, where they say too little.

    Raises:
        UnclearValues: the upper four bits are empty in all values, so that it may have 12 bits or fewer.
    """
    if highest:
        _refuse_unclear((highest << 8) + 255, name)


def _refuse_unclear(highest: int, name: str) -> None:
    if 0 < highest < _UNCLEAR_BELOW:
        raise UnclearValues(
            f'{name} has 16 bits a channel, but no value above {highest}: either it is nearly black, or it has 12 bits '
            f'or fewer that are stored in 16. Say which: value_range=65535 or {_remedy(highest)}.'
        )
    if _UNCLEAR_BELOW <= highest < _DOUBTFUL_BELOW:
        warnings.warn(
            f'{name} has 16 bits a channel and no value above {highest}: it is taken for a dark picture. If it has 14 '
            'bits, say so: value_range=16383 (--value-range 16383).',
            stacklevel=2,
        )


def _remedy(highest: float) -> str:
    white = 255
    while np.isfinite(highest) and white < highest:
        white = 2 * white + 1
    return f'value_range={white} (--value-range {white})'
