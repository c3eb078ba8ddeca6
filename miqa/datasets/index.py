"""The index of a split: a table of all samples, built once from the label files and memory-mapped."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from miqa.errors import DatabaseError, shorten
from miqa.keeping import atomic_write
from miqa.keeping.sealed import read_batch, write_batch
from miqa.layout import IMAGE_COLUMNS, image_root, label_folder
from miqa.splits.reading import official_split
from miqa.taxonomy import KNOWN_DISTORTIONS, Version, version_name

from .label_files import decode_version, read_labels

FORMAT_VERSION = 1  # Raised whenever what an index holds changes, so that old ones are built again

_NAMED_MISSING = 5  # Files of an index that name missing images: this many are named in a message

#: File systems slower than this at listing a folder (s, measured on the first folders) are queried in parallel.
_SLOW_LISTING = 0.003
_PROBED_FOLDERS = 20


class SampleIndex:
    """All samples of one task and split, in the order of the split file and, within a source, of its label file.

    An Arrow IPC file without compression (``pyarrow.feather.read_table`` and ``pandas.read_feather`` read it too)
    with the columns ``source`` and ``distortion`` (dictionaries), ``fg_level``, ``bg_level`` (uint8), ``suffix``
    (dictionary), ``composite``, ``consistency`` and ``accuracy`` (float32): 18 bytes a sample. The file is mapped:
    processes share its pages. Its checksum is compared when it is opened.

    Args:
        path: the file.
        signature: what the file must have been built from; None takes any.

    Raises:
        DatabaseError: the file is damaged or has another signature.
    """

    def __init__(self, path: str | os.PathLike, signature: str | None = None):
        self.path = Path(path)
        try:
            batch, about = read_batch(path, 'Delete it; the next command that needs it builds it again.')
            self.info = json.loads(about)
        except ValueError as error:
            raise DatabaseError(f'The index {error}') from None
        self.signature = self.info['signature']
        if signature is not None and signature != self.signature:
            raise DatabaseError(f'The index {path} was built from other label or split files than those in use.')
        self._batch = batch
        self._columns = {
            name: (column.indices if pa.types.is_dictionary(column.type) else column).to_numpy(zero_copy_only=True)
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
        }
        self.sources: list[str] = batch.column('source').dictionary.to_pylist()
        self._distortions = batch.column('distortion').dictionary.to_pylist()
        self._suffixes = batch.column('suffix').dictionary.to_pylist()

    def __len__(self) -> int:
        return self.info['rows']

    def __reduce__(self):
        # A worker process maps the same file instead of receiving a copy.
        return type(self), (self.path, self.signature)

    def labels(self, label: str) -> np.ndarray:
        """Return the labels of all samples, float32 (N,), read-only, mapped."""
        return self._columns[label]

    def source_numbers(self) -> np.ndarray:
        """Return the position of each sample's source in :attr:`sources`, shape (N,)."""
        return self._columns['source']

    def image_columns(self) -> pa.RecordBatch:
        """Return the columns :data:`IMAGE_COLUMNS` of all samples, mapped."""
        return self._batch.select(list(IMAGE_COLUMNS))

    def version(self, row: int) -> Version:
        """Return which distorted version of which source a sample is."""
        columns = self._columns
        return Version(
            self.sources[columns['source'][row]],
            self._distortions[columns['distortion'][row]],
            int(columns['fg_level'][row]),
            int(columns['bg_level'][row]),
        )

    def image(self, row: int) -> str:
        """Return a sample's image file, relative to the image root, with forward slashes."""
        version = self.version(row)
        name = version_name(version, self._suffixes[self._columns['suffix'][row]])
        return name if self.info.get('flat') else f'{version.source}/{name}'


def build_index(
    path: Path, data_root: Path, task: str, split: str, sources: list[str], signature: str, without_labels: list[str]
) -> None:
    """Read and verify label files, look for the images, and write the index file atomically.

    Images that are not there are skipped and counted in the file's information; the caller decides whether that
    is an error. Beside the index, ``*.missing.txt`` then lists them.

    Raises:
        DatabaseError: what :func:`read_labels` raises, or not a single image is there.
    """
    table = read_labels(label_folder(data_root, task), task, sources)
    present, folders, flat = _find_images(image_root(data_root, task), sources, table)
    rows = np.flatnonzero(present)
    if not rows.size:
        raise DatabaseError(
            f'None of the {len(table.names)} images of {task} {split} is in {image_root(data_root, task)}; expected, '
            f'for example, {image_root(data_root, task) / sources[0] / table.name(0)}.'
        )
    lost = np.flatnonzero(~present)
    missing = [table.name(row) if flat else f'{sources[table.source[row]]}/{table.name(row)}' for row in lost]
    report = path.with_suffix('.missing.txt')
    if missing:
        with atomic_write(report) as temporary:
            temporary.write_text('\n'.join(missing) + '\n', encoding='utf-8')
    else:
        report.unlink(missing_ok=True)
    official = official_split(task, [*sources, *without_labels])
    info = {
        'signature': signature,
        'task': task,
        'split': split,
        'rows': int(rows.size),
        'missing': len(missing),
        'missing_examples': missing[:_NAMED_MISSING],
        'incomplete_folders': folders,
        'flat': flat,
        'without_labels': without_labels,
        'official': official is not None and official.split == split,
    }
    _write(path, table, rows, sources, info)


def _find_images(root: Path, sources: list[str], table) -> tuple[np.ndarray, dict[str, int], bool]:
    """Return which rows have an image, the modification times of folders that lack some (0: no folder), and layout.

    The authors also lay all images of a task flat into one folder: that is so where no source has a folder of its own
    and a file of its name lies directly in ``root``.
    """
    if not any((root / source).is_dir() for source in sources):
        listing_names = _names_in(str(root))
        present = np.array([name in listing_names for name in table.names.to_pylist()], dtype=bool)
        if present.any():
            return present, {} if present.all() else {'': folder_time(root)}, True
    present = np.ones(len(table.names), dtype=bool)
    ends = np.searchsorted(table.source, np.arange(len(sources)), side='right')
    incomplete, start = {}, 0
    listings = _list_folders([f'{root}/{source}' for source in sources])
    for source, end, listing_names in zip(sources, ends, listings, strict=True):
        names = table.names[start:end].to_pylist()
        if not listing_names.issuperset(names):
            present[start:end] = [name in listing_names for name in names]
            incomplete[source] = folder_time(root / source)
        start = end
    return present, incomplete, False


def _list_folders(folders: list[str]) -> Iterator[set[str]]:
    """Yield the names in each folder, none for a missing one; many at once where each answer takes long."""
    started = time.monotonic()
    probe = folders[:_PROBED_FOLDERS]
    yield from map(_names_in, probe)
    if time.monotonic() - started < _SLOW_LISTING * len(probe):
        # Threads would only wait for one another.
        yield from map(_names_in, folders[len(probe) :])
        return
    with ThreadPoolExecutor(max_workers=16) as pool:
        yield from pool.map(_names_in, folders[len(probe) :])


def _names_in(folder: str) -> set[str]:
    try:
        # pathlib's iterdir takes several times as long, and there are a million files.
        return set(os.listdir(folder))  # noqa: PTH208
    except (FileNotFoundError, NotADirectoryError):
        return set()


def folder_time(folder: str | os.PathLike) -> int:
    """Return a folder's modification time in nanoseconds, which a new file changes; 0 if there is no folder."""
    try:
        return Path(folder).stat().st_mtime_ns
    except (FileNotFoundError, NotADirectoryError):
        return 0


def _write(path: Path, table, rows: np.ndarray, sources: list[str], info: dict) -> None:
    pairs = np.array([decode_version(code)[1:] for code in range(25)], dtype=np.uint8)
    version = table.version[rows]
    suffixes, suffix = ['.png'], np.zeros(len(table.names), dtype=np.uint8)
    for row in np.flatnonzero(pc.invert(pc.ends_with(table.names, '.png'))):
        ending = '.' + table.name(row).rpartition('.')[2]
        if ending not in suffixes:
            suffixes.append(ending)
        suffix[row] = suffixes.index(ending)
    number = np.uint16 if len(sources) <= 1 << 16 else np.uint32
    composite = 0.5 * table.values['consistency'] + 0.5 * table.values['accuracy']
    columns = {
        'source': pa.DictionaryArray.from_arrays(table.source[rows].astype(number), pa.array(sources)),
        'distortion': pa.DictionaryArray.from_arrays((version // 25).astype(np.uint8), pa.array(KNOWN_DISTORTIONS)),
        'fg_level': pa.array(pairs[version % 25, 0]),
        'bg_level': pa.array(pairs[version % 25, 1]),
        'suffix': pa.DictionaryArray.from_arrays(suffix[rows], pa.array(suffixes)),
        'composite': pa.array(composite[rows].astype(np.float32)),
        **{label: pa.array(values[rows].astype(np.float32)) for label, values in table.values.items()},
    }
    batch = pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))
    write_batch(path, batch, json.dumps(info))


def describe_missing(info: dict, index_path: Path, data_root: Path) -> str:
    """Return a sentence on the missing images and label files of an index; empty if none are missing."""
    parts = []
    if info['without_labels']:
        folder = label_folder(data_root, info['task'])
        parts.append(
            f'{len(info["without_labels"])} sources of the {info["split"]} split have no label file in {folder} '
            f'({shorten(info["without_labels"])})'
        )
    if info['missing']:
        parts.append(
            f'{info["missing"]} of {info["rows"] + info["missing"]} images are missing in '
            f'{image_root(data_root, info["task"])} (such as {shorten(info["missing_examples"], 2)}; all are listed in '
            f'{index_path.with_suffix(".missing.txt")})'
        )
    return '; '.join(parts)
