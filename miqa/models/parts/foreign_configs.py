"""Validate configs that come with weights: each part is checked and rebuilt before anything is built of it.

A third-party model (a checkpoint, a folder or repository of ``from_pretrained``, an ONNX file) says what
network it is. MMEngine's registries would import and call whatever such a config names, so nothing reaches them but
what this module has rebuilt: classes that are registered here, with options that these classes list in
``foreign_options``. A class of the user's own, registered in this process, counts as known; options that it does not
list must be plain data (:func:`miqa.outside.checked_values.plain_data`).
"""

from __future__ import annotations

import contextlib
import inspect
import math
import threading
from collections.abc import Iterator, Mapping

import torch
from torch.nn.modules import module as torch_module
from torch.overrides import TorchFunctionMode

from miqa.outside.checked_values import Ignored, Part, plain_data, shown
from miqa.registry import MODELS

#: Names of options, in any class of a user's own, that say where weights lie; those in the file are used.
_OF_WEIGHTS = {'pretrained': False, 'weights': None, 'sha256': None, 'checkpoint': None, 'init_cfg': None}
_DEEPEST = 5


def checked_network(config: object, source: str) -> dict:
    """Return a new config of a network in which every key and value has been checked; no weights are named in it.

    Raises:
        ValueError: a class is not known here or does not belong where it stands, an option is not one of its class,
            or a value is of another type or beyond its bounds. The message names the key.
    """
    return _checked_part(config, Part(('network',)), f'{source}: network', _DEEPEST)


def _checked_part(config: object, part: Part, location: str, deepest: int) -> dict:
    if not isinstance(config, Mapping):
        raise ValueError(f'{location} must be a dict with a type, not {shown(config)}.')
    if deepest == 0:
        raise ValueError(f'{location} is nested too deeply.')
    name = config.get('type')
    kind = MODELS.module_dict.get(name) if isinstance(name, str) else None
    if kind is None or not _fits(kind, part):
        allowed = ', '.join(sorted(key for key, item in MODELS.module_dict.items() if _fits(item, part)))
        raise ValueError(
            f'{location} asks for a {shown(name)}, which is not a network of this project that may stand there: '
            f'{allowed}. A network of your own must be registered (its file imported) before its weights are read.'
        )
    listed = _listed(kind)
    is_foreign = not _is_ours(kind) and 'foreign_options' not in vars(kind)
    options = {'type': name}
    for key, value in config.items():
        if key == 'type':
            continue
        place = f'{location}.{key}'
        option = listed.get(key) if isinstance(key, str) else None
        if isinstance(option, Part):
            options[key] = _checked_part(value, option, place, deepest - 1)
        elif option is not None:
            options[key] = option.checked(value, place)
        elif is_foreign and isinstance(key, str) and key.isidentifier() and not key.startswith('_'):
            options[key] = _OF_WEIGHTS[key] if key in _OF_WEIGHTS else plain_data(value, place)
        else:
            raise ValueError(
                f'{location}: {name} has no option {shown(key)} that weights may set: {", ".join(listed)}.'
            )
    for key, option in listed.items():
        # Where they are left out, the class would go and look for weights.
        if isinstance(option, Ignored):
            options[key] = option.value
    if is_foreign:
        options.update({key: value for key, value in _OF_WEIGHTS.items() if key in _named_parameters(kind)})
    return options


def _listed(kind: type) -> dict:
    listed = {}
    for parent in reversed(inspect.getmro(kind) if inspect.isclass(kind) else ()):
        listed.update(vars(parent).get('foreign_options', {}))
    return listed


def _named_parameters(kind) -> set[str]:
    try:
        return set(inspect.signature(kind).parameters)
    except (TypeError, ValueError):
        return set()


def _is_ours(kind) -> bool:
    return str(getattr(kind, '__module__', '')).partition('.')[0] == 'miqa'


def _fits(kind, part: Part) -> bool:
    """Return True if a registered class may stand in a place: ours by what they are, others always."""
    if not _is_ours(kind):
        return True
    return any(vars(parent).get('foreign_part') in part.classes for parent in inspect.getmro(kind))


class _Growth(TorchFunctionMode):
    """Refuses to make tensors of more than so many numbers."""

    def __init__(self, limit: int):
        super().__init__()
        self.limit = limit

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in _FACTORIES:
            sizes = kwargs.get('size', args[:1] if func is torch.full else args)
            numbers = [n for size in sizes for n in (size if isinstance(size, (tuple, list)) else [size])]
            numbers = [n for n in numbers if isinstance(n, int)]
            if (max(numbers, default=0) if func is torch.arange else math.prod(numbers)) > self.limit:
                raise TooLarge
        return func(*args, **kwargs)


_FACTORIES = {torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.arange}


class TooLarge(ValueError):
    """A network grows beyond its limit."""


@contextlib.contextmanager
def limited_growth(numbers: int) -> Iterator[None]:
    """Raise :class:`TooLarge` within the block as soon as networks built by this thread pass so many numbers.

    A network whose weights are there is no larger than they are; that is checked before memory is allocated.

    Args:
        numbers: limit of all parameters and buffers together, and of each tensor.
    """
    thread, elements = threading.get_ident(), 0

    def count(_module, _name, tensor):
        nonlocal elements
        if threading.get_ident() == thread and tensor is not None:
            elements += tensor.numel()
            if elements > numbers:
                raise TooLarge

    hooks = [
        torch_module.register_module_parameter_registration_hook(count),
        torch_module.register_module_buffer_registration_hook(count),
    ]
    try:
        with _Growth(numbers):
            yield
    finally:
        for hook in hooks:
            hook.remove()


def size_limit(state: Mapping[str, torch.Tensor]) -> int:
    """Return how many numbers a network may have whose tensors are ``state``.

    What the file really holds counts, not what its tensors declare. Four times as many may be built, and 2^27 more:
    libraries build a classifier of their own before it is replaced.
    """
    storages = {}
    for tensor in state.values():
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values()) + 2**27
