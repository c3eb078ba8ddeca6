"""JPEG and PNG by segments: size, orientation, and the file without its metadata."""

from __future__ import annotations

import re
import struct
import zlib
from typing import BinaryIO

from .header import MOST_PIECES, DamagedPicture, Header, MetadataBudget, read_at, size_of_stream, unpack_at
from .orientation import orientation_in_exif, orientation_in_xmp
from .parts import Part, joined

_MOST_FILLING = 64 << 20  # Bytes between segments that no program leaves; decoders skip them one by one
_STANDALONE = {0x01, *range(0xD0, 0xD8)}
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
#: JFIF (APP0) and Adobe (APP14) say what the colours mean; the other application segments and comments do not.
_DROPPED = ({*range(0xE0, 0xF0)} - {0xE0, 0xEE}) | {0xFE}
_XMP_PREFIX = b'http://ns.adobe.com/xap/1.0/\0'

_KEPT_CHUNKS = {b'IHDR', b'PLTE', b'tRNS', b'IDAT', b'IEND'}
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)  # Frames that are stored in several passes over the whole picture
#: Passes over the picture: programs write up to some 15. More of them may go over so many pixels together, which takes
#: seconds: a file of 300 kB can ask for 20,000.
_ORDINARY_SCANS, _MOST_PASSED = 20, 2_000_000_000
#: What begins a segment: within a pass 0xFF is followed by 0, or by the number of a restart (T.81, B.1.1.2).
_MARKER = re.compile(rb'\xff+([\x01-\xcf\xd8-\xfe])')
#: What begins a segment before the first pass: any number of 0xFF, and a byte that is not 0xFF.
_SEGMENT = re.compile(rb'\xff[^\xff]')
_BLOCK, _WINDOW = 1 << 16, 1 << 20
_IEND = b'\0\0\0\0IEND\xaeB`\x82'


def read_jpeg(stream: BinaryIO) -> Header:
    """Read a JPEG file's segments up to its pixels.

    Raises:
        DamagedPicture: they are not what they should be.
    """
    size, at = size_of_stream(stream), 2
    parts: list[Part] = [(0, 2)]
    frame, orientation, from_xmp, coefficients, progressive = None, None, None, 0.0, False
    budget = MetadataBudget()
    for _ in range(MOST_PIECES):
        # Some programs leave filling between segments. It is left out: Pillow steps over it byte by byte.
        start = _next_segment(stream, at, size)
        (byte,) = unpack_at(stream, start + 1, 'B')
        at = start + 2
        if byte in _STANDALONE or byte == 0:
            continue
        if byte == 0xD9:
            raise DamagedPicture('it ends before its pixels')
        (length,) = unpack_at(stream, at, '>H')
        if byte in _FRAMES and frame is None:
            bits, height, width, channels = unpack_at(stream, at + 2, '>BHHB')
            frame = (width, height, bits)
            progressive = byte in _PROGRESSIVE
            if progressive:
                coefficients = _samples_of(read_at(stream, at + 8, min(3 * channels, max(length - 8, 0))))
        if byte == 0xE1 and orientation is None and budget.spend(length):
            body = read_at(stream, at + 2, min(max(length - 2, 0), size - at - 2))
            if body.startswith(b'Exif\0'):
                orientation = orientation_in_exif(body)
            elif body.startswith(_XMP_PREFIX):
                from_xmp = orientation_in_xmp(body)
        if byte == 0xDA:
            if frame is None or not frame[0] or not frame[1]:
                raise DamagedPicture('its pixels begin before their size is given')
            (in_scan,) = unpack_at(stream, at + 2, 'B')
            if progressive or in_scan < channels:
                _check_scans(stream, start, frame[0] * frame[1])
            parts.append((start, size))
            header = Header('JPEG', *frame[:2], orientation or from_xmp or 1, bits=frame[2], channels=channels)
            header.coefficients = coefficients
            header.parts = joined(parts)
            return header
        at += length
        if byte not in _DROPPED:
            parts.append((start, at))
    raise DamagedPicture('it has more segments than a picture has')


def _next_segment(stream: BinaryIO, at: int, size: int) -> int:
    """Return where the next segment begins."""
    if _SEGMENT.match(read_at(stream, at, 2)):
        return at
    for place in range(at, min(size, at + _MOST_FILLING), _BLOCK):
        stream.seek(place)
        match = _SEGMENT.search(stream.read(_BLOCK + 1))
        if match:
            return place + match.start()
    raise DamagedPicture('it ends in the middle of its header, or holds more filling than a picture has')


def _check_scans(stream: BinaryIO, start: int, pixels: int) -> None:
    """Refuse a file of so many passes over the picture that decoding would take minutes.

    What follows the end of the picture, such as the video that a phone appends, is ignored.
    """
    # A file of more bytes than its numbers take holds something else behind its picture.
    stop, place, scans = start + (1 << 20) + 16 * pixels, start, 0
    stream.seek(start)
    data, at = stream.read(_WINDOW), 0
    for _ in range(MOST_PIECES):
        marker = _MARKER.search(data, at)
        while marker is None or len(data) - marker.end() < 2:
            place += marker.start() if marker else max(0, len(data) - 1)
            stream.seek(place)
            data, at = stream.read(_WINDOW), 0
            if len(data) < 4 or place > stop:
                return
            marker = _MARKER.search(data)
        if marker[1] == b'\xd9':
            return
        at = marker.end()
        if marker[1] in b'\x01\xd8':
            continue
        if marker[1] == b'\xda':
            scans += 1
            if scans > _ORDINARY_SCANS and scans * pixels > _MOST_PASSED:
                raise DamagedPicture(f'it takes {scans} passes or more over {pixels} pixels, which no program writes')
        at += int.from_bytes(data[at : at + 2], 'big')
        if at > len(data):
            place += at
            stream.seek(place)
            data, at = stream.read(_WINDOW), 0
    raise DamagedPicture('it has more segments than a picture has')


def _samples_of(components: bytes) -> float:
    """Return the samples that a frame stores for each pixel; the table gives each channel 3 bytes (T.81, B.2.2)."""
    factors = [(side >> 4, side & 15) for side in components[1::3]]
    # What factors a header must not have, decoders refuse.
    most = max((x for x, _ in factors), default=1) * max((y for _, y in factors), default=1)
    return sum(x * y for x, y in factors) / max(1, most)


def read_png(stream: BinaryIO) -> Header:
    """Read a PNG file's chunks.

    Raises:
        DamagedPicture: they are not what they should be.
    """
    size, at = size_of_stream(stream), 8
    length, kind, width, height, bits = unpack_at(stream, at, '>I4sIIB')
    if kind != b'IHDR' or length != 13 or not width or not height:
        raise DamagedPicture('it does not begin with its size')
    parts: list[Part] = [(0, 8)]
    facts: dict[str, int | None] = {}
    ended, budget = False, MetadataBudget()
    for _ in range(MOST_PIECES):
        if at + 8 > size:
            break
        length, kind = unpack_at(stream, at, '>I4s')
        end = min(at + 12 + length, size)
        if kind in _KEPT_CHUNKS:
            parts.append((at, end))
        elif kind in (b'eXIf', b'tEXt', b'zTXt', b'iTXt') and at + 12 + length <= size and budget.spend(length):
            source, value = _png_orientation(kind, read_at(stream, at + 8, length), budget)
            facts.setdefault(source, value)
        at += 12 + length
        if kind == b'IEND':
            ended = True
            break
    else:
        raise DamagedPicture('it has more chunks than a picture has')
    if not ended:
        parts.append(_IEND)
    orientation = facts.get('exif') or facts.get('raw') or facts.get('xmp') or 1
    return Header('PNG', width, height, orientation, bits, parts=joined(parts))


def _png_orientation(kind: bytes, body: bytes, budget: MetadataBudget) -> tuple[str, int | None]:
    if kind == b'eXIf':
        return 'exif', orientation_in_exif(body)
    keyword, _, payload = body.partition(b'\0')
    if keyword == b'Raw profile type exif':
        # As ImageMagick writes it: a line with the name, one with the length, then hexadecimal digits.
        lines = _text(kind, payload, budget).split(b'\n', 3)
        try:
            return 'raw', orientation_in_exif(bytes.fromhex(b''.join(lines[3:]).replace(b'\n', b'').decode('ascii')))
        except ValueError:
            return 'raw', None
    if keyword == b'XML:com.adobe.xmp':
        return 'xmp', orientation_in_xmp(_text(kind, payload, budget))
    return 'other', None


def _text(kind: bytes, payload: bytes, budget: MetadataBudget) -> bytes:
    packed = kind == b'zTXt'
    if kind == b'iTXt':
        packed = payload[:1] == b'\1'
        payload = payload[2:].split(b'\0', 2)[-1]
    elif packed:
        payload = payload[1:]
    if not packed:
        return payload
    if not budget.left:
        return b''
    try:
        text = zlib.decompressobj().decompress(payload, budget.left)
    except zlib.error:
        return b''
    budget.spend(len(text))
    return text


def checksums_hold(stream: BinaryIO, header: Header) -> bool:
    """Return True if the chunks of a PNG file that make its pixels are undamaged, by their CRC-32."""
    for part in header.parts or ():
        if isinstance(part, bytes):
            continue
        at, stop = part
        at += 8 if at == 0 else 0
        while at < stop:
            (length,) = unpack_at(stream, at, '>I')
            if at + 12 + length > stop:
                return False
            checksum = zlib.crc32(read_at(stream, at + 4, length + 4))
            if checksum != struct.unpack('>I', read_at(stream, at + 8 + length, 4))[0]:
                return False
            at += 12 + length
    return True
