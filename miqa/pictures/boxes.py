"""Formats that are made of boxes (ISO 14496-12): AVIF, HEIC and JPEG 2000."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import BinaryIO

from .header import METADATA_BYTES, DamagedPicture, Header, read_at, size_of_stream, unpack_at

_AVIF_BRANDS = {b'avif', b'avis'}
#: Brands of ISO 23008-12 whose pictures are coded by HEVC, and the general ones.
HEIF_BRANDS = {b'heic', b'heix', b'heim', b'heis', b'hevc', b'hevx', b'hevm', b'hevs', b'mif1', b'msf1', b'miaf'}
#: Boxes of one file, at all depths.
_MOST_BOXES = 10_000


def boxes(
    stream: BinaryIO, start: int, stop: int, counter: Iterator[int] | None = None
) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start and end of the contents of each box between two positions.

    Args:
        stream: the file.
        start: the first position.
        stop: the position behind the last one.
        counter: numbers the boxes of the whole file.

    Raises:
        DamagedPicture: there are more than any file has.
    """
    for number in counter or itertools.count():
        if start + 8 > stop:
            return
        if number > _MOST_BOXES:
            raise DamagedPicture('it has more boxes than a picture has')
        length, kind = unpack_at(stream, start, '>I4s')
        body = start + 8
        if length == 1:
            (length,) = unpack_at(stream, body, '>Q')
            body += 8
        end = stop if length == 0 else start + length
        if end < body or end > stop:
            end = stop
        yield kind, body, end
        if end <= start:
            return
        start = end


def brands(stream: BinaryIO) -> set[bytes]:
    """Return the brands that a file with a leading ``ftyp`` box names."""
    kind, start, end = next(boxes(stream, 0, size_of_stream(stream)))
    data = read_at(stream, start, min(end - start, 4096))
    return {data[:4], *(data[at : at + 4] for at in range(8, len(data) - 3, 4))}


def read_heif(stream: BinaryIO, named: set[bytes]) -> Header:
    """Read the sizes that an AVIF or HEIF file states; the largest counts.

    Raises:
        DamagedPicture: it states none.
    """
    kind = 'AVIF' if named & _AVIF_BRANDS else 'HEIF'
    largest = (0, 0)
    path, counter = (b'meta', b'iprp', b'ipco', b'ispe'), itertools.count()
    for place in below(stream, 0, size_of_stream(stream), path, counter):
        _, width, height = unpack_at(stream, place[0], '>III')
        largest = max(largest, (width, height), key=lambda size: size[0] * size[1])
    if not all(largest):
        raise DamagedPicture('it does not say how large it is')
    return Header(kind, *largest, held=2 * size_of_stream(stream))


def below(
    stream: BinaryIO, start: int, stop: int, path: tuple[bytes, ...], counter: Iterator[int] | None = None
) -> Iterator[tuple[int, int]]:
    """Yield start and end of the contents of each box at the end of a path of kinds, such as ``(b'meta', b'iloc')``.

    Args:
        stream: the file.
        start: the first position.
        stop: the position behind the last one.
        path: the kinds, from the outermost to that of the boxes.
        counter: numbers the boxes of the whole file.

    Raises:
        DamagedPicture: there are more boxes than any file has.
    """
    counter = counter or itertools.count()
    for kind, body, end in boxes(stream, start, stop, counter):
        if kind != path[0]:
            continue
        if len(path) == 1:
            yield body, end
        else:
            # `meta` is a full box: four bytes of version and flags come first.
            yield from below(stream, body + (4 if kind == b'meta' else 0), end, path[1:], counter)


def without_exif(data: bytes) -> bytes:
    """Return an AVIF or HEIF file whose item of EXIF is called something that no decoder looks at."""
    head = re.sub(rb'(?s)(infe.{8,10})Exif', rb'\1free', data[:METADATA_BYTES])
    return head + data[METADATA_BYTES:]


def read_jpeg2000(stream: BinaryIO) -> Header:
    """Read the size in the code stream of a JPEG 2000 file (ISO 15444-1, marker SIZ).

    Raises:
        DamagedPicture: there is none.
    """
    start = 0
    if read_at(stream, 0, 4) != b'\xff\x4f\xff\x51':
        place = next((body for kind, body, _ in boxes(stream, 0, size_of_stream(stream)) if kind == b'jp2c'), None)
        if place is None or read_at(stream, place, 4) != b'\xff\x4f\xff\x51':
            raise DamagedPicture('it holds no JPEG 2000 code stream')
        start = place
    _check_markers(stream, start + 2)
    right, bottom, left, top = unpack_at(stream, start + 8, '>IIII')
    (depth,) = unpack_at(stream, start + 42, 'B')
    if right <= left or bottom <= top:
        raise DamagedPicture('it has no pixels')
    bits = (depth & 0x7F) + 1
    # Pillow stretches fewer bits to 16, or to 8 where there are several channels.
    return Header('JPEG2000', right - left, bottom - top, bits=bits, scaled=bits != 16)


def _check_markers(stream: BinaryIO, at: int) -> None:
    """Refuse a code stream of so many segments before its pixels that going through them takes long."""
    for _ in range(_MOST_BOXES):
        marker, length = unpack_at(stream, at, '>HH')
        if marker in (0xFF90, 0xFFD9):  # the first tile, the end
            return
        at += 2 + length
    raise DamagedPicture('it has more segments than a picture has')
