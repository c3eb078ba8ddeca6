"""Picture files of all kinds, made here."""

import io
import struct
import zlib

import numpy as np
from PIL import Image


def smooth(width: int = 120, height: int = 90, seed: int = 0) -> np.ndarray:
    """A soft colourful picture, uint8 RGB, that compresses as photographs do."""
    small = np.random.default_rng(seed).integers(20, 236, (6, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def file_of(picture, kind: str, **options) -> bytes:
    """The bytes of a file that Pillow writes of an array or picture."""
    stream = io.BytesIO()
    picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    picture.save(stream, kind, **options)
    return stream.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))


def with_chunks(png: bytes, *chunks: bytes) -> bytes:
    """A PNG file with chunks behind its header."""
    return png[:33] + b''.join(chunks) + png[33:]


def with_segment(jpeg: bytes, marker: int, body: bytes) -> bytes:
    """A JPEG file with an application segment at its beginning."""
    return jpeg[:2] + struct.pack('>BBH', 0xFF, marker, len(body) + 2) + body + jpeg[2:]


def tiff(values: np.ndarray, tags: dict[int, tuple[str, tuple]] = {}) -> bytes:  # noqa: B006  read only
    """An uncompressed TIFF file of uint8, uint16, int32 or float32 values (H, W) or (H, W, C), with further tags."""
    values = np.atleast_3d(values)
    height, width, channels = values.shape
    sample_format = {'u': 1, 'i': 2, 'f': 3}[values.dtype.kind]
    bits = values.dtype.itemsize * 8
    entries = {
        256: ('I', (width,)),
        257: ('I', (height,)),
        258: ('H', (bits,) * channels),
        259: ('H', (1,)),
        262: ('H', (2 if channels == 3 else 1,)),
        273: ('I', (8,)),
        277: ('H', (channels,)),
        278: ('I', (height,)),
        279: ('I', (values.nbytes,)),
        339: ('H', (sample_format,) * channels),
        **tags,
    }
    data = bytearray(b'II*\0' + struct.pack('<I', 0) + values.astype(values.dtype.newbyteorder('<')).tobytes())
    table = b''
    for tag, (kind, numbers) in sorted(entries.items()):
        body = struct.pack(f'<{len(numbers)}{kind}', *numbers)
        if len(body) > 4:
            data += bytes(len(data) % 2)
            place = struct.pack('<I', len(data))
            data += body
            body = place
        table += struct.pack('<HHI', tag, {'H': 3, 'I': 4, 'f': 11, 'd': 12}[kind], len(numbers)) + body.ljust(4, b'\0')
    data += bytes(len(data) % 2)
    data[4:8] = struct.pack('<I', len(data))
    return bytes(data) + struct.pack('<H', len(entries)) + table + bytes(4)
