"""Score a video: frames in, a curve of quality and its statistics out."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .quality import quality_of
from .scoring import Scorer, describe_scorer, load_scorer, score_images, scorer_thresholds
from .video_reading import Frame, UnreadableVideo, VideoReader, count_frames, open_video
from .video_sampling import Sampling
from .video_statistics import overall_statistics, per_second, temporal_consistency, worst_segments

logger = logging.getLogger(__name__)


class VideoMIQA:
    """Scores videos frame by frame.

    ``VideoMIQA('ra-miqa').assess_video('drive.mp4')['mean_score']``

    Frames are decoded one after another in a thread while the model scores the batch before, so memory holds two
    batches of frames whatever the length of the video.

    Args:
        model_name: a name of the model zoo; None for ``ra-miqa``, or for what ``weights`` holds.
        model: a scorer to use instead: an object whose ``assess`` takes a list of BGR uint8 pictures.
        task, label, weights, device, precision: as for :class:`miqa.apis.model.MIQAModel`.
        batch_size: frames per batch.
        sampling, num_frames, sample_fps, every: which frames are scored, see
            :class:`miqa.apis.video_sampling.Sampling`; the default is 30 frames, equally far apart.
        backend: ``'opencv'``, or ``'pyav'`` where PyAV is installed; key frames always take PyAV.
    """

    def __init__(
        self,
        model_name: str | None = None,
        *,
        model: Scorer | None = None,
        task: str | None = None,
        label: str | None = None,
        weights: str | os.PathLike | None = None,
        device: str | None = None,
        precision: str | None = None,
        batch_size: int = 8,
        sampling: str = 'uniform',
        num_frames: int = 30,
        sample_fps: float = 2.0,
        every: int = 1,
        backend: str = 'opencv',
    ):
        if batch_size < 1:
            raise ValueError(f'batch_size must be at least 1, not {batch_size}.')
        self.sampling = Sampling(sampling, num_frames, sample_fps, every)
        self.batch_size = batch_size
        self.backend = backend
        self.model = load_scorer(
            model_name, model, task=task, label=label, weights=weights, device=device, precision=precision,
            batch_size=batch_size,
        )  # fmt: skip

    def assess_video(
        self,
        path: str | os.PathLike,
        *,
        assume_fps: float | None = None,
        segment_seconds: float = 2.0,
        on_frame: Callable[[dict], None] | None = None,
        progress: bool = False,
    ) -> dict:
        """Score the chosen frames of a video file.

        Args:
            path: the file.
            assume_fps: frames per second to believe instead of what the file says.
            segment_seconds: length of the worst segments.
            on_frame: called with each entry of ``frame_results`` as soon as it is known.
            progress: show a progress bar.

        Returns:
            A dict that is ready for JSON:

            - ``mean_score``: mean over the scored frames; ``quality``: its word (``high``, ``medium``, ``low``).
            - ``average_quality``, ``min_quality``, ``max_quality``, ``std_quality``: over the per-second means, as
              in the released scripts.
            - ``metadata``: ``total_frames``, ``fps``, ``duration`` (s) as declared by the file, or measured where it
              declares nothing; ``width``, ``height`` of the upright picture, ``codec``, ``fps_assumed``; and
              ``frames_read``, the frames that were really decoded.
            - ``frame_results``: ``index``, ``timestamp`` (s), ``quality_score`` of each scored frame.
            - ``per_second_results``: mean (``quality_score``), ``min_score``, ``max_score``, ``std_score``,
              ``num_frames`` of each second that has a scored frame.
            - ``overall_statistics``, ``temporal_consistency``, ``worst_segments``: see
              :mod:`miqa.apis.video_statistics`.
            - ``video_path``, ``video_name``, ``type`` ('video'), ``num_frames_analyzed``, ``num_seconds``,
              ``sampling``, ``model``, ``thresholds`` of the quality words.
            - ``complete``: False where the video ended early; ``warnings``: sentences.

        Raises:
            FileNotFoundError, UnreadableVideo, ImportError: see :func:`miqa.apis.video_reading.open_video`; also a
                video without a frame that can be decoded is an ``UnreadableVideo``.
            ValueError: the model gave something that is not a score.
        """
        path = Path(path)
        keyframes = self.sampling.strategy == 'keyframes'
        with open_video(path, backend=self.backend, keyframes_only=keyframes, assume_fps=assume_fps) as reader:
            frame_results = []
            for result in self._score(reader, self._chooser(reader), progress):
                frame_results.append(result)
                if on_frame is not None:
                    on_frame(result)
            if not frame_results:
                reason = f': {reader.stopped_by}' if reader.stopped_by else ''
                raise UnreadableVideo(
                    f'{path} has no frame that can be decoded{reason}. It may be cut off or hold sound only.'
                )
            sentences = _sentences(reader, assume_fps)
        for sentence in sentences:
            logger.warning(sentence)
        return self._result(path, reader, frame_results, sentences, segment_seconds)

    def _chooser(self, reader: VideoReader) -> Callable[[int, float], bool]:
        total = reader.info.total_frames
        if self.sampling.needs_total and not total:
            total = count_frames(reader.path)
        return self.sampling.chooser(total)

    def _score(self, reader: VideoReader, choose, progress: bool) -> Iterator[dict]:
        frames = reader.frames(choose)
        name = reader.path.name
        # The decoder's thread is one batch ahead; leaving the block waits for it, so the reader is never closed
        # under its feet.
        with ThreadPoolExecutor(1) as pool, tqdm(desc=name, unit=' frames', disable=not progress) as bar:
            pending = pool.submit(_take, frames, self.batch_size)
            while batch := pending.result():
                pending = pool.submit(_take, frames, self.batch_size)
                what = f'frames {batch[0].index} to {batch[-1].index} of {name}'
                scores = score_images(self.model, [frame.image for frame in batch], what)
                for frame, score in zip(batch, scores, strict=True):
                    yield {'index': frame.index, 'timestamp': frame.timestamp, 'quality_score': score}
                bar.update(len(batch))

    def _result(self, path, reader, frame_results, sentences, segment_seconds) -> dict:
        seconds = per_second(frame_results)
        thresholds = scorer_thresholds(self.model)
        means = [second['quality_score'] for second in seconds]
        overall = overall_statistics([frame['quality_score'] for frame in frame_results])
        return {
            'video_path': str(path),
            'video_name': path.name,
            'type': 'video',
            'mean_score': overall['mean'],
            'quality': quality_of(overall['mean'], thresholds),
            'average_quality': float(np.mean(means)),
            'min_quality': float(np.min(means)),
            'max_quality': float(np.max(means)),
            'std_quality': float(np.std(means)),
            'num_frames_analyzed': len(frame_results),
            'num_seconds': len(seconds),
            'complete': not reader.ended_early,
            'warnings': sentences,
            'model': describe_scorer(self.model),
            'thresholds': thresholds._asdict(),
            'sampling': asdict(self.sampling),
            'metadata': _metadata(reader, frame_results),
            'overall_statistics': overall,
            'temporal_consistency': temporal_consistency(frame_results),
            'worst_segments': worst_segments(frame_results, seconds=segment_seconds),
            'per_second_results': seconds,
            'frame_results': frame_results,
        }

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

        Args:
            path: the video.
            output: the file to write; see :func:`miqa.apis.video_annotation.annotate_video`.
            result: what :meth:`assess_video` returned for the same video; computed where it is not given.
            overwrite: replace an existing ``output``.
            progress: show progress bars.

        Returns:
            The file that was written; its ending differs from ``output`` where only another container could be
            written.
        """
        from .video_annotation import annotate_video, check_output

        check_output(path, output, overwrite)  # before the long part
        result = result or self.assess_video(path, progress=progress)
        return annotate_video(path, output, result, overwrite=overwrite, progress=progress)


def _take(frames: Iterator[Frame], count: int) -> list[Frame]:
    return list(itertools.islice(frames, count))


def _metadata(reader: VideoReader, frame_results: list[dict]) -> dict:
    metadata = {**reader.info.as_dict(), 'frames_read': reader.frames_read}
    metadata['width'], metadata['height'] = reader.size
    if not metadata['total_frames']:
        metadata['total_frames'] = max(reader.frames_read, frame_results[-1]['index'] + 1)
    if not metadata['duration']:
        metadata['duration'] = metadata['total_frames'] / metadata['fps']
    return metadata


def _sentences(reader: VideoReader, assume_fps: float | None) -> list[str]:
    sentences = []
    if reader.info.fps_assumed and assume_fps is None:
        sentences.append(
            f'{reader.path.name} declares no usable frame rate: {reader.info.fps:g} frames per '
            'second are assumed; times may be wrong. Say assume_fps=... if you know better.'
        )
    if reader.ended_early:
        reason = f' ({reader.stopped_by})' if reader.stopped_by else ''
        announced = f'of {reader.info.total_frames} announced ' if reader.info.total_frames else ''
        sentences.append(
            f'{reader.path.name} ends early: {reader.frames_read} frames {announced}could be read{reason}. The results '
            'cover what is there.'
        )
    return sentences
