"""Parse the header of a picture file without decoding or trusting it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from .parts import Part

METADATA_BYTES = 4 << 20  # Longer metadata, in bytes, is ignored: an orientation needs some dozens
MOST_PIECES = 100_000  # Pieces of a file (segments, chunks, boxes) that are parsed before its pixels


class DamagedPicture(ValueError):
    """A header that contradicts itself or the file; the message says how, and names no file."""


class OtherFormat(ValueError):
    """A picture of a format that is not read; the message says what to do, and names no file."""


@dataclass
class Header:
    """What a file says of its picture."""

    kind: str  # the format, by Pillow's name: ``JPEG``, ``PNG``, ...; ``HEIF`` for what pi-heif reads
    #: width, height: in pixels, as stored: before any turning.
    width: int
    height: int
    orientation: int = 1  # how to turn it, 1 to 8, by EXIF's tag 274; 1 where nothing can be made out
    bits: int = 8  # of one value of one channel
    channels: int = 1  # of TIFF and JPEG files; elsewhere decoders know what to do
    numbers: str = 'unsigned'  # ``unsigned``, ``signed`` or ``float``
    stated_range: tuple[float, float] | None = None  # the values of black and white, where the file states them
    #: the decoder stretches the values to all of its bits (PNM, JPEG 2000), whatever the file's are.
    scaled: bool = False
    inverted: bool = False  # black is the highest value
    #: the file without its metadata, which decoders get in its place; None: the unchanged file.
    parts: list[Part] | None = None
    #: for each pixel, that a progressive JPEG must hold all at once to be decoded; 0 for all others.
    coefficients: float = 0.0
    animated: bool = False  # a WebP of several frames
    lossless: bool = False  # a WebP whose colours or transparency were not compressed by leaving things out
    levels: int = 0  # how often a JPEG 2000 picture can be halved in decoding
    #: bytes that its decoder holds at once beside the pixels: of the file, and of what describes its pieces.
    held: int = 0

    @property
    def upright_size(self) -> tuple[int, int]:
        """Width and height after turning."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


class MetadataBudget:
    """The metadata bytes of one file that are parsed, packed and unpacked; more is skipped."""

    def __init__(self) -> None:
        self.left = METADATA_BYTES

    def spend(self, count: int) -> bool:
        """Return True if so many more bytes may be parsed."""
        if count > self.left:
            return False
        self.left -= count
        return True


def read_at(stream: BinaryIO, position: int, count: int) -> bytes:
    """Return exactly ``count`` bytes from a position on.

    Raises:
        DamagedPicture: the file ends before.
    """
    stream.seek(position)
    data = stream.read(count)
    if len(data) < count:
        raise DamagedPicture('it ends in the middle of its header')
    return data


def unpack_at(stream: BinaryIO, position: int, layout: str) -> tuple:
    """Return numbers from a position on; ``layout`` as for :mod:`struct`."""
    return struct.unpack(layout, read_at(stream, position, struct.calcsize(layout)))


def size_of_stream(stream: BinaryIO) -> int:
    """Return the number of bytes."""
    return stream.seek(0, 2)
