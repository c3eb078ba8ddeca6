"""The image signal processor: tone curve, sharpening, smearing, resizing; all on values for the display."""

from __future__ import annotations

import cv2
import numpy as np

from .light import unit_of

STAGE = 'isp'

STRENGTHS = {
    'tone_curve': [{'strength': 0.37}, {'strength': 1.9}, {'strength': 2.6}, {'strength': 3.5}, {'strength': 4.5}],
    'sharpening_halos': [{'amount': 0.63}, {'amount': 3.0}, {'amount': 6.4}, {'amount': 13.0}, {'amount': 30.0}],
    'smeared_detail': [{'radius': 0.8}, {'radius': 1.6}, {'radius': 3.0}, {'radius': 5.5}, {'radius': 10.0}],
    'resize_chain': [{'side': 225.0}, {'side': 159.0}, {'side': 111.0}, {'side': 79.3}, {'side': 52.7}],
}

_RESAMPLINGS = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_AREA, cv2.INTER_LANCZOS4)


def tone_curve(image: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    """Apply a curve that does not suit the scene: too hard, too flat, too dark or too bright.

    Source: Karaimer & Brown, "A Software Platform for Manipulating the Camera Imaging Pipeline", ECCV 2016.
    ``strength``, at least 0, is the binary logarithm of the curve's steepness (hard, flat) or exponent (dark, bright).
    """
    values = np.linspace(0, 1, 256)
    power = 2.0**strength
    kind = rng.integers(4)
    if kind == 0:  # a hard S about a drawn middle grey
        middle = rng.uniform(0.35, 0.65)
        curve = np.clip((values - middle) * power + middle, 0, 1)
    elif kind == 1:  # flat, lifted blacks
        curve = (values - 0.5) / power + rng.uniform(0.35, 0.75)
    else:
        curve = values ** (power if kind == 2 else 1 / power)
    return cv2.LUT(image, np.round(np.clip(curve, 0, 1) * 255).astype(np.uint8))


def sharpening_halos(image: np.ndarray, rng: np.random.Generator, amount: float) -> np.ndarray:
    """Sharpen far too much by an unsharp mask: halos along edges, grain in flat areas.

    Source: Polesel, Ramponi & Mathews, "Image Enhancement via Adaptive Unsharp Masking", TIP 2000 (the linear one).
    ``amount`` multiplies the difference from the blurred picture, whose width is 0.5 to 2.5 of 1/256 of the shorter
    side.
    """
    sigma = max(0.3, rng.uniform(0.5, 2.5) * unit_of(image))
    blurred = cv2.GaussianBlur(image, (0, 0), sigma)
    return cv2.addWeighted(image, 1 + amount, blurred, -amount, 0)


def smeared_detail(image: np.ndarray, rng: np.random.Generator, radius: float) -> np.ndarray:
    """Denoise far too much: texture becomes patches with sharp edges, as water colours do, by a median.

    A median is the oldest filter that keeps edges (Tukey 1977); phone cameras' smearing is measured by texture loss
    (ISO 19567). ``radius`` of the window is in 1/256 of the shorter side; up to 15 percent of the original is mixed
    back.
    """
    # OpenCV's median is fast up to 5 x 5; larger windows work on a smaller picture.
    pixels = radius * unit_of(image)
    shrink = max(1.0, pixels / 2)
    size = (max(1, round(image.shape[1] / shrink)), max(1, round(image.shape[0] / shrink)))
    small = image if shrink == 1 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    small = cv2.medianBlur(cv2.medianBlur(small, 5), 5)
    if shrink > 1:
        small = cv2.resize(small, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_CUBIC)
    return cv2.addWeighted(small, 1 - (share := rng.uniform(0, 0.15)), image, share, 0)


def resize_chain(image: np.ndarray, rng: np.random.Generator, side: float) -> np.ndarray:
    """Resize two to four times by drawn methods, through a shorter side of ``side`` pixels, as pictures passed on are.

    Source: Wang et al., "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic Data", ICCVW 2021.
    """
    height, width = image.shape[:2]
    smallest = min(1.0, side / min(height, width))
    scales = [smallest, *np.exp(rng.uniform(np.log(smallest), 0, rng.integers(0, 3)))]
    out = image
    for scale in [*rng.permutation(scales), 1.0]:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        out = cv2.resize(out, size, interpolation=_RESAMPLINGS[rng.integers(len(_RESAMPLINGS))])
    return out
