"""SSIM and MS-SSIM of many versions of one source; source terms are computed once.

Wang, Bovik, Sheikh and Simoncelli, IEEE Transactions on Image Processing 13, 2004: windows, K1 and K2; Wang, Simoncelli
and Bovik, Asilomar 2003: the five scales and their weights. Where the papers leave a choice the values are those of
piq 0.8: SSIM of a picture reduced by the nearest whole factor to a shorter side of about 256, valid windows, the mean
of the channels' values.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

#: Gaussian window: its side and its standard deviation in pixels.
WINDOW, SIGMA = 11, 1.5
#: K1 and K2, squared, for values from 0 to 255.
C1, C2 = np.float32((0.01 * 255) ** 2), np.float32((0.03 * 255) ** 2)
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
SSIM_SIDE = 256  # SSIM is taken where the shorter side has about so many pixels


def gaussian(size: int, sigma: float) -> np.ndarray:
    """Return a Gaussian window that sums to one, float64 (size,)."""
    at = np.arange(size) - (size - 1) / 2
    window = np.exp(-(at**2) / (2 * sigma**2))
    return window / window.sum()


def windowed(values: np.ndarray, window: np.ndarray) -> np.ndarray:
    """Average (H, W) or (H, W, C) under a window, both ways, where it lies inside: float64 (H-n+1, W-n+1, ...).

    A variance is the small difference of two such averages: single precision leaves 1e-4 of it in bright, even areas.
    """
    margin = len(window) // 2
    filtered = cv2.sepFilter2D(values, cv2.CV_64F, window, window, borderType=cv2.BORDER_REPLICATE)
    return filtered[margin : values.shape[0] - margin, margin : values.shape[1] - margin]


def reduced(values: np.ndarray, factor: int) -> np.ndarray:
    """Average squares of ``factor`` x ``factor`` pixels; what is left over at the right and below is dropped."""
    height, width = values.shape[0] // factor, values.shape[1] // factor
    return cv2.resize(
        np.ascontiguousarray(values[: height * factor, : width * factor]), (width, height), interpolation=cv2.INTER_AREA
    )


def ssim_factor(shape: tuple[int, ...]) -> int:
    """Return by how much a picture (H, W, ...) is reduced for SSIM."""
    return max(1, round(min(shape[:2]) / SSIM_SIDE))


class _Moments(NamedTuple):
    """A picture and what windows say of it: its means, float64, their squares and its variances, float32."""

    values: np.ndarray
    mean: np.ndarray
    square: np.ndarray
    variance: np.ndarray


class Structure:
    """One scale of a source.

    Args:
        values: float32 (H, W, 3), 0 to 255: products of whole numbers are exact.
    """

    _window = gaussian(WINDOW, SIGMA)

    def __init__(self, values: np.ndarray):
        self.own = self._moments(values)

    def compare(self, values: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Return the mean SSIM of a version, and per channel the means of SSIM and of its contrast-structure part."""
        mine, other = self.own, self._moments(values)
        product = mine.mean * other.mean
        covariance = (windowed(mine.values * other.values, self._window) - product).astype(np.float32)
        contrast = (2 * covariance + C2) / (mine.variance + other.variance + C2)
        luminance = (2 * product.astype(np.float32) + C1) / (mine.square + other.square + C1)
        structure = luminance * contrast
        channels = structure.mean(axis=(0, 1), dtype=np.float64)
        return float(channels.mean()), channels, contrast.mean(axis=(0, 1), dtype=np.float64)

    def _moments(self, values: np.ndarray) -> _Moments:
        mean = windowed(values, self._window)
        square = mean * mean
        variance = windowed(values * values, self._window) - square
        return _Moments(values, mean, square.astype(np.float32), variance.astype(np.float32))


def next_scale(values: np.ndarray) -> np.ndarray:
    """Halve (H, W, 3); with an odd side the first row and column count twice, as in piq."""
    odd = max(values.shape[0] % 2, values.shape[1] % 2)
    if odd:
        values = cv2.copyMakeBorder(values, 1, 0, 1, 0, cv2.BORDER_REPLICATE)
    return reduced(values, 2)


class StructuralSource:
    """The structure of a source, float32 (H, W, 3), 0 to 255, for SSIM and MS-SSIM of its versions."""

    def __init__(self, values: np.ndarray, ssim: bool, scales: bool):
        self.factor = ssim_factor(values.shape)
        self.scales: list[Structure] = []
        if scales:
            level = values
            for number in range(len(SCALE_WEIGHTS)):
                level = next_scale(level) if number else level
                self.scales.append(Structure(level))
        # Where nothing is reduced the first scale is SSIM's.
        own = ssim and not (scales and self.factor == 1)
        self.single = Structure(reduced(values, self.factor) if self.factor > 1 else values) if own else None
        self.ssim = ssim

    def measure(self, values: np.ndarray) -> dict[str, float]:
        """Return ``SSIM`` and ``MS-SSIM`` of a version, as far as they are wanted."""
        out = {}
        if self.single is not None:
            out['SSIM'] = self.single.compare(reduced(values, self.factor) if self.factor > 1 else values)[0]
        if self.scales:
            factors = []
            for number, scale in enumerate(self.scales):
                values = next_scale(values) if number else values
                mean, structure, contrast = scale.compare(values)
                if number == 0 and self.ssim and self.single is None:
                    out['SSIM'] = mean
                factors.append(structure if number == len(self.scales) - 1 else contrast)
            powers = np.maximum(factors, 0) ** np.array(SCALE_WEIGHTS)[:, None]
            out['MS-SSIM'] = float(powers.prod(axis=0).mean())
        return out
