"""Preprocessing conventions of exported networks."""

from __future__ import annotations

from dataclasses import dataclass, replace

from miqa.machines.onnx_preparation import BORDER, OnnxPreparation

#: Range of values -> mean and deviation of red, green and blue, on values in [0, 1], and in words. ``imagenet`` are the
#: statistics of ImageNet as torchvision and MMDetection use them; ``caffe`` takes away the mean of ImageNet alone, on
#: values to 255 (mean 123.675, 116.28, 103.53); ``signed`` is TensorFlow's (x - 127.5) / 127.5.
VALUE_RANGES = {
    'unit': ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 'values from 0 to 1'),
    'byte': ((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255), 'values from 0 to 255'),
    'imagenet': ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "values less ImageNet's mean, by its deviation"),
    'signed': ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), 'values from -1 to 1'),
    'mnist': ((0.1307,) * 3, (0.3081,) * 3, "values less MNIST's mean, by its deviation"),
    'caffe': ((0.485, 0.456, 0.406), (1 / 255, 1 / 255, 1 / 255), "values from 0 to 255 less ImageNet's mean"),
}

_RESIZE_WORDS = {
    'stretch': 'stretched',
    'letterbox': 'letterboxed in the middle with {}',
    'corner': 'letterboxed to the top left with {}',
    'crop': 'cropped in the middle',
    'cover': 'cropped to its shorter side',
    'kept': 'in their own size',
}


@dataclass(frozen=True)
class Convention:
    """One way to prepare pictures."""

    values: str  # key of :data:`VALUE_RANGES`
    channels: str = 'rgb'  # ``rgb``, ``bgr`` or ``grey``
    #: one of :data:`miqa.machines.onnx_preparation.RESIZES`, or ``kept`` for the picture's own size.
    resize: str = 'letterbox'
    border: int = BORDER  # value of the borders of a letterbox, 0 to 255

    def preparation(self, size: tuple[int, int]) -> OnnxPreparation:
        """Return the preparation for an input of (height, width)."""
        mean, std, _ = VALUE_RANGES[self.values]
        resize = 'stretch' if self.resize == 'kept' else self.resize
        return OnnxPreparation(None if self.resize == 'kept' else size, mean, std, resize, self.channels, self.border)

    def arguments(self, size: tuple[int, int], whole_numbers: bool) -> dict:
        """Return the arguments of a machine for an input of (height, width), of pixels as they are or of floats."""
        mean, std, _ = VALUE_RANGES[self.values]
        keeps_size = self.resize == 'kept'
        arguments: dict = {'size': None if keeps_size else size}
        arguments |= {} if whole_numbers else {'mean': mean, 'std': std}
        arguments |= {'channels': self.channels, 'resize': 'stretch' if keeps_size else self.resize}
        return arguments | ({'border': self.border} if self.resize in ('letterbox', 'corner') else {})

    def words(self, size: tuple[int, int]) -> str:
        """Say the convention for an input of (height, width)."""
        fit = _RESIZE_WORDS[self.resize].format(self.border)
        shape = '' if self.resize == 'kept' else f' to {size[1]}x{size[0]}'
        channels = self.channels if self.channels == 'grey' else self.channels.upper()
        return f'{channels}, {VALUE_RANGES[self.values][2]}, {fit}{shape}'

    def other_values(self) -> list[Convention]:
        """Return this convention and the same with each other order of channels and range of values."""
        variants = [
            replace(self, values=values, channels=channels)
            for values in VALUE_RANGES
            for channels in {'grey': ['grey'], 'rgb': ['rgb', 'bgr'], 'bgr': ['bgr', 'rgb']}[self.channels]
            if values != 'mnist' or channels == 'grey'
        ]
        return [self, *(other for other in variants if other != self)]

    def other_places(self) -> list[Convention]:
        """Return this convention and the same with each other way to fit pictures into the input."""
        if self.resize == 'kept':
            return [self]
        fits = [('stretch', BORDER), *((fit, border) for fit in ('letterbox', 'corner') for border in (BORDER, 0))]
        variants = [replace(self, resize=fit, border=border) for fit, border in fits]
        return [self, *(other for other in variants if other != self)]


#: What the families of detectors use, as their repositories say.
CONVENTIONS = {
    'yolo': Convention('unit', 'rgb', 'letterbox', BORDER),  # Ultralytics, YOLOv5, YOLOv7
    'yolox': Convention('byte', 'bgr', 'corner', BORDER),  # yolox/data/data_augment.py, ValTransform
    'nanodet': Convention('imagenet', 'bgr', 'letterbox', 0),  # nanodet/data/transform/warp.py and color.py
    'fastestdet': Convention('unit', 'bgr', 'stretch'),  # FastestDet, test.py
    'detr': Convention('imagenet', 'rgb', 'stretch'),  # DETR, datasets/coco.py
    'rtdetr': Convention('unit', 'rgb', 'stretch'),  # RT-DETR, tools/export_onnx.py
    'mmdet': Convention('imagenet', 'rgb', 'corner', 0),  # MMDetection, Resize(keep_ratio) and Pad
    'tensorflow': Convention('byte', 'rgb', 'kept'),  # the object detection API resizes inside the graph
    'torchvision': Convention('unit', 'rgb', 'kept'),  # torchvision resizes and normalises inside the graph
    'ssd': Convention('signed', 'rgb', 'stretch'),
    'classifier': Convention('imagenet', 'rgb', 'crop'),
}
