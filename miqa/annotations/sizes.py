"""Pictures with an EXIF rotation: do their annotations refer to the stored or the displayed picture?

One rule holds everywhere: **a picture is what it looks like**. Its pixels are turned as EXIF says before anything is
done, and annotations are in pixels of the turned picture. Programs that ignore EXIF see the copied original unturned
beside versions that are turned.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from miqa.pictures import UnreadableImage
from miqa.pictures.reading import picture_sizes

from .objects import AnnotationError

#: What to do about a size before the rotation.
IF_STORED = (
    'If annotations fit the stored pixels, remove the orientation (exiftool -Orientation= -overwrite_original FILES); '
    'else swap width and height.'
)


class TurnedPictures(UserWarning):
    """Pictures are turned by EXIF, and nothing tells whether their annotations are, too."""


class PictureHeader(Protocol):
    """As much of a picture as is needed here: its file, its size as shown and as stored, and its orientation."""

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height as it is shown; None where it cannot be read."""

    @property
    def stored(self) -> tuple[int, int] | None:
        """Width and height as it is stored; None for the same."""

    @property
    def orientation(self) -> int:
        """How it is turned, 1 to 8."""


class _Header(NamedTuple):
    path: Path
    size: tuple[int, int] | None
    stored: tuple[int, int] | None = None
    orientation: int = 1


def read_headers(paths: Sequence[str | Path]) -> list[PictureHeader]:
    """Read the headers of pictures; those that cannot be read are left to those who will read the pixels."""
    headers: list[PictureHeader] = []
    for path in map(Path, paths):
        try:
            headers.append(_Header(path, *picture_sizes(path)))
        except (OSError, UnreadableImage):
            headers.append(_Header(path, None))
    return headers


def check_turned(
    pictures: Sequence[PictureHeader], origin: str | None, sizes: Sequence[tuple[int, int] | None] | None = None
) -> None:
    """Check that annotations are of pictures as they are shown; warn of turned ones where that cannot be seen.

    Args:
        pictures: their headers.
        origin: of the annotations; None where there are none.
        sizes: width and height of each picture by the annotations, None where they do not say.

    Raises:
        AnnotationError: the annotated width and height are those of pictures before they are turned, or of others.
    """
    as_stored, unclear = [], []
    for picture, size in zip(pictures, sizes or [None] * len(pictures), strict=True):
        path, displayed = picture.path, picture.size
        if displayed is None:
            continue
        stored = picture.stored or displayed
        if size is not None and size not in (displayed, stored):
            raise AnnotationError(
                f'{origin} says {path} has {size[0]} x {size[1]} pixels, but it has {displayed[0]} x {displayed[1]}: '
                'they must agree.'
            )
        if picture.orientation == 1:
            continue
        if size is not None and size == stored != displayed:
            as_stored.append(path)
        elif size is None or displayed == stored:
            unclear.append(path)
    if as_stored:
        raise AnnotationError(
            f'{origin} gives the size of {len(as_stored)} pictures before EXIF rotation, for example {as_stored[0]}. '
            f'{IF_STORED}'
        )
    if unclear:
        about = (
            f'what {origin} says must be of the picture as shown, which their size does not tell'
            if origin
            else 'programs that ignore EXIF see the originals unturned'
        )
        warnings.warn(
            f'{len(unclear)} pictures are turned by their EXIF orientation, for example {unclear[0]}: versions are '
            f'made of the picture as it is shown; {about}.',
            TurnedPictures,
            stacklevel=3,
        )
