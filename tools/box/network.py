"""The network that ships: EfficientNet-Lite0, what its response is, and small heads that read it."""

from __future__ import annotations

import torch
from kinds import KINDS, PLACES
from torch import nn
from torch.nn import functional as F

from miqa.models.responses.projection import ResponseProjection
from miqa.models.responses.statistics import confidence_statistics, map_statistics
from miqa.networks.packaged_weights import efficientnet_lite, folded

_TOP = 10  # How many of the largest probabilities are read
_LIMIT = 4.0  # Standardised numbers beyond are cut: a picture of an unseen kind moves no score without bound
HIDDEN = 234  # Numbers of the hidden layer; with the confidence they are the output ``features``
_STRONGEST = 5.0  # Levels of strength
#: Early stages that the two readers of quality see: consistency is that of the first, accuracy the mean of both.
EARLY = (3, 4)
#: Directions that the stages' maps are turned to, and number and size of the networks that read them. Chosen, as
#: ``EARLY``, on photographs and scenes set apart, see ``choice`` in the model's card (tools/box/card.py).
COMPONENTS, MEMBERS, WIDTH = 160, 8, 64
#: The second look: pictures whose mean is below ``DARK`` of full scale are seen once more to the power ``BRIGHTER``.
#: Of dark versions of photographs set apart the logit of the overlap is ``USUAL`` in the median.
DARK, BRIGHTER, USUAL = 0.2, 0.6, 2.0
#: The diagnosis as evidence: this share of the logit of "no damage", from ``LEAST`` on, counts for both qualities. In
#: the median of the versions set apart the logit is ``TYPICAL``.
EVIDENCE, LEAST, TYPICAL = 0.15, -5.0, -3.5
#: For detectors: how much the features and the logits of both qualities count beside the response, each standardised.
#: Chosen by five folds of one half of the annotated scenes, as is the decay in :func:`training.train_detection`.
SHARES = (1.0, 2.0, 10.0)
_SUREST = 7.0  # Logits of the qualities are cut beyond
_OUTPUTS = 2 + len(KINDS) + 1 + len(PLACES)  # Numbers of all heads


class Reader(nn.Module):
    """Consistency and accuracy from how sure the trunk is and from what its early stages see.

    The maps' statistics are turned to their main directions (the response-aware recipe,
    :mod:`miqa.models.responses.projection`) and read by small networks whose outputs are averaged.

    Args:
        confidence: length of the confidence, with which a response begins.
        maps: length of the statistics of the stages that are read, which follow.
    """

    def __init__(self, confidence: int, maps: int) -> None:
        super().__init__()
        self.confidence, self.length = confidence, confidence + maps
        self.projection = ResponseProjection({'confidence': confidence, 'map': maps}, COMPONENTS)
        inputs = self.projection.out_channels
        self.first = nn.Parameter(torch.randn(MEMBERS, inputs, WIDTH) * inputs**-0.5)
        self.first_bias = nn.Parameter(torch.zeros(MEMBERS, 1, WIDTH))
        self.second = nn.Parameter(torch.randn(MEMBERS, WIDTH, 2) * 0.1 * WIDTH**-0.5)
        self.second_bias = nn.Parameter(torch.zeros(MEMBERS, 1, 2))
        self.sure = nn.Parameter(torch.zeros(MEMBERS, confidence, 2))

    def forward(self, inputs: torch.Tensor, dropout: float = 0.0) -> torch.Tensor:
        """Return both as logits of each network, (members, B, 2), from what ``projection`` gives, (B, inputs)."""
        batch = inputs.expand(MEMBERS, -1, -1)
        hidden = F.gelu(F.dropout(batch, dropout, self.training) @ self.first + self.first_bias)
        outputs = F.dropout(hidden, dropout, self.training) @ self.second + self.second_bias
        return outputs + batch[..., : self.confidence] @ self.sure


class BoxNetwork(nn.Module):
    """Pixels in; consistency, accuracy, kind, strength and place of damage, features, and quality for detectors out.

    EfficientNet-Lite0 stays as it is. Quality is read from its early stages by :class:`Reader`, the diagnosis from the
    whole response by one hidden layer. Consistency is read from three stages: with more it follows our own damage
    better and that of cameras worse. Accuracy, which asks what is in the picture, is read from the fourth, too. The
    probability of no damage adds to both (:meth:`evidence`). Dark pictures are seen twice (:meth:`second_look`).
    What detectors lose is a linear function of all these numbers (:meth:`detection_inputs`), since there are few
    annotated scenes.
    """

    mean: torch.Tensor
    scale: torch.Tensor
    detection_mean: torch.Tensor
    detection_scale: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.trunk = folded(efficientnet_lite(0))
        channels = sum(stage['num_chs'] for stage in self.trunk.feature_info)
        self.stages = list(range(len(self.trunk.feature_info)))
        self.confidence = 2 * _TOP + 2
        length = self.confidence + 2 * channels + self.trunk.num_features
        self.register_buffer('mean', torch.zeros(length))
        self.register_buffer('scale', torch.ones(length))
        self.hidden = nn.Linear(length, HIDDEN)
        self.outputs = nn.Linear(HIDDEN, _OUTPUTS)
        self.direct = nn.Linear(self.confidence, 2, bias=False)
        nn.init.normal_(self.hidden.weight, std=length**-0.5)
        nn.init.normal_(self.outputs.weight, std=0.1 * HIDDEN**-0.5)
        nn.init.zeros_(self.outputs.bias)
        nn.init.zeros_(self.direct.weight)
        maps = [2 * stage['num_chs'] for stage in self.trunk.feature_info]
        self.readers = nn.ModuleList([Reader(self.confidence, sum(maps[:stages])) for stages in EARLY])
        inputs = length + self.confidence + HIDDEN + 2
        self.register_buffer('detection_mean', torch.zeros(inputs))
        self.register_buffer('detection_scale', torch.ones(inputs))
        self.for_detectors = nn.Linear(inputs, 2)

    def response(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the response (B, C) and the logits (B, 1000) to uint8 RGB pixels (B, 3, side, side)."""
        # TensorFlow's normalisation of EfficientNet-Lite.
        image = ((pixels.float() - 127) / 128).contiguous(memory_format=torch.channels_last)
        last, maps = self.trunk.forward_intermediates(image, indices=self.stages, output_fmt='NCHW')
        pooled = last.float().mean((2, 3))
        logits = self.trunk.classifier(pooled).float()
        return torch.cat([confidence_statistics(logits, _TOP), map_statistics(maps), pooled], 1), logits

    def heads(self, response: torch.Tensor, dropout: float = 0.0) -> dict[str, torch.Tensor]:
        """Return what the heads read from a response (B, C): raw outputs by name, and ``features`` (B, D)."""
        values = ((response - self.mean) * self.scale).clamp(-_LIMIT, _LIMIT)
        confidence = values[:, : self.confidence]
        hidden = F.gelu(self.hidden(F.dropout(values, dropout, self.training)))
        raw = self.outputs(F.dropout(hidden, dropout, self.training))
        sizes = (2, len(KINDS), 1, len(PLACES))
        quality, damage, strength, place = raw.split(sizes, 1)
        return {
            'quality': quality + self.direct(confidence), 'damage': damage, 'strength': strength[:, 0], 'place': place,
            'features': torch.cat([confidence, hidden], 1),
        }  # fmt: skip

    def second_look(self, pixels: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """Return what brightening dark pictures adds to the logits of both qualities, (B,), at most 0.

        A picture that does not keep its classes when it is brightened loses, the more the darker it is.

        Args:
            pixels: uint8 RGB (B, 3, side, side).
            logits: of the trunk's classes, (B, 1000).
        """
        shares = pixels.float() / 255
        dark = F.relu(1 - shares.mean((1, 2, 3)) / DARK)
        rows = dark.nonzero()[:, 0]
        second = self.trunk((255 * shares[rows] ** BRIGHTER - 127) / 128).float()
        overlap = torch.minimum(logits[rows].softmax(1), second.softmax(1)).sum(1).clamp(1e-4, 1 - 1e-4)
        # It only lowers: what is black stays black when brightened, and keeps its classes without showing anything.
        return torch.zeros_like(dark).scatter(0, rows, dark[rows] * (overlap.logit() - USUAL).clamp(max=0))

    @staticmethod
    def evidence(damage: torch.Tensor) -> torch.Tensor:
        """Return what the raw diagnosis (B, K) adds to the logits of both qualities, (B,).

        The readers of quality are asked how much machines lose, the diagnosis whether anything happened to the
        picture: of two pictures of which classifiers are equally unsure it tells the difficult one from the damaged.
        """
        undamaged = damage[:, 0] - damage[:, 1:].logsumexp(1)
        return EVIDENCE * (undamaged.clamp(min=LEAST) - TYPICAL)

    def quality(self, response: torch.Tensor, added: torch.Tensor) -> torch.Tensor:
        """Return the logits of consistency and accuracy (B, 2) of a response (B, C), with ``added`` (B,)."""
        logits = [reader(reader.projection(response[:, : reader.length])).mean(0) for reader in self.readers]
        accuracy = torch.stack([both[:, 1] for both in logits]).mean(0)
        return torch.stack([logits[0][:, 0] + added, accuracy + added], 1)

    def detection_inputs(self, response: torch.Tensor, features: torch.Tensor, quality: torch.Tensor) -> torch.Tensor:
        """Return what :attr:`for_detectors` reads, (B, inputs): all features, standardised and weighted.

        Args:
            response: (B, C).
            features: (B, D).
            quality: logits of consistency and accuracy for classifiers, (B, 2).
        """
        known = torch.cat([response, features, quality.clamp(-_SUREST, _SUREST)], 1)
        lengths = torch.tensor([response.shape[1], features.shape[1], 2])
        values = ((known - self.detection_mean) * self.detection_scale).clamp(-_LIMIT, _LIMIT)
        return values * torch.tensor(SHARES).repeat_interleave(lengths)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return consistency, accuracy, composite (B,), damage (B, K), strength (B,), place (B, P), features (B, D).

        After them consistency, accuracy and composite (B,) for detectors.
        """
        response, logits = self.response(pixels)
        raw = self.heads(response)
        added = self.second_look(pixels, logits) + self.evidence(raw['damage'])
        quality = self.quality(response, added)
        detection = self.for_detectors(self.detection_inputs(response, raw['features'], quality))
        consistency, accuracy = quality.sigmoid().unbind(1)
        kept, right = detection.sigmoid().unbind(1)
        return (
            consistency, accuracy, (consistency + accuracy) / 2, raw['damage'].softmax(1),
            _STRONGEST * raw['strength'].sigmoid(), raw['place'].softmax(1), raw['features'],
            kept, right, (kept + right) / 2,
        )  # fmt: skip


def quality_loss(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the mean binary cross-entropy of outputs (..., 2), logits, over the labels that are not NaN."""
    known = ~labels.isnan()
    return F.binary_cross_entropy_with_logits(outputs[known], labels[known])


def loss_of(raw: dict[str, torch.Tensor], labels: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the loss of raw outputs.

    Args:
        raw: of :meth:`BoxNetwork.heads`.
        labels: ``quality`` (B, 2) in [0, 1], NaN where unknown, ``damage`` (B, K) shares, ``strength`` (B,) in
            levels, ``place`` (B,) indices, -1 for unknown.
    """
    quality = quality_loss(raw['quality'], labels['quality'])
    damage = F.cross_entropy(raw['damage'], labels['damage'])
    strength = F.mse_loss(raw['strength'].sigmoid(), labels['strength'] / _STRONGEST)
    known = labels['place'] >= 0
    place = F.cross_entropy(raw['place'][known], labels['place'][known]) if known.any() else raw['place'].sum() * 0
    return quality + 0.1 * damage + 0.5 * strength + 0.05 * place
