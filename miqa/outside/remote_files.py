"""Files at URLs from the command line: fetched when read, removed afterwards."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from pathlib import Path

from .addresses import is_web_address, redact_address
from .fetching import fetch, file_name_of


class RemoteFile(os.PathLike):
    """A file behind an address: a path that is fetched when it is first used, and named without its secrets."""

    def __init__(self, url: str, name: str, folder: Path, max_bytes: int, seconds: float):
        self._url, self._name = url, name
        self._folder = folder
        self._max_bytes, self._seconds = max_bytes, seconds
        self._path: Path | None = None
        self._lock = threading.Lock()

    def __str__(self) -> str:
        """Return the address without its secrets."""
        return self._name

    def __fspath__(self) -> str:
        """Return the path of the file, which is fetched if it is not there.

        Raises:
            FetchError: it cannot be.
        """
        with self._lock:
            if self._path is None:
                place = Path(tempfile.mkdtemp(dir=self._folder))
                self._path = fetch(
                    self._url, place / file_name_of(self._url), max_bytes=self._max_bytes, seconds=self._seconds
                )
            return str(self._path)

    @property
    def fetched(self) -> Path | None:
        """Where the file is, or None before it is fetched."""
        return self._path

    def remove(self) -> None:
        """Delete the fetched file."""
        with self._lock:
            if self._path is not None:
                self._path.unlink(missing_ok=True)
                self._path.parent.rmdir()
                self._path = None


class RemoteFiles:
    """The addresses among what a command is given; a folder of their files, removed at the end of the block."""

    def __init__(self, max_megabytes: float, seconds: float):
        if not max_megabytes > 0:
            raise ValueError(f'--max-download must be above 0 MB, not {max_megabytes}.')
        self._max_bytes, self._seconds = int(max_megabytes * 1e6), seconds
        self._files: dict[str, RemoteFile] = {}
        self._alike: dict[str, dict[bytes, int]] = {}
        self._folder: tempfile.TemporaryDirectory | None = None

    def __enter__(self):
        """Return itself."""
        return self

    def __exit__(self, *error):
        """Delete what was fetched."""
        if self._folder is not None:
            self._folder.cleanup()

    def given(self, path: str) -> str | RemoteFile:
        """Return what stands for a path: itself, or the file behind an address."""
        if not is_web_address(path):
            return path
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix='miqa-fetched-')
        name = self._name_of(path)
        self._files[name] = RemoteFile(path, name, Path(self._folder.name), self._max_bytes, self._seconds)
        return self._files[name]

    def _name_of(self, url: str) -> str:
        """Name an address without its secrets; several that differ in these alone are counted, in their order."""
        name = redact_address(url)
        alike = self._alike.setdefault(name, {})
        number = alike.setdefault(hashlib.sha256(url.encode('utf-8', 'surrogateescape')).digest(), len(alike) + 1)
        return name if number == 1 else f'{name} ({number})'

    def path(self, name: str) -> str | RemoteFile:
        """Return what stands for the name of a result."""
        return self._files.get(name, name)

    def done(self, name: str) -> None:
        """Delete the file of a result that is not needed any more."""
        file = self._files.pop(name, None)
        if file is not None:
            file.remove()


def add_download_option(parser, megabytes: int) -> None:
    """Add the option that limits downloads."""
    parser.add_argument(
        '--max-download', type=float, default=megabytes, metavar='MB',
        help=f'largest file that is fetched where an http(s) address is given (default: {megabytes})',
    )  # fmt: skip
