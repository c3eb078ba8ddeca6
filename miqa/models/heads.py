"""Small networks between features and score."""

from __future__ import annotations

from torch import nn


def region_projector(in_channels: int, channels: int) -> nn.Sequential:
    """Turn region features (B, in_channels) into a token (B, channels): Linear, LayerNorm (eps 1e-5), GELU."""
    return nn.Sequential(nn.Linear(in_channels, channels), nn.LayerNorm(channels), nn.GELU())


def quality_regressor(in_channels: int, channels: int, dropout: float = 0.2) -> nn.Sequential:
    """Turn features (B, in_channels) into a raw score (B, 1): Linear, GELU, Dropout, Linear."""
    return nn.Sequential(nn.Linear(in_channels, channels), nn.GELU(), nn.Dropout(dropout), nn.Linear(channels, 1))
