"""Which process sees which sample when."""

import numpy as np
import pytest
import torch
from helpers_refusals import refused
from torch.utils.data import DataLoader

from miqa.datasets import ResumableSampler
from miqa.registry import DATA_SAMPLERS

DATA = list(range(103))


def samplers(world, **options):
    return [ResumableSampler(DATA, rank=rank, world_size=world, **options) for rank in range(world)]


@pytest.mark.parametrize('world', [1, 2, 3, 7])
def test_testing_partitions_the_dataset_exactly_and_in_order(world):
    parts = [list(sampler) for sampler in samplers(world, shuffle=False)]
    assert [part == list(range(rank, 103, world)) for rank, part in enumerate(parts)] == [True] * world
    assert [len(part) for part in parts] == [len(sampler) for sampler in samplers(world, shuffle=False)]
    assert sorted(sum(parts, [])) == DATA


@pytest.mark.parametrize('world', [1, 2, 3, 7])
def test_training_gives_all_processes_equally_many_different_samples(world):
    parts = [list(sampler) for sampler in samplers(world, seed=5)]
    assert {len(part) for part in parts} == {103 // world} == {len(sampler) for sampler in samplers(world, seed=5)}
    everything = sum(parts, [])
    assert len(set(everything)) == len(everything) == 103 // world * world


def test_the_dropped_remainder_is_another_in_each_epoch():
    dropped = []
    for epoch in range(6):
        seen = set()
        for sampler in samplers(7, seed=5):
            sampler.set_epoch(epoch)
            seen.update(sampler)
        dropped.append(frozenset(DATA) - seen)
    assert len(set(dropped)) > 3


def test_order_depends_on_seed_and_epoch_alone():
    def order(seed, epoch):
        sampler = ResumableSampler(DATA, seed=seed, rank=0, world_size=1)
        sampler.set_epoch(epoch)
        return list(sampler)

    torch.manual_seed(1)
    first = order(3, 4)
    torch.manual_seed(2)
    np.random.seed(3)
    assert order(3, 4) == first
    orders = {tuple(order(seed, epoch)) for seed in range(4) for epoch in range(4)}
    assert len(orders) == 16
    assert all(sorted(result) == DATA for result in orders)


def test_several_processes_split_the_order_of_one():
    whole = list(ResumableSampler(DATA, seed=9, rank=0, world_size=1))
    assert [list(sampler) for sampler in samplers(3, seed=9)] == [whole[rank:102:3] for rank in range(3)]


@pytest.mark.parametrize('shuffle', [True, False])
@pytest.mark.parametrize('world', [1, 2])
@pytest.mark.parametrize('start', [0, 1, 13, 51])
def test_a_start_in_mid_epoch_gives_the_rest_of_the_same_order(shuffle, world, start):
    for sampler in samplers(world, shuffle=shuffle, seed=2):
        sampler.set_epoch(3)
        whole = list(sampler)
        sampler.set_start(start)
        assert list(sampler) == whole[start:]
        assert len(sampler) == len(whole)
        sampler.set_start(0)
        assert list(sampler) == whole


class Counting(torch.utils.data.Dataset):
    def __init__(self):
        self.asked = []

    def __len__(self):
        return 103

    def __getitem__(self, position):
        self.asked.append(position)
        return position


def test_skipped_samples_are_never_loaded_and_batches_stay_the_same():
    data = Counting()
    sampler = ResumableSampler(data, seed=1, rank=0, world_size=1)
    loader = DataLoader(data, batch_size=10, sampler=sampler, drop_last=True)
    whole = [batch.tolist() for batch in loader]
    data.asked.clear()
    sampler.set_start(4 * 10)
    assert [batch.tolist() for batch in loader] == whole[4:]
    assert data.asked == sum(whole[4:], [])
    assert len(loader) == 10


def test_wrong_starts_and_ranks_are_refused():
    sampler = ResumableSampler(DATA, rank=1, world_size=2)
    for start in (-1, 52):
        refused(ValueError, 'Cannot start after', sampler.set_start, start)
    refused(ValueError, 'not one of 2', ResumableSampler, DATA, rank=2, world_size=2)
    refused(ValueError, 'cannot be shared', ResumableSampler, [1], rank=0, world_size=2)


def test_more_processes_than_test_samples_leave_some_idle():
    parts = [list(ResumableSampler([0, 1], shuffle=False, rank=rank, world_size=4)) for rank in range(4)]
    assert parts == [[0], [1], [], []]


def test_it_is_in_the_registry_and_yields_plain_integers():
    sampler = DATA_SAMPLERS.build({'type': 'ResumableSampler', 'dataset': DATA, 'seed': 0})
    assert {type(position) for position in sampler} == {int}


def test_a_million_samples_start_at_once_in_little_memory():
    sampler = ResumableSampler(range(1_000_000), seed=0, rank=1, world_size=8)
    sampler.set_start(100_000)
    assert len(list(sampler)) == 25_000
