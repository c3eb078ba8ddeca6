"""Damaged versions of one photograph, and the facts of each: kinds, strength, place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from kinds import CAMERA_KINDS, KINDS, MIQD_KINDS

from miqa.distortions import candidates, distort, random_camera_damage
from miqa.distortions.at_random import REGIONS
from miqa.distortions.compose import fuse, soft_mask
from miqa.distortions.saliency import salient_foreground
from miqa.distortions.severities import LEVEL_RANKS
from miqa.running import generator_for

#: Distortions that by themselves reach only a part of the picture.
_PARTIAL = ('moving_object', 'depth_of_field', 'lens_drops', 'lens_flare')

#: Share of versions whose object and surroundings suffer differently, and of those that suffer in one third only.
_FUSED, _THIRD = 0.3, 0.1


class DamagedVersion(NamedTuple):
    """A version of a photograph."""

    image: np.ndarray  # uint8 RGB (H, W, 3)
    family: str  # ``clean``, ``miqd`` or ``camera``
    name: str  # of the distortion; joined by ``+`` where there are several
    kinds: np.ndarray  # float32 (len(KINDS),), shares that sum to 1
    strength: float  # level 0 (clean) to 5 of the part that suffers most
    place: int  # index into :data:`PLACES`; -1 where neither word fits, since one side of the picture suffers


def clean_version(image: np.ndarray) -> DamagedVersion:
    """Return the photograph itself."""
    return DamagedVersion(image, 'clean', 'none', _shares({'none': 1.0}), 0.0, 0)


def damaged_versions(
    image: np.ndarray, source: str, number: int, family: str, count: int, seed: int
) -> Iterator[DamagedVersion]:
    """Damage a photograph; all distortions of a family come round equally often over the photographs.

    Args:
        image: uint8 RGB (H, W, 3).
        source: name of the photograph; with ``seed`` it determines all random numbers.
        number: of the photograph, from 0.
        family: ``miqd`` or ``camera``.
        count: of versions.
        seed: of the database.
    """
    make = {'miqd': _miqd, 'camera': _camera}[family]
    mask = salient_foreground(image)
    for place in range(count):
        yield make(image, mask, number * count + place, generator_for(seed, source, family, place))


def _miqd(image: np.ndarray, mask: np.ndarray, number: int, rng: np.random.Generator) -> DamagedVersion:
    names = tuple(MIQD_KINDS)
    name = names[number % len(names)]
    sets = candidates(name)

    def damaged_by(strength: float) -> tuple[np.ndarray, float]:
        chosen = min(int(strength * len(sets)), len(sets) - 1)
        # These ranks of the candidates are levels 1 to 5.
        level = float(np.interp(chosen + 1, LEVEL_RANKS, (1, 2, 3, 4, 5)))
        return distort(image, name, sets[chosen], rng), level

    drawn, strength = rng.random(), rng.random()
    damaged, level = damaged_by(strength)
    place = 0
    if drawn < _FUSED and 0.02 < (mask > 0).mean() < 0.9:
        other, other_level = damaged_by((strength + rng.uniform(0.3, 0.7)) % 1)
        place = 1 if level > other_level else 2
        damaged = fuse(damaged, other, soft_mask(mask))
        level = max(level, other_level)
    elif drawn > 1 - _THIRD:
        damaged = fuse(damaged, image, soft_mask(_third(image.shape[0], image.shape[1], rng)))
        place = -1
    return DamagedVersion(damaged, 'miqd', name, _shares({MIQD_KINDS[name]: 1.0}), level, place)


def _camera(image: np.ndarray, mask: np.ndarray, number: int, rng: np.random.Generator) -> DamagedVersion:
    damaged, applied = random_camera_damage(image, rng, mask)
    place = REGIONS.index(applied.region)
    weights: dict[str, float] = {}
    for name, level in applied.kinds:
        for kind, share in CAMERA_KINDS[name].items():
            weights[kind] = weights.get(kind, 0) + share * level
        if name in _PARTIAL:
            place = -1
    if place <= 0 and rng.random() < _THIRD:
        damaged = fuse(damaged, image, soft_mask(_third(image.shape[0], image.shape[1], rng)))
        place = -1
    name = '+'.join(name for name, _ in applied.kinds)
    strength = max(level for _, level in applied.kinds)
    return DamagedVersion(damaged, 'camera', name, _shares(weights), float(strength), place)


def _third(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Return a mask of one third of the picture at one of its four sides."""
    mask = np.zeros((height, width), np.uint8)
    side = rng.integers(4)
    if side < 2:
        mask[:, : width // 3] = 255
        mask = mask[:, :: 1 if side == 0 else -1]
    else:
        mask[: height // 3] = 255
        mask = mask[:: 1 if side == 2 else -1]
    return np.ascontiguousarray(mask)


def _shares(weights: dict[str, float]) -> np.ndarray:
    shares = np.zeros(len(KINDS), np.float32)
    for name, weight in weights.items():
        shares[KINDS.index(name)] += weight
    return shares / shares.sum()
