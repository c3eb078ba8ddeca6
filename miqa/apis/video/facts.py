"""Metadata of a video file, and facts from its packets."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from .containers import Container, UnreadableVideo
from .tone_mapping import TRANSFERS

# PyAV sends FFmpeg's messages to this logger; without a handler they are not printed.
logging.getLogger('libav').addHandler(logging.NullHandler())
# Of FFmpeg's dispositions: a picture that belongs to a song (AV_DISPOSITION_ATTACHED_PIC).
_ATTACHED_PICTURE = 0x400


@dataclass(frozen=True)
class VideoFacts:
    """What a file says about its video."""

    counted: int  # frames that the file says it holds, 0 where it does not say
    end: float | None  # seconds at which the video ends by the file's own words, None where it does not say
    whole_end: float | None  # the same of the whole file, whose sound may be longer than its video
    transfer: str | None  # ``PQ``, ``HLG``, or None for standard footage


@dataclass(frozen=True)
class Survey:
    """Facts from a file's packets, decodable or not."""

    passed_over: int  # packets of the video that are not meant to be shown
    damaged: int  # packets of the video that the container knows to be damaged
    end: float  # seconds at which the last packet of any stream ends


def open_container(av: ModuleType, path: Path, container: Container):
    """Open a file with the one demuxer that its first bytes call for; it can open nothing else.

    Raises:
        UnreadableVideo: it cannot be opened.
    """
    options = {'protocol_whitelist': 'file', 'format_whitelist': container.demuxer}
    try:
        return av.open(str(path), format=container.demuxer, options=options)
    except (av.error.FFmpegError, OSError) as error:
        raise UnreadableVideo(f'{path} is not a video that PyAV can open: {error.strerror or error}') from error


def close_container(opened) -> None:
    """Close what :func:`open_container` has opened, after its decoders have come to rest.

    Where another package has PyAV pass FFmpeg's complaints on to Python (torchvision does when it is imported), a
    thread of a decoder that complains waits for Python's lock. PyAV frees a decoder under that lock, and freeing it
    waits for its threads: of damaged videos some would never end. Flushing waits for the threads without the lock.
    """
    for stream in opened.streams.video:
        if stream.codec_context is not None:
            stream.codec_context.flush_buffers()
    opened.close()


def video_stream(opened, path: Path):
    """Return a file's stream of video, which is not the picture of a cover.

    Raises:
        UnreadableVideo: there is no such stream.
    """
    for stream in opened.streams.video:
        if not int(stream.disposition) & _ATTACHED_PICTURE and stream.codec_context is not None:
            return stream
    if not opened.streams:
        raise UnreadableVideo(f'{path} has no stream at all: it was cut off before its index was written.')
    raise UnreadableVideo(f'{path} has no video stream (it may hold sound only, with a picture of its cover).')


def facts_of(opened, stream, container: Container) -> VideoFacts:
    """Return what an opened file says."""
    metadata = {name.upper().split('-')[0]: value for name, value in stream.metadata.items()}
    counted = stream.frames if container.counts_frames else 0
    if metadata.get('NUMBER_OF_FRAMES', '').isdecimal():  # mkvmerge writes it
        counted = int(metadata['NUMBER_OF_FRAMES'])
    whole = opened.duration / 1e6 if container.announces_end and opened.duration else None
    return VideoFacts(
        counted, _seconds(metadata.get('DURATION', '')), whole, TRANSFERS.get(int(stream.codec_context.color_trc or 0))
    )


class PacketCount:
    """Counts packets while a file is demuxed."""

    def __init__(self):
        self.passed_over = self.damaged = 0
        self._seen = False
        self._start, self._end = None, 0.0

    def add(self, packet, is_video: bool) -> None:
        """Count a packet of any stream."""
        if packet.pts is not None and packet.time_base:
            start = float(packet.pts * packet.time_base)
            self._start = start if self._start is None else min(self._start, start)
            self._end = max(self._end, start + float((packet.duration or 0) * packet.time_base))
        if is_video and packet.size:
            self.passed_over += packet.is_discard
            self.damaged += packet.is_corrupt

    def is_patched(self, frame) -> bool:
        """Return True if a decoded frame, the next one in order, is known to be damaged."""
        # Before the first key frame of a recording there is nothing to build on.
        patched = bool(frame.is_corrupt) and self._seen
        self._seen = self._seen or bool(frame.key_frame)
        return patched

    def survey(self) -> Survey:
        """Return what was counted."""
        return Survey(self.passed_over, self.damaged, self._end)


def _seconds(text: str) -> float | None:
    match = re.fullmatch(r'(\d+):(\d\d):(\d\d(?:\.\d+)?)', text.strip())
    return None if match is None else 3600 * int(match[1]) + 60 * int(match[2]) + float(match[3])
