"""Losses against PyTorch, torchmetrics and scipy."""

import pytest
import torch
from helpers_refusals import refused
from scipy import stats
from torch import nn
from torchmetrics.functional import pearson_corrcoef

from miqa.models import L1Loss, MSELoss, PLCCLoss, RankLoss, SmoothL1Loss
from miqa.registry import MODELS

ALL = (MSELoss, SmoothL1Loss, L1Loss, PLCCLoss, RankLoss)


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(3)
    return torch.rand(64, generator=generator, requires_grad=True), torch.rand(64, generator=generator)


@pytest.mark.parametrize(
    ('ours', 'theirs'),
    [(MSELoss(), nn.MSELoss()), (L1Loss(), nn.L1Loss()), (SmoothL1Loss(), nn.SmoothL1Loss(beta=0.5))],
)
def test_a_distance_is_pytorchs(pair, ours, theirs):
    torch.testing.assert_close(ours(*pair), theirs(*pair))


def test_the_plcc_loss_is_one_minus_pearsons_correlation(pair):
    loss = PLCCLoss()(*pair)
    torch.testing.assert_close(loss, 1 - pearson_corrcoef(*pair))
    assert loss.item() == pytest.approx(1 - stats.pearsonr(pair[0].detach(), pair[1])[0], abs=1e-6)


def test_the_plcc_loss_of_equal_predictions_is_one_with_a_finite_gradient(pair):
    same = torch.full((64,), 0.5, requires_grad=True)
    loss = PLCCLoss()(same, pair[1])
    loss.backward()
    assert loss.item() == pytest.approx(1)
    assert torch.isfinite(same.grad).all()


@pytest.mark.parametrize('margin', [0.0, 0.1])
def test_the_rank_loss_is_pytorchs_margin_ranking_loss_over_all_pairs(pair, margin):
    pred, gt = pair
    i, j = torch.triu_indices(64, 64, offset=1)
    theirs = nn.MarginRankingLoss(margin)(pred[i], pred[j], torch.sign(gt[i] - gt[j]))
    torch.testing.assert_close(RankLoss(margin)(pred, gt), theirs)


def test_the_rank_loss_counts_no_pairs_of_equal_labels():
    loss = RankLoss(margin=1.0)
    assert loss(torch.tensor([0.1, 0.9]), torch.tensor([0.5, 0.5])).item() == 0
    assert loss(torch.tensor([3.0, 0.0, 9.0]), torch.tensor([0.7, 0.2, 0.7])).item() == 0


@pytest.mark.parametrize('kind', ALL)
def test_a_loss_is_registered_weighted_and_in_float32(kind, pair):
    pred, gt = pair
    loss = MODELS.build({'type': kind.__name__, 'loss_weight': 0.25})
    torch.testing.assert_close(loss(pred, gt), 0.25 * kind()(pred, gt))
    assert loss(pred.bfloat16(), gt).dtype == torch.float32


@pytest.mark.parametrize('kind', ALL)
def test_shapes_that_would_broadcast_are_refused(kind, pair):
    refused(ValueError, 'two vectors of one length', kind(), pair[0][:, None], pair[1])


@pytest.mark.parametrize('kind', [PLCCLoss, RankLoss])
def test_a_batch_of_one_is_refused_where_samples_are_compared(kind):
    refused(ValueError, 'at least 2 in a batch', kind(), torch.ones(1), torch.ones(1))
