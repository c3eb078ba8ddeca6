"""Objects in pictures, the common output of all annotation readers."""

from __future__ import annotations

import filecmp
import functools
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from miqa.errors import MIQAError
from miqa.layout import coco_source
from miqa.outside.names import plain

#: Remarks on what is marked as deleted, or as outside of the picture.
DELETED = '{} object{s} {are} marked as deleted or outside and {are} skipped'
DELETED_IMAGES = '{} image{s} {are} marked as deleted and {are} skipped'


class AnnotationError(MIQAError, ValueError):
    """Annotations are not what they must be. The message names the file, the entry, the field and what to do."""


class AnnotatedObject(NamedTuple):
    """One object in a picture, in pixels of the picture as it is shown."""

    category: int  # id of its category
    box: tuple[float, float, float, float]  # left, top, width and height; width and height are above 0
    crowd: bool = False  # a region of many objects that are not separated
    #: polygons, each ``[x1, y1, x2, y2, ...]`` of at least three points; or COCO's run-length encoding, ``{'size':
    #: [height, width], 'counts': bytes or list}``; or None.
    segmentation: list[list[float]] | dict | None = None


class AnnotatedImage(NamedTuple):
    """A picture that is annotated."""

    key: int | str  # what the file calls it: COCO's id, mostly a number
    file_name: str  # perhaps with folders, divided by ``/``
    size: tuple[int, int] | None  # width and height in pixels as it is shown; None where the file does not say


@dataclass(frozen=True)
class Annotations:
    """What a file, or a folder of files, says of pictures and their objects. All of it has been checked."""

    path: str  # of the file, for errors
    images: Mapping[int | str, AnnotatedImage]  # key -> picture
    #: key -> its objects; a picture without any has an empty list.
    objects: Mapping[int | str, Sequence[AnnotatedObject]]
    categories: Mapping[str, int]  # name -> id
    #: what the user should know -> how often it is so; see :meth:`miqa.annotations.formats.format.Remarks.add`.
    remarks: Mapping[str, int] = field(default_factory=dict)

    def names(self) -> dict[str, int | str]:
        """Return the name of each picture in a database -> its key.

        MIQD calls a detection picture by its COCO number, filled to 12 digits: by the number that its file is named
        as (some tools count their ids from 0 or 1, whatever the files are called), else by its id. A picture whose
        file is not named as a number has the stem of that name, too, where no other picture has it.

        Raises:
            AnnotationError: two pictures have one number.
        """
        key_of: dict[str, int | str] = {}
        for key, image in self.images.items():
            number = self.number(key)
            if number is None:
                continue
            if number in key_of:
                other = self.images[key_of[number]].file_name
                raise AnnotationError(
                    f'{self.path}: the pictures {other} and {image.file_name} would both get the number {number} (from '
                    'file name, else id): rename one, also in the file.'
                )
            key_of[number] = key
        stems = Counter(PurePosixPath(image.file_name).stem for image in self.images.values())
        for key, image in self.images.items():
            stem = PurePosixPath(image.file_name).stem
            if stems[stem] == 1:
                key_of.setdefault(stem, key)
        return key_of

    def number(self, key: int | str) -> str | None:
        """Return the 12 digits by which a picture is called, or None where neither its file name nor its id is one."""
        for text in (PurePosixPath(self.images[key].file_name).stem, key):
            try:
                return coco_source(text)
            except ValueError:
                continue
        return None

    def find(self, path: str, below: str | None = None) -> int | str:
        """Return the key of the picture at ``path``, by its file name (in another case where none is the same).

        Where several have that name, their folders count. ``below`` is the path below the folder of pictures, whose
        folders must not be others than those of its entry.

        Raises:
            AnnotationError: no picture has this file name, or several that folders do not distinguish.
        """
        parts = PurePosixPath(path.replace('\\', '/')).parts
        name = parts[-1] if parts else ''
        candidates = self._keys_by_name.get(name) or self._keys_by_name.get(plain(name), [])
        for depth in range(2, len(parts) + 1):
            if len(candidates) <= 1:
                break
            tail = parts[-depth:]
            closer = [key for key in candidates if PurePosixPath(self.images[key].file_name).parts[-depth:] == tail]
            candidates = closer or candidates
            if not closer:
                break
        same_name = [self.images[key].file_name for key in candidates]
        candidates = [key for key in candidates if may_be_called(path, below or name, self.images[key].file_name)]
        if len(candidates) == 1:
            return candidates[0]
        if not candidates:
            other = f' It lists {same_name[0]}, in another folder than {path}: correct the file.' if same_name else ''
            unless = ' except some marked as deleted' if DELETED_IMAGES in self.remarks else ''
            raise AnnotationError(f'{self.path} lists no image with the file name {below or name}{unless}.{other}')
        listed = ', '.join(self.images[key].file_name for key in candidates[:3])
        raise AnnotationError(
            f'{self.path} lists {len(candidates)} images named {PurePosixPath(path).name} ({listed}), any of which '
            f'{path} may be: keep their folders, or rename them, also in the file.'
        )

    @functools.cached_property
    def _keys_by_name(self) -> dict[str, list[int | str]]:
        keys: dict[str, list[int | str]] = {}
        for key, image in self.images.items():
            name = PurePosixPath(image.file_name).name
            for each in {name, plain(name)}:
                keys.setdefault(each, []).append(key)
        return keys


def may_be_called(path: str | Path, below: str, called: str) -> bool:
    """Return True unless a name that a file of annotations gives a picture says that it lies in another folder.

    Args:
        path: of the picture.
        below: its path below the folder of pictures, with forward slashes.
        called: the name, perhaps with folders, also with some above the folder of pictures; there another picture of
            this very name must not be.
    """
    names = [PurePosixPath(name) for name in (below, called)]
    ends = [[plain(part) for part in (*name.parts[:-1], name.stem)] for name in names]
    length = min(map(len, ends))
    if ends[0][-length:] != ends[1][-length:]:
        return False
    parents = Path(path).absolute().parents
    if len(ends[1]) == length or len(ends[1]) > len(parents):
        return True
    other = parents[len(ends[1]) - 1] / called
    # Path.is_file raises for names that no file can have.
    return not os.path.isfile(other) or filecmp.cmp(other, path, shallow=False)  # noqa: PTH113
