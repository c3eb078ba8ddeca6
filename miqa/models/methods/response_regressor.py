"""A light quality network on the response of a frozen probe: its confidence and feature maps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from miqa.models.parts.frozen import FrozenEncoder
from miqa.models.responses.projection import FittedHeads, ResponseProjection
from miqa.outside.checked_values import Choice, Part, Real, Several, Whole
from miqa.registry import MODELS
from miqa.taxonomy import LABELS


@MODELS.register_module()
class ResponseRegressor(FittedHeads):
    """A frozen probe, a projection of its response that is fitted once, and several small heads side by side.

    How sure a classifier is tells much of a picture's worth to machines, and no training: what this network adds is
    what kind of damage the probe's early layers see, and how much. A hundred photographs are too few to learn that from
    a thousand free numbers, so the means and deviations of the feature maps are standardised and reduced to a few
    directions by :class:`~miqa.models.responses.projection.ResponseProjection`, and members that start from different
    weights are averaged. Each member adds to a linear function of the confidence (so that the confidence is where it
    starts from) a small network of both.

    One pass of the probe gives all heads. ``composite`` is the mean of ``consistency`` and ``accuracy``, as in the
    labels themselves.

    Args:
        probe: config of a :class:`~miqa.models.responses.probes.Probe`; it takes view ``image``.
        heads: the labels that are learned.
        label: what :meth:`forward` returns: one of the heads, or ``composite`` where both others are heads.
        members: networks that are trained side by side and averaged.
        components: directions that the feature maps' statistics are reduced to; 0 leaves the maps out.
        hidden: width of a member.
        dropout: of a member's inputs and of its hidden layer, in training.

    Raises:
        ValueError: a head or label is unknown or cannot be had from the heads.
    """

    foreign_part = 'network'
    foreign_options = {
        'probe': Part(('probe',)),
        'heads': Several(Choice(LABELS), len(LABELS)),
        'label': Choice(LABELS),
        'members': Whole(1, 64),
        'components': Whole(0, 4096),
        'hidden': Whole(1, 4096),
        'dropout': Real(0, 1),
    }

    def __init__(
        self,
        probe: dict,
        heads: Sequence[str] = ('consistency', 'accuracy'),
        label: str = 'composite',
        members: int = 8,
        components: int = 6,
        hidden: int = 32,
        dropout: float = 0.1,
    ):
        super().__init__(heads, label)
        self.dropout = dropout
        self.probe: FrozenEncoder = MODELS.build(probe)
        self.projection = ResponseProjection(self.probe.parts, components)
        inputs = self.projection.out_channels
        self.confidence = nn.Parameter(torch.zeros(members, self.projection.confidence, len(self.heads)))
        self.first = nn.Parameter(torch.empty(members, inputs, hidden))
        self.first_bias = nn.Parameter(torch.zeros(members, 1, hidden))
        self.second = nn.Parameter(torch.empty(members, hidden, len(self.heads)))
        self.second_bias = nn.Parameter(torch.zeros(members, 1, len(self.heads)))
        nn.init.normal_(self.first, std=inputs**-0.5)
        nn.init.normal_(self.second, std=0.1 * hidden**-0.5)

    def init_weights(self) -> None:
        """Load the probe's pretrained weights; called only when training starts.

        Raises:
            WeightsUnavailable: they are not to be had; the message says what to download and where to put it.
        """
        self.probe.init_weights()

    def frozen_encoders(self) -> dict[str, FrozenEncoder]:
        """Return the frozen network by the view that it takes; its vectors can be cached."""
        return {'image': self.probe}

    def response(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the probe's vectors (B, C), from the cache where the inputs have them.

        Raises:
            ValueError: cached vectors have another length than the probe's.
        """
        vectors = inputs.get('image_features')
        if vectors is None:
            return self.probe(inputs['image'])
        if vectors.shape[-1] != self.probe.out_channels:
            raise ValueError(
                f'Cached features have {vectors.shape[-1]} numbers, this probe makes {self.probe.out_channels}: make '
                'the cache again with this config.'
            )
        return vectors

    def member_scores(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the score in [0, 1] of each member for each head: (B, members, heads)."""
        features = self.projection(self.response(inputs))
        members = len(self.first)
        batch = features.expand(members, -1, -1)
        hidden = F.gelu(F.dropout(batch, self.dropout, self.training) @ self.first + self.first_bias)
        outputs = F.dropout(hidden, self.dropout, self.training) @ self.second + self.second_bias
        outputs = outputs + batch[..., : self.projection.confidence] @ self.confidence
        return outputs.sigmoid().transpose(0, 1)
