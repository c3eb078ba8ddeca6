"""Score a video: the curve of its frame scores and its statistics."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from miqa.apis.quality import quality_of
from miqa.apis.scoring import Scorer, describe_scorer, diagnose_images, load_scorer, scorer_thresholds
from miqa.outside.names import printable, write_name
from miqa.taxonomy import check_whole_number, counted

from .reading import Frame, UnreadableVideo, VideoReader, count_frames, open_video
from .sampling import Sampling
from .statistics import VideoScores, damage_shares, overall_statistics, per_second, temporal_consistency, worst_segments

logger = logging.getLogger(__name__)

_BATCH_PIXELS = 100_000_000  # A batch holds at most so many pixels: 300 MB of them


class VideoMIQA:
    """Scores videos frame by frame.

    ``VideoMIQA('ra-miqa').assess_video('drive.mp4')['mean_score']``

    Frames are decoded one after another in a thread while the model scores the batch before, so memory holds two
    batches of frames whatever the length of the video.

    Args:
        model: a name, a path or an object: as for :class:`miqa.apis.MIQAModel`; or any object whose ``assess``
            takes a list of BGR uint8 pictures.
        batch_size: frames per batch.
        sampling, num_frames, fps, every: which frames are scored, see
            :class:`miqa.apis.video.sampling.Sampling`; the default is 30 frames, equally far apart.
        options: further arguments of :class:`miqa.apis.MIQAModel`: ``task``, ``label``, ``weights``, ``device``,
            ``precision``, ``compile``, ``thresholds``, ...
    """

    def __init__(
        self,
        model: str | os.PathLike | Scorer | None = None,
        *,
        batch_size: int = 8,
        sampling: str = 'uniform',
        num_frames: int = 30,
        fps: float = 2.0,
        every: int = 1,
        **options,
    ):
        check_whole_number('batch_size', batch_size)
        self.sampling = Sampling(sampling, num_frames, fps, every)
        self.batch_size = batch_size
        if model is None or isinstance(model, (str, os.PathLike)):
            options['batch_size'] = batch_size
        self.model = load_scorer(model, **options)

    def __repr__(self) -> str:
        """Name the model and which frames are scored."""
        return f'VideoMIQA({self.model!r}, {self.sampling!r})'

    def assess_video(
        self,
        path: str | os.PathLike,
        *,
        assume_fps: float | None = None,
        segment_seconds: float = 2.0,
        on_frame: Callable[[dict], None] | None = None,
        progress: bool = False,
        max_seconds: float | None = None,
    ) -> dict:
        """Score the chosen frames of a video file.

        Args:
            path: the file.
            assume_fps: frames per second to believe instead of what the file says.
            segment_seconds: length of the worst segments.
            on_frame: called with each entry of ``frame_results`` as soon as it is known. Where a file announces a
                wrong number of frames, it is read again, and some of those entries are dropped in the end.
            progress: show a progress bar.
            max_seconds: give up footage that is longer, whatever it announces.

        Returns:
            A dict that is ready for JSON; the released scripts' names (``average_quality``, ``quality_score``, ...)
            can be read from it, too, see :class:`miqa.apis.video.statistics.VideoScores`:

            - ``mean_score``: mean over the scored frames; ``quality``: its word (``high``, ``medium``, ``low``).
            - ``metadata``: ``total_frames``, ``fps``, ``duration`` (s) as declared by the file, or measured where it
              declares nothing; ``width``, ``height`` of the upright picture, ``codec``, ``fps_assumed``; and
              ``frames_read``, the frames that were really decoded; ``frames_missing``, those that the file should have
              besides; ``frames_damaged``, those of the former that are known to be damaged (PyAV knows more of them);
              ``transfer``, ``PQ`` or ``HLG`` for HDR footage, which is tone-mapped, else None. Where the numbers that
              a file announces are wrong, the measured ones stand in their place.
            - ``frame_results``: ``index``, ``timestamp`` (s), ``score`` of each scored frame; and of a model that can
              tell, such as ``miqa-lite``, what is wrong with it: ``damage`` in words, ``damage_kind``,
              ``damage_strength`` (0 to 5), ``damage_place``, as in :class:`miqa.apis.diagnosis.Diagnosis`.
            - ``damage_shares``: kind of damage -> share of the scored frames, of such a model; else empty.
            - ``per_second_results``: mean (``score``), ``min_score``, ``max_score``, ``std_score``, ``num_frames`` of
              each second that has a scored frame.
            - ``overall_statistics``, ``temporal_consistency``, ``worst_segments``: see
              :mod:`miqa.apis.video.statistics`.
            - ``video_path``, ``video_name``, written by :func:`miqa.outside.names.write_name`; ``type`` ('video'),
              ``num_frames_analyzed``, ``num_seconds``, ``sampling``, ``model``, ``thresholds`` of the quality words.
            - ``complete``: False where frames are missing or damaged; ``shortfall``: what is wrong then, in a few
              words, such as ``ends early``; ``warnings``: sentences.

        Raises:
            FileNotFoundError, UnreadableVideo, ImportError: see :func:`miqa.apis.video.reading.open_video`; also a
                video without a frame that can be decoded is an ``UnreadableVideo``.
            ValueError: the model gave something that is not a score.
        """
        worst_segments([], seconds=segment_seconds)  # a length that cannot be is known before frames are scored
        path = Path(path)
        options: dict[str, Any] = dict(
            keyframes_only=self.sampling.strategy == 'keyframes', assume_fps=assume_fps
        )  # fmt: skip
        scored: dict[int, dict] = {}
        with open_video(path, **options) as reader:
            total = self._total(reader)
            choose = _until(self.sampling.chooser(total), max_seconds, path)
            self._score_into(scored, reader, choose, on_frame, progress)
        if self.sampling.needs_total and _differ(total, reader.frames_read):
            # The announced frames differ from the decoded ones: sample again from the latter.
            choose = self.sampling.chooser(reader.frames_read)
            indices = {index for index in range(reader.frames_read) if choose(index, 0.0)}
            size = reader.size
            with open_video(path, **options) as reader:
                missing = indices - set(scored)
                self._score_into(scored, reader, lambda index, time: index in missing, on_frame, progress)
            scored = {index: scored[index] for index in indices & set(scored)}
            reader.size = reader.size or size
        frame_results = [scored[index] for index in sorted(scored)]
        if not frame_results:
            reason = f': {reader.stopped_by}' if reader.stopped_by else ''
            raise UnreadableVideo(
                f'{path} has no frame that can be decoded{reason}. It may be cut off or hold sound only.'
            )
        sentences = video_sentences(reader, assume_fps)
        for sentence in sentences:
            logger.warning(sentence)
        return self._result(path, reader, frame_results, sentences, segment_seconds)

    def _total(self, reader: VideoReader) -> int:
        total = reader.info.total_frames
        return count_frames(reader.path) if self.sampling.needs_total and not total else total

    def _score_into(
        self, frame_results: dict[int, dict], reader: VideoReader, choose, on_frame, progress: bool
    ) -> None:
        for result in self._score(reader, choose, progress):
            frame_results[result['index']] = result
            if on_frame is not None:
                on_frame(result)

    def _score(self, reader: VideoReader, choose, progress: bool) -> Iterator[dict]:
        frames = reader.frames(choose)
        name = reader.path.name
        # The decoder's thread is one batch ahead; leaving the block waits for it before the reader is closed.
        with ThreadPoolExecutor(1) as pool, tqdm(desc=printable(name), unit=' frames', disable=not progress) as bar:
            pending = pool.submit(_take, frames, self.batch_size)
            while batch := pending.result():
                pending = pool.submit(_take, frames, self.batch_size)
                description = f'frames {batch[0].index} to {batch[-1].index} of {name}'
                answers = diagnose_images(self.model, [frame.image for frame in batch], description)
                for frame, answer in zip(batch, answers, strict=True):
                    yield VideoScores(index=frame.index, timestamp=frame.timestamp, **answer.columns())
                bar.update(len(batch))

    def _result(self, path, reader, frame_results, sentences, segment_seconds) -> dict:
        seconds = per_second(frame_results)
        thresholds = scorer_thresholds(self.model)
        overall = overall_statistics([frame['score'] for frame in frame_results])
        result = {
            'video_path': write_name(str(path)),
            'video_name': write_name(path.name),
            'type': 'video',
            'mean_score': overall['mean'],
            'quality': quality_of(overall['mean'], thresholds),
            'num_frames_analyzed': len(frame_results),
            'num_seconds': len(seconds),
            'complete': reader.complete,
            'shortfall': shortfall(reader),
            'warnings': sentences,
            'model': describe_scorer(self.model),
            'thresholds': thresholds._asdict(),
            'sampling': asdict(self.sampling),
            'metadata': _metadata(reader, frame_results),
            'overall_statistics': overall,
            'damage_shares': damage_shares(frame_results),
            'temporal_consistency': temporal_consistency(frame_results),
            'worst_segments': worst_segments(frame_results, seconds=segment_seconds),
            'per_second_results': seconds,
            'frame_results': frame_results,
        }
        return VideoScores(result)

    def read_frames(
        self, path: str | os.PathLike, indices: Collection[int], assume_fps: float | None = None
    ) -> dict[int, np.ndarray]:
        """Read single frames again, such as those of the worst segments: index -> frame, uint8 (H, W, 3), BGR.

        ``indices`` are those of ``frame_results``, of the same sampling. All frames are held in memory; those that
        cannot be read are left out.

        Raises:
            FileNotFoundError, UnreadableVideo, ImportError: see :func:`miqa.apis.video.reading.open_video`.
        """
        remaining, frames = set(indices), {}
        keyframes = self.sampling.strategy == 'keyframes'
        with open_video(path, keyframes_only=keyframes, assume_fps=assume_fps) as reader:
            for frame in reader.frames(lambda index, time: index in remaining):
                frames[frame.index] = frame.image
                if len(frames) == len(remaining):
                    break
        return frames

    def annotate_video(
        self,
        path: str | os.PathLike,
        output: str | os.PathLike,
        *,
        result: dict | None = None,
        overwrite: bool = False,
        progress: bool = False,
    ) -> Path:
        """Write the footage with a side panel: the score of the moment and the curve as it grows.

        ``result`` is what :meth:`assess_video` returned for the same video; computed where it is not given. For the
        rest see :func:`miqa.apis.video.annotation.annotate_video`.
        """
        from .annotation import annotate_video, check_output

        check_output(path, output, overwrite)  # before the long part
        result = result or self.assess_video(path, progress=progress)
        return annotate_video(path, output, result, overwrite=overwrite, progress=progress)


def _take(frames: Iterator[Frame], count: int) -> list[Frame]:
    """Take a batch of frames; of large ones fewer, so that memory is bounded."""
    batch, pixels = [], 0
    for frame in itertools.islice(frames, count):
        batch.append(frame)
        pixels += frame.image.size // 3
        if pixels >= _BATCH_PIXELS:
            break
    return batch


def _until(choose: Callable[[int, float], bool], max_seconds: float | None, path: Path) -> Callable[[int, float], bool]:
    def bounded(index: int, time: float) -> bool:
        if max_seconds is not None and time > max_seconds:
            raise UnreadableVideo(f'{path} lasts longer than {max_seconds / 60:g} minutes.')
        return choose(index, time)

    return bounded


def _differ(announced: int, read: int) -> bool:
    # Containers without an index give an estimated number of frames; a difference of 1 % is rounding.
    return read > 0 and abs(announced - read) > max(1, 0.01 * announced)


def _metadata(reader: VideoReader, frame_results: list[dict]) -> dict:
    metadata = {**reader.info.as_dict(), 'frames_read': reader.frames_read}
    metadata.update(
        frames_missing=reader.frames_missing, frames_damaged=reader.frames_damaged, transfer=reader.transfer
    )  # fmt: skip
    # The size of the first frame that was chosen; there is one.
    metadata['width'], metadata['height'] = reader.size or (reader.info.width, reader.info.height)
    last = frame_results[-1]['index'] + 1
    if reader.keyframes_only:
        metadata['total_frames'] = max(metadata['total_frames'], last)
    else:
        metadata['total_frames'] = max(reader.frames_read + reader.frames_missing, last)
    if _differ(reader.info.total_frames, metadata['total_frames']) or not metadata['duration']:
        # What the file announces is wrong, or nothing.
        measured = metadata['total_frames'] / metadata['fps'] if metadata['fps_assumed'] else reader.end
        metadata['duration'] = measured if reader.complete else max(measured, metadata['duration'])
    if reader.announced and not reader.complete:
        # A cut file's own end is where it was cut.
        metadata['duration'] = max(metadata['duration'], reader.announced / metadata['fps'])
    return metadata


def shortfall(reader: VideoReader) -> str:
    """Return in a few words what a reader that reached the end lacks; empty where the video is complete."""
    if reader.frames_missing or reader.stopped_by:
        expected = max(reader.info.duration, reader.announced / reader.info.fps)
        at_the_end = (expected - reader.end) * reader.info.fps > 0.5 * reader.frames_missing
        return 'ends early' if at_the_end else f'misses {counted(reader.frames_missing, "frame")}'
    return f'has {counted(reader.frames_damaged, "damaged frame")}' if reader.frames_damaged else ''


def video_sentences(reader: VideoReader, assume_fps: float | None = None) -> list[str]:
    """Return sentences on what is wrong with a video that was read to its end."""
    name, sentences = reader.path.name, []
    if reader.info.fps_assumed and assume_fps is None:
        sentences.append(
            f'{name} declares no usable frame rate: {reader.info.fps:g} frames per '
            'second are assumed; times may be wrong. Say assume_fps=... if you know better.'
        )
    if reader.transfer is not None:
        sentences.append(
            f'{name} is HDR footage ({reader.transfer}): it is tone-mapped to standard range before it is scored, and '
            'its scores are less certain.'
        )
    if reader.resized is not None:
        time, *sizes = reader.resized
        before, after = (f'{width}x{height}' for width, height in sizes)
        sentences.append(
            f'{name} changes the size of its frames from {before} to {after} at {time:.2f} s: compare scores before '
            'and after with care.'
        )
    if reader.frames_missing or reader.stopped_by:
        further = 'a second recording follows in the file, which is not read' if reader.structure.further else None
        reason = f' ({reader.stopped_by or further})' if reader.stopped_by or further else ''
        announced = f'of {reader.announced} announced ' if reader.announced else ''
        sentences.append(
            f'{name} {shortfall(reader)}: {reader.frames_read} frames {announced}could be read{reason}. The results '
            'cover what is there.'
        )
    if reader.frames_damaged:
        sentences.append(
            f'{name} is damaged: {reader.frames_damaged} of the {reader.frames_read} frames that were read are.'
        )
    return sentences
