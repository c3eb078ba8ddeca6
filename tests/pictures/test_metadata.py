"""Metadata may be broken or large while the pixels are whole; what other packages do to Pillow does not matter."""

import io
import os
import struct
import subprocess
import sys
import textwrap
import zlib

import numpy as np
import pytest
from helpers_fuzz import examples
from helpers_pictures import chunk, file_of, smooth, tiff, with_chunks, with_segment
from helpers_refusals import refused
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile, PngImagePlugin

from machine_iqa import UnreadableImage
from miqa.apis.stream import prepared_batches
from miqa.pictures import read_image
from miqa.pictures.reading import picture_to_rgb

RGB = smooth(96, 64)
PNG, JPEG = file_of(RGB, 'PNG'), file_of(RGB, 'JPEG', quality=95)
AS_JPEG = read_image(JPEG)


def exif_block(*entries: tuple[int, int, int, bytes]) -> bytes:
    """EXIF whose tags may say anything: (tag, type, count, four bytes)."""
    table = b''.join(struct.pack('<HHI', *entry[:3]) + entry[3] for entry in entries)
    return b'Exif\0\0II*\0' + struct.pack('<IH', 8, len(entries)) + table + bytes(4)


DAMAGED = [
    exif_block((0x0112, 3, 1, b'\6\0\0\0'), (0x011A, 5, 1, struct.pack('<I', 10**9))),
    exif_block((0x010F, 2, 10**9, struct.pack('<I', 10**9)), (0x0112, 3, 1, b'\6\0\0\0')),
    exif_block((0x0112, 3, 1, b'\6\0\0\0'), (0x8769, 4, 1, b'\xff\xff\xff\xff')),
    exif_block((0x0112, 3, 1, b'\6\0\0\0'), (0x011A, 12, 7, b'\xff\xff\xff\xff')),
]


@pytest.mark.parametrize('exif', DAMAGED, ids=range(len(DAMAGED)))
def test_pixels_are_read_and_turned_beside_damaged_exif(exif):
    turned = np.rot90(RGB, -1)
    assert np.array_equal(read_image(with_chunks(PNG, chunk(b'eXIf', exif[6:]))), turned)
    assert np.array_equal(read_image(with_segment(JPEG, 0xE1, exif)), np.rot90(AS_JPEG, -1))


@pytest.mark.parametrize('exif', [b'Exif\0\0', b'Exif\0\0II*\0', b'Exif\0\0' + bytes(range(256)), b'Exif'])
def test_exif_that_says_nothing_turns_nothing(exif):
    assert np.array_equal(read_image(with_chunks(PNG, chunk(b'eXIf', exif[6:]))), RGB)
    assert np.array_equal(read_image(with_segment(JPEG, 0xE1, exif)), AS_JPEG)


@examples(30)
@given(st.binary(max_size=300))
def test_no_metadata_whatever_keeps_the_pixels_from_being_read(body):
    """In each place where a file may carry it; only the orientation may follow from it."""
    for data, pixels in (
        (with_chunks(PNG, chunk(b'eXIf', body)), RGB),
        (with_chunks(PNG, chunk(b'iCCP', b'x\0\0' + body)), RGB),
        (with_chunks(PNG, chunk(b'iTXt', b'XML:com.adobe.xmp\0' + body)), RGB),
        (with_chunks(PNG, chunk(b'acTL', body)), RGB),
        (with_segment(JPEG, 0xE1, b'Exif\0\0II*\0' + body), AS_JPEG),
        (with_segment(JPEG, 0xE2, b'MPF\0' + body), AS_JPEG),
        (with_segment(JPEG, 0xED, b'Photoshop 3.0\x00' + body), AS_JPEG),
        (with_segment(JPEG, 0xFE, body), AS_JPEG),
    ):
        assert sorted(read_image(data).shape) == sorted(pixels.shape)


def test_large_text_and_colour_profiles_do_not_matter():
    text = zlib.compress(bytes(3 << 20))
    for large in (
        chunk(b'zTXt', b'note\0\0' + text),
        chunk(b'iTXt', b'note\0\1\0\0\0' + text),
        chunk(b'iCCP', b'profile\0\0' + text),
        chunk(b'tEXt', b'note\0' + bytes(3 << 20)),
    ):
        assert np.array_equal(read_image(with_chunks(PNG, large)), RGB)
    many = with_chunks(PNG, *[chunk(b'zTXt', b'note%d\0\0' % n + zlib.compress(bytes(900_000))) for n in range(90)])
    assert np.array_equal(read_image(many), RGB)


def test_a_wrong_checksum_of_a_comment_does_not_matter():
    damaged = bytearray(with_chunks(PNG, chunk(b'tEXt', b'note\0hello')))
    damaged[33 + 8 + 10 + 1] ^= 255
    assert np.array_equal(read_image(bytes(damaged)), RGB)


def test_tiff_tags_that_make_no_sense_do_not_matter():
    numbers = {270: (2**32 - 1,), 34665: (2**31,), 700: (5, 6, 7), 50838: tuple(range(9))}
    for tags in (*({tag: ('I', values)} for tag, values in numbers.items()), {33432: ('d', (float('nan'),))}):
        assert np.array_equal(read_image(tiff(RGB, tags)), RGB)
    assert np.array_equal(read_image(tiff(RGB, {274: ('H', (6,))})), np.rot90(RGB, -1))


def test_avif_with_damaged_exif_is_read():
    plain = file_of(RGB, 'AVIF', quality=90)
    picture = Image.Exif()
    picture[0x010E] = 'x' * 40
    carrying = bytearray(file_of(RGB, 'AVIF', quality=90, exif=picture.tobytes()))
    at = carrying.index(b'II*\0' if b'II*\0' in carrying else b'MM\0*')
    carrying[at + 4 : at + 40] = b'\xff' * 36
    assert np.array_equal(read_image(bytes(carrying)), read_image(plain))


@pytest.mark.parametrize('error', [RuntimeError, AttributeError, struct.error, KeyError, AssertionError, MemoryError])
def test_whatever_a_decoder_raises_is_the_error_of_that_picture(error, monkeypatch, tmp_path):
    from miqa.pictures import reading as images

    real = images.decode

    def decode(stream, header, name, *rest):
        if 'bad' in name:
            raise error('inside a decoder')
        return real(stream, header, name, *rest)

    monkeypatch.setattr(images, 'decode', decode)
    paths = [tmp_path / name for name in ('a.jpg', 'bad.jpg', 'c.jpg')]
    for path in paths:
        path.write_bytes(JPEG)
    (batch,) = prepared_batches(map(str, paths), lambda path, name: read_image(path, name), 8, 1)
    assert [item.error is None for item in batch] == [True, False, True]
    assert isinstance(batch[1].error, UnreadableImage) and 'bad.jpg' in str(batch[1].error)


def test_an_interrupt_is_not_taken_for_damage(monkeypatch):
    from miqa.pictures import reading as images

    def decode(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(images, 'decode', decode)
    refused(KeyboardInterrupt, '', read_image, JPEG)


def test_a_cut_file_is_refused_even_where_another_package_told_pillow_to_accept_it(monkeypatch):
    monkeypatch.setattr(ImageFile, 'LOAD_TRUNCATED_IMAGES', True)
    grey = file_of(smooth(200, 150)[:, :, 0], 'PNG')
    flipped = bytearray(grey)
    flipped[len(grey) // 2] ^= 0x55
    noise = np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8)
    for kind in ('JPEG', 'PNG', 'GIF', 'BMP', 'WEBP', 'TIFF'):
        data = file_of(noise, kind)
        assert read_image(data).shape == (100, 100, 3)
        refused(UnreadableImage, '', read_image, data[: len(data) // 2])
    for damaged in (grey[: len(grey) // 2], bytes(flipped)):
        refused(UnreadableImage, '', read_image, damaged)


@pytest.mark.parametrize('limit', ['None', '1000', '10**12'])
def test_pillows_limit_may_be_anything_and_is_left_alone(limit):
    """Set by another package before ours is imported; in a process of its own."""
    code = f"""
        import io, PIL.Image
        PIL.Image.MAX_IMAGE_PIXELS = {limit}
        import machine_iqa
        from miqa.pictures import read_image
        for kind in ('PNG', 'JPEG', 'TIFF', 'BMP'):
            stream = io.BytesIO()
            PIL.Image.new('L', (200, 100), 7).save(stream, kind)
            assert read_image(stream.getvalue()).shape == (100, 200, 3)
        assert PIL.Image.MAX_IMAGE_PIXELS == {limit}
    """
    subprocess.run([sys.executable, '-c', textwrap.dedent(code)], check=True, env={**os.environ, 'PYTHONPATH': '.'})


def test_what_is_registered_with_pillow_does_not_matter(monkeypatch):
    Image.init()
    monkeypatch.setattr(Image, 'ID', [])
    monkeypatch.setattr(Image, 'OPEN', {})
    monkeypatch.setattr(PngImagePlugin, 'MAX_TEXT_CHUNK', 1)
    assert np.array_equal(read_image(file_of(RGB, 'BMP')), RGB)
    assert np.array_equal(read_image(with_chunks(PNG, chunk(b'zTXt', b'note\0\0' + zlib.compress(b'text')))), RGB)


def test_a_pillow_picture_with_damaged_exif_gives_its_pixels():
    with Image.open(io.BytesIO(with_segment(JPEG, 0xE1, DAMAGED[3]))) as picture:
        assert sorted(picture_to_rgb(picture).shape) == sorted(RGB.shape)
