"""The deterministic distortions against straightforward implementations of their definitions."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import color, data, filters

from miqa.distortions import candidates, distort
from miqa.running import generator_for

RNG = generator_for('tests', 'exact')


def photograph():
    """A real photograph with saturated, flat and textured parts, 180 x 271."""
    image = cv2.resize(data.coffee(), (271, 180), interpolation=cv2.INTER_AREA)
    image[:40, :60] = 255
    image[40:60, :60] = (200, 100, 0)
    image[60:70, :60] = 77
    return image


PHOTOGRAPH = photograph()
ALL_COLOURS = np.random.default_rng(5).integers(0, 256, (300, 401, 3), dtype=np.uint8)


def every(name):
    return [
        pytest.param(params, id='-'.join(f'{value:.4g}' for value in params.values())) for params in candidates(name)
    ]


@pytest.mark.parametrize('params', every('contrast'))
def test_contrast_moves_values_towards_the_channel_mean_and_truncates(params):
    x = PHOTOGRAPH / 255.0
    means = x.mean(axis=(0, 1), keepdims=True)
    expected = (np.clip((x - means) * params['factor'] + means, 0, 1) * 255).astype(np.uint8)
    assert np.array_equal(distort(PHOTOGRAPH, 'contrast', params, RNG), expected)


def test_a_flat_picture_keeps_its_value_under_contrast():
    for value in range(256):
        assert (distort(np.full((7, 11, 3), value, np.uint8), 'contrast', {'factor': 0.05}, RNG) == value).all()


@pytest.mark.parametrize('image', [PHOTOGRAPH, ALL_COLOURS], ids=['photograph', 'all colours'])
@pytest.mark.parametrize(
    ('name', 'sign', 'params'),
    [('darkness', -1, params) for params in candidates('darkness')]
    + [('brightness', 1, params) for params in candidates('brightness')],
)
def test_darkness_and_brightness_shift_the_hsv_value_as_scikit_image_defines_it(name, sign, params, image):
    hsv = color.rgb2hsv(image / 255.0)
    hsv[..., 2] = np.clip(hsv[..., 2] + sign * params['shift'], 0, 1)
    expected = (np.clip(color.hsv2rgb(hsv), 0, 1) * 255).astype(np.uint8)
    assert np.array_equal(distort(image, name, params, RNG), expected)


@pytest.mark.parametrize('params', every('saturate'))
def test_saturate_scales_the_hsv_saturation_as_scikit_image_defines_it(params):
    for image in (PHOTOGRAPH, ALL_COLOURS):
        hsv = color.rgb2hsv(image / 255.0)
        hsv[..., 1] = np.clip(hsv[..., 1] * params['factor'] + params['shift'], 0, 1)
        expected = np.clip(color.hsv2rgb(hsv), 0, 1) * 255
        got = distort(image, 'saturate', params, RNG)
        # Whole numbers apart from rounding errors may be cut off either way; everything else is equal.
        doubtful = np.abs(expected - np.rint(expected)) < 1e-6
        assert np.array_equal(got[~doubtful], expected.astype(np.uint8)[~doubtful])
        assert np.abs(got[doubtful] - np.rint(expected[doubtful])).max() <= 1


@pytest.mark.parametrize('params', every('jpeg_compression'))
@pytest.mark.parametrize('grey', [False, True], ids=['rgb', 'grey'])
def test_jpeg_is_what_pillow_encodes_and_decodes(params, grey):
    image = PHOTOGRAPH[:, :, 1].copy() if grey else PHOTOGRAPH
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, 'JPEG', quality=params['quality'])
    assert np.array_equal(distort(image, 'jpeg_compression', params, RNG), np.array(Image.open(buffer)))


def test_a_grey_picture_is_compressed_like_its_rgb_copy():
    image = PHOTOGRAPH[:, :, 1].copy()
    for params in candidates('jpeg_compression'):
        rgb = distort(np.repeat(image[:, :, None], 3, axis=2), 'jpeg_compression', params, RNG)
        assert np.array_equal(distort(image, 'jpeg_compression', params, RNG), rgb[:, :, 0])


def test_the_jpeg_qualities_are_those_of_the_generator_and_end_at_the_worst():
    qualities = [params['quality'] for params in candidates('jpeg_compression')]
    assert qualities == [100, 90, 81, 72, 63, 54, 45, 36, 27, 18, 9, 0]
    worst, almost = (distort(PHOTOGRAPH, 'jpeg_compression', {'quality': quality}, RNG) for quality in (0, 1))
    assert np.array_equal(worst, almost), 'libjpeg takes quality 0 for 1, not for its default of 75'


@pytest.mark.parametrize('params', every('pixelate'))
@pytest.mark.parametrize('grey', [False, True], ids=['rgb', 'grey'])
def test_pixelate_is_pillows_box_then_nearest(params, grey):
    image = PHOTOGRAPH[:, :, 2].copy() if grey else PHOTOGRAPH
    small = (int(271 * params['scale']), int(180 * params['scale']))
    expected = Image.fromarray(image).resize(small, Image.BOX).resize((271, 180), Image.NEAREST)
    assert np.array_equal(distort(image, 'pixelate', params, RNG), np.array(expected))


def disk(radius, alias_sigma):
    """ImageNet-C's disk, element by element."""
    reach, size = (8, 3) if radius <= 8 else (int(radius), 5)
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    for y in range(-reach, reach + 1):
        for x in range(-reach, reach + 1):
            kernel[y + reach, x + reach] = x * x + y * y <= radius * radius
    kernel /= kernel.sum()
    return cv2.GaussianBlur(kernel, (size, size), sigmaX=alias_sigma)


@pytest.mark.parametrize('params', every('defocus_blur'))
@pytest.mark.parametrize('grey', [False, True], ids=['rgb', 'grey'])
def test_defocus_blur_filters_by_the_disk_in_double_precision_and_truncates(params, grey):
    image = PHOTOGRAPH[:, :, 0].copy() if grey else PHOTOGRAPH
    kernel = disk(params['radius'], params['alias_sigma'])
    assert_truncated(
        distort(image, 'defocus_blur', params, RNG), np.clip(cv2.filter2D(image / 255.0, -1, kernel), 0, 1)
    )


def assert_truncated(got, expected):
    """Equal to the integer part of expected * 255; whole numbers, give or take rounding errors of doubles, stay."""
    expected = expected * 255
    whole = np.abs(expected - np.rint(expected)) < 1e-9
    assert np.array_equal(got, np.where(whole, np.rint(expected), np.floor(expected)))


def test_defocus_blur_does_not_depend_on_how_a_large_picture_is_tiled():
    image = np.random.default_rng(1).integers(0, 256, (530, 1100), dtype=np.uint8)
    for params in candidates('defocus_blur')[8:]:
        expected = np.clip(cv2.filter2D(image / 255.0, -1, disk(**params)), 0, 1)
        assert_truncated(distort(image, 'defocus_blur', params, RNG), expected)


@pytest.mark.parametrize('params', every('gaussian_blur'))
def test_gaussian_blur_is_scikit_images_truncated(params):
    got = distort(PHOTOGRAPH, 'gaussian_blur', params, RNG)
    expected = filters.gaussian(PHOTOGRAPH / 255.0, sigma=params['sigma'], channel_axis=-1) * 255
    # Wide Gaussians are computed in single precision: values within 0.002 of a whole number may be cut off either way.
    doubtful = np.abs(expected - np.rint(expected)) < (1e-8 if params['sigma'] <= 1.5 else 2e-3)
    assert np.array_equal(got[~doubtful], expected.astype(np.uint8)[~doubtful])
    assert np.abs(got[doubtful] - np.rint(expected[doubtful])).max() <= 1


@pytest.mark.parametrize('name', ['gaussian_blur', 'defocus_blur', 'glass_blur', 'motion_blur', 'pixelate'])
def test_blurring_a_white_picture_leaves_it_white(name):
    image = np.full((64, 90, 3), 255, np.uint8)
    for params in candidates(name):
        got = distort(image, name, params, generator_for(1))
        if name == 'defocus_blur' and disk(**params).sum(dtype=np.float64) < 1 - 1e-10:
            # The single-precision disk of the definition sums to less than 1, and truncation shows it.
            assert (got == 254).all()
        else:
            assert (got == 255).all(), params
