"""Machine lists in config files, and building machines from them."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from miqa.networks.packaged_weights import PACKAGED_LITES
from miqa.networks.torch_settings import settings_kept
from miqa.outside import check_regular
from miqa.outside.config_files import read_config_file
from miqa.registry import MACHINES
from miqa.running.devices import usable_device
from miqa.running.signatures import options_of
from miqa.taxonomy import did_you_mean

from .base import Machine, name_of_model
from .library_names import unknown_machine
from .recognition.machine_file import is_machine_file
from .recognition.recognised import RecognisedMachine
from .timm_classifier import is_timm_model, timm_models
from .torchvision_machine import torchvision_models

#: Type of a config that stands for a file whose use is still to be found out, see :func:`recognised_configs`.
RECOGNISED = 'recognise'


def load_machine_configs(path: str | os.PathLike, names: Iterable[str] | None = None) -> list[dict]:
    """Read ``machines = [dict(type=..., ...), ...]`` from a Python config file, perhaps only those of some ``names``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it has no ``machines``, two machines share a name, or one of ``names`` is missing.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f'There is no config of machines {path}. See configs/machines/.')
    check_regular(path, kind='config of machines')
    machines = read_config_file(path).get('machines')
    if not machines or not isinstance(machines, list) or not all(isinstance(item, Mapping) for item in machines):
        raise ValueError(f'{path} lists no machines. It must define machines = [dict(type=..., ...), ...].')
    machines = [machine.to_dict() if hasattr(machine, 'to_dict') else dict(machine) for machine in machines]
    machine_names = [machine_name(machine) for machine in machines]
    twice = sorted({name for name in machine_names if machine_names.count(name) > 1})
    if twice:
        raise ValueError(f'{path} lists {twice[0]} twice. Give each machine its own name=...')
    if names is None:
        return machines
    missing = sorted(set(names) - set(machine_names))
    if missing:
        raise ValueError(f'{path} has no machine {missing[0]}. It has: {", ".join(machine_names)}.')
    return [machine for machine, name in zip(machines, machine_names, strict=True) if name in set(names)]


def machine_name(config: dict) -> str:
    """Return the name that a machine built from ``config`` will have."""
    name = config.get('name') or name_of_model(config.get('model') or '')
    name = name or Path(config.get('config') or config.get('file') or '').stem
    if not name:
        raise ValueError(f'This machine has no name: {config}. Say name=...')
    return str(name)


def machine_configs_of(names: Iterable[str], task: str) -> list[dict]:
    """Return the configs of machines that a user names in a word each.

    Args:
        names: each a config file (``.py``) with a list of machines; a network's file (``.onnx``, ``.tflite``,
            ``.param``), whose config is still to be found out, see :func:`recognised_configs`; a file of Ultralytics
            (``.pt``, ``.engine``); a folder or ``owner/name`` of transformers; a model of torchvision; cls: of timm.
        task: cls, det, ins or seg.

    Raises:
        FileNotFoundError, ValueError: it is none of these. The nearest name of a library's model is suggested.
    """
    collected = []
    for name in map(str, names):
        suffix = Path(name).suffix.lower()
        if suffix == '.py':
            collected += load_machine_configs(name)
        elif suffix in ('.pt', '.engine'):
            collected.append({'type': 'UltralyticsMachine', 'file': name, 'task': task})
        elif is_machine_file(name):
            check_regular(name, kind='file of a network')
            collected.append({'type': RECOGNISED, 'file': name, 'task': task})
        elif suffix in ('.pth', '.safetensors'):
            check_regular(name, kind='file of weights')
            raise ValueError(
                f'{name} alone does not say which network its weights are for. Describe it in a config, such as '
                "mine.py with: machines = [dict(type='TorchvisionMachine', ...)]; docs/your_own_models.md shows how."
            )
        elif name in torchvision_models():
            collected.append({'type': 'TorchvisionMachine', 'model': name, 'task': task})
        elif Path(name).is_dir() and not (Path(name) / 'config.json').is_file():
            raise ValueError(
                f'{name} is a folder without a config.json, so it is not a transformers model: name the file of the '
                'network in it, or a config (.py).'
            )
        elif Path(name).is_dir() or (re.fullmatch(r'[\w.-]+/[\w.-]+', name) and not Path(name).exists()):
            collected.append({'type': 'TransformersMachine', 'model': name, 'task': task})
        elif task == 'cls' and is_timm_model(name):
            weights = 'packaged' if name in PACKAGED_LITES else 'pretrained'
            collected.append({'type': 'TimmClassifier', 'model': name, 'weights': weights})
        else:
            if Path(name).exists():
                check_regular(name, kind='file of a network')
                raise ValueError(
                    f'{name} is not a machine file: name a .pt or .engine of Ultralytics, an exported network '
                    '(.onnx, .tflite, .param), a folder of transformers, or a config (.py).'
                )
            raise ValueError(_unknown(name, task))
    config_names = [machine_name(config) for config in collected]
    twice = sorted({name for name in config_names if config_names.count(name) > 1})
    if twice:
        raise ValueError(f'Two machines are called {twice[0]}. Give each its own name=... in a config.')
    return collected


def recognised_configs(
    configs: Iterable[dict], recognise: Callable[[str, str], RecognisedMachine]
) -> tuple[list[dict], list[RecognisedMachine]]:
    """Return configs that can be built, and what was found out about the files among them.

    Args:
        configs: of :func:`machine_configs_of`.
        recognise: from a file and a task to how it is used, such as :func:`miqa.machines.machine_from_file` with the
            given pictures.
    """
    complete, recognised = [], []
    for config in configs:
        if config.get('type') == RECOGNISED:
            recognised.append(recognise(config['file'], config['task']))
            config = recognised[-1].config
        complete.append(config)
    return complete, recognised


def _unknown(name: str, task: str) -> str:
    """Say that a word names no machine for a task."""
    does = {task, 'ins'} if task == 'det' else {task}
    models = sorted(model for model, of in torchvision_models().items() if of in does)
    return unknown_machine(name, task, [*models, *timm_models()] if task == 'cls' else models)


def _check_keys(config: Mapping) -> None:
    """Raise a ValueError where a config has no type, or lacks keys or has others than a machine of its type."""
    kind = config.get('type')
    if not isinstance(kind, str) and not inspect.isclass(kind):
        raise ValueError(f"This machine has no type: {dict(config)}. Say type='TorchvisionMachine', say.")
    machine_class = MACHINES.get(kind) if isinstance(kind, str) else kind
    kind = machine_class.__name__
    options = options_of(machine_class)
    unknown = sorted(set(config) - {'type', '_scope_'} - (options or set(config)))
    if unknown:
        raise ValueError(
            f'{kind} has no option {unknown[0]!r}.{did_you_mean(unknown[0], options or ())} It has: '
            f'{", ".join(sorted(options or ()))}.'
        )
    for name, parameter in inspect.signature(machine_class).parameters.items():
        needed = parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        if needed and name not in config:
            raise ValueError(f'{kind} needs {name}=..., which this config lacks: {dict(config)}.')


def build_machine(config: dict, device: str = 'cpu') -> Machine:
    """Build one machine on ``device``.

    Raises:
        KeyError: its type is not registered.
        ValueError: it has no type, or keys that its type does not have or lacks; there is no such device here; or its
            weights hold NaN.
    """
    _check_keys(config)
    target = config.get('device', device)
    # ONNX Runtime has devices of its own, and says itself what it cannot do; the others compute on the CPU.
    if config.get('type') not in ('OnnxMachine', 'TfliteMachine', 'NcnnMachine'):
        usable_device(target)
    with settings_kept():
        machine = MACHINES.build({**config, 'device': target})
    _check_weights(machine)
    return machine


def _check_weights(machine: Machine) -> None:
    """Refuse weights that hold NaN: detectors then find nothing, which looks like a valid output."""
    networks: list[Any] = [getattr(machine, name, None) for name in ('network', 'model', 'function')]
    state_dict = next((network.state_dict for network in networks if hasattr(network, 'state_dict')), None)
    for name, value in state_dict().items() if state_dict is not None else ():
        if hasattr(value, 'isnan') and value.isnan().any():
            raise ValueError(
                f'The weights {name} of the machine {machine.name} hold NaN: its training went wrong. Take an earlier '
                'checkpoint.'
            )
