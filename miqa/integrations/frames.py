"""A filter between a source of frames and its consumer."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import numpy as np

from miqa.apis.gate_threshold import Gate
from miqa.apis.scoring import Scorer, load_scorer, score_images


class FrameFilter:
    """Lets through the frames that are worth looking at.

    With OpenCV, supervision or any loop over frames::

        keep = FrameFilter('demo', gate='gate.json')
        for frame in keep(supervision.get_video_frames_generator('drive.mp4')):
            detections = detector(frame)
        print(keep.seen, keep.passed)

    Args:
        model: a name, a path or an object: as for :class:`miqa.apis.MIQAModel`.
        gate: of :func:`miqa.apis.fit_gate`, or its file; or the folder of a gate of your own, which brings its model.
        threshold: instead of a gate: the lowest score that passes.
        batch_size: frames that are scored together; more than 1 is faster and waits for as many frames.
        options: further arguments of :class:`miqa.apis.MIQAModel`.

    Attributes:
        seen, passed: frames so far, and those of them that were let through.

    Raises:
        ValueError: neither a gate nor a threshold is given, or both are; or the gate is another model's.
    """

    def __init__(
        self,
        model: str | os.PathLike | Scorer | None = None,
        *,
        gate: Gate | str | os.PathLike | None = None,
        threshold: float | None = None,
        batch_size: int = 1,
        **options,
    ):
        if (gate is None) == (threshold is None):
            raise ValueError('Give either a gate or a threshold.')
        if batch_size < 1:
            raise ValueError(f'batch_size must be at least 1, not {batch_size}.')
        if isinstance(gate, (str, os.PathLike)):
            from miqa.apis.gate_opening import load_gate

            gate, own = load_gate(gate)
            model = own() if own is not None and model is None else model
        self.model = load_scorer(model, **options)
        if gate is not None:
            if (identity := getattr(self.model, 'identity', None)) is not None:
                gate.check_model(identity)
            self.threshold = gate.threshold
        elif threshold is not None:
            self.threshold = float(threshold)
        self.batch_size = batch_size
        self.seen = self.passed = 0

    def __call__(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield the good ones of ``frames``, uint8 (H, W, 3) in BGR, in their order."""
        for frame, _ in self.scored(frames):
            yield frame

    def scored(self, frames: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, float]]:
        """Yield the good frames, each with its score."""
        waiting: list[np.ndarray] = []
        for frame in frames:
            waiting.append(frame)
            if len(waiting) == self.batch_size:
                yield from self._good(waiting)
                waiting = []
        if waiting:
            yield from self._good(waiting)

    def _good(self, frames: list[np.ndarray]) -> Iterator[tuple[np.ndarray, float]]:
        for frame, score in zip(frames, score_images(self.model, frames, 'a frame'), strict=True):
            self.seen += 1
            if score >= self.threshold:
                self.passed += 1
                yield frame, score
