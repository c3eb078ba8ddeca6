"""Read checkpoints without running code, and match their tensors to a network."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

import torch

from miqa.errors import CheckpointError

from .checkpoint_reading import UnsafeFile, read_torch_stream
from .regular_files import WEIGHTS_BYTES, open_regular
from .user_folders import user_cache

#: Bytes of a safetensors file's list of tensors; that of 10,000 tensors has about 1.5 million.
_MOST_LISTED = 16 << 20


def read_torch_file(path: str | os.PathLike) -> object:
    """Read a file of ``torch.save``: only data is restored, on the CPU, and no code of the file runs.

    Beside plain tensors, those types are allowed which training scripts leave in checkpoints: numpy scalars and
    arrays (a best score), MMEngine's log buffers and the options of a command line (torchvision's scripts). In place
    of PyTorch's optimiser and schedule objects come empty ones. See :mod:`miqa.outside.checkpoint_reading`.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: the file is damaged, or holds a type that is not on the list.
    """
    path = Path(path)
    with open_regular(path, WEIGHTS_BYTES, kind='checkpoint file') as stream:
        if path.suffix == '.safetensors':
            raise CheckpointError(
                f'{path} is a safetensors file, and files of torch.save are read here: '
                "torch.save({'state_dict': safetensors.torch.load_file(PATH)}, 'model.pth')."
            )
        try:
            return read_torch_stream(stream)
        except UnsafeFile as error:
            raise CheckpointError(_unsafe(path, str(error))) from None
        except Exception as error:
            # A cut or overwritten file fails in zip, pickle or storage code, each with exceptions of its own.
            size = os.fstat(stream.fileno()).st_size
            raise CheckpointError(
                f'{path} ({size} bytes) is not a whole PyTorch checkpoint: {_first(error)}. {_again(path)}'
            ) from error


def check_safetensors(path: str | os.PathLike) -> Path:
    """Return the path of a safetensors file whose list of tensors is no longer than that of any network.

    Raises:
        FileNotFoundError, NotARegularFile: there is no such file, or it is something else.
        CheckpointError: the list takes minutes and gigabytes to read.
    """
    with open_regular(path, WEIGHTS_BYTES, kind='checkpoint') as stream:
        length = int.from_bytes(stream.read(8), 'little')
    if length > _MOST_LISTED:
        raise CheckpointError(f'{path} is not a whole safetensors file: its list of tensors has {length:,} bytes.')
    return Path(path)


def _unsafe(path: Path, reason: str) -> str:
    return (
        f'{path} is either damaged or unsafe to read: {reason}. {_again(path)} Or, if you trust where it comes '
        'from, load it with plain PyTorch and save its tensors alone: '
        "torch.save({'state_dict': checkpoint['state_dict']}, PATH)."
    )


def _again(path: Path) -> str:
    """Say how a damaged file is had again: fetched, if it was fetched, and else made or copied."""
    if path.absolute().is_relative_to(user_cache().absolute()):
        return 'Delete it; it is fetched again when it is asked for.'
    if path.name.endswith('.pth.tar'):
        return 'Fetch it again.'
    if path.name in ('latest.pth', 'best.pth'):
        folder = shlex.quote(str(path.parent))
        return f'Put a copy back, or train again: miqa train CONFIG --work-dir {folder}'
    return 'Copy it again from where it came, or make it again: miqa train writes best.pth and latest.pth.'


def _first(error: Exception | str) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__).rstrip('. ')


def state_dict_of(checkpoint: object, path: str | os.PathLike) -> dict[str, torch.Tensor]:
    """Find the tensors in what a checkpoint file holds; ``module.`` prefixes of DataParallel are removed.

    A dict with ``state_dict`` or ``model``, or a bare state dict.

    Raises:
        CheckpointError: there is nothing of the kind, or something in it is not a tensor.
    """
    state = checkpoint
    if isinstance(state, Mapping):
        state = next((state[key] for key in ('state_dict', 'model') if isinstance(state.get(key), Mapping)), state)
    if not isinstance(state, Mapping) or not state:
        raise CheckpointError(f'{path} holds a {type(state).__name__}, not a dict of tensors.')
    strangers = [
        str(key)[:80] for key, value in state.items() if not (isinstance(key, str) and isinstance(value, torch.Tensor))
    ]
    if strangers:
        raise CheckpointError(f'{path} is not a state dict: these entries are not tensors: {_some(strangers)}.')
    odd = [key for key, value in state.items() if not _is_plain(value)]
    if odd:
        raise CheckpointError(f'{path} is not a state dict: these are not plain tensors of numbers: {_some(odd)}.')
    if all(key.startswith('module.') for key in state):
        return {key.removeprefix('module.'): value for key, value in state.items()}
    return dict(state)


def _is_plain(tensor: torch.Tensor) -> bool:
    strided = tensor.layout is torch.strided
    return strided and not (tensor.is_quantized or tensor.is_meta or tensor.is_nested)


def fit_state(
    state: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor], path: str | os.PathLike, description: str
) -> dict[str, torch.Tensor]:
    """Return ``state`` if it has exactly the names and shapes of ``expected``.

    Raises:
        CheckpointError: names are missing or unexpected, or shapes differ; the first few are named, with counts.
    """
    missing = [key for key in expected if key not in state]
    unexpected = [key for key in state if key not in expected]
    shapes = [
        f'{key} is {tuple(state[key].shape)}, expected {tuple(expected[key].shape)}'
        for key in expected
        if key in state and state[key].shape != expected[key].shape
    ]
    problems = [
        f'{len(keys)} {kind}: {_some(keys)}.'
        for keys, kind in ((missing, 'missing'), (unexpected, 'unexpected'), (shapes, 'of another shape'))
        if keys
    ]
    if problems:
        raise CheckpointError(
            f'{path} does not fit {description} ({len(state)} tensors in the file, {len(expected)} wanted). '
            + ' '.join(problems)
        )
    return dict(state)


def _some(names: list[str], most: int = 5) -> str:
    return ', '.join(names[:most]) + (f' and {len(names) - most} more' if len(names) > most else '')
