"""Footage with a side panel: the current score and its growing curve."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from miqa.apis.drawings.score_panel import SMALLEST, ScorePanel, beside, clock, panel_width
from miqa.apis.quality import Thresholds, quality_of
from miqa.apis.scoring import scorer_line
from miqa.keeping import atomic_write
from miqa.outside.names import printable

from .reading import open_video
from .writing import (
    OUTPUT_SUFFIXES,
    FFmpegWriter,
    OpenCVWriter,
    VideoNotWritten,
    check_written,
    find_ffmpeg,
    usable_opencv_codec,
)

logger = logging.getLogger(__name__)


def check_output(source: str | os.PathLike, output: str | os.PathLike, overwrite: bool) -> None:
    """Refuse an output that would destroy something or cannot be written.

    Raises:
        ValueError: the ending is not one of :data:`OUTPUT_SUFFIXES`, or output and source are the same file.
        FileExistsError: ``output`` exists and ``overwrite`` is not set.
    """
    source, output = Path(source), Path(output)
    if output.suffix.lower() not in OUTPUT_SUFFIXES:
        raise ValueError(f'{output}: an annotated video must end in one of {", ".join(OUTPUT_SUFFIXES)}.')
    if output.exists() and source.exists() and output.samefile(source):
        raise ValueError(f'{output} is the video itself; choose another name for the annotated one.')
    if output.exists() and not overwrite:
        raise FileExistsError(f'{output} exists already; choose another name, or say overwrite.')


def annotate_video(
    source: str | os.PathLike,
    output: str | os.PathLike,
    result: dict,
    *,
    overwrite: bool = False,
    progress: bool = False,
) -> Path:
    """Write ``source`` with a panel on its right side; return the file that was written.

    Between scored frames the score is interpolated. The picture keeps its pixels; footage that is very low, or of
    odd size, gets black borders. The result has a constant frame rate; frames of footage with a varying one are
    shown again or dropped so that everything happens at its time. Sound is kept where imageio-ffmpeg is
    installed (``pip install imageio-ffmpeg``). Without it OpenCV writes, with the first codec that passes a trial;
    the container may then become AVI. What was written is opened again and its frames are counted.

    Args:
        source: the video.
        output: ends in one of :data:`miqa.apis.video.writing.OUTPUT_SUFFIXES`.
        result: what :meth:`miqa.apis.video.VideoMIQA.assess_video` returned for ``source``.
        overwrite: replace an existing file.
        progress: show a progress bar.

    Raises:
        ValueError, FileExistsError: see :func:`check_output`.
        VideoNotWritten: no encoder works, or the file does not hold what was written into it.
    """
    source, output = Path(source), Path(output)
    check_output(source, output, overwrite)
    metadata = result['metadata']
    fps, width, height = metadata['fps'], metadata['width'], metadata['height']
    panel = _panel(result, max(height, SMALLEST[1]))
    shape = beside(np.zeros((height, width, 3), np.uint8), panel.render(None)).shape
    size = (shape[1], shape[0])

    ffmpeg = find_ffmpeg()
    if ffmpeg is None:
        suffix, fourcc = usable_opencv_codec(output.suffix.lower(), size, fps)
        if suffix != output.suffix.lower():
            output = output.with_suffix(suffix)
            logger.warning(f'No codec for the container asked for works here; {output.name} is written instead.')
            check_output(source, output, overwrite=False)  # that name is not the one which may be replaced
    with atomic_write(output) as temporary:
        if ffmpeg is None:
            writer: OpenCVWriter | FFmpegWriter = OpenCVWriter(temporary, size, fps, fourcc)
        else:
            writer = FFmpegWriter(temporary, size, fps, source.absolute(), ffmpeg)
        try:
            for image in _annotated(source, result, panel, progress):
                writer.write(image)
        except BaseException:
            writer.abandon()
            raise
        writer.close()
        check_written(temporary, writer.frames_written)
    return output


def _panel(result: dict, height: int) -> ScorePanel:
    scores = [frame['score'] for frame in result['frame_results']]
    times = [frame['timestamp'] for frame in result['frame_results']]
    # Raw scores may leave [0, 1] a little; the axis then opens, so that the curve is never cut.
    y_range = (min(0.0, *scores, 0.0), max(1.0, *scores, 1.0))
    subtitle = scorer_line(result['model'])
    duration = max(result['metadata']['duration'], times[-1])
    return ScorePanel(panel_width(height), height, subtitle=subtitle, x_range=(0.0, duration), y_range=y_range)


def _annotated(source: Path, result: dict, panel: ScorePanel, progress: bool) -> Iterator[np.ndarray]:
    """Yield the pictures of the annotated video at its constant frame rate."""
    times = np.asarray([frame['timestamp'] for frame in result['frame_results']])
    scores = np.asarray([frame['score'] for frame in result['frame_results']])
    metadata, thresholds = result['metadata'], Thresholds(**result['thresholds'])
    fps, duration = metadata['fps'], metadata['duration']
    assumed = fps if metadata['fps_assumed'] else None
    current, image, total = 0, None, 0.0
    with (
        open_video(source, assume_fps=assumed) as reader,
        tqdm(
            total=metadata['total_frames'],
            desc=f'annotating {printable(source.name)}',
            unit=' frames',
            disable=not progress,
        ) as bar,
    ):
        for frame in reader.frames():
            bar.update()
            if frame.image.shape[:2] != (metadata['height'], metadata['width']):
                raise VideoNotWritten(
                    f'The size of the picture changes within {source}, at {frame.timestamp:.2f} s: that cannot be '
                    'annotated. Cut it there, and annotate the parts.'
                )
            due = round(frame.timestamp * fps)  # pictures that come before this one
            while image is not None and current < due:
                current += 1
                yield image
            score = float(np.interp(frame.timestamp, times, scores))
            total += score
            panel.add(frame.timestamp, score)
            captions = [
                f'{quality_of(score, thresholds)} quality at {clock(frame.timestamp)} of {clock(duration)}',
                f'mean so far {total / (frame.index + 1):.3f}',
            ]
            image = beside(frame.image, panel.render(score, captions))
    if image is not None:
        yield image
