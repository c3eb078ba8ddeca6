"""Decode picture files: headers, decoders, orientation, value ranges, resizing; bounded in memory and time."""

from typing import TYPE_CHECKING

from miqa.lazy import lazy_names

if TYPE_CHECKING:  # type checkers do not see names that are imported when they are first used
    from .reading import UnreadableImage, read_image

#: Public names and their modules, imported when they are first used.
_HOMES = {'UnreadableImage': 'reading', 'read_image': 'reading'}

__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
