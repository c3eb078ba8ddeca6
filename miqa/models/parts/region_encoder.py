"""The frozen region encoder of RA-MIQA: pictures in, one vector per picture out."""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch.nn import functional as F

from miqa.networks.packaged_weights import efficientnet_lite
from miqa.outside.checked_values import Ignored, Whole
from miqa.registry import MODELS

from .frozen import FrozenEncoder
from .library_options import VIT_OPTIONS, timm_model
from .vit_names import mmseg_to_timm, timm_to_mmseg
from .weight_files import load_region_weights

#: Weights of the published region encoder: a ViT-S/16 pretrained with SERE and fine-tuned for 100 epochs on the
#: 919 classes of ImageNet-S (Gao et al., "Large-scale Unsupervised Semantic Segmentation"; CC BY-NC 4.0).
SERE_URL = 'https://github.com/LUSSeg/ImageNetSegModel/releases/download/vit/sere_finetuned_vit_small_ep100.pth'
#: A ViT-S/16 of the same kind in MMSegmentation's naming, from MMSegmentation's model zoo.
SERE_MMSEG_URL = (
    'https://download.openmmlab.com/mmsegmentation/v0.5/imagenets/'
    'fcn_sere-small_finetuned_fp16_8x32_224x224_3600_imagenets919/'
    'fcn_sere-small_finetuned_fp16_8x32_224x224_3600_imagenets919_20230208_151834-ee33230c.pth'
)


class RegionEncoder(FrozenEncoder):
    """A frozen network that segments view ``region``."""

    foreign_part = 'region_encoder'


# Checkpoints and configs of 0.2 may say MMSegRegionEncoder: the same tensors, computed by MMSegmentation.
@MODELS.register_module(name=['TimmRegionEncoder', 'MMSegRegionEncoder'])
class TimmRegionEncoder(RegionEncoder):
    """A ViT whose last layer's patch features, normalised, without the CLS token, are averaged over space.

    timm computes it, with PyTorch's fused attention. Its tensors have MMSegmentation's names in every checkpoint, so
    that released files need no translation.

    Args:
        img_size: side of the square that the position embedding is made for; other inputs get it resized.
        patch_size, embed_dim, depth, num_heads: the ViT.
        weights: path or URL of the pretrained weights, or None for random ones, which is only of use in tests.
        sha256: if given, the SHA-256 that the weights file must have.
    """

    foreign_options = {**VIT_OPTIONS, 'weights': Ignored(None), 'sha256': Ignored(None)}

    def __init__(
        self,
        img_size: int = 224,
        patch_size: int = 16,
        embed_dim: int = 384,
        depth: int = 12,
        num_heads: int = 6,
        weights: str | None = SERE_URL,
        sha256: str | None = None,
    ):
        super().__init__()
        self.patch_size = patch_size
        self.grid = img_size // patch_size
        self.out_channels = embed_dim
        self.weights = weights
        self.sha256 = sha256
        self.vit: Any = timm.models.VisionTransformer(
            img_size=img_size,
            patch_size=patch_size,
            embed_dim=embed_dim,
            depth=depth,
            num_heads=num_heads,
            num_classes=0,
            global_pool='token',
        )
        self.register_state_dict_post_hook(_store_names)
        self.register_load_state_dict_pre_hook(_restore_names)
        self.freeze()

    def init_weights(self) -> None:
        """Load the pretrained ViT.

        Raises:
            WeightsUnavailable: the file is neither there nor to be had, or is damaged or another model's.
        """
        if self.weights is not None:
            load_region_weights(self, self.weights, self.sha256)

    def forward(self, region: torch.Tensor) -> torch.Tensor:
        """Return the features (B, embed_dim) of normalised RGB pictures (B, 3, H, W), without gradient.

        Raises:
            ValueError: a side is not a multiple of the patch size.
        """
        if region.shape[-1] % self.patch_size or region.shape[-2] % self.patch_size:
            raise ValueError(
                f'The sides of view region, {tuple(region.shape[-2:])}, must be multiples of {self.patch_size} pixels.'
            )
        return super().forward(region)

    def encode(self, region: torch.Tensor) -> torch.Tensor:
        """Average the last layer's normalised patch features: (B, embed_dim)."""
        vit = self.vit
        patches = vit.patch_embed.proj(region)
        position = self._position(patches.shape[-2:])
        patches = patches.flatten(2).transpose(1, 2) + position[:, 1:]
        cls = (vit.cls_token + position[:, :1]).expand(patches.shape[0], -1, -1)
        tokens = vit.norm(vit.blocks(torch.cat((cls, patches), dim=1)))
        return tokens[:, 1:].mean(dim=1)

    def _position(self, grid: tuple[int, int]) -> torch.Tensor:
        """Resize the position embedding (1, 1 + grid^2, C) to a grid of (h, w) patches, as MMSegmentation does.

        timm's own ``resample_abs_pos_embed`` antialiases, which changes the bicubic kernel and so the features.
        """
        position = self.vit.pos_embed
        if tuple(grid) == (self.grid, self.grid):
            return position
        cells = position[:, 1:].reshape(1, self.grid, self.grid, -1).permute(0, 3, 1, 2)
        cells = F.interpolate(cells, size=tuple(grid), mode='bicubic', align_corners=False)
        return torch.cat((position[:, :1], cells.flatten(2).transpose(1, 2)), dim=1)

    def stored_name(self, own: str) -> str:
        """Name in checkpoints of tensor ``own`` of this module."""
        return timm_to_mmseg(own.removeprefix('vit.'))

    def name_here(self, stored: str) -> str:
        """Name in this module of a checkpoint's tensor ``stored``."""
        return f'vit.{mmseg_to_timm(stored)}'


# Module-level functions, so that a copy of the encoder (EMA makes one) has hooks of its own.
def _store_names(encoder: TimmRegionEncoder, state: dict, prefix: str, _) -> None:
    for key in [key for key in state if key.startswith(f'{prefix}vit.')]:
        state[prefix + encoder.stored_name(key.removeprefix(prefix))] = state.pop(key)


def _restore_names(encoder: TimmRegionEncoder, state: dict, prefix: str, *_) -> None:
    for key in [key for key in state if key.startswith(prefix)]:
        state[prefix + encoder.name_here(key.removeprefix(prefix))] = state.pop(key)


@MODELS.register_module()
class PackagedRegionEncoder(RegionEncoder):
    """A frozen EfficientNet-Lite, with the ImageNet weights that its package ships, as a small region encoder.

    For machines without GPU or network. Its features are the last stage's, averaged over space.

    Args:
        size: 0, 1 or 2.
        pretrained: True for the packaged weights; False for random ones, which is only of use in tests.
    """

    foreign_options = {'size': Whole(0, 2), 'pretrained': Ignored(False)}

    def __init__(self, size: int = 0, pretrained: bool = True):
        super().__init__()
        self.size = size
        self.pretrained = pretrained
        self.cnn = timm_model(f'tf_efficientnet_lite{size}', num_classes=0)
        self.out_channels = self.cnn.num_features
        self.freeze()

    def init_weights(self) -> None:
        """Load the packaged weights."""
        if self.pretrained:
            packaged = efficientnet_lite(self.size, num_classes=0).state_dict()
            self.load_state_dict({f'cnn.{name}': tensor for name, tensor in packaged.items()})

    def encode(self, region: torch.Tensor) -> torch.Tensor:
        """Average the last stage's features: (B, 1280)."""
        return self.cnn(region)
