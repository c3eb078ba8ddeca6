"""An offline page of scored pictures: worst first, distribution, unreadable files."""

from __future__ import annotations

import heapq
import itertools
import os
from collections.abc import Sequence
from pathlib import Path

from miqa.outside.names import printable
from miqa.pictures.reading import read_preview
from miqa.taxonomy import counted

from .score_page import THUMBNAIL_SIDE, thumbnail, write_score_page
from .score_summary import Summary

SHOWN = 500  # Pictures with a thumbnail; the page of 500 has some 5 MB. Further ones are counted and not shown


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

    def write(self, summary: Summary, skipped: Sequence[str] = ()) -> None:
        """Write the page, whole or not at all.

        Args:
            summary: of all pictures of the run.
            skipped: sentences about what was not even tried.
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
        write_score_page(
            self._path, 'scored_pictures.html', summary, skipped=skipped, note=' '.join(filter(None, notes)),
            lead=f'{counted(summary.count, "picture")} scored. {figures if summary.count else ""} {self._model}',
            pictures=pictures,
        )  # fmt: skip

    def _thumbnail(self, name: str) -> str:
        try:
            return thumbnail(read_preview(name, THUMBNAIL_SIDE * THUMBNAIL_SIDE, value_range=self._value_range))
        except (OSError, ValueError):
            return ''  # counted on the page
