"""Decode a picture file to upright 8-bit RGB, at full size or, for huge files, at a fraction of it."""

from __future__ import annotations

import importlib
import importlib.util
import io
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    IcoImagePlugin,
    Image,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from .boxes import without_exif
from .header import DamagedPicture, Header, OtherFormat
from .jpeg_png import checksums_hold
from .orientation import turned
from .parts import open_parts
from .value_range import bytes_function, check_high_bytes, extremes, to_bytes

#: The decoders of Pillow that are used. Its other ones, such as PostScript's, which starts a program, are not.
#: They are called directly: what is registered with Pillow, and its limits, may be changed by any other package.
_DECODERS: dict[str, Callable[..., ImageFile.ImageFile]] = {
    'BMP': BmpImagePlugin.BmpImageFile,
    'DIB': BmpImagePlugin.DibImageFile,
    'GIF': GifImagePlugin.GifImageFile,
    'ICO': IcoImagePlugin.IcoImageFile,
    'JPEG': JpegImagePlugin.JpegImageFile,
    'JPEG2000': Jpeg2KImagePlugin.Jpeg2KImageFile,
    'PNG': PngImagePlugin.PngImageFile,
    'PPM': PpmImagePlugin.PpmImageFile,
    'TIFF': TiffImagePlugin.TiffImageFile,
    'WEBP': WebPImagePlugin.WebPImageFile,
}
_NUMERIC_MODES = ('I', 'F')
_STRIP_PIXELS = 4_000_000  # Pixels of a strip of a huge picture that is made smaller piece by piece
#: From here on WebP files are decoded in the way that takes less memory; the pixels are the same.
_LARGE_WEBP = 16_000_000
_NO_HEIF = "it is a HEIC picture, which needs pi-heif: pip install 'miqa[heif]'"
_OPENCV = "OpenCV: pip install 'miqa[video]'"
_NO_AVIF = 'it is an AVIF picture, which needs Pillow 11.3 or newer: pip install -U pillow'


def decode(
    stream: BinaryIO, header: Header, name: str, reduction: int = 1, value_range: tuple[float, float] | None = None
) -> tuple[Image.Image, int]:
    """Decode a picture to upright RGB; return it, and how many times smaller each side became.

    Args:
        stream: the file.
        header: what :func:`~miqa.pictures.other_formats.read_header` said of it.
        name: what to call it in an error.
        reduction: how many times smaller each side may be. The nearest smaller factor that the format has is taken
            (1, 2, 4, 8 for JPEG); the size is rounded up.
        value_range: the values of black and white, whatever the file says.

    Raises:
        Exception: whatever a decoder raises for damaged data.
    """
    if header.kind == 'HEIF':
        return _reduced(_decode_heif(stream), reduction), reduction
    if header.kind == 'TIFF' and _beyond_pillow(header, value_range) or (
        value_range is not None and header.kind == 'PNG' and header.bits == 16
    ):  # fmt: skip
        return _decode_deep(stream, header, name, reduction, value_range), reduction
    if header.kind == 'WEBP' and not header.animated and header.width * header.height > _LARGE_WEBP and _has_opencv():
        return turned(_decode_large_webp(stream, reduction, header.held), header.orientation), reduction
    try:
        picture = _opened(stream, header)
    except SyntaxError:
        if header.kind != 'TIFF':
            raise
        # Pillow has no floating point in several channels, no 16 bits with alpha, and more.
        return _decode_deep(stream, header, name, reduction, value_range), reduction
    before = (header.width, header.height)
    if header.kind == 'AVIF' and picture.width * picture.height > header.width * header.height:
        raise DamagedPicture(f'it states {before[0]} x {before[1]} pixels and holds {picture.width} x {picture.height}')
    if reduction > 1 and header.kind == 'JPEG':
        picture.draft(None, (-(-header.width // reduction), -(-header.height // reduction)))
    elif reduction > 1 and header.kind == 'JPEG2000':
        # Resolutions of a wavelet are powers of two; there are five of them, or as many as are stored.
        # Of Pillow's JPEG 2000 pictures an attribute, of all others a method.
        setattr(picture, 'reduce', min(5, reduction.bit_length() - 1))  # noqa: B010
    elif picture.size != before and header.kind not in ('AVIF', 'TIFF', 'ICO'):
        raise DamagedPicture(
            f'it states {before[0]} x {before[1]} pixels and holds {picture.size[0]} x {picture.size[1]}'
        )
    try:
        _load(picture, stream, header)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        # Pillow's TIFF decoder asks for a limit that any other package may have set; ours was asked before.
        return _decode_deep(stream, header, name, reduction, value_range), reduction
    if header.kind == 'AVIF':
        header.orientation = _avif_orientation(picture)
    already = max(1, round(header.width / picture.width)) if reduction > 1 else 1
    further = max(1, reduction // already)
    rgb = _to_rgb(picture, header, name, further, value_range)
    return turned(rgb, header.orientation), already * further


def _opened(stream: BinaryIO, header: Header) -> ImageFile.ImageFile:
    stream.seek(0)
    source = stream if header.parts is None else open_parts(stream, header.parts)
    if header.kind == 'AVIF':
        return _open_avif(stream)
    return _DECODERS[header.kind](_Watched(source))


def _open_avif(stream: BinaryIO) -> ImageFile.ImageFile:
    try:
        decoder = importlib.import_module('PIL.AvifImagePlugin')
    except ImportError:
        decoder = None
    if decoder is None or not decoder.SUPPORTED:
        raise OtherFormat(_NO_AVIF)
    data = stream.read()
    try:
        return decoder.AvifImageFile(io.BytesIO(data))
    except Exception:
        # Pillow reads EXIF while it opens the file; where that is damaged, the pixels may be whole.
        return decoder.AvifImageFile(io.BytesIO(without_exif(data)))


def _avif_orientation(picture: Image.Image) -> int:
    from .orientation import orientation_in_exif

    return orientation_in_exif(picture.info.get('exif') or b'') or 1


class _Watched:
    """A stream that remembers whether it was asked for more than there is."""

    def __init__(self, stream: BinaryIO):
        self._stream = stream
        self.seek, self.tell = stream.seek, stream.tell
        self.ended = False

    def read(self, count: int = -1) -> bytes:
        data = self._stream.read(count)
        self.ended = self.ended or (count > 0 and not data)
        return data

    def readline(self, *limit: int) -> bytes:
        return self._stream.readline(*limit)

    def close(self) -> None:
        """The caller closes the stream."""


def _load(picture: ImageFile.ImageFile, stream: BinaryIO, header: Header) -> None:
    """Decode the pixels, and refuse those of a cut file, whatever ``ImageFile.LOAD_TRUNCATED_IMAGES`` says."""
    source = picture.fp
    if isinstance(source, _Watched):
        source.ended = False
    lenient = ImageFile.LOAD_TRUNCATED_IMAGES
    if lenient and header.kind == 'PNG' and not checksums_hold(stream, header):
        raise DamagedPicture('a checksum of its pixels is wrong')
    short = False
    plugin: Any = picture  # only some of Pillow's plugins have load_read
    watched = lenient and hasattr(plugin, 'load_read')
    if watched:
        inner = plugin.load_read

        def load_read(count: int) -> bytes:
            nonlocal short
            data = inner(count)
            short = short or not data
            return data

        plugin.load_read = load_read
    try:
        picture.load()
    finally:
        if watched:
            # It holds the picture, which holds it: without this, the pixels would stay until Python looks for circles.
            del plugin.load_read
    if lenient and (short or (isinstance(source, _Watched) and source.ended)):
        raise DamagedPicture('image file is truncated')


def _to_rgb(
    picture: Image.Image, header: Header, name: str, factor: int, value_range: tuple[float, float] | None
) -> Image.Image:
    if picture.mode.startswith(_NUMERIC_MODES):
        picture = _grey_of(picture, header, name, value_range or header.stated_range)
        return picture.convert('RGB') if factor == 1 else _in_strips(picture, factor)
    if factor > 1:
        rgb = _in_strips(picture, factor)
    else:
        rgb = picture if picture.mode == 'RGB' else picture.convert('RGB')
    if header.bits == 16 and header.kind in ('PNG', 'TIFF', 'JPEG2000'):
        bands: Any = rgb.getextrema()  # of a picture of several bands, lowest and highest of each
        check_high_bytes(max(highest for _, highest in bands), name)
    return rgb


def _in_strips(picture: Image.Image, factor: int) -> Image.Image:
    """Convert and reduce a picture piece by piece, so that it is not held twice."""
    width, height = picture.size
    result = Image.new('RGB', (-(-width // factor), -(-height // factor)))
    rows = max(1, _STRIP_PIXELS // width // factor) * factor
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        # At its own size, by nearest neighbours: the pixels themselves, of any mode.
        strip = picture.resize((width, bottom - top), Image.Resampling.NEAREST, box=(0, top, width, bottom))
        result.paste(strip.convert('RGB').reduce(factor), (0, top // factor))
    return result


def _grey_of(picture: Image.Image, header: Header, name: str, value_range: tuple[float, float] | None) -> Image.Image:
    """Turn a picture of wide numbers into one of bytes, piece by piece, and free it."""
    width, height = picture.size
    rows = max(1, _STRIP_PIXELS // width)

    def strips() -> Iterator[tuple[int, np.ndarray]]:
        for top in range(0, height, rows):
            values = np.asarray(picture.crop((0, top, width, min(top + rows, height))))
            if picture.mode == 'I' and header.bits <= 16 and header.numbers == 'unsigned':
                values = values.astype(np.uint16)
            yield top, values

    # The range is that of the whole picture, and so is the question whether it can be known.
    ends = extremes(values for _, values in strips())
    grey, convert = np.empty((height, width), np.uint8), None
    for top, values in strips():
        convert = convert or bytes_function(values.dtype, *ends, name, value_range, header.bits, header.scaled)
        grey[top : top + len(values)] = convert(values)
    picture.close()
    if header.inverted:
        np.subtract(255, grey, out=grey)
    return Image.fromarray(grey)


def _reduced(picture: Image.Image, factor: int) -> Image.Image:
    return picture.reduce(factor) if factor > 1 else picture


def _beyond_pillow(header: Header, value_range: tuple[float, float] | None) -> bool:
    """Return True if a TIFF file has numbers that Pillow would clip or not read: wide ones in several channels."""
    return header.channels > 1 and (header.bits > 16 or (value_range or header.stated_range) is not None) and (
        header.bits > 8
    )  # fmt: skip


def _decode_deep(
    stream: BinaryIO, header: Header, name: str, reduction: int, value_range: tuple[float, float] | None
) -> Image.Image:
    """Decode wide numbers with OpenCV, which keeps all their bits."""
    stream.seek(0)
    source = stream if header.parts is None else open_parts(stream, header.parts)
    try:
        cv2 = importlib.import_module('cv2')
    except ImportError:
        raise OtherFormat(f'it has {header.bits} bits in several channels, which needs {_OPENCV}') from None
    decoded = cv2.imdecode(np.frombuffer(source.read(), np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    if decoded is None:
        raise DamagedPicture('OpenCV cannot decode it')
    grey = to_bytes(decoded, name, value_range or header.stated_range, header.bits)
    if grey.ndim == 3:
        grey = grey[:, :, 2::-1] if grey.shape[2] >= 3 else grey[:, :, 0]
    if header.inverted:
        grey = 255 - grey
    return turned(_reduced(Image.fromarray(np.ascontiguousarray(grey)).convert('RGB'), reduction), header.orientation)


def _has_opencv() -> bool:
    return importlib.util.find_spec('cv2') is not None


def _decode_large_webp(stream: BinaryIO, reduction: int, held: int) -> Image.Image:
    """Decode to three bytes a pixel; Pillow's way through libwebp's animations takes sixteen."""
    stream.seek(0)
    data = np.frombuffer(bytearray(stream.read(held)), np.uint8)
    try:
        torch, io_ = importlib.import_module('torch'), importlib.import_module('torchvision.io')
        rgb = io_.decode_webp(torch.from_numpy(data), io_.ImageReadMode.RGB).permute(1, 2, 0).numpy()
    except (ImportError, AttributeError, RuntimeError):
        cv2 = importlib.import_module('cv2')
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
        if decoded is None:
            raise DamagedPicture('it cannot be decoded') from None
        rgb = decoded[:, :, ::-1]
    if reduction == 1:
        return Image.fromarray(np.ascontiguousarray(rgb))
    bands = [_reduced(Image.fromarray(np.ascontiguousarray(rgb[:, :, band])), reduction) for band in range(3)]
    return Image.merge('RGB', bands)


def _decode_heif(stream: BinaryIO) -> Image.Image:
    try:
        pi_heif = importlib.import_module('pi_heif')
    except ImportError:
        raise OtherFormat(_NO_HEIF) from None
    stream.seek(0)
    data = stream.read()
    # libheif turns the picture by itself, as the format demands; EXIF has no say.
    try:
        return pi_heif.open_heif(io.BytesIO(data)).to_pillow().convert('RGB')
    except Exception:
        # As above: damaged EXIF does not make the pixels damaged. Where they are, this says so.
        return pi_heif.open_heif(io.BytesIO(without_exif(data))).to_pillow().convert('RGB')
