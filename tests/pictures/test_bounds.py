"""What a picture file may cost before its pixels are decoded: bytes read, steps taken, memory held."""

import contextlib
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from helpers_pictures import chunk, file_of, with_chunks
from helpers_refusals import refused
from PIL import Image

from miqa.pictures import reading
from miqa.pictures.coded_sizes import coded_sizes
from miqa.pictures.header import DamagedPicture
from miqa.pictures.other_formats import read_header
from miqa.pictures.reading import UnreadableImage, read_image

RGB = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)


def encoded(kind: str, picture: np.ndarray = RGB, **options) -> bytes:
    return file_of(picture, kind, **options)


JPEG, PNG, GIF, WEBP = (encoded(kind) for kind in ('JPEG', 'PNG', 'GIF', 'WEBP'))
PALETTE_END = 13 + (3 << (GIF[10] & 7) + 1)


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack('>I', 8 + len(body)) + kind + body


class Counts:
    """Counts how often it is asked, and for how much."""

    asked = taken = 0

    def read(self, count=-1):
        self.asked += 1
        data = super().read(count)
        self.taken += len(data)
        return data


class Counting(Counts, io.BytesIO):
    """Bytes that count what is read of them."""


class CountingFile(Counts, io.FileIO):
    """A file that counts what is read of it."""


def cost_of_header(data: bytes) -> tuple[int, int]:
    stream = Counting(data)
    with contextlib.suppress(DamagedPicture):
        read_header(stream)
    return stream.asked, stream.taken


LONG_TEXT = zlib.compress(b'x' * (4 << 20))
HOSTILE = {
    'fill bytes': JPEG[:2] + b'\xff' * 3_000_000 + JPEG[2:],
    'other filling': JPEG[:20] + b'\0' * 3_000_000 + JPEG[20:],
    'empty segments': JPEG[:2] + b'\xff\xe2\0\2' * 300_000 + JPEG[2:],
    'EXIF without an orientation': JPEG[:2]
    + (b'\xff\xe1\xff\xf0Exif\0\0II*\0\x08\0\0\0\xff\xff' + bytes(0xFFF0 - 18)) * 300
    + JPEG[2:],
    'packed texts': with_chunks(PNG, chunk(b'zTXt', b'XML:com.adobe.xmp\0\0' + LONG_TEXT) * 500),
    'packed profiles': PNG[:33] + chunk(b'zTXt', b'Raw profile type exif\0\0' + LONG_TEXT) * 500 + PNG[33:],
    'texts of many lines': PNG[:33] + chunk(b'tEXt', b'Raw profile type exif\0' + b'\n' * (4 << 20)) + PNG[33:],
    'empty chunks': PNG[:33] + chunk(b'tIME', b'') * 300_000 + PNG[33:],
    'comments of a GIF': GIF[:PALETTE_END] + b'\x21\xfe' + b'\1x' * 500_000 + b'\0' + GIF[PALETTE_END:],
    'chunks of a WebP': WEBP[:12] + b'EXIF\0\0\0\0' * 300_000 + WEBP[12:],
    'nested boxes': box(b'ftyp', b'heic\0\0\0\0mif1')
    + box(b'meta', b'\0' * 4 + box(b'iprp', box(b'ipco', b'') * 100) * 100) * 100,
    'boxes': box(b'ftyp', b'heic\0\0\0\0mif1') + box(b'free', b'') * 1_000_000,
    'boxes of a JPEG 2000': box(b'jP  ', b'\r\n\x87\n') + box(b'free', b'') * 500_000,
    'segments of a JPEG 2000': b'\xff\x4f\xff\x51\0\x29' + bytes(39) + b'\xff\x64\0\2' * 500_000,
    'a long comment': b'P5 ' + b'#' * 3_000_000 + b'\n4 4 255\n' + bytes(16),
    'a comment before the last number': b'P5 4 4 #' + b'x' * 3_000_000 + b'\n255\n' + bytes(16),
}


@pytest.mark.parametrize('name', HOSTILE)
def test_the_header_of_a_hostile_file_takes_few_steps(name):
    asked, taken = cost_of_header(HOSTILE[name])
    assert asked < 350_000 and taken <= len(HOSTILE[name]) + (5 << 20)


@pytest.mark.parametrize(
    'name', ['fill bytes', 'other filling', 'packed texts', 'packed profiles', 'texts of many lines']
)
def test_what_only_takes_time_is_left_out_and_the_picture_is_read(name):
    plain = JPEG if name.endswith(('bytes', 'filling')) else PNG
    assert np.array_equal(read_image(HOSTILE[name]), read_image(plain))


def test_comments_of_a_gif_are_left_out():
    small = GIF[:PALETTE_END] + b'\x21\xfe' + b'\1x' * 5000 + b'\0' + GIF[PALETTE_END:]
    assert np.array_equal(read_image(small), read_image(GIF))


def test_unpacked_texts_of_one_file_share_one_bound(monkeypatch):
    data, unpacked = HOSTILE['packed texts'], []
    real = zlib.decompressobj

    class Counted:
        def decompress(self, *arguments):
            unpacked.append(len(text := real().decompress(*arguments)))
            return text

    monkeypatch.setattr('miqa.pictures.jpeg_png.zlib.decompressobj', Counted)
    read_header(io.BytesIO(data))
    assert sum(unpacked) <= 4 << 20


@pytest.mark.parametrize(('kind', 'options'), [
    ('PNG', {}), ('JPEG', {}), ('JPEG', {'progressive': True}), ('WEBP', {'lossless': True}), ('GIF', {}),
    ('BMP', {}), ('TIFF', {}), ('TIFF', {'compression': 'tiff_lzw'}), ('PPM', {}), ('JPEG2000', {}),
], ids=str)  # fmt: skip
def test_a_hole_behind_a_picture_is_not_read(tmp_path, kind, options, monkeypatch):
    path, data = tmp_path / 'x', encoded(kind, **options)
    path.write_bytes(data)
    expected = read_image(path)
    with path.open('r+b') as stream:
        stream.truncate(500 << 20)
    with path.open('rb') as stream:
        assert read_header(stream).held < 1 << 20
    stream = CountingFile(path)
    monkeypatch.setattr(reading, 'open_regular', lambda *_, **__: stream)
    assert np.array_equal(read_image(path), expected)
    assert stream.taken < 8 << 20


def test_a_file_that_must_be_held_at_once_is_refused_above_a_bound(tmp_path):
    path = tmp_path / 'x.tif'
    Image.fromarray(RGB).save(path, compression='tiff_lzw')
    data = bytearray(path.read_bytes())
    at = data.index(struct.pack('<HHI', 279, 4, 1)) + 8
    data[at : at + 4] = struct.pack('<I', 800 << 20)
    path.write_bytes(data)
    with path.open('r+b') as stream:
        stream.truncate(850 << 20)
    refused(UnreadableImage, '800 MB of it are read at once|too large to decode', read_image, path)


def stating(kind: str, width: int, height: int) -> bytes:
    """An AVIF or HEIC file whose boxes state another size than its coded pixels have."""
    if kind == 'HEIC':
        data = (Path(__file__).parents[1] / 'helpers' / 'smooth.heic').read_bytes()
    else:
        picture = np.full((3000, 4000, 3), 99, np.uint8) if kind == 'huge AVIF' else np.tile(RGB, (4, 4, 1))
        frames = {'save_all': True, 'append_images': [Image.fromarray(picture)]} if kind == 'animated AVIF' else {}
        data = encoded('AVIF', picture, **({'speed': 10} if kind == 'huge AVIF' else frames))
    at = data.index(b'ispe') + 8
    return data[:at] + struct.pack('>II', width, height) + data[at + 8 :]


@pytest.mark.parametrize('kind', ['AVIF', 'huge AVIF', 'animated AVIF', 'HEIC'])
def test_coded_pixels_do_not_exceed_what_the_file_states(kind, monkeypatch):
    def decode(*_, **__):
        raise AssertionError('pixels were decoded')

    monkeypatch.setattr(reading, 'decode', decode)
    with pytest.raises(UnreadableImage, match=r'it states 16 x 16 pixels and holds (4000 x 3000|128 x 96)'):
        read_image(stating(kind, 16, 16))


def test_tiles_of_a_grid_are_measured_one_by_one_and_where_they_lie():
    # A grid of two tiles with pixels of 128 x 96 each, whose table of places has the item of the grid in `idat`.
    tile = encoded('AVIF', np.tile(RGB, (4, 4, 1)))
    place = tile.index(b'mdat') + 4
    pixels = tile[place:]

    def file(canvas: tuple[int, int], stated: tuple[int, int]) -> bytes:
        def table(first: int) -> bytes:
            places = [(1, 1, 0, 8), (2, 0, first, len(pixels)), (3, 0, first, len(pixels))]
            items = (struct.pack('>HHHHII', number, way, 0, 1, start, size) for number, way, start, size in places)
            return box(b'iloc', b'\1\0\0\0\x44\0' + struct.pack('>H', 3) + b''.join(items))

        kinds = [(1, b'grid'), (2, b'av01'), (3, b'av01')]
        names = [box(b'infe', b'\2\0\0\0' + struct.pack('>HH', number, 0) + kind + b'\0') for number, kind in kinds]
        size = box(b'iprp', box(b'ipco', box(b'ispe', bytes(4) + struct.pack('>II', *stated))))
        grid = box(b'idat', b'\0\0\0\1' + struct.pack('>HH', *canvas))
        rest = box(b'iinf', bytes(4) + struct.pack('>H', 3) + b''.join(names)) + size + grid
        head = box(b'ftyp', b'avif\0\0\0\0mif1')
        first = len(head) + len(box(b'meta', bytes(4) + table(0) + rest)) + 8
        return head + box(b'meta', bytes(4) + table(first) + rest) + box(b'mdat', pixels)

    assert list(coded_sizes(io.BytesIO(file((256, 96), (256, 96))))) == [(256, 96), (128, 96), (128, 96)]
    for canvas, stated, message in (
        ((256, 96), (16, 16), 'states 16 x 16 pixels and holds 256 x 96'),
        ((9000, 9000), (256, 96), 'states 256 x 96 pixels and holds 9000 x 9000'),
        ((16, 16), (16, 16), 'states 16 x 16 pixels and holds 128 x 96'),
    ):
        refused(UnreadableImage, message, read_image, file(canvas, stated))


def code_stream(side: int, tile: int, *, levels: int = 5, block: int = 6, precinct: int = 15, layers: int = 1) -> bytes:
    """A JPEG 2000 picture of one channel that states how it is coded and holds no pixels; sizes are powers of two."""
    size = struct.pack('>HIIIIIIIIHBBB', 0, side, side, 0, 0, tile, tile, 0, 0, 1, 7, 1, 1)
    coding = bytes([1, 0]) + struct.pack('>H', layers) + bytes([0, levels, block - 2, block - 2, 0, 1])
    coding += bytes([precinct | precinct << 4]) * (levels + 1)
    levels_of_quantisation = bytes([0x40]) + bytes([64]) * (3 * levels + 1)
    segments = ((0x51, size), (0x52, coding), (0x5C, levels_of_quantisation))
    body = b''.join(bytes([0xFF, kind]) + struct.pack('>H', len(data) + 2) + data for kind, data in segments)
    return b'\xff\x4f' + body + b'\xff\x90\0\x0a\0\0\0\0\0\x0e\0\1\xff\x93' + b'\xff\xd9'


@pytest.mark.parametrize('options', [
    {'block': 2}, {'precinct': 1}, {'layers': 65535, 'precinct': 7}, {'tile': 16},
], ids=['small code blocks', 'small precincts', 'many layers', 'small tiles'])  # fmt: skip
def test_what_a_jpeg_2000_decoder_makes_of_few_bytes_is_counted_before(options):
    data = code_stream(**{'side': 8192, 'tile': 8192, **options})
    refused(UnreadableImage, 'packets and code blocks, more than are read', read_image, data)
    hidden = data[:-16] + b'\xff\x30' + data[-16:]  # OpenJPEG steps over what it does not know, two bytes at a time
    refused(UnreadableImage, 'packets and code blocks, more than are read', read_image, hidden)
    ordinary = read_header(io.BytesIO(code_stream(8192, 8192)))
    assert ordinary.held < 10 << 20 and ordinary.levels == 5


def test_a_large_jpeg_2000_picture_is_not_halved_more_often_than_it_can_be():
    with pytest.raises(UnreadableImage, match='too large to decode'):
        reading.read_resized(code_stream(8192, 8192, levels=0), lambda width, height: (224, 224))
    assert read_header(io.BytesIO(encoded('JPEG2000', num_resolutions=2))).levels == 1


def test_tiles_are_not_much_larger_than_their_picture():
    entries = [(256, 10), (257, 10), (258, 8), (259, 5), (262, 1), (277, 1)]
    entries += [(322, 20_000), (323, 20_000), (324, 8), (325, 8)]
    directory = struct.pack('<H', len(entries)) + b''.join(struct.pack('<HHII', tag, 4, 1, n) for tag, n in entries)
    data = b'II*\0' + struct.pack('<I', 16) + bytes(8) + directory + bytes(4)
    refused(UnreadableImage, 'tiles of 20000 x 20000 pixels are larger than its 10 x 10', read_image, data)


def test_transparency_beside_lossy_colours_counts_as_memory():
    assert not read_header(io.BytesIO(WEBP)).lossless
    assert read_header(io.BytesIO(encoded('WEBP', np.dstack([RGB, RGB[:, :, 0]])))).lossless
