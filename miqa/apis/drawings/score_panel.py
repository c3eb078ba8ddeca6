"""The panel beside a video or camera picture: the current score and its growing curve."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from miqa.running import require

from .colours import score_color

SMALLEST = (200, 180)  # Smallest panel that can be read, (width, height) in pixels

_BACKGROUND, _AXES, _GREY, _WHITE = (26, 24, 22), (74, 70, 66), (170, 166, 160), (245, 245, 245)  # BGR


def panel_width(height: int) -> int:
    """Return the panel's width for footage of this height, in pixels: an even number."""
    return max(SMALLEST[0], round(0.55 * height)) // 2 * 2


class ScorePanel:
    """Draws a panel of a fixed size, again and again.

    Args:
        width, height: pixels, at least :data:`SMALLEST`.
        title, subtitle: two lines of text at the top.
        x_range: times of the curve's ends, in seconds.
        y_range: scores at its lower and upper edge.
        threshold: a score to mark with a line.

    Raises:
        ValueError: the panel is too small to be read.
    """

    def __init__(
        self,
        width: int,
        height: int,
        *,
        title: str = 'Machine-centric quality',
        subtitle: str = '',
        x_range: tuple[float, float] = (0.0, 1.0),
        y_range: tuple[float, float] = (0.0, 1.0),
        threshold: float | None = None,
    ):
        if width < SMALLEST[0] or height < SMALLEST[1]:
            raise ValueError(f'A panel needs at least {SMALLEST[0]}x{SMALLEST[1]} pixels, not {width}x{height}.')
        # Comes with the extra [video], like what else these panels are for.
        self._cv2 = require('cv2', 'The panel beside a picture')
        self.width, self.height = width, height
        self.y_range, self.threshold = y_range, threshold
        unit = self._unit = min(width / SMALLEST[0], height / SMALLEST[1])
        self._fonts = {
            name: ImageFont.load_default(size=points * unit)
            for name, points in {'title': 12, 'small': 9.5, 'score': 36, 'tick': 8.5}.items()
        }
        margin = round(12 * unit)
        self._box = (round(28 * unit), round(111 * unit), width - margin, height - round(26 * unit))
        self._margin = margin
        blank = np.full((height, width, 3), _BACKGROUND, np.uint8)
        lines = [((margin, round(8 * unit)), title, 'title', _WHITE)]
        if subtitle:
            lines.append(((margin, round(24 * unit)), subtitle, 'small', _GREY))
        self._blank = self._write(blank, lines)
        self.restart(x_range)

    def restart(self, x_range: tuple[float, float]) -> None:
        """Clear the curve and set the times of its ends, in seconds."""
        start, end = x_range
        self.x_range = (start, max(end, start + 1e-3))
        layer = self._blank.copy()
        left, top, right, bottom = self._box
        thickness = max(1, round(self._unit))
        low, high = self.y_range
        texts = []
        for value in (low, (low + high) / 2, high):
            y = self._y(value)
            self._cv2.line(layer, (left, y), (right, y), _AXES, thickness)
            texts.append(((left - round(4 * self._unit), y), f'{value:.2g}', 'tick', _GREY, 'rm'))
        if self.threshold is not None and low <= self.threshold <= high:
            y = self._y(self.threshold)
            for x in range(left, right, max(4, round(8 * self._unit))):
                self._cv2.line(layer, (x, y), (min(x + max(2, round(4 * self._unit)), right), y), _GREY, thickness)
        below = bottom + round(5 * self._unit)
        texts.append(((left, below), clock(max(0.0, self.x_range[0])), 'tick', _GREY, 'la'))
        texts.append(((right, below), clock(self.x_range[1]), 'tick', _GREY, 'ra'))
        self._layer = self._write(layer, texts)
        self._last: tuple[int, int] | None = None

    def add(self, time: float, score: float) -> None:
        """Draw the curve on to this point; points come in the order of time."""
        # Sixteenths of a pixel keep the line smooth.
        left, _, right, _ = self._box
        start, end = self.x_range
        share = float(np.clip((time - start) / (end - start), 0, 1))
        point = (round(16 * (left + share * (right - left))), 16 * self._y(score))
        previous = self._last or point
        self._cv2.line(
            self._layer, previous, point, score_color(score), max(1, round(1.8 * self._unit)), self._cv2.LINE_AA, 4
        )
        self._last = point

    def render(self, score: float | None, captions: Sequence[str] = ()) -> np.ndarray:
        """Return the panel as a uint8 array (height, width, 3), BGR.

        Args:
            score: the score to print large, or ``None`` before the first.
            captions: up to two short lines below it.
        """
        image = self._layer.copy()
        if self._last is not None and score is not None:
            center = (self._last[0] // 16, self._last[1] // 16)
            self._cv2.circle(image, center, max(2, round(3 * self._unit)), score_color(score), -1, self._cv2.LINE_AA)
        text, color = ('--', _GREY) if score is None else (f'{score:.3f}', score_color(score))
        lines = [((self._margin, round(36 * self._unit)), text, 'score', color)]
        for row, caption in enumerate(captions[:2]):
            lines.append(((self._margin, round((77 + 13 * row) * self._unit)), caption, 'small', _GREY))
        return self._write(image, lines)

    def _y(self, score: float) -> int:
        _, top, _, bottom = self._box
        low, high = self.y_range
        return round(bottom - float(np.clip((score - low) / (high - low), 0, 1)) * (bottom - top))

    def _write(self, image: np.ndarray, lines: Sequence[tuple]) -> np.ndarray:
        # Pillow brings a font that scales; colours are BGR all through, so no conversion is needed.
        picture = Image.fromarray(image)
        draw = ImageDraw.Draw(picture)
        for position, text, font, color, *anchor in lines:
            draw.text(position, text, fill=color, font=self._fonts[font], anchor=anchor[0] if anchor else 'la')
        return np.array(picture)


def beside(image: np.ndarray, panel: np.ndarray) -> np.ndarray:
    """Put a picture, uint8 (h, w, 3) or (h, w), and a panel, uint8 (H >= h, W, 3), side by side on one canvas.

    The canvas has even sides, H and w + W rounded up, because most video codecs need that. A picture that is lower than
    the panel is centred on black.
    """
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    (h, w), (H, W) = image.shape[:2], panel.shape[:2]
    height, width = H + H % 2, w + W + (w + W) % 2
    canvas = np.zeros((height, width, 3), np.uint8)
    top = (H - h) // 2
    canvas[top : top + h, :w] = image
    canvas[:H, width - W :] = panel
    if height > H:
        canvas[H:, width - W :] = panel[-1:]
    return canvas


def clock(seconds: float) -> str:
    """Return a time as ``m:ss`` or ``h:mm:ss``; short ones with tenths."""
    seconds = round(seconds, 1)
    if seconds < 10:
        return f'0:{seconds:04.1f}'
    minutes, remainder = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02d}:{remainder:02d}' if hours else f'{minutes}:{remainder:02d}'
