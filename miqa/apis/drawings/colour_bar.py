"""A heat map with its colour bar below."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from miqa.apis.heatmap import Heatmap
from miqa.running.requirements import require

#: What the ends of the scale mean: left, middle, right.
_WORDS = {
    'occlusion': ('helps', '0', 'hurts'),
    'views': ('helps', '0', 'hurts'),
    'rollout': ('least attention', '', 'most attention'),
}


def with_colour_bar(heatmap: Heatmap) -> Image.Image:
    """Return the overlay of a heat map and, below it, a bar of its colours with what their ends mean.

    By ``occlusion`` and ``views`` the ends are the largest change of the score, in its units, on both sides of 0.
    """
    drawn = heatmap.overlay()
    strip = max(28, round(0.09 * max(drawn.size)))
    width = max(drawn.width, 8 * strip)
    whole = Image.new('RGB', (width, drawn.height + strip), (24, 24, 26))
    whole.paste(drawn, ((width - drawn.width) // 2, 0))
    colours = require('matplotlib', 'Drawing a heat map').colormaps[
        'inferno' if heatmap.method == 'rollout' else 'RdBu_r'
    ]
    left, right = strip // 3, width - strip // 3
    top, bottom = drawn.height + round(0.15 * strip), drawn.height + round(0.45 * strip)
    bar = 255 * colours(np.linspace(0, 1, right - left))[None, :, :3]
    whole.paste(Image.fromarray(np.repeat(bar, bottom - top, 0).round().astype(np.uint8)), (left, top))
    words = list(_WORDS[heatmap.method])
    if heatmap.method != 'rollout':
        peak = float(np.abs(heatmap.values).max())
        words[0], words[2] = f'-{peak:.2g} {words[0]}', f'{words[2]} +{peak:.2g}'
    draw, font = ImageDraw.Draw(whole), ImageFont.load_default(size=0.34 * strip)
    middle = drawn.height + 0.72 * strip
    for place, word, anchor in zip((left, (left + right) / 2, right), words, ('lm', 'mm', 'rm'), strict=True):
        draw.text((place, middle), word, fill='white', font=font, anchor=anchor)
    return whole
