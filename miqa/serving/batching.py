"""Batch pictures of several requests in one forward pass."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any


class TooBusy(RuntimeError):
    """More pictures wait than are taken at a time."""


#: From what the pictures of a batch are prepared to, to one answer for each.
Score = Callable[[list], Sequence[Any]]


class Batcher:
    """Collects prepared pictures while a model is busy, and scores those of one model together.

    Args:
        batch_size: pictures in a pass.
        most_waiting: pictures that may wait; more are refused.
        window: seconds that a pass waits for more pictures, once there is one.
        on_batch: called with the number of pictures of each pass.
    """

    def __init__(
        self,
        batch_size: int = 8,
        most_waiting: int = 256,
        window: float = 0.002,
        on_batch: Callable[[int], None] = lambda count: None,
    ):
        self._size, self._window, self._on_batch = batch_size, window, on_batch
        self._waiting: queue.Queue = queue.Queue(most_waiting)
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name='miqa-batches', daemon=True)
        self._thread.start()

    def submit(self, score: Score, prepared: Any) -> Future:
        """Return the future answer to one prepared picture, as ``score`` takes it; cancel it if it is no longer needed.

        ``score`` answers a batch; pictures with an equal one share a pass.

        Raises:
            TooBusy: too many pictures wait.
        """
        future: Future = Future()
        if self._closed:
            raise TooBusy('The server is shutting down.')
        try:
            self._waiting.put_nowait((score, prepared, future))
        except queue.Full:
            raise TooBusy('Too many pictures wait for their scores. Try again in a moment.') from None
        return future

    def run(self, function: Callable[[Any], Any], argument: Any) -> Any:
        """Return ``function(argument)``, computed between the passes of the others."""
        with self._lock:
            return function(argument)

    def close(self) -> None:
        """Score what waits, and end."""
        self._closed = True
        self._waiting.put(None)
        self._thread.join()
        while not self._waiting.empty():  # submitted at the very moment of the end
            item = self._waiting.get_nowait()
            if item is not None and not item[2].cancel():
                item[2].set_exception(TooBusy('The server is shutting down.'))

    def _work(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch, last = self._collect(first)
            by_model: dict[Score, list] = {}
            for score, prepared, future in batch:
                # A future that was cancelled meanwhile takes no part.
                if future.set_running_or_notify_cancel():
                    by_model.setdefault(score, []).append((prepared, future))
            for score, entries in by_model.items():
                self._pass(score, entries)
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

    def _pass(self, score: Score, entries: list) -> None:
        try:
            with self._lock:
                answers = score([prepared for prepared, _ in entries])
            for (_, future), answer in zip(entries, answers, strict=True):
                future.set_result(answer)
            self._on_batch(len(entries))
        except Exception as error:  # noqa: BLE001 - handed to those who wait; the next batch may be a good one
            for _, future in entries:
                if not future.done():
                    future.set_exception(error)
