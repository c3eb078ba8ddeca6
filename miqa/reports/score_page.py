"""Helpers shared by pages of pictures and videos: location, thumbnails, writing."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from miqa.keeping import atomic_write
from miqa.keeping.files import try_writing
from miqa.outside.names import printable
from miqa.outside.regular_files import open_regular

from .escaped_html import render
from .score_summary import BINS, Summary

#: Pixels of the longer side, and JPEG quality, of a thumbnail.
THUMBNAIL_SIDE, _QUALITY = 240, 75
_BAR_PIXELS = 100
_GENERATOR = b'content="miqa"'


def try_page(path: str | os.PathLike) -> None:
    """Find out, before anything is scored, whether the page can be written.

    Raises:
        ValueError: the name does not end in .html.
        FileExistsError: there is a file of that name that ``--report`` did not write.
        OSError: nothing can be written there.
    """
    path = Path(path)
    if path.suffix.lower() not in ('.html', '.htm'):
        raise ValueError(f'--report {printable(str(path))}: the page is a file that ends in .html.')
    if path.is_file():
        with open_regular(path, None) as stream:
            ours = _GENERATOR in stream.read(1000)
        if not ours:
            raise FileExistsError(f'{printable(str(path))} is not a page written by --report. Name another file.')
    try_writing(path)


def thumbnail(rgb: np.ndarray) -> str:
    """Return a small JPEG of a picture, uint8 (H, W, 3) RGB, as base64 text."""
    picture = Image.fromarray(rgb)
    picture.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    stream = io.BytesIO()
    picture.save(stream, 'JPEG', quality=_QUALITY)
    return base64.b64encode(stream.getvalue()).decode('ascii')


def write_score_page(
    path: Path, template: str, summary: Summary, *, lead: str, skipped: Sequence[str] = (), **values
) -> None:
    """Write a page, whole or not at all.

    ``template`` extends ``score_page.html`` and takes ``values``; ``lead`` is one or two sentences below the heading;
    ``skipped`` are sentences about what was not even tried, such as folders that cannot be read.
    """
    labels = ['< 0', *(f'{place / BINS:.1f}' for place in range(BINS)), '> 1']
    highest = max(summary.bins) or 1
    page = render(
        'miqa.reports', template, title='Picture quality for machines', lead=lead.strip(),
        bars=[
            (label, count, round(_BAR_PIXELS * count / highest))
            for label, count in zip(labels, summary.bins, strict=True)
        ],
        failed=summary.failed, errors=[(printable(name), reason) for name, reason in summary.errors],
        skipped=[printable(sentence) for sentence in skipped], **values,
    )  # fmt: skip
    with atomic_write(path) as temporary:
        Path(temporary).write_text(page, encoding='utf-8')
