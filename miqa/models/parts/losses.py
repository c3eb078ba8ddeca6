"""Training losses: distances between scores, and rank or correlation losses over a batch."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from miqa.registry import MODELS


class _Loss(nn.Module):
    """A loss of predictions and labels, both (B,), times ``loss_weight``; always computed in float32.

    Args:
        loss_weight: factor of this loss in the sum.
    """

    #: Name of the loss in the log, where several are summed.
    name: str
    #: Fewest pairs for which the loss is defined.
    fewest = 1

    def __init__(self, loss_weight: float = 1.0):
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, pred: torch.Tensor, gt: torch.Tensor) -> torch.Tensor:
        """Return the weighted loss, a float32 tensor of shape ().

        Raises:
            ValueError: the shapes differ or are not (B,), or the batch is too small for this loss.
        """
        if pred.shape != gt.shape or pred.ndim != 1:
            raise ValueError(
                f'{type(self).__name__} compares two vectors of one length; '
                f'got predictions {tuple(pred.shape)} and labels {tuple(gt.shape)}.'
            )
        if len(pred) < self.fewest:
            raise ValueError(
                f'{type(self).__name__} compares samples with each other and needs at least {self.fewest} in a batch, '
                f'got {len(pred)}. Raise the batch size, or set drop_last=True for the training data loader.'
            )
        # bfloat16 scores would round differences of neighbouring samples to zero.
        return self.loss_weight * self.measure(pred.float(), gt.float())

    def measure(self, pred: torch.Tensor, gt: torch.Tensor) -> torch.Tensor:
        """Compute the loss of two float32 vectors."""
        raise NotImplementedError


@MODELS.register_module()
class MSELoss(_Loss):
    """Mean squared error: the published recipe's loss."""

    name = 'mse'

    def measure(self, pred, gt):
        """Mean of (pred - gt)^2."""
        return F.mse_loss(pred, gt)


@MODELS.register_module()
class L1Loss(_Loss):
    """Mean absolute error."""

    name = 'l1'

    def measure(self, pred, gt):
        """Mean of |pred - gt|."""
        return F.l1_loss(pred, gt)


@MODELS.register_module()
class SmoothL1Loss(_Loss):
    """Squared error below ``beta`` and absolute error above it (Girshick, Fast R-CNN, ICCV 2015).

    Args:
        beta: where the two meet; 0.5 is the published option.
        loss_weight: factor of this loss in the sum.
    """

    name = 'smooth_l1'

    def __init__(self, beta: float = 0.5, loss_weight: float = 1.0):
        super().__init__(loss_weight)
        self.beta = beta

    def measure(self, pred, gt):
        """Mean of d^2 / (2 beta) where d = |pred - gt| < beta, else d - beta / 2."""
        return F.smooth_l1_loss(pred, gt, beta=self.beta)


@MODELS.register_module()
class PLCCLoss(_Loss):
    """One minus Pearson's linear correlation of the batch, in [0, 2].

    Used alone it leaves scale and offset of the scores free, so add it to a distance. As a loss for quality
    assessment: Li, Jiang, Jiang, "Norm-in-Norm Loss with Faster Convergence and Better Performance for Image
    Quality Assessment", ACM Multimedia 2020, section 3.3.

    Args:
        loss_weight: factor of this loss in the sum.
        eps: added to both deviations, so that equal predictions give a finite gradient.
    """

    name = 'plcc'
    fewest = 2

    def __init__(self, loss_weight: float = 1.0, eps: float = 1e-8):
        super().__init__(loss_weight)
        self.eps = eps

    def measure(self, pred, gt):
        """One minus the cosine of the two centred vectors."""
        pred = pred - pred.mean()
        gt = gt - gt.mean()
        return 1 - F.cosine_similarity(pred, gt, dim=0, eps=self.eps)


@MODELS.register_module()
class RankLoss(_Loss):
    """Hinge over all pairs whose labels differ: the better one must score higher by ``margin``.

    The margin ranking loss that RankIQA trains with (Liu, van de Weijer, Bagdanov, "RankIQA: Learning from
    Rankings for No-Reference Image Quality Assessment", ICCV 2017, equation 3), here over every pair of the batch.

    Args:
        margin: wanted lead of the better sample, in units of the score.
        loss_weight: factor of this loss in the sum.
    """

    name = 'rank'
    fewest = 2

    def __init__(self, margin: float = 0.0, loss_weight: float = 1.0):
        super().__init__(loss_weight)
        self.margin = margin

    def measure(self, pred, gt):
        """Mean over pairs with gt_i > gt_j of max(0, margin - (pred_i - pred_j)); zero if all labels are equal."""
        better = gt[:, None] > gt[None, :]
        hinge = F.relu(self.margin - (pred[:, None] - pred[None, :]))
        return (hinge * better).sum() / better.sum().clamp(min=1)
