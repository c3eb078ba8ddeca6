"""From lists of uint8 pictures to batches of normalised tensors on the device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from mmengine.model import BaseDataPreprocessor
from torchvision.transforms.functional import center_crop

from miqa.registry import MODELS

#: ImageNet's channel means and deviations, RGB, for values in [0, 1]: the ResNet, EfficientNet and region views.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
HALF_MEAN = HALF_STD = (0.5, 0.5, 0.5)  # What timm's ``augreg`` ViTs are trained with: values in [-1, 1]

#: An input of this ending holds a view's features, computed before, instead of its pixels.
FEATURES_ENDING = '_features'
IDENTITY_ENDING = '_identity'  # An input of this ending says what made them; it stays on the CPU


@MODELS.register_module()
class ViewPreprocessor(BaseDataPreprocessor):
    """Stack, move and normalise every view of a batch, each with its own mean and deviation.

    The arithmetic is that of torchvision's ``ToTensor`` and ``Normalize``, in the same order, so the result is
    bit for bit the same. Pictures travel to the device as uint8, a quarter of the bytes of float32.

    A view ``image`` that the batch does not carry is cut from the centre of view ``region``. With the
    published sizes (224 from 288) that is exactly the centre crop of the resized picture; for other sizes it is
    so if the difference of the two sizes is a multiple of four (else it may lie one pixel beside it).

    An input ``<view>_features``, float32 of shape (C,) per picture, stands in for the view: it is stacked and
    passed on unchanged, and the view itself need not be there.

    Args:
        views: for each view's name, ``dict(size=..., mean=..., std=...)``: the side of the square in pixels,
            and means and deviations of the three RGB channels for values in [0, 1].
        channels_last: lay the batches out as NHWC in memory, which convolutions on newer GPUs prefer.
        non_blocking: do not wait for the copy to the device (it overlaps only from pinned memory).

    Raises:
        ValueError: ``views`` is empty or one of its entries is not as described.
    """

    def __init__(self, views: Mapping[str, Mapping], channels_last: bool = False, non_blocking: bool = True):
        super().__init__(non_blocking=non_blocking)
        if not views:
            raise ValueError(
                'ViewPreprocessor needs at least one view, such as image=dict(size=224, mean=..., std=...).'
            )
        self.views = {name: dict(view) for name, view in views.items()}
        self.sizes: dict[str, int] = {}
        self.channels_last = channels_last
        for name, view in views.items():
            if set(view) != {'size', 'mean', 'std'}:
                raise ValueError(f'View {name!r} needs exactly the keys size, mean and std; got {sorted(view)}.')
            self.sizes[name] = int(view['size'])
            for key in ('mean', 'std'):
                values = torch.tensor(view[key], dtype=torch.float32)
                if values.shape != (3,) or values.max() > 1 or (key == 'std' and values.min() <= 0):
                    raise ValueError(
                        f'{key} of view {name!r} must be three numbers for RGB values in [0, 1]; got {view[key]}.'
                    )
                self.register_buffer(f'{name}_{key}', values.view(1, 3, 1, 1), persistent=False)

    def forward(self, data: Mapping, training: bool = False) -> dict:
        """Turn what the data loader gives into ``dict(inputs=..., data_samples=...)``; nothing random happens here.

        ``data`` has ``inputs``, per view a list of uint8 RGB tensors (3, size, size), or one stacked tensor (B, 3,
        size, size), and ``data_samples`` or ``data_sample``: a SampleBatch, a list of QualitySample, or nothing.

        Returns:
            ``inputs``: per view float32 (B, 3, size, size), normalised, on the model's device;
            ``data_samples``: what was given, untouched and still on the CPU, or None.

        Raises:
            KeyError, TypeError, ValueError: a view is missing, not uint8 (features: not floating point), or of another
                size.
        """
        batch_inputs = data['inputs']
        pixels = {name: self._pixels(name, batch_inputs[name]) for name in self.sizes if name in batch_inputs}
        if 'image' in self.sizes and 'image' not in pixels and 'region' in pixels:
            pixels['image'] = self.central(pixels['region'])
        inputs = {}
        for name in self.sizes:
            features = name + FEATURES_ENDING
            if features in batch_inputs:
                inputs[features] = self._features(features, batch_inputs[features])
                if name + IDENTITY_ENDING in batch_inputs:
                    inputs[name + IDENTITY_ENDING] = _stacked(batch_inputs[name + IDENTITY_ENDING])
            if name in pixels:
                inputs[name] = self.normalise(name, pixels[name])
            elif features not in batch_inputs:
                raise KeyError(
                    f'The batch lacks view {name!r}; it carries {sorted(batch_inputs)}. Let PackViews in the pipeline '
                    'make it.'
                )
        samples = data.get('data_samples', data.get('data_sample'))
        return {'inputs': inputs, 'data_samples': samples}

    def view_batch(self, name: str, pictures: torch.Tensor | Sequence[torch.Tensor]) -> torch.Tensor:
        """Stack and normalise one view alone, as :meth:`forward` does: float32 (B, 3, size, size)."""
        return self.normalise(name, self._pixels(name, pictures))

    def region_batch(self, pictures: torch.Tensor | Sequence[torch.Tensor]) -> torch.Tensor:
        """Stack and normalise view ``region`` alone, see :meth:`view_batch`."""
        return self.view_batch('region', pictures)

    def _pixels(self, name: str, pictures: torch.Tensor | Sequence[torch.Tensor]) -> torch.Tensor:
        size = self.sizes[name]
        stacked = isinstance(pictures, torch.Tensor) and pictures.ndim == 4
        for picture in pictures[:1] if stacked else pictures:
            if picture.dtype != torch.uint8:
                raise TypeError(
                    f'View {name!r} must be uint8 values 0 to 255, not {picture.dtype}: '
                    'normalisation happens here, once.'
                )
            if picture.shape != (3, size, size):
                raise ValueError(
                    f'View {name!r} must have shape (3, {size}, {size}), not {tuple(picture.shape)}: '
                    'the sizes in the pipeline and in the data preprocessor differ.'
                )
        return self.cast_data(_stacked(pictures))

    def central(self, region: torch.Tensor) -> torch.Tensor:
        """Cut view ``image`` from the centre of view ``region``: (B, 3, size, size) of the same numbers.

        Raises:
            ValueError: ``image`` is the larger one.
        """
        size, outer = self.sizes['image'], self.sizes['region']
        if size > outer:
            raise ValueError(f"View 'image' of {size} pixels cannot be cut from view 'region' of {outer} pixels.")
        return center_crop(region, [size, size])

    def normalise(self, name: str, pixels: torch.Tensor) -> torch.Tensor:
        """Return 8-bit values (B, 3, size, size) of view ``name`` as float32, less the mean, over the deviation.

        Nothing is checked: this is what an exported graph holds.
        """
        if self.channels_last:
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        # Division and not multiplication by 1/255, subtraction before division: torchvision's rounding.
        return pixels.float().div_(255).sub_(getattr(self, f'{name}_mean')).div_(getattr(self, f'{name}_std'))

    def _features(self, name: str, vectors: torch.Tensor | Sequence[torch.Tensor]) -> torch.Tensor:
        batch = _stacked(vectors)
        if not batch.is_floating_point() or batch.ndim != 2:
            raise TypeError(
                f'{name} must be one floating-point vector per picture; got {batch.dtype}, shape {tuple(batch.shape)}.'
            )
        return self.cast_data(batch)


def _stacked(tensors: torch.Tensor | Sequence[torch.Tensor]) -> torch.Tensor:
    return tensors if isinstance(tensors, torch.Tensor) else torch.stack(list(tensors))
