"""Pictures of many sizes and shapes, for tests of machines that resize."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

#: (height, width) of ten pictures: wide, tall, square, small, odd.
SIZES = ((96, 128), (128, 96), (97, 131), (64, 64), (50, 150), (150, 50), (90, 160), (33, 47), (120, 121), (80, 200))


def pictures(count: int = len(SIZES), sizes=SIZES) -> list[np.ndarray]:
    """Return uint8 RGB arrays (H, W, 3) with ellipses and rectangles on a gradient, with a little noise."""
    results = []
    for number, (height, width) in zip(range(count), sizes, strict=False):
        random = np.random.default_rng(number)
        ramp = np.linspace(0, 255, width)[None, :, None] * random.random(3) * np.ones((height, 1, 1))
        image = Image.fromarray(ramp.astype(np.uint8))
        draw = ImageDraw.Draw(image)
        for shape in range(4):
            x, y = np.sort(random.integers(0, width, 2)), np.sort(random.integers(0, height, 2))
            colour = tuple(random.integers(0, 256, 3).tolist())
            (draw.ellipse if shape % 2 else draw.rectangle)((x[0], y[0], x[1], y[1]), fill=colour)
        noisy = np.asarray(image, np.int16) + random.integers(-8, 9, (height, width, 3))
        results.append(noisy.clip(0, 255).astype(np.uint8))
    return results
