"""Versions of photographs, labels from the outputs of three machines, and the model's input: arrays on disk."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from joblib import delayed
from kinds import KINDS
from photographs import SPLITS, Photograph, read_photograph
from PIL import Image
from tqdm.auto import tqdm

from miqa.keeping import atomic_write
from miqa.running.parallel import run_parallel

SIDE = 224  # Side of the square that the whole picture is resized to, in pixels
_PART = 10  # Photographs of one part of the database
MACHINES = (0, 1, 2)  # The classifiers that label, by size of EfficientNet-Lite; there are as many detectors

#: Columns of the database: name -> (type, shape of one row).
COLUMNS: dict[str, tuple[str, tuple[int, ...]]] = {
    'views': ('uint8', (SIDE, SIDE, 3)), 'photograph': ('int32', ()), 'split': ('int8', ()), 'family': ('int8', ()),
    'kinds': ('float32', (len(KINDS),)), 'strength': ('float32', ()), 'place': ('int8', ()),
    'consistency': ('float32', (len(MACHINES),)), 'accuracy': ('float32', (len(MACHINES),)),
    'confidence': ('float32', (len(MACHINES),)),
}  # fmt: skip
FAMILIES = ('clean', 'miqd', 'camera')


def whole_view(image: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Return the whole picture as a square, uint8 (side, side, 3): Pillow's antialiased bicubic filter."""
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))


def build(
    folder: Path, photographs: list[Photograph], family: str, count: int, seed: int, judges: Callable, jobs: int
) -> None:
    """Make ``count`` versions of a family of every photograph, and label them; parts that are there are kept.

    ``judges`` returns the machines that label: ``Classifiers`` or ``Detectors``.
    """
    home = folder / family
    (home / 'parts').mkdir(parents=True, exist_ok=True)
    settings = json.dumps([family, count, seed, [photo.source for photo in photographs]])
    marker = home / 'settings.json'
    if marker.exists() and marker.read_text(encoding='utf-8') != settings:
        raise ValueError(f'{home} holds a database of other settings: delete it, or name another folder.')
    marker.write_text(settings, encoding='utf-8')
    parts = [photographs[start : start + _PART] for start in range(0, len(photographs), _PART)]
    paths = [home / 'parts' / f'{number:05d}.npz' for number in range(len(parts))]
    calls = [
        delayed(_make_part)(path, part, family, count, seed, judges) for path, part in zip(paths, parts, strict=True)
    ]
    for _ in tqdm(run_parallel(calls, jobs), total=len(calls), desc=f'{family} versions', unit='part'):
        pass
    _join(home, paths)


class Views:
    """Views of several databases, one after the other, read from disk as needed."""

    def __init__(self, parts: list[np.ndarray]):
        self._parts, self._ends = parts, np.cumsum([len(part) for part in parts])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, row: int) -> np.ndarray:
        part = int(np.searchsorted(self._ends, row, side='right'))
        return self._parts[part][row - self._ends[part]]


def load(folders: list[Path]) -> tuple[Views, dict[str, np.ndarray]]:
    """Return the views and all other columns of folders of families that :func:`build` made."""
    views = Views([np.load(folder / 'views.npy', mmap_mode='r') for folder in folders])
    columns = {
        name: np.concatenate([np.load(folder / f'{name}.npy') for folder in folders])
        for name in COLUMNS
        if name != 'views'
    }
    return views, columns


def _join(home: Path, parts: list[Path]) -> None:
    for name, (kind, shape) in COLUMNS.items():
        path = home / f'{name}.npy'
        if not path.exists():
            columns = [np.load(part)[name] for part in parts]
            with atomic_write(path) as temporary, open(temporary, 'wb') as stream:
                header = {
                    'descr': np.dtype(kind).str, 'fortran_order': False, 'shape': (sum(map(len, columns)), *shape),
                }  # fmt: skip
                np.lib.format.write_array_header_1_0(stream, header)
                for column in columns:
                    stream.write(np.ascontiguousarray(column, kind).tobytes())


def _make_part(path: Path, photographs: list[Photograph], family: str, count: int, seed: int, judges: Callable) -> None:
    if path.exists():
        return
    from damage import clean_version, damaged_versions

    cv2.setNumThreads(1)  # the processes share the cores
    machines = judges()
    rows: dict[str, list] = {name: [] for name in COLUMNS}
    for photograph in photographs:
        image = read_photograph(photograph, seed)
        clean = machines(image)
        if family == 'clean':
            versions = iter([clean_version(image)])
        else:
            versions = damaged_versions(image, photograph.source, photograph.number, family, count, seed)
        for version in versions:
            answers = clean if family == 'clean' else machines(version.image)
            rows['views'].append(whole_view(version.image))
            rows['photograph'].append(photograph.number)
            rows['split'].append(SPLITS.index(photograph.split))
            rows['family'].append(FAMILIES.index(version.family))
            rows['kinds'].append(version.kinds)
            rows['strength'].append(version.strength)
            rows['place'].append(version.place)
            rows['consistency'].append(machines.consistency(answers, clean))
            rows['accuracy'].append(machines.accuracy(answers, photograph))
            rows['confidence'].append(machines.confidence(answers))
    arrays = {name: np.asarray(rows[name], kind) for name, (kind, _) in COLUMNS.items()}
    with atomic_write(path) as temporary, open(temporary, 'wb') as stream:
        np.savez(stream, **arrays)
