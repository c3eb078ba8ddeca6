"""Check that a video file is complete by the rules of its container."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import IO, NamedTuple

from miqa.outside.regular_files import open_regular

from .containers import Container, lost_packets

# Sizes in bytes: a header of an Ogg page (RFC 3533, section 6), of a tag of FLV (Adobe's FLV 10.1, annex E).
_OGG_HEADER, _FLV_TAG = 27, 11
_OGG_BEGINS, _OGG_ENDS = 2, 4
_FLV_TAGS = (8, 9, 18)
_REVERSED = bytes(int(f'{byte:08b}'[::-1], 2) for byte in range(256))
_BLOCK = 1 << 20


class Structure(NamedTuple):
    """What is wrong with a file's parts."""

    broken: int = 0  # parts that are damaged or missing
    cut: bool = False  # the file ends within a part, or without what all whole files end with
    further: bool = False  # a second recording follows, which no decoder reads

    @property
    def wrong(self) -> bool:
        """True if anything is wrong."""
        return bool(self.broken or self.cut or self.further)


def structure_of(path: str | os.PathLike, container: Container) -> Structure:
    """Check a file's parts without decoding them; other containers count as complete."""
    if container.demuxer == 'mpegts':
        return Structure(broken=lost_packets(path))
    check = {'mov': _boxes, 'ogg': _pages, 'flv': _tags, 'gif': _trailer, 'apng': _trailer}.get(container.demuxer)
    if check is None:
        return Structure()
    with open_regular(path, None, kind='video file') as stream:
        return check(stream, Path(path).stat().st_size)


def _boxes(stream: IO[bytes], size: int) -> Structure:
    """Check the boxes of MP4 and MOV (ISO/IEC 14496-12): where files were joined there are two directories."""
    kinds: list[bytes] = []
    place = 0
    while place + 8 <= size:
        stream.seek(place)
        length, kind = struct.unpack('>I4s', stream.read(8))
        if length == 1:
            length = int.from_bytes(stream.read(8), 'big')
        elif length == 0:
            length = size - place
        if length < 8:
            break
        kinds.append(kind)
        place += length
    return Structure(cut=place > size, further=kinds.count(b'moov') > 1 and b'moof' not in kinds)


def _pages(stream: IO[bytes], size: int) -> Structure:
    """Check the pages of Ogg: each has a number and a checksum, the last one of each stream is marked."""
    broken, place = 0, 0
    numbers: dict[bytes, int] = {}
    open_streams: set[bytes] = set()
    while place < size:
        stream.seek(place)
        head = stream.read(_OGG_HEADER)
        if not head.startswith(b'OggS'):
            position = _find(stream, b'OggS', place + 1)
            if position is None:
                return Structure(broken + 1, True)
            broken, place = broken + 1, position
            continue
        lengths = stream.read(head[26]) if len(head) == _OGG_HEADER else b''
        body = stream.read(sum(lengths))
        if len(head) < _OGG_HEADER or len(lengths) < head[26] or len(body) < sum(lengths):
            return Structure(broken, True)
        which, number = head[14:18], int.from_bytes(head[18:22], 'little')
        page = head[:22] + bytes(4) + head[26:] + lengths + body
        follows = head[5] & _OGG_BEGINS or number == numbers.get(which, -1) + 1
        broken += not follows or _ogg_checksum(page) != int.from_bytes(head[22:26], 'little')
        numbers[which] = number
        open_streams = open_streams - {which} if head[5] & _OGG_ENDS else open_streams | {which}
        place += len(head) + len(lengths) + len(body)
    return Structure(broken, bool(open_streams))


def _ogg_checksum(data: bytes) -> int:
    # The polynomial is zlib's, with the bits the other way round, from 0 and without the final complement.
    mirrored = zlib.crc32(data.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f'{mirrored:032b}'[::-1], 2)


def _tags(stream: IO[bytes], size: int) -> Structure:
    """Check the tags of FLV: each is followed by its size."""
    place = int.from_bytes(stream.read(9)[5:9], 'big') + 4
    while place < size:
        stream.seek(place)
        head = stream.read(_FLV_TAG)
        if head.startswith(b'FLV\x01'):
            return Structure(further=True)
        if len(head) < _FLV_TAG:
            return Structure(cut=True)
        if head[0] & 0x1F not in _FLV_TAGS:
            return Structure(broken=1)
        length = int.from_bytes(head[1:4], 'big')
        place += _FLV_TAG + length + 4
        if place > size:
            return Structure(cut=True)
    return Structure()


def _trailer(stream: IO[bytes], size: int) -> Structure:
    """Check the end: a semicolon of a GIF (GIF89a, section 27), or IEND of a PNG (its specification, 11.2.5)."""
    stream.seek(max(0, size - 64))
    end = stream.read()
    return Structure(cut=not end.rstrip(b'\0\r\n ').endswith(b';') and b'IEND' not in end)


def _find(stream: IO[bytes], mark: bytes, place: int) -> int | None:
    stream.seek(place)
    buffer = b''
    while block := stream.read(_BLOCK):
        offset = (buffer + block).find(mark)
        if offset >= 0:
            return place - len(buffer) + offset
        place += len(block)
        buffer = (buffer + block)[-len(mark) + 1 :]
    return None
