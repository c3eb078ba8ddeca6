"""Coded sizes of AVIF and HEIC files, by which decoders allocate memory.

Units of AV1 are those of its specification (sections 5.5, 5.9), of HEVC those of ITU-T H.265 (7.3.1, 7.3.2), items and
tracks those of ISO 14496-12 and ISO 23008-12. Of all of them only the sizes are read.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import BinaryIO

from .boxes import below, boxes
from .header import METADATA_BYTES, MOST_PIECES, DamagedPicture, Header, read_at, size_of_stream, unpack_at
from .parts import Part, open_parts

Size = tuple[int, int]
_HEAD = 512  # Bytes in which the beginning of a unit has all that is read of it
#: Items of one file, and pieces of one item.
_MOST_ITEMS, _MOST_PARTS = 10_000, 64
_UNCLEAR = 'it does not say how large its pixels are'
_CONFIGURATION = (b'meta', b'iprp', b'ipco', b'hvcC')


class Bits:
    """Numbers out of bytes, the highest bit first.

    Raises:
        DamagedPicture: they end before.
    """

    def __init__(self, data: bytes):
        self._data, self._at = data, 0

    def read(self, count: int) -> int:
        """Return the number in the next ``count`` bits."""
        start, self._at = self._at, self._at + count
        if self._at > 8 * len(self._data):
            raise DamagedPicture('it ends in the middle of its header')
        piece = int.from_bytes(self._data[start >> 3 : self._at + 7 >> 3], 'big')
        return piece >> (-self._at & 7) & (1 << count) - 1

    def exponential(self) -> int:
        """Return the next number of variable length: ue(v) of HEVC, uvlc() of AV1."""
        zeros = 0
        while not self.read(1):
            zeros += 1
            if zeros == 32:
                raise DamagedPicture(_UNCLEAR)
        return (1 << zeros) - 1 + self.read(zeros)


def coded_sizes(stream: BinaryIO) -> Iterator[Size]:
    """Yield width and height of every picture, tile and canvas that is coded in an AVIF or HEIF file.

    Raises:
        DamagedPicture: an item with coded pixels does not say how large they are, or may have several sizes.
    """
    counter = itertools.count()
    for kind, item in _items(stream):
        if kind == b'av01':
            yield from _av1(item, counter)
        elif kind in (b'hvc1', b'hev1'):
            yield from _hevc(stream, item, counter)
        elif kind in (b'grid', b'iovl'):
            wide = unpack_at(item, 1, 'B')[0] & 1
            yield unpack_at(item, 4 if kind == b'grid' else 10, '>II' if wide else '>HH')
    for sample in _first_samples(stream):
        yield from _av1(sample, counter)


def _items(stream: BinaryIO) -> Iterator[tuple[bytes, BinaryIO]]:
    """Yield type and content of the items of a file, in which pictures lie."""
    stop = size_of_stream(stream)
    kinds: dict[int, bytes] = {}
    counter = itertools.count()
    for body, end in below(stream, 0, stop, (b'meta', b'iinf'), counter):
        start = body + (8 if unpack_at(stream, body, 'B')[0] else 6)
        for _, inner, _ in boxes(stream, start, end, counter):
            version = unpack_at(stream, inner, 'B')[0]
            if version >= 2:
                number, _, kind = unpack_at(stream, inner + 4, '>IH4s' if version > 2 else '>HH4s')
                kinds[number] = kind
    own = next(below(stream, 0, stop, (b'meta', b'idat'), counter), None)
    taken = 0
    for body, end in below(stream, 0, stop, (b'meta', b'iloc'), counter):
        for number, parts in _places(read_at(stream, body, min(end - body, METADATA_BYTES)), own, stop):
            taken += sum(part[1] - part[0] for part in parts if isinstance(part, tuple))
            if taken > 2 * stop:
                raise DamagedPicture('its items overlap')
            if number in kinds:
                yield kinds[number], open_parts(stream, parts)


def _places(table: bytes, own: tuple[int, int] | None, stop: int) -> Iterator[tuple[int, list[Part]]]:
    """Yield number and pieces of each item, of the contents of an ``iloc`` box; ``own`` is the place of ``idat``."""
    bits = Bits(table)
    version, _ = bits.read(8), bits.read(24)
    sizes = [8 * bits.read(4) for _ in range(4)]
    offset_size, length_size, base_size, index_size = sizes[0], sizes[1], sizes[2], sizes[3] if version else 0
    count = bits.read(32 if version > 1 else 16)
    for _ in range(count):
        number, way = bits.read(32 if version > 1 else 16), bits.read(16) & 15 if version else 0
        bits.read(16)
        base = bits.read(base_size)
        parts: list[Part] = []
        pieces = bits.read(16)
        if count > _MOST_ITEMS or pieces > _MOST_PARTS:
            raise DamagedPicture('it has more pieces than a picture has')
        for _ in range(pieces):
            bits.read(index_size)
            start, length = base + bits.read(offset_size), bits.read(length_size)
            start, last = (start, stop) if way == 0 else (start + own[0], own[1]) if way == 1 and own else (0, -1)
            end = start + length if length else last
            if not start <= end <= last:
                raise DamagedPicture('it places pixels where the file has none')
            parts.append((start, end))
        yield number, parts


def _first_samples(stream: BinaryIO) -> Iterator[BinaryIO]:
    """Yield the first picture of each track of a file."""
    stop, counter = size_of_stream(stream), itertools.count()
    for track in below(stream, 0, stop, (b'moov', b'trak'), counter):
        tables = {
            kind: body
            for place in below(stream, *track, (b'mdia', b'minf', b'stbl'), counter)
            for kind, body, _ in boxes(stream, *place, counter)
        }
        if b'stsz' not in tables or not {b'stco', b'co64'} & tables.keys():
            raise DamagedPicture(_UNCLEAR)
        length, count = unpack_at(stream, tables[b'stsz'] + 4, '>II')
        if count:
            length = length or unpack_at(stream, tables[b'stsz'] + 12, '>I')[0]
            wide = b'co64' in tables
            (start,) = unpack_at(stream, tables[b'co64' if wide else b'stco'] + 8, '>Q' if wide else '>I')
            yield open_parts(stream, [(start, min(start + length, stop))])


def _av1(stream: BinaryIO, counter: Iterator[int]) -> Iterator[Size]:
    at, stop, sequence = 0, size_of_stream(stream), None
    while at < stop:
        if next(counter) > MOST_PIECES:
            raise DamagedPicture('it has more pieces than a picture has')
        (first,) = unpack_at(stream, at, 'B')
        at += 2 if first & 4 else 1
        length = stop - at
        if first & 2:
            length = 0
            for place in range(8):
                (byte,) = unpack_at(stream, at, 'B')
                at, length = at + 1, length | (byte & 127) << 7 * place
                if byte < 128:
                    break
        kind, end = first >> 3 & 15, at + length
        bits = Bits(read_at(stream, at, max(0, min(length, _HEAD, stop - at))))
        if kind == 1:
            sequence = _Sequence(bits)
            yield sequence.width, sequence.height
        elif kind in (3, 6):  # a frame, or the header of one
            if sequence is None:
                raise DamagedPicture(_UNCLEAR)
            sequence.check_frame(bits)
        at = end
    if sequence is None:
        raise DamagedPicture(_UNCLEAR)


class _Sequence:
    """The sequence header of AV1 (5.5.1), as far as frames' sizes depend on it."""

    def __init__(self, bits: Bits):
        bits.read(4)
        self.reduced = bits.read(1)
        self.equal_interval, self.time_bits, delay_bits = 0, 0, 0
        if self.reduced:
            bits.read(5)
        else:
            if bits.read(1):
                bits.read(64)
                self.equal_interval = bits.read(1)
                if self.equal_interval:
                    bits.exponential()
                if bits.read(1):
                    delay_bits = bits.read(5) + 1
                    bits.read(37)
                    self.time_bits = bits.read(5) + 1
            display_delay = bits.read(1)
            for _ in range(bits.read(5) + 1):
                bits.read(12)
                if bits.read(5) > 7:
                    bits.read(1)
                if delay_bits and bits.read(1):
                    bits.read(2 * delay_bits + 1)
                if display_delay and bits.read(1):
                    bits.read(4)
        across, down = bits.read(4) + 1, bits.read(4) + 1
        self.width, self.height = bits.read(across) + 1, bits.read(down) + 1
        self.number_bits, self.screen_tools, self.whole_motion = 0, 2, 2
        if not self.reduced:
            if bits.read(1):
                delta = bits.read(4) + 2
                self.number_bits = delta + bits.read(3) + 1
            bits.read(7)
            if bits.read(1):
                bits.read(2)
            if not bits.read(1):
                self.screen_tools = bits.read(1)
            if self.screen_tools and not bits.read(1):
                self.whole_motion = bits.read(1)

    def check_frame(self, bits: Bits) -> None:
        """Refuse a frame of another size than the sequence's, by the beginning of its header (5.9.2)."""
        if self.reduced or bits.read(1):
            return
        kind, shown = bits.read(2), bits.read(1)
        if shown and self.time_bits and not self.equal_interval:
            bits.read(self.time_bits)
        if not shown:
            bits.read(1)
        if kind != 3 and not (kind == 0 and shown):
            bits.read(1)
        bits.read(1)
        tools = bits.read(1) if self.screen_tools == 2 else self.screen_tools
        if tools and self.whole_motion == 2:
            bits.read(1)
        bits.read(self.number_bits)
        if kind == 3 or bits.read(1):
            raise DamagedPicture('its frames have several sizes')


def _hevc(stream: BinaryIO, item: BinaryIO, counter: Iterator[int]) -> Iterator[Size]:
    """Yield the size of each sequence parameter set, of those beside an item and those in it."""
    configurations = list(below(stream, 0, size_of_stream(stream), _CONFIGURATION))
    lengths = {unpack_at(stream, body + 21, 'B')[0] & 3 for body, _ in configurations}
    if len(lengths) != 1:
        raise DamagedPicture(_UNCLEAR)
    for body, _ in configurations:
        at = body + 23
        for _ in range(unpack_at(stream, body + 22, 'B')[0]):
            _, count = unpack_at(stream, at, '>BH')
            at += 3
            for _ in range(count):
                (length,) = unpack_at(stream, at, '>H')
                yield from _parameter_set(read_at(stream, at + 2, min(length, _HEAD)), counter)
                at += 2 + length
    at, stop, width = 0, size_of_stream(item), lengths.pop() + 1
    while at < stop:
        length = int.from_bytes(read_at(item, at, width), 'big')
        at += width
        yield from _parameter_set(read_at(item, at, max(0, min(length, _HEAD, stop - at))), counter)
        at += length


def _parameter_set(unit: bytes, counter: Iterator[int]) -> Iterator[Size]:
    if next(counter) > MOST_PIECES:
        raise DamagedPicture('it has more pieces than a picture has')
    if len(unit) < 2 or unit[0] >> 1 & 63 != 33:
        return
    bits = Bits(unit[2:].replace(b'\0\0\3', b'\0\0'))
    bits.read(4)
    layers = bits.read(3)
    bits.read(1 + 96)
    present = [(bits.read(1), bits.read(1)) for _ in range(layers)]
    if layers:
        bits.read(2 * (8 - layers))
    for profile, level in present:
        bits.read(88 * profile + 8 * level)
    bits.exponential()
    if bits.exponential() == 3:
        bits.read(1)
    yield bits.exponential(), bits.exponential()


def check_coded(stream: BinaryIO, header: Header) -> Header:
    """Return the header of an AVIF or HEIF file if nothing that is coded in it is larger than it states.

    HEVC codes whole blocks of up to 64 x 64 pixels, whose edges are cut off.

    Raises:
        DamagedPicture: something is larger, or does not say how large it is.
    """
    for width, height in coded_sizes(stream):
        if width * height > (header.width + 63) * (header.height + 63):
            raise DamagedPicture(f'it states {header.width} x {header.height} pixels and holds {width} x {height}')
    return header
