"""The specification of a model besides its weights, as plain data."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from miqa.errors import CheckpointError
from miqa.outside.checked_values import Choice, Real, Several, Whole, checked_mapping, plain_data, shortened, shown
from miqa.pictures.resizing import INTERPOLATIONS
from miqa.taxonomy import DATABASE_TASKS, LABELS, check_choice

from .methods import SHORT_SIDE, name_of_network

if TYPE_CHECKING:
    import torch

    from miqa.models import QualityAssessor

FITS = ('crop', 'stretch')  # How a picture becomes a square view

#: Sides of views, and of the picture before they are cut, in pixels.
LARGEST_VIEW, LARGEST_SHORT_SIDE = 2048, 4096

_CHANNELS = {'mean': Several(Real(0, 1), 3), 'std': Several(Real(1e-4, 1), 3)}
_VIEW = {'size': Whole(1, LARGEST_VIEW), **_CHANNELS}

#: Transforms of a test pipeline that inference understands; all but the resize are the same for every model.
_TRANSFORMS = ('LoadImage', 'ResizeShortSide', 'PackViews', 'LoadRegionFeatures')


@dataclass(frozen=True)
class ModelSpec:
    """A quality model without its weights."""

    method: str  # its name, such as ``ra_miqa``
    task: str | None  # ``cls``, ``det`` or ``ins``; None where the weights do not say
    label: str | None  # ``composite``, ``consistency`` or ``accuracy``; None where the weights do not say
    network: dict  # config of the network; empty for an ONNX file
    views: dict  # for each view its size in pixels, and mean and deviation of RGB values in [0, 1]
    short_side: int  # pixels of the picture's shorter side before the views are cut
    interpolation: str = 'bilinear'  # of the resize to it, one of :data:`miqa.pictures.resizing.INTERPOLATIONS`
    #: ``crop`` cuts the views out of the middle; ``stretch`` resizes the whole picture to the square view, so that
    #: nothing of it is lost; one of :data:`FITS`.
    fit: str = 'crop'

    def __post_init__(self):
        for value, allowed, kind in ((self.task, DATABASE_TASKS, 'task'), (self.label, LABELS, 'label')):
            if value is not None:
                check_choice(value, allowed, kind)
        if not self.views or not set(self.views) <= {'image', 'region'}:
            raise ValueError(f'A model takes the views image, region or both, not {sorted(self.views)}.')
        if self.view_size > self.short_side:
            raise ValueError(f'A view of {self.view_size} pixels does not fit a short side of {self.short_side}.')
        check_choice(self.fit, FITS, 'fit')
        if self.fit == 'stretch' and self.short_side != self.view_size:
            raise ValueError(f'A view of {self.view_size} pixels that holds the whole picture has no other short side.')

    @property
    def view(self) -> str:
        """The view that carries all pixels: ``region`` where there is one, since ``image`` is its centre."""
        return 'region' if 'region' in self.views else 'image'

    @property
    def view_size(self) -> int:
        """Side of the model's square input, in pixels of the resized picture."""
        return int(self.views[self.view]['size'])

    def to_dict(self) -> dict:
        """Return the spec as JSON-ready data."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_dict(cls, data: object, source: str, to_build: bool = True) -> ModelSpec:
        """Read what :meth:`to_dict` wrote. Every value is checked and made anew, as it may come from elsewhere.

        ``source`` is the file, for errors. Of an exported file (``to_build=False``) the config is only stored, as its
        network is built.

        Raises:
            ValueError: a key is missing or unknown, or a value is not what it must be; the message names it.
        """
        fields = set(cls.__dataclass_fields__)
        # Version 0.2 knew one way to fit, the one before also one way to resize, and did not name it.
        if isinstance(data, Mapping):
            data = {'interpolation': 'bilinear', 'fit': 'crop', **data}
        if not isinstance(data, Mapping) or set(data) != fields:
            content = f'the keys {", ".join(sorted(map(str, data)))}' if isinstance(data, Mapping) else shown(data)
            raise ValueError(
                f'{shortened(source)} does not describe a quality model: it has {shortened(content)}, not '
                f'{", ".join(sorted(fields))}.'
            )
        network = plain_data(data['network'], f'{source}: network', described=True)
        if not isinstance(network, dict):
            raise ValueError(f'{source}: network must be a dict, not {shown(network)}.')
        if network and to_build:
            network = _network(network, source)
        resize = {'size': data['short_side'], 'interpolation': data['interpolation']}
        spec = cls._checked(data['method'], data['task'], data['label'], network, data['views'], resize, source)
        return replace(spec, fit=Choice(FITS).checked(data['fit'], f'{source}: fit'))

    @classmethod
    def from_config(cls, config: Mapping, source: str) -> ModelSpec:
        """Take the spec out of a training config and ignore the rest.

        Raises:
            ValueError: the config lacks a part, its test pipeline has a transform that inference does not know, or a
                value is not what it must be; the message names it.
        """
        network = _within(config, ('model', 'network'), source)
        views = _within(config, ('model', 'data_preprocessor', 'views'), source)
        pipeline = _within(config, ('test_dataloader', 'dataset', 'pipeline'), source)
        if not isinstance(pipeline, (list, tuple)) or not all(isinstance(step, Mapping) for step in pipeline):
            raise ValueError(f'The test pipeline in {source} must be a list of dicts, not {shown(pipeline)}.')
        kinds = [
            step.get('type') if isinstance(step.get('type'), str) else shown(step.get('type')) for step in pipeline
        ]
        strange = [kind for kind in kinds if kind not in _TRANSFORMS]
        if strange or kinds.count('ResizeShortSide') != 1:
            raise ValueError(
                f'The test pipeline in {source} is {shortened(", ".join(kinds))}; inference needs one ResizeShortSide '
                f'and only {", ".join(_TRANSFORMS)}.'
            )
        resize = pipeline[kinds.index('ResizeShortSide')]
        network = _network(network, source)
        method = name_of_network(network)
        return cls._checked(method, config.get('task'), config.get('label'), network, views, resize, source)

    @classmethod
    def _checked(cls, method, task, label, network, views, resize: Mapping[str, Any], source: str) -> ModelSpec:
        if not isinstance(method, str) or not re.fullmatch(r'[\w.+\- ]{1,200}', method):
            raise ValueError(f'{source}: method must be a short name, not {shown(method)}.')
        for value, kind in ((task, 'task'), (label, 'label')):
            if value is not None and not isinstance(value, str):
                raise ValueError(f'{source}: {kind} must be a name, not {shown(value)}.')
        short_side: Any = resize.get('size', SHORT_SIDE)
        short_side = Whole(1, LARGEST_SHORT_SIDE).checked(short_side, f'{source}: short_side')
        interpolation = Choice(tuple(INTERPOLATIONS)).checked(
            resize.get('interpolation', 'bilinear'), f'{source}: interpolation'
        )
        return cls(method, task, label, network, checked_views(views, source), short_side, interpolation)

    def build(self, state: Mapping[str, torch.Tensor], source: str) -> QualityAssessor:
        """Build the model and fill it with ``state``, strictly; it comes back in evaluation mode.

        Raises:
            ValueError: the network's config names a class that is not one of this project's, options that do not fit
                each other, or a network that is much larger than its weights.
            CheckpointError: the tensors do not fit.
        """
        # PyTorch is imported here: what an exported file says of itself is read without it.
        from miqa.models import QualityAssessor
        from miqa.models.parts.checkpoints import load_checkpoint
        from miqa.models.parts.foreign_configs import TooLarge, checked_network, limited_growth, size_limit

        network, views = checked_network(self.network, source), checked_views(self.views, source)
        try:
            with limited_growth(size_limit(state)):
                model = QualityAssessor(network, {'type': 'ViewPreprocessor', 'views': views})
        except TooLarge:
            raise CheckpointError(
                f'The network in the config of {source} is much larger than the weights in the file.'
            ) from None
        except Exception as error:  # a library's complaint about options that are fine one by one
            raise ValueError(
                f'The network in {source} cannot be built ({type(error).__name__}: '
                f'{shortened(" ".join(str(error).split()))}).'
            ) from error
        load_checkpoint(model, {'state_dict': dict(state)}, source)
        return model.eval().requires_grad_(False)


def checked_views(views: object, source: str) -> dict:
    """Return new views, of which each has ``size`` (pixels), ``mean`` and ``std`` (three numbers each).

    Raises:
        ValueError: a key is missing or unknown, or a value is not what it must be. The message names the key.
    """
    if not isinstance(views, Mapping) or not views or not set(views) <= {'image', 'region'}:
        raise ValueError(f'{source}: views must be a dict of image, region or both, not {shown(views)}.')
    checked = {}
    for name, view in views.items():
        location = f'{source}: views.{name}'
        checked[name] = checked_mapping(view, _VIEW, location)
        if set(checked[name]) != set(_VIEW):
            raise ValueError(
                f'{location} must have the keys size, mean and std, not {", ".join(checked[name]) or "none"}.'
            )
        for key in ('mean', 'std'):
            if len(checked[name][key]) != 3:
                raise ValueError(f'{location}.{key} must be three numbers, for red, green and blue.')
    return checked


def _network(config: object, source: str) -> dict:
    from miqa.models.parts.foreign_configs import checked_network

    return checked_network(config, source)


def _within(config: object, keys: tuple[str, ...], source: str) -> object:
    for key in keys:
        if not isinstance(config, Mapping) or key not in config:
            raise ValueError(
                f'The config in {source} lacks {".".join(keys)}; it needs model.network, model.data_preprocessor.views '
                'and test_dataloader.dataset.pipeline.'
            )
        config = config[key]
    return config
