"""Several stages of a camera, one after the other, without 8 bits between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from miqa.distortions.registry import LINEAR_STAGES, Distortion
from miqa.taxonomy import CAMERA_DISTORTIONS

from .light import to_display, to_linear


def run_chain(
    image: np.ndarray, steps: Sequence[tuple[Distortion, Mapping[str, float]]], rng: np.random.Generator
) -> np.ndarray:
    """Apply camera distortions, given in any order with their parameters, in the camera's order.

    ``image`` is uint8 RGB (H, W, 3), or grey (H, W), which passes as RGB and is made grey again; so is the result.
    """
    grey = image.ndim == 2
    picture = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB) if grey else image
    order = {name: place for place, name in enumerate(CAMERA_DISTORTIONS)}
    linear = False
    for step, params in sorted(steps, key=lambda item: order.get(item[0].name, len(order))):
        if (step.stage in LINEAR_STAGES) != linear:
            picture = to_display(picture) if linear else to_linear(picture)
            linear = not linear
        picture = step.function(picture, rng, **params)
    if linear:
        picture = to_display(picture)
    if picture is image:
        picture = image.copy()
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) if grey else picture
