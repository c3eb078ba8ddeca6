"""RA-MIQA on two processes: no unused parameter, the gradients of one process with the whole batch."""

import copy
import os

import pytest
import torch
import torch.distributed as dist
from helpers_models import tiny_assessor, tiny_batch
from mmengine.model import MMDistributedDataParallel
from torch import multiprocessing

STEPS = 3
BATCH = 8


def optimizer_of(model):
    return torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)


def train(model, inner, batches):
    """Take a step per batch; return the gradients of every step and the last weights."""
    optimizer, history = optimizer_of(inner), []
    for batch in batches:
        loss = model(**inner.data_preprocessor(batch, True), mode='loss')['loss']
        optimizer.zero_grad()
        loss.backward()
        history.append({name: p.grad.clone() for name, p in inner.named_parameters() if p.grad is not None})
        optimizer.step()
    return history, {name: value.clone() for name, value in inner.state_dict().items()}


def part(batch, rank, world):
    own = slice(rank * BATCH // world, (rank + 1) * BATCH // world)
    return {
        'inputs': {name: views[own] for name, views in batch['inputs'].items()},
        'data_samples': batch['data_samples'][own],
    }


def worker(rank, world, folder, weights):
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(world))
    dist.init_process_group('gloo', init_method=f'file://{folder}/meeting', rank=rank, world_size=world)
    model = tiny_assessor(dropout=0.0).train()
    # Only the first process has the weights: DDP must hand them on, frozen ones included.
    if rank == 0:
        model.load_state_dict(weights)
    wrapped = MMDistributedDataParallel(module=model, find_unused_parameters=False, broadcast_buffers=False)
    result = train(wrapped, model, [part(tiny_batch(BATCH, step), rank, world) for step in range(STEPS)])
    torch.save(result, f'{folder}/rank{rank}.pth')
    dist.destroy_process_group()


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp('ddp')
    torch.manual_seed(0)
    single = tiny_assessor(dropout=0.0).train()
    weights = copy.deepcopy(single.state_dict())
    multiprocessing.spawn(worker, args=(2, str(folder), weights), nprocs=2)
    ranks = [torch.load(folder / f'rank{rank}.pth') for rank in range(2)]
    return train(single, single, [tiny_batch(BATCH, step) for step in range(STEPS)]), ranks


def test_two_processes_take_three_steps_with_the_gradients_of_one_process(runs):
    (history, weights), ranks = runs
    for rank_history, rank_weights in ranks:
        assert len(rank_history) == STEPS
        for expected, actual in zip(history, rank_history, strict=True):
            assert expected.keys() == actual.keys()
            for name in expected:
                torch.testing.assert_close(actual[name], expected[name], rtol=1e-3, atol=1e-6, msg=name)
        for name in weights:
            torch.testing.assert_close(rank_weights[name], weights[name], rtol=1e-3, atol=1e-5, msg=name)


def test_both_processes_end_with_the_same_weights_to_the_bit(runs):
    (_, first), (_, second) = runs[1]
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_steps_changed_the_trainable_weights_and_only_those(runs):
    (_, weights), _ = runs
    torch.manual_seed(0)
    start = tiny_assessor(dropout=0.0)
    for name, parameter in start.named_parameters():
        if parameter.requires_grad:
            assert not torch.equal(parameter, weights[name]), name
    frozen = {name: value for name, value in start.state_dict().items() if 'mask_encoder' in name}
    assert frozen and all(torch.equal(value, weights[name]) for name, value in frozen.items())
