"""VSI of many versions of one source: gradients and colours that differ, weighed by what catches the eye.

Zhang, Shen and Li, IEEE Transactions on Image Processing 23, 2014; saliency by simple priors (SDSP): Zhang, Gu and Li,
ICIP 2013. Constants are theirs, for values 0 to 255; borders and resizing as in piq 0.8.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import cv2
import numpy as np
import scipy.fft
import scipy.sparse

from .structure import reduced, ssim_factor

#: Of saliency, gradient and colour; exponents of gradient and colour.
C_SALIENCY, C_GRADIENT, C_COLOUR = (np.float32(value) for value in (1.27, 386.0, 130.0))
ALPHA, BETA = np.float32(0.4), np.float32(0.02)
#: Saliency: side of the picture in use, log-Gabor filter, bias to the centre, bias to warm colours.
SIDE, OMEGA, SIGMA_F, SIGMA_D, SIGMA_C = 256, 0.021, 1.34, 145.0, 0.001
_EPS = np.finfo(np.float32).eps

#: RGB to a brightness and two opponent colours (Geusebroek et al., as in the paper's equation 9).
_LMN = np.array([[0.06, 0.63, 0.27], [0.30, 0.04, -0.35], [0.34, -0.6, 0.17]], np.float32)
#: sRGB to XYZ, and CIELAB's white of illuminant D50 (2 degrees), as piq has them.
_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]],
    np.float32,
)
_WHITE = np.array([0.9642119944211994, 1, 0.8251882845188288], np.float32)
_LAB = np.array([[0, 116, 0], [500, -500, 0], [0, 200, -200]], np.float32)


def cielab(values: np.ndarray) -> np.ndarray:
    """Return CIELAB of sRGB (H, W, 3) in [0, 1], float32."""
    linear = np.where(values > 0.04045, ((values + np.float32(0.055)) / np.float32(1.055)) ** np.float32(2.4), 0)
    linear = np.where(values > 0.04045, linear, values / np.float32(12.92))
    share = cv2.transform(linear, _XYZ) / _WHITE
    # CIE 15: the cube root, and a line below 0.008856.
    root = np.where(
        share > 0.008856, share ** np.float32(1 / 3), (np.float32(903.3) * share + np.float32(16)) / np.float32(116)
    )
    lab: np.ndarray = cv2.transform(root, _LAB)
    lab[..., 0] -= 16
    return lab


@functools.cache
def _priors() -> tuple[np.ndarray, np.ndarray]:
    """Return the log-Gabor filter of half a spectrum, (256, 129), and the bias to the centre, (256, 256)."""
    at = (np.arange(SIDE, dtype=np.float32) - SIDE // 2) / SIDE
    rows, columns = np.meshgrid(at, at, indexing='ij')
    radius = np.sqrt(rows**2 + columns**2)
    radius = np.fft.ifftshift(radius * (radius <= 0.5))
    radius[0, 0] = 1
    with np.errstate(divide='ignore'):
        passed = np.exp(-(np.log(radius / np.float32(OMEGA)) ** 2) / np.float32(2 * SIGMA_F**2))
    passed[0, 0] = 0
    places = np.stack([rows, columns]) * SIDE + 1
    centre = np.exp(-np.sum(places**2, axis=0) / np.float32(SIGMA_D**2))
    return passed[:, : SIDE // 2 + 1].astype(np.float32), centre.astype(np.float32)


@functools.lru_cache(maxsize=8)
def _stretching(size: int) -> scipy.sparse.csr_matrix:
    """Return the (size, 256) matrix that interpolates linearly between 256 values, ends on ends."""
    at = np.arange(size) * ((SIDE - 1) / max(1, size - 1))
    below = np.minimum(at.astype(int), SIDE - 2)
    share = at - below
    rows = np.repeat(np.arange(size), 2)
    columns = np.stack([below, below + 1], axis=1).ravel()
    weights = np.stack([1 - share, share], axis=1).ravel().astype(np.float32)
    return scipy.sparse.csr_matrix((weights, (rows, columns)), shape=(size, SIDE), dtype=np.float32)


def saliency(values: np.ndarray) -> np.ndarray:
    """Return what catches the eye in RGB (H, W, 3), 0 to 255: float32 (H, W) from 0 to 1."""
    passed, centre = _priors()
    small = cv2.resize(values, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR) / np.float32(255)
    lab = np.ascontiguousarray(cielab(small).transpose(2, 0, 1))
    edges = scipy.fft.irfft2(scipy.fft.rfft2(lab) * passed, s=(SIDE, SIDE))
    strength = np.sqrt(np.square(edges).sum(axis=0))
    lows, highs = (extreme(lab[1:], axis=(1, 2), keepdims=True) for extreme in (np.min, np.max))
    warmth = np.square((lab[1:] - lows) / (highs - lows + _EPS)).sum(axis=0)
    colour = 1 - np.exp(-warmth / np.float32(SIGMA_C**2))
    height, width = values.shape[:2]
    rows = _stretching(height) @ (strength * centre * colour)
    enlarged = np.ascontiguousarray((_stretching(width) @ np.ascontiguousarray(rows.T)).T)
    low, high = enlarged.min(), enlarged.max()
    return (enlarged - low) / (high - low + _EPS)


class _Maps(NamedTuple):
    saliency: np.ndarray
    gradient: np.ndarray
    first: np.ndarray
    second: np.ndarray


def _maps(values: np.ndarray) -> _Maps:
    salient, colours = saliency(values), cv2.transform(values, _LMN)
    factor = ssim_factor(values.shape)
    if before := factor // 2:
        after = (factor - 1) // 2
        salient, colours = (
            reduced(cv2.copyMakeBorder(map_, before, after, before, after, cv2.BORDER_REPLICATE), factor)
            for map_ in (salient, colours)
        )
    brightness, first, second = cv2.split(colours)
    # Scharr's filter, as the paper has it: a sixteenth of 3, 10, 3; zero outside the picture.
    across, down = (
        cv2.Scharr(brightness, cv2.CV_32F, *direction, scale=1 / 16, borderType=cv2.BORDER_CONSTANT)
        for direction in ((1, 0), (0, 1))
    )
    return _Maps(salient, cv2.magnitude(across, down), first, second)


def _alike(one: np.ndarray, other: np.ndarray, constant: np.float32) -> np.ndarray:
    return (2 * one * other + constant) / (one * one + other * other + constant)


class SalientSource:
    """The saliency, gradients and colours of a source, for VSI of its versions.

    Args:
        values: float32 RGB (H, W, 3), 0 to 255.
    """

    def __init__(self, values: np.ndarray):
        self.maps = _maps(values)

    def measure(self, values: np.ndarray) -> float:
        """Return VSI of a version: 1 for the source itself."""
        mine, other = self.maps, _maps(values)
        colour = _alike(mine.first, other.first, C_COLOUR) * _alike(mine.second, other.second, C_COLOUR)
        # The real part of a power of a number that may be negative.
        power = np.abs(colour) ** BETA
        power[colour < 0] *= np.float32(np.cos(np.pi * BETA))
        alike = _alike(mine.saliency, other.saliency, C_SALIENCY)
        alike *= _alike(mine.gradient, other.gradient, C_GRADIENT) ** ALPHA
        alike *= power
        weight = np.maximum(mine.saliency, other.saliency)
        return float(((alike * weight).sum(dtype=np.float64) + _EPS) / (weight.sum(dtype=np.float64) + _EPS))
