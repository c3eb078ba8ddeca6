"""Pictures of many requests in one forward pass."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np


class TooBusy(RuntimeError):
    """More pictures wait than are taken at a time."""


class Batcher:
    """Collects prepared pictures while the model is busy, and scores them together.

    Args:
        score_pixels: uint8 RGB (B, 3, size, size) -> scores (B,).
        batch_size: pictures in a pass.
        most_waiting: pictures that may wait; more are refused.
        window: seconds that a pass waits for more pictures, once there is one.
        on_batch: called with the number of pictures of each pass.
    """

    def __init__(
        self,
        score_pixels: Callable[[np.ndarray], np.ndarray],
        batch_size: int,
        most_waiting: int = 256,
        window: float = 0.002,
        on_batch: Callable[[int], None] = lambda count: None,
    ):
        self._score, self._size, self._window, self._on_batch = score_pixels, batch_size, window, on_batch
        self._waiting: queue.Queue = queue.Queue(most_waiting)
        self._lock = threading.Lock()
        self._ended = False
        self._thread = threading.Thread(target=self._work, name='miqa-batches', daemon=True)
        self._thread.start()

    def submit(self, pixels: np.ndarray) -> Future:
        """Return the future score, a float, of one prepared picture; cancel it if nobody wants it any more.

        Raises:
            TooBusy: too many pictures wait.
        """
        future: Future = Future()
        if self._ended:
            raise TooBusy('The server is ending.')
        try:
            self._waiting.put_nowait((pixels, future))
        except queue.Full:
            raise TooBusy('Too many pictures wait for their scores. Try again in a moment.') from None
        return future

    def score(self, pixels: np.ndarray) -> np.ndarray:
        """Score several pictures at once, between the passes of the others."""
        with self._lock:
            return self._score(pixels)

    def close(self) -> None:
        """Score what waits, and end."""
        self._ended = True
        self._waiting.put(None)
        self._thread.join()
        while not self._waiting.empty():  # what came in the very moment of the end
            item = self._waiting.get_nowait()
            if item is not None and not item[1].cancel():
                item[1].set_exception(TooBusy('The server is ending.'))

    def _work(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch, last = self._collect(first)
            # A future that was cancelled meanwhile takes no part.
            batch = [(pixels, future) for pixels, future in batch if future.set_running_or_notify_cancel()]
            if batch:
                self._pass(batch)
            if last:
                return

    def _collect(self, first) -> tuple[list, bool]:
        batch, end = [first], time.monotonic() + self._window
        while len(batch) < self._size:
            try:
                item = self._waiting.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                break
            if item is None:
                return batch, True
            batch.append(item)
        return batch, False

    def _pass(self, batch: list) -> None:
        try:
            with self._lock:
                scores = self._score(np.stack([pixels for pixels, _ in batch]))
            for (_, future), score in zip(batch, scores.tolist(), strict=True):
                future.set_result(score)
            self._on_batch(len(batch))
        except Exception as error:  # noqa: BLE001 - handed to those who wait; the next batch may be a good one
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
