"""Networks in exported files: inputs, outputs and metadata."""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from miqa.errors import CheckpointError
from miqa.networks.onnx_files import read_onnx
from miqa.networks.onnx_session import open_onnx
from miqa.running.devices import Device

from .onnx_preparation import Placement

#: Types of inputs -> NumPy's. Whole numbers are pixels from 0 to 255, and the network normalises them itself.
_TYPES = {'tensor(float)': np.float32, 'tensor(float16)': np.float16, 'tensor(uint8)': np.uint8}

#: Inputs beside the image that common exports have: which pixels are image (DETR), the original size (width, height)
#: (RT-DETR) or (height, width) (YOLOv3 of the ONNX zoo), the size of the input and its scale (PaddleDetection).
MASK_INPUT = 'pixel_mask'
_EXTRA_INPUTS = {
    'orig_target_sizes': lambda place: np.array([place.image[::-1]], np.int64),
    MASK_INPUT: lambda place: np.ones((1, *place.canvas), np.int64),
    'image_shape': lambda place: np.array([place.image], np.float32),
    'im_shape': lambda place: np.array([place.canvas], np.float32),
    'scale_factor': lambda place: np.array([place.scale], np.float32),
}

#: Parts of the names of inputs for words.
_WORDS = ('text', 'txt', 'token', 'input_ids', 'attention_mask', 'prompt', 'caption', 'position_ids')

#: Inputs that tell a network the size of the picture: it then answers in pixels of the picture.
SIZE_INPUTS = frozenset(_EXTRA_INPUTS) - {MASK_INPUT, 'im_shape'}


class ImageInput(NamedTuple):
    """The input for images: its name and type, how many it takes, channels last, fixed sides or None, and channels.

    ``batch`` is None for any number of images, 0 for one without a batch axis.
    """

    name: str
    type: type
    batch: int | None
    channels_last: bool
    size: tuple[int | None, int | None]
    channels: int = 3


class NetworkOutput(NamedTuple):
    """An output: its name, the length of each axis, None where it is not fixed, and whether it is quantised."""

    name: str
    shape: tuple[int | None, ...]
    quantised: bool = False


class ExportedNetwork(ABC):
    """A network in a file, without any opinion on what its outputs mean.

    Attributes:
        file: the file.
        device: where it computes.
        input: what it takes.
        outputs: what it gives, in its order.
        extra_inputs: names of its further inputs.
        metadata: what the file says about itself, text by key.
        files: SHA-256 of each of its files as it was opened, by name.
    """

    file: Path
    device: Device
    input: ImageInput
    outputs: tuple[NetworkOutput, ...]
    extra_inputs: tuple[str, ...] = ()
    files: Mapping[str, str]
    metadata: Mapping[str, str]

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs, in their order."""
        return [output.name for output in self.outputs]

    @abstractmethod
    def run(
        self, images: np.ndarray, place: Placement | None = None, names: Sequence[str] | None = None
    ) -> dict[str, np.ndarray]:
        """Return outputs by name.

        Args:
            images: float32 (B, 3, h, w), or grey (B, 1, h, w), prepared.
            place: of the one image, for networks that want to know its size.
            names: which outputs; None: all.
        """

    def __reduce__(self) -> tuple:
        return _opened_again, (type(self), (self.file,), dict(self.files))

    def fed(self, images: np.ndarray) -> np.ndarray:
        """Return prepared images, float (B, 3, h, w), as the input takes them: the last one fills up a fixed batch."""
        missing = max(0, (self.input.batch or 0) - len(images))
        images = np.concatenate([images, *[images[-1:]] * missing])
        if self.input.channels_last:
            images = images.transpose(0, 2, 3, 1)
        if self.input.type is np.uint8:
            images = np.clip(np.rint(images), 0, 255)
        return np.ascontiguousarray(images if self.input.batch != 0 else images[0], self.input.type)

    def of_images(self, outputs: dict[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
        """Return what outputs say about the first ``count`` images of a fixed batch, see :meth:`fed`.

        Raises:
            ValueError: an output has no axis for the images.
        """
        batch = self.input.batch or 0
        if batch <= count:
            return outputs
        for name, values in outputs.items():
            if values.shape[:1] != (batch,):
                raise ValueError(
                    f'{self.file} takes {batch} images at a time, but the shape of its output {name}, {values.shape}, '
                    'does not say what belongs to which. Export it for 1 image or for any number.'
                )
        return {name: values[:count] for name, values in outputs.items()}


def _opened_again(kind: Callable[..., ExportedNetwork], arguments: tuple, files: dict[str, str]) -> ExportedNetwork:
    network = kind(*arguments)
    if dict(network.files) != files:
        raise CheckpointError(f'{network.file} has changed since it was opened. Open the model in this process.')
    return network


class OnnxNetwork(ExportedNetwork):
    """A network in an ONNX file, run by onnxruntime.

    Args:
        file: path of the file.
        device: ``cpu``, ``cuda`` or ``cuda:1``; the session computes there, or it is an error.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: it is not a whole ONNX file.
        MissingPackage: onnxruntime is not installed.
        ValueError: it cannot compute on the device, or has no input for images.
    """

    def __init__(self, file: str | os.PathLike, device: str = 'cpu'):
        self.file = Path(file)
        read = read_onnx(file, plain=False)
        self.session, self.device = open_onnx(file, device, file=read)
        self.files = read.digests
        self.outputs = tuple(
            NetworkOutput(
                item.name,
                tuple(side if isinstance(side, int) else None for side in item.shape or ()),
                item.type in ('tensor(uint8)', 'tensor(int8)'),
            )
            for item in self.session.get_outputs()
        )
        self.metadata = dict(self.session.get_modelmeta().custom_metadata_map)
        self.input, self.extra_inputs = self._check_inputs()

    def __reduce__(self) -> tuple:
        return _opened_again, (type(self), (self.file, str(self.device)), dict(self.files))

    def _check_inputs(self) -> tuple[ImageInput, tuple[str, ...]]:
        inputs = {item.name: item for item in self.session.get_inputs()}
        images = [item for item in inputs.values() if len(item.shape or ()) == 4 and item.name != MASK_INPUT]
        # Detectron2 and the detectors of the ONNX zoo take an image without a batch axis.
        single = [item for item in inputs.values() if len(item.shape or ()) == 3]
        images = images or [item for item in single if 3 in (item.shape[0], item.shape[2])]
        extra = sorted(set(inputs) - {item.name for item in images[:1]})
        if words := [name for name in extra if any(part in name.casefold() for part in _WORDS)]:
            raise ValueError(
                f'{self.file} takes words beside the picture ({", ".join(words)}), what to look for (YOLO-World, '
                'Grounding DINO, OWL-ViT, CLIP). There is nothing here that gives it words: export it with its classes '
                'fixed (Ultralytics: model.set_classes([...]) before model.export), or use it by a function of yours '
                '(CallableMachine, docs/your_own_models.md).'
            )
        if len(images) != 1 or set(extra) - set(_EXTRA_INPUTS) or images[0].type not in _TYPES:
            listed = ', '.join(f'{item.name} {item.type}{item.shape}' for item in inputs.values())
            raise ValueError(
                f'{self.file} must have one input for images, float or uint8 (B, 3, h, w), (B, h, w, 3) or (3, h, w), '
                f'and beside it at most {", ".join(_EXTRA_INPUTS)}; it has: {listed}.'
            )
        return image_input(self.file, images[0].name, _TYPES[images[0].type], images[0].shape), tuple(extra)

    def run(
        self, images: np.ndarray, place: Placement | None = None, names: Sequence[str] | None = None
    ) -> dict[str, np.ndarray]:
        """Return outputs by name; see :class:`ExportedNetwork`."""
        feeds = {self.input.name: self.fed(images)}
        if place is not None:
            feeds |= {
                name: np.repeat(_EXTRA_INPUTS[name](place), max(1, self.input.batch or 0), 0)
                for name in self.extra_inputs
            }
        outputs = list(names) if names is not None else self.output_names
        try:
            values = self.session.run(outputs, feeds)
        except CheckpointError:
            raise
        except Exception as error:  # ONNX Runtime's errors share no base class but this one
            shape = 'x'.join(map(str, images.shape))
            # What follows the place in ONNX Runtime's source.
            reason = re.split(r'Status Message: (?:\S+:\d+ .*?\) )?', ' '.join(str(error).split()))[-1][:300]
            raise ValueError(f'{self.file} cannot be run on pixels of {shape}: {reason}') from error
        return self.of_images(dict(zip(outputs, values, strict=True)), len(images))


def image_input(file: Path, name: str, kind: type, shape: Sequence) -> ImageInput:
    """Return what an input of ``shape`` takes, with numbers or names of free axes.

    The shape is (B, 3, h, w) or (B, h, w, 3), with 1 channel for grey pictures, or the same without the batch axis.

    Raises:
        ValueError: it takes pictures of other channels.
    """
    batch, *sides = shape if len(shape) == 4 else (0, *shape)
    channels_last = sides[2] in (1, 3) and sides[0] not in (1, 3)
    channels = sides.pop(2 if channels_last else 0)
    if isinstance(channels, int) and channels not in (1, 3):
        raise ValueError(f'{file} takes pictures of {channels} channels; pictures here are RGB, of 3, or grey, of 1.')
    height, width = (side if isinstance(side, int) and side > 0 else None for side in sides)
    fixed = batch if isinstance(batch, int) and batch >= 0 else None
    return ImageInput(name, kind, fixed, channels_last, (height, width), 1 if channels == 1 else 3)
