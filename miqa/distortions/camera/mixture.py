"""What pictures really suffer: two to four kinds of damage at once, each from its own stage of the camera."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from miqa.distortions.registry import STAGES, Distortion, distortion
from miqa.distortions.severities import strength_at
from miqa.taxonomy import CAMERA_DISTORTIONS

from .chain import run_chain

STRENGTHS = {'camera_mixture': [{'level': 1.0}, {'level': 1.2}, {'level': 1.6}, {'level': 2.4}, {'level': 3.5}]}

# How often two, three and four kinds come together.
_SHARES = (0.5, 0.3, 0.2)


def camera_mixture(image: np.ndarray, rng: np.random.Generator, level: float) -> np.ndarray:
    """Damage a picture by two to four kinds from different stages, in the camera's order.

    Args:
        image: uint8 RGB (H, W, 3) or grey (H, W).
        rng: where the kinds, and all that they draw, come from.
        level: mean level of the kinds, 1 to 5.
    """
    kinds = draw_kinds(rng, int(rng.choice([2, 3, 4], p=_SHARES)))
    levels = np.clip(level + rng.uniform(-1, 1, len(kinds)), 1, 5)
    steps = [(kind, strength_at(kind.name, float(at))) for kind, at in zip(kinds, levels, strict=True)]
    return run_chain(image, steps, rng)


def draw_kinds(rng: np.random.Generator, count: int, names: Sequence[str] = CAMERA_DISTORTIONS) -> list[Distortion]:
    """Draw kinds of damage out of ``names``, each from another stage of the camera, in the camera's order.

    There are at most as many as the names have stages; a mixture itself is not drawn.

    Raises:
        ValueError: no name is left.
    """
    by_stage: dict[str, list[Distortion]] = {}
    for kind in map(distortion, names):
        if kind.stage is not None:
            by_stage.setdefault(kind.stage, []).append(kind)
    if not by_stage:
        raise ValueError(f'None of these is a single kind of camera damage: {", ".join(names) or "no name at all"}.')
    stages = [stage for stage in STAGES if stage in by_stage]
    chosen = sorted(rng.choice(len(stages), min(count, len(stages)), replace=False))
    return [by_stage[stages[place]][rng.integers(len(by_stage[stages[place]]))] for place in chosen]
