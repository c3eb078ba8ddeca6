"""What the numbers of a picture mean is said by their type and by the file, never by the brightest pixel."""

import io
import struct

import cv2
import numpy as np
import pytest
from helpers_pictures import file_of, smooth, tiff
from helpers_refusals import refused
from PIL import Image

from miqa.apis.inputs import to_rgb
from miqa.pictures import UnreadableImage, read_image

GREY = smooth()[:, :, 0]
RGB = smooth()
AS_RGB = np.repeat(GREY[:, :, None], 3, axis=2)


def png16(values):
    return cv2.imencode('.png', np.ascontiguousarray(values[..., ::-1]) if values.ndim == 3 else values)[1].tobytes()


def test_a_float_tiff_in_0_to_1_is_the_picture_itself():
    assert np.array_equal(read_image(tiff((GREY / 255).astype(np.float32))), AS_RGB)
    assert np.array_equal(read_image(file_of(Image.fromarray((GREY / 255).astype(np.float32)), 'TIFF')), AS_RGB)


def test_a_float_tiff_of_three_channels_is_read():
    assert np.array_equal(read_image(tiff((RGB / 255).astype(np.float32))), RGB)


def test_floats_beyond_1_and_nan_are_refused_in_files_and_in_arrays():
    for wrong in (GREY.astype(np.float32), np.full((4, 4), np.nan, np.float32), np.full((4, 4), np.inf, np.float32)):
        for picture in (tiff(wrong), wrong, Image.fromarray(wrong)):
            refused(ValueError, r'must lie in \[0, 1\]', to_rgb, picture)
    assert np.array_equal(to_rgb(tiff(GREY.astype(np.float32)), value_range=255), AS_RGB)
    assert np.array_equal(to_rgb(GREY.astype(np.float32), value_range=255), AS_RGB)


def test_the_range_that_a_tiff_file_states_counts():
    twelve = GREY.astype(np.uint16) * 16
    assert np.array_equal(read_image(tiff(twelve, {340: ('H', (0,)), 341: ('H', (4095,))})), AS_RGB)
    celsius = (GREY / 255 * 50 - 20).astype(np.float32)
    assert np.array_equal(read_image(tiff(celsius, {340: ('f', (-20.0,)), 341: ('f', (30.0,))})), AS_RGB)
    deep = RGB.astype(np.uint16) * 16
    assert np.array_equal(read_image(tiff(deep, {340: ('H', (0,) * 3), 341: ('H', (4095,) * 3)})), RGB)


@pytest.mark.parametrize('file', [png16, tiff], ids=['png', 'tiff'])
@pytest.mark.parametrize('values', [GREY, RGB], ids=['grey', 'rgb'])
def test_12_bits_in_16_are_refused_without_a_white_level(file, values):
    twelve = values.astype(np.uint16) * 16
    expected = AS_RGB if values.ndim == 2 else RGB
    array = twelve[..., ::-1] if values.ndim == 3 else twelve
    for picture in (file(twelve), array):
        refused(ValueError, r'value_range=4095 \(--value-range 4095\)', to_rgb, picture)
        assert np.array_equal(to_rgb(picture, value_range=4095), expected)
        dark = to_rgb(picture, value_range=65535)
        assert np.array_equal(dark, expected >> 4), 'a nearly black picture, if it is one'


@pytest.mark.parametrize('divisor', [1, 2, 4, 10])
def test_a_dark_16_bit_frame_stays_dark_in_file_array_and_pillow_picture(divisor):
    values = (GREY.astype(np.uint16) << 8) // divisor
    expected = np.repeat((values >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
    opened = Image.open(io.BytesIO(png16(values)))
    for picture in (png16(values), tiff(values), values, opened):
        assert np.array_equal(to_rgb(picture), expected)


def test_a_black_16_bit_frame_is_black():
    assert not to_rgb(png16(np.zeros((5, 6), np.uint16))).any()
    assert not to_rgb(np.zeros((5, 6, 3), np.uint16)).any()


def test_14_bits_in_16_are_taken_for_dark_with_a_word():
    with pytest.warns(UserWarning, match='value_range=16383'):
        dark = read_image(png16(GREY.astype(np.uint16) * 64))
    assert np.array_equal(dark, AS_RGB >> 2)


def test_integers_of_32_bits_need_a_word_and_get_it():
    values = GREY.astype(np.int32) * 1000
    for picture in (tiff(values), values):
        refused((ValueError, TypeError), 'value_range=', to_rgb, picture)
        assert np.array_equal(to_rgb(picture, value_range=255_000), AS_RGB)


def test_values_outside_the_stated_range_are_refused():
    with pytest.raises(UnreadableImage, match='beyond the range 0 to 4095'):
        read_image(png16(GREY.astype(np.uint16) * 200), value_range=4095)


def test_white_is_zero_is_turned_round():
    assert np.array_equal(read_image(tiff(~(GREY.astype(np.uint16) * 257), {262: ('H', (0,))})), AS_RGB)


@pytest.mark.parametrize('maximum', [255, 1023, 4095, 65535])
def test_pnm_files_state_their_white(maximum):
    values = np.rint(GREY / 255 * maximum).astype('>u2' if maximum > 255 else 'u1')
    data = b'P5\n120 90\n%d\n' % maximum + values.tobytes()
    assert np.abs(read_image(data).astype(int) - AS_RGB).max() <= 1


@pytest.mark.parametrize('wrong', ['bright', (5, 5), (1, 2, 3), float('nan'), 0])
def test_an_invalid_range_is_refused(wrong):
    refused(ValueError, 'value_range must be', to_rgb, GREY, value_range=wrong)


@pytest.mark.parametrize('dtype', ['>u2', '<u2', '>f4', '>f8'])
def test_the_order_of_bytes_does_not_matter(dtype):
    values = np.linspace(0, 1, 64 * 48).reshape(48, 64) * (65535 if dtype.endswith('u2') else 1)
    expected = to_rgb(values.astype(dtype[1:]))
    assert np.array_equal(to_rgb(values.astype(dtype)), expected) and expected.max() == 255


def tiff_of(values, **tags):
    """A TIFF file of one strip, in the byte order of the values."""
    order = '>' if values.dtype.byteorder == '>' else '<'
    height, width = values.shape
    kinds = {'u': 1, 'i': 2, 'f': 3}
    fields = {256: width, 257: height, 258: 8 * values.itemsize, 259: 1, 262: 1, 273: 8, 277: 1, 278: height,
              279: values.nbytes, 339: kinds[values.dtype.kind]}  # fmt: skip
    fields.update({int(tag[1:]): value for tag, value in tags.items()})
    entries = b''.join(struct.pack(f'{order}HHII', tag, 4, 1, value) for tag, value in sorted(fields.items()))
    head = (b'MM\0*' if order == '>' else b'II*\0') + struct.pack(f'{order}I', 8 + values.nbytes)
    return head + values.tobytes() + struct.pack(f'{order}H', len(fields)) + entries + bytes(4)


def test_16_bit_tiff_files_of_both_byte_orders_are_equal():
    values = np.linspace(0, 65535, 64 * 48).reshape(48, 64)
    little, big = (read_image(tiff_of(values.astype(dtype))) for dtype in ('<u2', '>u2'))
    assert np.array_equal(little, big) and big.max() == 255 and big.min() == 0


def test_a_tiff_of_signed_bytes_is_not_taken_for_one_of_unsigned_ones():
    with pytest.raises(UnreadableImage, match='signed numbers of 8 bits'):
        read_image(tiff_of(np.linspace(-128, 127, 64 * 48).reshape(48, 64).astype('i1')))


@pytest.mark.parametrize('tags', [{'_257': 4800}, {'_278': 8}])
def test_a_tiff_that_lacks_strips_is_damaged_and_not_black_where_they_are_missing(tags):
    values = np.full((48, 64), 200, np.uint8)
    refused(UnreadableImage, 'it has 1 of the ', read_image, tiff_of(values, **{'_278': 48, **tags}))
    assert read_image(tiff_of(values)).min() == 200
