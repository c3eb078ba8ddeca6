"""The first directory of a TIFF file: size, number type, stated range, and the file reduced to it."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import BinaryIO

import numpy as np

from .header import DamagedPicture, Header, OtherFormat, read_at, size_of_stream, unpack_at

# Layout of a value by its type, as TIFF 6.0 numbers them; 13, 16, 17 and 18 are those of the supplements.
_LAYOUTS = {
    1: 'B', 2: 'c', 3: 'H', 4: 'I', 5: 'II', 6: 'b', 7: 'c', 8: 'h', 9: 'i', 10: 'ii', 11: 'f', 12: 'd', 13: 'I',
    16: 'Q', 17: 'q', 18: 'Q',
}  # fmt: skip
_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _ORIENTATION, _FORMAT, _LOWEST, _HIGHEST = 256, 257, 258, 262, 274, 339, 340, 341
_SUBFILE, _DNG = 254, 50706
#: Where strips and tiles lie. Each takes a decoder some hundredths of a millisecond and some hundred bytes, however few
#: pixels it has; a picture of 100 megapixels in tiles of 64 x 64 has 25,000.
_PIECES, _MOST_PIECES = (273, 324), 100_000
_PLACES = (273, 279, 324, 325)
#: Pixels of a tile of a smaller picture: programs write up to 1024 x 1024, of which a decoder makes all.
_LARGEST_TILE = 4 << 20
_COMPRESSION, _OLD_JPEG = 259, range(512, 522)
_ROWS_PER_STRIP, _TILE_WIDTH, _TILE_HEIGHT = 278, 322, 323
_LOGARITHMS = (32844, 32845)  # Photometric interpretations that decoders turn into floating point: LogL and LogLuv
#: Tags that say how the pixels are stored. Everything else is metadata.
_KEPT = {
    256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325, 332, 338, 339,
    347, 512, 513, 514, 515, 517, 518, 519, 520, 521, 530, 531, 532,
}  # fmt: skip
_RAW = (
    "it is a camera's raw file, whose first picture is a thumbnail. Develop it into a JPEG or TIFF file first, such as "
    'with `dcraw_emu -T FILE` (LibRaw) or darktable-cli'
)


def read_tiff(stream: BinaryIO) -> Header:
    """Read the first directory.

    Raises:
        DamagedPicture: it is not what it should be.
        OtherFormat: a camera's raw file, of which only a thumbnail would be read.
    """
    order = {b'II': '<', b'MM': '>'}[read_at(stream, 0, 2)]
    big = unpack_at(stream, 2, f'{order}H')[0] == 43
    size = size_of_stream(stream)
    (start,) = unpack_at(stream, 8, f'{order}Q') if big else unpack_at(stream, 4, f'{order}I')
    counting, entry_size, inline = ('Q', 20, 8) if big else ('H', 12, 4)
    (count,) = unpack_at(stream, start, order + counting)
    if not 0 < count <= 65535:
        raise DamagedPicture(f'its directory has {count} entries')
    first = start + struct.calcsize(order + counting)
    table = read_at(stream, first, entry_size * count)
    entries: dict[int, tuple[int, int, bytes]] = {}
    for at in range(0, len(table), entry_size):
        tag, kind, values = struct.unpack_from(f'{order}HHQ' if big else f'{order}HHI', table, at)
        entries.setdefault(tag, (kind, values, table[at : at + entry_size]))

    def values_of(tag: int) -> tuple:
        kind, values, entry = entries.get(tag, (0, 0, b''))
        layout = _LAYOUTS.get(kind)
        if layout is None or not 1 <= values <= 16:
            return ()
        layout = order + layout * values
        length = struct.calcsize(layout)
        body = entry[-inline:]
        if length > inline:
            (place,) = struct.unpack(f'{order}Q' if big else f'{order}I', body)
            if place + length > size:
                return ()
            body = read_at(stream, place, length)
        return struct.unpack_from(layout, body)

    if _DNG in entries or ((values_of(_SUBFILE) or (0,))[0] in (1, 5) and 330 in entries):
        raise OtherFormat(_RAW)
    width, height = ((values_of(tag) or (0,))[0] for tag in (_WIDTH, _HEIGHT))
    if not (isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0):
        raise DamagedPicture('it does not say how large it is')
    bits = max((bits for bits in values_of(_BITS) if isinstance(bits, int)), default=1)
    signed = (values_of(_FORMAT) or (1,))[0] == 2
    if signed and bits <= 8:
        raise OtherFormat(
            'its values are signed numbers of 8 bits, whose white level is unknown. Save it with unsigned ones'
        )
    pieces = max((entries[tag][1] for tag in _PIECES if tag in entries), default=1)
    tile = [(values_of(tag) or (1,))[0] for tag in (_TILE_WIDTH, _TILE_HEIGHT)]
    if math.prod(tile) > max(width * height, _LARGEST_TILE):
        raise DamagedPicture(f'its tiles of {tile[0]} x {tile[1]} pixels are larger than its {width} x {height}')
    needed = _pieces_needed(values_of, width, height)
    if pieces < needed:
        raise DamagedPicture(f'it has {pieces:,} of the {needed:,} pieces that its {width} x {height} pixels take')
    if pieces > _MOST_PIECES:
        raise OtherFormat(
            f'its pixels are stored in {pieces:,} pieces, and up to {_MOST_PIECES:,} are read. Save it again in larger '
            'strips or tiles, such as with `tiffcp -t -w 256 -l 256 FILE NEW`'
        )
    orientation = (values_of(_ORIENTATION) or (1,))[0]
    header = Header(
        'TIFF',
        width,
        height,
        orientation if orientation in range(1, 9) else 1,
        bits=bits,
        channels=(values_of(277) or (1,))[0],
        numbers={2: 'signed', 3: 'float'}.get((values_of(_FORMAT) or (1,))[0], 'unsigned'),
        stated_range=_stated(values_of(_LOWEST), values_of(_HIGHEST)),
        inverted=(values_of(_PHOTOMETRIC) or (1,))[0] == 0,
    )
    if (values_of(_PHOTOMETRIC) or (1,))[0] in _LOGARITHMS:
        header.bits, header.numbers = 32, 'float'
    stated_rows = (values_of(_ROWS_PER_STRIP) or (0,))[0]
    if isinstance(stated_rows, int) and stated_rows > height:
        # Pillow allocates strips as they are stated, up to 2 GB, whatever the height is.
        rows = struct.pack(f'{order}HHQI4x' if big else f'{order}HHII', _ROWS_PER_STRIP, 4, 1, height)
        entries[_ROWS_PER_STRIP] = (4, 1, rows)
    kept_values = [entries[tag][2] for tag in sorted(entries.keys() & _KEPT)]
    directory = struct.pack(order + counting, len(kept_values)) + b''.join(kept_values) + bytes(8 if big else 4)
    compressed = (values_of(_COMPRESSION) or (1,))[0] != 1
    size = min(size, _end_of_pixels(stream, order, {tag: entries[tag] for tag in entries.keys() & _KEPT}, inline, size))
    header.held = size if compressed or bits > 8 else 0
    place = size + size % 2
    head = read_at(stream, 0, 8) + struct.pack('<Q' if order == '<' else '>Q', place) if big else (
        read_at(stream, 0, 4) + struct.pack(f'{order}I', place)
    )  # fmt: skip
    if big or place < 1 << 32:
        header.parts = [head, (len(head), size), bytes(size % 2) + directory]
    return header


def _end_of_pixels(
    stream: BinaryIO, order: str, entries: dict[int, tuple[int, int, bytes]], inline: int, size: int
) -> int:
    """Return the end of what the first picture needs of a file: other pictures and holes may follow."""
    if any(tag in entries for tag in _OLD_JPEG):
        return size
    end, arrays = 0, {}
    for tag, (kind, values, entry) in entries.items():
        length = struct.calcsize(order + _LAYOUTS.get(kind, 'c')) * values
        body = entry[-inline:]
        if length > inline:
            (place,) = struct.unpack(f'{order}Q' if inline == 8 else f'{order}I', body)
            if place + length > size:
                return size
            end = max(end, place + length)
            body = read_at(stream, place, length) if tag in _PLACES else b''
        if tag in _PLACES and kind in (3, 4, 16):
            arrays[tag] = np.frombuffer(body[:length], order + _LAYOUTS[kind]).astype(np.uint64)
    for offsets, lengths in ((273, 279), (324, 325)):
        if offsets in entries:
            if offsets not in arrays or lengths not in arrays or len(arrays[offsets]) != len(arrays[lengths]):
                return size
            # Sums beyond 64 bits are those of no file.
            ends = np.minimum(arrays[offsets], size) + np.minimum(arrays[lengths], size)
            end = max(end, int(ends.max(initial=0)))
    return end


def _pieces_needed(values_of: Callable[[int], tuple], width: int, height: int) -> int:
    def side(tag: int, whole: int) -> int:
        stated = (values_of(tag) or (whole,))[0]
        return stated if isinstance(stated, int) and stated > 0 else whole

    if values_of(_TILE_WIDTH) and values_of(_TILE_HEIGHT):
        return -(-width // side(_TILE_WIDTH, width)) * -(-height // side(_TILE_HEIGHT, height))
    return -(-height // side(_ROWS_PER_STRIP, height))


def _stated(lowest: tuple, highest: tuple) -> tuple[float, float] | None:
    numbers = [value for value in highest if isinstance(value, (int, float))]
    low = [value for value in lowest if isinstance(value, (int, float))]
    if not numbers:
        return None
    stated = (min(low, default=0), max(numbers))
    return stated if all(map(math.isfinite, stated)) and stated[0] < stated[1] else None
