"""Small frozen machines whose response predicts picture quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import timm
import torch

from miqa.models.parts.frozen import FrozenEncoder
from miqa.models.parts.library_options import TIMM_NAME, timm_model
from miqa.models.parts.pretrained import Pretrained, load_timm_pretrained
from miqa.networks.packaged_weights import PACKAGED_LITES, efficientnet_lite
from miqa.outside.checked_values import Choice, Ignored, Kind, Real, Several, Whole
from miqa.registry import MODELS
from miqa.taxonomy import check_choice

from .statistics import CHANGES, change_statistics, confidence_statistics, map_statistics


class Probe(FrozenEncoder):
    """A frozen machine as an encoder: a picture in, numbers about its response out.

    Attributes:
        parts: name -> length of the parts of the vector, in order: ``confidence``, then ``map0``, ``map1``, ... for
            the feature maps from early to late, then perhaps ``changes``.
    """

    parts: dict[str, int]
    scale: torch.Tensor
    shift: torch.Tensor
    foreign_part = 'probe'
    foreign_options: Mapping[str, Kind] = {'renormalise': Several(Real(-10, 10), 4, depth=2)}

    def renormalise_from(self, numbers: Sequence[Sequence[float]]) -> None:
        """Let the probe take pictures that are normalised for another network.

        ``numbers`` are mean and deviation of RGB values in [0, 1] that the view is normalised with, then those that
        this network wants, three numbers each; none for a view that is as it wants.

        Raises:
            ValueError: there are not four times three numbers.
        """
        self.renormalise = [list(row) for row in numbers]
        if self.renormalise:
            if [len(row) for row in self.renormalise] != [3, 3, 3, 3] or min(self.renormalise[3]) <= 0:
                raise ValueError(
                    'renormalise needs four rows of three numbers: mean and std of the view, mean and std that the '
                    f'network wants; not {self.renormalise}.'
                )
            mean, std, wanted_mean, wanted_std = torch.tensor(self.renormalise)
            self.register_buffer('scale', (std / wanted_std).view(1, 3, 1, 1), persistent=False)
            self.register_buffer('shift', ((mean - wanted_mean) / wanted_std).view(1, 3, 1, 1), persistent=False)

    def as_wanted(self, picture: torch.Tensor) -> torch.Tensor:
        """Return the view (B, 3, H, W) normalised as the network wants it."""
        return picture * self.scale + self.shift if self.renormalise else picture

    def split(self, vectors: torch.Tensor) -> dict[str, torch.Tensor]:
        """Cut vectors (B, out_channels) into the parts."""
        return dict(zip(self.parts, vectors.split(list(self.parts.values()), dim=1), strict=True))


@MODELS.register_module()
class ClassifierProbe(Probe):
    """Any timm classifier as a probe.

    Its vector: :func:`~miqa.models.responses.statistics.confidence_statistics` of its logits, then
    :func:`~miqa.models.responses.statistics.map_statistics` of each stage's feature map, and, if asked for,
    :func:`~miqa.models.responses.statistics.change_statistics` of each change.

    Args:
        model_name: a timm name, such as ``resnet18.a1_in1k``. The view must be normalised as it wants,
            or ``renormalise`` says how it is.
        pretrained: ``packaged`` for the EfficientNet-Lites 0 to 2 whose weights come inside Python packages, True for
            timm's own, a path, or False for random ones, which is only of use in tests.
        top: how many of the largest probabilities.
        maps: which stages' feature maps, counted from the earliest; none named: all.
        changes: how the picture is shown again: some of ``mirror``, ``half`` and ``recompress``. Each costs a pass.
        renormalise: see :meth:`Probe.renormalise_from`.

    Raises:
        ValueError: timm has no such model, or it does not give its feature maps; a change is unknown.
    """

    foreign_options: Mapping[str, Kind] = {
        'model_name': TIMM_NAME,
        'pretrained': Ignored(False),
        'top': Whole(1, 1000),
        'maps': Several(Whole(0, 255), 256),
        'changes': Several(Choice(tuple(CHANGES)), len(CHANGES)),
    }

    def __init__(
        self,
        model_name: str = 'tf_efficientnet_lite0',
        pretrained: Pretrained = 'packaged',
        top: int = 10,
        maps: Sequence[int] = (),
        changes: Sequence[str] = (),
        renormalise: Sequence[Sequence[float]] = (),
    ):
        super().__init__()
        if not timm.is_model(model_name):
            raise ValueError(f'timm {timm.__version__} has no model {model_name!r}. See timm.list_models().')
        if pretrained == 'packaged':
            check_choice(model_name, PACKAGED_LITES, 'model with packaged weights')
        self.model_name, self.pretrained, self.top = model_name, pretrained, top
        self.renormalise_from(renormalise)
        self.changes = [check_choice(name, CHANGES, 'change') for name in changes]
        self.classifier = timm_model(model_name)
        channels = [stage['num_chs'] for stage in getattr(self.classifier, 'feature_info', ())]
        if not channels or not hasattr(self.classifier, 'forward_intermediates'):
            raise ValueError(f'{model_name} of timm {timm.__version__} does not give its feature maps.')
        self.maps = list(maps or range(len(channels)))
        if any(not 0 <= stage < len(channels) for stage in self.maps):
            raise ValueError(f'{model_name} has the feature maps 0 to {len(channels) - 1}, not {self.maps}.')
        self.parts = {'confidence': 2 * top + 2}
        self.parts.update({f'map{stage}': 2 * channels[stage] for stage in self.maps})
        if self.changes:
            self.parts['changes'] = 3 * len(self.changes)
        self.out_channels = sum(self.parts.values())
        self.freeze()

    def init_weights(self) -> None:
        """Load the pretrained weights.

        Raises:
            WeightsUnavailable: they are not to be had; the message says what to download and where to put it.
        """
        if self.pretrained == 'packaged':
            tensors = efficientnet_lite(PACKAGED_LITES.index(self.model_name)).state_dict()
            self.load_state_dict({f'classifier.{name}': tensor for name, tensor in tensors.items()})
        else:
            load_timm_pretrained(self.classifier, self.model_name, self.pretrained, {})
            self._digest = None

    def encode(self, picture: torch.Tensor) -> torch.Tensor:
        """Return the vectors (B, out_channels), float32, of normalised RGB pictures (B, 3, H, W)."""
        picture = self.as_wanted(picture)
        last, maps = self.classifier.forward_intermediates(picture, indices=self.maps, output_fmt='NCHW')
        logits = self.classifier.forward_head(last).float()
        parts = [confidence_statistics(logits, self.top), map_statistics(maps)]
        for name in self.changes:
            parts.append(change_statistics(logits, self.classifier(CHANGES[name](picture)).float()))
        return torch.cat(parts, 1)

    def settings(self) -> dict:
        """Say what beside the tensors decides the vectors."""
        return {
            'model': self.model_name,
            'top': self.top,
            'maps': self.maps,
            'changes': self.changes,
            **({'renormalise': self.renormalise} if self.renormalise else {}),
        }
