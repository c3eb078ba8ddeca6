"""Test pictures for runtimes: photographs shipped with installed packages, else synthetic ones."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from miqa.pictures.package_photos import PHOTO_PACKAGES, list_photos, missing_packages

#: Pictures that are made; one more octave than needed for a view of 288 pixels.
COUNT, _OCTAVES = 16, 9
LEAST_PHOTOGRAPHS = 4  # Fewer photographs than these say too little about others


def probe_pixels(size: int, count: int = COUNT) -> np.ndarray:
    """Make pictures with structure at all scales, each damaged in another way: uint8 RGB (count, 3, size, size).

    Their spectra fall as those of photographs do, and what is done to them (blur, noise, JPEG, darkness, contrast,
    pixels) is what the scores are about: differences between number formats show on them as on photographs.
    """
    damages = tuple(_DAMAGES)
    pictures = []
    for index in range(count):
        generator = np.random.default_rng(index)
        picture = _cloud(size, generator)
        pictures.append(damages[index % len(damages)](picture, 1 + index // len(damages), generator))
    return np.ascontiguousarray(np.stack(pictures).transpose(0, 3, 1, 2))


def pixels_to_try(size: int, count: int = 3 * COUNT) -> tuple[np.ndarray, str]:
    """Return pictures to compare two ways of computing on, uint8 RGB (count, 3, size, size), and what they are.

    They are photographs that installed packages ship (see :mod:`miqa.pictures.package_photos`), each whole and damaged
    in other ways; :func:`probe_pixels` where fewer than :data:`LEAST_PHOTOGRAPHS` are installed. No label of theirs is
    looked at: the two ways compute the same network.
    """
    pictures = _photographs(COUNT)
    if len(pictures) < LEAST_PHOTOGRAPHS:
        return probe_pixels(size, count), 'made pictures'
    damages, damaged = tuple(_DAMAGES), []
    for index in range(count):
        picture = _square(pictures[index % len(pictures)], size)
        strength = 1 + index // len(damages) % 3
        damaged.append(damages[index % len(damages)](picture, strength, np.random.default_rng(index)))
    return np.ascontiguousarray(np.stack(damaged).transpose(0, 3, 1, 2)), 'photographs'


def _photographs(most: int) -> list[np.ndarray]:
    """Read installed photographs, uint8 (H, W, 3), evenly from the list; none that is not as it was listed."""
    photos = list_photos()
    missing = missing_packages(photos)
    photos = [photo for photo in photos if PHOTO_PACKAGES[photo.package].distribution not in missing]
    pictures: list[np.ndarray] = []
    for photo in photos[:: max(1, len(photos) // most)][:most]:
        with contextlib.suppress(ImportError, OSError, ValueError):  # another version of the package
            pictures.append(photo.read())
    return pictures


def _square(picture: np.ndarray, size: int) -> np.ndarray:
    """Return the middle of a photograph (H, W, 3), its shorter side made ``size`` pixels."""
    side = min(picture.shape[:2])
    top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
    return np.asarray(Image.fromarray(picture[top : top + side, left : left + side]).resize((size, size)))


def _cloud(size: int, generator: np.random.Generator) -> np.ndarray:
    picture = np.zeros((size, size, 3), np.float32)
    for octave in range(1, _OCTAVES):
        cells = generator.normal(0, 0.7 ** (octave - 1), (2**octave, 2**octave, 3)).astype(np.float32)
        for channel in range(3):
            layer = Image.fromarray(cells[:, :, channel]).resize((size, size), Image.Resampling.BICUBIC)
            picture[:, :, channel] += np.asarray(layer)
    # Channels of photographs go together.
    picture = 0.7 * picture.mean(axis=2, keepdims=True) + 0.3 * picture
    return _bytes(128 + 55 * picture)


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _scaled(picture: np.ndarray, strength: int, resample: Image.Resampling) -> np.ndarray:
    size = picture.shape[0]
    small = Image.fromarray(picture).resize((max(2, size // (2 + 4 * strength)),) * 2, Image.Resampling.BOX)
    return np.asarray(small.resize((size, size), resample))


def _jpeg(picture: np.ndarray, strength: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, 'JPEG', quality=max(2, 24 // strength))
    return np.asarray(Image.open(buffer, formats=('JPEG',)).convert('RGB'))


_DAMAGES: tuple[Callable[[np.ndarray, int, np.random.Generator], np.ndarray], ...] = (
    lambda picture, strength, generator: picture,
    lambda picture, strength, generator: _scaled(picture, strength, Image.Resampling.BICUBIC),
    lambda picture, strength, generator: _scaled(picture, strength, Image.Resampling.NEAREST),
    lambda picture, strength, generator: _jpeg(picture, strength),
    lambda picture, strength, generator: _bytes(picture + generator.normal(0, 25 * strength, picture.shape)),
    lambda picture, strength, generator: _bytes(picture * (0.5 / strength)),
    lambda picture, strength, generator: _bytes(128 + (picture - 128.0) * (0.4 / strength)),
)
