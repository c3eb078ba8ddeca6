"""Folder traversal: links are followed, each place is visited once, and skipped folders are reported."""

from __future__ import annotations

import errno
import fnmatch
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import NoReturn

from .addresses import address_in_path
from .names import printable

#: Called with a path and why what is there is skipped.
OnProblem = Callable[[str, OSError], None]
_MAGIC = re.compile(r'[*?\[]')
# Endings that folders do not have: a link of such a name led to a file.
_FILE_ENDING = re.compile(r'\.[a-z][a-z0-9]{0,4}')


class SkippedFiles:
    """Counts and names what was skipped, such as folders that cannot be read. The first ``keep`` are remembered."""

    def __init__(self, keep: int = 20):
        self.count = 0
        self.sentences: list[str] = []
        self._keep = keep

    def add(self, path: str, error: OSError) -> None:
        """Count a folder that cannot be read."""
        self.note(f'The folder {path} cannot be read: {error.strerror or error}.')

    def note(self, sentence: str) -> None:
        """Count one thing that was skipped, for the reason that the sentence gives, which may hold any name."""
        self.count += 1
        if len(self.sentences) < self._keep:
            self.sentences.append(printable(sentence))

    def lines(self) -> list[str]:
        """Return the sentences, and how many more there are."""
        more = self.count - len(self.sentences)
        return [*self.sentences, *([f'and {more} more'] if more else [])]


def raise_problem(path: str, error: OSError) -> NoReturn:
    """Raise an error for a folder that cannot be read: for callers that must not miss anything."""
    raise type(error)(f'The folder {printable(path)} cannot be read: {error.strerror or error}.') from error


#: Folders that other programs put between a user's: thumbnails, what an archive has of another system, waste.
_OTHERS = {'@eaDir', '#recycle', '__MACOSX', '$RECYCLE.BIN', 'System Volume Information'}


def is_hidden(name: str) -> bool:
    """Return True for names that belong to other programs: those that begin with a dot, and folders of some systems."""
    return name.startswith('.') or name in _OTHERS


def is_pattern(path: str) -> bool:
    """Return True if a path has wildcards of the shell."""
    return bool(_MAGIC.search(path))


def suffix_of(name: str) -> str:
    """Return the ending of a file name from its last dot on, in lower case; empty for names without one."""
    stem, dot, ending = name.rpartition('.')
    return f'.{ending.lower()}' if dot and stem else ''


class Walker:
    """Finds files, each once, whatever links and detours lead to it.

    A folder is known by the numbers of its device and inode, and a file by its folder and its name in it. So a file
    with several names counts once for each, and a folder with several names counts once.

    Args:
        on_problem: told of every folder that cannot be read, once.

    Attributes:
        problems: how often such a folder was met so far.
    """

    def __init__(self, on_problem: OnProblem):
        self._tell = on_problem
        self.problems = 0
        self._told: set[tuple] = set()
        self._seen: set[tuple] = set()
        self._parents: dict[str, tuple] = {}

    def _on_problem(self, path: str, error: OSError) -> None:
        """Tell of a problem once, whatever detours lead to it."""
        self.problems += 1
        place = _identity(path) or self.place_of(path)
        if place not in self._told:
            self._told.add(place)
            self._tell(path, error)

    def is_new(self, path: str) -> bool:
        """Return True if a file is met for the first time, by this or any other path; remember it."""
        key = self.place_of(path)
        new = key not in self._seen
        self._seen.add(key)
        return new

    def place_of(self, path: str) -> tuple:
        """Return what is the same for all paths to a name in a folder, and different for all others."""
        folder, name = os.path.split(path)  # noqa: PTH206  names are not changed
        if name in ('', '.', '..'):
            folder, name = path, ''
        place = self._parents.get(folder)
        if place is None:
            if len(self._parents) > 10_000:
                self._parents.clear()
            place = self._parents[folder] = _identity(folder or '.') or ('', os.path.abspath(folder))  # noqa: PTH100
        return (*place, name)

    def below(self, folder: str, suffixes: Collection[str]) -> Iterator[str]:
        """Yield the files in a folder and below it that end in one of ``suffixes``, sorted within each folder.

        Names that belong to other programs (:func:`is_hidden`) are skipped. What has such an ending and is no
        regular file (a broken link, a pipe) is yielded, too: opening it raises the error.
        """
        yield from self._below(folder, suffixes, set())

    def _below(self, folder: str, suffixes: Collection[str], walked: set[tuple]) -> Iterator[str]:
        folders = []
        for entry in self._entries(folder, walked):
            if is_hidden(entry.name):
                continue
            if _is_folder(entry):
                folders.append(entry)
            elif suffix_of(entry.name) in suffixes:
                yield _join(folder, entry.name)
            elif _leads_nowhere(entry):
                # Perhaps to a folder of pictures on a disk that is not there now.
                error = FileNotFoundError(errno.ENOENT, 'it is a link that leads nowhere')
                self._on_problem(_join(folder, entry.name), error)
        for entry in folders:
            yield from self._below(_join(folder, entry.name), suffixes, walked)

    def matching(self, pattern: str) -> Iterator[str]:
        """Yield the files and folders that a pattern with ``*``, ``?``, ``[...]`` and ``**`` means, sorted.

        A part of the pattern that is there under exactly this name is taken by its name: ``shots [1]/*.jpg``.
        ``**`` stands for a folder and all below it, each once. Names that begin with a dot must be asked for.
        """
        drive, remainder = os.path.splitdrive(pattern)
        root = drive + remainder[: len(remainder) - len(remainder.lstrip('/'))]
        parts = [part for part in remainder.split('/') if part]
        yield from self._matching(root, parts)

    def _matching(self, base: str, parts: list[str]) -> Iterator[str]:
        if not parts:
            yield base
            return
        part, rest = parts[0], parts[1:]
        literal = _join(base, part)
        if not is_pattern(part) or os.path.lexists(literal):
            if os.path.lexists(literal):
                yield from self._matching(literal, rest)
        elif part == '**':
            for folder in self._folders(base, set()):
                if rest:
                    yield from self._matching(folder, rest)
                else:
                    yield from (
                        _join(folder, entry.name)
                        for entry in self._entries(folder, set())
                        if not is_hidden(entry.name) and not _is_folder(entry)
                    )
        else:
            expression = re.compile(fnmatch.translate(part))
            for entry in self._entries(base, set()):
                hidden = entry.name.startswith('.') and not part.startswith('.')
                if not hidden and expression.match(entry.name) and (not rest or _is_folder(entry)):
                    yield from self._matching(_join(base, entry.name), rest)

    def _folders(self, folder: str, walked: set[tuple]) -> Iterator[str]:
        entries = [entry for entry in self._entries(folder, walked) if not is_hidden(entry.name)]
        if _identity(folder or '.') in walked:
            yield folder
        for entry in entries:
            if _is_folder(entry):
                inner = _join(folder, entry.name)
                if _identity(inner) not in walked:
                    yield from self._folders(inner, walked)

    def _entries(self, folder: str, walked: set[tuple]) -> list[os.DirEntry]:
        """Return what is in a folder, sorted by name; nothing where it was walked already or cannot be read."""
        place = _identity(folder or '.')
        if place is not None and place in walked:
            return []
        try:
            with os.scandir(folder or '.') as entries:
                ordered = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            self._on_problem(folder or '.', error)
            return []
        if place is not None:
            walked.add(place)
        return ordered


def check_target(folder: Path, to: Path, images: Iterable[str] = ()) -> None:
    """Raise a ValueError if ``to`` is an input folder or inside one: the next run would take its output for input.

    Args:
        folder: that is walked.
        to: where pictures will go.
        images: what was found by walking, as paths; folders that lie elsewhere and are linked from ``folder`` are
            known by them.
    """
    if (address := address_in_path(str(to))) is not None:
        raise ValueError(f'The output folder must be one of this computer, not {address}.')
    walked = {folder}
    for place in {os.path.dirname(image) for image in images}:  # noqa: PTH120  a million of them
        inner = Path(place)
        while inner not in walked and folder in inner.parents:
            walked.add(inner)
            inner = inner.parent
    to = to.resolve()
    above = {to, *to.parents}
    for each in sorted(walked):
        if each.resolve() in above:
            raise ValueError(f'The output folder {to} lies in the input folder {each}. Choose one beside it.')


def _join(folder: str, name: str) -> str:
    return os.path.join(folder, name) if folder else name  # noqa: PTH118  names are not changed


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def _leads_nowhere(entry: os.DirEntry) -> bool:
    """Return True if an entry is a link to nothing that may have been a folder, by its name."""
    if not entry.is_symlink() or _FILE_ENDING.fullmatch(suffix_of(entry.name)):
        return False
    return not os.path.exists(entry.path)  # noqa: PTH110  names are not changed


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
