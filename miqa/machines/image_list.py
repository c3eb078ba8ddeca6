"""The images of a database: clean sources and their distorted versions, from MIQD's folders."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from miqa.layout import image_root, source_root
from miqa.taxonomy import parse_version_name


@dataclass(frozen=True)
class SourceImages:
    """A source image and its versions.

    Attributes:
        source: stem of the clean image's file name.
        clean: path of the clean image.
        folder: folder of the distorted versions.
        versions: file names of the distorted versions, sorted.
    """

    source: str
    clean: Path
    folder: Path
    versions: tuple[str, ...]

    @property
    def count(self) -> int:
        """Number of images, the clean one among them."""
        return 1 + len(self.versions)

    @property
    def names(self) -> tuple[str, ...]:
        """File names of all images, the clean one first."""
        return (self.clean.name, *self.versions)

    @property
    def paths(self) -> list[Path]:
        """Paths of all images, the clean one first."""
        return [self.clean, *(self.folder / name for name in self.versions)]


def list_sources(data_root: str | os.PathLike, task: str) -> list[SourceImages]:
    """List the sources of a database with their distorted versions, sorted by name.

    Files whose names begin with a dot are being written by another process, or were left by one that was killed;
    they are not part of the database.

    Raises:
        FileNotFoundError: there are no clean source images, or a folder of versions has no clean source.
        ValueError: a file below ``images`` is not named as MIQD names versions, or lies in another source's folder.
    """
    clean = _clean_images(source_root(data_root, task))
    images = image_root(data_root, task)
    folders = {entry.name for entry in _entries(images) if entry.is_dir()} if images.is_dir() else set()
    orphans = sorted(folders - clean.keys())
    if orphans:
        raise FileNotFoundError(
            f'{len(orphans)} folders below {images} have no clean image in {source_root(data_root, task)}, '
            f'for example {orphans[0]}. Consistency compares with the clean image, so it must be there.'
        )
    sources = []
    for source in sorted(clean):
        names: tuple[str, ...] = ()
        if source in folders:
            names = tuple(sorted(entry.name for entry in _entries(images / source)))
            for name in names:
                if parse_version_name(name).source != source:
                    raise ValueError(f'{images / source / name} lies in the folder of source {source}.')
        sources.append(SourceImages(source, clean[source], images / source, names))
    return sources


def _clean_images(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f'There is no folder {folder} with the clean source images of the database.')
    clean: dict[str, Path] = {}
    for entry in _entries(folder):
        path = Path(entry.path)
        if path.stem in clean:
            raise ValueError(f'Two clean images have the name {path.stem}: {clean[path.stem].name} and {path.name}.')
        clean[path.stem] = path
    if not clean:
        raise FileNotFoundError(f'The folder {folder} holds no images.')
    return clean


def _entries(folder: Path) -> Iterable[os.DirEntry]:
    with os.scandir(folder) as entries:
        return [entry for entry in entries if not entry.name.startswith('.')]
