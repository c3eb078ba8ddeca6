"""Every distortion takes every size of picture, and says so when it is given something else."""

import numpy as np
import pytest
from helpers_refusals import refused

from miqa.distortions import CAMERA_DISTORTIONS, DISTORTIONS, EXTRA_DISTORTIONS, candidates, distort
from miqa.running import generator_for

EVERY = DISTORTIONS + EXTRA_DISTORTIONS
SIZES = [(1, 1), (1, 2), (2, 1), (1, 40), (40, 1), (3, 5), (16, 16), (17, 33), (65, 40), (7, 300)]


@pytest.mark.parametrize('size', SIZES, ids=lambda size: f'{size[0]}x{size[1]}')
@pytest.mark.parametrize('name', EVERY + CAMERA_DISTORTIONS)
def test_any_size_rgb_or_grey_comes_back_in_its_own_shape_and_the_source_stays(name, size):
    for shape in (size, (*size, 3)):
        image = generator_for('sizes', *shape).integers(0, 256, shape, dtype=np.uint8)
        before = image.copy()
        # Of a camera's damage the first and the last of five levels.
        for params in candidates(name)[:: 1 if name in EVERY else 4]:
            damaged = distort(image, name, params, generator_for(name))
            assert (damaged.shape, damaged.dtype) == (shape, np.uint8)
            assert np.array_equal(image, before) and not np.shares_memory(damaged, image)


@pytest.mark.parametrize('name', EVERY)
def test_black_white_and_views_are_taken(name):
    params = candidates(name)[-1]
    for value in (0, 255):
        flat = np.full((20, 31, 3), value, np.uint8)
        assert distort(flat, name, params, generator_for(name)).shape == (20, 31, 3)
    whole = generator_for('views').integers(0, 256, (60, 80, 3), dtype=np.uint8)
    view = whole[10:50:2, ::-1]
    assert np.array_equal(
        distort(view, name, params, generator_for(1)), distort(view.copy(), name, params, generator_for(1))
    )


@pytest.mark.slow
@pytest.mark.parametrize('name', EVERY)
def test_the_largest_picture_of_the_database_passes(name):
    image = np.zeros((2848, 4288, 3), np.uint8)
    image[::7] = 200
    image[:, ::11, 1] = 90
    damaged = distort(image, name, candidates(name)[-1], generator_for(name))
    assert damaged.shape == image.shape
    assert not np.array_equal(damaged, image)


def test_a_large_picture_is_what_its_strips_are():
    # Strips hold 2^16 pixels: this picture is cut into several, and a grey noise field must not repeat in them.
    image = np.full((700, 500), 128, np.uint8)
    noisy = distort(image, 'gaussian_noise', {'std': 0.1}, generator_for(3)).astype(float)
    strips = noisy[:655].reshape(5, 131, 500)
    for first in range(5):
        for second in range(first):
            assert abs(np.corrcoef(strips[first].ravel(), strips[second].ravel())[0, 1]) < 0.02


@pytest.mark.parametrize(('image', 'error'), [
    (np.zeros((4, 4, 3), np.float32), TypeError),
    ([[1, 2]], TypeError),
    *((np.zeros(shape, np.uint8), ValueError) for shape in ((4, 4, 4), (0, 4, 3), 4)),
])  # fmt: skip
def test_what_is_not_a_picture_is_refused_with_a_sentence(image, error):
    refused(error, 'An image has to be', distort, image, 'contrast', {'factor': 0.5}, generator_for(1))


def test_unknown_names_and_parameters_are_refused_with_a_hint():
    image = np.zeros((4, 4, 3), np.uint8)
    refused(ValueError, "Did you mean 'motion_blur'", distort, image, 'motoin_blur', {}, generator_for(1))
    refused(ValueError, 'Unknown distortion', candidates, 'rain')
    with pytest.raises(TypeError, match=r"darkness takes the parameters \['shift'\]"):
        distort(image, 'darkness', {'amount': 0.5}, generator_for(1))
    refused(TypeError, 'contrast takes the parameters', distort, image, 'contrast', {}, generator_for(1))


def test_there_are_twelve_candidates_each_and_they_can_be_changed_without_harm():
    for name in EVERY:
        sets = candidates(name)
        assert len(sets) == 12
        sets[0].clear()
        assert candidates(name)[0]
