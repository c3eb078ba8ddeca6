"""The sensor: photons, electrons, gain, and what comes right after them: demosaicing and denoising."""

from __future__ import annotations

import cv2
import numpy as np

from .depth import guided_filter
from .light import unit_of

STAGE = 'sensor'

STRENGTHS = {
    'sensor_noise': [
        {'electrons': 1500.0},
        {'electrons': 318.0},
        {'electrons': 203.0},
        {'electrons': 104.0},
        {'electrons': 47.0},
    ],
    'low_light': [{'stops': 1.5}, {'stops': 3.75}, {'stops': 5.61}, {'stops': 6.53}, {'stops': 7.21}],
}

#: Electrons in a white pixel at full exposure, of a sensor whose shorter side has 256 pixels: a small sensor.
FULL_WELL = 6000.0

# From so many electrons in a white pixel on, a normal law of the same variance stands for Poisson's (Foi et al. 2008).
_MANY = 50.0

# Standard deviation of reading a pixel, and of what a whole row shares, in electrons (Wei et al. 2020: the row noise of
# their cameras is a tenth to a third of the read noise).
_READ, _ROW = 2.5, 0.5

# A sensor of more pixels gives each of them less light; beyond this ratio of sides, cameras put pixels together.
_FINEST = 3.0

# Raw values are kept from this far below black to this far above white, as multiples of white.
_BELOW, _ABOVE = 0.5, 1.5


def sensor_noise(light: np.ndarray, rng: np.random.Generator, electrons: float) -> np.ndarray:
    """Take the picture with few electrons and much gain: noise before demosaicing, then the camera's own denoising.

    Photons come by Poisson's law, reading adds normal noise to each pixel and each row; only one colour of each pixel
    of a Bayer pattern is measured. Sources: Foi et al., "Practical Poissonian-Gaussian Noise Modeling and Fitting for
    Single-Image Raw-Data", TIP 2008; Wei et al., "A Physics-Based Noise Formation Model for Extreme Low-Light Raw
    Denoising", CVPR 2020. ``electrons`` are those of a white pixel of a picture whose shorter side has 256; a finer
    sensor shares them out.
    """
    share = 1 / float(np.clip(unit_of(light), 1, _FINEST)) ** 2
    height, width = light.shape[:2]
    developed = demosaic(_expose(light, rng, electrons * share))[2 : 2 + height, 2 : 2 + width]
    return _denoise(developed, float(rng.uniform(0, 1)), electrons * share)


def low_light(light: np.ndarray, rng: np.random.Generator, stops: float) -> np.ndarray:
    """Take the picture in the dark: little light, noise by the gain that makes up for a part of it.

    Args:
        light: float32 RGB (H, W, 3), linear.
        rng: where noise, gain and denoising come from.
        stops: of light that are missing, against a full exposure (:data:`FULL_WELL`).
    """
    lift = rng.uniform(0.3, 0.7)
    noisy = sensor_noise(light, rng, FULL_WELL * 2.0**-stops)
    return noisy * np.float32(2.0 ** (-stops * (1 - lift)))


def _expose(light: np.ndarray, rng: np.random.Generator, electrons: float) -> np.ndarray:
    """Return noisy raw values of a Bayer sensor (RGGB), uint16 (even H, even W), padded by at least 2 on all sides."""
    height, width = light.shape[:2]
    padded = cv2.copyMakeBorder(light, 2, 2 + height % 2, 2, 2 + width % 2, cv2.BORDER_REPLICATE)
    mosaic = np.empty(padded.shape[:2], np.float32)
    mosaic[::2, ::2] = padded[::2, ::2, 0]
    mosaic[::2, 1::2] = padded[::2, 1::2, 1]
    mosaic[1::2, ::2] = padded[1::2, ::2, 1]
    mosaic[1::2, 1::2] = padded[1::2, 1::2, 2]
    np.clip(mosaic, 0, 1, out=mosaic)
    mosaic *= np.float32(electrons)
    noise = np.asarray(rng.standard_normal(mosaic.shape, dtype=np.float32))
    if electrons < _MANY:
        raw = rng.poisson(mosaic).astype(np.float32)
        noise *= np.float32(_READ)
    else:
        raw = mosaic
        noise *= cv2.sqrt(mosaic + np.float32(_READ**2))
    raw += noise
    raw += rng.standard_normal((raw.shape[0], 1), dtype=np.float32) * np.float32(_ROW)
    raw /= np.float32(electrons)
    raw += np.float32(_BELOW)
    raw *= np.float32(65535 / (_ABOVE + _BELOW))
    return np.clip(raw, 0, 65535).astype(np.uint16)


def demosaic(raw: np.ndarray) -> np.ndarray:
    """Interpolate the colours of raw values (uint16 RGGB) along edges: float32 RGB (H, W, 3), linear, 1 for white."""
    # OpenCV names a pattern by the second and third pixel of its second row: RGGB is its BG.
    colours = cv2.demosaicing(raw, cv2.COLOR_BayerBG2RGB_EA).astype(np.float32)
    colours *= np.float32((_ABOVE + _BELOW) / 65535)
    colours -= np.float32(_BELOW)
    return colours


def _denoise(light: np.ndarray, strength: float, electrons: float) -> np.ndarray:
    """Smear the colours of the noise, and its luminance by a guided filter, after a variance-stabilising root."""
    root = cv2.sqrt(np.maximum(light, 0))
    luma, red, blue = cv2.split(cv2.cvtColor(root, cv2.COLOR_RGB2YCrCb))
    sigma = 0.6 + 1.8 * strength
    red, blue = (cv2.GaussianBlur(plane, (0, 0), sigma) for plane in (red, blue))
    if strength > 0.35:
        # The root of a Poisson variable divided by n has a variance of 1 / (4 n).
        luma = guided_filter(luma, luma, 1 + round(2 * strength), strength / max(electrons, 1.0))
    root = np.maximum(cv2.cvtColor(cv2.merge([luma, red, blue]), cv2.COLOR_YCrCb2RGB), 0)
    return root * root
