"""A two-stage detector as a probe, for detection and segmentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torchvision.models import get_model

from miqa.models.parts.pretrained import Pretrained, load_torchvision_pretrained
from miqa.networks.lite_rcnn import lite_mask_rcnn
from miqa.outside.checked_values import Choice, Ignored, Kind, Several, Whole
from miqa.registry import MODELS
from miqa.taxonomy import check_choice

from .box_statistics import agreement_statistics, box_statistics, count_of_box_statistics
from .probes import Probe
from .statistics import CHANGES, map_statistics
from .two_stage import Response, respond

#: The small Mask R-CNNs of this project, by the size of their EfficientNet-Lite, and torchvision's two-stage detectors.
LITE_DETECTORS = {f'lite{size}_rcnn': size for size in (0, 1, 2)}
TWO_STAGE_DETECTORS = (
    *LITE_DETECTORS,
    'fasterrcnn_mobilenet_v3_large_320_fpn',
    'fasterrcnn_mobilenet_v3_large_fpn',
    'fasterrcnn_resnet50_fpn',
    'fasterrcnn_resnet50_fpn_v2',
    'maskrcnn_resnet50_fpn',
    'maskrcnn_resnet50_fpn_v2',
)

_MASKS = ('roi_heads.mask_head', 'roi_heads.mask_predictor')  # What a probe has no use for
_STAGES = (0, 1, 2, 3, 4)  # Stages of an EfficientNet-Lite


@MODELS.register_module()
class TwoStageProbe(Probe):
    """A Faster or Mask R-CNN as a probe: the detector itself, or one like it, that the pictures are for.

    Its vector: :func:`~.box_statistics.box_statistics` of its proposals and detections, the mean score of
    the detections among them, then :func:`~.statistics.map_statistics` of its backbone's feature
    maps, and, if asked for, :func:`~.box_statistics.agreement_statistics` of each change. One pass of plain
    operators of fixed shapes, which can be exported. Masks are not computed.

    The view must be as large as the detector works; torchvision's own resizing is for lists of pictures of any size.

    Args:
        model_name: one of :data:`TWO_STAGE_DETECTORS`.
        pretrained: path of a file of the detector's weights, such as those of a training of yours; True for
            torchvision's COCO weights, or False for random ones.
        num_classes: classes that the weights know, the background counted.
        top: how many of the largest scores.
        changes: how the picture is shown again: some of ``mirror``, ``half`` and ``recompress``. Each costs a pass.
        renormalise: see :meth:`~.probes.Probe.renormalise_from`; torchvision's detectors want the mean and
            deviation of ImageNet, the small ones those of EfficientNet-Lite.

    Raises:
        ValueError: the detector or a change is another.
    """

    foreign_options: Mapping[str, Kind] = {
        'model_name': Choice(TWO_STAGE_DETECTORS),
        'pretrained': Ignored(False),
        'num_classes': Whole(2, 10000),
        'top': Whole(1, 300),
        'changes': Several(Choice(tuple(CHANGES)), len(CHANGES)),
    }

    def __init__(
        self,
        model_name: str = 'lite0_rcnn',
        pretrained: Pretrained = True,
        num_classes: int = 91,
        top: int = 10,
        changes: Sequence[str] = (),
        renormalise: Sequence[Sequence[float]] = (),
    ):
        super().__init__()
        check_choice(model_name, TWO_STAGE_DETECTORS, 'two-stage detector')
        self.model_name, self.pretrained, self.num_classes, self.top = model_name, pretrained, num_classes, top
        self.renormalise_from(renormalise)
        self.changes = [check_choice(name, CHANGES, 'change') for name in changes]
        if model_name in LITE_DETECTORS:
            size = LITE_DETECTORS[model_name]
            self.detector = lite_mask_rcnn(size, num_classes, packaged=False, stages=_STAGES)
        else:
            self.detector = get_model(model_name, weights=None, weights_backbone=None, num_classes=num_classes)
        self.detector.transform = torch.nn.Identity()
        self.detector.roi_heads.mask_head = self.detector.roi_heads.mask_predictor = None
        self.freeze()
        with torch.no_grad():
            response = respond(self.detector, torch.zeros(1, 3, 64, 64))
        self.parts = {'confidence': count_of_box_statistics(top, len(response.objectness))}
        self.parts.update({f'map{number}': 2 * values.shape[1] for number, values in enumerate(response.maps)})
        if self.changes:
            self.parts['changes'] = 3 * len(self.changes)
        self.out_channels = sum(self.parts.values())

    def init_weights(self) -> None:
        """Load the pretrained weights.

        Raises:
            WeightsUnavailable: they are not to be had; the message says what to download and where to put it.
            CheckpointError: the file does not hold this detector's weights.
            ValueError: published weights are asked for where there are none.
        """
        if self.pretrained is True and self.model_name in LITE_DETECTORS:
            raise ValueError(
                f'{self.model_name} has no published weights: set pretrained of the probe to the path of a file of '
                'them, such as data/demo/detectors/lite0_rcnn.pth of tools/data/make_demo.py --task det.'
            )
        load_torchvision_pretrained(self.detector, self.model_name, self.pretrained, _MASKS, 'COCO_V1')
        self._digest = None

    def encode(self, picture: torch.Tensor) -> torch.Tensor:
        """Return the vectors (B, out_channels), float32, of normalised RGB pictures (B, 3, H, W)."""
        picture = self.as_wanted(picture)
        size = (picture.shape[-2], picture.shape[-1])
        response = respond(self.detector, picture)
        parts = [box_statistics(response, size, self.top), map_statistics(response.maps)]
        for name in self.changes:
            changed = respond(self.detector, CHANGES[name](picture))
            parts.append(agreement_statistics(response, _brought_back(changed, name, size[1])))
        return torch.cat(parts, 1)

    def settings(self) -> dict:
        """Say what beside the tensors decides the vectors."""
        return {
            'model': self.model_name,
            'top': self.top,
            'changes': self.changes,
            **({'renormalise': self.renormalise} if self.renormalise else {}),
        }


def _brought_back(response: Response, change: str, width: int) -> Response:
    """Return a response with its boxes at their places in the unchanged picture."""
    if change != 'mirror':
        return response
    left, top, right, bottom = response.boxes.unbind(2)
    return response._replace(boxes=torch.stack([width - right, top, width - left, bottom], 2))
