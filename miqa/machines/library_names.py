"""Names of libraries' models, read from their sources without importing them."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from miqa.outside.regular_files import missing_file
from miqa.taxonomy import did_you_mean

# torchvision and timm both put this above the function of a model, perhaps with other decorators between.
_REGISTERED = re.compile(r'^@register_model\b.*?^def (\w+)', re.DOTALL | re.MULTILINE)
#: Folder of torchvision.models that has the models of a task; the others are classifiers.
_FOLDERS = {'det': 'detection', 'ins': 'detection', 'seg': 'segmentation'}
_FILES = ('.py', '.onnx', '.tflite', '.param')
_WEIGHTS = ('.pt', '.engine', '.pth', '.safetensors')


def check_machine_names(names: Iterable[str], task: str) -> None:
    """Check names of machines as far as that is possible in milliseconds, before anything is imported for them.

    Raises:
        FileNotFoundError: a file is not there.
        ValueError: a word is neither a file or folder nor in the source of a library's models.
    """
    texts: list[str] | None = None
    for name in map(str, names):
        suffix = Path(name).suffix.lower()
        if Path(name).is_file() and suffix not in (*_FILES, *_WEIGHTS):
            raise ValueError(f'{name} is not a machine file. {_what_to_name(task, ())}')
        if not Path(name).exists() and (suffix in _FILES or '/' in name and suffix in _WEIGHTS):
            raise missing_file('machine file', name)
        if Path(name).exists() or '/' in name:
            continue
        texts = _sources(task) if texts is None else texts
        stem = name.partition('.')[0]
        if texts and suffix not in ('.pt', '.engine') and not any(stem in text for text in texts):
            models = [model for text in texts for model in _REGISTERED.findall(text)]
            models = sorted(model for model in models if task != 'ins' or model.startswith('maskrcnn'))
            raise ValueError(unknown_machine(name, task, models))


def _sources(task: str) -> list[str]:
    """Return the sources of the libraries' models for a task; none where torchvision is not installed."""
    package = importlib.util.find_spec('torchvision')
    roots = [
        Path(place) / 'models' / _FOLDERS.get(task, '')
        for place in (package and package.submodule_search_locations) or ()
    ]
    if roots and task == 'cls' and (timm := importlib.util.find_spec('timm')) is not None:
        roots += [Path(place) / 'models' for place in timm.submodule_search_locations or ()]
    return [path.read_text(encoding='utf-8') for root in roots for path in sorted(root.glob('*.py'))]


def unknown_machine(name: str, task: str, models: Sequence[str]) -> str:
    """Say that a word names no machine for a task, what is near among ``models``, and what may be named."""
    return (
        f'{name!r} is not a machine for {task}: there is no file or folder of that name, and no such model.'
        f'{did_you_mean(name, models)} {_what_to_name(task, models)}'
    )


def _what_to_name(task: str, models: Sequence[str]) -> str:
    examples = f' ({", ".join(models[:3])}, ...)' if models else ''
    return (
        f'Name a model of torchvision{" or timm" * (task == "cls")}{examples}, a .pt or .engine of Ultralytics, a '
        'folder or OWNER/NAME of transformers, the .onnx of a network, or a config (.py).'
    )
