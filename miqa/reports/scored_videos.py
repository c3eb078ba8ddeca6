"""An offline page of scored videos: worst first, curves, worst segments, kinds of damage."""

from __future__ import annotations

import heapq
import itertools
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from miqa.outside.names import printable
from miqa.taxonomy import counted

from .escaped_html import render
from .score_page import thumbnail, write_score_page
from .score_summary import Summary

SHOWN = 100  # Videos with a curve and thumbnails; further ones are counted and not shown
#: Units of the drawings, which the page stretches to its width.
_WIDTH, _HEIGHT = 1000, 200
#: Most columns of a curve or strip; of more frames the lowest, or the commonest kind, of each column is drawn.
_COLUMNS = 1000
_NONE, _UNKNOWN = 'none', 'unknown'
#: Kinds of damage in the order of their first appearance: Tableau's ten without green and grey, which mean none and
#: unknown, then four of ColorBrewer's Dark2 and Paired.
_COLOURS = ('#4e79a7', '#f28e2b', '#e15759', '#76b7b2', '#edc948', '#b07aa1', '#ff9da7', '#9c755f', '#1f3a93',
            '#d95f02', '#a6cee3', '#6a3d9a')  # fmt: skip
_FIXED = {_NONE: '#59a14f', _UNKNOWN: '#9aa3ab'}
#: Of full strength (5, see miqa.apis.diagnosis) colours are solid, of none so much of them remains.
_FAINTEST, _STRONGEST = 0.4, 5.0


class _Column(NamedTuple):
    """Neighbouring frames that are drawn as one: times in seconds, lowest score, commonest kind, mean strength."""

    start: float
    end: float
    score: float
    kind: str | None
    strength: float


class ScoredVideos:
    """Collects the videos with the lowest means, as HTML, in memory that does not grow; then writes the page.

    Args:
        path: of the page, .html.
        model: one line that names the model.
    """

    def __init__(self, path: str | os.PathLike, model: str = ''):
        self._path, self._model = Path(path), model
        self.summary = Summary()
        # Highest score on top, which is the first to go; the counter keeps equal scores in their order.
        self._lowest: list[tuple[float, int, Markup]] = []
        self._count = itertools.count()
        self._colours = dict(_FIXED)

    def shows(self, score: float) -> bool:
        """Return True if a video of this mean score would get its place on the page, as far as is known."""
        return len(self._lowest) < SHOWN or score < -self._lowest[0][0]

    def add(self, result: Mapping, frames: Mapping[int, np.ndarray], name: str) -> None:
        """Take one scored video.

        Args:
            result: what ``VideoMIQA.assess_video`` returned.
            frames: pictures of the worst frames, uint8 (H, W, 3), BGR, by ``worst_frame`` of the segments; those that
                are not there have no thumbnail.
            name: of the video, for people.
        """
        score = result['mean_score']
        self.summary.add(score, result['quality'])
        if not self.shows(score):
            return
        heapq.heappush(self._lowest, (-score, -next(self._count), self._section(result, frames, name)))
        if len(self._lowest) > SHOWN:
            heapq.heappop(self._lowest)

    def write(self, skipped: Sequence[str] = ()) -> None:
        """Write the page, whole or not at all; ``skipped`` are sentences about what was not even tried."""
        summary, count = self.summary, len(self._lowest)
        figures = f'Mean score {summary.mean:.3f}, lowest {summary.lowest:.3f}, highest {summary.highest:.3f}.'
        write_score_page(
            self._path, 'scored_videos.html', summary, skipped=skipped,
            lead=f'{counted(summary.count, "video")} scored. {figures if summary.count else ""} {self._model}',
            note=f'The {count} lowest of {summary.count} videos are shown.' if summary.count > count else '',
            sections=[section for _, _, section in sorted(self._lowest, key=lambda entry: entry[:2], reverse=True)],
        )  # fmt: skip

    def _section(self, result: Mapping, frames: Mapping[int, np.ndarray], name: str) -> Markup:
        columns = columns_of(result['frame_results'])
        scores = [column.score for column in columns]
        last = max(float(result['metadata']['duration']), columns[-1].end, 1e-3)
        bottom, top = min(0.0, *scores), max(1.0, *scores)

        def x(time: float) -> float:
            return round(_WIDTH * time / last, 1)

        def y(score: float) -> float:
            return round(_HEIGHT * (top - score) / (top - bottom), 1)

        segments, thresholds = result['worst_segments'], result['thresholds'] or {}
        # Where all is high, nothing is bad enough to be shaded.
        shaded = [part for part in segments if part['mean_score'] < thresholds.get('high', np.inf)]
        return render(
            'miqa.reports', 'scored_video.html', name=printable(name), score=f'{result["mean_score"]:.3f}',
            quality=result['quality'], frames=counted(result['num_frames_analyzed'], 'scored frame'),
            duration=_clock(last), middle=_clock(last / 2),
            warnings=[printable(sentence) for sentence in result['warnings']],
            width=_WIDTH, height=_HEIGHT,
            points=' '.join(f'{x((column.start + column.end) / 2)},{y(column.score)}' for column in columns),
            lines=[
                (word, f'{value:.2f}', y(value), round(100 * y(value) / _HEIGHT, 1))
                for word, value in thresholds.items() if bottom <= value <= top
            ],
            shaded=[(x(part['start']), max(2.0, x(part['end']) - x(part['start']))) for part in shaded],
            strip=[
                (x(start), round(max(1.0, x(end) - x(start)), 1), self._colour(kind), _opacity(kind, strength),
                 f'{_clock(start)} to {_clock(end)}: {_words(kind)}')
                for start, end, kind, strength in stretches(columns)
            ],
            legend=[(self._colour(kind), _words(kind), f'{share:.0%}') for kind, share in result.get(
                'damage_shares', {}).items()],
            segments=[self._card(part, frames) for part in segments],
        )  # fmt: skip

    @staticmethod
    def _card(segment: Mapping, frames: Mapping[int, np.ndarray]) -> dict[str, str]:
        frame = frames.get(segment['worst_frame'])
        return {
            'score': f'{segment["mean_score"]:.3f}',
            'quality': f'lowest {segment["min_score"]:.3f}',
            'damage': str(segment.get('damage') or ''),
            'name': f'{_clock(segment["start"])} to {_clock(segment["end"])}, frame {segment["worst_frame"]}',
            'thumbnail': '' if frame is None else thumbnail(np.ascontiguousarray(frame[:, :, ::-1])),
        }

    def _colour(self, kind: str) -> str:
        if kind not in self._colours:
            self._colours[kind] = _COLOURS[(len(self._colours) - len(_FIXED)) % len(_COLOURS)]
        return self._colours[kind]


def columns_of(frame_results: Sequence[Mapping]) -> list[_Column]:
    """Return what is drawn of the scored frames, at most 1000 columns; a frame lasts until midway to the next."""
    times = np.asarray([frame['timestamp'] for frame in frame_results], dtype=np.float64)
    between = (times[1:] + times[:-1]) / 2
    half = between[-1:] if len(between) else times
    edges = np.concatenate([times[:1], between, 2 * times[-1:] - half])
    columns = []
    for group in np.array_split(np.arange(len(times)), min(_COLUMNS, len(times))):
        frames = [frame_results[place] for place in group]
        kinds = Counter(frame['damage_kind'] for frame in frames if 'damage_kind' in frame)
        kind = kinds.most_common(1)[0][0] if kinds else None
        strengths = [frame['damage_strength'] for frame in frames if kind and frame.get('damage_kind') == kind]
        lowest = min(frame['score'] for frame in frames)
        strength = float(np.mean(strengths)) if strengths else 0.0
        columns.append(_Column(float(edges[group[0]]), float(edges[group[-1] + 1]), lowest, kind, strength))
    return columns


def stretches(columns: Sequence[_Column]) -> list[tuple[float, float, str, float]]:
    """Return start, end, kind and mean strength of each run of columns with one kind of damage."""
    runs = []
    for kind, run in itertools.groupby(columns, key=lambda column: column.kind):
        members = list(run)
        if kind is not None:
            strength = float(np.mean([member.strength for member in members]))
            runs.append((members[0].start, members[-1].end, kind, strength))
    return runs


def _opacity(kind: str, strength: float) -> float:
    if kind in _FIXED:
        return 1.0
    return round(_FAINTEST + (1 - _FAINTEST) * min(max(strength / _STRONGEST, 0.0), 1.0), 2)


def _words(kind: str) -> str:
    return {_NONE: 'no damage'}.get(kind, kind.replace('_', ' '))


def _clock(seconds: float) -> str:
    minutes, remainder = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f'{hours}:{minutes:02d}:{remainder:04.1f}' if hours else f'{minutes}:{remainder:04.1f}'
