"""Small networks between features and score."""

from __future__ import annotations

from torch import nn


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
