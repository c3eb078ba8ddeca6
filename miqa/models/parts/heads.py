"""Small networks between features and score."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from miqa.taxonomy import LABELS, check_choice


def region_projector(in_channels: int, channels: int) -> nn.Sequential:
    """Turn region features (B, in_channels) into a token (B, channels): Linear, LayerNorm (eps 1e-5), GELU."""
    return nn.Sequential(nn.Linear(in_channels, channels), nn.LayerNorm(channels), nn.GELU())


def quality_regressor(in_channels: int, channels: int, dropout: float = 0.2) -> nn.Sequential:
    """Turn features (B, in_channels) into a raw score (B, 1): Linear, GELU, Dropout, Linear."""
    return nn.Sequential(nn.Linear(in_channels, channels), nn.GELU(), nn.Dropout(dropout), nn.Linear(channels, 1))


def calm_output(layer: nn.Module) -> None:
    """Start a single-output Linear as PyTorch would, where its library starts it far wider.

    timm's EfficientNets draw the classifier from U(-r, r) with r = 1 / sqrt(outputs), made for 1,000 outputs: with
    one output the first scores are tens away from any label, and the first steps ruin the pretrained features.
    """
    if isinstance(layer, nn.Linear) and layer.weight.abs().max() > 3 / layer.in_features**0.5:
        layer.reset_parameters()


class LabelHeads(nn.Module):
    """A network with a head for each of several labels, of which it scores one; ``composite`` is a mean of two.

    Subclasses implement :meth:`member_scores`.

    Args:
        heads: the predicted labels.
        label: what :meth:`forward` returns: one of the heads, or ``composite`` where both others are heads.

    Raises:
        ValueError: a head or label is unknown or cannot be had from the heads.
    """

    def __init__(self, heads: Sequence[str], label: str):
        super().__init__()
        self.heads = [check_choice(head, LABELS, 'head') for head in heads]
        self.label = check_choice(label, self.labels, 'label of these heads')

    @property
    def labels(self) -> list[str]:
        """The labels that this network can score."""
        composite = {'consistency', 'accuracy'} <= set(self.heads) and 'composite' not in self.heads
        return [*self.heads, *(['composite'] if composite else [])]

    def member_scores(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the score of each member (a network may average several) for each head: (B, members, heads)."""
        raise NotImplementedError

    def label_scores(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the score (B,) of every label that the heads give."""
        scores = dict(zip(self.heads, self.member_scores(inputs).mean(1).unbind(1), strict=True))
        if 'composite' in self.labels and 'composite' not in scores:
            scores['composite'] = (scores['consistency'] + scores['accuracy']) / 2
        return scores

    def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return scores (B,) of :attr:`label` for the normalised views, or for cached features of them."""
        return self.label_scores(inputs)[self.label]
