"""From a file of a request to its score, in threads, while the server goes on answering."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable

import anyio
import numpy as np

from miqa.apis.model import MIQAModel
from miqa.apis.stream import PICTURE_ERRORS, default_workers
from miqa.apis.video.assess import VideoMIQA
from miqa.apis.video.reading import open_video
from miqa.pictures.reading import picture_size

from .batching import Batcher
from .bodies import Item, Refused
from .settings import ServiceLimits


@functools.cache
def _decoders() -> anyio.CapacityLimiter:
    return anyio.CapacityLimiter(default_workers())


async def score_item(item: Item, model: MIQAModel, batcher: Batcher, limits: ServiceLimits) -> float | Refused:
    """Return a picture's score, or why it has none.

    Raises:
        TooBusy: too many pictures wait.
    """
    try:
        pixels = await anyio.to_thread.run_sync(_pixels, item, model, limits, limiter=_decoders())
    except Refused as error:
        return error
    future = batcher.submit(pixels)
    try:
        return await asyncio.wrap_future(future)
    finally:
        future.cancel()  # without effect on one that is done


def _pixels(item: Item, model: MIQAModel, limits: ServiceLimits) -> np.ndarray:
    path = item.present()
    try:
        width, height = picture_size(path, item.name)
        if width * height > 1e6 * limits.megapixels:
            raise Refused(
                413, f'{item.name} has {width * height / 1e6:.3g} megapixels; up to {limits.megapixels:g} are taken.',
                'too_large',
            )  # fmt: skip
        return model.prepare(path, item.name)
    except PICTURE_ERRORS as error:
        raise Refused(422, str(error).replace(str(path), item.name), 'unreadable') from None
    finally:
        path.unlink(missing_ok=True)


class VideoWork:
    """Scores videos, one at a time: they are long, and pictures go on between their batches.

    Args:
        model: what answers.
        batcher: what keeps frames and pictures apart.
        limits: what a request may ask for.
    """

    def __init__(self, model: MIQAModel, batcher: Batcher, limits: ServiceLimits):
        self._scorer, self._limits = _Between(model, batcher), limits
        self._limiter = anyio.CapacityLimiter(1)
        self._stops: dict[int, threading.Event] = {}

    def stop_of(self, item: Item) -> Callable[[], None]:
        """Return what ends the work on a video whose client went away."""
        return self._stops.setdefault(id(item), threading.Event()).set

    async def assess(self, item: Item, frames: int) -> dict:
        """Return the result of :meth:`miqa.apis.video.VideoMIQA.assess_video`, without paths of the server.

        Raises:
            Refused: it is no video, or asks too much.
        """
        stop = self._stops.setdefault(id(item), threading.Event())
        try:
            return await anyio.to_thread.run_sync(self._assess, item, frames, stop, limiter=self._limiter)
        finally:
            self._stops.pop(id(item), None)

    def _assess(self, item: Item, frames: int, stop: threading.Event) -> dict:
        def go_on(result) -> None:
            if stop.is_set():
                raise Refused(499, 'The client went away.', 'cancelled')

        path = item.present()
        try:
            with open_video(path) as reader:
                minutes = reader.info.duration / 60
            if minutes > self._limits.video_minutes:
                raise Refused(
                    413, f'{item.name} lasts {minutes:.0f} minutes; up to {self._limits.video_minutes:g} are taken.',
                    'too_large',
                )  # fmt: skip
            result = VideoMIQA(model=self._scorer, num_frames=frames).assess_video(
                path, on_frame=go_on, max_seconds=60 * self._limits.video_minutes + 1
            )
        except (ValueError, OSError) as error:
            raise Refused(422, str(error).replace(str(path), item.name), 'unreadable') from None
        result['video_path'] = result['video_name'] = item.name
        return result


class _Between:
    """A scorer for videos whose batches take turns with those of pictures."""

    def __init__(self, model: MIQAModel, batcher: Batcher):
        self._model, self._batcher = model, batcher
        self.spec, self.thresholds, self.identity = model.spec, model.thresholds, model.identity

    def assess(self, images: list[np.ndarray]) -> list[float]:
        """Score uint8 pictures of shape (H, W, 3), BGR."""
        pixels = np.stack([self._model.prepare(image) for image in images])
        return self._batcher.score(pixels).tolist()
