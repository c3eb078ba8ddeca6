"""Score a camera, stream or file while it plays."""

from __future__ import annotations

import logging
import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from miqa.apis.drawings.score_panel import SMALLEST, ScorePanel, beside, panel_width
from miqa.apis.quality import quality_of
from miqa.apis.scoring import (
    ScoredImage,
    Scorer,
    describe_scorer,
    diagnose_images,
    load_scorer,
    score_images,
    scorer_line,
    scorer_thresholds,
)
from miqa.taxonomy import check_whole_number

from .camera import CameraLost, LatestFrame, open_source
from .window import Window, why_no_window

if TYPE_CHECKING:
    from miqa.apis.diagnosis import Diagnosis
    from miqa.apis.gate_threshold import Gate

logger = logging.getLogger(__name__)

# Latencies of the last so many frames are kept for the percentiles, so that a run of weeks needs no more memory.
_LATENCIES = 1000
DISPLAYS = ('auto', 'window', 'none')  # What ``display`` may be


@dataclass(frozen=True)
class LiveResult:
    """The score of one frame.

    Attributes:
        index: number of the frame in the source, from 0.
        score: higher is better.
        smoothed: mean over the last frames, see ``smoothing`` of :class:`RealTimeIQA`.
        latency: seconds from the capture of the frame until its score.
        captured, dropped: frames read from the source so far, and those of them that were replaced by newer ones
            before they could be scored.
        alert: whether ``smoothed`` is below the threshold.
        passed: whether the gate lets this frame through; None without a gate.
        seconds: since the run began.
        damage: what is wrong with the frame, of a model that can tell, such as ``miqa-lite``; else None.
    """

    index: int
    score: float
    smoothed: float
    latency: float
    captured: int
    dropped: int
    alert: bool
    seconds: float
    passed: bool | None = None
    damage: Diagnosis | None = None


class RealTimeIQA:
    """Scores frames as they come.

    ``RealTimeIQA('ra-miqa').assess_frame(frame)`` scores one; ``run`` follows a camera, a stream or a file.

    Args:
        model: a name, a path or an object: as for :class:`miqa.apis.MIQAModel`; or any object whose ``assess``
            takes a list of BGR uint8 pictures.
        alert_below: threshold for alerts; ``None`` for none.
        on_alert: called with a :class:`LiveResult` when the smoothed score falls below the threshold: once for each
            fall, not for each frame.
        smoothing: frames to average over for alerts, so that a single bad frame does not raise one.
        gate: of :func:`miqa.apis.gate_fit.fit_gate`, or its file: each result then says whether the frame passes. Or
            the folder of a gate of your own (``miqa gate make``), which brings its own model: leave out ``model``.
        options: further arguments of :class:`miqa.apis.MIQAModel`: ``task``, ``label``, ``weights``, ``device``,
            ``precision``, ``compile``, ``thresholds``, ...
    """

    def __init__(
        self,
        model: str | os.PathLike | Scorer | None = None,
        *,
        alert_below: float | None = None,
        on_alert: Callable[[LiveResult], None] | None = None,
        smoothing: int = 5,
        gate: Gate | str | os.PathLike | None = None,
        **options,
    ):
        check_whole_number('smoothing', smoothing)
        if alert_below is not None and math.isnan(alert_below):
            raise ValueError('alert_below must be a number, not nan: no score is below that.')
        if on_alert is not None and alert_below is None:
            raise ValueError('on_alert needs a threshold: say alert_below=...')
        self.alert_below, self.on_alert, self.smoothing = alert_below, on_alert, smoothing
        own: Callable[..., Scorer] | None = None
        if isinstance(gate, (str, os.PathLike)):
            from miqa.apis.gate_opening import load_gate

            gate, own = load_gate(gate)
        elif not (gate is None or hasattr(gate, 'check_model')):
            raise TypeError(f'gate is what fit_gate returned or its file, not {gate!r}; a threshold is alert_below=...')
        self.gate = gate
        if own is not None and model is None:
            model = own(**{name: options.pop(name) for name in ('batch_size', 'workers') if name in options})
        self.model = load_scorer(model, **options)
        if self.gate is not None and (identity := getattr(self.model, 'identity', None)) is not None:
            self.gate.check_model(identity)
        self._stop = False

    def __repr__(self) -> str:
        """Name the model."""
        return f'RealTimeIQA({self.model!r})'

    def assess_frame(self, frame: np.ndarray) -> float:
        """Score one frame: uint8 (H, W, 3), BGR, as OpenCV gives it. Higher is better."""
        return score_images(self.model, [frame], 'a frame')[0]

    def stop(self) -> None:
        """End ``run`` after the present frame; may be called from a callback or another thread."""
        self._stop = True

    def run(
        self,
        source: int | str | os.PathLike | Iterable[np.ndarray] = 0,
        *,
        display: str = 'auto',
        every_frame: bool = False,
        max_frames: int | None = None,
        on_result: Callable[[LiveResult], None] | None = None,
        stall_seconds: float = 10.0,
        reconnect_seconds: float = 60.0,
    ) -> dict:
        """Score frames until the source ends, ``stop`` is called, or the user closes the window.

        Always the newest frame is scored; what comes meanwhile is dropped and counted. A file is played at its own
        speed.

        Args:
            source: camera number, URL (``rtsp://...``), file, or an iterable of BGR frames.
            display: ``'window'``, ``'none'``, or ``'auto'``: a window where there is a screen.
            every_frame: score all frames, however long it takes (for files and iterators).
            max_frames: stop after so many scored frames.
            on_result: called with each :class:`LiveResult`.
            stall_seconds: a source that gives no frame for so long is lost; a network stream has broken.
            reconnect_seconds: how long a network stream that broke is tried to be reached again, with growing waits;
                0 for not at all.

        Returns:
            ``frames_scored``, ``frames_captured``, ``frames_dropped``, ``mean_score``, ``min_score``, ``max_score``
            (``None`` without frames), ``alerts``, ``frames_passed`` (``None`` without a gate), ``seconds``,
            ``frames_per_second`` (scored), ``latency`` (dict of
            ``mean``, ``p50``, ``p95``, ``max`` in seconds over the last 1000 frames), ``breaks`` (of a
            network stream), ``ended`` (a sentence).

        Raises:
            CameraLost: the source cannot be opened or vanished; its ``summary`` holds what is described above. The
                device has been given back.
            ValueError: ``max_frames`` is below 1, or the seconds to wait are not positive.
            ValueError, ImportError: a window is requested but unavailable.
        """
        if max_frames is not None and max_frames < 1:
            raise ValueError(f'max_frames must be at least 1, not {max_frames}.')
        if not stall_seconds > 0 or not reconnect_seconds >= 0:
            raise ValueError(
                f'The seconds to wait must be above 0 for a silent source (stall) and at least 0 for a broken stream '
                f'(reconnect), not {stall_seconds:g} and {reconnect_seconds:g}.'
            )
        self._stop = False
        show = self._wants_window(display)
        opened = open_source(source, reconnect_seconds, stall_seconds)
        slot = LatestFrame(opened, every_frame)
        count = _Counter(self.smoothing)
        view = _LiveView(self, opened.name) if show else None
        try:
            count.ended = self._loop(slot, count, view, max_frames, on_result, stall_seconds)
        except (CameraLost, TimeoutError) as error:
            lost = error if isinstance(error, CameraLost) else CameraLost(str(error))
            count.ended = str(lost)
            lost.summary = count.summary(slot)
            raise lost from None
        finally:
            if view is not None:
                view.close()
            if not slot.close():
                logger.warning(f'{opened.name} does not answer; its thread is left to itself.')
        return count.summary(slot)

    def _loop(self, slot, count, view, max_frames, on_result, stall_seconds) -> str:
        below = False
        while not self._stop:
            frame = slot.take(stall_seconds)
            if frame is None:
                return 'The source ended.'
            [answer] = diagnose_images(self.model, [frame.image], 'a frame')
            result = count.add(frame, answer, slot, self.alert_below, self.gate)
            if result.alert and not below:
                count.alerts += 1
                logger.warning(f'Quality {result.smoothed:.3f} is below {self.alert_below:g} (frame {result.index}).')
                if self.on_alert is not None:
                    self.on_alert(result)
            below = result.alert
            if on_result is not None:
                on_result(result)
            if view is not None and not view.show(frame.image, result, count.mean):
                return 'The window was closed.'
            if max_frames is not None and count.scored >= max_frames:
                return f'{max_frames} frames were scored, as asked for.'
        return 'It was told to stop.'

    def _wants_window(self, display: str) -> bool:
        if display not in DISPLAYS:
            raise ValueError(f'display must be one of {", ".join(DISPLAYS)}, not {display!r}.')
        if display == 'none':
            return False
        reason = why_no_window()
        if reason and display == 'window':
            raise ValueError(f"{reason} Use display='none'.")
        if reason:
            logger.info(f'No window is opened. {reason}')
        return not reason


class _Counter:
    """Running figures of one run, in constant memory."""

    def __init__(self, smoothing: int):
        self.scored = self.alerts = 0
        self.passed: int | None = None
        self.ended = ''
        self._sum, self._low, self._high = 0.0, float('inf'), float('-inf')
        self._recent: deque[float] = deque(maxlen=smoothing)
        self._latencies: deque[float] = deque(maxlen=_LATENCIES)
        self._start = time.perf_counter()

    @property
    def mean(self) -> float:
        return self._sum / self.scored

    def add(
        self, frame, answer: ScoredImage, slot: LatestFrame, threshold: float | None, gate: Gate | None
    ) -> LiveResult:
        now, score = time.perf_counter(), answer.score
        self.scored += 1
        self._sum += score
        self._low, self._high = min(self._low, score), max(self._high, score)
        self._recent.append(score)
        self._latencies.append(now - frame.captured_at)
        smoothed = float(np.mean(self._recent))
        passed = None if gate is None else bool(gate.passes(score))
        if passed is not None:
            self.passed = (self.passed or 0) + passed
        return LiveResult(
            index=frame.index,
            score=score,
            smoothed=smoothed,
            latency=self._latencies[-1],
            captured=slot.captured,
            dropped=slot.dropped,
            alert=threshold is not None and smoothed < threshold,
            seconds=now - self._start,
            passed=passed,
            damage=answer.damage,
        )

    def summary(self, slot: LatestFrame) -> dict:
        seconds = time.perf_counter() - self._start
        latency = None
        if self._latencies:
            median, high = np.quantile(self._latencies, (0.5, 0.95)).tolist()
            latency = {'mean': float(np.mean(self._latencies)), 'p50': median, 'p95': high, 'max': max(self._latencies)}
        return {
            'frames_scored': self.scored,
            'frames_captured': slot.captured,
            'frames_dropped': slot.dropped,
            'mean_score': self.mean if self.scored else None,
            'min_score': self._low if self.scored else None,
            'max_score': self._high if self.scored else None,
            'alerts': self.alerts,
            'frames_passed': self.passed,
            'seconds': seconds,
            'frames_per_second': self.scored / seconds,
            'latency': latency,
            'breaks': slot.breaks,
            'ended': self.ended,
        }


class _LiveView:
    """The window: picture, score, and the curve of the last half minute."""

    SECONDS = 30.0

    def __init__(self, owner: RealTimeIQA, name: str):
        self._window = Window(f'MIQA: {name} (q to quit)')
        self._subtitle = scorer_line(describe_scorer(owner.model))
        self._threshold = owner.alert_below
        self._words = scorer_thresholds(owner.model)
        self._panel: ScorePanel | None = None
        self._points: deque[tuple[float, float]] = deque()

    def show(self, image: np.ndarray, result: LiveResult, mean: float) -> bool:
        """Show a frame with its score; return True until the user quits."""
        return self._window.show(self.compose(image, result, mean))

    def compose(self, image: np.ndarray, result: LiveResult, mean: float) -> np.ndarray:
        """Return the picture with its panel, uint8 BGR."""
        height = max(image.shape[0], SMALLEST[1])
        if self._panel is None or self._panel.height != height:
            self._panel = ScorePanel(
                panel_width(height), height, subtitle=self._subtitle, threshold=self._threshold
            )  # fmt: skip
        now = result.seconds
        self._points.append((now, result.score))
        while self._points[0][0] < now - self.SECONDS:
            self._points.popleft()
        self._panel.restart((max(0.0, now - self.SECONDS), max(now, self.SECONDS)))
        for moment, score in self._points:
            self._panel.add(moment, score)
        state = 'ALERT: ' if result.alert else ''
        captions = [
            f'{state}{quality_of(result.smoothed, self._words)} quality, mean {mean:.3f}',
            f'{1000 * result.latency:.0f} ms late, {result.dropped} of {result.captured} dropped',
        ]
        return beside(image, self._panel.render(result.score, captions))

    def close(self) -> None:
        """Close the window."""
        self._window.close()
