"""The six published methods: their names, networks and views."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from miqa.outside.config_text import read_config_text
from miqa.outside.configs import config_folder
from miqa.taxonomy import RELEASED_METHODS, did_you_mean

SHORT_SIDE = 288  # Pixels of the shorter side before the views are cut, in the paper and in every released model


@dataclass(frozen=True)
class Method:
    """A published method."""

    name: str  # as in the names of configs: ``ra_miqa``, ``vit_small``,
    title: str  # as in the paper's tables
    released: str  # as in the names of released files

    @cached_property
    def network(self) -> dict:
        """Config of the network, without pretrained weights: checkpoints bring all of them."""
        return _without_pretrained(self._model['network'])

    @cached_property
    def views(self) -> dict:
        """The network's input, see :class:`miqa.models.ViewPreprocessor`."""
        return self._model['data_preprocessor']['views']

    @property
    def _model(self) -> dict:
        path = config_folder() / '_base_' / 'models' / f'{self.name}.py'
        return read_config_text(path.read_text(encoding='utf-8'), str(path))['model']


def _without_pretrained(node: dict) -> dict:
    """Copy a network's config with everything switched off that would fetch weights."""
    off = {'pretrained': False, 'weights': None}
    return {
        key: off[key] if key in off else _without_pretrained(value) if isinstance(value, dict) else value
        for key, value in node.items()
    }


_TITLES = {
    'ra_miqa': 'RA-MIQA',
    'vit_small': 'ViT-small',
    'efficientnet_b5': 'EfficientNet-b5',
    'efficientnet_b1': 'EfficientNet-b1',
    'resnet50': 'ResNet-50',
    'resnet18': 'ResNet-18',
}
_RELEASED_AS = {ours: released for released, ours in RELEASED_METHODS.items()}
#: The published methods by name; their networks are those of configs/_base_/models.
METHODS = {name: Method(name, title, _RELEASED_AS[name]) for name, title in _TITLES.items()}

LITE = 'miqa_lite'  # The model that ships inside the package
#: SHA-256 of its file, which runs without the look through strangers' files that takes most of a second.
LITE_SHA256 = 'ccd6ca32c27655eaad79894d92afb63821320108249a758a2d23cd7ad54af623'

#: The quickstart's own weights, which need no download, and its camera model, a file for ONNX Runtime.
DEMO, DEMO_FAST = 'demo', 'demo_fast'
DEMOS = (DEMO, DEMO_FAST)


def method_name(name: str) -> str:
    """Return the project's spelling of a method: ``ra-miqa``, ``RA-MIQA`` and ``ra_miqa`` are ``ra_miqa``.

    Case and everything but letters and digits are ignored; the released files' names are understood too.

    Raises:
        ValueError: there is no such method; the message suggests the nearest one.
    """
    methods = {_bare(method): method for method in (*METHODS, LITE, *DEMOS)}
    methods.update({_bare(released): ours for released, ours in RELEASED_METHODS.items()})
    method = methods.get(_bare(str(name)))
    if method is None:
        hint = did_you_mean(_bare(str(name)), methods, methods.__getitem__)
        raise ValueError(
            f'Unknown model {name!r}.{hint} Choose one of: {", ".join((LITE, *METHODS, *DEMOS))}; or name a weights '
            'file.'
        )
    return method


def is_method_name(name: str) -> bool:
    """Return True if :func:`method_name` understands ``name``."""
    try:
        method_name(name)
    except ValueError:
        return False
    return True


def name_of_network(network: dict) -> str:
    """Name the method of a network's config: what it is built of, in the spelling of the published ones."""
    kind = network.get('type')
    if kind == 'RAMIQA':
        return 'ra_miqa'
    if kind in ('ResponseRegressor', 'ResponseRAMIQA'):
        return {'ResponseRegressor': 'response', 'ResponseRAMIQA': 'response_ra_miqa'}[kind]
    if kind == 'PackagedRegressor':
        return f'efficientnet_lite{network.get("size", 0)}'
    model = str(network.get('model_name', kind))
    return RELEASED_METHODS.get(model, model)


def tasks_of_network(network: dict) -> list[str]:
    """Return the tasks that a network of this config scores for; none where it scores for one only."""
    return list(network.get('tasks') or ())


def labels_of_network(network: dict) -> list[str]:
    """Return the labels that a network of this config has heads for; none where it scores one label only."""
    heads = list(network.get('heads') or ())
    return [*heads, 'composite'] if {'consistency', 'accuracy'} <= set(heads) else heads


def _bare(name: str) -> str:
    return re.sub(r'[^a-z0-9]', '', name.lower())
