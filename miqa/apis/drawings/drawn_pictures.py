"""The pictures that ``miqa image`` makes of pictures: annotated ones and heat maps."""

from __future__ import annotations

import os
from pathlib import Path

from miqa.outside.names import fitting_name, printable

#: An annotated picture is the picture itself up to this size, and a smaller one above it.
ANNOTATED_PIXELS = 32_000_000


class DrawnPictures:
    """Makes and finds the pictures that ``--annotated`` and ``--heatmaps`` ask for.

    Args:
        model: scores and explains.
        annotated: folder of annotated pictures, or None.
        heatmaps: folder of heat maps, or None.
        method: of the heat maps.
    """

    def __init__(self, model, annotated: str | None, heatmaps: str | None, method: str):
        self._model, self._method = model, method
        self._annotated, self._heatmaps = annotated, heatmaps
        self._made_of: dict[Path, str] = {}

    def made(self, image: str) -> bool:
        """Tell whether an image's pictures are there."""
        paths = [drawn_path(folder, image) for folder in (self._annotated, self._heatmaps) if folder]
        return all(path.is_file() for path in paths) and all(self._is_of(path, image) for path in paths)

    def make(self, found, path: str | os.PathLike) -> Exception | None:
        """Save the pictures of an assessed image, whose file is ``path``; return why one was not written, or None."""
        try:
            self._make(found, path)
        except (OSError, ValueError, MemoryError) as error:
            return error
        return None

    def _make(self, found, source: str | os.PathLike) -> None:
        from miqa.pictures.reading import read_preview

        from .annotated import annotated

        reading = self._model.prepare.value_range
        if self._annotated:
            path = self._path(self._annotated, found.name)
            rgb = read_preview(source, ANNOTATED_PIXELS, value_range=reading)
            _save(annotated(rgb, found.score, found.quality), path)
        if self._heatmaps:
            path = self._path(self._heatmaps, found.name)
            _save(self._model.assess(source, heatmap=self._method).overlay(), path)

    def _is_of(self, path: Path, image: str) -> bool:
        return self._made_of.setdefault(path, image) == image

    def _path(self, folder: str, image: str) -> Path:
        path = drawn_path(folder, image)
        if not self._is_of(path, image):
            raise FileExistsError(
                f'{printable(str(path))} is the picture of {printable(self._made_of[path])}, and would be that of '
                f'{printable(image)}, too. Score them by separate commands, with folders of their own.'
            )
        return path


def drawn_path(folder: str, image: str) -> Path:
    """Name a picture made from ``image``: its path from here (or from the root) below ``folder``, with .png added."""
    path = Path(os.path.normpath(Path(image).absolute()))
    here = Path.cwd()
    below = path.relative_to(here) if path.is_relative_to(here) else path.relative_to(path.anchor)
    return Path(folder) / below.with_name(fitting_name(below.name, '.png'))


def _save(picture, path: Path) -> None:
    from miqa.keeping import atomic_write

    with atomic_write(path) as temporary:
        picture.save(temporary, 'PNG')
