"""The pictures that ``miqa image`` writes: annotated ones and heat maps."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from miqa.outside.addresses import is_web_address
from miqa.outside.names import fitting_name, place_of, printable, write_name
from miqa.outside.regular_files import PICTURE_BYTES, open_regular

ANNOTATED_PIXELS = 32_000_000  # An annotated picture is the picture itself up to this size, and a smaller one above it


class DrawnPictures:
    """Makes and finds the pictures of ``--annotated`` and ``--heatmaps``, each in a folder, or None."""

    def __init__(self, model, annotated: str | None, heatmaps: str | None, method: str):
        self._model, self._method = model, method
        self._annotated, self._heatmaps = annotated, heatmaps
        self._made_of: dict[Path, str] = {}
        if heatmaps and method != 'occlusion':
            model.assess(np.zeros((64, 64, 3), np.uint8), heatmap=method)  # not every model can: fail early

    def made(self, image: str) -> bool:
        """Return True if an image's pictures are there."""
        paths = [drawn_path(folder, image) for folder in (self._annotated, self._heatmaps) if folder]
        return all(path.is_file() and _source_of(path) in (None, _source(image)) for path in paths) and all(
            self._is_of(path, image) for path in paths
        )

    def make(self, result, path: str | os.PathLike) -> Exception | None:
        """Save the pictures of an assessed image, whose file is ``path``; return why one was not written, or None."""
        try:
            self._make(result, path)
        except (OSError, ValueError, MemoryError) as error:
            return error
        return None

    def _make(self, assessment, source: str | os.PathLike) -> None:
        from miqa.pictures.reading import read_preview

        from .annotated import annotated

        reading = self._model.prepare.value_range
        if self._annotated:
            path = self._path(self._annotated, assessment.name)
            rgb = read_preview(source, ANNOTATED_PIXELS, value_range=reading)
            _save(annotated(rgb, assessment.score, assessment.quality), path, assessment.name)
        if self._heatmaps:
            from .colour_bar import with_colour_bar

            path = self._path(self._heatmaps, assessment.name)
            _save(with_colour_bar(self._model.assess(source, heatmap=self._method)), path, assessment.name)

    def _is_of(self, path: Path, image: str) -> bool:
        return self._made_of.setdefault(path, image) == image

    def _path(self, folder: str, image: str) -> Path:
        path = drawn_path(folder, image)
        if not self._is_of(path, image):
            raise FileExistsError(
                f'{printable(str(path))} is the picture of {printable(self._made_of[path])}, and would be that of '
                f'{printable(image)}, too. Score them by separate commands, with folders of their own.'
            )
        if path.is_file() and (other := _source_of(path)) not in (None, _source(image)):
            raise FileExistsError(
                f'{printable(str(path))} was made of {other}, not of {printable(image)}. Name another folder.'
            )
        return path


def drawn_path(folder: str, image: str) -> Path:
    """Name a picture made from ``image``: its path from here (or from the root) below ``folder``, with .png added."""
    path = Path(os.path.normpath(Path(image).absolute()))
    current = Path.cwd()
    below = path.relative_to(current) if path.is_relative_to(current) else path.relative_to(path.anchor)
    return Path(folder) / below.with_name(fitting_name(below.name, '.png'))


def _save(picture, path: Path, image: str) -> None:
    from PIL.PngImagePlugin import PngInfo

    from miqa.keeping import atomic_write

    about = PngInfo()
    about.add_text(_SOURCE, _source(image))
    with atomic_write(path) as temporary:
        picture.save(temporary, 'PNG', pnginfo=about)


_SOURCE = 'miqa source'  # Metadata text with the source file of a picture


def _source(image: str) -> str:
    return image if is_web_address(image) else write_name(place_of(image))


def _source_of(path: Path) -> str | None:
    """Return which file a picture was made of; None where it does not say, as those of version 0.2."""
    from PIL import Image

    try:
        with open_regular(path, PICTURE_BYTES) as stream, Image.open(stream, formats=['PNG']) as picture:
            text = picture.info.get(_SOURCE)
    except Exception:  # whatever a decoder raises: the picture is not ours
        return 'another program'
    return text if isinstance(text, str) else None
