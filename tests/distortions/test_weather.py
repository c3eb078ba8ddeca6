"""Fog, snow and frost against the distributions of their definitions."""

import math

import cv2
import numpy as np
import pytest
from scipy import ndimage, stats
from skimage import data

from miqa.distortions import candidates, distort, psnr
from miqa.distortions.plasma import plasma
from miqa.running import generator_for

PHOTOGRAPH = cv2.resize(data.coffee(), (300, 200), interpolation=cv2.INTER_AREA)


def rng(*keys):
    return generator_for('tests', 'random', *keys)


def diamond_square(side, decay, generator):
    """ImageNet-C's plasma, as published, with numpy's roll."""
    grid = np.zeros((side, side))
    step, wibble = side, 100.0

    def mean_plus_noise(total):
        return total / 4 + wibble * generator.uniform(-wibble, wibble, total.shape)

    while step >= 2:
        half = step // 2
        corners = grid[::step, ::step]
        total = corners + np.roll(corners, -1, axis=0)
        total = total + np.roll(total, -1, axis=1)
        grid[half::step, half::step] = mean_plus_noise(total)
        middles, corners = grid[half::step, half::step], grid[::step, ::step]
        across = middles + np.roll(middles, 1, axis=0) + corners + np.roll(corners, -1, axis=1)
        grid[::step, half::step] = mean_plus_noise(across)
        along = middles + np.roll(middles, 1, axis=1) + corners + np.roll(corners, -1, axis=0)
        grid[half::step, ::step] = mean_plus_noise(along)
        step //= 2
        wibble /= decay
    grid -= grid.min()
    return grid / grid.max()


@pytest.mark.parametrize('decay', [1.3, 1.7, 3.0])
def test_plasma_has_the_moments_and_spectrum_of_diamond_square(decay):
    side, count = 64, 150
    ours = np.array([plasma(side, side, decay, rng('ours', number)) for number in range(count)])
    theirs = np.array([diamond_square(side, decay, rng('theirs', number)) for number in range(count)])
    assert min(ours.min(), theirs.min()) >= 0 and max(ours.max(), theirs.max()) <= 1
    assert stats.ks_2samp(ours.mean((1, 2)), theirs.mean((1, 2))).pvalue > 0.001
    assert stats.ks_2samp(ours.std((1, 2)), theirs.std((1, 2))).pvalue > 0.001
    # Roughness from pixel to pixel, at three distances.
    for distance in (1, 4, 16):
        steps = [np.abs(maps[:, :, distance:] - maps[:, :, :-distance]).mean((1, 2)) for maps in (ours, theirs)]
        assert steps[0].mean() == pytest.approx(steps[1].mean(), rel=0.1)


def test_plasma_reaches_nought_and_one_within_its_tolerance():
    for number in range(20):
        whole = plasma(64, 64, 1.5, rng(number))
        assert whole.min() <= 0.01 and whole.max() >= 0.99
    assert plasma(1, 1, 1.3, rng()).shape == (1, 1)
    assert plasma(3, 130, 2.0, rng()).shape == (3, 130)


def test_fog_adds_plasma_and_scales_back():
    amount, decay = 1.5, 1.7
    fogged = distort(PHOTOGRAPH, 'fog', {'amount': amount, 'decay': decay}, rng(7))
    layer = plasma(200, 300, decay, rng(7)).astype(float)
    x = PHOTOGRAPH / 255.0
    expected = np.clip((x + amount * layer[:, :, None]) * x.max() / (x.max() + amount), 0, 1) * 255
    assert np.abs(fogged - np.floor(expected)).max() <= 1
    assert (fogged != np.floor(expected)).mean() < 0.01
    black = np.zeros((20, 30, 3), np.uint8)
    assert not distort(black, 'fog', {'amount': 5.0, 'decay': 1.3}, rng()).any(), 'max is 0, so the scale is 0'


def imagenet_c_snow(image, generator, mean, std, zoom, threshold, radius, sigma, mix, angle=None):
    """ImageNet-C's snow with scipy's zoom, tap by tap."""
    x = image.astype(np.float64) / 255
    height, width = image.shape[:2]
    layer = generator.normal(mean, std, (height, width))
    rows, columns = math.ceil(height / zoom), math.ceil(width / zoom)
    top, left = (height - rows) // 2, (width - columns) // 2
    layer = ndimage.zoom(layer[top : top + rows, left : left + columns], zoom, order=1)
    layer = np.floor(np.where(layer < threshold, 0, np.clip(layer, 0, 1)) * 255) / 255
    angle = math.radians(generator.uniform(-135, -45) if angle is None else angle)
    length = radius * 2 + 1
    weights = np.exp(-(np.arange(length) ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    moved = np.zeros_like(layer)
    for i in range(int(length)):
        dy, dx = math.ceil(i * math.sin(angle) - 0.5), math.ceil(i * math.cos(angle) - 0.5)
        y = np.clip(np.arange(layer.shape[0]) + dy, 0, layer.shape[0] - 1)
        z = np.clip(np.arange(layer.shape[1]) + dx, 0, layer.shape[1] - 1)
        moved += weights[i] * layer[y[:, None], z]
    moved = np.round(moved * 65535)[:height, :width, None] // 257 / 255
    grey = (x @ [0.299, 0.587, 0.114])[:, :, None]
    x = mix * x + (1 - mix) * np.maximum(x, grey * 1.5 + 0.5)
    return (np.clip(x + moved + moved[::-1, ::-1], 0, 1) * 255).astype(np.uint8)


@pytest.mark.parametrize('number', range(1, 13))
def test_snow_has_the_psnr_moments_and_spectrum_of_its_definition(number):
    params = candidates('snow')[number - 1]
    runs = 8
    ours = [distort(PHOTOGRAPH, 'snow', params, rng('ours', run)) for run in range(runs)]
    theirs = [imagenet_c_snow(PHOTOGRAPH, rng('theirs', run), **params) for run in range(runs)]
    ratio = [np.mean([psnr(PHOTOGRAPH, picture) for picture in pictures]) for pictures in (ours, theirs)]
    assert ratio[0] == pytest.approx(ratio[1], abs=0.25)
    assert np.mean(ours) == pytest.approx(np.mean(theirs), abs=1.5)
    assert np.std(ours) == pytest.approx(np.std(theirs), rel=0.04)
    # The flakes themselves, on black, by bands of frequency.
    black = np.zeros((128, 160, 3), np.uint8)
    falling = {**params, 'angle': -105.0}
    powers = []
    for make in (
        lambda generator: distort(black, 'snow', falling, generator),
        lambda generator: imagenet_c_snow(black, generator, **falling),
    ):
        pictures = [make(rng('bands', run))[:, :, 0].astype(float) for run in range(runs)]
        spectrum = np.mean([np.abs(np.fft.rfft2(picture - picture.mean())) ** 2 for picture in pictures], axis=0)
        powers.append([spectrum[a:b, a:b].mean() for a, b in ((1, 8), (8, 24), (24, 60))])
    assert np.allclose(np.log(powers[0]), np.log(powers[1]), atol=0.5)


def test_snow_without_flakes_only_whitens():
    params = {**candidates('snow')[-1], 'threshold': 100.0}
    got = distort(PHOTOGRAPH, 'snow', params, rng())
    expected = imagenet_c_snow(PHOTOGRAPH, rng(), **params)
    assert np.abs(got.astype(int) - expected).max() <= 1
    assert (got != expected).mean() < 0.02


@pytest.mark.parametrize('kind', [1, 2, 3, 4, 5])
def test_frost_adds_light_in_patches_and_is_grown_in_five_kinds(kind):
    params = {'image_weight': 0.7, 'frost_weight': 0.6, 'kind': kind}
    dark = np.full((200, 300, 3), 40, np.uint8)
    frosted = distort(dark, 'frost', params, rng(kind)).astype(float)
    added = frosted[:, :, 0] - 28
    assert added.min() >= -1 and added.mean() > 10 and added.std() > 10
    assert np.array_equal(frosted[:, :, 0], frosted[:, :, 2])
    with pytest.raises(ValueError, match='kinds 1 to 5'):
        distort(dark, 'frost', {**params, 'kind': 6}, rng())
