"""The pipeline, pixel by pixel, against torchvision on PIL images."""

import math

import numpy as np
import pytest
import torch
from helpers_database import write_database
from helpers_refusals import refused
from PIL import Image
from torchvision import transforms as tv
from torchvision.transforms import functional as tvf

from miqa.datasets import MIQDDataset
from miqa.datasets.transforms import LoadImage, PackViews, RandomFlip, RandomRotation, ResizeShortSide
from miqa.registry import TRANSFORMS
from miqa.running import generator_for

# Width and height: usual ones, odd ones, long sides that become 289 and 291 pixels, elongated ones, small ones.
SIZES = [
    (500, 375), (375, 500), (640, 427), (333, 500), (612, 612), (288, 288), (287, 287), (289, 289), (288, 289),
    (289, 288), (288, 291), (291, 288), (577, 575), (1000, 997), (991, 1000), (2001, 300), (300, 2001), (97, 1201),
    (200, 145), (145, 200), (40, 31), (31, 40), (1, 1), (2, 3), (801, 603), (427, 641), (1279, 853), (1072, 712),
]  # fmt: skip
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def random_picture(size, seed=0) -> np.ndarray:
    width, height = size
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def run(picture, *steps, seed=0):
    results = {'path': 'picture.png', 'rng': np.random.default_rng(seed), 'picture': picture}
    for step in steps:
        results = step(results)
    return results['inputs']


@pytest.mark.parametrize('interpolation', ['bilinear', 'bicubic'])
@pytest.mark.parametrize('size', SIZES, ids=str)
def test_resize_gives_torchvisions_pixels(size, interpolation):
    picture = random_picture(size)
    expected = np.asarray(tv.Resize(288, tv.InterpolationMode(interpolation))(Image.fromarray(picture)))
    assert np.array_equal(ResizeShortSide(288, interpolation).resize(picture), expected)


@pytest.mark.parametrize('size', SIZES, ids=str)
def test_test_views_are_torchvisions_bit_for_bit(size):
    picture = random_picture(size)
    pil = Image.fromarray(picture)
    one = run(picture, ResizeShortSide(288), PackViews(image=224))
    two = run(picture, ResizeShortSide(288), PackViews(image=224, region=288))
    assert set(one) == {'image'} and set(two) == {'region'}
    whole = tv.Compose([tv.Resize(288), tv.CenterCrop(288), tv.PILToTensor()])(pil)
    centre = tv.Compose([tv.Resize(288), tv.CenterCrop(224), tv.PILToTensor()])(pil)
    assert torch.equal(two['region'], whole)
    assert torch.equal(one['image'], centre)
    # What the preprocessor cuts out of the region is the first view.
    assert torch.equal(two['region'][:, 32:256, 32:256], centre)


def test_float_tensors_after_normalisation_are_torchvisions(size=(641, 427)):
    picture = random_picture(size)
    region = run(picture, ResizeShortSide(288), PackViews(image=None, region=288))['region']
    normalised = tvf.normalize(region.float().div(255), MEAN, STD)
    expected = tv.Compose([tv.Resize(288), tv.CenterCrop(288), tv.ToTensor(), tv.Normalize(MEAN, STD)])
    assert torch.equal(normalised, expected(Image.fromarray(picture)))


def test_the_random_crop_is_cut_from_the_whole_resized_picture():
    picture = random_picture((900, 300))
    resized = torch.from_numpy(np.asarray(tv.Resize(288)(Image.fromarray(picture))).copy()).permute(2, 0, 1)
    lefts = set()
    for seed in range(60):
        views = run(picture, ResizeShortSide(288), PackViews(image=224, region=288, random=True), seed=seed)
        top, left = np.random.default_rng(seed).integers(0, [288 - 224 + 1, 864 - 224 + 1])
        assert torch.equal(views['image'], resized[:, top : top + 224, left : left + 224])
        assert torch.equal(views['region'], resized[:, :, 288:576])
        lefts.add(left)
    # The central square would allow 0 + 288 to 64 + 288 only.
    assert min(lefts) < 100 and max(lefts) > 540


def test_the_random_crop_reaches_every_corner():
    picture = random_picture((8, 6))
    corners = set()
    for seed in range(200):
        view = run(picture, PackViews(image=5, random=True), seed=seed)['image']
        corners.add(next((t, x) for t in range(2) for x in range(4) if np.array_equal(
            view.permute(1, 2, 0).numpy(), picture[t : t + 5, x : x + 5])))  # fmt: skip
    assert corners == {(t, x) for t in range(2) for x in range(4)}


def test_views_are_contiguous_uint8_and_own_their_memory():
    views = run(random_picture((50, 40)), PackViews(image=24, region=40, random=True))
    for view in views.values():
        assert view.dtype == torch.uint8 and view.is_contiguous()
        view.fill_(7)


def test_a_view_that_does_not_fit_names_the_file():
    with pytest.raises(ValueError, match=r'224 pixels does not fit into the picture of 100 x 90 from picture.png'):
        run(random_picture((100, 90)), PackViews(image=224))


@pytest.mark.parametrize('image, region', [(224, 226), (224, 225), (224, 200)])
def test_sizes_whose_centres_differ_are_refused_at_test(image, region):
    refused(ValueError, 'multiple of 4', PackViews, image=image, region=region)
    PackViews(image=image, region=region, random=True)


@pytest.mark.parametrize('long_side', range(288, 300))
def test_the_rule_of_four_is_needed_and_enough(long_side):
    """Rounding of halves: a centre of the centre is the centre if the difference is a multiple of 4."""
    picture = random_picture((long_side, 288))
    for size in range(200, 289, 4):
        region = run(picture, PackViews(image=size, region=288))['region']
        offset = (288 - size) // 2
        centre = np.asarray(tvf.center_crop(Image.fromarray(picture), size)).transpose(2, 0, 1)
        assert np.array_equal(region[:, offset : offset + size, offset : offset + size].numpy(), centre)


@pytest.mark.parametrize('flips', [(0, 0), (1, 0), (0, 1), (1, 1)], ids=str)
def test_flips_are_torchvisions_and_spare_the_region(flips):
    picture = random_picture((333, 400))
    horizontal, vertical = flips
    pil = Image.fromarray(picture)
    pil = tvf.hflip(pil) if horizontal else pil
    pil = tvf.vflip(pil) if vertical else pil
    steps = RandomFlip(horizontal, vertical), ResizeShortSide(288)
    views = run(picture, *steps, PackViews(image=288, region=None))
    expected = tv.Compose([tv.Resize(288), tv.CenterCrop(288), tv.PILToTensor()])
    assert torch.equal(views['image'], expected(pil))
    both = run(picture, *steps, PackViews(image=224, region=288, random=True))
    assert torch.equal(both['region'], expected(Image.fromarray(picture)))


@pytest.mark.parametrize('seed', range(12))
def test_flips_commute_with_the_resize(seed):
    """Packed pictures are flipped after the resize; the pixels must be those of flipping before."""
    width, height = np.random.default_rng(seed).integers(60, 900, 2)
    picture = random_picture((width, height), seed)
    resize = ResizeShortSide(288).resize
    assert np.array_equal(resize(np.ascontiguousarray(picture[:, ::-1])), resize(picture)[:, ::-1])
    assert np.array_equal(resize(np.ascontiguousarray(picture[::-1])), resize(picture)[::-1])


def test_rotation_is_torchvisions():
    picture = random_picture((200, 150))
    angle = np.random.default_rng(4).uniform(-15, 15)
    results = RandomRotation(15)({'picture': picture, 'rng': np.random.default_rng(4)})
    assert np.array_equal(results['picture'], np.asarray(tvf.rotate(Image.fromarray(picture), angle)))
    assert np.array_equal(results['plain'], picture)


def test_flips_and_angles_have_the_asked_distribution():
    picture = np.zeros((2, 2, 3), np.uint8)
    picture[0, 0] = 1
    corners = np.zeros((2, 2))
    for index in range(2000):
        flipped = RandomFlip()({'picture': picture, 'rng': generator_for(0, 0, index)})['picture']
        corners += flipped[:, :, 0]
    # Binomial with p = 1/4: a standard deviation of 19.4; five of them.
    assert np.all(np.abs(corners - 500) < 97)


def test_wrong_options_are_refused():
    refused(ValueError, 'probability', RandomFlip, horizontal=2)
    refused(ValueError, 'degrees', RandomRotation, -1)
    refused(ValueError, 'positive', ResizeShortSide, 0)
    refused(ValueError, 'interpolation', ResizeShortSide, 288, 'nearest')
    refused(ValueError, 'at least one view', PackViews, image=None)


def test_transforms_are_in_the_registry():
    for name in ('LoadImage', 'ResizeShortSide', 'RandomFlip', 'RandomRotation', 'PackViews'):
        assert type(TRANSFORMS.build({'type': name})).__name__ == name


def test_real_pictures_of_the_database_go_through_bit_exactly(shared_data):
    files = sorted(shared_data.glob('miqd_samples/*/*.png'))
    assert len(files) == 19
    for file in files:
        picture = LoadImage()({'path': str(file)})['picture']
        with Image.open(file) as opened:
            pil = opened.convert('RGB')
        region = run(picture, ResizeShortSide(288), PackViews(image=224, region=288))['region']
        expected = tv.Compose([tv.Resize(288), tv.CenterCrop(288), tv.PILToTensor()])(pil)
        assert torch.equal(region, expected), file.name


def test_no_size_between_1_and_1000_rounds_differently_from_torchvision():
    from miqa.datasets.transforms import resized_size

    rng = np.random.default_rng(0)
    for width, height in rng.integers(1, 5000, (3000, 2)).tolist():
        short, long = sorted((width, height))
        expected = int(288 * long / short)
        size = resized_size(width, height, 288)
        assert min(size) == 288 and max(size) == expected and math.isclose(expected, 288 * long / short, abs_tol=1)
        if long * 288 / short < 3000 and rng.random() < 0.01:
            assert tv.Resize(288)(Image.new('L', (width, height))).size == size


def test_a_dataset_with_augmentation_repeats_itself(tmp_path):
    root = write_database(tmp_path, 'cls', sources=2, versions=3)
    pack = [{'type': 'ResizeShortSide', 'size': 64}, {'type': 'PackViews', 'image': 40, 'region': 64, 'random': True}]
    pipeline = [*({'type': name} for name in ('LoadImage', 'RandomFlip', 'RandomRotation')), *pack]
    first, second = (MIQDDataset(root, 'cls', pipeline=pipeline, seed=3) for _ in range(2))
    first.set_epoch(2)
    second[0]
    second.set_epoch(2)
    assert torch.equal(first[1]['inputs']['image'], second[1]['inputs']['image'])
    second.set_epoch(3)
    assert not torch.equal(first[1]['inputs']['image'], second[1]['inputs']['image'])
    assert torch.equal(first[1]['inputs']['region'], second[1]['inputs']['region'])
