"""Damage by name and level, and random damage: for training, and for a first try."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from miqa.running import generator_for
from miqa.taxonomy import CAMERA_DISTORTIONS, LEVELS, check_choice

from .apply import check_image, distort
from .camera.chain import run_chain
from .camera.mixture import draw_kinds
from .compose import fuse, random_ellipse, soft_mask
from .registry import distortion
from .select import make_candidate, select_levels
from .severities import strength_at

REGIONS = ('whole', 'object', 'surroundings')  # Where damage may lie

# Shares of pictures with one, two, three and four kinds of damage at once.
_KINDS = (0.55, 0.25, 0.13, 0.07)


class Damage(NamedTuple):
    """What was done to a picture."""

    #: (distortion, level from 1 to 5, which need not be whole) in the order in which they were done; none: untouched.
    kinds: tuple[tuple[str, float], ...]
    #: One of :data:`REGIONS`.
    region: str


def apply_distortion(
    image: np.ndarray, name: str, level: float, seed: int = 0, mask: np.ndarray | None = None
) -> np.ndarray:
    """Distort a picture at a level, as a database made with this seed would hold it.

    Args:
        image: uint8 RGB (H, W, 3) or grey (H, W). It is not changed.
        name: one of :data:`~miqa.taxonomy.ALL_DISTORTIONS`.
        level: 1 (hardly noticed) to 5 (severe). Between whole levels the parameters are interpolated; a whole level
            of MIQD's distortions is chosen by PSNR among 12 candidates.
        seed: of all random numbers.
        mask: uint8 (H, W), 255 on the foreground: the damage is confined to it by soft edges; None: everywhere.

    Returns:
        uint8 of the same shape, a new array.

    Raises:
        TypeError, ValueError: the image or the mask is of another kind, or there is no such distortion or level.
    """
    check_image(image)
    kind = distortion(name)
    if level not in LEVELS:
        damaged = distort(image, name, strength_at(name, level), generator_for(seed, '', name))
    elif kind.has_levels:
        damaged = make_candidate(image, name, int(level), seed, '')
    else:
        damaged = select_levels(image, name, seed, '')[int(level) - 1].image
    return damaged if mask is None else fuse(damaged, image, soft_mask(mask))


def random_camera_damage(
    image: np.ndarray,
    rng: np.random.Generator,
    mask: np.ndarray | None = None,
    names: Sequence[str] = CAMERA_DISTORTIONS,
    levels: tuple[float, float] = (1, 5),
    regional: float = 0.2,
) -> tuple[np.ndarray, Damage]:
    """Damage a picture as cameras do: one to four kinds from different stages, everywhere or in a part.

    Args:
        image: uint8 RGB (H, W, 3) or grey (H, W). It is not changed.
        rng: where everything that is drawn comes from; the same state gives the same picture.
        mask: uint8 (H, W), 255 on the object; a random ellipse without one.
        names: which kinds may come.
        levels: bounds between which the level of a single kind is drawn evenly. Of several kinds each gets less: what
            they cost a machine adds up.
        regional: share of pictures that are damaged in the object alone, or in its surroundings alone.

    Returns:
        The damaged picture, uint8 of the same shape, a new array, and what was done to it.

    Raises:
        TypeError, ValueError: the image is of another kind, or a name or bound is wrong.
    """
    check_image(image)
    for name in names:
        check_choice(name, CAMERA_DISTORTIONS, 'camera distortion')
    kinds = draw_kinds(rng, 1 + int(rng.choice(len(_KINDS), p=_KINDS)), names)
    drawn = rng.uniform(*levels, len(kinds))
    chosen = np.clip(1 + (drawn - 1) / len(kinds) ** 0.5, *levels)
    steps = [(kind, strength_at(kind.name, float(level))) for kind, level in zip(kinds, chosen, strict=True)]
    damaged = run_chain(np.ascontiguousarray(image), steps, rng)
    region = 'whole'
    if rng.random() < regional:
        region = REGIONS[1 + int(rng.integers(2))]
        weights = soft_mask(random_ellipse(image.shape[0], image.shape[1], rng) if mask is None else mask)
        damaged = fuse(damaged, image, weights if region == 'object' else 1 - weights)
    applied = tuple((kind.name, round(float(level), 4)) for kind, level in zip(kinds, chosen, strict=True))
    return damaged, Damage(applied, region)
