"""What a model is beside its weights: everything that must travel with them, as plain data."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch

from miqa.models import QualityAssessor
from miqa.models.released_checkpoints import load_checkpoint
from miqa.registry import MODELS
from miqa.taxonomy import LABELS, TASKS, check_choice

from .methods import name_of_network

#: Transforms of a test pipeline that inference understands; all but the resize are the same for every model.
_TRANSFORMS = ('LoadImage', 'ResizeShortSide', 'PackViews', 'LoadRegionFeatures')


@dataclass(frozen=True)
class ModelSpec:
    """A quality model without its weights.

    Attributes:
        method: its name, such as ``ra_miqa``.
        task: ``cls``, ``det`` or ``ins``; None where the weights do not say.
        label: ``composite``, ``consistency`` or ``accuracy``; None where the weights do not say.
        network: config of the network; empty where there is none to build (an ONNX file).
        views: for each view its size in pixels, and mean and deviation of RGB values in [0, 1].
        short_side: pixels of the picture's shorter side before the views are cut.
    """

    method: str
    task: str | None
    label: str | None
    network: dict
    views: dict
    short_side: int

    def __post_init__(self):
        for value, allowed, what in ((self.task, TASKS, 'task'), (self.label, LABELS, 'label')):
            if value is not None:
                check_choice(value, allowed, what)
        if not self.views or not set(self.views) <= {'image', 'region'}:
            raise ValueError(f'A model sees the views image, region or both, not {sorted(self.views)}.')
        if self.view_size > self.short_side:
            raise ValueError(f'A view of {self.view_size} pixels does not fit a short side of {self.short_side}.')

    @property
    def view(self) -> str:
        """The view that carries all pixels: ``region`` where there is one, since ``image`` is its centre."""
        return 'region' if 'region' in self.views else 'image'

    @property
    def view_size(self) -> int:
        """Side of the square that the model sees, in pixels of the resized picture."""
        return int(self.views[self.view]['size'])

    def to_dict(self) -> dict:
        """Return the spec as JSON-ready data."""
        return _plain(asdict(self))

    @classmethod
    def from_dict(cls, data: Mapping, source: str) -> ModelSpec:
        """Read what :meth:`to_dict` wrote.

        Raises:
            ValueError: a key is missing or unknown.
        """
        wanted = set(cls.__dataclass_fields__)
        if set(data) != wanted:
            raise ValueError(
                f'{source} does not describe a quality model: it has {sorted(data)}, not {sorted(wanted)}.'
            )
        return cls(**copy.deepcopy(dict(data)))

    @classmethod
    def from_config(cls, config: Mapping, source: str) -> ModelSpec:
        """Take the spec out of a training config.

        Raises:
            ValueError: the config lacks a part, or its test pipeline has a transform that inference does not know.
        """
        try:
            network, views = config['model']['network'], config['model']['data_preprocessor']['views']
            pipeline = config['test_dataloader']['dataset']['pipeline']
        except (KeyError, TypeError) as error:
            raise ValueError(
                f'The config in {source} lacks {error}: it must have model.network, model.data_preprocessor.views and '
                'test_dataloader.dataset.pipeline, as every config of this project.'
            ) from None
        kinds = [transform.get('type') for transform in pipeline]
        strange = [kind for kind in kinds if kind not in _TRANSFORMS]
        if strange or kinds.count('ResizeShortSide') != 1:
            raise ValueError(
                f'The test pipeline in {source} is {kinds}; inference needs exactly one ResizeShortSide and knows only '
                f'{", ".join(_TRANSFORMS)}.'
            )
        short_side = pipeline[kinds.index('ResizeShortSide')].get('size', 288)
        network, views = _plain(network), _plain(views)
        return cls(name_of_network(network), config.get('task'), config.get('label'), network, views, int(short_side))

    def build(self, state: Mapping[str, torch.Tensor], source: str) -> QualityAssessor:
        """Build the model and fill it with ``state``, strictly; it comes back in evaluation mode.

        Raises:
            ValueError: the network's config names a class that is not one of this project's.
            CheckpointError: the tensors do not fit.
        """
        _check_types(self.network, source)
        views = copy.deepcopy(self.views)
        model = QualityAssessor(copy.deepcopy(self.network), {'type': 'ViewPreprocessor', 'views': views})
        load_checkpoint(model, {'state_dict': dict(state)}, source)
        return model.eval().requires_grad_(False)


def _plain(value):
    """Copy nested config data into dicts, lists and scalars."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _check_types(node, source: str) -> None:
    # MMEngine's registries also import any dotted name, and call it: a config from elsewhere must not get there.
    if isinstance(node, Mapping):
        if 'type' in node and node['type'] not in MODELS.module_dict:
            known = ', '.join(sorted(MODELS.module_dict))
            raise ValueError(f'{source} asks for a {node["type"]!r}, which is no network of this project: {known}.')
        for item in node.values():
            _check_types(item, source)
    elif isinstance(node, list):
        for item in node:
            _check_types(item, source)
