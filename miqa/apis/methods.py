"""The six published methods: how each is named, built and fed."""

from __future__ import annotations

import difflib
import re
from typing import NamedTuple

from miqa.models.data_preprocessor import HALF_MEAN, HALF_STD, IMAGENET_MEAN, IMAGENET_STD
from miqa.models.released_checkpoints import RELEASED_METHODS

#: Pixels of the shorter side before the views are cut, in the paper and in every released model.
SHORT_SIDE = 288

_IMAGENET = {'mean': IMAGENET_MEAN, 'std': IMAGENET_STD}
_HALF = {'mean': HALF_MEAN, 'std': HALF_STD}


class Method(NamedTuple):
    """A published method.

    Attributes:
        name: as in the names of configs: ``ra_miqa``, ``vit_small``, ...
        title: as in the paper's tables.
        released: as in the names of released files.
        network: config of the network, without pretrained weights: checkpoints bring all of them.
        views: what the network sees, see :class:`miqa.models.ViewPreprocessor`.
    """

    name: str
    title: str
    released: str
    network: dict
    views: dict


def _torchvision(name: str, title: str) -> Method:
    network = {'type': 'TorchvisionRegressor', 'model_name': name, 'pretrained': False}
    return Method(name, title, name, network, {'image': {'size': 224, **_IMAGENET}})


_VIT = 'vit_small_patch16_224'

#: The published methods by name. The tests compare them with configs/_base_/models.
METHODS = {
    method.name: method
    for method in (
        Method(
            'ra_miqa',
            'RA-MIQA',
            'ra_miqa',
            {
                'type': 'RAMIQA',
                'base': {'type': 'PlainTransformer', 'model_name': _VIT, 'pretrained': False},
                'region_encoder': {'type': 'TimmRegionEncoder', 'weights': None},
            },
            {'image': {'size': 224, **_HALF}, 'region': {'size': 288, **_IMAGENET}},
        ),
        Method(
            'vit_small',
            'ViT-small',
            _VIT,
            {'type': 'TimmRegressor', 'model_name': _VIT, 'pretrained': False},
            {'image': {'size': 224, **_HALF}},
        ),
        _torchvision('efficientnet_b5', 'EfficientNet-b5'),
        _torchvision('efficientnet_b1', 'EfficientNet-b1'),
        _torchvision('resnet50', 'ResNet-50'),
        _torchvision('resnet18', 'ResNet-18'),
    )
}

#: The quickstart's own weights, which need no download.
DEMO = 'demo'


def method_name(name: str) -> str:
    """Return the project's spelling of a method: ``ra-miqa``, ``RA-MIQA`` and ``ra_miqa`` are ``ra_miqa``.

    Case and everything but letters and digits are ignored; the released files' names are understood too.

    Raises:
        ValueError: there is no such method; the message suggests the nearest one.
    """
    known = {_bare(method): method for method in (*METHODS, DEMO)}
    known.update({_bare(released): ours for released, ours in RELEASED_METHODS.items()})
    found = known.get(_bare(str(name)))
    if found is None:
        near = difflib.get_close_matches(_bare(str(name)), known, n=1)
        hint = f' Did you mean {known[near[0]]!r}?' if near else ''
        raise ValueError(f'Unknown model {name!r}.{hint} Choose one of: {", ".join((*METHODS, DEMO))}.')
    return found


def name_of_network(network: dict) -> str:
    """Name the method of a network's config: what it is built of, in the spelling of the published ones."""
    kind = network.get('type')
    if kind == 'RAMIQA':
        return 'ra_miqa'
    if kind == 'PackagedRegressor':
        return f'efficientnet_lite{network.get("size", 0)}'
    model = network.get('model_name', kind)
    return RELEASED_METHODS.get(model, model)


def _bare(name: str) -> str:
    return re.sub(r'[^a-z0-9]', '', name.lower())
