"""The dataset: items, labels, broken images, workers, and the real pictures of MIQD-2.5M."""

import csv
import json
import pickle

import numpy as np
import pytest
import torch
from helpers_database import source_ids, write_database
from helpers_real_samples import lay_out_real_samples
from helpers_refusals import refused
from PIL import Image
from torch.utils.data import DataLoader

from miqa.datasets import MIQDDataset, list_bad_images
from miqa.pictures import UnreadableImage
from miqa.registry import DATASETS
from miqa.taxonomy import LABELS, parse_version_name

LOAD = [{'type': 'LoadImage'}, {'type': 'ResizeShortSide', 'size': 40}]
TRAIN = [*LOAD, {'type': 'PackViews', 'image': 32, 'region': 40, 'random': True}]
TEST = [*LOAD, {'type': 'PackViews', 'image': 32, 'region': 40}]


@pytest.fixture
def root(tmp_path):
    return write_database(tmp_path / 'db', 'cls', sources=3, versions=6, size=(60, 44), val_sources=1)


def folder_of(root, number=0):
    return root / 'miqa_cls' / 'images' / source_ids('cls', 3)[number]


def test_an_item_is_what_the_agreement_says(root):
    dataset = DATASETS.build({'type': 'MIQDDataset', 'data_root': str(root), 'task': 'cls', 'pipeline': TRAIN})
    assert len(dataset) == 12
    item = dataset[7]
    assert set(item) == {'inputs', 'data_sample'}
    views = {name: (view.dtype, tuple(view.shape)) for name, view in item['inputs'].items()}
    assert views == {'image': (torch.uint8, (3, 32, 32)), 'region': (torch.uint8, (3, 40, 40))}
    sample = item['data_sample']
    assert sample.gt_score.dtype == torch.float32 and sample.gt_score.shape == ()
    assert sample.gt_score.item() == dataset.labels[7]
    info = dataset.get_data_info(7)
    for name in ('index', 'image', 'source', 'task', 'label', 'distortion', 'fg_level', 'bg_level'):
        assert sample.get(name) == info[name], name
    version = parse_version_name(info['image'].split('/')[1])
    assert version == (info['source'], info['distortion'], info['fg_level'], info['bg_level'])
    assert (dataset.image_root / info['image']).is_file() and info['index'] == 7


def test_a_test_item_of_two_views_has_one_tensor_and_without_a_pipeline_there_are_labels_only(root):
    assert set(MIQDDataset(root, 'cls', split='test', pipeline=TEST)[0]['inputs']) == {'region'}
    assert set(MIQDDataset(root, 'cls')[0]) == {'data_sample'}


@pytest.mark.parametrize('label', LABELS)
def test_labels_are_an_array_of_the_chosen_label(root, label):
    dataset = MIQDDataset(root, 'cls', label=label)
    assert dataset.labels.dtype == np.float32 and dataset.labels.shape == (12,)
    with open(root / 'miqa_cls' / 'labels' / f'{source_ids("cls", 3)[1]}_mmos.csv', encoding='utf-8') as stream:
        rows = list(csv.DictReader(stream))
    consistency, accuracy = (float(rows[2][f'weighted_{name}']) for name in ('consistency', 'accuracy'))
    expected = {'consistency': consistency, 'accuracy': accuracy, 'composite': (consistency + accuracy) / 2}
    assert dataset.labels[8] == pytest.approx(expected[label], abs=1e-7)


def test_positions_count_from_the_end_too_and_no_further(root):
    dataset = MIQDDataset(root, 'cls')
    assert dataset.get_data_info(-1) == dataset.get_data_info(11)
    for position in (12, -13):
        with pytest.raises(IndexError, match='no sample'):
            dataset[position]


def test_metainfo_fits_into_json_and_into_a_checkpoint(root, tmp_path):
    info = MIQDDataset(root, 'cls', split='val').metainfo
    assert json.loads(json.dumps(info)) == info
    torch.save({'dataset_meta': info}, tmp_path / 'x.pth')
    assert torch.load(tmp_path / 'x.pth', weights_only=True)['dataset_meta'] == info
    assert (info['task'], info['label'], info['split'], info['samples']) == ('cls', 'composite', 'val', 6)


def test_wrong_options_suggest_the_right_ones(root):
    refused(ValueError, "Did you mean 'composite'", MIQDDataset, root, 'cls', label='composit')
    refused(ValueError, 'bad_images', MIQDDataset, root, 'cls', bad_images='ignore')
    refused(TypeError, 'labell', MIQDDataset, root, 'cls', labell='composite')


def test_a_pickled_dataset_is_small_and_gives_the_same_items(root):
    dataset = MIQDDataset(root, 'cls', pipeline=TRAIN, seed=4)
    dataset.set_epoch(3)
    data = pickle.dumps(dataset)
    assert len(data) < 5000
    copy = pickle.loads(data)
    for name in ('image', 'region'):
        assert torch.equal(copy[5]['inputs'][name], dataset[5]['inputs'][name])


# Random numbers


def crops(loader):
    return torch.stack([item['inputs']['image'] for batch in loader for item in batch])


@pytest.mark.parametrize('method', ['fork', 'spawn'])
def test_workers_see_the_epoch_and_do_not_change_the_pixels(root, method):
    dataset = MIQDDataset(root, 'cls', pipeline=TRAIN)
    plain = DataLoader(dataset, batch_size=2, collate_fn=list)
    workers = {'num_workers': 2, 'persistent_workers': True, 'multiprocessing_context': method}
    many = DataLoader(dataset, 2, collate_fn=list, **workers)
    epochs = []
    for epoch in (0, 1, 0):
        dataset.set_epoch(epoch)
        epochs.append(crops(plain))
        assert torch.equal(crops(many), epochs[-1])
    assert torch.equal(epochs[0], epochs[2]) and not torch.equal(epochs[0], epochs[1])


def test_the_seed_decides_the_crops(root):
    first, second, third = (MIQDDataset(root, 'cls', pipeline=TRAIN, seed=seed) for seed in (1, 1, 2))
    same = [torch.equal(first[i]['inputs']['image'], second[i]['inputs']['image']) for i in range(12)]
    other = [torch.equal(first[i]['inputs']['image'], third[i]['inputs']['image']) for i in range(12)]
    assert all(same) and not all(other)


# Broken images


def break_images(root):
    """Cut, empty, replace and remove one file each; returns their positions in the train split."""
    dataset = MIQDDataset(root, 'cls')
    paths = [dataset.image_root / dataset.get_data_info(position)['image'] for position in range(4)]
    paths[0].write_bytes(paths[0].read_bytes()[:-200])
    paths[1].write_bytes(b'')
    paths[2].write_text('<html>not found</html>')
    paths[3].unlink()
    return dataset


@pytest.mark.parametrize('position, kind, words', [
    (0, UnreadableImage, 'is damaged or truncated'),
    (1, UnreadableImage, r'is empty \(0 bytes\)'),
    (2, UnreadableImage, 'not an image in a supported format .*: it is a web page'),
    (3, FileNotFoundError, 'There is no image file'),
])  # fmt: skip
def test_a_broken_image_raises_an_error_that_names_the_file(root, position, kind, words):
    break_images(root)
    # The index was built before the file vanished.
    dataset = MIQDDataset(root, 'cls', pipeline=TRAIN)
    with pytest.raises(kind, match=words) as caught:
        dataset[position]
    assert dataset.get_data_info(position)['path'] in str(caught.value)


def test_in_training_a_broken_image_is_replaced_marked_and_listed(root):
    break_images(root)
    dataset = MIQDDataset(root, 'cls', pipeline=TRAIN, bad_images='skip')
    loader = DataLoader(dataset, 5, num_workers=2, collate_fn=list)
    items = [item for batch in loader for item in batch]
    listed = list_bad_images([item['data_sample'] for item in items])
    assert set(listed) == {dataset.get_data_info(position)['path'] for position in range(4)}
    for position, item in enumerate(items):
        sample = item['data_sample']
        assert (sample.get('bad_image') is not None) == (position < 4)
        # Pixels and label belong together, whatever sample it is.
        assert sample.gt_score.item() == dataset.labels[sample.index]
        if position < 4:
            assert sample.index >= 4
            assert torch.equal(item['inputs']['region'], dataset[sample.index]['inputs']['region'])
    repeated = MIQDDataset(root, 'cls', pipeline=TRAIN, bad_images='skip')
    assert [repeated[i]['data_sample'].index for i in range(4)] == [item['data_sample'].index for item in items[:4]]


def test_at_test_a_broken_image_keeps_its_place_and_cannot_be_scored(root):
    path = next(folder_of(root, 2).iterdir())
    path.write_bytes(b'')
    dataset = MIQDDataset(root, 'cls', split='test', pipeline=TEST, bad_images='skip')
    samples = [dataset[position]['data_sample'] for position in range(len(dataset))]
    assert [sample.index for sample in samples] == list(range(6))
    bad = [sample for sample in samples if sample.get('bad_image')]
    assert len(bad) == 1 and bad[0].image.endswith(path.name) and bad[0].gt_score.isnan()
    assert dataset[bad[0].index]['inputs']['region'].shape == (3, 40, 40)
    assert list(list_bad_images(samples)) == [str(path)]


def test_a_wholly_damaged_database_ends_the_run(root):
    for path in (root / 'miqa_cls' / 'images').rglob('*.png'):
        path.write_bytes(b'')
    dataset = MIQDDataset(root, 'cls', pipeline=TRAIN, bad_images='skip')
    with pytest.raises(UnreadableImage, match='damaged as a whole'):
        dataset[0]


# Unusual pictures


@pytest.mark.parametrize('mode', ['L', 'LA', 'RGBA', 'P', '1', 'I;16'])
def test_grey_alpha_palette_and_16_bit_pictures_become_rgb(root, mode):
    path = next(folder_of(root).iterdir())
    with Image.open(path) as opened:
        picture = opened.convert('L') if mode == 'I;16' else opened.convert(mode)
    if mode == 'I;16':
        picture = Image.fromarray(np.asarray(picture).astype(np.uint16) * 257)
    picture.save(path)
    dataset = MIQDDataset(root, 'cls', pipeline=TEST[:2] + [{'type': 'PackViews', 'image': None, 'region': 40}])
    position = next(i for i in range(6) if dataset.get_data_info(i)['image'].endswith(path.name))
    with Image.open(path) as opened:
        rgb = picture.convert('L').convert('RGB') if mode == 'L' else opened.convert('RGB')
    if mode == 'I;16':
        rgb = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8)).convert('RGB')
    expected = np.asarray(rgb.resize((54, 40), Image.Resampling.BILINEAR))[:, 7:47].transpose(2, 0, 1)
    assert np.array_equal(dataset[position]['inputs']['region'].numpy(), expected)


# Real pictures of the database


@pytest.mark.parametrize('task, count', [('cls', 9), ('det', 10)])
def test_real_pictures_in_the_layout_give_items(shared_data, tmp_path, task, count):
    scores = lay_out_real_samples(shared_data, tmp_path, task)
    views = {'type': 'PackViews', 'image': 224, 'region': 288}
    pipeline = [{'type': 'LoadImage'}, {'type': 'ResizeShortSide', 'size': 288}, views]
    seen = {}
    for split in ('train', 'test'):
        dataset = MIQDDataset(tmp_path, task, split=split, pipeline=pipeline)
        for position in range(len(dataset)):
            item = dataset[position]
            assert item['inputs']['region'].shape == (3, 288, 288)
            seen[item['data_sample'].image.split('/')[1]] = item['data_sample'].gt_score.item()
    assert len(seen) == count
    assert seen == {name: pytest.approx(score, abs=1e-6) for name, score in scores.items()}
