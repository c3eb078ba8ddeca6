"""A picture annotated with its score on a colour scale from 0 to 1."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .colours import score_color


def annotated(rgb: np.ndarray, score: float, quality: str) -> Image.Image:
    """Return a picture, uint8 (H, W, 3), with a strip below it: score, quality, and a mark on a scale from 0 to 1.

    The picture itself is untouched. A score outside [0, 1] is marked at the end of the scale; the figure is exact.
    """
    height, width = rgb.shape[:2]
    strip = max(24, round(0.08 * max(width, height)))
    drawn = Image.new('RGB', (max(width, 6 * strip), height + strip), (24, 24, 26))
    drawn.paste(Image.fromarray(rgb), ((drawn.width - width) // 2, 0))
    draw = ImageDraw.Draw(drawn)
    font = ImageFont.load_default(size=strip * 0.55)
    middle = height + strip / 2
    text = f'{score:.3f} {quality}'
    draw.text((strip * 0.3, middle), text, fill='white', font=font, anchor='lm')
    left = round(strip * 0.6 + max(draw.textlength(text, font), 3.4 * strip))
    right, top, bottom = drawn.width - strip // 3, round(height + 0.32 * strip), round(height + 0.68 * strip)
    for x in range(left, right):
        blue, green, red = score_color((x - left) / max(1, right - 1 - left))
        draw.line((x, top, x, bottom), fill=(red, green, blue))
    mark = scale_position(score, left, right - 1)
    draw.rectangle((mark - 2, top - strip // 6, mark + 2, bottom + strip // 6), fill='white', outline='black')
    return drawn


def scale_position(score: float, left: int, right: int) -> int:
    """Return the column of a score on a scale whose ends, 0 and 1, are at ``left`` and ``right``."""
    return round(left + min(max(score, 0.0), 1.0) * (right - left))
