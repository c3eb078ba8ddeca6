"""The transformer inside RA-MIQA: a plain ViT, or a small one on a CNN's feature map."""

from __future__ import annotations

from functools import partial
from typing import Any

from timm.layers import HybridEmbed
from timm.models import VisionTransformer
from torch import nn

from miqa.models.parts.library_options import TIMM_NAME, TIMM_OPTIONS, VIT_OPTIONS, timm_model
from miqa.models.parts.pretrained import Pretrained, load_timm_pretrained
from miqa.networks.packaged_weights import efficientnet_lite
from miqa.outside.checked_values import Ignored, Whole
from miqa.registry import MODELS


class TokenTransformer(nn.Module):
    """The parts of a timm VisionTransformer that RA-MIQA uses, under timm's names; their order of use is RA-MIQA's.

    Attributes:
        embed_dim: width C of the tokens.
        cls_token: parameter (1, 1, C).
        pos_embed: parameter (1, 1 + patches, C), the CLS token's row first.
        patch_embed: pictures (B, 3, H, W) to patch tokens (B, patches, C).
        blocks: tokens (B, N, C) to the same shape, for any N.
        norm: the final norm.

    Raises:
        ValueError: it has no CLS token, register tokens, no final norm, or leaves the CLS token without position.
    """

    foreign_part = 'base'

    def __init__(self, vit: nn.Module):
        super().__init__()
        if (
            not isinstance(vit, VisionTransformer)
            or vit.cls_token is None
            or vit.reg_token is not None
            or vit.no_embed_class
            or not isinstance(vit.norm_pre, nn.Identity)
            or isinstance(vit.norm, nn.Identity)
        ):
            raise ValueError(
                'RA-MIQA needs a VisionTransformer of timm with a CLS token that has a position, a final norm, '
                'and neither register tokens nor a norm before the blocks, such as vit_small_patch16_224. '
                "(Where a model pools over its patches, options=dict(global_pool='token') gives it a final norm.)"
            )
        self.embed_dim = vit.embed_dim
        self.cls_token = vit.cls_token
        self.pos_embed = vit.pos_embed
        self.patch_embed = vit.patch_embed
        self.blocks = vit.blocks
        self.norm = vit.norm

    def init_weights(self) -> None:
        """Load the pretrained weights; called only when training starts."""
        raise NotImplementedError


@MODELS.register_module()
class PlainTransformer(TokenTransformer):
    """A ViT of timm by name.

    Args:
        model_name: such as ``vit_small_patch16_224`` (the published one) or ``vit_tiny_patch16_224``.
        pretrained: True for timm's weights, path of a file of them, or False for random ones.
        options: further arguments of ``timm.create_model``, such as ``dict(img_size=176, depth=4)``.
    """

    foreign_options = {'model_name': TIMM_NAME, 'pretrained': Ignored(False), 'options': TIMM_OPTIONS}

    def __init__(
        self, model_name: str = 'vit_small_patch16_224', pretrained: Pretrained = True, options: dict | None = None
    ):
        options = dict(num_classes=0, **(options or {}))
        super().__init__(timm_model(model_name, **options))
        self.model_name = model_name
        self.pretrained = pretrained
        self.options = options

    def init_weights(self) -> None:
        """Load timm's weights; raises WeightsUnavailable if they are not to be had."""
        load_timm_pretrained(self, self.model_name, self.pretrained, self.options)


@MODELS.register_module()
class HybridTransformer(TokenTransformer):
    """A small ViT whose patch tokens are the cells of a packaged EfficientNet-Lite's feature map.

    The CNN brings ImageNet knowledge where no pretrained ViT is at hand, so that few pictures and minutes suffice.

    Args:
        img_size: side of view ``image`` in pixels.
        embed_dim, depth, num_heads: the ViT; its weights start random.
        size: of the EfficientNet-Lite: 0, 1 or 2.
        stage: which of the CNN's five stages feeds the ViT, 0 to 4 (strides 2, 4, 8, 16, 32).
        patch_size: side, in cells of the feature map, of what becomes one token.
        pretrained: True for the packaged weights, False for random ones.
        options: further arguments of timm's VisionTransformer.
    """

    foreign_options = {
        **VIT_OPTIONS,
        'size': Whole(0, 2),
        'stage': Whole(0, 4),
        'pretrained': Ignored(False),
        'options': TIMM_OPTIONS,
    }

    def __init__(
        self,
        img_size: int = 176,
        embed_dim: int = 192,
        depth: int = 2,
        num_heads: int = 3,
        size: int = 0,
        stage: int = 4,
        patch_size: int = 1,
        pretrained: bool = True,
        options: dict | None = None,
    ):
        cnn_options: dict[str, Any] = {'features_only': True, 'out_indices': (stage,)}
        cnn = timm_model(f'tf_efficientnet_lite{size}', **cnn_options)
        super().__init__(
            VisionTransformer(
                img_size=img_size,
                patch_size=patch_size,
                embed_dim=embed_dim,
                depth=depth,
                num_heads=num_heads,
                num_classes=0,
                embed_layer=partial(HybridEmbed, backbone=cnn),
                **(options or {}),
            )
        )
        self.size = size
        self.pretrained = pretrained
        self.cnn_options = cnn_options

    def init_weights(self) -> None:
        """Load the CNN's packaged weights."""
        if self.pretrained:
            self.patch_embed.backbone.load_state_dict(efficientnet_lite(self.size, **self.cnn_options).state_dict())
