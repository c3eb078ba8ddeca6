"""Tensor names of one Vision Transformer in two libraries."""

from __future__ import annotations

import re

# (timm, MMSegmentation), each name once, for the tensors outside and inside the blocks.
_OUTSIDE = (('patch_embed.proj.', 'patch_embed.projection.'), ('norm.', 'ln1.'))
_INSIDE = (
    ('norm1.', 'ln1.'),
    ('norm2.', 'ln2.'),
    ('attn.qkv.', 'attn.attn.in_proj_'),
    ('attn.proj.', 'attn.attn.out_proj.'),
    ('mlp.fc1.', 'ffn.layers.0.0.'),
    ('mlp.fc2.', 'ffn.layers.1.'),
)


def timm_to_mmseg(name: str) -> str:
    """Translate a tensor's name in timm's VisionTransformer into MMSegmentation's; unknown names stay."""
    return _translate(name, 'blocks', 'layers', 0)


def mmseg_to_timm(name: str) -> str:
    """Translate a tensor's name in MMSegmentation's VisionTransformer into timm's; unknown names stay."""
    return _translate(name, 'layers', 'blocks', 1)


def _translate(name: str, blocks: str, new_blocks: str, side: int) -> str:
    match = re.match(rf'{blocks}\.(\d+)\.', name)
    head, pairs = (f'{new_blocks}.{match[1]}.', _INSIDE) if match else ('', _OUTSIDE)
    suffix = name[match.end() :] if match else name
    for pair in pairs:
        if suffix.startswith(pair[side]):
            return head + pair[1 - side] + suffix.removeprefix(pair[side])
    return head + suffix
