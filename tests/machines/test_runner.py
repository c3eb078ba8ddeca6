"""Responses of machines: kept whole, resumed, shared out, and honest about unreadable images."""

import json
import re
import zlib
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers_machines import bright_squares, brightness_classes, save, write_cls_database, write_det_database
from helpers_refusals import refused

from miqa.distortions.captured import build_captured
from miqa.keeping.sealed import write_sealed_json
from miqa.labelling import read_classes
from miqa.machines import CallableMachine, ResponseFolder, list_sources, run_machine, shard_of
from miqa.machines.responses import read_detections


def classifier(**options):
    return CallableMachine(brightness_classes, 'cls', 'brightness', **options)


def rows_of(folder):
    return sorted(
        (row for table in ResponseFolder(folder).tables() for row in table.to_pylist()), key=lambda row: row['filename']
    )


def run(root, folder, machine=None, shard=(1, 1), **options):
    sources = shard_of(list_sources(root, 'cls'), shard)
    return run_machine(machine or classifier(), sources, folder, shard=shard, progress=False, **options)


def test_every_image_has_one_response_with_what_the_classifier_said(tmp_path):
    write_cls_database(tmp_path)
    truth = read_classes(tmp_path / 'miqa_cls/ground_truth.csv')
    counts = run(tmp_path, tmp_path / 'r', true_classes=truth, store_probabilities=True)
    assert counts == {'images': 12, 'kept': 0, 'unreadable': 0}
    rows = rows_of(tmp_path / 'r')
    assert len({row['filename'] for row in rows}) == 12
    bright = next(row for row in rows if row['filename'] == 's2.png')
    (p,) = brightness_classes([np.full((30, 40, 3), 215, np.uint8)])
    assert bright['top1'] == 2 and bright['distortion'] is None and (bright['width'], bright['height']) == (40, 30)
    assert bright['max_probability'] == pytest.approx(p.max(), rel=1e-6)
    assert bright['true_probability'] == pytest.approx(p[2], rel=1e-6)
    assert bright['entropy'] == pytest.approx(-(p * np.log(p)).sum(), rel=1e-5)
    assert bright['logsumexp'] is None
    np.testing.assert_allclose(np.frombuffer(bright['probabilities'], '<f2'), p, atol=5e-4)


@pytest.mark.parametrize('workers', [0, 2])
def test_shards_workers_and_batches_do_not_change_responses(tmp_path, workers):
    write_cls_database(tmp_path)
    run(tmp_path, tmp_path / 'whole', batch_size=5)
    for i in (1, 2):
        run(tmp_path, tmp_path / 'shared', shard=(i, 2), batch_size=3, workers=workers, sources_per_part=1)
    assert rows_of(tmp_path / 'shared') == rows_of(tmp_path / 'whole')


def test_a_killed_run_goes_on_and_loses_nothing_but_the_unfinished_part(tmp_path):
    write_cls_database(tmp_path)

    def dies_at_the_last_source(images):
        if any(image.mean() > 200 for image in images):
            raise KeyboardInterrupt
        return brightness_classes(images)

    dies_at_the_last_source.__qualname__ = brightness_classes.__qualname__
    broken = classifier()
    broken._call = dies_at_the_last_source
    refused(KeyboardInterrupt, '', run, tmp_path, tmp_path / 'r', broken, batch_size=4, sources_per_part=1)
    assert len(ResponseFolder(tmp_path / 'r').done()) == 8
    counts = run(tmp_path, tmp_path / 'r', batch_size=4, sources_per_part=1)
    assert counts == {'images': 4, 'kept': 8, 'unreadable': 0}
    run(tmp_path, tmp_path / 'whole')
    assert rows_of(tmp_path / 'r') == rows_of(tmp_path / 'whole')
    assert run(tmp_path, tmp_path / 'r')['images'] == 0


def test_an_answer_is_not_kept_for_a_picture_that_was_changed_since(tmp_path):
    root = write_cls_database(tmp_path)
    run(root, tmp_path / 'r', sources_per_part=1)
    picture, other = (min((root / 'miqa_cls/images' / name).iterdir()) for name in ('s1', 's2'))
    picture.write_bytes(picture.read_bytes())  # the same bytes, made again
    assert run(root, tmp_path / 'r')['kept'] == 12
    picture.write_bytes(other.read_bytes())
    error = refused(ValueError, rf'{picture.name} was changed after r saw it', run, root, tmp_path / 'r')
    Path(re.search(r'Delete (\S+),', str(error))[1]).unlink()
    assert run(root, tmp_path / 'r', sources_per_part=1) == {'images': 4, 'kept': 8, 'unreadable': 0}
    (row,) = (row for row in rows_of(tmp_path / 'r') if row['filename'] == picture.name)
    assert row['crc32'] == zlib.crc32(other.read_bytes())


def test_the_checksums_fit_and_a_part_without_one_is_added(tmp_path):
    write_cls_database(tmp_path)
    run(tmp_path, tmp_path / 'r', sources_per_part=1)
    store = ResponseFolder(tmp_path / 'r')
    listed = store.checksums()
    assert set(listed) == {part.name for part in store.parts()} and len(listed) == 3
    path = tmp_path / 'r/checksums-0001-of-0001.json'
    first = sorted(listed)[0]
    write_sealed_json(path, {key: value for key, value in listed.items() if key != first})
    store.write_part(rows_of(tmp_path / 'r')[:1], 'cls', (1, 1))
    assert store.checksums()[first] == listed[first]
    path.unlink()
    run(tmp_path, tmp_path / 'r')  # with nothing left to do
    assert store.checksums().items() >= listed.items()


def test_an_unreadable_image_is_recorded_with_the_reason(tmp_path):
    write_cls_database(tmp_path)
    victim = tmp_path / 'miqa_cls/images/s1/s1_darkness_2.png'
    victim.write_bytes(victim.read_bytes()[:60])
    assert run(tmp_path, tmp_path / 'r') == {'images': 12, 'kept': 0, 'unreadable': 1}
    bad = [row for row in rows_of(tmp_path / 'r') if row['error']]
    assert [row['filename'] for row in bad] == ['s1_darkness_2.png']
    assert str(victim) in bad[0]['error'] and bad[0]['top1'] is None
    assert set(ResponseFolder(tmp_path / 'r').unreadable()) == {'s1_darkness_2.png'}


def test_responses_of_other_weights_are_not_mixed(tmp_path):
    write_cls_database(tmp_path)
    run(tmp_path, tmp_path / 'r', classifier(version='1'))
    refused(ValueError, 'other weights', run, tmp_path, tmp_path / 'r', classifier(version='2'))
    with pytest.raises(ValueError, match='other parameters'):
        run(tmp_path, tmp_path / 'r', classifier(version='1'), store_probabilities=True)


def test_the_manifest_says_what_made_the_responses(tmp_path):
    write_cls_database(tmp_path)
    machine = classifier(weight=2.5)
    run(tmp_path, tmp_path / 'r', machine)
    manifest = json.loads((tmp_path / 'r/manifest.json').read_text())
    assert manifest['machine']['fingerprint'] == machine.fingerprint and manifest['machine']['weight'] == 2.5
    assert manifest['machine']['function'] == 'helpers_machines:brightness_classes'
    assert {'python', 'torch', 'numpy', 'pillow'} <= set(manifest['versions'])


def test_detections_come_back_as_they_were(tmp_path):
    write_det_database(tmp_path)
    machine = CallableMachine(bright_squares, 'det', 'squares', classes=['square'])
    run_machine(machine, list_sources(tmp_path, 'det'), tmp_path / 'r', progress=False)
    rows = {row['filename']: row for row in rows_of(tmp_path / 'r')}
    answers = read_detections(rows['000000000001_snow_2.png'], 'det')
    np.testing.assert_array_equal(answers.boxes, [[10, 5, 25, 25]])
    assert answers.scores.dtype == np.float32 and answers.labels.tolist() == [0]
    assert len(read_detections(rows['000000000001_snow_3.png'], 'det').scores) == 0


def test_a_wrong_answer_names_machine_and_image(tmp_path):
    write_cls_database(tmp_path)
    with pytest.raises(ValueError, match='softmax'):
        run(tmp_path, tmp_path / 'r', CallableMachine(lambda images: [np.array([3.0, 1.0])] * len(images), 'cls', 'x'))
    with pytest.raises(ValueError, match='brightness on s0.png: The ground truth says class 9'):
        run(tmp_path, tmp_path / 'q', true_classes={'s0': 9, 's1': 0, 's2': 0})


def test_parts_are_zstd_parquet_that_other_tools_can_read(tmp_path):
    write_cls_database(tmp_path)
    run(tmp_path, tmp_path / 'r')
    (part,) = ResponseFolder(tmp_path / 'r').parts()
    assert pq.ParquetFile(part).metadata.row_group(0).column(0).compression == 'ZSTD'


def narrow_minded(images):
    """A classifier that cannot look at pictures of one row."""
    if any(len(image) == 1 for image in images):
        raise RuntimeError('Input and output sizes should be greater than 0')
    return brightness_classes(images)


def blind(images):
    """A classifier that cannot look at anything."""
    raise RuntimeError('no weights')


@pytest.mark.parametrize('bad_first', [True, False])
def test_a_picture_that_a_machine_cannot_look_at_costs_itself_alone(tmp_path, bad_first):
    sources = list_sources(write_cls_database(tmp_path, values=(40, 128)), 'cls')
    name = sources[0 if bad_first else 1].names[2]
    save(tmp_path / 'miqa_cls/images' / name.split('_')[0] / name, np.zeros((1, 50, 3)))
    folder = tmp_path / 'answers'
    counts = run_machine(CallableMachine(narrow_minded, 'cls', 'n'), sources, folder, progress=False)
    assert (counts['images'], counts['unreadable']) == (8, 1)
    errors = [row['error'] for row in rows_of(folder) if row['error']]
    assert errors == [f'{name} (50x1 pixels) gets no answer: Input and output sizes should be greater than 0']


def test_a_machine_that_cannot_look_at_any_picture_ends_the_run_with_its_own_error(tmp_path):
    sources = list_sources(write_cls_database(tmp_path), 'cls')
    with pytest.raises(RuntimeError, match='no weights'):
        run_machine(CallableMachine(blind, 'cls', 'b'), sources, tmp_path / 'answers', progress=False)


class Choosy(CallableMachine):
    """A classifier whose preparation fails at small pictures."""

    def __init__(self):
        super().__init__(brightness_classes, 'cls', 'choosy')
        self.prepare = enlarge


def enlarge(image):
    if len(image) == 1:
        raise ArithmeticError('inv_scale_x > 0')
    return image


def test_a_picture_that_cannot_be_prepared_costs_itself_alone(tmp_path):
    sources = list_sources(write_cls_database(tmp_path, values=(40,)), 'cls')
    save(tmp_path / 'miqa_cls/images/s0' / sources[0].names[1], np.zeros((1, 50, 3)))
    counts = run_machine(Choosy(), sources, tmp_path / 'answers', progress=False)
    assert (counts['images'], counts['unreadable']) == (4, 1)


def test_a_picture_that_stands_for_itself_is_shown_once_and_answered_twice(tmp_path):
    shots = [tmp_path / f'{name}.png' for name in 'abc']
    for path, value in zip(shots, (30, 120, 215), strict=True):
        save(path, np.full((30, 40, 3), value, np.uint8))
    build_captured({path.stem: (path, [path]) for path in shots}, tmp_path, 'cls', progress=False)
    seen = []

    def counted(images):
        seen.extend(images)
        return brightness_classes(images)

    counted.__qualname__ = brightness_classes.__qualname__
    once = run(tmp_path, tmp_path / 'once', CallableMachine(counted, 'cls', 'brightness'), unpaired=True, batch_size=2)
    assert len(seen) == 3
    twice = run(tmp_path, tmp_path / 'twice', CallableMachine(counted, 'cls', 'brightness'), batch_size=2)
    assert len(seen) == 9
    assert once == twice == {'images': 6, 'kept': 0, 'unreadable': 0}
    assert rows_of(tmp_path / 'once') == rows_of(tmp_path / 'twice')
    second = run(tmp_path, tmp_path / 'once', CallableMachine(counted, 'cls', 'brightness'), unpaired=True)
    assert second == {'images': 0, 'kept': 6, 'unreadable': 0}
