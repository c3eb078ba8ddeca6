"""The page's own folder of uploads, and the check that a request names nothing else."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

logger = logging.getLogger(__name__)

_PREFIX = 'miqa-page-'
_LOCK = '.in-use'
#: The only thing that a request learns about a file that is not an upload.
NOT_UPLOADED = 'That file was not uploaded to this page, or its hour is over. Choose it again.'
#: So much of the disk stays free, in bytes.
_KEPT_FREE = 1_000_000_000


class NotUploaded(ValueError):
    """A request names a file that is not an upload. The message says nothing about the file."""

    def __init__(self):
        super().__init__(NOT_UPLOADED)


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """Make a folder for uploads that only this user can read (0700), and remove it with all that is in it.

    Folders that a killed page of this user left behind are removed, too.
    """
    _sweep(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX)).resolve()
    lock = FileLock(folder / _LOCK)
    lock.acquire()
    try:
        yield folder
    finally:
        lock.release()
        _remove(folder)


def _sweep(parent: Path) -> None:
    for folder in parent.glob(f'{_PREFIX}*'):
        found = folder.lstat() if folder.exists() else None
        if found is None or not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            continue
        try:
            with FileLock(folder / _LOCK, timeout=0):
                pass
        except (Timeout, OSError):
            continue  # another page is using it
        _remove(folder)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, onerror=lambda function, path, error: logger.warning(f'{path} is left: {error[1]}'))


class Uploads:
    """Tells uploads from everything else.

    Args:
        folder: where uploads lie.
        most_bytes: that all uploads may have together.
    """

    def __init__(self, folder: str | os.PathLike, most_bytes: float = float('inf')):
        self.folder = Path(folder).resolve()
        self._most_bytes = most_bytes

    def file(self, path) -> str:
        """Return the real path of an uploaded file.

        Raises:
            NotUploaded: it is anything but a regular file within the folder, links followed. The file is not opened.
        """
        if not isinstance(path, str) or '\0' in path or not Path(path).is_absolute():
            raise NotUploaded
        try:
            # strict: a path that leads nowhere is refused like one that leads elsewhere.
            real = Path(path).resolve(strict=True)
            inside = real.is_relative_to(self.folder) and stat.S_ISREG(real.lstat().st_mode)
        except (OSError, RuntimeError, ValueError):  # RuntimeError: links in a circle
            inside = False
        if not inside or real.name == _LOCK:
            raise NotUploaded
        return str(real)

    def checked(self, value):
        """Return a component's value with the files that it names, and with nothing else from the request.

        Args:
            value: as it came: None, a dict with ``path``, or a list of these. Of a dict only the path is kept: Gradio
                would fetch its ``url``, skip the check of a stream, and look for files in whatever else is there.

        Raises:
            NotUploaded: see :meth:`file`; also where the value is built in another way.
        """
        if value is None:
            return None
        if isinstance(value, list):
            return [self.checked(item) for item in value if item is not None]
        if not isinstance(value, dict):
            raise NotUploaded
        return {'path': self.file(value.get('path')), 'meta': {'_type': 'gradio.FileData'}}

    def has_room_for(self, size: int) -> bool:
        """Whether so many bytes more are within what all uploads may have, and fit on the disk."""
        held = 0
        for file in self.folder.rglob('*'):
            with contextlib.suppress(FileNotFoundError):  # it is deleted while this counts
                held += file.lstat().st_size
        return held + size <= self._most_bytes and shutil.disk_usage(self.folder).free - size > _KEPT_FREE
