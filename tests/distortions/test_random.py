"""The random distortions, weather among them, against the distributions of their definitions."""

import math
import shutil
import subprocess

import cv2
import numpy as np
import pytest
from scipy import ndimage, stats
from skimage import data, filters

from miqa.distortions import DISTORTIONS, EXTRA_DISTORTIONS, candidates, distort, psnr
from miqa.distortions.blur import line_offsets
from miqa.distortions.plasma import plasma
from miqa.running import generator_for

GREY = np.full((256, 384, 3), 128, np.uint8)
PHOTOGRAPH = cv2.resize(data.coffee(), (300, 200), interpolation=cv2.INTER_AREA)


def rng(*keys):
    return generator_for('tests', 'random', *keys)


@pytest.mark.parametrize('name', DISTORTIONS + EXTRA_DISTORTIONS)
def test_the_same_generator_gives_the_same_picture_and_the_source_stays(name):
    before = PHOTOGRAPH.copy()
    for params in candidates(name):
        first, second = (distort(PHOTOGRAPH, name, params, rng(name)) for _ in range(2))
        assert np.array_equal(first, second)
    assert np.array_equal(PHOTOGRAPH, before)


@pytest.mark.parametrize(
    'name', ['gaussian_noise', 'impulse_noise', 'snow', 'fog', 'frost', 'motion_blur', 'glass_blur']
)
def test_another_generator_gives_another_picture(name):
    params = candidates(name)[-1]
    assert not np.array_equal(distort(PHOTOGRAPH, name, params, rng(1)), distort(PHOTOGRAPH, name, params, rng(2)))


def test_opencv_threads_do_not_change_a_byte():
    before = cv2.getNumThreads()
    try:
        for name in DISTORTIONS + EXTRA_DISTORTIONS:
            made = []
            for threads in (1, 2):
                cv2.setNumThreads(threads)
                made.append(distort(data.coffee(), name, candidates(name)[-1], rng(name)))
            assert np.array_equal(*made), name
    finally:
        cv2.setNumThreads(before)


@pytest.mark.parametrize('std', [params['std'] for params in candidates('gaussian_noise')[:7]])
def test_gaussian_noise_is_normal_and_white_on_a_grey_picture(std):
    noisy = distort(GREY, 'gaussian_noise', {'std': std}, rng(std)).astype(float)
    # Truncation shifts by half a step and adds the variance of one step.
    noise = noisy - 127.5
    assert abs(noise.mean()) < 5 * std * 255 / math.sqrt(noise.size)
    expected = math.hypot(std * 255, 1 / math.sqrt(12))
    assert noise.std() == pytest.approx(expected, rel=0.01)
    assert abs(stats.kurtosis(noise, axis=None)) < 0.05
    power = np.abs(np.fft.rfft2(noise[:, :, 0])) ** 2
    low, high = power[1:20, 1:20].mean(), power[100:150, 100:190].mean()
    assert low / high == pytest.approx(1, abs=0.25)
    assert abs(np.corrcoef(noise[:, :, 0].ravel(), noise[:, :, 1].ravel())[0, 1]) < 0.02


def test_gaussian_noise_clips_at_black_and_white():
    noisy = distort(GREY, 'gaussian_noise', {'std': 1.0}, rng())
    # The definition: trunc(clip(0.50196 + N(0, 1), 0, 1) * 255).
    assert (noisy == 0).mean() == pytest.approx(stats.norm.cdf((1 / 255) - 128 / 255), abs=0.005)
    assert (noisy == 255).mean() == pytest.approx(stats.norm.sf(1 - 128 / 255), abs=0.005)


@pytest.mark.parametrize('amount', [params['amount'] for params in candidates('impulse_noise')])
def test_impulse_noise_strikes_its_share_half_black_half_white(amount):
    struck = distort(GREY, 'impulse_noise', {'amount': amount}, rng(amount))
    spread = 5 * math.sqrt(amount / 2 / struck.size)
    assert (struck == 0).mean() == pytest.approx(amount / 2, abs=spread)
    assert (struck == 255).mean() == pytest.approx(amount / 2, abs=spread)
    assert ((struck == 0) | (struck == 255) | (struck == 128)).all()


def magick_motion_blur(image, radius, sigma, angle):
    """ImageMagick's algorithm, tap by tap, in double precision."""
    width = 2 * math.ceil(radius) + 1
    weights = [math.exp(-(i * i) / (2 * sigma * sigma)) for i in range(width)]
    total = sum(weights)
    height, columns = image.shape[:2]
    out = np.zeros(image.shape)
    for i, weight in enumerate(weights):
        dx = math.ceil(i * math.cos(math.radians(angle)) - 0.5)
        dy = math.ceil(i * math.sin(math.radians(angle)) - 0.5)
        y = np.clip(np.arange(height) + dy, 0, height - 1)
        x = np.clip(np.arange(columns) + dx, 0, columns - 1)
        out += weight / total * image[y[:, None], x]
    return out


@pytest.mark.parametrize('params', candidates('motion_blur'), ids=lambda params: str(params['radius']))
@pytest.mark.parametrize('angle', [-45, -17.5, 0, 30, 45, 120])
def test_motion_blur_is_imagemagicks(params, angle):
    for image in (PHOTOGRAPH, PHOTOGRAPH[:30, :, 0].copy()):
        expected = magick_motion_blur(image, **params, angle=angle)
        got = distort(image, 'motion_blur', {**params, 'angle': angle}, rng())
        # ImageMagick 6, Q16 without HDRI: rounded to 16 bits, then truncated to 8.
        sixteen = 257 * expected
        clear = np.abs(sixteen - np.floor(sixteen) - 0.5) > 0.02
        assert np.array_equal(got[clear], np.rint(sixteen[clear]) // 257)
        assert np.abs(got - np.rint(sixteen) // 257).max() <= 1 and clear.mean() > 0.9


@pytest.mark.parametrize(('radius', 'sigma', 'angle'), [(4, 1.5, 17), (20, 7, -45), (1.4, 0.6, 30), (60, 30, 45)])
def test_motion_blur_has_the_bytes_of_the_program_itself(radius, sigma, angle):
    if not (program := shutil.which('convert')):
        pytest.skip('ImageMagick is not installed.')
    about = subprocess.run([program, '-version'], capture_output=True, text=True).stdout
    if 'ImageMagick 6' not in about or ' Q16 ' not in about or 'HDRI' in about:
        pytest.skip(f'Another build than ImageMagick 6, Q16 without HDRI: {about.splitlines()[:1]}.')
    _, png = cv2.imencode('.png', PHOTOGRAPH[:, :, ::-1])
    command = [program, 'png:-', '-motion-blur', f'{radius}x{sigma}+{angle}', 'png:-']
    done = subprocess.run(command, input=png.tobytes(), capture_output=True, check=True)
    theirs = cv2.imdecode(np.frombuffer(done.stdout, np.uint8), cv2.IMREAD_UNCHANGED)[:, :, ::-1]
    ours = distort(PHOTOGRAPH, 'motion_blur', {'radius': radius, 'sigma': sigma, 'angle': angle}, rng())
    # Sums in single precision decide single bytes otherwise.
    assert (ours == theirs).mean() > 0.9995 and np.abs(ours.astype(int) - theirs).max() <= 1


def test_motion_blur_draws_its_angle_evenly_from_minus_45_to_45_degrees():
    point = np.zeros((81, 81), np.uint8)
    point[40, 60] = 255
    angles = []
    for number in range(200):
        streak = distort(point, 'motion_blur', {'radius': 15, 'sigma': 100}, rng(number))
        y, x = np.nonzero(streak)
        far = np.argmax((60 - x) ** 2 + (y - 40) ** 2)
        angles.append(math.degrees(math.atan2(40 - y[far], 60 - x[far])))
    assert stats.kstest(angles, stats.uniform(-45, 90).cdf).pvalue > 0.001
    assert min(angles) < -38 and max(angles) > 38


def test_line_offsets_step_by_one_along_the_longer_direction():
    right, down = line_offsets(9, 0)
    assert right.tolist() == list(range(9)) and not down.any()


def shuffle_slowly(image, reach, generator):
    """One round of the released generator's shuffle, pixel by pixel."""
    height, width = image.shape[:2]
    out = image.copy()
    for y in range(height):
        for x in range(width):
            dy, dx = generator.integers(-reach, reach, 2)
            out[y, x] = image[min(max(y + dy, 0), height - 1), min(max(x + dx, 0), width - 1)]
    return out


def trunc_gaussian(image, sigma):
    return np.uint8(filters.gaussian(image / 255.0, sigma=sigma, channel_axis=-1) * 255 + 1e-9)


@pytest.mark.parametrize('number', [1, 8, 9, 10, 11, 12])
def test_glass_blur_has_the_psnr_and_spectrum_of_its_definition(number):
    params = candidates('glass_blur')[number - 1]
    image = PHOTOGRAPH[:120, :150]
    expected = trunc_gaussian(image, params['sigma'])
    for _ in range(int(params['iterations'])):
        expected = shuffle_slowly(expected, int(params['max_delta']), rng('slow'))
    expected = trunc_gaussian(expected, params['sigma'])
    got = distort(image, 'glass_blur', params, rng('fast'))
    assert psnr(image, got) == pytest.approx(psnr(image, expected), abs=0.15)
    if int(params['iterations']) == 0:
        assert (got != expected).mean() < 0.01, 'without shuffling nothing is random'
    spectra = [np.abs(np.fft.rfft2(picture[:, :, 1].astype(float) - 128)) ** 2 for picture in (got, expected)]
    bands = [[spectrum[a:b, a:b].mean() for a, b in ((1, 8), (8, 16), (16, 30))] for spectrum in spectra]
    assert np.allclose(np.log(bands[0]), np.log(bands[1]), atol=0.5)


def test_the_shuffle_of_glass_blur_draws_offsets_evenly():
    height, width, reach = 200, 240, 3
    # Red and green tell where a pixel came from; sigma 0.1 blurs nothing.
    image = np.zeros((height, width, 3), np.uint8)
    image[:, :, 0] = np.arange(height)[:, None]
    image[:, :, 1] = np.arange(width)
    params = {'sigma': 0.1, 'max_delta': reach, 'iterations': 1}
    got = distort(image, 'glass_blur', params, rng()).astype(int)
    inside = slice(reach, -reach)
    for axis, place in ((0, np.arange(height)[:, None]), (1, np.arange(width))):
        offset = (got[:, :, axis] - place)[inside, inside]
        values, counts = np.unique(offset, return_counts=True)
        assert values.tolist() == list(range(-reach, reach))
        assert stats.chisquare(counts).pvalue > 1e-4
    assert (got[:, :, 0].min(), got[:, :, 0].max()) == (0, height - 1)


def test_levels_get_worse_along_the_table_for_every_one_of_the_ten():
    for name in DISTORTIONS:
        values = [
            np.mean([psnr(PHOTOGRAPH, distort(PHOTOGRAPH, name, params, rng(name, run))) for run in range(2)])
            for params in candidates(name)
        ]
        chosen = [values[number] for number in (0, 4, 7, 9, 11)]
        assert all(a > b for a, b in zip(chosen, chosen[1:], strict=False)), (name, chosen)


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
