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
    'else correct width and height.'
)


class TurnedPictures(UserWarning):
    """Pictures are turned by EXIF: programs that ignore it see them otherwise, and perhaps so do annotations."""


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
    pictures: Sequence[PictureHeader],
    origin: str | None,
    sizes: Sequence[tuple[int, int] | None] | None = None,
    as_shown: bool | None = None,
    reach: Sequence[tuple[float, float] | None] | None = None,
) -> None:
    """Check that annotations are of pictures as they are shown; ask or warn where turned ones do not tell.

    One picture that tells speaks for all others of the same annotations.

    Args:
        pictures: their headers.
        origin: of the annotations; None where there are none.
        sizes: width and height of each picture by the annotations, None where they do not say.
        as_shown: the user has said that they are of the pictures as shown; None: warn in place of asking.
        reach: the furthest right and lower edge of each picture's objects in pixels, (0, 0) where objects prove
            nothing, None where there are none, so that it does not matter.

    Raises:
        AnnotationError: they are of pictures before they are turned, or of others; or nothing tells, and the user has
            not said so.
    """
    as_stored, unclear, told = [], [], bool(as_shown)
    unknown: list[None] = [None] * len(pictures)
    for picture, size, far in zip(pictures, sizes or unknown, reach or [(0, 0)] * len(pictures), strict=True):
        path, displayed = picture.path, picture.size
        if displayed is None:
            continue
        stored = picture.stored or displayed
        if size is not None and size not in (displayed, stored):
            raise AnnotationError(
                f'{origin} says {path} has {size[0]} x {size[1]} pixels, but it has {displayed[0]} x {displayed[1]}: '
                'they must agree.'
            )
        if picture.orientation == 1 or (far is None and (size is None or displayed == stored)):
            continue
        if size is not None and displayed != stored:
            shown = size == displayed
        elif _fits(far, displayed) != _fits(far, stored):
            shown = _fits(far, displayed)
        else:
            unclear.append(path)
            continue
        told = told or shown
        if not shown:
            as_stored.append(path)
    if as_stored:
        raise AnnotationError(
            f'{origin} is of {len(as_stored)} pictures before EXIF rotation, as sizes or boxes show, for example '
            f'{as_stored[0]}. {IF_STORED}'
        )
    if unclear and origin and as_shown is False and not told:
        raise AnnotationError(
            f'{len(unclear)} pictures are turned by their EXIF orientation, for example {unclear[0]}, and nothing '
            f'tells whether {origin} is of these as shown or as stored. If as shown (most programs turn pictures), '
            f'add --as-shown. {IF_STORED}'
        )
    if unclear and not told:
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


def _fits(far: tuple[float, float] | None, size: tuple[int, int]) -> bool:
    return far is None or (far[0] <= size[0] + 1 and far[1] <= size[1] + 1)
