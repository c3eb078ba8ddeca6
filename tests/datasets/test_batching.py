"""A batch that a worker stacked holds what a list of items holds, and trains alike."""

import pickle

import pytest
import torch
from helpers_database import write_database
from helpers_models import tiny_assessor
from helpers_refusals import refused
from mmengine.dataset import pseudo_collate
from mmengine.registry import FUNCTIONS
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from miqa.datasets import STACK_SAMPLES, MIQDDataset, list_bad_images, stack_samples
from miqa.structures import QualitySample, SampleBatch, labels_of, meta_of

PIPELINE = [
    {'type': 'LoadImage'},
    {'type': 'ResizeShortSide', 'size': 48},
    {'type': 'PackViews', 'image': 32, 'region': 48, 'random': True},
]


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
    root = write_database(tmp_path_factory.mktemp('database'), 'cls', sources=3, size=(60, 52))
    return MIQDDataset(root, 'cls', pipeline=PIPELINE, seed=3)


def assert_same_samples(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert dict(one.metainfo_items()) == dict(other.metainfo_items()) and one.keys() == other.keys()
        assert all(torch.equal(getattr(one, name), getattr(other, name)) for name in one.keys())  # noqa: SIM118


def test_a_stacked_batch_holds_pictures_labels_and_meta_information_of_every_item(dataset):
    items = [dataset[position] for position in (4, 0, 7)]
    batch = stack_samples(items)
    for view in ('image', 'region'):
        assert torch.equal(batch['inputs'][view], torch.stack([item['inputs'][view] for item in items]))
    samples = batch['data_sample']
    assert isinstance(samples, SampleBatch)
    assert_same_samples(samples, [item['data_sample'] for item in items])
    assert_same_samples(samples[1:], [item['data_sample'] for item in items[1:]])
    assert_same_samples([samples[-1]], [items[2]['data_sample']])
    with pytest.raises(IndexError, match='no sample 3 in a batch of 3'):
        samples[3]


@pytest.mark.parametrize('workers', [0, 2])
def test_batches_are_the_same_from_worker_processes(dataset, workers):
    sampling = {'batch_size': 4, 'num_workers': workers, 'sampler': {'type': 'DefaultSampler', 'shuffle': False}}
    loader = Runner.build_dataloader({'dataset': dataset, **sampling, 'collate_fn': {'type': STACK_SAMPLES}}, seed=0)
    for number, batch in enumerate(loader):
        items = [dataset[position] for position in range(4 * number, min(4 * number + 4, len(dataset)))]
        assert torch.equal(batch['inputs']['image'], torch.stack([item['inputs']['image'] for item in items]))
        assert_same_samples(batch['data_sample'], [item['data_sample'] for item in items])


def test_a_training_step_from_a_stacked_batch_gives_the_same_loss_and_gradients_bit_for_bit(dataset):
    torch.manual_seed(0)
    model = tiny_assessor(dropout=0.0).train()
    items = [dataset[position] for position in range(6)]
    results = []
    for collate in (pseudo_collate, stack_samples):
        loss = model(**model.data_preprocessor(collate(items), True), mode='loss')['loss']
        loss.backward()
        results.append((loss.detach(), [p.grad.clone() for p in model.parameters() if p.grad is not None]))
        model.zero_grad()
    assert torch.equal(results[0][0], results[1][0])
    assert all(torch.equal(one, other) for one, other in zip(results[0][1], results[1][1], strict=True))


def test_a_test_step_gives_the_samples_of_a_stacked_batch_their_scores(dataset):
    torch.manual_seed(0)
    model = tiny_assessor(dropout=0.0).eval()
    items = [dataset[position] for position in range(5)]
    plain, stacked = (model.test_step(collate(items)) for collate in (pseudo_collate, stack_samples))
    assert [sample.index for sample in stacked] == [sample.index for sample in plain]
    assert torch.equal(*(torch.stack([sample.pred_score for sample in result]) for result in (plain, stacked)))


def test_a_batch_of_256_crosses_to_the_main_process_in_a_few_objects(dataset):
    sample = dataset[0]['data_sample']
    one, many = (len(pickle.dumps(SampleBatch([sample] * count))) for count in (1, 256))
    assert (many - one) / 255 < len(pickle.dumps(sample)) / 5


def test_marks_of_some_samples_are_theirs_alone():
    samples = [
        QualitySample(metainfo={'index': 0}, gt_score=torch.tensor(0.1)),
        QualitySample(metainfo={'index': 1, 'bad_image': 'cut short', 'bad_path': 'a.png'}, gt_score=torch.tensor(0.2)),
    ]
    batch = SampleBatch(samples)
    assert 'bad_image' not in batch[0] and batch[1].bad_image == 'cut short'
    assert meta_of(batch, 'bad_image') == meta_of(samples, 'bad_image') == [None, 'cut short']
    assert list_bad_images(batch) == list_bad_images(samples) == {'a.png': 'cut short'}
    assert torch.equal(labels_of(batch, 'gt_score'), labels_of(samples, 'gt_score'))
    assert labels_of(batch, 'gt_scores') is labels_of(samples, 'gt_scores') is None


def test_samples_with_fields_of_their_own_stay_a_list():
    sample = QualitySample(gt_score=torch.tensor(0.5))
    sample.depth = torch.zeros(3)
    assert stack_samples([{'data_sample': sample}])['data_sample'] == [sample]
    mixed = [QualitySample(gt_score=torch.tensor(0.5)), QualitySample()]
    assert stack_samples([{'data_sample': sample} for sample in mixed])['data_sample'] == mixed
    refused(ValueError, 'same labels', SampleBatch, mixed)


def test_pictures_of_several_sizes_are_refused_in_words():
    items = [
        {'inputs': {'image': torch.zeros(3, side, side)}, 'data_sample': QualitySample(gt_score=torch.tensor(0.5))}
        for side in (4, 5)
    ]
    refused(ValueError, r'inputs image of a batch differ in shape: \(3, 4, 4\), \(3, 5, 5\)', stack_samples, items)


def test_the_collate_function_is_found_by_its_name_in_a_config(dataset):
    assert FUNCTIONS.get(STACK_SAMPLES) is stack_samples
    assert len(next(iter(DataLoader(dataset, 3, collate_fn=stack_samples)))['data_sample']) == 3
