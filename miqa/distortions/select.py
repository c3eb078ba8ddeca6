"""Five levels of a distortion: out of 12 candidates by their PSNR against the source, or set for all pictures."""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np

from miqa.running import generator_for

from .apply import distort
from .registry import distortion
from .severities import LEVEL_RANKS, candidates

# Bytes of candidates that are kept while their PSNR is compared; larger pictures are made twice instead.
_KEPT_BYTES = 256 * 2**20


class SelectedLevel(NamedTuple):
    """One level of one distortion of one image."""

    level: int
    #: Number of the candidate in the table, from 1.
    candidate: int
    params: dict[str, float]
    #: Against the source, in dB; infinite where nothing changed.
    psnr: float
    #: uint8, the shape of the source.
    image: np.ndarray


def psnr(reference: np.ndarray, image: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio of two uint8 pictures of one shape in dB, infinite where they are equal.

    10 log10(255^2 / mean squared difference), the squared differences summed in whole numbers.
    """
    if reference.shape != image.shape:
        raise ValueError(f'PSNR compares pictures of one shape, not {reference.shape} and {image.shape}.')
    squares = cv2.norm(reference.reshape(1, -1), image.reshape(1, -1), cv2.NORM_L2SQR)
    return math.inf if squares == 0 else 10 * math.log10(255**2 * reference.size / squares)


def make_candidate(image: np.ndarray, name: str, number: int, seed: int, image_id: str) -> np.ndarray:
    """Make candidate ``number``, from 1, of a distortion; it depends on the arguments and on nothing else.

    Where candidates are levels themselves, all levels of a picture draw the same: the same rain, and more of it.
    """
    keys = () if distortion(name).has_levels else (number,)
    return distort(image, name, candidates(name)[number - 1], generator_for(seed, image_id, name, *keys))


def select_levels(image: np.ndarray, name: str, seed: int, image_id: str) -> list[SelectedLevel]:
    """Make levels 1 to 5 of a distortion of a source, uint8 RGB (H, W, 3) or grey (H, W).

    Where it has 12 candidates, they are ranked by PSNR (best first), and ranks 1, 5, 8, 10 and 12 kept; candidates of
    equal PSNR, infinite ones too, stay in the order of the table, weakest first. Where it has five, they are the
    levels. The database's ``seed`` and the source's ``image_id`` determine all random numbers.
    """
    numbers = range(1, len(candidates(name)) + 1)
    keep = image.nbytes * len(numbers) <= _KEPT_BYTES
    candidate_images, values = {}, {}
    for number in numbers:
        candidate = make_candidate(image, name, number, seed, image_id)
        values[number] = psnr(image, candidate)
        if keep:
            candidate_images[number] = candidate
    chosen = list(numbers)
    if not distortion(name).has_levels:
        # sorted() is stable: equal values keep the order of the table.
        ranked = sorted(numbers, key=lambda number: -values[number])
        chosen = [ranked[rank - 1] for rank in LEVEL_RANKS]
    return [
        SelectedLevel(
            level=level,
            candidate=number,
            params=candidates(name)[number - 1],
            psnr=values[number],
            image=candidate_images[number] if keep else make_candidate(image, name, number, seed, image_id),
        )
        for level, number in enumerate(chosen, 1)
    ]
