"""The recipe: learning rates against their closed form, decay on matrices alone."""

import math

import pytest
import torch
from helpers_refusals import refused
from mmengine.optim import OptimWrapper
from mmengine.registry import PARAM_SCHEDULERS
from torch import nn

from miqa.engine import DecayMatricesOnly, warmup_cosine

RECIPE = {'epochs': 5, 'lr': 1e-4, 'warmup_epochs': 1, 'warmup_lr': 5e-6, 'final_lr': 1e-8}


def rates(steps_per_epoch, **recipe):
    """Learning rate of every step, as MMEngine's schedulers set it."""
    optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(2, 2))], lr=recipe['lr'])
    wrapper = OptimWrapper(optimizer)
    schedulers = [
        PARAM_SCHEDULERS.build(config, default_args={'optimizer': wrapper})
        for config in warmup_cosine(steps_per_epoch, **recipe)
    ]
    results = []
    for _ in range(round(recipe['epochs'] * steps_per_epoch)):
        results.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    return results


@pytest.mark.parametrize('steps', [4, 100])
def test_the_rate_warms_up_linearly_for_an_epoch_and_then_follows_a_cosine(steps):
    result = rates(steps, **RECIPE)
    for step, rate in enumerate(result):
        if step < steps:
            expected = 5e-6 + (1e-4 - 5e-6) * step / steps
        else:
            expected = 1e-8 + (1e-4 - 1e-8) * (1 + math.cos(math.pi * (step - steps) / (4 * steps))) / 2
        assert rate == pytest.approx(expected, rel=1e-6), step


def test_the_last_epoch_really_trains():
    result = rates(100, **RECIPE)
    # A cosine over 4 epochs is at (1 + cos(3 pi / 4)) / 2 = 14.6 % of its range when the last one begins.
    assert result[400] == pytest.approx(1.465e-5, rel=1e-3)
    assert sum(result[400:]) / 100 > 4e-6


def test_without_warm_up_the_first_step_is_at_the_full_rate_and_a_single_epoch_keeps_the_papers_share_of_it():
    result = rates(10, **{**RECIPE, 'warmup_epochs': 0})
    assert result[0] == 1e-4 and result[1] < 1e-4
    result = rates(50, **{**RECIPE, 'epochs': 1})
    assert max(result) == result[10] == pytest.approx(1e-4)


@pytest.mark.parametrize('change', [{'epochs': 0}, {'lr': -1.0}, {'final_lr': 0.0}, {'warmup_epochs': -1},
                                    {'lr': float('inf')}, {'lr': 'fast'}, {'epochs': float('nan')}])  # fmt: skip
def test_an_impossible_schedule_raises(change):
    refused(ValueError, 'positive finite lengths and rates', warmup_cosine, 10, **{**RECIPE, **change})


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.head = nn.Linear(4, 1)
        self.frozen = nn.Linear(4, 4)
        self.frozen.requires_grad_(False)


def build(**options):
    config = {'optimizer': {'type': 'AdamW', 'lr': 1e-4, 'weight_decay': 1e-4}}
    return DecayMatricesOnly(config, **options)(model := Small()).optimizer, model


def test_biases_and_norms_do_not_decay_and_frozen_parameters_are_left_out():
    optimizer, model = build()
    decay = {id(p): group['weight_decay'] for group in optimizer.param_groups for p in group['params']}
    named = {name: decay.get(id(p)) for name, p in model.named_parameters()}
    assert named == {
        'backbone.0.weight': 1e-4, 'backbone.0.bias': 0.0, 'backbone.1.weight': 0.0, 'backbone.1.bias': 0.0,
        'head.weight': 1e-4, 'head.bias': 0.0, 'frozen.weight': None, 'frozen.bias': None,
    }  # fmt: skip
    assert len(optimizer.param_groups) == 2


def test_a_part_may_learn_more_slowly():
    optimizer, model = build(paramwise_cfg={'lr_mult': {'backbone': 0.1}})
    rate = {id(p): group['lr'] for group in optimizer.param_groups for p in group['params']}
    assert rate[id(model.backbone[0].weight)] == pytest.approx(1e-5)
    assert rate[id(model.head.weight)] == pytest.approx(1e-4)


def test_a_prefix_that_names_nothing_raises():
    refused(ValueError, 'names neck, but no trainable parameter', build, paramwise_cfg={'lr_mult': {'neck': 0.1}})
    refused(ValueError, 'Only lr_mult is known', build, paramwise_cfg={'norm_decay_mult': 0})
