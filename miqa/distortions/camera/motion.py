"""Motion during the exposure: of the camera, and of an object."""

from __future__ import annotations

from functools import partial

import numpy as np

from miqa.distortions.compose import random_ellipse, soft_mask

from .light import spread, unit_of

STAGE = 'optics'

STRENGTHS = {
    'camera_shake': [{'extent': 2.1}, {'extent': 4.2}, {'extent': 7.6}, {'extent': 12.0}, {'extent': 18.0}],
    'moving_object': [{'extent': 1.5}, {'extent': 3.3}, {'extent': 7.5}, {'extent': 18.0}, {'extent': 60.0}],
}

# Points of a trajectory.
_POINTS = 96


def camera_shake(light: np.ndarray, rng: np.random.Generator, extent: float) -> np.ndarray:
    """Move the picture along the trajectory of a hand while the shutter is open.

    Source: Boracchi & Foi, "Modeling the Performance of Image Restoration From Motion Blur", TIP 2012: a random walk
    with inertia, pulled back to its start, with sudden jerks. Its largest side is ``extent``, in 1/256 of the shorter
    side.
    """
    points = draw_trajectory(rng)
    return spread(light, extent * unit_of(light) / 2, partial(_path_kernel, points))


def draw_trajectory(rng: np.random.Generator) -> np.ndarray:
    """Draw a hand's trajectory: float64 (N, 2), its larger side from -1 to 1, centred."""
    anxiety, inertia, pull = rng.uniform(0.02, 0.25), rng.uniform(0.6, 0.95), rng.uniform(0, 0.02)
    angle = rng.uniform(0, 2 * np.pi)
    velocity, place = np.array([np.cos(angle), np.sin(angle)]), np.zeros(2)
    shoves = rng.normal(0, 1, (_POINTS, 2))
    jerks = rng.random(_POINTS) < 0.02
    points = np.empty((_POINTS, 2))
    for number in range(_POINTS):
        points[number] = place
        if jerks[number]:
            velocity = -velocity + shoves[number]
        velocity = velocity + (1 - inertia) * (4 * anxiety * shoves[number]) - pull * place
        velocity /= max(float(np.hypot(*velocity)), 1e-9)
        place = place + velocity
    points -= (points.max(0) + points.min(0)) / 2
    return points / np.abs(points).max()


def moving_object(
    light: np.ndarray, rng: np.random.Generator, extent: float, mask: np.ndarray | None = None
) -> np.ndarray:
    """Move an object along a line while the shutter is open; the rest stays sharp.

    The object's light and its mask are spread alike, and what the object does not cover shows the background (Potmesil
    & Chakravarty, "Modeling Motion Blur in Computer-Generated Images", SIGGRAPH 1983). The direction is mostly level,
    the way ``extent``, in 1/256 of the shorter side, long; ``mask`` is uint8 (H, W), 255 on the object; None draws a
    large ellipse.
    """
    angle = rng.normal(0, 0.35) + np.pi * rng.integers(2)
    if mask is None:
        mask = random_ellipse(light.shape[0], light.shape[1], rng, least=0.3, most=0.5)
    weight = soft_mask(mask).astype(np.float32)[:, :, None]
    steps = np.linspace(-1, 1, _POINTS)[:, None]
    kernel_of = partial(_path_kernel, steps * np.array([np.cos(angle), np.sin(angle)]))
    radius = extent * unit_of(light) / 2
    moved = spread(np.concatenate([light * weight, weight], axis=2), radius, kernel_of)
    return moved[:, :, :3] + light * (1 - moved[:, :, 3:])


def _path_kernel(points: np.ndarray, radius: float) -> np.ndarray:
    """Draw points (N, 2) between -1 and 1 into a kernel of this radius, each shared by its four neighbours."""
    reach = int(np.ceil(radius)) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float64)
    places = points * radius + reach
    corners = np.floor(places).astype(int)
    share = places - corners
    for down in (0, 1):
        for right in (0, 1):
            weight = np.abs(1 - right - share[:, 0]) * np.abs(1 - down - share[:, 1])
            np.add.at(kernel, (corners[:, 1] + down, corners[:, 0] + right), weight)
    return (kernel / kernel.sum()).astype(np.float32)
