"""Contact sheets of distortions."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from miqa.taxonomy import LEVELS

from .compose import fuse, soft_mask
from .select import select_levels

_GAP = 6
_CAPTION = 20
_INK, _PAPER = (30, 30, 30), (255, 255, 255)


def fit_width(image: np.ndarray, width: int) -> np.ndarray:
    """Shrink (never enlarge) a picture to a width in pixels; uint8 RGB in and out."""
    if image.shape[1] <= width:
        return image
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def levels_sheet(image: np.ndarray, names: Sequence[str], cell: int = 230, seed: int = 1234567) -> np.ndarray:
    """Show the source and levels 1 to 5 of each distortion, one row each, with their PSNR: uint8 RGB.

    The source, uint8 RGB (H, W, 3), is distorted in its own size and shown ``cell`` pixels wide.
    """
    rows = []
    for name in names:
        cells = [(name.replace('_', ' '), image)]
        for chosen in select_levels(image, name, seed, 'sheet'):
            cells.append((f'level {chosen.level}   {chosen.psnr:.1f} dB', chosen.image))
        rows.append(cells)
    return _compose(rows, cell)


def fused_sheet(image: np.ndarray, mask: np.ndarray, name: str, cell: int = 230, seed: int = 1234567) -> np.ndarray:
    """Show all 25 pairs of levels of one distortion: foreground level downwards, background level to the right.

    Takes uint8 RGB (H, W, 3) and a mask, uint8 (H, W), 0 or 255 (foreground); pictures are shown ``cell`` pixels wide.
    The first column of the sheet, uint8 RGB, holds source, mask and blending weights.
    """
    levels = [chosen.image for chosen in select_levels(image, name, seed, 'sheet')]
    weights = soft_mask(mask)
    first = {
        1: (f'source  ({name.replace("_", " ")})', image),
        2: ('foreground mask', np.repeat(mask[:, :, None], 3, axis=2)),
        3: ('blending weights', np.repeat((weights * 255).astype(np.uint8)[:, :, None], 3, axis=2)),
    }
    blank = np.full_like(image, 255)
    rows = []
    for fg in LEVELS:
        cells = [first.get(fg, ('', blank))]
        for bg in LEVELS:
            version = levels[fg - 1] if fg == bg else fuse(levels[fg - 1], levels[bg - 1], weights)
            cells.append((f'foreground {fg}   background {bg}', version))
        rows.append(cells)
    return _compose(rows, cell)


def _compose(rows: list[list[tuple[str, np.ndarray]]], cell: int) -> np.ndarray:
    rows = [[(caption, fit_width(picture, cell)) for caption, picture in cells] for cells in rows]
    height, width = rows[0][0][1].shape[:2]
    columns = len(rows[0])
    page = Image.new(
        'RGB', (columns * (width + _GAP) + _GAP, len(rows) * (height + _CAPTION + _GAP) + _GAP), color=_PAPER
    )
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(size=13)
    for row, cells in enumerate(rows):
        for column, (caption, picture) in enumerate(cells):
            x = _GAP + column * (width + _GAP)
            y = _GAP + row * (height + _CAPTION + _GAP)
            draw.text((x, y + 2), caption, fill=_INK, font=font)
            page.paste(Image.fromarray(picture), (x, y + _CAPTION))
    return np.array(page)
