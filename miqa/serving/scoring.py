"""Score an uploaded file in threads."""

from __future__ import annotations

import asyncio
import functools
import threading
from pathlib import Path
from typing import Any

import anyio
import numpy as np

from miqa.apis.heatmap import Heatmap, heatmap_of
from miqa.apis.inputs import Preparation
from miqa.apis.model import MIQAModel, ViewAnswers
from miqa.apis.stream import PICTURE_ERRORS, default_workers
from miqa.apis.video.assess import VideoMIQA
from miqa.apis.video.reading import UnreadableVideo, container_of, open_video
from miqa.pictures.reading import picture_size

from .batching import Batcher
from .bodies import Item
from .settings import Limits, Refused


@functools.cache
def _decoders() -> anyio.CapacityLimiter:
    return anyio.CapacityLimiter(default_workers())


async def score_item(item: Item, model: MIQAModel, batcher: Batcher, limits: Limits) -> ViewAnswers | Refused:
    """Return a picture's score and diagnosis, or why it has none.

    Raises:
        TooBusy: too many pictures wait.
    """
    try:
        views = await anyio.to_thread.run_sync(_views, item, model, limits, limiter=_decoders())
    except Refused as error:
        return error
    future = batcher.submit(model.answer_prepared, views)
    try:
        return await asyncio.wrap_future(future)
    finally:
        future.cancel()  # without effect on one that is done


def _views(item: Item, model: MIQAModel, limits: Limits) -> Any:
    path = item.present()
    try:
        _check_pixels(path, item.name, limits)
        return model.prepare.views(path, item.name)
    except PICTURE_ERRORS as error:
        hint = ' It is a video: score it with POST /video.' if _is_video(path) else ''
        raise Refused(422, str(error).replace(str(path), item.name) + hint, 'unreadable') from None
    finally:
        path.unlink(missing_ok=True)


def _is_video(path: Path) -> bool:
    try:
        return container_of(path).demuxer not in ('gif', 'apng')  # too large or damaged, they are no better videos
    except (UnreadableVideo, OSError):
        return False


def _check_pixels(path: Path, name: str, limits: Limits) -> None:
    """Refuse a picture with too many pixels; only its header is read."""
    width, height = picture_size(path, name)
    if width * height > 1e6 * limits.megapixels:
        raise Refused(
            413, f'{name} is too large: it has {width * height / 1e6:.3g} megapixels, and a picture may have '
            f'{limits.megapixels:g} (miqa serve --max-megapixels).', 'too_large',
        )  # fmt: skip


def has_heatmap(model: MIQAModel) -> bool:
    """Return True if the model scores squares of pixels, parts of which can be hidden."""
    return isinstance(model.prepare, Preparation)


class SlowWork:
    """Heat maps and videos: one of each kind at a time; pictures are scored between their batches.

    Args:
        batcher: shared with the pictures.
        limits: for one request.
    """

    def __init__(self, batcher: Batcher, limits: Limits):
        self._batcher, self._limits = batcher, limits
        self._videos, self._heatmaps = anyio.CapacityLimiter(1), anyio.CapacityLimiter(1)

    async def heatmap(self, item: Item, model: MIQAModel, stop: threading.Event) -> Heatmap:
        """Return a picture's score and heat map.

        Args:
            item: the picture.
            model: the model.
            stop: ends the work when it is set.

        Raises:
            Refused: the picture cannot be read, or is too large.
        """
        return await anyio.to_thread.run_sync(self._heatmap, item, model, stop, limiter=self._heatmaps)

    def _heatmap(self, item: Item, model: MIQAModel, stop: threading.Event) -> Heatmap:
        def score(pixels: np.ndarray) -> np.ndarray:
            _end_if(stop)
            return self._batcher.run(model.score_pixels, pixels)

        if not has_heatmap(model):
            raise Refused(422, 'This model has no heat map.', 'no_heatmap')
        path = item.present()
        method = 'occlusion' if model.prepare.coverage == 'center' else 'views'
        try:
            _check_pixels(path, item.name, self._limits)
            return heatmap_of(path, method, model.prepare, score, model.spec, model.runtime)
        except PICTURE_ERRORS as error:
            raise Refused(422, str(error).replace(str(path), item.name), 'unreadable') from None

    async def video(self, item: Item, model: MIQAModel, frames: int, stop: threading.Event) -> dict:
        """Return the result of :meth:`miqa.apis.video.VideoMIQA.assess_video`, without paths of the server.

        Args:
            item: the video.
            model: the model.
            frames: how many are scored.
            stop: ends the work when it is set.

        Raises:
            Refused: it is not a video, or too long.
        """
        return await anyio.to_thread.run_sync(self._video, item, model, frames, stop, limiter=self._videos)

    def _video(self, item: Item, model: MIQAModel, frames: int, stop: threading.Event) -> dict:
        path = item.present()
        try:
            with open_video(path) as reader:
                minutes = reader.info.duration / 60
            if minutes > self._limits.video_minutes:
                raise Refused(
                    413, f'{item.name} is too long: it lasts {minutes:.1f} minutes, and a video may last '
                    f'{self._limits.video_minutes:g} (miqa serve --max-minutes).', 'too_large',
                )  # fmt: skip
            result = VideoMIQA(model=_SharedModel(model, self._batcher), num_frames=frames).assess_video(
                path, on_frame=lambda frame: _end_if(stop), max_seconds=60 * self._limits.video_minutes + 1
            )
        except (ValueError, OSError) as error:
            raise Refused(422, str(error).replace(str(path), item.name), 'unreadable') from None
        return _shown_names(result, item.name)


def _end_if(stop: threading.Event) -> None:
    if stop.is_set():
        raise Refused(499, 'The client went away.', 'cancelled')


def _shown_names(result: dict, name: str) -> dict:
    """Return a video's result under the name of the upload, not of the file that held it."""
    return {'name': name, **{key: value for key, value in result.items() if key not in ('video_path', 'video_name')}}


class _SharedModel:
    """A scorer for videos whose batches take turns with those of pictures."""

    def __init__(self, model: MIQAModel, batcher: Batcher):
        self._model, self._batcher = model, batcher
        self.spec, self.thresholds, self.identity = model.spec, model.thresholds, model.identity
        self.can_diagnose = model.can_diagnose

    def assess(self, images: list[np.ndarray], diagnose: bool = False) -> list:
        """Score uint8 pictures of shape (H, W, 3), BGR; with ``diagnose`` return all outputs of the model."""
        prepared = [self._model.prepare.views(image) for image in images]
        answers = self._batcher.run(self._model.answer_prepared, prepared)
        return answers if diagnose else [answer.score for answer in answers]
