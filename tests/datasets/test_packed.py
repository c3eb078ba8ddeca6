"""Packed pictures: the same pixels, whole or refused, and packing that survives a kill."""

import json
import os
import pickle
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from helpers_database import source_ids, write_database, write_split
from helpers_refusals import refused
from torch.utils.data import DataLoader

from miqa.datasets import DatabaseError, MIQDDataset, open_index
from miqa.datasets import packing as packing_module
from miqa.datasets.packed import PackedPictures
from miqa.datasets.packed_check import check_packed
from miqa.datasets.packing import Packing
from miqa.datasets.pixel_coding import ENCODINGS, decode_pixels, encode_pixels
from miqa.keeping import InUse, only_writer
from miqa.layout import image_root
from miqa.pictures import UnreadableImage

LOAD = [{'type': 'LoadImage'}, {'type': 'ResizeShortSide', 'size': 24}]
TRAIN = [*LOAD, {'type': 'PackViews', 'image': 16, 'region': 24, 'random': True}]
TEST = [*LOAD, {'type': 'PackViews', 'image': 16, 'region': 24}]


@pytest.fixture
def root(tmp_path):
    return write_database(tmp_path / 'db', 'det', sources=4, versions=10, size=(45, 31))


def packing_of(root, folder, task='det', split='train', **options):
    index = open_index(root, task, split, options.pop('missing', 'error'))
    options = {'short_side': 24, 'images_per_shard': 8, 'images_per_batch': 4, **options}
    return Packing(index, image_root(root, task), folder, **options)


@pytest.fixture
def packed(root, tmp_path):
    packing_of(root, tmp_path / 'packed').run(progress=False)
    return tmp_path / 'packed'


def same_items(first, second):
    for position in range(len(first)):
        mine, theirs = first[position], second[position]
        assert mine['inputs'].keys() == theirs['inputs'].keys()
        for view, pixels in mine['inputs'].items():
            assert torch.equal(pixels, theirs['inputs'][view]), (position, view)
        assert mine['data_sample'].gt_score == theirs['data_sample'].gt_score


@pytest.mark.parametrize('encoding', ENCODINGS)
@pytest.mark.parametrize('size', [(1, 1), (2, 1), (1, 5), (37, 24), (640, 288)], ids=str)
@pytest.mark.parametrize('kind', ['noise', 'flat', 'smooth'])
def test_pixels_are_coded_without_loss(encoding, size, kind):
    width, height = size
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    if kind == 'flat':
        picture[:] = 255
    if kind == 'smooth':
        picture = np.sort(picture, axis=1)
    assert np.array_equal(decode_pixels(encode_pixels(picture, encoding), height, width, encoding), picture)


def test_smooth_pictures_take_less_than_half():
    grain = np.random.default_rng(0).integers(0, 3, (288, 384, 3))
    ramp = np.add.outer(np.arange(288), np.arange(384))[:, :, None] // 4 + grain
    assert len(encode_pixels(ramp.astype(np.uint8), 'zstd')) < 0.5 * ramp.size


@pytest.mark.parametrize('encoding', ENCODINGS)
@pytest.mark.parametrize('pipeline', [TRAIN, TEST], ids=['train', 'test'])
def test_items_are_the_same_as_from_the_files(root, tmp_path, encoding, pipeline):
    manifest = packing_of(root, tmp_path / 'packed', encoding=encoding).run(progress=False)
    assert manifest['images'] == 30 and len(manifest['shards']) == 4 and manifest['unreadable'] == 0
    plain = MIQDDataset(root, 'det', pipeline=pipeline, seed=3)
    same_items(plain, MIQDDataset(root, 'det', pipeline=pipeline, seed=3, packed=tmp_path / 'packed'))


def test_flips_give_the_same_pixels_and_rotation_is_refused(root, packed):
    flips = [LOAD[0], {'type': 'RandomFlip'}, LOAD[1], TRAIN[-1]]
    same_items(MIQDDataset(root, 'det', pipeline=flips), MIQDDataset(root, 'det', pipeline=flips, packed=packed))
    turned = [LOAD[0], {'type': 'RandomRotation'}, LOAD[1], TRAIN[-1]]
    with pytest.raises(ValueError, match='RandomRotation turns the original'):
        MIQDDataset(root, 'det', pipeline=turned, packed=packed)[0]


@pytest.mark.parametrize('method', ['fork', 'spawn'])
def test_workers_map_the_shards_themselves(root, packed, method):
    dataset = MIQDDataset(root, 'det', pipeline=TRAIN, packed=packed)
    dataset[0]
    assert len(pickle.dumps(dataset)) < 5000
    loader = DataLoader(dataset, 3, num_workers=2, collate_fn=list, multiprocessing_context=method)
    items = [item for batch in loader for item in batch]
    plain = MIQDDataset(root, 'det', pipeline=TRAIN)
    assert all(torch.equal(items[i]['inputs']['image'], plain[i]['inputs']['image']) for i in range(30))


def test_ins_and_parts_of_a_split_use_the_folder_packed_for_det(root, packed):
    write_database(root, 'ins', sources=4, versions=10, size=(45, 31))
    for label in ('accuracy', 'consistency'):
        path = root / 'miqa_ins' / 'labels' / f'{source_ids("det", 4)[1]}_{label}.csv'
        pd.read_csv(path).iloc[::-1].to_csv(path, index=False)
    write_split(root, 'ins', 'train', [source_ids('det', 4)[number] for number in (2, 1)])
    dataset = MIQDDataset(root, 'ins', pipeline=TRAIN, packed=packed)
    assert len(dataset) == 20
    same_items(MIQDDataset(root, 'ins', pipeline=TRAIN), dataset)
    same_items(dataset, pickle.loads(pickle.dumps(dataset)))


def test_parallel_packing_writes_the_same_shards(root, packed, tmp_path):
    packing_of(root, tmp_path / 'parallel').run(workers=2, progress=False)
    for path in packed.glob('shard_*.arrow'):
        assert path.read_bytes() == (tmp_path / 'parallel' / path.name).read_bytes()


# What does not belong together


def test_a_folder_of_other_images_is_refused(root, packed):
    with pytest.raises(DatabaseError, match='10 of 10 images, such as .* are not in the packed folder'):
        MIQDDataset(root, 'det', split='val', packed=packed)


def test_changed_files_are_noticed_at_opening(root, packed):
    dataset = MIQDDataset(root, 'det')
    path = Path(dataset.get_data_info(3)['path'])
    data, written = path.read_bytes(), path.stat().st_mtime_ns
    # A copied database has other time stamps, which is all right.
    os.utime(path, (1, 1))
    MIQDDataset(root, 'det', packed=packed)
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    os.utime(path, ns=(written, written))
    with pytest.raises(DatabaseError, match=f'packed from other files: the contents of {path} have changed'):
        MIQDDataset(root, 'det', packed=packed)
    path.write_bytes(data + b'x')
    with pytest.raises(DatabaseError, match=f'{path} has {len(data) + 1} bytes now and had {len(data)}'):
        check_packed(packed, image_root(root, 'det'), progress=False)
    path.write_bytes(data)
    assert check_packed(packed, image_root(root, 'det'), progress=False)['images'] == 30


def test_another_short_side_is_refused(root, packed):
    with pytest.raises(ValueError, match=r'short side of 24 pixels \(bilinear\), but the config resizes to 30'):
        MIQDDataset(root, 'det', pipeline=[LOAD[0], {'type': 'ResizeShortSide', 'size': 30}], packed=packed)


def test_pictures_resized_otherwise_are_refused_and_packed_on_request(root, packed, tmp_path):
    bicubic = {'type': 'ResizeShortSide', 'size': 24, 'interpolation': 'bicubic'}
    pipeline = [LOAD[0], bicubic, {'type': 'PackViews', 'image': 16, 'region': 24}]
    with pytest.raises(ValueError, match=r'--short-side 24 --interpolation bicubic'):
        MIQDDataset(root, 'det', pipeline=pipeline, packed=packed)
    packing_of(root, tmp_path / 'bicubic', interpolation='bicubic').run(progress=False)
    own = MIQDDataset(root, 'det', pipeline=pipeline)
    same_items(own, MIQDDataset(root, 'det', pipeline=pipeline, packed=tmp_path / 'bicubic'))
    refused(ValueError, r'24 pixels \(bicubic\)', MIQDDataset, root, 'det', pipeline=TEST, packed=tmp_path / 'bicubic')
    # A folder that was begun one way does not go on another way.
    refused(DatabaseError, '', packing_of(root, tmp_path / 'bicubic').run, progress=False)


def test_a_folder_that_was_never_packed_is_refused(root, tmp_path):
    refused(DatabaseError, 'never packed there, or packing has not finished', MIQDDataset, root, 'det', packed=tmp_path)


# Damage


def test_a_changed_byte_in_the_pixels_is_found_when_it_is_read(root, packed):
    path = packed / 'shard_00001.arrow'
    reader = pa.ipc.open_file(pa.memory_map(str(path)))
    pixels = reader.get_batch(0).column('pixels')[2].as_buffer()
    offset = path.read_bytes().index(pixels.to_pybytes())
    del reader, pixels
    with open(path, 'r+b') as stream:
        stream.seek(offset + 5)
        byte = stream.read(1)[0]
        stream.seek(offset + 5)
        stream.write(bytes([byte ^ 4]))
    dataset = MIQDDataset(root, 'det', pipeline=TRAIN, packed=packed)
    dataset[9]
    with pytest.raises(DatabaseError, match=rf'{dataset.get_data_info(10)["image"]} in {path} is damaged'):
        dataset[10]
    refused(DatabaseError, rf'{path} is damaged: its SHA-256', check_packed, packed, None, progress=False)
    # As the message says: delete the shard, and run again.
    path.unlink()
    packing_of(root, packed).run(progress=False)
    same_items(MIQDDataset(root, 'det', pipeline=TRAIN), MIQDDataset(root, 'det', pipeline=TRAIN, packed=packed))


@pytest.mark.parametrize('damage, words', [
    (lambda path: path.unlink(), 'is missing'),
    (lambda path: path.write_bytes(path.read_bytes()[:1000]), 'is damaged'),
    (lambda path: shutil.copy(path.with_name('images.arrow'), path), 'not a shard of packed pictures'),
])  # fmt: skip
def test_a_missing_cut_or_foreign_shard_is_named(root, packed, damage, words):
    path = packed / 'shard_00002.arrow'
    damage(path)
    with pytest.raises(DatabaseError, match=words) as caught:
        MIQDDataset(root, 'det', pipeline=TRAIN, packed=packed)[17]
    assert str(path) in str(caught.value)


def test_unreadable_pictures_stop_packing_or_are_kept_as_such(root, tmp_path):
    info = MIQDDataset(root, 'det').get_data_info(5)
    Path(info['path']).write_bytes(b'')
    refused(UnreadableImage, info['image'], packing_of(root, tmp_path / 'packed').run, progress=False)
    assert packing_of(root, tmp_path / 'packed', bad_images='skip').run(progress=False)['unreadable'] == 1
    dataset = MIQDDataset(root, 'det', pipeline=TRAIN, packed=tmp_path / 'packed')
    with pytest.raises(UnreadableImage, match=r'is empty \(0 bytes\)'):
        dataset[5]
    skipping = MIQDDataset(root, 'det', pipeline=TRAIN, packed=tmp_path / 'packed', bad_images='skip')
    assert skipping[5]['data_sample'].bad_path == info['path']


# Packing


def test_a_finished_folder_is_left_as_it_is(root, packed):
    before = {path.name: path.stat().st_mtime_ns for path in packed.glob('*.arrow')}
    packing_of(root, packed).run(progress=False)
    assert {path.name: path.stat().st_mtime_ns for path in packed.glob('*.arrow')} == before


def test_other_settings_images_or_files_in_the_folder_are_refused(root, packed, tmp_path):
    refused(DatabaseError, 'short_side was 24, is 30', packing_of(root, packed, short_side=30).run, progress=False)
    refused(DatabaseError, 'images was 30, is 10', packing_of(root, packed, split='val').run, progress=False)
    write_split(root, 'det', 'val', [])
    write_split(root, 'det', 'train', [source_ids('det', 4)[number] for number in (1, 2, 3)])
    (root / 'splits' / 'miqa_det_val.csv').unlink()
    refused(DatabaseError, 'begun with other images', packing_of(root, packed).run, progress=False)
    other = tmp_path / 'thesis'
    other.mkdir()
    (other / 'thesis.tex').write_text('years of work')
    refused(DatabaseError, r'holds other files \(thesis.tex\)', packing_of(root, other).run, progress=False)
    for options in ({'encoding': 'zip'}, {'images_per_shard': 10}, {'short_side': 0}):
        refused(ValueError, '', packing_of, root, tmp_path / 'x', **options)


def test_two_at_once_are_refused(root, tmp_path):
    packing = packing_of(root, tmp_path / 'packed')
    (tmp_path / 'packed').mkdir()
    with only_writer(tmp_path / 'packed', ''), pytest.raises(InUse, match='pack into another folder'):
        packing.run(progress=False)


def test_the_estimate_is_near_what_is_written(root, tmp_path):
    packing = packing_of(root, tmp_path / 'packed')
    estimate = packing.estimate()
    assert (estimate.images, estimate.done) == (30, 0) and not (tmp_path / 'packed').exists()
    manifest = packing.run(progress=False)
    shards = [pa.ipc.open_file(str(path)).read_all() for path in (tmp_path / 'packed').glob('shard*')]
    pixels = sum(len(value) for shard in shards for value in shard['pixels'].to_pylist())
    assert estimate.total_bytes == pytest.approx(pixels + 100 * 30, rel=0.01)
    assert manifest['images'] == 30
    assert packing.estimate().missing_bytes == 0
    assert '30 pictures, about' in str(estimate)


def test_a_full_disk_is_reported_before_anything_is_written(root, tmp_path, monkeypatch):
    real = shutil.disk_usage
    monkeypatch.setattr(packing_module.shutil, 'disk_usage', lambda path: real(path)._replace(free=1000))
    refused(DatabaseError, 'has 0.00 GB free', packing_of(root, tmp_path / 'packed').run, progress=False)
    assert not list((tmp_path / 'packed').glob('shard*'))


SCRIPT = """
import sys, time
from miqa.datasets import open_index, packing
real = packing.Packing._pack_many
def slow(self, images):
    print('batch', flush=True)
    time.sleep(0.3)
    return real(self, images)
packing.Packing._pack_many = slow
index = open_index(sys.argv[1], 'det', 'train')
packing.Packing(index, sys.argv[1] + '/miqa_det/images', sys.argv[2], 24, 'zstd', 8, 4).run(progress=False)
"""


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(warm, root, packed, tmp_path):
    folder = tmp_path / 'killed'
    command = [warm.folder / 'python', '-c', SCRIPT, root, folder]
    victim = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    batches = 0
    while batches < 4:
        line = victim.stdout.readline()
        assert line, 'the packing process ended too early'
        batches += line.strip() == 'batch'
    victim.send_signal(signal.SIGKILL)
    victim.communicate()  # its end: the command itself holds the pipe
    assert not (folder / 'packed.json').exists()
    done = {path.name: path.stat().st_mtime_ns for path in folder.glob('shard_*.arrow')}
    assert list(done) == ['shard_00000.arrow']
    refused(DatabaseError, 'packing has not finished', PackedPictures, folder, open_index(root, 'det', 'train'))
    packing_of(root, folder).run(progress=False)
    assert (folder / 'shard_00000.arrow').stat().st_mtime_ns == done['shard_00000.arrow']
    assert json.loads((folder / 'packed.json').read_text()) == json.loads((packed / 'packed.json').read_text())


def test_the_tool_estimates_and_packs(warm, root, tmp_path):
    tool = Path(__file__).parents[2] / 'tools' / 'data' / 'pack.py'
    out = tmp_path / 'packed'
    command = ['python', tool, root, '--task', 'det', '--split', 'train', '--out', out, '--workers', 1, '--short-side']
    packed = warm.call(*command, 24, cwd=tmp_path).stdout
    assert '30 pictures, about' in packed and '30 pictures in 1 shards' in packed
    failed = warm.call(*command, 30, cwd=tmp_path)
    assert failed.returncode == 1 and 'was begun with other settings' in failed.stderr
