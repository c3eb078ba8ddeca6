"""Pictures in every form, and those that are none."""

import io

import numpy as np
import pytest
import torch
from helpers_apis import photo, views_of
from helpers_pictures import file_of
from helpers_refusals import refused
from PIL import Image
from torchvision import transforms

from miqa.apis.inputs import Preparation, is_list_of_pictures, to_rgb
from miqa.apis.spec import ModelSpec
from miqa.datasets.transforms import LoadImage, PackViews, ResizeShortSide
from miqa.pictures import UnreadableImage

RGB = photo(40, 30)


def preparation(size=64, short_side=72, region=None, **options):
    return Preparation(ModelSpec('any', None, None, {}, views_of(size, region), short_side, **options))


def test_each_form_of_a_picture_is_resized_as_the_model_wants_it():
    """Files, arrays, decoded pixels: the filter that its spec names, as torchvision's."""
    prepare = preparation(interpolation='bicubic')
    resize = transforms.Resize(72, transforms.InterpolationMode.BICUBIC)
    expected = np.asarray(transforms.CenterCrop(64)(resize(Image.fromarray(RGB)))).transpose(2, 0, 1)
    for form in (file_of(RGB, 'PNG'), Image.fromarray(RGB), np.ascontiguousarray(RGB[:, :, ::-1])):
        assert np.array_equal(prepare(form), expected)
    assert np.array_equal(prepare.from_rgb(RGB), expected)
    assert not np.array_equal(preparation()(RGB), expected)


def test_a_spec_carries_the_interpolation_and_knows_those_that_are_older():
    spec = ModelSpec('any', None, None, {}, views_of(64), 72, 'bicubic')
    data = spec.to_dict()
    assert ModelSpec.from_dict(data, 'x', to_build=False).interpolation == 'bicubic'
    del data['interpolation']
    assert ModelSpec.from_dict(data, 'x', to_build=False).interpolation == 'bilinear'
    for strange in ('nearest', 3, None, ['bicubic']):
        with pytest.raises(ValueError, match='x: interpolation must be one of bilinear, bicubic'):
            ModelSpec.from_dict({**data, 'interpolation': strange}, 'x', to_build=False)


def test_arrays_are_bgr_and_tensors_rgb():
    assert np.array_equal(to_rgb(np.ascontiguousarray(RGB[:, :, ::-1])), RGB)
    assert np.array_equal(to_rgb(torch.from_numpy(RGB).permute(2, 0, 1)), RGB)
    assert np.array_equal(to_rgb(Image.fromarray(RGB)), RGB)


def test_alpha_is_dropped_and_grey_repeated():
    assert np.array_equal(to_rgb(np.dstack([RGB[:, :, ::-1], np.zeros(RGB.shape[:2], np.uint8)])), RGB)
    grey = np.repeat(RGB[:, :, :1], 3, axis=2)
    for form in (RGB[:, :, 0], np.asmatrix(RGB[:, :, 0]), RGB[:, :, :1], torch.from_numpy(RGB[:, :, 0].copy())[None]):
        assert np.array_equal(to_rgb(form), grey)


def test_16_bit_arrays_count_as_the_same_file_would():
    wide = photo(40, 30).astype(np.uint16) * 257
    assert np.array_equal(to_rgb(wide[:, :, ::-1]), RGB)
    grey = wide[:, :, 0]
    assert np.array_equal(to_rgb(grey), to_rgb(file_of(grey, 'PNG')))


@pytest.mark.parametrize('kind', [np.float16, np.float32, np.float64])
def test_floats_in_0_to_1_are_rounded_to_the_nearest_byte(kind):
    assert np.array_equal(to_rgb((RGB[:, :, ::-1] / 255).astype(kind)), RGB)
    assert np.array_equal(to_rgb(torch.from_numpy((RGB / 255).astype(kind)).permute(2, 0, 1)), RGB)


@pytest.mark.parametrize(('form', 'error', 'message'), [
    (RGB.astype(np.float32), ValueError, r'must lie in \[0, 1\]'),
    (np.full((4, 4, 3), np.nan), ValueError, r'must lie in \[0, 1\]'),
    (RGB.astype(np.int32), TypeError, 'the picture has int32'),
    (RGB > 128, TypeError, 'has bool'),
    (torch.from_numpy(RGB), ValueError, r'RGB of shape \(3, H, W\)'),
    (np.zeros((3, 4, 5, 6), np.uint8), ValueError, r'shape \(3, 4, 5, 6\)'),
    (np.zeros((4, 4, 2), np.uint8), ValueError, r'\(4, 4, 2\)'),
    (np.zeros((0, 4, 3), np.uint8), ValueError, 'no pixels'),
    (None, TypeError, 'cv2.imread returns None'),
    (42, TypeError, 'is of type int'),
    (b'', UnreadableImage, 'empty'),
    (b'hello', UnreadableImage, 'not an image'),
])  # fmt: skip
def test_other_objects_and_wrong_arrays_are_refused(form, error, message):
    refused(error, message, to_rgb, form)


def test_a_renamed_file_is_read_for_what_it_is(tmp_path):
    path = tmp_path / 'photo.png'
    path.write_bytes(file_of(RGB, 'BMP'))
    assert np.array_equal(to_rgb(path), RGB)


def test_cmyk_palette_16_bit_and_animated_files_are_read_as_pillow_converts_them():
    cmyk = file_of(Image.fromarray(photo()).convert('CMYK'), 'TIFF')
    assert np.array_equal(to_rgb(cmyk), np.asarray(Image.open(io.BytesIO(cmyk)).convert('RGB')))
    frames = [Image.fromarray(photo(seed=seed)) for seed in (1, 2, 3)]
    animated = file_of(frames[0], 'WEBP', save_all=True, append_images=frames[1:], lossless=True)
    assert np.array_equal(to_rgb(animated), photo(seed=1))
    deep = Image.fromarray((photo()[:, :, 0].astype(np.uint16) << 8) + 77)
    assert np.array_equal(to_rgb(file_of(deep, 'PNG'))[:, :, 1], photo()[:, :, 0])


@pytest.mark.parametrize(('width', 'height'), [(1, 1), (1, 9), (72, 72), (73, 500), (640, 481)])
def test_the_pixels_are_those_of_the_test_pipeline_and_of_torchvision(width, height, tmp_path):
    path = tmp_path / 'picture.png'
    Image.fromarray(photo(width, height)).save(path)
    sample = {'path': str(path)}
    for transform in (LoadImage(), ResizeShortSide(72), PackViews(image=None, region=64)):
        sample = transform(sample)
    pixels = preparation(48, 72, region=64)(str(path))
    assert np.array_equal(pixels, sample['inputs']['region'])
    reference = transforms.Compose([transforms.Resize(72), transforms.CenterCrop(64), transforms.PILToTensor()])
    assert np.array_equal(pixels, reference(Image.open(path)))


def test_a_picture_that_would_fill_the_memory_when_resized_is_refused():
    thread = np.zeros((1, 60_000, 3), np.uint8)
    refused(UnreadableImage, 'too elongated', preparation(224, 288), thread)


def test_the_box_that_is_seen_is_the_centre_in_the_pictures_own_pixels():
    # 144 x 72 at a short side of 72: columns 40 to 104 and rows 4 to 68 of it, doubled.
    assert preparation(64, 72).seen_box(288, 144) == pytest.approx((80, 8, 208, 136))


def test_a_list_is_distinguished_from_a_picture():
    assert is_list_of_pictures(['a', 'b']) and is_list_of_pictures(()) and is_list_of_pictures(np.zeros((2, 4, 4, 3)))
    assert not any(map(is_list_of_pictures, ('a', b'a', RGB, torch.zeros(3, 4, 4), Image.fromarray(RGB))))
