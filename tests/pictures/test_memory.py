"""One picture, however large, takes a bounded amount of memory, and its size is known before its pixels."""

import io
import struct
import subprocess
import sys
import textwrap
import tracemalloc
import zlib

import numpy as np
import pytest
from helpers_pictures import chunk, file_of, smooth, tiff, with_chunks
from helpers_refusals import refused
from PIL import Image

from miqa.pictures import UnreadableImage, decoding, read_image
from miqa.pictures import reading as images
from miqa.pictures.memory import MemoryGate, container_memory
from miqa.pictures.other_formats import read_header
from miqa.pictures.parts import open_parts
from miqa.pictures.reading import picture_size, read_preview, read_resized
from miqa.pictures.resizing import resize_rgb, resized_size


def to_288(width, height):
    return resized_size(width, height, 288)


def headers_of_a_bomb():
    """Files of some hundred bytes that state 3.6 gigapixels, by format."""
    side = 60_000
    header = chunk(b'IHDR', struct.pack('>IIBBBBB', side, side, 8, 2, 0, 0, 0))
    png = b'\x89PNG\r\n\x1a\n' + header + chunk(b'IDAT', zlib.compress(b'\0')) + chunk(b'IEND', b'')
    yield 'png', png
    yield 'png with a profile', with_chunks(png, chunk(b'iCCP', b'p\0\0' + zlib.compress(bytes(2 << 20))))
    jpeg = bytearray(file_of(smooth(), 'JPEG'))
    at = jpeg.index(b'\xff\xc0') + 5
    jpeg[at : at + 4] = struct.pack('>HH', side, side)
    yield 'jpeg', bytes(jpeg)
    gif = bytearray(file_of(smooth(), 'GIF'))
    at = gif.index(b'\x2c\0\0\0\0')
    gif[at + 5 : at + 9] = struct.pack('<HH', side, side)
    yield 'gif whose frame is larger than its screen', bytes(gif)
    bmp = bytearray(file_of(smooth(), 'BMP'))
    bmp[18:26] = struct.pack('<ii', side, -side)
    yield 'bmp', bytes(bmp)
    icon = file_of(smooth(64, 64), 'ICO', sizes=[(64, 64)])
    at = icon.index(b'IHDR') + 4
    yield 'png inside an icon', icon[:at] + struct.pack('>II', side, side) + icon[at + 8 :]
    yield 'ppm', b'P6 # a comment\n60000 60000\n255\n' + bytes(100)
    avif = bytearray(file_of(smooth(), 'AVIF'))
    at = avif.index(b'ispe') + 8
    avif[at : at + 8] = struct.pack('>II', side, side)
    yield 'avif', bytes(avif)


@pytest.mark.parametrize('data', [pytest.param(data, id=name) for name, data in headers_of_a_bomb()])
def test_the_size_is_read_before_the_pixels_and_limits_them(data):
    for reader in (read_image, picture_size, lambda data: read_resized(data, to_288)):
        refused(UnreadableImage, 'too large to decode: 60000 x 60000', reader, data)


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'WEBP', 'TIFF', 'GIF', 'JPEG2000'])
def test_a_huge_picture_is_decoded_smaller_and_nearly_the_same(kind, monkeypatch):
    monkeypatch.setattr(images, 'EXACT_PIXELS', 500_000)
    data = file_of(smooth(1600, 1200), kind)
    small, size = read_resized(data, to_288)
    exact = resize_rgb(read_image(data), to_288(1600, 1200))
    assert size == (1600, 1200) and small.shape == exact.shape == (288, 384, 3)
    difference = np.abs(small.astype(int) - exact)
    assert difference.mean() < 1 and not np.array_equal(small, exact)


@pytest.mark.parametrize('mode', ['L', 'P', 'RGBA', 'CMYK', '1', 'I;16', 'LA', 'F'])
def test_huge_pictures_of_every_mode_are_made_smaller(mode, monkeypatch):
    monkeypatch.setattr(images, 'EXACT_PIXELS', 500_000)
    picture = Image.fromarray(smooth(1600, 1200))
    if mode == 'I;16':
        picture = Image.fromarray(np.asarray(picture.convert('L')).astype(np.uint16) * 257)
    elif mode == 'F':
        picture = Image.fromarray(np.asarray(picture.convert('L')).astype(np.float32) / 255)
    else:
        picture = picture.convert(mode)
    data = file_of(picture, 'TIFF' if mode in ('CMYK', 'F') else 'PNG')
    exact = resize_rgb(read_image(data), to_288(1600, 1200))
    # Dots of black and white differ by where they fall.
    assert np.abs(read_resized(data, to_288)[0].astype(int) - exact).mean() < (6 if mode == '1' else 2)


@pytest.mark.parametrize('orientation', range(1, 9))
def test_huge_pictures_are_turned_like_others(orientation, monkeypatch):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = file_of(smooth(1600, 1200), 'JPEG', exif=exif.tobytes(), quality=95)
    exact, size = read_resized(data, to_288)
    monkeypatch.setattr(images, 'EXACT_PIXELS', 500_000)
    small, same = read_resized(data, to_288)
    assert size == same == ((1200, 1600) if orientation > 4 else (1600, 1200))
    assert np.abs(small.astype(int) - exact).mean() < 1


@pytest.mark.parametrize('orientation', range(1, 9))
def test_sizes_that_do_not_divide_shift_nothing(orientation, monkeypatch):
    """Rows at the end that are only half there would move everything a little, by up to a pixel at the edge."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    ramp = np.add.outer(np.arange(1201) * 60, np.arange(1601) * 40)[:, :, None] // 256 % 256
    ramp = np.abs((ramp % 256) - 128) + np.array([0, 40, 90])
    data = file_of(ramp.astype(np.uint8), 'JPEG', exif=exif.tobytes(), quality=98)
    exact, _ = read_resized(data, to_288)
    monkeypatch.setattr(images, 'FAST_MARGIN', 0.5)
    small, _ = read_resized(data, to_288, fast=True)
    assert np.abs(small.astype(int) - exact).mean() < 1.5


def test_pictures_below_the_limit_are_the_exact_ones():
    for kind in ('JPEG', 'PNG', 'WEBP'):
        data = file_of(smooth(1000, 700), kind)
        expected = np.asarray(Image.fromarray(read_image(data)).resize((411, 288), Image.Resampling.BILINEAR))
        assert np.array_equal(read_resized(data, to_288)[0], expected)


def test_an_elongated_huge_picture_is_never_enlarged_from_less_than_it_has(monkeypatch):
    monkeypatch.setattr(images, 'EXACT_PIXELS', 100_000)
    data = file_of(smooth(6000, 300), 'JPEG')
    small, _ = read_resized(data, to_288)
    assert np.abs(small.astype(int) - resize_rgb(read_image(data), to_288(6000, 300))).max() == 0


def test_a_preview_keeps_small_pictures_and_bounds_large_ones():
    assert read_preview(file_of(smooth(200, 100), 'PNG'), 20_000).shape == (100, 200, 3)
    shown = read_preview(file_of(smooth(2000, 1000), 'JPEG'), 20_000)
    assert shown.shape == (100, 200, 3)


def test_decoders_together_stay_within_the_budget_and_none_waits_for_ever():
    import threading

    gate, held, most = MemoryGate(100), [0], [0]
    lock = threading.Lock()

    def decode(count):
        with gate.holding(count):
            with lock:
                held[0] += count
                most[0] = max(most[0], held[0])
            with lock:
                held[0] -= count

    threads = [threading.Thread(target=decode, args=(count,)) for count in (30, 60, 90, 500, 10) * 8]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert most[0] in range(90, 101) or most[0] == 500


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'GIF', 'TIFF', 'WEBP'])
def test_a_picture_that_was_read_is_freed_at_once(kind, monkeypatch):
    """And not when Python next looks for objects that hold each other."""
    import gc
    import weakref

    opened = []
    real = decoding._opened
    monkeypatch.setattr(decoding, '_opened', lambda *args: opened.append(real(*args)) or opened[-1])
    gc.disable()
    try:
        read_image(file_of(Image.fromarray(smooth()).convert('L'), kind))
        left = weakref.ref(opened.pop())
        assert left() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(('kind', 'options', 'most'), [
    ('WEBP', {'save_all': True, 'append_images': [Image.new('RGB', (64, 48))]}, 39_000_000),
    ('WEBP', {'lossless': True}, 89_000_000),
    ('WEBP', {}, images.MOST_PIXELS),
    ('JPEG', {'progressive': True, 'subsampling': 0}, 100_000_000),
    ('JPEG', {'progressive': True, 'subsampling': 2}, images.MOST_PIXELS),
    ('JPEG', {}, images.MOST_PIXELS),
    ('PNG', {}, images.MOST_PIXELS),
])  # fmt: skip
def test_kinds_that_take_much_memory_are_refused_above_a_limit_of_their_own(kind, options, most, monkeypatch):
    data = file_of(smooth(64, 48), kind, **options)
    real = images.read_header

    def stated(width, height):
        def read_header(stream):
            header = real(stream)
            header.width, header.height = width, height
            return header

        monkeypatch.setattr(images, 'read_header', read_header)

    monkeypatch.setattr(images, 'decode', lambda *args: pytest.fail('decoded'))
    monkeypatch.setattr(images, '_plain_png', lambda *args: pytest.fail('decoded'))
    side = int(most**0.5)
    stated(side, side)
    refused((pytest.fail.Exception, UnreadableImage), 'decoded', read_resized, data, to_288)
    stated(int(side * 1.02), int(side * 1.02))
    words = 'too large to decode: .* (MB of memory, more than the limit|the limit of)'
    refused(UnreadableImage, words, read_resized, data, to_288)


@pytest.mark.parametrize('options', [{}, {'lossless': True}, {'quality': 30}])
@pytest.mark.parametrize('mode', ['RGB', 'RGBA', 'L'])
def test_large_webp_files_have_the_pixels_that_pillow_gives(options, mode, monkeypatch):
    picture = Image.fromarray(smooth(300, 200)).convert(mode)
    if mode == 'RGBA':
        picture.putalpha(Image.fromarray(smooth(300, 200)[:, :, 0]))
    data = file_of(picture, 'WEBP', **options)
    expected = read_image(data)
    monkeypatch.setattr(decoding, '_LARGE_WEBP', 1)
    assert np.array_equal(read_image(data), expected)


@pytest.mark.parametrize('mode', ['F', 'I;16', 'I'])
def test_wide_numbers_of_many_strips_are_those_of_one(mode, monkeypatch):
    grey = np.asarray(Image.fromarray(smooth(160, 120)).convert('L'))
    values = {'F': grey.astype(np.float32) / 255, 'I;16': grey.astype(np.uint16) * 257, 'I': grey.astype(np.int32)}
    data = file_of(values[mode], 'TIFF')
    expected = read_image(data, value_range=255 if mode == 'I' else None)
    monkeypatch.setattr(decoding, '_STRIP_PIXELS', 1000)
    assert np.array_equal(read_image(data, value_range=255 if mode == 'I' else None), expected)


def test_nan_is_found_in_every_strip(monkeypatch):
    monkeypatch.setattr(decoding, '_STRIP_PIXELS', 1000)
    for row in (0, 50, 119):
        values = np.zeros((120, 160), np.float32)
        values[row, 7] = np.nan
        refused(UnreadableImage, 'must lie in', read_image, file_of(Image.fromarray(values), 'TIFF'))


HUGE = {
    'JPEG': ('RGB', 13_300, {}),
    'progressive': ('RGB', 10_000, {'format': 'JPEG', 'progressive': True, 'subsampling': 0}),
    'PNG': ('RGB', 10_000, {'compress_level': 1}),
    'WEBP': ('RGB', 7_900, {'method': 0, 'quality': 30}),
    'TIFF': ('F', 10_000, {}),
    'JPEG2000': ('RGB', 6_400, {}),
}


def repeated_scans(picture: Image.Image, times: int, **options) -> bytes:
    """A JPEG file whose passes over the picture are there so many times more."""
    data = file_of(np.asarray(picture), 'JPEG', **options)
    return data[:-2] + data[data.index(b'\xff\xda') : -2] * times + b'\xff\xd9'


def test_a_jpeg_of_thousands_of_passes_is_refused_undecoded_and_one_of_some_is_read(monkeypatch):
    picture = Image.new('RGB', (2000, 2000), (90, 120, 30))
    with monkeypatch.context() as patched, pytest.raises(UnreadableImage, match='passes or more over 4000000 pixels'):
        patched.delattr(images, 'decode')
        read_image(repeated_scans(picture, 2000, progressive=True), 'bomb.jpg')
    for times in (0, 3):
        assert read_image(repeated_scans(picture, times, progressive=True)).shape == (2000, 2000, 3)


@pytest.mark.parametrize('between', [b'', b'\xff\xfe\x00\x06\xff\xd9\xff\xda'])
def test_what_follows_a_jpeg_is_none_of_its_passes_and_what_a_comment_holds_neither(between):
    """Phones append a film to a picture, in whose bytes anything may stand."""
    picture = Image.new('RGB', (3000, 2000), (90, 120, 30))
    data = repeated_scans(picture, 0, progressive=True)
    second = data.index(b'\xff\xda', data.index(b'\xff\xda') + 2)
    data = data[:second] + between * 400 + data[second:]
    assert read_image(data + b'\xff\xda\x00\x0c' * 500, 'film.jpg').shape == (2000, 3000, 3)
    # The end of the picture cannot be feigned: passes after a comment count.
    many = data[:-2] + data[data.index(b'\xff\xda') : -2] * 2000 + b'\xff\xd9'
    refused(UnreadableImage, 'passes or more over 6000000 pixels', read_image, many, 'bomb.jpg')


@pytest.mark.parametrize('tags', [(273, 279), (324, 325)])
def test_a_tiff_of_hundreds_of_thousands_of_pieces_is_refused_undecoded(tags, monkeypatch):
    entries = [(256, 4, 1, 9000), (257, 4, 1, 9000), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (277, 3, 1, 1)]
    pieces = 400_000
    entries += [(322, 3, 1, 16), (323, 3, 1, 16)] if tags[0] == 324 else [(278, 4, 1, 1)]
    entries += [(tags[0], 4, pieces, 300), (tags[1], 4, pieces, 300 + 4 * pieces)]
    directory = struct.pack('<H', len(entries)) + b''.join(struct.pack('<HHII', *entry) for entry in sorted(entries))
    data = (b'II*\0' + struct.pack('<I', 8) + directory).ljust(300, b'\0')
    data += struct.pack('<I', 8) * pieces + struct.pack('<I', 256) * pieces
    monkeypatch.delattr(images, 'decode')
    refused(UnreadableImage, '400,000 pieces.*tiffcp', read_image, data, 'bomb.tif')


@pytest.mark.parametrize('rows', [11, 2_000_000, 2**32 - 1])
@pytest.mark.parametrize('dtype', ['u1', 'u2', 'f4'])
def test_a_strip_of_a_tiff_has_the_rows_of_the_picture_at_most(rows, dtype):
    values = (smooth(30, 10) / 255 * (1 if dtype == 'f4' else np.iinfo(dtype).max)).astype(dtype)
    data = tiff(values, {278: ('I', (rows,))})
    # What decoders get, where they would make room for as many rows as are stated.
    assert struct.pack('<HHII', 278, 4, 1, 10) in read_header(io.BytesIO(data)).parts[-1]
    assert np.array_equal(read_image(data), read_image(tiff(values)))


def test_a_file_is_held_once_while_its_parts_are_read():
    size = 20 << 20
    stream = io.BytesIO(bytes(size))
    tracemalloc.start()
    try:
        whole = open_parts(stream, [b'head', (0, size), b'end']).read()
        assert tracemalloc.get_traced_memory()[1] < 1.5 * size
    finally:
        tracemalloc.stop()
    assert len(whole) == size + 7 and whole[:5] == b'head\0' and whole.endswith(b'\0end')


@pytest.mark.slow
@pytest.mark.parametrize('kind', HUGE)
def test_huge_files_stay_below_600_megabytes(kind, tmp_path):
    path = tmp_path / 'huge'
    mode, side, options = HUGE[kind]
    # Large patches: what is held while they are decoded does not depend on what they show, but encoding does.
    picture = Image.fromarray(smooth(4, 3))
    if mode == 'F':
        picture = Image.fromarray(np.asarray(picture.convert('L')).astype(np.float32) / 255)
    picture.resize((side, side), Image.Resampling.NEAREST).save(path, **{'format': kind, **options})
    # PyTorch, where it is there, decodes large WebP files; its own memory is not counted.
    code = f"""
        import sys
        {'import torch, torchvision' if kind == 'WEBP' else ''}
        from miqa.pictures.reading import read_resized, read_preview
        from miqa.pictures.resizing import resized_size
        def highest():
            # Unlike ru_maxrss, this does not begin with the memory of the process that started this one.
            with open('/proc/self/status') as stream:
                return int(stream.read().partition('VmHWM:')[2].split()[0])

        before = highest()
        read_resized(sys.argv[1], lambda width, height: resized_size(width, height, 288))
        read_preview(sys.argv[1], 4_000_000)
        print((highest() - before) // 1024)
    """
    command = [sys.executable, '-c', textwrap.dedent(code), str(path)]
    megabytes = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert 10 < megabytes < 600


@pytest.mark.parametrize(('files', 'membership', 'room'), [
    ({'memory.max': '1000', 'memory.current': '700', 'memory.stat': 'anon 500\ninactive_file 200\n'}, '0::/', 500),
    ({'memory.max': 'max', 'memory.current': '7', 'memory.stat': '', 'a/memory.max': '90', 'a/memory.current': '100',
      'a/memory.stat': 'inactive_file 0'}, '0::/a', 0),
    ({'memory/memory.limit_in_bytes': '1000', 'memory/memory.usage_in_bytes': '400',
      'memory/memory.stat': 'total_inactive_file 100'}, '4:memory:/x', 700),
    ({'memory.max': 'max', 'memory.current': '7', 'memory.stat': ''}, '0::/', None), ({}, '', None),
])  # fmt: skip
def test_what_a_container_leaves_of_its_memory_bounds_pictures(tmp_path, monkeypatch, files, membership, room):
    for name, text in files.items():
        (tmp_path / 'groups' / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / 'groups' / name).write_text(text)
    (tmp_path / 'membership').write_text(membership)
    assert container_memory(tmp_path / 'groups', tmp_path / 'membership') == room
    monkeypatch.setattr(images, 'container_memory', lambda: room)
    data = file_of(smooth(64, 48), 'PNG')
    if room is None:
        assert read_image(data).shape == (48, 64, 3)
    else:
        refused(UnreadableImage, f'the limit of this container leaves {room >> 20} MB', read_image, data)
