"""The distortions against pictures of the released database, of which the sources are not at hand."""

import numpy as np
import pytest

from miqa.distortions import candidates, distort, psnr
from miqa.distortions.severities import LEVEL_RANKS
from miqa.pictures import read_image
from miqa.running import generator_for

RNG = generator_for('released')


@pytest.fixture
def level(shared_data):
    """Read one of the released pictures by distortion and level."""
    names = {
        'darkness': 'det/000000210520_darkness_{}.png',
        'jpeg_compression': 'det/000000258883_jpeg_compression_{}.png',
        'defocus_blur': 'cls/ILSVRC2012_val_00017140_defocus_blur_{}.png',
        'motion_blur': 'cls/ILSVRC2012_val_00024142_motion_blur_{}.png',
    }
    return lambda name, number: read_image(shared_data / 'miqd_samples' / names[name].format(number))


def params_of(name, number):
    """Parameters of a level where the ranks by PSNR are those of the table."""
    return candidates(name)[LEVEL_RANKS[number - 1] - 1]


@pytest.mark.parametrize('number', [2, 3, 4, 5])
def test_released_darkness_is_level_1_with_the_rest_of_the_shift_taken_away(level, number):
    first = level('darkness', 1)
    rest = params_of('darkness', number)['shift'] - params_of('darkness', 1)['shift']
    damaged = distort(first, 'darkness', {'shift': rest}, RNG).astype(int)
    # Level 1 was truncated once, so it can be one too dark.
    assert np.abs(damaged - level('darkness', number)).max() <= 1


@pytest.mark.parametrize('number', [2, 3, 4, 5])
def test_released_jpeg_levels_are_as_far_from_level_1_as_ours_and_from_no_other_quality(level, number):
    first, released = level('jpeg_compression', 1), level('jpeg_compression', number)
    distance = [
        psnr(released, distort(first, 'jpeg_compression', params, RNG)) for params in candidates('jpeg_compression')
    ]
    assert int(np.argmax(distance)) + 1 == LEVEL_RANKS[number - 1]


@pytest.mark.parametrize('number', [3, 4, 5])
def test_released_defocus_levels_are_level_1_blurred_by_the_disk_of_the_table(level, number):
    # Level 1 is hardly blurred, so blurring it again comes near the level; the nearest candidate is the chosen one.
    first, released = level('defocus_blur', 1), level('defocus_blur', number)
    closeness = [psnr(released, distort(first, 'defocus_blur', params, RNG)) for params in candidates('defocus_blur')]
    assert int(np.argmax(closeness)) + 1 == LEVEL_RANKS[number - 1]
    assert max(closeness) > 35


@pytest.mark.parametrize('number', [3, 4, 5])
def test_released_motion_blur_lies_on_a_line_between_minus_45_and_45_degrees(level, number):
    # Level 2 is blurred over few pixels; of all angles, one within 45 degrees reproduces the stronger level best.
    second, released = level('motion_blur', 2), level('motion_blur', number)
    params = params_of('motion_blur', number)
    closeness = {
        angle: psnr(released, distort(second, 'motion_blur', {**params, 'angle': angle}, RNG))
        for angle in range(-180, 180, 5)
    }
    best = max(closeness, key=closeness.get)
    assert -47 <= best <= 47
    assert closeness[best] > 27
