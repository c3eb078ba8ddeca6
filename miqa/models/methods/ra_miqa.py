"""RA-MIQA: a ViT with a region token that encodes where the objects are."""

from __future__ import annotations

import torch
from torch import nn

from miqa.models.parts.frozen import FrozenEncoder
from miqa.models.parts.heads import quality_regressor, region_projector
from miqa.outside.checked_values import Choice, Part, Real, Whole
from miqa.registry import MODELS
from miqa.taxonomy import check_choice

POS_EMBED_ORDERS = ('released', 'cls_first')  # Where the pretrained CLS row of the position embedding goes


@MODELS.register_module()
class RAMIQA(nn.Module):
    """Region-aware quality assessor of Wang, Zhang, Lin (arXiv 2508.19850).

    A frozen encoder's features of view ``region`` become a token. Tokens [region, CLS, patches of view ``image``]
    pass a transformer; the head scores CLS and region outputs together. With the published parts the network has
    43,851,649 parameters and exactly the 309 tensor names of the released files; the encoder's are frozen, and so
    is ``base_model.pos_embed``, which the released files store but whose role ``pos_embed`` has taken over.

    Args:
        base: config of the transformer, such as ``dict(type='PlainTransformer')``.
        region_encoder: config of the frozen encoder, such as ``dict(type='TimmRegionEncoder')``.
        hidden: width of the head's hidden layer; None for the transformer's width.
        dropout: of the head.
        pos_embed_order: how ``pos_embed`` starts. ``released``: the pretrained CLS row goes to the region token
            and CLS gets N(0, 0.02), as in the released code. ``cls_first``: the CLS row goes to CLS and the region
            token gets N(0, 0.02). Loaded weights override either.

    Raises:
        ValueError: ``pos_embed_order`` is unknown.
    """

    foreign_part = 'network'
    foreign_options = {
        'base': Part(('base',)),
        'region_encoder': Part(('region_encoder',)),
        'hidden': Whole(1, 16384, optional=True),
        'dropout': Real(0, 1),
        'pos_embed_order': Choice(POS_EMBED_ORDERS),
    }

    def __init__(
        self,
        base: dict,
        region_encoder: dict,
        hidden: int | None = None,
        dropout: float = 0.2,
        pos_embed_order: str = 'released',
    ):
        super().__init__()
        self.pos_embed_order = check_choice(pos_embed_order, POS_EMBED_ORDERS, 'pos_embed_order')
        self.base_model = MODELS.build(base)
        self.mask_encoder = MODELS.build(region_encoder)
        width = self.base_model.embed_dim
        # The rows in use are those of self.pos_embed: a trainable tensor that no output depends on stops DDP.
        self.base_model.pos_embed.requires_grad_(False)
        self.pos_embed = nn.Parameter(torch.empty(1, self.base_model.pos_embed.shape[1] + 1, width))
        self.mask_projector = region_projector(self.mask_encoder.out_channels, width)
        self.quality_regressor = quality_regressor(2 * width, hidden or width, dropout)
        self._start_pos_embed()

    def init_weights(self) -> None:
        """Load the pretrained transformer and region encoder; called only when training starts.

        Raises:
            WeightsUnavailable: weights are not to be had; the message says what to download and where to put it.
        """
        self.base_model.init_weights()
        self.mask_encoder.init_weights()
        self._start_pos_embed()

    @torch.no_grad()
    def _start_pos_embed(self) -> None:
        pretrained = self.base_model.pos_embed
        cls, region = (0, 1) if self.pos_embed_order == 'released' else (1, 0)
        self.pos_embed[:, cls] = pretrained[:, 0]
        nn.init.normal_(self.pos_embed[:, region], std=0.02)
        self.pos_embed[:, 2:] = pretrained[:, 1:]

    @property
    def region_encoder(self) -> FrozenEncoder:
        """The frozen encoder; its tensors keep the released name ``mask_encoder``."""
        return self.mask_encoder

    def frozen_encoders(self) -> dict[str, FrozenEncoder]:
        """Return the frozen network by the view that it takes; its vectors can be cached."""
        return {'region': self.mask_encoder}

    def region_features(self, region: torch.Tensor) -> torch.Tensor:
        """Return the frozen encoder's features (B, C) of normalised pictures (B, 3, H, W)."""
        return self.mask_encoder(region)

    def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return raw scores (B,).

        ``inputs`` has ``image``, normalised RGB (B, 3, 224, 224), and ``region``, normalised RGB (B, 3, 288, 288), or
        ``region_features``, what :meth:`region_features` returned for it, (B, C).

        Raises:
            ValueError: the features have another length than the encoder's.
        """
        features = inputs.get('region_features')
        if features is None:
            features = self.mask_encoder(inputs['region'])
        elif features.shape[-1] != self.mask_encoder.out_channels:
            raise ValueError(
                f'Cached region features have {features.shape[-1]} numbers, this encoder makes '
                f'{self.mask_encoder.out_channels}: make the cache again with this config.'
            )
        region = self.mask_projector(features).unsqueeze(1)
        patches = self.base_model.patch_embed(inputs['image'])
        cls = self.base_model.cls_token.expand(patches.shape[0], -1, -1)
        tokens = torch.cat((region, cls, patches), dim=1) + self.pos_embed
        tokens = self.base_model.norm(self.base_model.blocks(tokens))
        return self.quality_regressor(torch.cat((tokens[:, 1], tokens[:, 0]), dim=1)).squeeze(1)
