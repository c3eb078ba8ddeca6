"""Baselines measure what piq measures, keep it, go on after a kill, and report what they cannot."""

import os
import shutil
import sys
import types
from pathlib import Path

import numpy as np
import pandas as pd
import piq
import pytest
import torch
from helpers_database import picture, write_database
from helpers_refusals import refused
from helpers_responses import write_labelled
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from miqa.benchmark import baselines
from miqa.benchmark.baselines import confidence_scores, labels_without, read_test_images, run, score_images
from miqa.benchmark.baselines.human_vision import FeatureDistance
from miqa.benchmark.baselines.picture_measure import PictureMeasure
from miqa.datasets import MIQDDataset
from miqa.keeping.sealed import write_sealed_json
from miqa.labelling import ScoreFolder, scores_folder
from miqa.machines import ResponseFolder, responses_folder
from miqa.outside.regular_files import UnopenedFile, read_regular
from miqa.pictures import UnreadableImage, read_image
from miqa.taxonomy import LABELS


@pytest.fixture
def database(tmp_path):
    return write_database(tmp_path / 'data', 'cls', sources=6, val_sources=4)


@pytest.fixture(scope='module')
def template(tmp_path_factory):
    root = tmp_path_factory.mktemp('answered') / 'data'
    for task in ('cls', 'det'):
        write_labelled(root, task, {'small': 1.0, 'middle': 2.0, 'large': 4.0})
    return root


@pytest.fixture
def answered(template, tmp_path):
    return shutil.copytree(template, tmp_path / 'data')


def test_test_images_are_those_of_the_dataset_with_all_three_labels(database):
    images = read_test_images(database, 'cls')
    for label in LABELS:
        dataset = MIQDDataset(database, 'cls', label, 'val')
        assert list(images.image) == [dataset.get_data_info(i)['image'] for i in range(len(dataset))]
        np.testing.assert_array_equal(images[label], np.asarray(dataset.labels, np.float64))


def test_psnr_of_a_database_is_that_of_scikit_image(database):
    images = read_test_images(database, 'cls')
    scores = score_images(database, 'cls', images, 'PSNR', progress=False)
    for row, score in zip(images.itertuples(), scores, strict=True):
        clean = read_image(database / 'miqa_cls' / 'src_images' / f'{row.source}.JPEG')
        distorted = read_image(database / 'miqa_cls' / 'images' / row.image)
        assert score == pytest.approx(peak_signal_noise_ratio(clean, distorted), abs=1e-3)


def test_what_was_measured_is_not_measured_again_and_a_killed_run_goes_on(database, monkeypatch):
    images = read_test_images(database, 'cls')
    measured, original, allowed = [], run._measure_source, [2]

    def counting(name, device, clean, root, names):
        if allowed[0] == 0:
            raise KeyboardInterrupt
        allowed[0] -= 1
        measured.extend(names)
        return original(name, device, clean, root, names)

    monkeypatch.setattr(run, '_measure_source', counting)
    monkeypatch.setattr(run, 'PART_IMAGES', 10)
    refused(KeyboardInterrupt, '', score_images, database, 'cls', images, 'SSIM', progress=False)
    allowed[0] = 100
    scores = score_images(database, 'cls', images, 'SSIM', progress=False)
    assert sorted(measured) == sorted(images.image), 'each image was measured exactly once'
    measured.clear()
    pd.testing.assert_series_equal(score_images(database, 'cls', images, 'SSIM', progress=False), scores)
    assert measured == []


def test_an_unreadable_image_has_no_score_and_its_reason_is_kept(database):
    images = read_test_images(database, 'cls')
    broken = database / 'miqa_cls' / 'images' / images.image[3]
    broken.write_bytes(broken.read_bytes()[:60])
    scores = score_images(database, 'cls', images, 'PSNR', progress=False)
    assert np.isnan(scores[3]) and scores.drop(3).notna().all()
    folder = next((database / 'miqa_cls' / 'baselines').iterdir())
    table = pd.concat(pd.read_parquet(part) for part in folder.glob('*.parquet')).set_index('image')
    assert images.image[3] in table.error[images.image[3]] and table.value.notna().sum() == len(images) - 1


def test_another_list_of_images_has_another_cache(tmp_path):
    first, second = baselines.image_list_digest(['a/1.png', 'a/2.png']), baselines.image_list_digest(['a/1.png'])
    assert first != second and first == baselines.image_list_digest(['a/2.png', 'a/1.png'])
    cache = baselines.BaselineCache(tmp_path, 'PSNR', 'piq 0.8.0', first)
    cache.start()
    cache.write([{'image': 'a/1.png', 'value': 1.5, 'error': None}])
    assert list(cache.read().value) == [1.5]
    assert baselines.BaselineCache(tmp_path, 'PSNR', 'piq 0.8.0', second).read().empty
    assert baselines.BaselineCache(tmp_path, 'PSNR', 'piq 0.9.0', first).read().empty
    write_sealed_json(cache.folder / 'manifest.json', {**cache.key, 'images': 'other'})
    refused(ValueError, 'another measure', cache.start)


class SquaredDistance(torch.nn.Module):
    """Stands for a network whose weights cannot be had offline."""

    def __init__(self, reduction):
        super().__init__()

    def forward(self, x, y):
        return ((x - y) ** 2).mean((1, 2, 3))


def test_distances_are_taken_in_batches_and_turned_so_that_higher_is_better(database, monkeypatch):
    monkeypatch.setattr(piq, 'LPIPS', SquaredDistance)
    monkeypatch.setattr('miqa.benchmark.baselines.human_vision.BATCH_PIXELS', 3 * 48 * 40)
    run._build_once.cache_clear()
    images = read_test_images(database, 'cls')
    distance = score_images(database, 'cls', images, 'LPIPS', progress=False)
    psnr = score_images(database, 'cls', images, 'PSNR', progress=False)
    np.testing.assert_allclose(-10 * np.log10(-distance), psnr, atol=1e-3)
    run._build_once.cache_clear()


def test_weights_that_cannot_be_fetched_are_reported_with_what_to_do(monkeypatch):
    def offline(reduction):
        raise OSError('no route to host')

    monkeypatch.setattr(piq, 'DISTS', offline)
    refused(OSError, 'weights of DISTS cannot be fetched .no route to host.*internet access', FeatureDistance, 'DISTS')


def test_pyiqa_is_requested_only_by_name_and_its_absence_is_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, 'pyiqa', None)
    refused(
        ImportError,
        'MANIQA .non-commercial licence. needs pyiqa.*pip install .*pyiqa',
        baselines.build_metric,
        'MANIQA',
    )
    baselines.build_metric('PSNR')


def test_any_metric_of_pyiqa_can_be_named_and_its_direction_is_kept(database, monkeypatch):
    class Darkness(torch.nn.Module):
        lower_better, metric_mode = True, 'NR'

        def forward(self, x):
            return 1 - x.mean((1, 2, 3))[:, None]

    fake = types.ModuleType('pyiqa')
    fake.list_models = lambda: ['darkness']
    fake.create_metric = lambda name, device: Darkness()
    monkeypatch.setitem(sys.modules, 'pyiqa', fake)
    monkeypatch.setattr('miqa.benchmark.baselines.human_vision.metadata.version', lambda name: '1.0')
    images = read_test_images(database, 'cls')
    scores = score_images(database, 'cls', images, 'pyiqa:darkness', progress=False)
    first = read_image(database / 'miqa_cls' / 'images' / images.image[0])
    assert scores[0] == pytest.approx(first.mean() / 255 - 1, abs=1e-5)
    refused(ValueError, "Did you mean 'darkness'", baselines.build_metric, 'pyiqa:darknes')
    run._build_once.cache_clear()


def test_an_unknown_measure_is_refused_with_the_nearest_name():
    refused(ValueError, "Did you mean 'SSIM'", baselines.build_metric, 'SIM')


def test_confidence_of_a_classifier_is_what_its_responses_say(answered):
    table = ResponseFolder(responses_folder(answered, 'cls') / 'small')
    stored = pd.concat(part.to_pandas() for part in table.tables()).set_index('filename')
    stored = stored[stored.distortion.notna()]
    for statistic, expected in (
        ('max_probability', stored.max_probability),
        ('negative_entropy', -stored.entropy),
        ('energy', stored.logsumexp),
    ):
        scores = confidence_scores(answered, 'cls', statistic, 'small')
        np.testing.assert_allclose(scores[stored.index], expected, rtol=1e-6)


def test_confidence_of_a_detector_counts_and_averages_its_scores(answered):
    table = ResponseFolder(responses_folder(answered, 'det') / 'small')
    stored = pd.concat(part.to_pandas() for part in table.tables()).set_index('filename')
    stored = stored[stored.distortion.notna()].scores
    kept = stored.map(lambda scores: scores[scores >= 0.3])
    assert kept.map(len).nunique() == 3
    for statistic, expected in (
        ('expected_count', stored.map(np.sum)),
        ('sum_scores', kept.map(np.sum)),
        ('mean_score', kept.map(lambda scores: scores.mean() if len(scores) else 0.0)),
    ):
        scores = confidence_scores(answered, 'det', statistic, 'small')
        np.testing.assert_allclose(scores[stored.index], expected, rtol=1e-6)


def test_confidence_asks_for_stored_responses_and_for_statistics_of_the_task(answered):
    with pytest.raises(FileNotFoundError, match='nobody has no stored responses.*run_machines'):
        confidence_scores(answered, 'cls', 'energy', 'nobody')
    refused(ValueError, 'confidence statistic of det', confidence_scores, answered, 'det', 'energy', 'small')
    assert baselines.parse_confidence('energy:a:b') == ('energy', 'a:b')
    assert (
        baselines.parse_confidence('energies:a')
        is baselines.parse_confidence('energy')
        is baselines.parse_confidence('energy:')
        is None
    )


def test_labels_without_a_machine_are_the_weighted_mean_of_the_others(answered):
    assert baselines.label_machines(answered, 'cls') == {'small': 1.0, 'middle': 2.0, 'large': 4.0}
    labels = labels_without(answered, 'cls', {'small'})
    scores = {
        name: ScoreFolder(scores_folder(answered, 'cls') / name).read().to_pandas().set_index('filename')
        for name in ('middle', 'large')
    }
    for label in ('consistency', 'accuracy'):
        expected = (2 * scores['middle'][label] + 4 * scores['large'][label]) / 6
        np.testing.assert_allclose(labels[label], expected[labels.index])
    np.testing.assert_allclose(labels.composite, (labels.consistency + labels.accuracy) / 2)


def test_labels_without_no_machine_are_the_databases_own(answered):
    images = read_test_images(answered, 'det')
    labels = labels_without(answered, 'det', ()).loc[images.filename]
    for label in LABELS:
        np.testing.assert_allclose(labels[label], images[label], atol=1e-6)


def test_labels_cannot_be_had_without_every_machine_or_without_a_manifest(answered, database):
    refused(ValueError, 'nothing is left', labels_without, answered, 'cls', {'small', 'middle', 'large'})
    (answered / 'miqa_cls' / 'labels' / 'manifest.json').unlink()
    assert baselines.label_machines(answered, 'cls') is None
    refused(ValueError, 'names the machines', labels_without, answered, 'cls', {'small'})


def test_a_version_of_another_size_than_its_source_is_named(database):
    from PIL import Image

    images = read_test_images(database, 'cls')
    Image.fromarray(picture('x', (30, 30))).save(database / 'miqa_cls' / 'images' / images.image[0])
    scores = score_images(database, 'cls', images, 'PSNR', progress=False)
    assert np.isnan(scores[0]) and scores[1:].notna().all()


@pytest.fixture
def measured(monkeypatch):
    names, original = [], run._measure_source

    def counting(name, device, clean, root, images):
        names.extend(images)
        return original(name, device, clean, root, images)

    monkeypatch.setattr(run, '_measure_source', counting)
    return names


def values(database):
    images = read_test_images(database, 'cls')
    return images, score_images(database, 'cls', images, 'PSNR', progress=False)


def test_a_row_of_error_is_tried_again_and_a_rebuilt_picture_measured_again(database, measured):
    folder = database / 'miqa_cls' / 'images'
    names = list(read_test_images(database, 'cls').image)
    first, second = folder / names[0], folder / names[5]
    kept = second.read_bytes()
    second.write_bytes(kept[:50])
    _, before = values(database)
    assert np.isnan(before[5]) and before.notna().sum() == len(names) - 1
    measured.clear()
    second.write_bytes(kept)
    pixels = np.asarray(Image.open(first)) // 2
    Image.fromarray(pixels).save(first)
    _, after = values(database)
    assert sorted(measured) == sorted([names[0], names[5]])
    assert after.notna().all() and after[0] != before[0]
    # Another source changes all that is compared with it.
    measured.clear()
    source = Path(names[0]).parts[0]
    clean = next((database / 'miqa_cls' / 'src_images').glob(f'{source}.*'))
    Image.fromarray(np.asarray(Image.open(clean)) // 2).save(clean)
    values(database)
    assert sorted(measured) == sorted(name for name in names if name.startswith(f'{source}/'))


def test_links_in_a_circle_are_one_missing_value(database):
    images = read_test_images(database, 'cls')
    path = database / 'miqa_cls' / 'images' / images.image[2]
    path.unlink()
    path.symlink_to(path.name)
    _, scores = values(database)
    assert np.isnan(scores[2]) and scores.notna().sum() == len(images) - 1


def test_a_picture_that_a_measure_cannot_take_is_one_missing_value(database, monkeypatch):
    original = PictureMeasure.__subclasses__()

    def faulty(kind):
        inner = kind.measure

        def measure(self, pictures, reference):
            if any(picture[0, 0, 0] == 7 for picture in pictures):
                raise RuntimeError('kernel size is greater than the picture')
            return inner(self, pictures, reference)

        return measure

    for kind in original:
        monkeypatch.setattr(kind, 'measure', faulty(kind))
    names = read_test_images(database, 'cls').image
    path = database / 'miqa_cls' / 'images' / names[1]
    pixels = np.asarray(Image.open(path)).copy()
    pixels[0, 0] = 7
    Image.fromarray(pixels).save(path)
    _, scores = values(database)
    assert np.isnan(scores[1]) and scores.notna().sum() == len(names) - 1


def test_a_file_that_cannot_be_opened_is_a_bad_picture_wherever_pictures_are_read(tmp_path, monkeypatch):
    (tmp_path / 'a.png').symlink_to('a.png')
    with pytest.raises(UnreadableImage, match=r'a\.png cannot be read: Too many levels of symbolic links'):
        read_image(tmp_path / 'a.png')
    refused(UnopenedFile, 'cannot be read', read_regular, tmp_path / ('x' * 300))
    shutil.copy(__file__, tmp_path / 'b.png')
    monkeypatch.setattr(os, 'open', lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, 'Permission denied')))
    refused(UnreadableImage, r'b\.png cannot be read: Permission denied', read_image, tmp_path / 'b.png')
