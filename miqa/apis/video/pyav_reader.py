"""Read videos with PyAV (``pip install 'miqa[video]'``): exact time stamps, and key frames without the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from miqa.running import require

from .containers import Container
from .facts import PacketCount, close_container, facts_of, open_container, video_stream
from .reader import Frame, VideoReader, make_info
from .timeline import Timeline

# Demuxers raise an error for damage and continue behind it; repeated errors mean the end of the file.
_DEMUX_ERRORS = 1000
# Of FFmpeg's color spaces: BT.601, which OpenCV takes for all footage, and so did the scripts of the paper.
_BT601 = 'itu601'


class PyAVReader(VideoReader):
    """Read with PyAV; arguments as for :func:`~miqa.apis.video.reading.open_video`, and the file's container."""

    def __init__(self, path: Path, container: Container, assume_fps: float | None = None, keyframes_only: bool = False):
        super().__init__(path, container)
        av = self._av = require('av', 'A video')
        self._opened = open_container(av, path, container)
        try:
            stream = self._stream = video_stream(self._opened, path)
            self.facts = facts_of(self._opened, stream, container)
        except BaseException:
            self.close()
            raise
        # Threads that decode several frames at once lose those beside one that cannot be decoded.
        stream.thread_type = 'SLICE' if self.structure.wrong else 'AUTO'
        if keyframes_only:
            stream.codec_context.skip_frame = 'NONKEY'
        self.keyframes_only = keyframes_only
        self._count = PacketCount()
        # Guessed as OpenCV and the ffmpeg program do.
        rate, context = stream.guessed_rate or stream.average_rate, stream.codec_context
        duration = self.facts.end or (float(stream.duration * stream.time_base) if stream.duration else None)
        duration = duration or (self._opened.duration / 1e6 if self._opened.duration else None)
        fps = float(rate) if rate else None
        total = self.facts.counted or stream.frames or round((duration or 0) * (fps or 0))
        self.info = make_info(total, fps, assume_fps, context.width, context.height, context.name, duration=duration)

    @property
    def frames_missing(self):
        """As for any video, except that the number of key frames is not announced."""
        if self.keyframes_only:
            return self.failed + int(self.stopped_by is not None)
        return super().frames_missing

    def _decode(self, choose: Callable[[int, float], bool], timeline: Timeline) -> Iterator[Frame]:
        start = size = None
        # FFmpeg's display matrix gives counter-clockwise degrees, as numpy turns.
        for frame in self._decoded():
            self.corrupt += self._count.is_patched(frame)
            start = frame.time if start is None else start
            time = timeline.add(None if frame.time is None or start is None else frame.time - start)
            # Between key frames lie frames that were not decoded: the time tells the number.
            index = round(time * self.info.fps) if self.keyframes_only else self.frames_read
            self.frames_read += 1
            size = size or (frame.width, frame.height)
            if self.resized is None and size != (frame.width, frame.height):
                self.resized = time, size, (frame.width, frame.height)
            if choose(index, time):
                yield Frame(index, time, self._picture(frame))

    def _decoded(self) -> Iterator:
        """Yield all frames that can be decoded, and count what cannot."""
        count, failures = self._count, 0
        error = self._av.error.FFmpegError
        packets = self._opened.demux()
        while failures < _DEMUX_ERRORS:
            try:
                packet = next(packets)
            except StopIteration:
                break
            except error as problem:
                failures += 1
                self.stopped_by = problem.strerror or str(problem)
                packets = self._opened.demux()
                continue
            if failures and packet.size:
                self.failed, self.stopped_by, failures = self.failed + 1, None, 0
            if packet.stream_index != self._stream.index:
                count.add(packet, False)
                continue
            count.add(packet, True)
            if packet.size and _is_header(packet, self._stream):
                continue
            try:
                yield from packet.decode()
            except error:
                self.failed += bool(packet.size)
        self._survey = count.survey()

    def _picture(self, frame) -> np.ndarray:
        # More than 8 bits, or chroma of a size of its own, are interpolated; by the same rule as OpenCV's.
        image = self._as_shown(frame).to_ndarray(
            format='bgr24', src_colorspace=_BT601, dst_colorspace=_BT601, interpolation='BICUBIC'
        )  # fmt: skip
        turns = round(getattr(frame, 'rotation', 0) / 90) % 4
        return np.ascontiguousarray(np.rot90(image, turns)) if turns else image

    def _as_shown(self, frame):
        """Return a frame without its flags for interlacing and chroma location.

        OpenCV and the ffmpeg program ignore them when they convert a frame; PyAV does not.
        """
        if not frame.format.name.startswith('yuv'):
            return frame
        try:
            flat = self._av.VideoFrame.from_ndarray(frame.to_ndarray(), format=frame.format.name)
        except (ValueError, AssertionError):  # of a format or size that PyAV makes no array of
            return frame
        flat.color_range, flat.colorspace = frame.color_range, frame.colorspace
        return flat

    def close(self):
        """Close the container."""
        close_container(self._opened)

    def __del__(self):
        # Dropped without being closed: PyAV would free its decoder while it may hang (see close_container).
        if getattr(self, '_opened', None) is not None:
            self.close()


def _is_header(packet, stream) -> bool:
    """Return True for a packet that Theora begins with (its specification, section 6.1), as where files are joined."""
    return stream.codec_context.name == 'theora' and bytes(packet)[0] >= 0x80
