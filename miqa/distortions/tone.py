"""Distortions of tone: contrast, darkness, brightness, saturation. None of them is random.

The definitions work on x / 255 in double precision. A uint8 picture has only 256 values per channel, so each
function evaluates its formula once per value (or pair of values) and looks the pixels up.
"""

from __future__ import annotations

import cv2
import numpy as np

from .arrays import FLOAT64_SLACK, channel_means, row_strips, truncate
from .strengths import by_name, log_spaced

#: Twelve sets of parameters of each distortion, weakest first. Source: see :mod:`miqa.distortions.strengths`.
STRENGTHS = {
    # What is left of the distance from the mean of the channel.
    'contrast': by_name(('factor',), [0.9, 0.818, 0.736, 0.655, 0.573, 0.491, 0.409, 0.327, 0.246, 0.164, 0.082, 0.05]),
    # Taken from the HSV value, on a scale of 0 to 1.
    'darkness': by_name(('shift',), log_spaced(0.015, 0.7)),
    # Added to the HSV value, on a scale of 0 to 1.
    'brightness': by_name(('shift',), log_spaced(0.035, 0.7)),
    # Factor on and addition to the HSV saturation.
    'saturate': by_name(
        ('factor', 'shift'),
        [
            (1.1, 0.025),
            (1.2, 0.027),
            (1.3, 0.027),
            (1.5, 0.03),
            (1.6, 0.04),
            (1.7, 0.05),
            (1.8, 0.06),
            (2, 0.08),
            (2.5, 0.09),
            (3, 0.1),
            (5, 0.15),
            (10, 0.35),
        ],
    ),
}


def contrast(image: np.ndarray, rng: np.random.Generator, factor: float) -> np.ndarray:
    """Move every value towards the mean of its channel: (x - mean) * factor + mean, with a factor of 0 to 1.

    Pictures are uint8, RGB (H, W, 3) or grey (H, W). Source: ImageNet-C, ``contrast``.
    """
    means = channel_means(image) / 255
    values = np.arange(256) / 255
    tables = [truncate(np.clip((values - mean) * factor + mean, 0, 1) * 255) for mean in means]
    if image.ndim == 2:
        return cv2.LUT(image, tables[0])
    return cv2.LUT(image, np.stack(tables, axis=1)[None])


def darkness(image: np.ndarray, rng: np.random.Generator, shift: float) -> np.ndarray:
    """Take ``shift`` (0 to 1) from the HSV value, not below 0. Grey pictures lose it directly.

    Source: the released generator of MIQD-2.5M, ``darkness`` (scikit-image's HSV).
    """
    return _shift_value(image, -shift)


def brightness(image: np.ndarray, rng: np.random.Generator, shift: float) -> np.ndarray:
    """Add ``shift`` (0 to 1) to the HSV value, not above 1. Grey pictures gain it directly.

    Source: ImageNet-C, ``brightness``.
    """
    return _shift_value(image, shift)


def saturate(image: np.ndarray, rng: np.random.Generator, factor: float, shift: float) -> np.ndarray:
    """Set the HSV saturation to saturation * factor + shift, between 0 and 1.

    Grey pixels have hue 0 and so turn reddish where ``shift`` > 0. A grey picture (H, W) is treated as RGB
    and keeps its first channel, which the saturation leaves alone. Source: ImageNet-C, ``saturate``.
    """
    if image.ndim == 2:
        return image.copy()
    # A channel lies at value - distance; its distance from the value is proportional to the saturation.
    value, least = np.meshgrid(np.arange(256.0), np.arange(256.0), indexing='ij')
    spread = value - least
    with np.errstate(divide='ignore', invalid='ignore'):
        new = np.clip(spread / value * factor + shift, 0, 1)
        scales = np.where(spread > 0, value * new / spread, 0.0).reshape(-1)
    out = np.empty_like(image)
    for rows in row_strips(*image.shape[:2]):
        red, green, blue = cv2.split(image[rows])
        high = cv2.max(cv2.max(red, green), blue)
        low = cv2.min(cv2.min(red, green), blue)
        scale = scales.take(_pair_index(high, low))
        top = high.astype(np.float64)
        channels = [top - (top - channel) * scale for channel in (red, green, blue)]
        colourless = high == low
        if colourless.any():
            # Hue 0: red is the value, green and blue are value * (1 - saturation), saturation = shift.
            faded = top[colourless] * (1 - min(max(shift, 0.0), 1.0))
            channels[1][colourless] = faded
            channels[2][colourless] = faded
        out[rows] = cv2.merge([truncate(channel, FLOAT64_SLACK) for channel in channels])
    return out


def _shift_value(image: np.ndarray, shift: float) -> np.ndarray:
    """Shift the HSV value: every channel is scaled by new value / old value, black becomes grey."""
    if image.ndim == 2:
        return cv2.LUT(image, truncate(np.clip(np.arange(256) / 255 + shift, 0, 1) * 255))
    value, channel = np.meshgrid(np.arange(256), np.arange(256), indexing='ij')
    new = np.clip(value / 255 + shift, 0, 1)
    # An HSV colour (h, s, v) has channels v * (1 - s * something), so channel / v stays while v changes.
    share = np.divide(channel, value, out=np.ones((256, 256)), where=value > 0)
    exact = new * share * 255
    table = truncate(exact.copy())
    # Results within rounding error of a whole number are decided by the arithmetic of the definition itself.
    ties = (np.abs(exact - np.rint(exact)) < FLOAT64_SLACK) & (exact > FLOAT64_SLACK) & (channel < value)
    table, ties = table.reshape(-1), ties.reshape(-1)
    any_tie = ties.any()
    out = np.empty_like(image)
    for rows in row_strips(*image.shape[:2]):
        red, green, blue = cv2.split(image[rows])
        high = cv2.max(cv2.max(red, green), blue)
        pairs = [_pair_index(high, part) for part in (red, green, blue)]
        out[rows] = cv2.merge([table.take(pair) for pair in pairs])
        if any_tie:
            doubtful = ties.take(pairs[0]) | ties.take(pairs[1]) | ties.take(pairs[2])
            if doubtful.any():
                out[rows][doubtful] = _shift_value_by_definition(image[rows][doubtful], shift)
    return out


def _pair_index(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Index of (first, second) in a flattened 256 x 256 table."""
    return (first.astype(np.intp) << 8) + second


def _shift_value_by_definition(pixels: np.ndarray, shift: float) -> np.ndarray:
    """Convert (N, 3) uint8 pixels to HSV, shift the value, and convert back, step by step in double precision."""
    rgb = pixels / 255.0
    value = rgb.max(axis=-1)
    spread = value - rgb.min(axis=-1)
    safe_spread = np.where(spread == 0, 1.0, spread)
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    hue = np.where(red == value, (green - blue) / safe_spread, 0.0)
    hue = np.where(green == value, 2.0 + (blue - red) / safe_spread, hue)
    hue = np.where(blue == value, 4.0 + (red - green) / safe_spread, hue)
    hue = np.where(spread == 0, 0.0, (hue / 6.0) % 1.0)
    saturation = np.where(spread == 0, 0.0, spread / np.where(value == 0, 1.0, value))

    value = np.clip(value + shift, 0, 1)
    sector = np.floor(hue * 6)
    within = hue * 6 - sector
    low = value * (1 - saturation)
    falling = value * (1 - within * saturation)
    rising = value * (1 - (1 - within) * saturation)
    sector = sector.astype(np.uint8) % 6
    choices = {
        0: (value, rising, low),
        1: (falling, value, low),
        2: (low, value, rising),
        3: (low, falling, value),
        4: (rising, low, value),
        5: (value, low, falling),
    }
    out = np.empty_like(rgb)
    for number, channels in choices.items():
        chosen = sector == number
        for position, channel in enumerate(channels):
            out[chosen, position] = channel[chosen]
    return truncate(np.clip(out, 0, 1) * 255)
