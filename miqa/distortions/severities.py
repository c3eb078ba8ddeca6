"""The one table of distortion parameters: 12 candidates per distortion, weakest first.

Sources: the generator that the authors of MIQD-2.5M released (XiaoqiWang/MIQD-2.5M, 18aeabc,
``generate_dataset``), whose distortions follow ImageNet-C (Hendrycks & Dietterich, "Benchmarking Neural
Network Robustness to Common Corruptions and Perturbations", ICLR 2019). "Weakest first" is the order of the
table; the levels of an image are chosen by measured PSNR (see :mod:`miqa.distortions.select`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from miqa.taxonomy import DISTORTIONS, EXTRA_DISTORTIONS, check_choice

#: Candidates per distortion.
CANDIDATES = 12

#: Which of the 12 candidates, ranked by PSNR (best first, counted from 1), become levels 1 to 5.
LEVEL_RANKS = (1, 5, 8, 10, 12)


def _log_spaced(first: float, last: float) -> list[float]:
    return [float(value) for value in np.logspace(np.log10(first), np.log10(last), CANDIDATES)]


def _linear(first, last) -> list[list[float]]:
    steps = np.linspace(0, 1, CANDIDATES)[:, None]
    first, last = np.asarray(first, float), np.asarray(last, float)
    return [[float(value) for value in row] for row in first + steps * (last - first)]


#: Standard deviation of the noise, on a scale where white is 1.
_GAUSSIAN_NOISE = _log_spaced(0.01, 1)

#: Share of values that turn black or white, half each.
_IMPULSE_NOISE = _log_spaced(0.0005, 0.5)

#: Taken from (darkness) or added to (brightness) the HSV value, on a scale of 0 to 1.
_DARKNESS = _log_spaced(0.015, 0.7)
_BRIGHTNESS = _log_spaced(0.035, 0.7)

#: Quality of Pillow's JPEG encoder, the integer part. The last one is 0, which Pillow since 7.1 hands to
#: libjpeg as it is, and libjpeg takes for 1; the level-5 images of MIQD-2.5M carry that quantisation.
_JPEG_QUALITY = [int(value) for value in np.linspace(100, 0.1, CANDIDATES)]

#: What is left of the distance from the mean of the channel.
_CONTRAST = [0.9, 0.818, 0.736, 0.655, 0.573, 0.491, 0.409, 0.327, 0.246, 0.164, 0.082, 0.05]

#: Size of the small picture relative to the whole, per side.
_PIXELATE = [0.95, 0.865, 0.78, 0.695, 0.61, 0.525, 0.44, 0.355, 0.27, 0.185, 0.1, 0.07]

#: Standard deviation of the Gaussian in pixels.
_GAUSSIAN_BLUR = [0.45, 0.5, 0.575, 0.65, 0.8, 1, 1.5, 2.3, 3.5, 6, 9, 12]

#: Disk radius and standard deviation of its smoothing, in pixels.
_DEFOCUS_BLUR = [
    (0.95, 0.5),
    (0.99, 0.54),
    (0.99, 0.6),
    (0.99, 0.7),
    (0.999, 0.9),
    (1, 0.9),
    (2, 0.1),
    (3, 0.5),
    (5, 0.5),
    (7, 0.8),
    (9, 0.9),
    (12, 0.9),
]

#: Gaussian sigma in pixels, largest shift in pixels, rounds of shuffling. The integer part of the last two
#: counts, so the first eight candidates do not shuffle.
_GLASS_BLUR = [
    (0.4, 1, 0.4),
    (0.42, 1.5, 0.8),
    (0.45, 1.5, 0.9),
    (0.49, 1.5, 0.9),
    (0.55, 1.5, 0.9),
    (0.65, 2, 0.9),
    (0.8, 2.5, 0.9),
    (1.2, 2.5, 0.99),
    (1.5, 2, 1.2),
    (2, 2, 2),
    (3, 3, 3),
    (4, 5, 4),
]

#: Radius and sigma in pixels, as ImageMagick's motion blur understands them.
_MOTION_BLUR = [
    (1.4, 0.6),
    (1.5, 0.7),
    (2, 0.9),
    (4, 1.5),
    (7, 2.5),
    (10.5, 3.5),
    (15, 5.0),
    (20, 7),
    (27, 10),
    (35, 14),
    (47, 20),
    (60, 30),
]

#: Mean and deviation of the noise, zoom of the flakes, threshold, radius and sigma of their motion, and how much
#: of the picture's own colour stays.
_SNOW = _linear((0.05, 0.1, 1, 0.3, 5, 2, 1), (0.6, 0.4, 5, 0.9, 15, 15, 0.5))

#: Amount of fog and decay of its roughness from one scale to the next finer one.
_FOG = [
    (0.1, 3.0),
    (0.13, 2.85),
    (0.2, 2.5),
    (0.25, 2.2),
    (0.3, 2.05),
    (0.34, 1.89),
    (0.45, 1.7),
    (0.7, 1.6),
    (0.9, 1.5),
    (1.5, 1.5),
    (2.9, 1.3),
    (5.0, 1.3),
]

#: Weight of the picture, weight of the frost, which kind of frost (1 to 5).
_FROST = [
    (1.0, 0.05, 1),
    (0.97, 0.06, 2),
    (0.95, 0.18, 3),
    (0.95, 0.14, 4),
    (0.92, 0.25, 5),
    (0.9, 0.27, 1),
    (0.9, 0.2, 2),
    (0.7, 0.65, 3),
    (0.85, 0.37, 4),
    (0.85, 0.55, 5),
    (0.82, 0.58, 1),
    (0.7, 0.8, 5),
]

#: Factor on and addition to the HSV saturation.
_SATURATE = [
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
]

# distortion -> names of its parameters, their values
_TABLE: dict[str, tuple[tuple[str, ...], Sequence]] = {
    'contrast': (('factor',), _CONTRAST),
    'pixelate': (('scale',), _PIXELATE),
    'jpeg_compression': (('quality',), _JPEG_QUALITY),
    'motion_blur': (('radius', 'sigma'), _MOTION_BLUR),
    'defocus_blur': (('radius', 'alias_sigma'), _DEFOCUS_BLUR),
    'glass_blur': (('sigma', 'max_delta', 'iterations'), _GLASS_BLUR),
    'fog': (('amount', 'decay'), _FOG),
    'snow': (('mean', 'std', 'zoom', 'threshold', 'radius', 'sigma', 'mix'), _SNOW),
    'darkness': (('shift',), _DARKNESS),
    'gaussian_noise': (('std',), _GAUSSIAN_NOISE),
    'gaussian_blur': (('sigma',), _GAUSSIAN_BLUR),
    'frost': (('image_weight', 'frost_weight', 'kind'), _FROST),
    'brightness': (('shift',), _BRIGHTNESS),
    'saturate': (('factor', 'shift'), _SATURATE),
    'impulse_noise': (('amount',), _IMPULSE_NOISE),
}


def candidates(name: str) -> list[dict[str, float]]:
    """Return the 12 parameter sets of a distortion, weakest first, each a dict by parameter name.

    Example: ``candidates('glass_blur')[0] == {'sigma': 0.4, 'max_delta': 1, 'iterations': 0.4}``.

    Raises:
        ValueError: there is no distortion of that name.
    """
    check_choice(name, DISTORTIONS + EXTRA_DISTORTIONS, 'distortion')
    names, rows = _TABLE[name]
    return [dict(zip(names, row if isinstance(row, (tuple, list)) else (row,), strict=True)) for row in rows]
