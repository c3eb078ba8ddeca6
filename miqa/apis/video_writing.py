"""Write video files: through the ffmpeg program with sound, else through OpenCV with a codec that was tried first."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import cv2
import numpy as np

from .video_reading import UnreadableVideo, count_frames

# (container, FourCC) for OpenCV, best first. H.264 is missing from the wheels on PyPI for reasons of licence.
_OPENCV_CODECS = (('.mp4', 'avc1'), ('.mp4', 'mp4v'), ('.avi', 'mp4v'), ('.avi', 'MJPG'))
# Containers that ffmpeg is asked for, with the codecs that they hold: (video options, audio options).
_H264 = ['-c:v', 'libx264', '-preset', 'veryfast', '-crf', '20', '-pix_fmt', 'yuv420p']
_AAC = ['-c:a', 'aac', '-b:a', '192k']
_FFMPEG_CONTAINERS = {
    '.mp4': [*_H264, '-movflags', '+faststart', *_AAC],
    '.m4v': [*_H264, '-movflags', '+faststart', *_AAC],
    '.mov': [*_H264, *_AAC],
    '.mkv': [*_H264, *_AAC],
    '.avi': ['-c:v', 'mpeg4', '-q:v', '3', '-pix_fmt', 'yuv420p', '-c:a', 'libmp3lame'],
    '.webm': ['-c:v', 'libvpx-vp9', '-crf', '32', '-b:v', '0', '-deadline', 'realtime', '-pix_fmt', 'yuv420p']
    + ['-c:a', 'libopus'],
}
#: File name endings that can be asked for.
OUTPUT_SUFFIXES = tuple(_FFMPEG_CONTAINERS)


class VideoNotWritten(OSError):
    """A video could not be written, or what was written cannot be read back. The message says why."""


def find_ffmpeg() -> str | None:
    """Return the ffmpeg program: ``MIQA_FFMPEG`` if set, the one on PATH, or that of the package imageio-ffmpeg.

    ``MIQA_FFMPEG=none`` makes the answer ``None``.
    """
    chosen = os.environ.get('MIQA_FFMPEG')
    if chosen:
        return None if chosen.lower() == 'none' else chosen
    on_path = shutil.which('ffmpeg')
    if on_path or importlib.util.find_spec('imageio_ffmpeg') is None:
        return on_path
    import imageio_ffmpeg

    return imageio_ffmpeg.get_ffmpeg_exe()


class FFmpegWriter:
    """Pipe frames to the ffmpeg program.

    Args:
        path: the file; its ending decides container and codecs.
        size: (width, height), both even.
        fps: frames per second.
        sound_from: a file whose sound is taken along, if it has any.
        ffmpeg: the program.
    """

    def __init__(self, path: Path, size: tuple[int, int], fps: float, sound_from: Path | None, ffmpeg: str):
        self.path, self.size, self.frames_written = path, size, 0
        command = [ffmpeg, '-y', '-loglevel', 'error', '-f', 'rawvideo', '-pix_fmt', 'bgr24']
        command += ['-s', f'{size[0]}x{size[1]}', '-r', f'{fps:.6f}', '-i', 'pipe:0']
        if sound_from is not None:
            command += ['-i', str(sound_from), '-map', '0:v:0', '-map', '1:a:0?']
        command += [*_FFMPEG_CONTAINERS[path.suffix.lower()], str(path)]
        # ffmpeg's complaints go to a file: a pipe that nobody empties would stop it.
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close() and abandon()
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self._complaints
            )
        except OSError as error:
            self._complaints.close()
            raise VideoNotWritten(f'The program ffmpeg ({ffmpeg}) cannot be started: {error}') from error

    def write(self, frame: np.ndarray) -> None:
        """Append a frame: uint8 (height, width, 3), BGR."""
        try:
            self._process.stdin.write(np.ascontiguousarray(frame).data)
        except (BrokenPipeError, OSError):
            raise VideoNotWritten(self._failure()) from None
        self.frames_written += 1

    def close(self) -> None:
        """Finish the file; raise VideoNotWritten where ffmpeg is not content."""
        if self._process.stdin and not self._process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):  # the exit status, below, tells why
                self._process.stdin.close()
        status = self._process.wait()
        message = self._failure() if status else ''
        self._complaints.close()
        if status:
            raise VideoNotWritten(message)

    def abandon(self) -> None:
        """Stop without finishing the file."""
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._complaints.close()

    def _failure(self) -> str:
        self._process.wait()
        self._complaints.seek(0)
        text = self._complaints.read().decode('utf-8', 'replace').strip()
        return f'ffmpeg could not write {self.path.name}: {text[-600:] or "no reason given"}'


class OpenCVWriter:
    """Write frames with OpenCV; no sound. Arguments as for :class:`FFmpegWriter`, and a FourCC code."""

    def __init__(self, path: Path, size: tuple[int, int], fps: float, fourcc: str):
        self.path, self.size, self.frames_written = path, size, 0
        self._writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*fourcc), fps, size)
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

    Args:
        suffix: the container that is wanted, such as ``.mp4``; others are tried after it.
        size: (width, height) in pixels.
        fps: frames per second.
        codecs: (container, FourCC) pairs to try.

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
        f'No codec of this OpenCV can write {size[0]}x{size[1]} pixels (tried {tried}). Install the program ffmpeg, or '
        'pip install imageio-ffmpeg.'
    )


def check_written(path: Path, frames: int) -> None:
    """Open a video that was just written and count its frames.

    Raises:
        VideoNotWritten: it cannot be opened, or holds another number of frames.
    """
    try:
        found = count_frames(path)
    except (UnreadableVideo, FileNotFoundError) as error:
        raise VideoNotWritten(f'{path.name} was written but cannot be opened again: {error}') from error
    if found != frames:
        raise VideoNotWritten(f'{path.name} was written with {frames} frames, but {found} can be read back.')
