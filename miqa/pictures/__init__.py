"""Decode picture files: headers, decoders, orientation, value ranges, resizing; bounded in memory and time."""

from typing import TYPE_CHECKING

from miqa.lazy import lazy_names

if TYPE_CHECKING:  # imported when they are first used
    from .reading import UnreadableImage, read_image

__all__, __getattr__, __dir__ = lazy_names(__name__, __file__)
