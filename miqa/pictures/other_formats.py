"""Format detection by first bytes, and headers of small formats."""

from __future__ import annotations

import itertools
import re
import struct
from collections.abc import Iterator
from typing import BinaryIO

from .boxes import HEIF_BRANDS, brands, read_heif, read_jpeg2000
from .coded_sizes import check_coded
from .header import MOST_PIECES, DamagedPicture, Header, MetadataBudget, OtherFormat, read_at, size_of_stream, unpack_at
from .jpeg_png import read_jpeg, read_png
from .orientation import orientation_in_exif, orientation_in_xmp
from .parts import Part, joined
from .tiff import read_tiff

_GRAPHIC_CONTROL = 0xF9
_LARGEST_ICO = 16 << 20
_DIB_SIZES = {12, 40, 52, 56, 64, 108, 124}
#: First bytes of formats that are known and not read, and what to do.
_REMEDIES = (
    (b'\xff\x0a', 'it is a JPEG XL file, which is not read. Convert it first, such as with `djxl FILE.jxl FILE.png`'),
    (
        b'\0\0\0\x0cJXL \r\n\x87\n',
        'it is a JPEG XL file, which is not read. Convert it first, such as with `djxl FILE.jxl FILE.png`',
    ),
    (b'8BPS', 'it is a Photoshop file, which is not read. Save it as PNG first'),
    (b'\x76\x2f\x31\x01', 'it is an OpenEXR file, which is not read: its values have no white. Save it as PNG first'),
    (b'#?RADIANCE', 'it is a Radiance file, which is not read: its values have no white. Save it as PNG first'),
    (b'FUJIFILMCCD-RAW', "it is a camera's raw file. Develop it into a JPEG or TIFF file first"),
    (b'IIRO', "it is a camera's raw file. Develop it into a JPEG or TIFF file first"),
    (b'IIU\0', "it is a camera's raw file. Develop it into a JPEG or TIFF file first"),
    (b'%!PS', 'it is a PostScript program, which is not run. Convert it to PNG first'),
    (b'\xc5\xd0\xd3\xc6', 'it is a PostScript program, which is not run. Convert it to PNG first'),
    (b'%PDF', 'it is a PDF document. Convert its pages to PNG first, such as with `pdftoppm -png FILE.pdf page`'),
    (b'qoif', 'it is a QOI file, which is not read. Convert it to PNG first'),
)


def read_header(stream: BinaryIO) -> Header | None:
    """Read what a picture file says of itself; None where its format is not known.

    Raises:
        DamagedPicture: the header contradicts itself, or the file ends in it.
        OtherFormat: the format is known, and not read; the message says what to do.
    """
    stream.seek(0)
    begin = stream.read(32)
    reader = _reader_for(begin)
    if reader is not None:
        try:
            return reader(stream)
        except (struct.error, OverflowError) as error:
            raise DamagedPicture(f'its header makes no sense ({error})') from None
    if begin[4:8] == b'ftyp':
        named = brands(stream)
        if named & HEIF_BRANDS or named & {b'avif', b'avis'}:
            return check_coded(stream, read_heif(stream, named))
        if b'crx ' in named:
            raise OtherFormat("it is a camera's raw file. Develop it into a JPEG or TIFF file first")
        return None
    for signature, remedy in _REMEDIES:
        if begin.startswith(signature):
            raise OtherFormat(remedy)
    return None


def _reader_for(begin: bytes):
    if begin[:3] == b'\xff\xd8\xff':
        return read_jpeg
    if begin[:8] == b'\x89PNG\r\n\x1a\n':
        return read_png
    if begin[:4] in (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+'):
        return _read_tiff_unless_raw if begin[8:10] == b'CR' else read_tiff
    if begin[:6] in (b'GIF87a', b'GIF89a'):
        return _read_gif
    if begin[:4] == b'RIFF' and begin[8:12] == b'WEBP':
        return _read_webp
    if begin[:2] == b'BM':
        return lambda stream: _read_dib(stream, 14, 'BMP')
    if begin[:4] == b'\xff\x4f\xff\x51' or begin[4:12] == b'jP  \r\n\x87\n':
        return read_jpeg2000
    if begin[:1] == b'P' and begin[1:2] in b'123456f' and begin[2:3].isspace():
        return _read_pnm
    if begin[:4] == b'\0\0\1\0' and begin[4:6] != b'\0\0':
        return _read_ico
    if len(begin) >= 16 and struct.unpack_from('<I', begin)[0] in _DIB_SIZES:
        return lambda stream: _read_dib(stream, 0, 'DIB')
    return None


def _read_tiff_unless_raw(stream: BinaryIO) -> Header:
    raise OtherFormat("it is a camera's raw file. Develop it into a JPEG or TIFF file first")


def _read_gif(stream: BinaryIO) -> Header:
    width, height, flags = unpack_at(stream, 6, '<HHB')
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    # Without comments, which Pillow puts together block by block.
    parts: list[Part] = [(0, at)]
    counter = itertools.count()
    for _ in range(MOST_PIECES):
        (kind,) = unpack_at(stream, at, 'B')
        if kind == 0x2C:
            left, top, wide, high = unpack_at(stream, at + 1, '<HHHH')
            # Pillow enlarges the canvas where the first frame reaches beyond it.
            parts.append((at, size_of_stream(stream)))
            return Header('GIF', max(width, left + wide), max(height, top + high), parts=joined(parts))
        if kind != 0x21:
            break
        start, (label,) = at, unpack_at(stream, at + 1, 'B')
        at = _after_blocks(stream, at + 2, counter)
        if label == _GRAPHIC_CONTROL:
            parts.append((start, at))
    raise DamagedPicture('it holds no picture')


def _after_blocks(stream: BinaryIO, at: int, counter: Iterator[int]) -> int:
    """Return the position behind the blocks of an extension, such as a comment; ``counter`` numbers all of them."""
    while next(counter) < MOST_PIECES:
        (length,) = unpack_at(stream, at, 'B')
        at += 1 + length
        if not length:
            return at
    raise DamagedPicture('it has more extensions than a picture has')


def _read_dib(stream: BinaryIO, start: int, kind: str) -> Header:
    (length,) = unpack_at(stream, start, '<I')
    width, height = unpack_at(stream, start + 4, '<HH' if length == 12 else '<ii')
    if width <= 0 or height == 0:
        raise DamagedPicture('it has no pixels')
    parts: list[Part] | None = None
    if length > 12 and unpack_at(stream, start + 16, '<I')[0] in (1, 2):
        # Runs: two bytes at most for a pixel and the end of a line; Pillow would read on through what follows.
        parts = [(0, min(size_of_stream(stream), 4096 + 4 * (width + 1) * abs(height)))]
    return Header(kind, width, abs(height), parts=parts)


def _read_webp(stream: BinaryIO) -> Header:
    size, at = size_of_stream(stream), 12
    width = height = 0
    exif = xmp = None
    animated = lossless = False
    budget = MetadataBudget()
    for _ in range(MOST_PIECES):
        if at + 8 > size:
            break
        kind, length = unpack_at(stream, at, '<4sI')
        body, end = at + 8, at + 8 + length
        if kind == b'VP8X':
            wide, high = unpack_at(stream, body + 4, '<3s3s')
            width, height = (int.from_bytes(side, 'little') + 1 for side in (wide, high))
        elif kind == b'VP8 ' and not width:
            width, height = (side & 0x3FFF for side in unpack_at(stream, body + 6, '<HH'))
        elif kind == b'VP8L' and not width:
            (packed,) = unpack_at(stream, body + 1, '<I')
            width, height = (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
        elif kind in (b'EXIF', b'XMP ') and end <= size and budget.spend(length):
            data = read_at(stream, body, length)
            if kind == b'EXIF':
                exif = orientation_in_exif(data)
            else:
                xmp = orientation_in_xmp(data)
        animated, lossless = animated or kind == b'ANMF', lossless or kind in (b'VP8L', b'ALPH')
        at = end + length % 2
    if not width or not height:
        raise DamagedPicture('it does not say how large it is')
    stop = min(size, 8 + unpack_at(stream, 4, '<I')[0])
    turn = exif or xmp or 1
    return Header('WEBP', width, height, turn, parts=[(0, stop)], animated=animated, lossless=lossless, held=stop)


def _read_pnm(stream: BinaryIO) -> Header:
    data = read_at(stream, 0, min(size_of_stream(stream), 1 << 16))
    # All must be there, and end: a decoder reads them byte by byte.
    texts = re.finditer(rb'(\S+)\s', re.sub(rb'#[^\r\n]*', b' ', data[2:]))
    numbers = [text[1] for text in itertools.islice(texts, 3)]
    if len(numbers) < (2 if data[1:2] in b'14' else 3):
        raise DamagedPicture('it does not say how large it is')
    try:
        width, height = int(numbers[0]), int(numbers[1])
    except (ValueError, IndexError):
        raise DamagedPicture('it does not say how large it is') from None
    if width <= 0 or height <= 0:
        raise DamagedPicture('it has no pixels')
    if data[1:2] == b'f':
        return Header('PPM', width, height, bits=32, numbers='float')
    return Header('PPM', width, height, bits=16, scaled=True)


def _read_ico(stream: BinaryIO) -> Header:
    if size_of_stream(stream) > _LARGEST_ICO:
        raise DamagedPicture(f'an icon has at most {_LARGEST_ICO >> 20} MB')
    (count,) = unpack_at(stream, 4, '<H')
    largest = (0, 0)
    for index in range(count):
        (place,) = unpack_at(stream, 6 + 16 * index + 12, '<I')
        if read_at(stream, place, 8) == b'\x89PNG\r\n\x1a\n':
            dimensions = unpack_at(stream, place + 16, '>II')
        else:
            inner = _read_dib(stream, place, 'DIB')
            dimensions = inner.width, max(1, inner.height // 2)
        largest = max(largest, dimensions, key=lambda size: size[0] * size[1])
    if not all(largest):
        raise DamagedPicture('it holds no picture')
    return Header('ICO', *largest)
