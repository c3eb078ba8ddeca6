"""Read a picture file into an array.

Files are read without trusting them: only regular files of bounded size, only formats of an allow-list, the size in
pixels before the pixels, and of the metadata nothing but the orientation, which is best effort. What the numbers of
files with more than 8 bits mean is described in :mod:`miqa.pictures.value_range`.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Callable, Iterator
from typing import BinaryIO

import numpy as np
from PIL import Image

from miqa.errors import MIQAError
from miqa.outside.regular_files import PICTURE_BYTES, NotARegularFile, open_regular

from .decoding import decode
from .header import Header, OtherFormat
from .memory import MemoryGate, container_memory
from .orientation import orientation_of, turned, turned_box
from .other_formats import read_header
from .plain_png import decode_plain_png
from .resizing import resize_rgb
from .value_range import UnclearValues, ValueRange, check_range, to_bytes

#: Pictures with more pixels are refused. It is what Pillow's own limit is before anybody changes it.
MOST_PIXELS = 178_956_970
#: Decoders of these formats hold several copies of a picture; with more pixels they would need over 600 MB.
_MOST_PIXELS_OF = {'AVIF': 64_000_000, 'HEIF': 64_000_000}
#: From here on a picture that is going to be resized is decoded at a fraction of its size, of at most half as many
#: pixels. Below, the pixels are those of the exact way, bit for bit.
EXACT_PIXELS = 64_000_000
#: What decoding one picture that is going to be resized may take, in bytes. Ordinary kinds take up to so many bytes a
#: pixel, and are read up to :data:`MOST_PIXELS`.
MOST_MEMORY, _ORDINARY = 600 << 20, 6
#: What all threads together may hold of decoded pictures, in bytes; a single larger picture is decoded alone.
_GATE = MemoryGate(512 << 20)
FAST_MARGIN = 2  # ``decode='fast'`` keeps at least so many times the pixels of the resized picture along each side


class UnreadableImage(MIQAError, ValueError):
    """A file that is not a whole picture. The message names the file and says what is wrong."""


def read_image(
    source: str | os.PathLike | bytes, name: str | None = None, *, value_range: ValueRange = None
) -> np.ndarray:
    """Decode a picture at full size into a uint8 array of shape (H, W, 3), RGB, values 0 to 255.

    EXIF orientation is applied; grey and palette pictures become RGB; an alpha channel is dropped (the
    colours stay, as in Pillow's ``convert('RGB')``, which is what vision models are fed); 16-bit channels
    keep their high byte; of an animation the first frame is taken.

    Args:
        source: a path, or the bytes of the file.
        name: what to call the picture in an error; the path where there is one.
        value_range: the value of white, or those of black and white, for files with more than 8 bits a channel.

    Raises:
        FileNotFoundError: there is no such file.
        UnreadableImage: the file is empty, truncated, damaged, not a picture, or its white level is unknown.
    """
    stated = check_range(value_range)
    with _opened(source, name) as (stream, name), _in_sentences(name):
        header = _checked_header(stream, name)
        _check_memory(header, 1, name, whole=False)
        with _GATE.holding(header.held + _memory_for(header, 1)):
            plain = _plain_png(stream, header)
            return _as_array(decode(stream, header, name, 1, stated)[0]) if plain is None else plain


def picture_size(source: str | os.PathLike | bytes, name: str | None = None) -> tuple[int, int]:
    """Return the displayed width and height of a picture file, from its header alone.

    Raises:
        FileNotFoundError, UnreadableImage: as for :func:`read_image`, as far as the header tells.
    """
    with _opened(source, name) as (stream, name), _in_sentences(name):
        return _checked_header(stream, name).upright_size


def stored_size(source: str | os.PathLike | bytes, name: str | None = None) -> tuple[tuple[int, int], int]:
    """Return the stored width and height of a picture file, and its orientation (1 to 8).

    Raises:
        FileNotFoundError, UnreadableImage: as for :func:`picture_size`.
    """
    with _opened(source, name) as (stream, name), _in_sentences(name):
        header = _checked_header(stream, name)
        return (header.width, header.height), header.orientation


def picture_sizes(source: str | os.PathLike | bytes, name: str | None = None) -> tuple:
    """Return what a header says in one go: :func:`picture_size`, and both values of :func:`stored_size`."""
    with _opened(source, name) as (stream, name), _in_sentences(name):
        header = _checked_header(stream, name)
        return header.upright_size, (header.width, header.height), header.orientation


def read_resized(
    source: str | os.PathLike | bytes,
    size_of: Callable[[int, int], tuple[int, int]],
    name: str | None = None,
    *,
    value_range: ValueRange = None,
    fast: bool = False,
    interpolation: str = 'bilinear',
) -> tuple[np.ndarray, tuple[int, int]]:
    """Decode and resize a picture, antialiased, in memory that is bounded even for the largest ones.

    Pictures of up to :data:`EXACT_PIXELS` are decoded whole, and the result is that of :func:`read_image` and
    :func:`~miqa.pictures.resizing.resize_rgb` to the bit. Larger ones are decoded at a fraction of their size.

    Args:
        source: a path, or the bytes of the file.
        name: what to call the picture in an error; the path where there is one.
        value_range: as for :func:`read_image`.
        size_of: from width and height of the picture, upright, to those that are wanted.
        fast: decode JPEG files at the smallest scale that leaves :data:`FAST_MARGIN` times the wanted pixels along
            each side: several times as fast for large photographs, and the pixels differ a little.
        interpolation: one of :data:`miqa.pictures.resizing.INTERPOLATIONS`.

    Returns:
        uint8 RGB (H, W, 3), and width and height of the picture before.

    Raises:
        FileNotFoundError, UnreadableImage: as for :func:`read_image`; and what ``size_of`` raises.
    """
    stated = check_range(value_range)
    with _opened(source, name) as (stream, name), _in_sentences(name):
        header = _checked_header(stream, name)
        width, height = header.upright_size
        target_size = size_of(width, height)
        reduction = _reduction_for(header, min(width / target_size[0], height / target_size[1]))
        if fast and header.kind == 'JPEG':
            reduction = max(
                reduction, _power_of_two(min(width / target_size[0], height / target_size[1]) / FAST_MARGIN)
            )
        _check_memory(header, reduction, name)
        with _GATE.holding(header.held + _memory_for(header, reduction)):
            plain = _plain_png(stream, header) if reduction == 1 else None
            if plain is not None:
                return resize_rgb(plain, target_size, interpolation=interpolation), (width, height)
            rgb, factor = decode(stream, header, name, reduction, stated)
            if factor > 1:
                # Sizes were rounded up: the picture ends somewhere inside the last row and column.
                stored = rgb.size[::-1] if header.orientation >= 5 else rgb.size
                part = min(header.width / factor, stored[0]), min(header.height / factor, stored[1])
                box = turned_box(*part, stored, header.orientation)
                return resize_rgb(rgb, target_size, box, interpolation), (width, height)
            if (width, height) != rgb.size:
                # HEIC files are turned by their decoder, and AVIF files say in the end how.
                width, height = rgb.size
                target_size = size_of(width, height)
            return resize_rgb(rgb, target_size, interpolation=interpolation), (width, height)


def read_preview(
    source: str | os.PathLike | bytes, most_pixels: int, name: str | None = None, *, value_range: ValueRange = None
) -> np.ndarray:
    """Decode a picture for display: unchanged, or reduced to at most ``most_pixels``.

    Returns:
        uint8 RGB (H, W, 3).

    Raises:
        FileNotFoundError, UnreadableImage: as for :func:`read_image`.
    """

    def size_of(width: int, height: int) -> tuple[int, int]:
        scale = min(1.0, (most_pixels / (width * height)) ** 0.5)
        return max(1, int(width * scale)), max(1, int(height * scale))

    return read_resized(source, size_of, name, value_range=value_range)[0]


def picture_to_rgb(picture: Image.Image, name: str = 'the picture', value_range: ValueRange = None) -> np.ndarray:
    """Turn an opened Pillow picture into the array that :func:`read_image` gives for the same file.

    Raises:
        UnreadableImage: Pillow reads pixels only when they are asked for, and cannot.
    """
    stated = check_range(value_range)
    with _in_sentences(name):
        picture.load()
        if picture.mode.startswith(('I', 'F')):
            values = np.asarray(picture)
            if picture.mode == 'I' and stated is None and picture.format in ('PNG', 'PPM'):
                values = values.astype(np.uint16)
            grey = to_bytes(values, name, stated, scaled=picture.format == 'PPM')
            picture_8 = Image.fromarray(grey).convert('RGB')
        else:
            picture_8 = picture.convert('RGB')
        return _as_array(turned(picture_8, orientation_of(picture)))


@contextlib.contextmanager
def _opened(source: str | os.PathLike | bytes, name: str | None) -> Iterator[tuple[BinaryIO, str]]:
    stream: BinaryIO
    if isinstance(source, bytes):
        name, stream = name or 'the picture', io.BytesIO(source)
    else:
        name = name or str(source)
        try:
            stream = open_regular(source, PICTURE_BYTES, kind='image file', name=name)
        except NotARegularFile as error:
            raise UnreadableImage(str(error)) from None
    with stream:
        yield stream, name


@contextlib.contextmanager
def _in_sentences(name: str) -> Iterator[None]:
    """Turn whatever a decoder raises into an UnreadableImage that names the picture."""
    try:
        yield
    except (UnreadableImage, FileNotFoundError):
        raise
    except UnclearValues as error:
        raise UnreadableImage(str(error)) from None
    except OtherFormat as error:
        raise UnreadableImage(f'The image file {name} cannot be read: {error}.') from None
    except MemoryError:
        raise UnreadableImage(f'There is not enough memory to decode the image file {name}.') from None
    except Exception as error:
        # Decoders report damaged data with almost any exception: OSError, SyntaxError, IndexError, RuntimeError, ...
        raise UnreadableImage(f'The image file {name} is damaged or truncated: {error}') from error


def _checked_header(stream: BinaryIO, name: str) -> Header:
    size = stream.seek(0, 2)
    if not size:
        raise UnreadableImage(f'The image file {name} is empty (0 bytes). Fetch or write it again.')
    header = read_header(stream)
    if header is None:
        stream.seek(0)
        page = ': it is a web page, such as a log-in' * bool(re.match(rb'(?i)\s*<(!doctype )?html', stream.read(256)))
        raise UnreadableImage(f'{name} is not an image in a supported format ({size} bytes){page}.')
    pixels, most = header.width * header.height, _MOST_PIXELS_OF.get(header.kind, MOST_PIXELS)
    if pixels > most:
        of_kind = '' if most == MOST_PIXELS else f' of {header.kind} pictures'
        raise UnreadableImage(
            f'The image file {name} is too large to decode: {header.width} x {header.height} are {pixels} pixels, more '
            f'than the limit{of_kind} of {most}. Make it smaller first.'
        )
    return header


def _memory_for(header: Header, reduction: int) -> int:
    """Return how many bytes decoding takes at its peak, as measured for pictures of 60 and 100 megapixels."""
    pixels, area = header.width * header.height, reduction**2
    if header.kind == 'JPEG':
        # Four bytes a pixel, as many where colours are converted or it is turned; and the coefficients.
        copies = 1 + (header.channels == 4) + (header.orientation != 1)
        return 4 * copies * pixels // area + int(2 * header.coefficients * pixels)
    if header.kind == 'JPEG2000':
        return 19 * pixels // area + header.held
    if header.kind == 'WEBP':
        return (16 if header.animated else 7 if header.lossless or reduction == 1 else 5) * pixels
    if header.kind == 'TIFF' and header.channels == 1 and header.bits > 8:
        return 6 * pixels
    if header.kind == 'TIFF' and (header.bits > 16 or (header.bits > 8 and header.stated_range is not None)):
        # All channels twice: the file, and the numbers in it.
        return (2 * header.channels * header.bits // 8 + 4) * pixels
    return (10 if header.bits > 8 and reduction == 1 else 8 if reduction == 1 else 6) * pixels


def _reduction_for(header: Header, largest: float) -> int:
    """Return by how many times each side is to be decoded smaller; ``largest`` leaves what is wanted."""
    pixels, factor = header.width * header.height, 1
    if header.kind == 'JPEG2000':
        largest = min(largest, 2.0**header.levels)
    most = pixels if pixels <= EXACT_PIXELS else EXACT_PIXELS // 2
    while pixels / factor**2 > most and 2 * factor <= max(1.0, largest):
        factor *= 2
    needed = _memory_for(header, factor)
    # Further where that helps.
    while needed > MOST_MEMORY and 2 * factor <= largest and _memory_for(header, 2 * factor) < 0.9 * needed:
        factor *= 2
        needed = _memory_for(header, factor)
    return factor


def _check_memory(header: Header, reduction: int, name: str, whole: bool = True) -> None:
    if header.held > MOST_MEMORY:
        raise UnreadableImage(
            f'The image file {name} is too large to decode: {header.held >> 20} MB of it are read at once, more than '
            f'the limit of {MOST_MEMORY >> 20} MB. Save it again, without whatever else it holds.'
        )
    pixels, needed = header.width * header.height, _memory_for(header, reduction)
    room = container_memory()
    if room is not None and header.held + needed > room:
        raise UnreadableImage(
            f'The image file {name} is too large to decode here: {header.width} x {header.height} pixels of its kind '
            f'take {(header.held + needed) >> 20} MB of memory, and the limit of this container leaves {room >> 20} '
            'MB. Raise that limit (docker run --memory), or make the picture smaller first.'
        )
    if whole and needed > MOST_MEMORY and needed > _ORDINARY * pixels:
        raise UnreadableImage(
            f'The image file {name} is too large to decode: {header.width} x {header.height} pixels of its kind take '
            f'{needed >> 20} MB of memory, more than the limit of {MOST_MEMORY >> 20} MB. Make it smaller '
            'first, or save it as an ordinary (not progressive) JPEG or an 8-bit PNG file.'
        )


def _power_of_two(largest: float) -> int:
    return next((factor for factor in (8, 4, 2) if factor <= largest), 1)


def _as_array(picture: Image.Image) -> np.ndarray:
    """Return RGB as uint8 (H, W, 3) that may be written to, without holding it three times."""
    width, height = picture.size
    result = np.empty((height, width, 3), np.uint8)
    rows = max(1, (1 << 22) // width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        strip = picture
        if (top, bottom) != (0, height):
            # At its own size, by nearest neighbours: the pixels themselves.
            strip = picture.resize((width, bottom - top), Image.Resampling.NEAREST, box=(0, top, width, bottom))
        result[top:bottom] = np.asarray(strip)
    return result


def _plain_png(stream: BinaryIO, header: Header) -> np.ndarray | None:
    if header.kind != 'PNG' or header.width * header.height > EXACT_PIXELS:
        return None
    # What is behind its end, or more than its pixels take even where nothing could be packed, is not read.
    most = 6 * header.width * header.height + (1 << 20)
    stream.seek(0)
    data = stream.read(most + 1)
    return decode_plain_png(data) if len(data) <= most else None
