"""VIF-p of many versions of one source: how much of the source's information a version carries.

Sheikh and Bovik, IEEE Transactions on Image Processing 15, 2006, in the pixel domain as their released code has it:
four scales with windows of 17, 9, 5 and 3 pixels, noise of variance 2, luminance 0 to 255. Thresholds as in piq 0.8.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .structure import gaussian, windowed

NOISE = 2.0  # Variance of the eye's noise, for luminance 0 to 255
LEAST = np.float32(1e-8)  # Below it a variance counts as none
WINDOWS = (17, 9, 5, 3)  # Windows of the scales; each has a standard deviation of a fifth of its side
LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601: luminance of red, green and blue


def luminance(values: np.ndarray) -> np.ndarray:
    """Return the luminance of RGB (H, W, 3), 0 to 255: float64 (H, W), 0 to 255."""
    return values @ np.array(LUMINANCE)


class _Scale(NamedTuple):
    window: np.ndarray
    values: np.ndarray
    mean: np.ndarray
    variance: np.ndarray


class InformativeSource:
    """The information of a source, for VIF-p of its versions.

    Args:
        values: float32 (H, W, 3), 0 to 255.
    """

    def __init__(self, values: np.ndarray):
        self.scales = list(_scales(luminance(values)))
        self.whole = sum(
            float(np.log10(1 + scale.variance / np.float32(NOISE)).sum(dtype=np.float64))
            for scale in (s._replace(variance=np.where(s.variance >= LEAST, s.variance, 0)) for s in self.scales)
        )

    def measure(self, values: np.ndarray) -> float:
        """Return VIF-p of a version: 1 for the source itself, above 1 where contrast was raised."""
        carried = 0.0
        for mine, other in zip(self.scales, _scales(luminance(values)), strict=True):
            covariance = windowed(mine.values * other.values, mine.window) - mine.mean * other.mean
            carried += _carried(mine.variance, other.variance, covariance.astype(np.float32))
        return (carried + float(LEAST)) / (self.whole + float(LEAST))


def _scales(values: np.ndarray):
    for number, side in enumerate(WINDOWS):
        window = gaussian(side, side / 5)
        if number:
            values = np.ascontiguousarray(windowed(values, window)[::2, ::2])
        mean = windowed(values, window)
        variance = np.maximum(windowed(values * values, window) - mean * mean, 0)
        yield _Scale(window, values, mean, variance.astype(np.float32))


def _carried(source: np.ndarray, version: np.ndarray, covariance: np.ndarray) -> float:
    """Sum the information of a scale that the version carries, from variances and covariance."""
    gain = covariance / (source + LEAST)
    noise_variance = version - gain * covariance
    varies, shows = source >= LEAST, version >= LEAST
    # Without variance in the source all of the version is noise; without any in the version nothing is.
    noise_variance = np.where(varies & (covariance >= 0), noise_variance, version)
    noise_variance[~shows] = 0
    gain = np.where(varies & shows & (covariance >= 0), gain, 0)
    np.maximum(noise_variance, LEAST, out=noise_variance)
    return float(np.log10(1 + gain * gain * source / (noise_variance + np.float32(NOISE))).sum(dtype=np.float64))
