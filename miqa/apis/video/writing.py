"""Write video files: with the ffmpeg program and sound, else with an OpenCV codec tested first."""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from miqa.errors import MIQAError

from .reading import UnreadableVideo, count_frames

# (container, FourCC) for OpenCV, best first. H.264 is missing from the wheels on PyPI for reasons of licence.
_OPENCV_CODECS = (('.mp4', 'avc1'), ('.mp4', 'mp4v'), ('.avi', 'mp4v'), ('.avi', 'MJPG'))
# Containers for ffmpeg, with (video codec, its options, audio codec, its options).
_H264 = ('libx264', ['-preset', 'veryfast', '-crf', '20'], 'aac', ['-b:a', '192k'])
_FAST_START = ['-movflags', '+faststart']
_FFMPEG_CONTAINERS = {
    '.mp4': (_H264[0], [*_H264[1], *_FAST_START], *_H264[2:]),
    '.m4v': (_H264[0], [*_H264[1], *_FAST_START], *_H264[2:]),
    '.mov': _H264,
    '.mkv': _H264,
    '.avi': ('mpeg4', ['-q:v', '3'], 'libmp3lame', []),
    '.webm': ('libvpx-vp9', ['-crf', '32', '-b:v', '0', '-deadline', 'realtime'], 'libopus', []),
}
OUTPUT_SUFFIXES = tuple(_FFMPEG_CONTAINERS)  # File name endings that can be asked for


class VideoNotWritten(MIQAError, OSError):
    """A video could not be written, or what was written cannot be read back. The message says why."""


def find_ffmpeg() -> str | None:
    """Return the ffmpeg program: ``MIQA_FFMPEG`` if set, the one on PATH, or that of the package imageio-ffmpeg.

    ``MIQA_FFMPEG=none`` makes the answer ``None``; so does an installation without imageio-ffmpeg, which runs it.

    Raises:
        ValueError: ``MIQA_FFMPEG`` does not name a program.
    """
    chosen = os.environ.get('MIQA_FFMPEG')
    if (chosen or '').lower() == 'none' or importlib.util.find_spec('imageio_ffmpeg') is None:
        return None
    import imageio_ffmpeg

    if chosen and shutil.which(chosen) is None:
        raise ValueError(f'The variable MIQA_FFMPEG names {chosen}, which is not a program. Name one, or unset it.')
    return chosen or shutil.which('ffmpeg') or imageio_ffmpeg.get_ffmpeg_exe()


class FFmpegWriter:
    """Pipe frames to the ffmpeg program, by imageio-ffmpeg.

    Args:
        path: the file; its ending decides container and codecs.
        size: (width, height), both even.
        fps: frames per second.
        sound_from: a file whose sound is taken along, if it has any.
        ffmpeg: the program.
    """

    def __init__(self, path: Path, size: tuple[int, int], fps: float, sound_from: Path | None, ffmpeg: str):
        import imageio_ffmpeg

        self.path, self.size, self.frames_written = path, size, 0
        codec, options, audio_codec, audio_options = _FFMPEG_CONTAINERS[path.suffix.lower()]
        self._folder = tempfile.TemporaryDirectory(prefix='miqa-ffmpeg-')
        # imageio-ffmpeg leaves ffmpeg's complaints on the terminal; a report of its own keeps them for the error.
        self._report = Path(self._folder.name, 'report.txt')
        environment = {'IMAGEIO_FFMPEG_EXE': ffmpeg, 'FFREPORT': f'file={self._report.as_posix()}:level={_ERRORS}'}
        try:
            with _environment(environment):
                sound = sound_from is not None and _has_sound(sound_from)
                self._frames = imageio_ffmpeg.write_frames(
                    str(path),
                    size,
                    pix_fmt_in='bgr24',
                    pix_fmt_out='yuv420p',
                    fps=fps,
                    quality=None,
                    codec=codec,
                    macro_block_size=1,
                    ffmpeg_log_level='quiet',
                    output_params=[*options, *(audio_options if sound else ())],
                    audio_path=str(sound_from) if sound else None,
                    audio_codec=audio_codec if sound else None,
                )
                self._frames.send(None)
        except OSError as error:
            self._folder.cleanup()
            raise VideoNotWritten(f'The program ffmpeg ({ffmpeg}) cannot be started: {error}') from error

    def write(self, frame: np.ndarray) -> None:
        """Append a frame: uint8 (height, width, 3), BGR."""
        try:
            self._frames.send(np.ascontiguousarray(frame))
        except OSError:
            raise VideoNotWritten(self._failure()) from None
        self.frames_written += 1

    def close(self) -> None:
        """Finish the file; raise VideoNotWritten where ffmpeg left none, OSError where the disk is full."""
        self._frames.close()
        if os.strerror(errno.ENOSPC) in self._complaints():
            self._folder.cleanup()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        message = '' if self.path.is_file() and self.path.stat().st_size else self._failure()
        self._folder.cleanup()
        if message:
            raise VideoNotWritten(message)

    def abandon(self) -> None:
        """Stop without finishing the file."""
        # An error that is not an Exception makes imageio-ffmpeg kill the program instead of waiting for it.
        with contextlib.suppress(SystemExit, StopIteration):
            self._frames.throw(SystemExit())
        self._folder.cleanup()

    def _complaints(self) -> str:
        text = self._report.read_text(encoding='utf-8', errors='replace') if self._report.is_file() else ''
        # The report begins with the command.
        return text.partition('Command line:')[2].partition('\n')[2].partition('\n')[2].strip()

    def _failure(self) -> str:
        return f'ffmpeg could not write {self.path.name}: {self._complaints()[-600:] or "no reason given"}'


_ERRORS = 16  # ffmpeg's number for messages about errors


def _has_sound(path: Path) -> bool:
    """Return True if ffmpeg finds sound in a file."""
    import imageio_ffmpeg

    reader = imageio_ffmpeg.read_frames(str(path))
    try:
        return bool(next(reader).get('audio_codec'))
    except (OSError, StopIteration, RuntimeError):
        # Without pictures that it can read there is nothing to take along either.
        return False
    finally:
        reader.close()


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set environment variables for the programs that the block starts."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class OpenCVWriter:
    """Write frames with OpenCV; no sound. Arguments as for :class:`FFmpegWriter`, and a FourCC code."""

    def __init__(self, path: Path, size: tuple[int, int], fps: float, fourcc: str):
        self.path, self.size, self.frames_written = path, size, 0
        self._writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*fourcc), fps, size)
        if not self._writer.isOpened():
            self._writer.release()
            raise VideoNotWritten(f'OpenCV has no encoder {fourcc} for {path.suffix} files.')

    def write(self, frame: np.ndarray) -> None:
        """Append a frame: uint8 (height, width, 3), BGR."""
        self._writer.write(frame)
        self.frames_written += 1

    def close(self) -> None:
        """Finish the file."""
        self._writer.release()

    abandon = close


def usable_opencv_codec(suffix: str, size: tuple[int, int], fps: float, codecs=_OPENCV_CODECS) -> tuple[str, str]:
    """Find the first codec that really writes frames of this size and gives as many back.

    Returns:
        The container's file name ending and the FourCC code.

    Raises:
        VideoNotWritten: none of them works.
    """
    frame = np.zeros((size[1], size[0], 3), np.uint8)
    ordered = sorted(codecs, key=lambda codec: codec[0] != suffix)  # stable: best first within each container
    with tempfile.TemporaryDirectory() as folder:
        for container, fourcc in ordered:
            path = Path(folder, f'probe{container}')
            try:
                writer = OpenCVWriter(path, size, fps, fourcc)
                for _ in range(5):
                    writer.write(frame)
                writer.close()
                check_written(path, 5)
            except VideoNotWritten:
                continue
            return container, fourcc
    tried = ', '.join(f'{fourcc} in {container}' for container, fourcc in ordered)
    raise VideoNotWritten(
        f'No codec of this OpenCV can write {size[0]}x{size[1]} pixels (tried {tried}): pip install imageio-ffmpeg'
    )


def check_written(path: Path, frames: int) -> None:
    """Open a video that was just written and count its frames.

    Raises:
        VideoNotWritten: it cannot be opened, or holds another number of frames.
    """
    try:
        frames_written = count_frames(path)
    except (UnreadableVideo, FileNotFoundError) as error:
        raise VideoNotWritten(f'{path.name} was written but cannot be opened again: {error}') from error
    if frames_written != frames:
        raise VideoNotWritten(f'{path.name} was written with {frames} frames, but {frames_written} can be read back.')
