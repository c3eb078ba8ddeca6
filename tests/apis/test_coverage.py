"""The whole picture: overlapping squares, their mean and lowest score, and damage that the centre misses."""

import csv

import cv2
import numpy as np
import pytest
from helpers_refusals import refused
from PIL import Image

from miqa.apis import MIQAModel, RealTimeIQA, VideoMIQA
from miqa.apis.inputs import MAX_VIEWS, VIEW_STEP
from miqa.cli.main import main
from miqa.pictures import UnreadableImage
from miqa.pictures.resizing import resize_short_side


@pytest.fixture(scope='module')
def whole(vit_file):
    return MIQAModel(vit_file, device='cpu', coverage='whole')


@pytest.fixture(scope='module')
def center(vit_file):
    return MIQAModel(vit_file, device='cpu')


@pytest.fixture(scope='module')
def wide():
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (18, 32, 3), dtype=np.uint8)
    return cv2.resize(small, (320, 180), interpolation=cv2.INTER_CUBIC)


def test_the_squares_are_cuts_of_the_resized_picture_that_cover_all_of_it(whole, wide):
    views = whole.prepare.views(wide)
    rows, columns, _, size, _ = views.shape
    assert (rows, columns, size) == (2, 3, 64)
    resized = resize_short_side(np.ascontiguousarray(wide[:, :, ::-1]), 72)
    covered = np.zeros(resized.shape[:2], int)
    for row in range(rows):
        for column in range(columns):
            top = round(row * (72 - 64) / (rows - 1))
            left = round(column * (128 - 64) / (columns - 1))
            np.testing.assert_array_equal(
                views[row, column], resized[top : top + 64, left : left + 64].transpose(2, 0, 1)
            )
            covered[top : top + 64, left : left + 64] += 1
    assert covered.min() >= 1


@pytest.mark.parametrize('ratio', [1, 1.2, 16 / 9, 2.4, 5, 40])
def test_neighbouring_squares_overlap_by_an_eighth_for_any_shape(whole, ratio):
    corners = whole.prepare._corners(int(72 * ratio))
    assert corners[0] == 0 and corners[-1] == int(72 * ratio) - 64
    assert max(np.diff(corners), default=0) <= VIEW_STEP * 64 + 1


def test_one_square_and_the_paper_s_score_for_the_centre(center, wide):
    assert center.prepare.views(wide).shape == (1, 1, 3, 64, 64)
    np.testing.assert_array_equal(center.prepare.views(wide)[0, 0], center.prepare(wide))
    [result] = center.assess_all([wide])
    assert result.views is None and result.minimum == result.score and result.extra == {}


def test_the_score_is_the_mean_of_the_squares_and_the_minimum_their_lowest(whole, center, wide):
    [result] = whole.assess_all([wide])
    each = center.score_pixels(whole.prepare.views(wide).reshape(-1, 3, 64, 64))
    assert result.views.ravel() == pytest.approx(each, abs=1e-6)
    assert result.score == pytest.approx(each.mean(), abs=1e-6) and result.minimum == pytest.approx(
        each.min(), abs=1e-6
    )
    assert whole.assess(wide) == pytest.approx(result.score, abs=1e-6)
    shapes = [wide, wide[:, :180], np.ascontiguousarray(wide.transpose(1, 0, 2))]
    assert whole.assess(shapes) == pytest.approx([whole.assess(one) for one in shapes], abs=1e-5)


def test_damage_at_the_side_moves_the_whole_score_and_not_that_of_the_centre(whole, center, wide):
    damaged = wide.copy()
    damaged[:, :60] = 128
    assert center.assess(damaged) == center.assess(wide)
    assert abs(whole.assess(damaged) - whole.assess(wide)) > 1e-4
    change = whole.assess(damaged, heatmap=True).values - whole.assess(wide, heatmap=True).values
    assert np.abs(np.diff(change, axis=1)).max() > 1e-4
    [before], [after] = whole.assess_all([wide]), whole.assess_all([damaged])
    assert (before.views[:, 0] != after.views[:, 0]).all()
    np.testing.assert_allclose(before.views[:, -1], after.views[:, -1], atol=1e-6)


def test_the_map_by_view_covers_the_picture_and_other_maps_are_refused(whole, center, wide):
    result = whole.assess(wide, heatmap=True)
    assert result.method == 'views' and result.values.shape == (2, 3) and result.box == (0, 0, 320, 180)
    assert result.values == pytest.approx(result.score - next(whole.assess_all([wide])).views, abs=1e-6)
    assert result.overlay().size == (320, 180)
    refused(ValueError, "make the model with coverage='center'", whole.assess, wide, heatmap='occlusion')
    refused(ValueError, "make the model with coverage='whole'", center.assess, wide, heatmap='views')


def test_two_views_a_model_are_cut_from_each_square(ra_miqa_file, wide):
    model = MIQAModel(ra_miqa_file, device='cpu', coverage='whole')
    assert model.prepare.views(wide).shape == (1, 2, 3, 48, 48)
    assert np.isfinite(model.assess(wide))


def test_a_strip_that_would_take_too_many_squares_is_refused_and_the_rest_goes_on(whole, wide):
    strip = np.zeros((4, 4 * MAX_VIEWS, 3), np.uint8)
    result = list(whole.assess_all([strip, wide]))
    assert isinstance(result[0].error, UnreadableImage) and f'at most {MAX_VIEWS}' in str(result[0].error)
    assert result[1].error is None


def test_the_command_writes_the_minimum_and_does_not_mix_the_two_kinds_of_scores(tmp_path, vit_file, wide, capsys):
    Image.fromarray(wide).save(tmp_path / 'a.png')
    out = str(tmp_path / 'scores.csv')
    arguments = ['image', str(tmp_path / 'a.png'), '--model', str(vit_file), '--out', out, '--quiet']
    main([*arguments, '--coverage', 'whole'])
    with open(out, newline='') as stream:
        [row] = csv.DictReader(stream)
    model = MIQAModel(vit_file, device='cpu', coverage='whole')
    [result] = model.assess_all([str(tmp_path / 'a.png')])
    assert float(row['score']) == pytest.approx(result.score, abs=1e-6)
    assert float(row['minimum']) == pytest.approx(result.minimum, abs=1e-6)
    assert row['model'].endswith('coverage=whole')
    main([*arguments, '--coverage', 'whole'])
    refused(SystemExit, '', main, arguments)
    assert 'holds results of the model' in capsys.readouterr().err
    for suffix in ('parquet', 'json', 'jsonl'):
        main([*arguments[:-3], '--out', str(tmp_path / f's.{suffix}'), '--quiet', '--coverage', 'whole'])
        assert (tmp_path / f's.{suffix}').stat().st_size


def test_videos_and_cameras_take_it_too(tmp_path, vit_file, wide):
    frames = [wide, wide // 2, 255 - wide]
    path = str(tmp_path / 'x.avi')
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*'MJPG'), 5, (320, 180))
    for frame in frames:
        writer.write(frame)
    writer.release()
    whole = VideoMIQA(str(vit_file), coverage='whole').assess_video(path)
    center = VideoMIQA(str(vit_file)).assess_video(path)
    assert whole['num_frames_analyzed'] == center['num_frames_analyzed'] == 3
    assert whole['mean_score'] != center['mean_score']
    live = [RealTimeIQA(str(vit_file), coverage=coverage).assess_frame(wide) for coverage in ('whole', 'center')]
    assert live[0] != live[1]


def test_an_exported_file_takes_it_too(exported, ra_miqa_file, wide):
    expected = MIQAModel(ra_miqa_file, device='cpu', coverage='whole').assess(wide)
    assert MIQAModel(exported[1]['.onnx'], coverage='whole').assess(wide) == pytest.approx(expected, abs=1e-4)
