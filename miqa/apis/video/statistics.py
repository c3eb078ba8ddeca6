"""What a series of frame scores says about a video. Pure functions over lists of numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

#: What the released scripts' ``average_quality``, ... are: statistics of the means of seconds.
_OF_SECONDS: dict[str, Callable[..., Any]] = {
    'average_quality': np.mean,
    'min_quality': np.min,
    'max_quality': np.max,
    'std_quality': np.std,
}


class VideoScores(dict):
    """A dict of our names that also answers to the names of the paper's released scripts, which it does not hold.

    ``quality_score`` is the ``score`` of a frame or second; ``average_quality``, ``min_quality``, ``max_quality`` and
    ``std_quality`` (population) of a video are over the means of its seconds. They are read by ``[...]`` and ``get``;
    what iterates, and so every file, has each number once.
    """

    def __missing__(self, name: str):
        if name == 'quality_score' and 'score' in self:
            return self['score']
        if name in _OF_SECONDS and 'per_second_results' in self:
            return float(_OF_SECONDS[name]([second['score'] for second in self['per_second_results']]))
        raise KeyError(name)

    def get(self, name, default=None):
        """Return the value of a name, ours or theirs, or the default."""
        try:
            return self[name]
        except KeyError:
            return default


def per_second(frame_results: Sequence[dict]) -> list[dict]:
    """Gather frame scores by the second of the video they fall into; frames have ``timestamp`` (seconds) and ``score``.

    Returns:
        One dict per second that has a scored frame, in order: ``second``, ``timestamp`` (the same as a float),
        ``score`` (the mean), ``min_score``, ``max_score``, ``std_score`` (population), ``num_frames``.
    """
    groups: dict[int, list[float]] = {}
    for frame in frame_results:
        groups.setdefault(int(frame['timestamp']), []).append(frame['score'])
    return [
        VideoScores(
            second=second,
            timestamp=float(second),
            score=float(np.mean(scores)),
            min_score=float(np.min(scores)),
            max_score=float(np.max(scores)),
            std_score=float(np.std(scores)),
            num_frames=len(scores),
        )
        for second, scores in sorted(groups.items())
    ]


def overall_statistics(scores: Sequence[float]) -> dict:
    """Describe the distribution of frame scores: count, mean, population deviation, extremes, quantiles."""
    values = np.asarray(scores, dtype=np.float64)
    low, first, median, third, high = np.quantile(values, (0.05, 0.25, 0.5, 0.75, 0.95)).tolist()
    return {
        'num_frames': len(values),
        'mean': float(values.mean()),
        'std': float(values.std()),
        'min': float(values.min()),
        'max': float(values.max()),
        'median': median,
        'p05': low,
        'p25': first,
        'p75': third,
        'p95': high,
    }


def damage_shares(frame_results: Sequence[dict]) -> dict[str, float]:
    """Return kind of damage -> share of the scored frames, commonest first; empty without ``damage_kind``."""
    kinds = Counter(frame['damage_kind'] for frame in frame_results if 'damage_kind' in frame)
    return {kind: count / len(frame_results) for kind, count in kinds.most_common()}


def temporal_consistency(frame_results: Sequence[dict]) -> dict:
    """Describe how steady the scores are from one scored frame to the next.

    Returns:
        ``score``: 1 minus the mean absolute change, at least 0; 1 is perfectly steady.
        ``mean_absolute_change``, ``largest_drop`` and ``largest_rise`` (both at least 0) with the times in seconds at
        which they end, and ``lag1_autocorrelation`` (Pearson, of each score with the next). Changes depend on how far
        apart the scored frames are: ``mean_interval`` in seconds says so. Values that a video with too few frames
        or constant scores does not have are ``None``.
    """
    scores = np.asarray([frame['score'] for frame in frame_results], dtype=np.float64)
    times = np.asarray([frame['timestamp'] for frame in frame_results], dtype=np.float64)
    if len(scores) < 2:
        names = (
            'score', 'mean_absolute_change', 'largest_drop', 'largest_drop_at', 'largest_rise', 'largest_rise_at',
            'lag1_autocorrelation', 'mean_interval',
        )  # fmt: skip
        return dict.fromkeys(names)
    change = np.diff(scores)
    drop, rise = int(change.argmin()), int(change.argmax())
    before, after = scores[:-1], scores[1:]
    varies = before.std() > 0 and after.std() > 0
    mean_change = float(np.abs(change).mean())
    return {
        'score': max(0.0, 1.0 - mean_change),
        'mean_absolute_change': mean_change,
        'largest_drop': max(0.0, float(-change[drop])),
        'largest_drop_at': float(times[drop + 1]) if change[drop] < 0 else None,
        'largest_rise': max(0.0, float(change[rise])),
        'largest_rise_at': float(times[rise + 1]) if change[rise] > 0 else None,
        'lag1_autocorrelation': float(np.corrcoef(before, after)[0, 1]) if varies else None,
        'mean_interval': float(np.diff(times).mean()),
    }


def worst_segments(frame_results: Sequence[dict], *, seconds: float = 2.0, count: int = 3) -> list[dict]:
    """Find the ``count`` stretches of a video, of so many ``seconds``, with the lowest mean score.

    A segment begins at a scored frame and holds the scored frames of the following ``seconds``. The worst is taken,
    then the worst that does not overlap it, and so on. A segment is never cut short by the end of the video, so that
    a single bad frame at the end does not win, unless the whole video is shorter than a segment.

    Returns:
        Worst first: ``start`` and ``end`` (times of the first and last scored frame in it), ``mean_score``,
        ``min_score``, ``worst_frame`` (index in the video), ``num_frames``; and ``damage`` of the worst frame, in
        words, where the frames have it.
    """
    if not seconds > 0 or count < 1:
        raise ValueError(f'Segments must be longer than 0 s and at least 1, not {seconds} s and {count}.')
    if not frame_results:
        return []
    times = np.asarray([frame['timestamp'] for frame in frame_results], dtype=np.float64)
    scores = np.asarray([frame['score'] for frame in frame_results], dtype=np.float64)
    ends = np.searchsorted(times, times + seconds, side='left')  # first frame after each segment
    sums = np.concatenate([[0.0], scores.cumsum()])
    starts = np.arange(len(scores))
    means = (sums[ends] - sums[starts]) / (ends - starts)
    free = np.ones(len(scores), dtype=bool)
    segments: list[dict] = []
    # The last frame lasts about as long as the others.
    end_of_video = times[-1] + (np.median(np.diff(times)) if len(times) > 1 else 0.0)
    whole = times + seconds <= end_of_video + 1e-6
    whole[0] = True
    for start in np.argsort(means, kind='stable'):
        end = int(ends[start])
        if len(segments) == count:
            break
        if not whole[start] or not free[start:end].all():
            continue
        free[start:end] = False
        worst = int(start + scores[start:end].argmin())
        segment = {
            'start': float(times[start]),
            'end': float(times[end - 1]),
            'mean_score': float(means[start]),
            'min_score': float(scores[worst]),
            'worst_frame': int(frame_results[worst]['index']),
            'num_frames': int(end - start),
        }
        if 'damage' in frame_results[worst]:
            segment['damage'] = frame_results[worst]['damage']
        segments.append(segment)
    return segments
