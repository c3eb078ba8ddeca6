"""Box-structured formats (ISO 14496-12): AVIF, HEIC and JPEG 2000."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import BinaryIO

from .header import (
    METADATA_BYTES,
    MOST_PIECES,
    DamagedPicture,
    Header,
    OtherFormat,
    read_at,
    size_of_stream,
    unpack_at,
)

_AVIF_BRANDS = {b'avif', b'avis'}
#: Brands of ISO 23008-12 whose pictures are coded by HEVC, and the general ones.
HEIF_BRANDS = {b'heic', b'heix', b'heim', b'heis', b'hevc', b'hevx', b'hevm', b'hevs', b'mif1', b'msf1', b'miaf'}
_MOST_BOXES = 10_000  # Boxes of one file, at all depths
#: Segments of a JPEG 2000 code stream of OpenJPEG (ISO 15444-1, A.2), and those with a meaning here.
_TILE, _DATA, _END, _STYLE, _STYLE_OF_CHANNEL = 0xFF90, 0xFF93, 0xFFD9, 0xFF52, 0xFF53
_SEGMENTS = {_TILE} | {
    0xFF00 + kind
    for kind in (
        0x50, 0x51, 0x52, 0x53, 0x55, 0x57, 0x58, 0x59, 0x5C, 0x5D, 0x5E, 0x5F, 0x60, 0x61, 0x63, 0x64, 0x74, 0x75,
        0x77, 0x78,
    )
}  # fmt: skip
#: What OpenJPEG takes for a tile, and for a precinct or code block of the tile that it is at, in bytes, as measured;
#: and how many there may be. A picture of 178 megapixels in tiles of 256 x 256 and blocks of 32 x 32 has 2,800 and
#: 830,000.
_TILE_BYTES, _PIECE_BYTES, _MOST_TILES, _MOST_CODED_PIECES = 12_000, 450, 25_000, 1_000_000


def boxes(
    stream: BinaryIO, start: int, stop: int, counter: Iterator[int] | None = None
) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, start and end of the contents of each box between two positions.

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
    """Return an AVIF or HEIF file whose item of EXIF is renamed so that decoders ignore it."""
    head = re.sub(rb'(?s)(infe.{8,10})Exif', rb'\1free', data[:METADATA_BYTES])
    return head + data[METADATA_BYTES:]


def read_jpeg2000(stream: BinaryIO) -> Header:
    """Read the size in the code stream of a JPEG 2000 file (ISO 15444-1, marker SIZ).

    Raises:
        DamagedPicture: the box is missing.
        OtherFormat: it is stored in too many pieces.
    """
    start = 0
    if read_at(stream, 0, 4) != b'\xff\x4f\xff\x51':
        place = next((body for kind, body, _ in boxes(stream, 0, size_of_stream(stream)) if kind == b'jp2c'), None)
        if place is None or read_at(stream, place, 4) != b'\xff\x4f\xff\x51':
            raise DamagedPicture('it holds no JPEG 2000 code stream')
        start = place
    right, bottom, left, top = unpack_at(stream, start + 8, '>IIII')
    (depth,) = unpack_at(stream, start + 42, 'B')
    if right <= left or bottom <= top:
        raise DamagedPicture('it has no pixels')
    levels, held = _levels_and_overhead(stream, start)
    bits = (depth & 0x7F) + 1
    # Pillow stretches fewer bits to 16, or to 8 where there are several channels.
    return Header(
        'JPEG2000', right - left, bottom - top, bits=bits, scaled=bits != 16, levels=levels, held=held
    )  # fmt: skip


def _levels_and_overhead(stream: BinaryIO, start: int) -> tuple[int, int]:
    """Return how often a JPEG 2000 picture can be halved, and the bytes that decoders take beside its pixels.

    They make an object of every tile, and of each precinct and code block of one tile, before they search for its data.

    Raises:
        DamagedPicture: there are so many segments that going through them takes long.
        OtherFormat: there are so many objects.
    """
    right, bottom, left, top, wide, high, across, down, channels = unpack_at(stream, start + 8, '>8IH')
    if not wide or not high or across > left or down > top:
        raise DamagedPicture('it has no tiles')
    tiles = -(-(right - across) // wide) * -(-(bottom - down) // high)
    side = min(wide, right - left), min(high, bottom - top)
    levels, layers, in_tile = 32, 1, 0
    size, at, after = size_of_stream(stream), start + 2, 0
    for _ in range(MOST_PIECES):
        if at + 4 > size:
            break
        marker, length = unpack_at(stream, at, '>HH')
        if marker == _END:
            break
        if marker == _TILE:
            (whole,) = unpack_at(stream, at + 6, '>I')
            after = at + whole if whole else size
        if marker == _DATA:
            at = max(after, at + 2)
        elif marker not in _SEGMENTS:  # as OpenJPEG looks for the next one
            at += 2
        else:
            if marker in (_STYLE, _STYLE_OF_CHANNEL):
                # Style, order, layers and mixing, or the channel and style; levels, code blocks, ..., precincts.
                skipped = 5 if marker == _STYLE else 2 if channels < 257 else 3
                body = read_at(stream, at + 4, max(skipped + 5, min(length - 2, 64)))
                levels = min(levels, body[skipped])
                layers = max(layers, int.from_bytes(body[2:4], 'big')) if marker == _STYLE else layers
                precincts = body[skipped + 5 :] if body[0 if marker == _STYLE else skipped - 1] & 1 else b''
                in_tile = max(in_tile, channels * _coded_pieces(side, body[skipped : skipped + 3], precincts, layers))
            at += 2 + length
    else:
        raise DamagedPicture('it has more segments than a picture has')
    if (pieces := tiles * in_tile) > _MOST_CODED_PIECES or tiles > _MOST_TILES:
        raise OtherFormat(
            f'its pixels are stored in {tiles:,} tiles and {pieces:,} packets and code blocks, more than are read '
            f'({_MOST_TILES:,}, {_MOST_CODED_PIECES:,}). Save it again in larger ones, such as with `opj_compress`'
        )
    return levels, _TILE_BYTES * tiles + _PIECE_BYTES * in_tile


def _coded_pieces(side: tuple[int, int], coding: bytes, precincts: bytes, layers: int) -> int:
    """Return the precincts, their packets and the code blocks of one channel of a tile (ISO 15444-1, B.6 to B.9)."""
    levels, wide, high = coding
    total = 0
    for level in range(min(levels, 32) + 1):
        stated = precincts[level] if level < len(precincts) else 0xFF
        at_level = [-(-each >> min(levels, 32) - level) for each in side]
        bands, halved = (3, 1) if level else (1, 0)
        pieces = [1, 1]
        exponents, blocks = (stated & 15, stated >> 4), (wide + 2, high + 2)
        for length, exponent, block in zip(at_level, exponents, blocks, strict=True):
            precinct = -(-length >> exponent)
            pieces[0] *= precinct
            pieces[1] *= max(precinct, -(-length >> halved + min(block, max(0, exponent - halved))))
        total += layers * pieces[0] + bands * (pieces[0] + pieces[1])
    return total
