"""Optics of low quality: a lens that resolves little, too few pixels, drops on the glass."""

from __future__ import annotations

import cv2
import numpy as np

from .light import enlarge, reduced, unit_of

STAGE = 'optics'

STRENGTHS = {
    'soft_lens': [{'sigma': 0.4}, {'sigma': 0.79}, {'sigma': 1.3}, {'sigma': 2.0}, {'sigma': 2.9}],
    'low_resolution': [{'side': 170.0}, {'side': 104.0}, {'side': 73.7}, {'side': 54.7}, {'side': 35.3}],
    'lens_drops': [{'cover': 0.01}, {'cover': 0.043}, {'cover': 0.11}, {'cover': 0.19}, {'cover': 0.35}],
}


def soft_lens(light: np.ndarray, rng: np.random.Generator, sigma: float) -> np.ndarray:
    """Blur by a cheap lens: a Gaussian that is wider in the corners, and colours that are magnified differently.

    The modulation transfer of a simple lens with aberrations falls about as a Gaussian's and towards the corners;
    lateral chromatic aberration magnifies red and blue against green (Kang, "Automatic Removal of Chromatic
    Aberration from a Single Image", CVPR 2007). ``sigma``, in the centre, is in 1/256 of the shorter side.
    """
    height, width = light.shape[:2]
    sharp, corner = sigma * unit_of(light), rng.uniform(1.2, 2)
    centre = _gaussian(light, sharp)
    edge = _gaussian(light, sharp * corner)
    rows = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    columns = np.linspace(-1, 1, width, dtype=np.float32)
    weight = ((rows**2 + columns**2) / 2)[:, :, None]
    out = centre + (edge - centre) * weight
    shift = rng.uniform(0, 0.004) * sigma * rng.choice([-1, 1])
    for channel, scale in ((0, 1 + shift), (2, 1 - shift)):
        move = np.array([[scale, 0, (1 - scale) * width / 2], [0, scale, (1 - scale) * height / 2]])
        plane = np.ascontiguousarray(out[:, :, channel])
        out[:, :, channel] = cv2.warpAffine(plane, move, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return out


def _gaussian(light: np.ndarray, sigma: float) -> np.ndarray:
    shrink = max(1.0, sigma / 2)
    small = light if shrink == 1 else cv2.resize(light, reduced(light.shape, shrink), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), max(0.1, sigma / shrink), borderType=cv2.BORDER_REFLECT)
    return small if shrink == 1 else enlarge(small, light.shape)


def low_resolution(light: np.ndarray, rng: np.random.Generator, side: float) -> np.ndarray:
    """Take the picture with ``side`` pixels along the shorter side, as a wide lens takes what is far, and enlarge it.

    Source: Cai et al., "Toward Real-World Single Image Super-Resolution", ICCV 2019, who take both of each pair with
    one camera at two focal lengths. Pixels collect light over their area; enlarging is bicubic.
    """
    small = cv2.resize(light, reduced(light.shape, max(1.0, min(light.shape[:2]) / side)), interpolation=cv2.INTER_AREA)
    large = cv2.resize(small, (light.shape[1], light.shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.maximum(large, 0)


def lens_drops(light: np.ndarray, rng: np.random.Generator, cover: float) -> np.ndarray:
    """Put drops of water on the lens: each shows a wide part of the scene, small, upside down and out of focus.

    Source: Halimeh & Roser, "Raindrop Detection on Car Windshields Using Geometric-Photometric Environment
    Construction", IV 2009; von Bernuth et al., "Simulating Photo-realistic Snow and Fog on Existing Images", ITSC 2019.
    ``cover`` is the sum of the drops' areas relative to the picture's; they overlap.
    """
    height, width = light.shape[:2]
    unit, area = unit_of(light), 0.0
    out, wide = light.copy(), _gaussian(light, 4 * unit)
    while area < cover * height * width:
        radius = unit * float(np.clip(rng.lognormal(np.log(14), 0.5), 4, 50))
        area += np.pi * radius**2 + 1
        x, y = rng.random(2) * (width, height)
        tall, bulge, dim = rng.uniform(0.9, 1.4), rng.uniform(1.5, 3), rng.uniform(0.7, 1)
        reach = int(radius * tall + 3)
        left, top = max(0, int(x) - reach), max(0, int(y) - reach)
        part = out[top : int(y) + reach + 1, left : int(x) + reach + 1]
        rows = np.arange(top, top + part.shape[0], dtype=np.float32)[:, None] - np.float32(y)
        columns = np.arange(left, left + part.shape[1], dtype=np.float32) - np.float32(x)
        distance = np.sqrt((rows / np.float32(tall)) ** 2 + columns**2) / np.float32(radius)
        # Refraction grows towards the rim, and the picture in the drop is inverted.
        turn = -np.float32(bulge) * (1 + 2 * np.minimum(distance, 1) ** 2)
        shifted = cv2.remap(
            wide, columns * turn + np.float32(x), rows * turn + np.float32(y), cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT,
        )  # fmt: skip
        shade = np.float32(dim) * (1 - np.float32(0.5) * np.minimum(distance, 1) ** 4)
        weight = np.clip((1 - distance) * np.float32(max(2.0, radius / (2 * unit + 1))), 0, 1)[:, :, None]
        part += (shifted * shade[:, :, None] - part) * weight
    return out
