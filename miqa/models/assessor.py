"""The model that MMEngine trains and tests: preprocessor, network and loss under one roof."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import nn

from miqa.registry import MODELS
from miqa.structures import QualitySample, SampleBatch, labels_of
from miqa.taxonomy import LABELS, check_choice

from .parts.data_preprocessor import IDENTITY_ENDING
from .parts.frozen_identity import frozen_identity

MODES = ('tensor', 'loss', 'predict')


@MODELS.register_module()
class QualityAssessor(BaseModel):
    """A network that scores pictures, in MMEngine's terms.

    Args:
        network: config of a network that turns ``dict[view, (B, 3, h, w) float]`` into scores (B,), or the network.
            One with ``heads``, a list of labels, and ``member_scores``, which gives (B, members, heads), is trained
            on all these labels at once, every member by itself.
        loss: config of a loss of :mod:`miqa.models.parts.losses`, or a list of such configs, which are summed.
        data_preprocessor: config of a :class:`~miqa.models.ViewPreprocessor`, or the preprocessor itself.
    """

    def __init__(
        self,
        network: Mapping | nn.Module,
        data_preprocessor: Mapping | nn.Module,
        loss: Mapping | Sequence[Mapping] = ({'type': 'MSELoss'},),
    ):
        if isinstance(data_preprocessor, Mapping):
            data_preprocessor = MODELS.build(dict(data_preprocessor))
        super().__init__(data_preprocessor=data_preprocessor)
        #: Any network; optional methods are looked up.
        self.network: Any = MODELS.build(dict(network)) if isinstance(network, Mapping) else network
        configs = [loss] if isinstance(loss, Mapping) else loss
        self.losses = nn.ModuleList([MODELS.build(dict(config)) for config in configs])
        names = [loss.name for loss in self.losses]
        if not names or len(set(names)) < len(names):
            raise ValueError(f'QualityAssessor needs at least one loss and each at most once, got {names or "none"}.')

    def init_weights(self) -> None:
        """Load the network's pretrained weights; MMEngine calls this when training starts, and never for a test.

        Raises:
            WeightsUnavailable: weights are not to be had; the message says what to download and where to put it.
        """
        if hasattr(self.network, 'init_weights'):
            self.network.init_weights()
        self._is_init = True

    def forward(
        self,
        inputs: Mapping[str, torch.Tensor],
        data_samples: SampleBatch | Sequence[QualitySample] | None = None,
        mode: str = 'tensor',
    ) -> torch.Tensor | dict[str, torch.Tensor] | list[QualitySample]:
        """Score a batch: per view normalised float tensors (B, 3, h, w).

        ``mode`` ``tensor`` gives raw scores (B,); ``loss``, which needs data samples, a dict of losses, one per
        configured loss; ``predict`` the data samples, made where missing, with ``pred_score`` set, a float32 tensor of
        shape () on the CPU.

        Raises:
            ValueError: the mode is unknown, ``loss`` without data samples, or cached region features were made by
                another encoder than this network's.
        """
        check_choice(mode, MODES, 'mode')
        inputs = self.checked_inputs(inputs)
        if mode == 'loss' and hasattr(self.network, 'member_scores'):
            return self._losses_of_heads(self.network.member_scores(inputs), data_samples)
        scores = self.network(inputs)
        if mode == 'tensor':
            return scores
        if mode == 'loss':
            return self._loss(scores, data_samples)
        return _with_scores(scores, data_samples)

    def checked_inputs(self, inputs: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
        """Check that cached features are those of this model's frozen encoders, and drop the inputs that say so."""
        for view in [name.removesuffix(IDENTITY_ENDING) for name in inputs if name.endswith(IDENTITY_ENDING)]:
            own = frozen_identity(self.network.frozen_encoders()[view], self.data_preprocessor, view)
            identities = {bytes(row).hex() for row in inputs[view + IDENTITY_ENDING].cpu().numpy()} - {own}
            if identities:
                raise ValueError(
                    f'The cached features of view {view} were made by another frozen encoder or from another view '
                    f'({min(identities)}) than those of this model ({own}): delete the cache and make it again '
                    'with tools/data/cache_features.py.'
                )
        return {name: value for name, value in inputs.items() if not name.endswith(IDENTITY_ENDING)}

    def _loss(
        self, scores: torch.Tensor, samples: SampleBatch | Sequence[QualitySample] | None
    ) -> dict[str, torch.Tensor]:
        labels = labels_of(samples, 'gt_score')
        if labels is None:
            raise ValueError("mode='loss' needs data samples with a gt_score.")
        labels = labels.to(scores.device, non_blocking=True)
        if len(self.losses) == 1:
            return {'loss': self.losses[0](scores, labels)}
        return {f'loss_{loss.name}': loss(scores, labels) for loss in self.losses}

    def _losses_of_heads(
        self, scores: torch.Tensor, samples: SampleBatch | Sequence[QualitySample] | None
    ) -> dict[str, torch.Tensor]:
        """Return the mean losses over members and heads of scores (B, members, heads)."""
        labels = labels_of(samples, 'gt_scores')
        if labels is None:
            raise ValueError(
                "mode='loss' of a network with several heads needs data samples with gt_scores, the labels of all "
                'kinds: let MIQDDataset give them.'
            )
        columns = [LABELS.index(head) for head in self.network.heads]
        labels = labels[:, columns].to(scores.device, non_blocking=True)
        means = {
            loss.name: torch.stack(
                [loss(scores[:, m, h], labels[:, h]) for m in range(scores.shape[1]) for h in range(scores.shape[2])]
            ).mean()
            for loss in self.losses
        }
        return {'loss': means.popitem()[1]} if len(means) == 1 else {f'loss_{name}': v for name, v in means.items()}


def _with_scores(scores: torch.Tensor, samples: SampleBatch | Sequence[QualitySample] | None) -> list[QualitySample]:
    # One transfer for the batch; `.item()` per sample would wait for the device as often.
    scores = scores.detach().float().cpu()
    samples = [QualitySample() for _ in scores] if samples is None else list(samples)
    for sample, score in zip(samples, scores.unbind(), strict=True):
        sample.pred_score = score
    return samples
