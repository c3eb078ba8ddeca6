"""Ground truth of semantic segmentation: a folder of maps, one for each clean image.

``{source}.png`` holds the class index of each pixel: grey or palette pictures, 8 or 16 bits; 255 means that a pixel
does not count. ``classes.txt`` names the classes, one a line, from index 0; without it indices are the machines' own.
"""

from __future__ import annotations

import hashlib
import warnings
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from miqa.annotations.class_names import read_class_names
from miqa.keeping import sha256_of_file
from miqa.outside import open_regular
from miqa.outside.regular_files import PICTURE_BYTES
from miqa.pictures import UnreadableImage
from miqa.pictures.reading import MOST_PIXELS

#: File of the classes' names in a folder of maps.
NAMES_FILE = 'classes.txt'


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
            f'There is no folder of ground truth {folder}. It holds {{source}}.png for each clean image: the class '
            f'index of each pixel, 255 where it does not count; and {NAMES_FILE} with the names of the classes.'
        )
    return {path.stem for path in Path(folder).glob('*.png')}


def class_names(folder: Path) -> tuple[str, ...] | None:
    """Return the names of the classes, or None where nothing names them."""
    path = Path(folder) / NAMES_FILE
    return tuple(read_class_names(path)) if path.is_file() else None


@lru_cache(maxsize=4)
def read_class_map(path: Path) -> np.ndarray:
    """Read a map, int (H, W), once for all versions of a source.

    Raises:
        FileNotFoundError: there is none.
        UnreadableImage: it is no regular file, no whole PNG, or has too many pixels.
        ValueError: it is a picture of colours.
    """
    with open_regular(path, PICTURE_BYTES, what='map of classes') as stream:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore', Image.DecompressionBombWarning)
                image = Image.open(stream, formats=['PNG'])
            if image.width * image.height > MOST_PIXELS:
                raise UnreadableImage(f'{path} has {image.width} x {image.height} pixels, more than {MOST_PIXELS}.')
            mode, pixels = image.mode, np.asarray(image)
        except UnreadableImage:
            raise
        except Exception as error:  # whatever a decoder raises
            raise UnreadableImage(f'{path} is not a whole PNG: {str(error)[:200] or type(error).__name__}.') from error
    if mode not in ('L', 'P', 'I', 'I;16', '1'):
        raise ValueError(
            f'{path} is a picture of mode {mode}. A map of classes holds one index for each pixel (grey or palette); '
            f'turn colours into indices first.'
        )
    return pixels.astype(np.int64)


def digest_of_maps(folder: Path) -> str:
    """Return the SHA-256 of all maps and names."""
    digest = hashlib.sha256()
    for path in sorted(Path(folder).iterdir()):
        if path.suffix == '.png' or path.name == NAMES_FILE:
            digest.update(f'{path.name}\0{sha256_of_file(path)}\0'.encode())
    return digest.hexdigest()
