"""Sets of parameters of the distortions, by name and by level."""

from __future__ import annotations

import numpy as np

from miqa.taxonomy import LEVELS

from .registry import distortion

#: Which of 12 candidates, ranked by PSNR (best first, counted from 1), become levels 1 to 5.
LEVEL_RANKS = (1, 5, 8, 10, 12)


def candidates(name: str) -> list[dict[str, float]]:
    """Return the parameter sets of a distortion, weakest first, each a dict by parameter name.

    MIQD's distortions have 12, of which :func:`~miqa.distortions.select_levels` chooses by PSNR; those of the camera
    have five, levels 1 to 5. Example: ``candidates('glass_blur')[0] == {'sigma': 0.4, 'max_delta': 1,
    'iterations': 0.4}``.

    Raises:
        ValueError: there is no distortion of that name.
    """
    return [dict(params) for params in distortion(name).strengths]


def strength_at(name: str, level: float) -> dict[str, float]:
    """Return the parameters of a distortion at a level between 1 and 5 that need not be whole, linearly between sets.

    Where levels are chosen by PSNR, the set of the rank that becomes the level stands for it.

    Raises:
        ValueError: the level is not between 1 and 5, or there is no distortion of that name.
    """
    if not LEVELS[0] <= level <= LEVELS[-1]:
        raise ValueError(f'A level lies between {LEVELS[0]} and {LEVELS[-1]}, not at {level}.')
    sets = candidates(name)
    if not distortion(name).has_levels:
        sets = [sets[rank - 1] for rank in LEVEL_RANKS]
    return {key: float(np.interp(level, LEVELS, [params[key] for params in sets])) for key in sets[0]}
