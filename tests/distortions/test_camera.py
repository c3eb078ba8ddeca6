"""What a camera does to pictures: registry, physics of single stages, mixtures, and levels."""

import itertools

import numpy as np
import pytest
from helpers_refusals import refused
from skimage import data

from miqa import distortions, taxonomy
from miqa.distortions import CAMERA_DISTORTIONS, apply_distortion, distort, random_camera_damage, select_levels
from miqa.distortions.camera.light import disc, to_display, to_linear
from miqa.distortions.camera.motion import draw_trajectory
from miqa.distortions.registry import LINEAR_STAGES, STAGES, distortion
from miqa.running import generator_for
from miqa.taxonomy import ALL_DISTORTIONS, DISTORTION_FAMILIES, KNOWN_DISTORTIONS, distortions_named


@pytest.fixture(scope='module')
def photograph():
    """A small photograph, uint8 (100, 150, 3)."""
    return np.ascontiguousarray(data.coffee()[::4, ::4])


@pytest.mark.parametrize('name', CAMERA_DISTORTIONS)
def test_a_level_is_the_same_for_the_same_seed_and_the_fifth_is_farther_from_the_photograph_than_the_first(
    photograph, name
):
    levels = select_levels(photograph, name, 5, 'cup')
    second = select_levels(photograph, name, 5, 'cup')
    assert [chosen.candidate for chosen in levels] == [1, 2, 3, 4, 5]
    assert all(np.array_equal(one.image, other.image) for one, other in zip(levels, second, strict=True))
    if name != 'camera_mixture':  # which draws other kinds with every level
        assert levels[4].psnr < levels[0].psnr - 1


def test_names_can_be_distinguished_in_file_names():
    for name, other in itertools.permutations(KNOWN_DISTORTIONS, 2):
        assert not name.endswith(f'_{other}')
    for name in ALL_DISTORTIONS:
        version = taxonomy.Version('a_picture_1', name, 2, 4)
        assert taxonomy.parse_version_name(taxonomy.version_name(version)) == version


def test_words_stand_for_names_and_families():
    assert distortions_named(['miqd']) == tuple(DISTORTION_FAMILIES['miqd'])
    assert distortions_named(['haze', 'camera'])[0] == 'haze'
    assert len(distortions_named(['haze', 'camera'])) == len(CAMERA_DISTORTIONS)
    assert distortions_named(['all']) == ALL_DISTORTIONS
    refused(ValueError, "Did you mean 'camera'", distortions_named, ['camara'])


def test_the_table_lists_camera_distortions_in_the_order_of_the_stages():
    places = [STAGES.index(kind.stage) for kind in map(distortion, CAMERA_DISTORTIONS) if kind.stage]
    assert places == sorted(places)


def test_every_value_of_8_bits_survives_linear_light():
    image = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    assert np.array_equal(to_display(to_linear(image)), image)
    # IEC 61966-2-1: middle grey of the display is 21.4 percent of the light.
    assert to_linear(np.full((1, 1, 3), 127, np.uint8))[0, 0, 0] == pytest.approx(0.2122, abs=1e-3)


@pytest.mark.parametrize(('stops', 'expected'), [(1, 0.5), (3, 0.125)])
def test_a_stop_halves_the_light(stops, expected):
    image = np.full((4, 4, 3), 255, np.uint8)
    light = to_linear(distort(image, 'underexposure', {'stops': stops}, generator_for(1)))
    assert light.mean() == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize('name', ['out_of_focus', 'camera_shake', 'soft_lens'])
def test_optics_spread_light_and_keep_its_sum(name):
    light = np.zeros((256, 256, 3), np.float32)
    light[128, 128] = 100
    spread = distortion(name).function(light, generator_for(name), **distortions.candidates(name)[2])
    assert spread.sum() == pytest.approx(light.sum(), rel=0.02)
    assert spread.max() < 20


def test_a_disc_has_the_area_of_a_circle():
    for radius in (1.3, 3.0, 4.7):
        kernel = disc(radius)
        assert kernel.sum() == pytest.approx(1, abs=1e-6)
        assert 1 / kernel.max() == pytest.approx(np.pi * radius**2, rel=0.05)


def test_a_trajectory_fills_its_square_and_is_connected():
    points = draw_trajectory(generator_for(3))
    assert np.abs(points).max() == pytest.approx(1)
    assert np.hypot(*np.diff(points, axis=0).T).max() < 0.2


def test_noise_of_the_sensor_has_the_variance_of_poisson_and_keeps_the_mean():
    # Flat grey, much light, hardly any denoising: demosaicing and smearing only lower the variance.
    light = np.full((256, 256, 3), 0.4, np.float32)
    from miqa.distortions.camera.sensor import _ABOVE, _BELOW, _expose  # noqa: PLC0415

    raw = _expose(light, generator_for(7), 200.0).astype(float) * (_ABOVE + _BELOW) / 65535 - _BELOW
    assert raw.mean() == pytest.approx(0.4, abs=0.002)
    # Photons: 0.4 * 200; reading: 2.5 squared; rows: 0.5 squared.
    assert raw.var() * 200**2 == pytest.approx(80 + 2.5**2 + 0.5**2, rel=0.03)
    developed = distortion('sensor_noise').function(light, generator_for(7), electrons=200.0)
    assert developed.mean() == pytest.approx(0.4, abs=0.01)


def test_a_coloured_picture_keeps_its_colour_through_the_bayer_pattern():
    light = np.zeros((40, 40, 3), np.float32)
    light[:] = (0.8, 0.3, 0.1)
    developed = distortion('sensor_noise').function(light, generator_for(1), electrons=1e6)
    assert developed.reshape(-1, 3).mean(0) == pytest.approx((0.8, 0.3, 0.1), abs=0.01)


def test_haze_is_koschmieders_law():
    light = np.full((64, 64, 3), 0.0, np.float32)
    depth = np.linspace(0, 1, 64, dtype=np.float32)[:, None].repeat(64, axis=1)
    veiled = distortion('haze').function(light, generator_for(2), density=3.0, depth=depth)
    rows = veiled[:, :, 2].mean(1)
    assert (np.diff(rows[::8]) > 0).all()
    air = rows[-1] / (1 - np.exp(-3.0 * 0.83))  # unevenness takes a sixth of the way on average
    assert 0.5 < air < 1


def test_a_moving_object_leaves_the_rest_as_it_is(photograph):
    mask = np.zeros(photograph.shape[:2], np.uint8)
    mask[40:60, 70:80] = 255
    moved = distort(photograph, 'moving_object', {'extent': 20, 'mask': mask}, generator_for(1))
    assert np.array_equal(moved[:, :10], photograph[:, :10])
    assert not np.array_equal(moved[40:60, 60:90], photograph[40:60, 60:90])


def test_a_balance_for_a_lamp_makes_daylight_blue_and_one_for_daylight_makes_a_lamp_red():
    grey = np.full((8, 8, 3), 120, np.uint8)
    signs = set()
    for seed in range(12):
        red, _, blue = distort(grey, 'white_balance', {'mireds': 200}, generator_for(seed))[0, 0].astype(int)
        assert abs(red - blue) > 40
        signs.add(red > blue)
    assert signs == {True, False}


def test_codecs_lose_more_at_lower_rates(photograph):
    for name, params in (('h264', ({'crf': 20, 'side': 256}, {'crf': 51, 'side': 256})),
                         ('hevc', ({'crf': 20, 'side': 256}, {'crf': 51, 'side': 256})),
                         ('jpeg_generations', ({'quality': 90}, {'quality': 5}))):  # fmt: skip
        near, far = (distort(photograph, name, each, generator_for(4)).astype(int) for each in params)
        assert abs(near - photograph).mean() < 6 < abs(far - photograph).mean()


def test_random_damage_is_in_the_cameras_order_repeatable_and_says_what_it_did(photograph):
    order = {name: place for place, name in enumerate(CAMERA_DISTORTIONS)}
    regions, counts = set(), set()
    for seed in range(60):
        damaged, done = random_camera_damage(photograph, generator_for(seed))
        second, _ = random_camera_damage(photograph, generator_for(seed))
        assert np.array_equal(damaged, second)
        places = [order[name] for name, _ in done.kinds]
        assert places == sorted(places)
        stages = [distortion(name).stage for name, _ in done.kinds]
        assert len(set(stages)) == len(stages)
        assert all(1 <= level <= 5 for _, level in done.kinds)
        regions.add(done.region)
        counts.add(len(done.kinds))
    assert regions == {'whole', 'object', 'surroundings'}
    assert counts == {1, 2, 3, 4}


def test_damage_of_an_object_spares_the_surroundings(photograph):
    mask = np.zeros(photograph.shape[:2], np.uint8)
    mask[30:70, 40:110] = 255
    damaged = apply_distortion(photograph, 'low_light', 5, mask=mask)
    assert np.array_equal(damaged[:2, :2], photograph[:2, :2])
    assert damaged[45:55, 65:85].mean() < 0.5 * photograph[45:55, 65:85].mean()


def test_a_level_of_miqd_is_the_one_that_a_database_would_hold(photograph):
    held = select_levels(photograph, 'snow', 3, '')[3].image
    assert np.array_equal(apply_distortion(photograph, 'snow', 4, seed=3), held)


def test_wrong_names_and_levels_are_refused_with_a_hint(photograph):
    refused(ValueError, "Did you mean 'low_light'", apply_distortion, photograph, 'low_ligth', 2)
    refused(ValueError, 'between 1 and 5', apply_distortion, photograph, 'haze', 7)
    refused(ValueError, 'Unknown camera distortion', random_camera_damage, photograph, generator_for(1), names=['snow'])
    assert set(LINEAR_STAGES) < set(STAGES)
