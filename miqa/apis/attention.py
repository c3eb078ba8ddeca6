"""Attention rollout: where a transformer looks when it scores a picture."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from timm.layers import Attention
from timm.models import VisionTransformer
from torch import nn

from miqa.models import RAMIQA

from .runtimes.pixels import PixelsToScore


def rollout(network: nn.Module, views: dict[str, torch.Tensor]) -> torch.Tensor:
    """Compute how much each patch of view ``image`` reaches the scored tokens: float32 (B, rows, columns), sum 1.

    Abnar and Zuidema, "Quantifying Attention Flow in Transformers" (2020): the attention of each layer, averaged
    over heads, is mixed half and half with the identity (the residual path), and the layers are multiplied. Of RA-MIQA
    the region and CLS tokens are scored; else the network is a plain ViT of timm. ``views`` are normalised.

    Raises:
        ValueError: the network is not a transformer.
    """
    transformer, scored, first_patch = _anatomy(network)
    layers: list[torch.Tensor] = []
    with torch.inference_mode(), _recorded(transformer.blocks, layers):
        network(views)
    # Half of it is the residual path; each layer is applied to what those before it let through.
    steps = [(attention + torch.eye(attention.shape[-1], device=attention.device)) / 2 for attention in layers]
    flow = functools.reduce(lambda so_far, step: step @ so_far, steps)
    weights = flow[:, scored, first_patch:].mean(dim=1)
    weights = weights / weights.sum(dim=1, keepdim=True)
    rows, columns = transformer.patch_embed.grid_size
    return weights.view(-1, rows, columns).float()


def rollout_of_pixels(module: PixelsToScore, pixels: np.ndarray, device: str) -> np.ndarray:
    """Compute :func:`rollout` for one prepared picture, uint8 (3, size, size): float32 (rows, columns)."""
    with torch.inference_mode():
        views = module.views(torch.from_numpy(pixels)[None].to(device))
    return rollout(module.network, views)[0].cpu().numpy()


def _anatomy(network: Any) -> tuple[Any, list[int], int]:
    if isinstance(network, RAMIQA):
        return network.base_model, [0, 1], 2
    backbone = getattr(network, 'backbone', None)
    if not isinstance(backbone, VisionTransformer):
        raise ValueError(
            f"Attention rollout needs a transformer, not a {type(network).__name__}: use heatmap='occlusion' "
            '(--heatmap-method occlusion).'
        )
    prefix = backbone.num_prefix_tokens
    pooled = backbone.global_pool != 'token' or not prefix
    scored = list(range(prefix, prefix + backbone.patch_embed.num_patches)) if pooled else [0]
    return backbone, scored, prefix


@contextlib.contextmanager
def _recorded(blocks: nn.Module, layers: list[torch.Tensor]) -> Iterator[None]:
    def record(module: Attention, arguments: tuple) -> None:
        # timm's fused kernel keeps no weights: they are computed again from the same input.
        tokens = arguments[0]
        batch, count, _ = tokens.shape
        qkv = module.qkv(tokens).reshape(batch, count, 3, module.num_heads, module.head_dim).permute(2, 0, 3, 1, 4)
        query, key = module.q_norm(qkv[0]), module.k_norm(qkv[1])
        layers.append(((query * module.scale) @ key.transpose(-2, -1)).softmax(dim=-1).mean(dim=1))

    handles = [module.register_forward_pre_hook(record) for module in blocks.modules() if isinstance(module, Attention)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
