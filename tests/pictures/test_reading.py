"""Decoding: each format, fast decoders with Pillow's pixels, and damage that never passes for a picture."""

import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from helpers_pictures import chunk, file_of, smooth, tiff, with_chunks
from helpers_refusals import refused
from PIL import Image, PngImagePlugin

from miqa.pictures import UnreadableImage, plain_png, read_image
from miqa.pictures import reading as images
from miqa.pictures.reading import picture_size

try:
    import kornia_rs.io  # noqa: F401

    HAS_KORNIA = True
except ImportError:
    HAS_KORNIA = False

DECODERS = [
    'pillow',
    pytest.param('opencv', marks=pytest.mark.skipif(plain_png.OPENCV_RGB is None, reason='needs OpenCV 4.11')),
    pytest.param('kornia', marks=pytest.mark.skipif(not HAS_KORNIA, reason='kornia-rs is not installed')),
]


@pytest.fixture(params=DECODERS)
def decoder(request, monkeypatch):
    """Each way of decoding in turn; yields how often the fast one gave the pixels."""
    if request.param != 'kornia':
        monkeypatch.setattr(plain_png, 'kornia_decoder', lambda: None)
    if request.param == 'pillow':
        monkeypatch.setattr(plain_png, 'OPENCV_RGB', None)
    used, real = [], plain_png.decode_plain_png

    def spy(data):
        pixels = real(data)
        used.append(pixels is not None)
        return pixels

    monkeypatch.setattr(images, 'decode_plain_png', spy)
    spy.used, spy.name = used, request.param
    return spy


def noise(width=61, height=47, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def png(pixels=None, **options) -> bytes:
    return file_of(noise() if pixels is None else pixels, 'PNG', **options)


def png_of(width: int, height: int, packed: bytes, interlaced: int = 0) -> bytes:
    """A PNG file of 8 bits and three channels whose pixels are these bytes."""
    header = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, interlaced)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', packed) + chunk(b'IEND', b'')


def pillow(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture.convert('RGB'))


@pytest.mark.parametrize('size', [(1, 1), (7, 3), (500, 375), (33, 1000)], ids=str)
@pytest.mark.parametrize('level', [0, 1, 9])
def test_plain_png_files_have_pillows_pixels(decoder, size, level):
    data = png(noise(*size), compress_level=level)
    pixels = read_image(data)
    assert pixels.dtype == np.uint8 and pixels.shape == (size[1], size[0], 3) and pixels.flags.writeable
    assert np.array_equal(pixels, pillow(data))
    assert decoder.used == [decoder.name != 'pillow']


def test_smooth_pictures_with_all_row_filters_have_pillows_pixels(decoder):
    ramp = np.add.outer(np.arange(300), np.arange(400))[:, :, None] // 3 + np.array([0, 40, 90])
    pixels = ((ramp + noise(400, 300) % 5) % 256).astype(np.uint8)
    assert np.array_equal(read_image(png(pixels, optimize=True)), pixels)


@pytest.mark.parametrize('chunks', [
    [chunk(b'gAMA', struct.pack('>I', 30000))],
    [chunk(b'sRGB', b'\0')],
    [chunk(b'cHRM', struct.pack('>8I', 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000))],
    [chunk(b'pHYs', struct.pack('>IIB', 2835, 2835, 1)), chunk(b'bKGD', struct.pack('>3H', 1, 2, 3))],
    [chunk(b'gAMA', struct.pack('>I', 45455)), chunk(b'sRGB', b'\0'), chunk(b'tIME', bytes(7))],
], ids=['gamma', 'srgb', 'chromaticities', 'resolution and background', 'several'])  # fmt: skip
def test_chunks_about_colour_do_not_change_the_pixels(decoder, chunks):
    pixels = noise()
    assert np.array_equal(read_image(with_chunks(png(pixels), *chunks)), pixels)
    assert decoder.used == [decoder.name != 'pillow']


def test_an_icc_profile_does_not_change_the_pixels(decoder):
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes()
    assert np.array_equal(read_image(png(noise(), icc_profile=profile)), noise())


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


@pytest.mark.parametrize('orientation', range(1, 9))
def test_exif_orientation_is_applied(decoder, orientation):
    from PIL import ImageOps

    data = png(noise(), exif=exif(orientation))
    with Image.open(io.BytesIO(data)) as picture:
        expected = np.asarray(ImageOps.exif_transpose(picture))
    assert np.array_equal(read_image(data), expected)
    if orientation > 1:
        assert not np.array_equal(expected, noise())
    # The chunk may also stand behind the pixels.
    plain = png(noise())
    body = exif(orientation).removeprefix(b'Exif\0\0')
    late = plain[:-12] + chunk(b'eXIf', body) + plain[-12:]
    assert np.array_equal(read_image(late), expected)


def test_exif_inside_a_text_chunk_is_seen(decoder):
    info = PngImagePlugin.PngInfo()
    body = b'Exif\0\0' + exif(6).removeprefix(b'Exif\0\0')
    text = f'\nexif\n{len(body):8d}\n' + body.hex() + '\n'
    info.add_text('Raw profile type exif', text)
    assert read_image(png(noise(), pnginfo=info)).shape == (61, 47, 3)
    assert decoder.used == [False]


def test_transparent_colours_and_animations_are_left_to_pillow(decoder):
    first = noise()
    transparent = with_chunks(png(first), chunk(b'tRNS', struct.pack('>3H', *first[0, 0])))
    assert np.array_equal(read_image(transparent), first)
    frames = [Image.fromarray(noise(seed=seed)) for seed in range(3)]
    assert np.array_equal(read_image(file_of(frames[0], 'PNG', save_all=True, append_images=frames[1:])), first)
    assert decoder.used == [False, False]


@pytest.mark.parametrize('mode', ['L', 'LA', 'RGBA', 'P', '1'])
def test_other_modes_become_rgb_as_in_pillow(decoder, mode):
    data = file_of(Image.fromarray(noise()).convert(mode), 'PNG')
    assert np.array_equal(read_image(data), pillow(data))


def test_16_bit_grey_and_rgb_keep_their_high_byte(decoder):
    import cv2

    deep = np.random.default_rng(0).integers(0, 65536, (20, 30, 3), dtype=np.uint16)
    grey = cv2.imencode('.png', deep[:, :, 0])[1].tobytes()
    assert np.array_equal(read_image(grey), np.repeat((deep[:, :, :1] >> 8).astype(np.uint8), 3, axis=2))
    colour = cv2.imencode('.png', deep[:, :, ::-1])[1].tobytes()
    assert np.array_equal(read_image(colour), (deep >> 8).astype(np.uint8))


def test_interlaced_files_are_read(decoder):
    """Adam7 of a 1x1 picture is its only pixel in the first pass; larger ones are Pillow's anyway."""
    assert read_image(png_of(1, 1, zlib.compress(b'\0\1\2\3'), interlaced=1)).tolist() == [[[1, 2, 3]]]
    assert decoder.used == [False]


@pytest.mark.parametrize('kind', ['JPEG', 'WEBP', 'BMP', 'TIFF', 'GIF'])
def test_other_formats_are_pillows(decoder, kind):
    data = file_of(noise(), kind)
    assert np.array_equal(read_image(data), pillow(data))


# Damage


@pytest.mark.parametrize('share', [0.02, 0.3, 0.6, 0.95, 0.999])
def test_a_cut_file_is_never_read(decoder, share, tmp_path):
    data = png(noise(200, 150))
    path = tmp_path / 'cut.png'
    path.write_bytes(data[: int(len(data) * share)])
    refused(UnreadableImage, str(path), read_image, path)


def test_a_changed_byte_in_the_pixels_is_never_read_by_the_fast_decoders(decoder):
    data = bytearray(png(noise(200, 150)))
    for at in np.random.default_rng(0).integers(60, len(data) - 20, 25):
        damaged = data.copy()
        damaged[at] ^= 0x55
        assert images.decode_plain_png(bytes(damaged)) is None


@pytest.mark.parametrize('stream', ['short', 'cut'])
def test_too_few_pixels_behind_right_checksums_are_not_a_picture(decoder, stream):
    raw = b''.join(b'\0' + bytes(60) for _ in range(10))
    packed = zlib.compress(raw if stream == 'cut' else raw[:300])
    packed = packed[: len(packed) // 2] if stream == 'cut' else packed
    refused(UnreadableImage, '', read_image, png_of(20, 20, packed))


def test_every_problem_names_the_file(decoder, tmp_path):
    refused(FileNotFoundError, 'no image file .*gone.png', read_image, tmp_path / 'gone.png')
    refused(UnreadableImage, 'is a folder', read_image, tmp_path)
    (tmp_path / 'empty.png').touch()
    refused(UnreadableImage, r'empty.png is empty \(0 bytes\)', read_image, tmp_path / 'empty.png')
    refused(UnreadableImage, 'frame 7 is not an image', read_image, b'not a picture', name='frame 7')


def test_real_pictures_have_pillows_pixels(decoder, shared_data):
    for path in sorted(shared_data.glob('miqd_samples/*/*.png')):
        assert np.array_equal(read_image(path), pillow(path.read_bytes())), path.name
    assert set(decoder.used) == {decoder.name != 'pillow'}


RGB = smooth(128, 96)


def test_mpo_and_avif_are_read():
    frames = [Image.fromarray(smooth(128, 96, seed)) for seed in (0, 1)]
    mpo = file_of(frames[0], 'MPO', save_all=True, append_images=frames[1:], quality=95)
    assert np.abs(read_image(mpo).astype(int) - RGB).mean() < 3
    avif = file_of(RGB, 'AVIF', quality=95)
    assert np.abs(read_image(avif).astype(int) - RGB).mean() < 3
    assert picture_size(avif) == picture_size(mpo) == (128, 96)


def test_heic_is_read_with_pi_heif_and_asks_for_it_without(monkeypatch):
    pytest.importorskip('pi_heif')
    # One key frame of libx265 at qp 10. PyAV's own encoder reads memory that it has not set, and fails now and then.
    data = (Path(__file__).parents[1] / 'helpers' / 'smooth.heic').read_bytes()
    registered = set(Image.OPEN)  # other libraries in this process may have added theirs
    assert np.abs(read_image(data).astype(int) - RGB).mean() < 4
    assert picture_size(data) == (128, 96)
    monkeypatch.setitem(sys.modules, 'pi_heif', None)
    refused(UnreadableImage, r"pip install 'miqa\[heif\]'", read_image, data, 'photo.heic')
    assert set(Image.OPEN) == registered, 'nothing is registered with Pillow'


@pytest.mark.parametrize(('data', 'message'), [
    (b'\xff\x0a' + bytes(50), 'djxl'),
    (b'\0\0\0\x0cJXL \r\n\x87\n' + bytes(50), 'djxl'),
    (b'8BPS' + bytes(50), 'Photoshop'),
    (b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n', 'PostScript program, which is not run'),
    (b'\xc5\xd0\xd3\xc6' + bytes(50), 'PostScript'),
    (b'%PDF-1.7\n', 'pdftoppm'),
    (b'II*\0\x10\0\0\0CR\x02\0' + bytes(50), 'raw file'),
    (b'\xd7\xcd\xc6\x9a' + bytes(50), 'not an image'),
    (b'SIMPLE  =                    T' + bytes(50), 'not an image'),
])  # fmt: skip
def test_what_is_not_read_is_named_with_its_remedy(data, message, tmp_path):
    path = tmp_path / 'photo.jpg'
    path.write_bytes(data)
    caught = refused(UnreadableImage, message, read_image, path)
    assert str(path) in str(caught)


def test_raw_files_are_not_read_as_their_thumbnails():
    for tags in ({50706: ('I', (0x01040000,))}, {254: ('I', (1,)), 330: ('I', (8,))}):
        refused(UnreadableImage, 'thumbnail', read_image, tiff(RGB, tags))


def test_ghostscript_is_never_started(monkeypatch, tmp_path):
    """A PostScript file under a picture's name, with Pillow's plugins all loaded."""
    from PIL import EpsImagePlugin

    Image.init()
    monkeypatch.setattr(EpsImagePlugin, 'Ghostscript', lambda *args, **options: pytest.fail('Ghostscript is called'))
    path = tmp_path / 'photo.jpg'
    path.write_bytes(b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n')
    refused(UnreadableImage, '', read_image, path)


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'GIF', 'BMP', 'DIB', 'WEBP', 'TIFF', 'JPEG2000', 'PPM', 'ICO', 'AVIF'])
def test_the_size_of_every_format_is_read_from_its_header(kind):
    for size in ((128, 96), (31, 77)):
        data = file_of(smooth(*size), kind, **({'sizes': [size]} if kind == 'ICO' else {}))
        assert picture_size(data) == size
        assert read_image(data).shape == (size[1], size[0], 3)


def test_big_tiff_and_both_byte_orders_are_read():
    for options in ({'big_tiff': True}, {'compression': 'tiff_lzw'}, {'compression': 'tiff_deflate', 'big_tiff': True}):
        assert np.array_equal(read_image(file_of(RGB, 'TIFF', **options)), RGB)
    assert struct.unpack_from('<H', file_of(RGB, 'TIFF', big_tiff=True), 2) == (43,)
