"""Every format is read, or the message says what to do; nothing is started, and no format is read by half."""

import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers_pictures import file_of, smooth, tiff
from helpers_refusals import refused
from PIL import Image

from miqa.pictures import UnreadableImage, read_image
from miqa.pictures.reading import picture_size

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
