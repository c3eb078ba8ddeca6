"""RA-MIQA with tokens of a frozen probe's response beside region, CLS and patches."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from miqa.models.parts.frozen import FrozenEncoder, FrozenStack
from miqa.models.parts.heads import quality_regressor, region_projector
from miqa.models.responses.projection import FittedHeads, ResponseProjection
from miqa.outside.checked_values import Choice, Part, Real, Several, Whole
from miqa.registry import MODELS
from miqa.taxonomy import LABELS


@MODELS.register_module()
class ResponseRAMIQA(FittedHeads):
    """RA-MIQA with response tokens; the paper's network is :class:`~miqa.models.RAMIQA`, untouched.

    A frozen probe, which is a machine of the kind that the scores predict, takes view ``region`` as the region
    encoder does. Its standardised confidence becomes one token, and every four directions of its feature maps'
    statistics that tell damage (see :class:`~miqa.models.responses.projection.ResponseProjection`) another. Tokens
    [region, CLS, response ..., patches of view ``image``] pass the transformer. The heads read CLS, region and the mean
    of the response tokens, and add to a linear function of the confidence, where they start from.

    Args:
        base: config of the transformer, such as ``dict(type='PlainTransformer')``.
        region_encoder: config of the frozen encoder of view ``region``.
        probe: config of a :class:`~miqa.models.responses.probes.Probe`; view ``region`` must be normalised as it wants.
        heads: the labels that are learned.
        label: the label that is scored, see :class:`~miqa.models.parts.heads.LabelHeads`.
        components: directions of the feature maps' statistics.
        hidden: width of the heads' hidden layer; None for the transformer's width.
        dropout: of the heads.
    """

    foreign_part = 'network'
    foreign_options = {
        'base': Part(('base',)),
        'region_encoder': Part(('region_encoder',)),
        'probe': Part(('probe',)),
        'heads': Several(Choice(LABELS), len(LABELS)),
        'label': Choice(LABELS),
        'components': Whole(1, 4096),
        'hidden': Whole(1, 16384, optional=True),
        'dropout': Real(0, 1),
    }

    #: Directions of one token.
    per_token = 4

    def __init__(
        self,
        base: dict,
        region_encoder: dict,
        probe: dict,
        heads: Sequence[str] = ('consistency', 'accuracy'),
        label: str = 'composite',
        components: int = 24,
        hidden: int | None = None,
        dropout: float = 0.2,
    ):
        super().__init__(heads, label)
        self.base_model = MODELS.build(base)
        self.mask_encoder: FrozenEncoder = MODELS.build(region_encoder)
        self.probe: FrozenEncoder = MODELS.build(probe)
        self.projection = ResponseProjection(self.probe.parts, components)
        width = self.base_model.embed_dim
        damage = self.projection.out_channels - self.projection.confidence
        sizes = [min(self.per_token, damage - start) for start in range(0, damage, self.per_token)]
        self.sizes = [self.projection.confidence, *sizes]
        self.response_projectors = nn.ModuleList(region_projector(size, width) for size in self.sizes)
        self.mask_projector = region_projector(self.mask_encoder.out_channels, width)
        # Where tokens without a place in the picture stand: region, then the response.
        self.places = nn.Parameter(torch.zeros(1, 1 + len(self.sizes), width))
        nn.init.normal_(self.places, std=0.02)
        self.regressor = quality_regressor(3 * width, hidden or width, dropout)
        self.regressor[-1] = nn.Linear(hidden or width, len(self.heads))
        self.confidence = nn.Linear(self.projection.confidence, len(self.heads), bias=False)
        nn.init.zeros_(self.confidence.weight)

    def init_weights(self) -> None:
        """Load the pretrained transformer, region encoder and probe; called only when training starts.

        Raises:
            WeightsUnavailable: weights are not to be had; the message says what to download and where to put it.
        """
        for part in (self.base_model, self.mask_encoder, self.probe):
            part.init_weights()

    def frozen_encoders(self) -> dict[str, FrozenEncoder]:
        """Return the two frozen networks as one, by the view that they take; their vectors can be cached."""
        return {'region': FrozenStack([self.mask_encoder, self.probe])}

    def response(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the probe's vectors (B, C), from the cache where the inputs have them."""
        return self._frozen(inputs)[1]

    def _frozen(self, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        vectors, lengths = inputs.get('region_features'), [self.mask_encoder.out_channels, self.probe.out_channels]
        if vectors is None:
            return self.mask_encoder(inputs['region']), self.probe(inputs['region'])
        if vectors.shape[-1] != sum(lengths):
            raise ValueError(
                f'Cached features have {vectors.shape[-1]} numbers, region encoder and probe make {sum(lengths)}: make '
                'the cache again with this config.'
            )
        region, response = vectors.split(lengths, dim=1)
        return region, response

    def member_scores(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the score in [0, 1] for each head: (B, 1, heads).

        Args:
            inputs: ``image``: normalised RGB (B, 3, h, w); and ``region``: normalised RGB (B, 3, H, W), or
                ``region_features``: the vectors of region encoder and probe for it, one after the other.
        """
        region, vectors = self._frozen(inputs)
        response = self.projection(vectors)
        parts = response.split(self.sizes, dim=1)
        own = [project(part) for project, part in zip(self.response_projectors, parts, strict=True)]
        placeless = torch.stack([self.mask_projector(region), *own], 1) + self.places
        patches = self.base_model.patch_embed(inputs['image'])
        cls = self.base_model.cls_token.expand(patches.shape[0], -1, -1)
        placed = torch.cat((cls, patches), 1) + self.base_model.pos_embed
        count = placeless.shape[1]
        tokens = self.base_model.norm(self.base_model.blocks(torch.cat((placeless, placed), 1)))
        read = torch.cat((tokens[:, count], tokens[:, 0], tokens[:, 1:count].mean(1)), 1)
        outputs = self.regressor(read) + self.confidence(parts[0])
        return outputs.sigmoid().unsqueeze(1)
