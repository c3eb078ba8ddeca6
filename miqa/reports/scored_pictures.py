"""One page of scored pictures that opens offline: worst first, distribution, what could not be read."""

from __future__ import annotations

import base64
import heapq
import io
import itertools
import os
from pathlib import Path

from PIL import Image

from miqa.keeping import atomic_write
from miqa.keeping.files import try_writing
from miqa.outside.names import printable
from miqa.outside.regular_files import open_regular
from miqa.pictures.reading import read_preview

from .escaped_html import render
from .score_summary import BINS, Summary

#: Pictures with a thumbnail; the page of 500 has some 5 MB. Further ones are counted and not shown.
SHOWN = 500
#: Pixels of the longer side, and JPEG quality, of a thumbnail.
_SIDE, _QUALITY = 240, 75
_BAR_PIXELS = 100
_GENERATOR = b'content="miqa"'


def try_page(path: str | os.PathLike) -> None:
    """Find out, before anything is scored, whether the page can be written.

    Raises:
        ValueError: the name does not end in .html.
        FileExistsError: there is a file of that name that this command did not write.
        OSError: nothing can be written there.
    """
    path = Path(path)
    if path.suffix.lower() not in ('.html', '.htm'):
        raise ValueError(f'--report {printable(str(path))}: the page is a file that ends in .html.')
    if path.is_file():
        with open_regular(path, None) as stream:
            ours = _GENERATOR in stream.read(1000)
        if not ours:
            raise FileExistsError(f'{printable(str(path))} is not a page of miqa image. Name another file.')
    try_writing(path)


class ScoredPictures:
    """Collects the lowest scores in memory that does not grow, then writes the page.

    Args:
        path: of the page, .html.
        model: one line that names the model.
        value_range: as the pictures are read for scoring.
    """

    def __init__(self, path: str | os.PathLike, model: str = '', value_range=None):
        self._path, self._model, self._value_range = Path(path), model, value_range
        # Highest score on top, which is the first to go; the counter keeps equal scores in their order.
        self._lowest: list[tuple[float, int, str, str, str]] = []
        self._count = itertools.count()

    def add(self, name: str, score: float, quality: str, damage: str = '') -> None:
        """Take one scored picture; ``damage`` is the model's diagnosis, where it gives one."""
        entry = (-score, -next(self._count), name, quality, damage)
        if len(self._lowest) < SHOWN:
            heapq.heappush(self._lowest, entry)
        else:
            heapq.heappushpop(self._lowest, entry)

    def write(self, summary: Summary) -> None:
        """Write the page, whole or not at all.

        Args:
            summary: of all pictures of the run.
        """
        entries = sorted(self._lowest, reverse=True)
        pictures = [
            {
                'score': f'{-negative:.3f}', 'quality': quality, 'damage': damage, 'name': printable(name),
                'thumbnail': self._thumbnail(name),
            }
            for negative, _, name, quality, damage in entries
        ]  # fmt: skip
        without = sum(not picture['thumbnail'] for picture in pictures)
        notes = [
            f'The {len(entries)} lowest of {summary.count} pictures are shown.' if summary.count > len(entries) else '',
            f'{summary.skipped} pictures were scored by an earlier run and are not on this page.'
            if summary.skipped
            else '',
            f'{without} have no thumbnail, as their file could not be read again.' if without else '',
        ]
        figures = f'Mean score {summary.mean:.3f}, lowest {summary.lowest:.3f}, highest {summary.highest:.3f}.'
        lead = f'{summary.count} pictures scored. {figures if summary.count else ""} {self._model}'
        labels = ['< 0', *(f'{place / BINS:.1f}' for place in range(BINS)), '> 1']
        highest = max(summary.bins) or 1
        page = render(
            'miqa.reports', 'scored_pictures.html', title='Picture quality for machines', lead=lead.strip(),
            bars=[
                (label, count, round(_BAR_PIXELS * count / highest))
                for label, count in zip(labels, summary.bins, strict=True)
            ],
            note=' '.join(filter(None, notes)), pictures=pictures, failed=summary.failed,
            errors=[(printable(name), reason) for name, reason in summary.errors],
        )  # fmt: skip
        with atomic_write(self._path) as temporary:
            Path(temporary).write_text(page, encoding='utf-8')

    def _thumbnail(self, name: str) -> str:
        try:
            picture = Image.fromarray(read_preview(name, _SIDE * _SIDE, value_range=self._value_range))
        except (OSError, ValueError):
            return ''  # counted on the page
        picture.thumbnail((_SIDE, _SIDE))
        stream = io.BytesIO()
        picture.save(stream, 'JPEG', quality=_QUALITY)
        return base64.b64encode(stream.getvalue()).decode('ascii')
