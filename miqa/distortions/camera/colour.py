"""Colours of the light: a white balance that is wrong, and lamps that are coloured."""

from __future__ import annotations

import numpy as np

from .light import luminance

STAGE = 'colour'

STRENGTHS = {
    'white_balance': [{'mireds': 40.0}, {'mireds': 146.0}, {'mireds': 227.0}, {'mireds': 281.0}, {'mireds': 346.0}],
    'coloured_light': [{'purity': 0.2}, {'purity': 0.52}, {'purity': 0.67}, {'purity': 0.82}, {'purity': 1.0}],
}

# Wavelengths that stand for red, green and blue (m), and second constant of radiation (m K).
_WAVELENGTHS = np.array([610e-9, 540e-9, 460e-9])
_C2 = 1.438777e-2

_DAYLIGHT = 1e6 / 6500  # Daylight, in mireds (a million over kelvins)


def white_balance(light: np.ndarray, rng: np.random.Generator, mireds: float) -> np.ndarray:
    """Take one light for another: gains of the channels by Planck's law, too warm or too cold, and a tint.

    Source: Afifi & Brown, "What Else Can Fool Deep Learning? Addressing Color Constancy Errors on Deep Neural Network
    Performance", ICCV 2019. ``mireds`` is the distance of a warm lamp from daylight (154 mireds), for which it is taken
    or which is taken for it.
    """
    gains = planck(_DAYLIGHT + mireds) / planck(_DAYLIGHT)
    if rng.random() < 0.5:  # daylight, developed as if a lamp had lit it
        gains = 1 / gains
    gains[1] *= 2 ** (rng.uniform(-1, 1) * mireds / 400)
    gains /= gains @ (0.2126, 0.7152, 0.0722)
    return light * gains.astype(np.float32)


def planck(mireds: float) -> np.ndarray:
    """Return the light of a black body at 610, 540 and 460 nm, float64 (3,), up to a factor. Source: Planck's law."""
    return _WAVELENGTHS**-5 / np.expm1(_C2 * mireds / 1e6 / _WAVELENGTHS)


def coloured_light(light: np.ndarray, rng: np.random.Generator, purity: float) -> np.ndarray:
    """Light the scene by a lamp of one colour, such as sodium's: it leaves luminance times its own colour.

    ``purity``, 0 to 1, is the lamp's share of the light; the rest is white. The colour is drawn: sodium, red, green,
    blue, magenta, or water's cyan.
    """
    lamps = ((1, 0.55, 0.05), (1, 0.05, 0.05), (0.1, 1, 0.15), (0.1, 0.2, 1), (1, 0.1, 0.9), (0.02, 0.7, 0.9))
    lamp = np.clip(np.array(lamps[rng.integers(len(lamps))]) * rng.uniform(0.8, 1.2, 3), 0, 1)
    lamp /= max(float(lamp @ (0.2126, 0.7152, 0.0722)), 0.35)
    # The lamp reaches each channel by its own colour, and a narrow band leaves no other differences than of luminance.
    alone = luminance(light)[:, :, None] * lamp.astype(np.float32)
    return light + (alone - light) * np.float32(purity)
