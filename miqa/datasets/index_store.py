"""Where indexes are stored, when they are rebuilt, and how processes share one."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from filelock import FileLock, Timeout

from miqa.errors import DatabaseError, shorten
from miqa.keeping import sha256_of_file, sweep
from miqa.keeping.filed_labels import filed_labels
from miqa.keeping.files import writable_folder
from miqa.layout import image_root, index_folder, index_name, label_folder, label_paths, split_path
from miqa.outside.regular_files import check_data_root
from miqa.outside.user_folders import user_cache
from miqa.running.logs import log
from miqa.splits.reading import read_split
from miqa.taxonomy import DATABASE_TASKS, SPLITS, TASK_FOLDERS, check_choice, split_name

from .index import FORMAT_VERSION, SampleIndex, build_index, describe_missing, folder_time

MISSING = ('error', 'skip')  # How a missing image or label file is taken

_SECONDS_BETWEEN_MESSAGES = 30


def open_index(data_root: str | os.PathLike, task: str, split: str, missing: str = 'error') -> SampleIndex:
    """Open the index of a task and split; build it first if it is missing or the label or split files changed.

    It lies in ``.miqa_index/`` below the data root or, where that cannot be written, in the user's cache
    (``$MIQA_HOME``, else ``~/.cache/miqa``). Of several processes one builds and the others wait for its
    result; a killed one's lock is released by the operating system.

    Args:
        data_root: folder that holds ``miqa_cls/``, ``miqa_det/``, ``miqa_ins/`` and ``splits/``.
        task: ``cls``, ``det`` or ``ins``.
        split: ``train`` or ``val`` (``test`` means the same).
        missing: ``error`` refuses a database in which an image or a label file is missing; ``skip`` leaves the
            samples out, counts and reports them.

    Raises:
        FileNotFoundError: the data root, the split file or (``missing='error'``) a label file is missing.
        DatabaseError: something in the database is wrong.
    """
    check_choice(task, DATABASE_TASKS, 'task')
    check_choice(missing, MISSING, "value of 'missing'")
    data_root, split = Path(data_root), split_name(split)
    check_layout(data_root, task)
    sources = read_split(data_root, task, split)
    signature, without_labels = _sign(data_root, task, split, sources)
    if without_labels and (missing == 'error' or len(without_labels) == len(sources)):
        example = _label_files(data_root, task, without_labels[:1])[0][0]
        raise FileNotFoundError(
            f'{len(without_labels)} of {len(sources)} sources of {split_path(data_root, task, split)} lack a label '
            f"file (such as {example}; sources {shorten(without_labels)}). Add them, or skip them with missing='skip'."
        )
    labelled = [source for source in sources if source not in set(without_labels)] if without_labels else sources
    name = index_name(task, split)
    for folder in _folders(data_root):
        index = _open_if_valid(folder / name, signature, data_root)
        if index is not None:
            return _accept(index, missing, data_root)
    folder = _folder_for_writing(data_root)
    with _lock(folder / f'.{name}.lock'):
        # Another process may have built it while this one waited.
        index = _open_if_valid(folder / name, signature, data_root)
        if index is None:
            sweep(folder)
            started = time.monotonic()
            log(f'Building the index of {task} {split} from {len(labelled)} sources in {data_root}.')
            build_index(folder / name, data_root, task, split, labelled, signature, without_labels)
            index = SampleIndex(folder / name, signature)
            seconds = time.monotonic() - started
            log(f'Indexed {len(index):,} samples in {seconds:.1f} s: {folder / name}.')
    return _accept(index, missing, data_root)


def _accept(index: SampleIndex, missing: str, data_root: Path) -> SampleIndex:
    sentence = describe_missing(index.info, index.path, data_root)
    if sentence and missing == 'error':
        raise DatabaseError(f"{sentence}. Add them, or pass missing='skip' to leave these samples out.")
    if sentence:
        log(f'Skipped: {sentence}.', logging.WARNING)
    return index


def check_layout(data_root: str | os.PathLike, task: str, split: str | None = None) -> None:
    """Raise a FileNotFoundError if the folders of a task, or its split file, are not there; reads nothing long."""
    data_root = Path(data_root)
    check_data_root(data_root)
    for folder in (label_folder(data_root, task), image_root(data_root, task)):
        if not folder.is_dir():
            raise FileNotFoundError(
                f'There is no folder {folder}, which {TASK_FOLDERS[task]} needs. data/README.md shows the layout.'
            )
    if split is not None:
        read_split(data_root, task, split_name(split))


def _sign(data_root: Path, task: str, split: str, sources: list[str]) -> tuple[str, list[str]]:
    """Return a digest of what an index is built from, and the sources that have no label file.

    Split files enter with their text, label files with name, size and the times of writing and of
    change, as copies may keep the former.
    """
    splits = [split_path(data_root, task, each) for each in SPLITS]
    texts = [sha256_of_file(path) if path.is_file() else None for path in splits]
    facts, without = [], []
    for source, entries in zip(sources, _stat_all(_label_files(data_root, task, sources)), strict=True):
        if None in entries:
            without.append(source)
        facts.append((source, entries))
    value = json.dumps([FORMAT_VERSION, task, split, texts, facts])
    return hashlib.sha256(value.encode('utf-8')).hexdigest(), without


def _label_files(data_root: Path, task: str, sources: list[str]) -> list[tuple[str, ...]]:
    """Return the label files that each source must have."""
    folder = label_folder(data_root, task)
    filed = {'both', *filed_labels(folder)}
    return [
        tuple(path for label, path in label_paths(folder, task, source).items() if label in filed) for source in sources
    ]


def _stat_all(paths: list[tuple[str, ...]]) -> list[list[tuple[int, int, int] | None]]:
    def stat(part):
        return [[_state(path) for path in entry] for entry in part]

    # On a network file system each answer takes a round trip, so that many are asked for at once.
    parts = [paths[start : start + 250] for start in range(0, len(paths), 250)]
    with ThreadPoolExecutor(max_workers=16) as pool:
        return [entry for part in pool.map(stat, parts) for entry in part]


def _state(path: str) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116  (strings are faster for thousands of files)
    except FileNotFoundError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _folders(data_root: Path) -> tuple[Path, Path]:
    resolved = hashlib.sha256(str(data_root.resolve()).encode('utf-8')).hexdigest()[:16]
    return index_folder(data_root), user_cache() / 'indexes' / resolved


def _folder_for_writing(data_root: Path) -> Path:
    own, cache = _folders(data_root)
    if writable_folder(own):
        return own
    log(f'{data_root} cannot be written; the index goes to {cache}.')
    if writable_folder(cache):
        return cache
    raise DatabaseError(
        f'The index can be written neither to {own} nor to {cache}: set the variable MIQA_HOME to a writable folder.'
    )


def _open_if_valid(path: Path, signature: str, data_root: Path) -> SampleIndex | None:
    if not path.is_file():
        return None
    try:
        index = SampleIndex(path, signature)
    except DatabaseError:
        # Old or damaged: it is built again.
        return None
    root = image_root(data_root, index.info['task'])
    for source, seconds in index.info['incomplete_folders'].items():
        # Somebody may have added the images that were missing.
        if folder_time(root / source) != seconds:
            return None
    return index


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold an exclusive lock that the operating system releases when the process ends, however it ends."""
    lock = FileLock(path)
    while True:
        try:
            lock.acquire(timeout=_SECONDS_BETWEEN_MESSAGES)
            break
        except Timeout:
            log(f'Waiting for another process that builds the index beside {path}.')
        except (OSError, NotImplementedError) as error:
            if isinstance(error, OSError) and error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
            # Some network file systems have no locks. Building twice is a waste, not an error: the file is
            # replaced atomically by an equal one.
            log(f'No file locks at {path.parent} ({error}); several processes may build the same index.')
            yield
            return
    try:
        yield
    finally:
        # filelock never locks a deleted file: waiting processes create a new one.
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        lock.release()
