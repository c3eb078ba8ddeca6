"""One map of classes: a PNG file that holds the class index of each pixel; and the names of the classes beside it."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from miqa.annotations.class_names import read_class_names
from miqa.pictures.reading import MOST_PIXELS, UnreadableImage

#: Pixels of an annotation that belong to no class and do not count, as in Cityscapes, ADE20K and Pascal VOC.
IGNORED = 255
NAMES_FILE = 'classes.txt'  # File of the classes' names in a folder of maps
_SPREAD = {'L;2': 85, 'L;4': 17}  # Pillow spreads the values of few bits over 0 to 255, by these factors


def class_names(folder: Path) -> tuple[str, ...] | None:
    """Return the names of the classes, or None where nothing names them."""
    path = Path(folder) / NAMES_FILE
    return tuple(read_class_names(path)) if path.is_file() else None


def class_map_of(data: bytes, path: Path) -> np.ndarray:
    """Return the map in the bytes of the file ``path``; see :func:`class_map_and_colours`."""
    return class_map_and_colours(data, path)[0]


def class_map_and_colours(data: bytes, path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the map in the bytes of the file ``path``, int (H, W), and its palette, uint8 (N, 3), where it has one.

    It may be grey or have a palette, of 1 to 16 bits.

    Raises:
        UnreadableImage: it is not a whole PNG, or has too many pixels.
        ValueError: it is a picture of colours.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=['PNG'])
        if image.width * image.height > MOST_PIXELS:
            raise UnreadableImage(f'{path} has {image.width} x {image.height} pixels, more than {MOST_PIXELS}.')
        stored = image.tile[0][3] if image.tile else ''
        mode, pixels, palette = image.mode, np.asarray(image), image.getpalette('RGB')
    except UnreadableImage:
        raise
    except Exception as error:  # whatever a decoder raises
        raise UnreadableImage(f'{path} is not a whole PNG: {str(error)[:200] or type(error).__name__}.') from error
    if mode not in ('L', 'P', 'I', 'I;16', '1'):
        raise ValueError(
            f'{path} has the mode {mode}; a class map holds one index per pixel (grey or palette): convert colours to '
            'indices first.'
        )
    factor = _SPREAD.get(stored if isinstance(stored, str) else stored[0] if stored else '', 1)
    colours = None if mode != 'P' or palette is None else np.asarray(palette, np.uint8).reshape(-1, 3)
    return pixels.astype(np.int64) // factor, colours
