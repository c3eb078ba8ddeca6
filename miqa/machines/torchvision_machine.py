"""Classifiers, detectors, instance and semantic segmenters of torchvision."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

import numpy as np
import torch
from PIL import Image

from miqa.networks.tensors import sha256_of_tensors
from miqa.registry import MACHINES
from miqa.taxonomy import check_choice, did_you_mean

from .answers import answered_alike, class_map, class_predictions, detections, runs_batches
from .base import Machine, Prediction, name_of_model
from .callable_machine import find_function
from .weights import fit_inference_state, read_weights, seeded

# torchvision takes seconds to import: only those who use it wait for it.
if TYPE_CHECKING:
    from torchvision.models import WeightsEnum

BACKGROUND = '__background__'  # What torchvision calls the class of "no object", which is index 0 of its detectors

MASK_THRESHOLD = 0.5  # A soft mask's pixel belongs to the object from here on, as in torchvision's own evaluation


def torchvision_models() -> dict[str, str]:
    """Return name -> task of every model that :class:`TorchvisionMachine` runs; those with masks are ``ins``."""
    from torchvision import models

    tasks = dict.fromkeys(models.list_models(module=models), 'cls')
    tasks.update(dict.fromkeys(models.list_models(module=models.segmentation), 'seg'))
    for name in models.list_models(module=models.detection):
        tasks[name] = 'ins' if name.startswith('maskrcnn') else 'det'
    return tasks


class TorchvisionPreparation:
    """torchvision's own evaluation transforms, as a picklable function.

    Args:
        transforms: a preset of torchvision, from an image of Pillow to float (3, h, w).
    """

    def __init__(self, transforms: torch.nn.Module):
        self.transforms = transforms

    def __call__(self, image: np.ndarray) -> Any:
        """Return float32 (3, h, w), RGB, of a uint8 RGB array (H, W, 3), and (H, W)."""
        return self.transforms(Image.fromarray(image)), image.shape[:2]


class TorchvisionClassPreparation(TorchvisionPreparation):
    """The same for classifiers, whose answers do not need the size of the image."""

    def __call__(self, image: np.ndarray) -> Any:
        """Return float32 (3, h, w), RGB, of a uint8 RGB array (H, W, 3)."""
        return super().__call__(image)[0]


@MACHINES.register_module()
class TorchvisionMachine(Machine):
    """A model of torchvision with its own transforms: no compiled operators, nothing to install.

    Args:
        model: a name of :func:`torchvision_models`, such as ``fasterrcnn_resnet50_fpn_v2``, or
            ``'package.module:function'`` of yours that returns a network which behaves like torchvision's.
        weights: ``'DEFAULT'`` or another name that torchvision lists for the model, such as ``'COCO_V1'`` (fetched
            once into PyTorch's hub folder), the path of a checkpoint, or None for random weights (for tests).
        task: cls, det, ins or seg; default: the model's own. A model with masks or keypoints also does ``det``.
        weight: share in weighted labels, such as the published accuracy in percent.
        name: defaults to ``model``.
        device: where the network runs.
        classes: class names of a checkpoint of yours; of a detector without the background, which torchvision counts
            as class 0. Default: those of the published weights, unless ``options`` give ``num_classes``.
        seed: of random weights.
        options: keyword arguments for the network, such as ``dict(min_size=640, box_score_thresh=0.01)``.
        transforms: values of torchvision's preset to change, such as ``dict(crop_size=384, resize_size=384)``.
        batched: det, ins, seg: put images of one size through the network together; default: on GPUs.

    Raises:
        ValueError: torchvision has no such model or weights, the model does not do the task, or a checkpoint
            does not fit.
        FileNotFoundError: the checkpoint is missing.
        ConnectionError: published weights cannot be fetched.
    """

    prepare: TorchvisionPreparation

    def __init__(
        self,
        model: str,
        weights: str | os.PathLike | None = 'DEFAULT',
        task: str | None = None,
        weight: float = 1.0,
        name: str | None = None,
        device: str = 'cpu',
        classes: Sequence[str] | None = None,
        seed: int = 0,
        options: dict | None = None,
        transforms: dict | None = None,
        batched: bool | None = None,
    ):
        import torchvision
        from torchvision import models

        if ':' in model:
            if task is None:
                raise ValueError(f"Say task='cls', 'det', 'ins' or 'seg' for {model}; torchvision does not know it.")
            entries = None
        else:
            can = torchvision_models()
            check_choice(model, can, f'model of torchvision {torchvision.__version__}')
            task = task or can[model]
            possible = ('ins', 'det') if can[model] == 'ins' else (can[model],)
            if task not in possible:
                raise ValueError(f'{model} is a model for {" and ".join(possible)}, not for {task}.')
            entries = models.get_model_weights(model)
        chosen = None if weights is None else published_weights(entries, str(weights))
        if classes is None and entries is not None and 'num_classes' not in (options or {}):
            classes = (chosen or entries.DEFAULT).meta['categories']
        elif classes and task in ('det', 'ins') and not isinstance(classes, str) and classes[0] != BACKGROUND:
            classes = (BACKGROUND, *classes)
        super().__init__(name or name_of_model(model), task, weight, classes)
        self.model_name, self.weights = model, chosen.name if chosen is not None else weights
        settings = dict(options or {})
        if chosen is None and classes is not None and entries is not None:
            settings.setdefault('num_classes', len(classes))
        try:
            network = published_network(model, chosen, settings) if chosen else random_network(model, settings, seed)
        except TypeError as error:
            raise ValueError(f'{model} cannot be built with options={settings}: {error}.') from error
        _check_options(network, model, settings)
        if chosen is None and weights is not None:
            description = f'{model} with {settings or "its usual number of classes"}'
            network.load_state_dict(fit_inference_state(read_weights(weights), network, weights, description))
        self.network = network.to(device).eval()
        self.device, self.together = device, runs_batches(device, batched)
        preset = (chosen or entries.DEFAULT).transforms if entries else usual_transforms(task)
        preparation = TorchvisionClassPreparation if task == 'cls' else TorchvisionPreparation
        try:
            self.prepare = preparation(preset(**(transforms or {})))
        except TypeError as error:
            raise ValueError(f"{model}'s transforms cannot be changed by {transforms}: {error}.") from error

    @torch.inference_mode()
    def predict_prepared(self, batch: list) -> Sequence[Prediction]:
        """Return predictions for prepared images, in pixels of the images before preparation."""
        if self.task == 'cls':
            return class_predictions(self.network(torch.stack(list(batch)).to(self.device)))

        def answer(members: list[int]) -> Sequence[Prediction]:
            images = [batch[i][0].to(self.device) for i in members]
            if self.task == 'seg':
                logits = self.network(torch.stack(images))['out']
                return [class_map(item, batch[i][1]) for item, i in zip(logits, members, strict=True)]
            return [self._detections(output) for output in self.network(images)]

        return answered_alike(((tuple(image.shape), size) for image, size in batch), answer, self.together)

    def _detections(self, answer: dict[str, torch.Tensor]) -> Prediction:
        masks = None
        if self.task == 'ins':
            if 'masks' not in answer:
                raise ValueError(f'{self.name} returns no masks, so it is a machine for det, not for ins.')
            masks = answer['masks'][:, 0] >= MASK_THRESHOLD
        return detections(answer['boxes'], answer['scores'], answer['labels'], masks)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the weights, the model's name, its settings and its transforms."""
        texts = (self.model_name, self.task, repr(self.prepare.transforms), settings_of(self.network))
        return sha256_of_tensors(self.network.state_dict(), *texts)

    def describe(self) -> dict:
        """Return the manifest's entry, with torchvision's version and transforms."""
        import torchvision

        return {
            **super().describe(),
            'model': self.model_name,
            'weights': None if self.weights is None else str(self.weights).rsplit('/', 1)[-1],
            'library': f'torchvision {torchvision.__version__}',
            'transform': repr(self.prepare.transforms),
        }


def usual_transforms(task: str) -> Any:
    """Return the transforms for networks of the user's: those that torchvision has for most models of the task.

    Args:
        task: cls, det, ins or seg.

    Returns:
        What makes a preset of torchvision, from its options.
    """
    from torchvision.models import ResNet50_Weights, detection, segmentation

    weights = {
        'cls': ResNet50_Weights.IMAGENET1K_V1,
        'det': detection.FasterRCNN_ResNet50_FPN_Weights.COCO_V1,
        'ins': detection.MaskRCNN_ResNet50_FPN_Weights.COCO_V1,
        'seg': segmentation.FCN_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1,
    }
    return weights[task].transforms


def published_weights(entries: type[WeightsEnum] | None, weights: str) -> WeightsEnum | None:
    """Return torchvision's entry for the name ``weights``, or None where it is the path of a file.

    Raises:
        ValueError: it is neither.
        FileNotFoundError: it looks like a path, and there is no such file.
    """
    names = {'DEFAULT': entries.DEFAULT, **entries.__members__} if entries else {}
    if weights in names:
        return names[weights]
    if Path(weights).is_file():
        for entry in entries or ():
            if Path(urlparse(entry.url).path).name == Path(weights).name:
                # Some published weights go with settings that only torchvision's name for them brings along.
                place = Path(torch.hub.get_dir()) / 'checkpoints'
                raise ValueError(
                    f"{weights} is torchvision's own file of {entry.name}. Put it into {place} and say "
                    f"weights='{entry.name}': then the settings that belong to it are used, too."
                )
        return None
    if Path(weights).suffix or os.sep in weights:
        raise FileNotFoundError(f'There is no checkpoint {weights}.')
    return check_choice(weights, names, 'weights') and None


def published_network(model: str, weights: WeightsEnum, options: dict) -> torch.nn.Module:
    """Build a model with published weights, fetched at first use.

    Raises:
        ConnectionError: they cannot be fetched.
    """
    try:
        # Reads the file without running code that might be in it; what follows finds it in the cache.
        weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except OSError as error:
        place = Path(torch.hub.get_dir()) / 'checkpoints' / Path(urlparse(weights.url).path).name
        raise ConnectionError(
            f'The weights {weights.name} of {model} cannot be fetched from {weights.url} ({error}). Without a '
            f'connection, fetch that file elsewhere and put it at {place}, or give weights= the path of a '
            f'checkpoint of yours.'
        ) from None
    from torchvision import models

    return models.get_model(model, weights=weights, progress=False, **options)


def random_network(model: str, options: dict, seed: int) -> torch.nn.Module:
    """Build a model, or call the function ``'package.module:function'``, with random weights that ``seed`` decides."""
    from torchvision import models

    with seeded(seed):
        if ':' in model:
            return find_function(model)(**options)
        if torchvision_models()[model] != 'cls':
            options = {'weights_backbone': None, **options}
        return models.get_model(model, weights=None, **options)


def _check_options(network: torch.nn.Module, model: str, options: dict) -> None:
    """Raise a ValueError where torchvision took an option that means nothing to it: its detectors do so silently."""
    from torchvision import models

    if ':' in model:
        return
    builder = models.get_model_builder(model)
    parameters = set(inspect.signature(builder).parameters)
    for base in type(network).__mro__:
        if base.__module__.startswith('torchvision.') and '__init__' in vars(base):
            parameters.update(inspect.signature(vars(base)['__init__']).parameters)
    unknown = sorted(set(options) - parameters)
    if unknown:
        raise ValueError(
            f'{model} has no option {unknown[0]!r}.{did_you_mean(unknown[0], parameters - {"self", "kwargs"})}'
        )


def settings_of(network: torch.nn.Module) -> str:
    """Return the numbers and texts that a network and its parts hold, such as thresholds and sizes of its input."""
    options = {}
    for name, module in network.named_modules():
        for key, value in vars(module).items():
            if not key.startswith('_') and _is_plain(value):
                options[f'{name}.{key}'] = str(value)
    return str(sorted(options.items()))


def _is_plain(value) -> bool:
    if isinstance(value, tuple | list):
        return all(_is_plain(item) for item in value)
    return isinstance(value, int | float | str)
