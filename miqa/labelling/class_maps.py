"""Ground truth of semantic segmentation: a folder of maps, one for each clean image.

``{source}.png`` holds the class index of each pixel: grey or palette pictures, 8 or 16 bits; 255 means that a pixel
does not count. ``classes.txt`` names the classes, one a line, from index 0; without it indices are the machines' own.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np

from miqa.annotations.formats.class_map import NAMES_FILE, class_map_of
from miqa.keeping import sha256_of_file
from miqa.outside import read_regular
from miqa.outside.regular_files import PICTURE_BYTES


def class_map_path(folder: Path, source: str) -> Path:
    """Return the map of a source."""
    return Path(folder) / f'{source}.png'


def known_maps(folder: Path) -> set[str]:
    """Return the sources that have a map.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    if not Path(folder).is_dir():
        raise FileNotFoundError(
            f'There is no folder of ground truth {folder}. It needs {{source}}.png for each clean image (class '
            f'indices, 255: ignored) and {NAMES_FILE} with the class names.'
        )
    return {path.stem for path in Path(folder).glob('*.png')}


@lru_cache(maxsize=4)
def read_class_map(path: Path) -> np.ndarray:
    """Read a map, int (H, W), once for all versions of a source.

    Raises:
        FileNotFoundError: the file is missing.
        UnreadableImage: it is not a regular file, not a whole PNG, or has too many pixels.
        ValueError: it is a picture of colours.
    """
    return class_map_of(read_regular(path, PICTURE_BYTES, kind='map of classes'), path)


def digest_of_maps(folder: Path) -> str:
    """Return the SHA-256 of all maps and names."""
    digest = hashlib.sha256()
    for path in sorted(Path(folder).iterdir()):
        if path.suffix == '.png' or path.name == NAMES_FILE:
            digest.update(f'{path.name}\0{sha256_of_file(path)}\0'.encode())
    return digest.hexdigest()
