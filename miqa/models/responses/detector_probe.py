"""A small dense detector as a probe, for detection and segmentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torchvision.models import get_model

from miqa.models.parts.pretrained import Pretrained, load_torchvision_pretrained
from miqa.outside.checked_values import Choice, Ignored, Kind, Whole
from miqa.registry import MODELS
from miqa.taxonomy import check_choice

from .probes import Probe
from .statistics import detection_statistics, map_statistics

#: torchvision's detectors that score every place of the picture in one pass, and how they score: ``softmax`` with a
#: class for the background (index 0), ``sigmoid``, or ``sigmoid`` times the centre-ness of FCOS.
DENSE_DETECTORS = {
    'ssdlite320_mobilenet_v3_large': 'softmax',
    'ssd300_vgg16': 'softmax',
    'retinanet_resnet50_fpn': 'sigmoid',
    'fcos_resnet50_fpn': 'centre',
}


@MODELS.register_module()
class DetectorProbe(Probe):
    """A dense detector of torchvision as a probe, for pictures that detectors and segmenters will see.

    Its vector: :func:`~miqa.models.responses.statistics.detection_statistics` of the scores of all places, then
    :func:`~miqa.models.responses.statistics.map_statistics` of the feature maps. Nothing is suppressed or decoded, so
    that it is one pass of plain operators and can be exported.

    Args:
        model_name: one of :data:`DENSE_DETECTORS`.
        pretrained: True for torchvision's COCO weights, path of a file of them, or False for random ones.
        top: how many of the largest scores.
        renormalise: see :meth:`~miqa.models.responses.probes.Probe.renormalise_from`; SSDlite wants mean and std 0.5.

    Raises:
        ValueError: the detector is another.
    """

    foreign_options: Mapping[str, Kind] = {
        'model_name': Choice(tuple(DENSE_DETECTORS)),
        'pretrained': Ignored(False),
        'top': Whole(1, 300),
    }

    def __init__(
        self,
        model_name: str = 'ssdlite320_mobilenet_v3_large',
        pretrained: Pretrained = True,
        top: int = 20,
        renormalise: Sequence[Sequence[float]] = (),
    ):
        super().__init__()
        self.scoring = DENSE_DETECTORS[check_choice(model_name, DENSE_DETECTORS, 'dense detector')]
        self.model_name, self.pretrained, self.top = model_name, pretrained, top
        self.renormalise_from(renormalise)
        self.detector = get_model(model_name, weights=None, weights_backbone=None)
        # The detector's own resizing and normalisation are for lists of pictures of any size: views have one.
        self.detector.transform = torch.nn.Identity()
        self.freeze()
        with torch.no_grad():
            levels = list(self.detector.backbone(torch.zeros(1, 3, 320, 320)).values())
        self.parts = {'confidence': top + 2 + 3 * len(levels)}
        self.parts.update({f'map{number}': 2 * level.shape[1] for number, level in enumerate(levels)})
        self.out_channels = sum(self.parts.values())

    def init_weights(self) -> None:
        """Load the pretrained weights.

        Raises:
            WeightsUnavailable: they are not to be had; the message says what to download and where to put it.
            CheckpointError: the file does not hold this detector's weights.
        """
        load_torchvision_pretrained(self.detector, self.model_name, self.pretrained, None, 'COCO_V1')
        self._digest = None

    def encode(self, picture: torch.Tensor) -> torch.Tensor:
        """Return the vectors (B, out_channels), float32, of normalised RGB pictures (B, 3, H, W)."""
        maps = list(self.detector.backbone(self.as_wanted(picture)).values())
        outputs = self.detector.head(maps)
        logits = outputs['cls_logits'].float()
        if self.scoring == 'softmax':
            scores = logits.softmax(2)[..., 1:].amax(2)
        else:
            scores = logits.sigmoid().amax(2)
            if self.scoring == 'centre':
                scores = (scores * outputs['bbox_ctrness'].float().sigmoid().squeeze(2)).sqrt()
        per_place = self.detector.anchor_generator.num_anchors_per_location()
        places = [level.shape[2] * level.shape[3] * n for level, n in zip(maps, per_place, strict=True)]
        return torch.cat([detection_statistics(list(scores.split(places, 1)), self.top), map_statistics(maps)], 1)

    def settings(self) -> dict:
        """Say what beside the tensors decides the vectors."""
        return {'model': self.model_name, 'top': self.top, 'renormalise': self.renormalise}
