"""The written report of a scored video: plots, JSON and tables."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from miqa.apis.scoring import scorer_line
from miqa.keeping import atomic_write, write_json
from miqa.outside.names import fitting_name
from miqa.reports.plots import save_figure

PLOT_KINDS = ('frames', 'seconds', 'both')  # What a plot shows: scored frames, per-second means, or one above the other

# From Okabe and Ito's palette, distinguishable with any kind of colour vision: blue, vermilion, green, orange.
_FRAMES, _SECONDS, _MEAN, _WORST = '#0072B2', '#009E73', '0.35', '#D55E00'


def plot_video(result: Mapping, kind: str = 'both') -> Figure:
    """Draw a scored video's quality over time, as one of :data:`PLOT_KINDS`.

    Returns:
        A figure; the worst segments below high quality are shaded, and the mean over the scored frames is dashed.

    Raises:
        ValueError: an unknown kind.
    """
    if kind not in PLOT_KINDS:
        raise ValueError(f'There is no plot {kind!r}; choose one of {", ".join(PLOT_KINDS)}.')
    parts = ('frames', 'seconds') if kind == 'both' else (kind,)
    figure = Figure(figsize=(9.0, 2.6 * len(parts) + 0.8), layout='constrained')
    rows = figure.subplots(len(parts), 1, sharex=True, squeeze=False)[:, 0]
    for axes, part in zip(rows, parts, strict=True):
        _draw_frames(axes, result) if part == 'frames' else _draw_seconds(axes, result)
        _finish(axes, result)
    rows[-1].set_xlabel('time in seconds')
    model = scorer_line(result['model'])
    figure.suptitle(result['video_name'] + (f'   ({model})' if model else ''), fontsize=11, parse_math=False)
    return figure


def _draw_frames(axes, result) -> None:
    times = [frame['timestamp'] for frame in result['frame_results']]
    scores = [frame['score'] for frame in result['frame_results']]
    # Dots show where frames were scored; thousands of them would only thicken the line.
    marker = 'o' if len(times) <= 200 else ''
    axes.plot(times, scores, lw=1.2, color=_FRAMES, marker=marker, ms=3, label=f'{len(times)} scored frames')


def _draw_seconds(axes, result) -> None:
    seconds = result['per_second_results']
    middles = [second['second'] + 0.5 for second in seconds]
    columns = {name: [second[name] for second in seconds] for name in ('score', 'min_score', 'max_score')}
    if len(seconds) > 1:
        axes.fill_between(
            middles,
            columns['min_score'],
            columns['max_score'],
            color=_SECONDS,
            alpha=0.2,
            lw=0,
            label='lowest to highest',
        )
    marker = 'o' if len(seconds) <= 200 else ''
    axes.plot(middles, columns['score'], lw=1.8, color=_SECONDS, marker=marker, ms=4, label='mean of each second')


def _finish(axes, result) -> None:
    # Where all is high, nothing is bad enough to be shaded.
    high = result['thresholds']['high'] if result.get('thresholds') else float('inf')
    shaded = [segment for segment in result['worst_segments'] if segment['mean_score'] < high]
    for number, segment in enumerate(shaded):
        label = 'worst segments' if number == 0 else None
        axes.axvspan(segment['start'], segment['end'], color=_WORST, alpha=0.12, lw=0, label=label)
    mean = result['mean_score']
    axes.axhline(mean, color=_MEAN, ls='--', lw=1.2, label=f'mean {mean:.3f}')
    scores = result['overall_statistics']
    # Raw scores may leave [0, 1] a little: the axis opens for them.
    axes.set_ylim(min(0.0, scores['min'] - 0.02), max(1.0, scores['max'] + 0.02))
    axes.set_xlim(0, max(result['metadata']['duration'], result['frame_results'][-1]['timestamp'], 1e-3))
    axes.set_ylabel('quality')
    axes.spines[['top', 'right']].set_visible(False)
    axes.grid(alpha=0.25)
    # Above the axes, where it covers no part of the curve.
    axes.legend(loc='lower left', bbox_to_anchor=(0, 1), borderaxespad=0.2, fontsize=8, frameon=False, ncols=4)


def report_paths(name: str, folder: str | os.PathLike, kinds: Sequence[str] = PLOT_KINDS) -> dict[str, Path]:
    """Return the files of the report on the video ``name``: ``json``, ``frames_csv``, ``seconds_csv`` and the plots.

    The ending of the video stays in the names, so ``a.mp4`` and ``a.avi`` do not collide.
    """
    folder = Path(folder)
    paths = {f'{kind}_png': folder / fitting_name(name, f'_{kind}.png') for kind in kinds}
    return {
        'json': folder / fitting_name(name, '.json'),
        'frames_csv': folder / fitting_name(name, '_frames.csv'),
        'seconds_csv': folder / fitting_name(name, '_seconds.csv'),
        **paths,
    }


def write_report(
    result: Mapping, folder: str | os.PathLike, *, kinds: Sequence[str] = PLOT_KINDS, overwrite: bool = False
) -> dict[str, Path]:
    """Write the report of a scored video, as :func:`report_paths` names it: a JSON file, two CSV tables and the plots.

    The JSON file is written last: where it is, the report is whole. A hidden file says that a report was begun, so that
    what a killed writer left is replaced.

    Args:
        result: what :meth:`miqa.apis.video.VideoMIQA.assess_video` returned.
        folder: made if it is missing.
        kinds: plots to draw.
        overwrite: replace an earlier report.

    Raises:
        FileExistsError: there is a report, and ``overwrite`` is not set.
    """
    paths = report_paths(result['video_name'], folder, kinds)
    begun = paths['json'].with_name(fitting_name(f'.{paths["json"].stem}', '.begun'))
    present = [str(path) for path in paths.values() if path.exists()]
    if present and not overwrite and (paths['json'].exists() or not begun.exists()):
        raise FileExistsError(f'{", ".join(present)} exist already; choose another folder, or say overwrite.')
    begun.parent.mkdir(parents=True, exist_ok=True)
    begun.touch()
    _write_csv(paths['frames_csv'], result['frame_results'])
    _write_csv(paths['seconds_csv'], result['per_second_results'])
    for kind in kinds:
        save_figure(plot_video(result, kind), paths[f'{kind}_png'])
    write_json(paths['json'], result)
    begun.unlink()
    return paths


def _write_csv(path: Path, rows: Sequence[Mapping]) -> None:
    with atomic_write(path) as temporary, open(temporary, 'w', newline='', encoding='utf-8') as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
