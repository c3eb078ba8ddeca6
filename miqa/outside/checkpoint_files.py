"""Reading checkpoints without running what is in them, and fitting their tensors to a network's."""

from __future__ import annotations

import argparse
import collections
import os
import pickle
import re
import shlex
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

from miqa.errors import CheckpointError

from .checkpoint_scan import UnsafeFile, check_tensors, check_torch_file, leftover_types
from .regular_files import WEIGHTS_BYTES, open_regular
from .user_folders import user_cache


def read_torch_file(path: str | os.PathLike, map_location: str | torch.device = 'cpu') -> object:
    """Read a file of ``torch.save`` with ``weights_only=True``: only data is restored, no code of the file runs.

    Beside plain tensors, those types are allowed which training scripts leave in checkpoints: numpy scalars and
    arrays (a best score), MMEngine's log buffers and the options of a command line (torchvision's scripts). In place
    of PyTorch's optimiser and schedule objects come empty ones. The file is scanned first, see
    :mod:`miqa.outside.checkpoint_scan`.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: the file is damaged, or holds a type that is not on the list.
    """
    path = Path(path)
    stream = open_regular(path, WEIGHTS_BYTES, what='checkpoint file')
    try:
        # One opening for all: what was scanned is what is read.
        check_torch_file(stream)
        _check_crc(stream)
        stream.seek(0)
        with torch.serialization.safe_globals(_harmless_types()):
            return torch.load(stream, map_location=map_location, weights_only=True)
    except UnsafeFile as error:
        raise CheckpointError(_unsafe(path, str(error))) from None
    except pickle.UnpicklingError as error:
        found = re.search(r'GLOBAL (\S+)', str(error))
        # PyTorch's own advice, to load the file unsafely, is not passed on.
        cause = re.search(r'WeightsUnpickler error:\s*(.*)', str(error))
        reason = (
            f'it contains a {found[1]}, which is not on the list of harmless types'
            if found
            else _first(cause[1] if cause else error)
        )
        raise CheckpointError(_unsafe(path, reason)) from error
    except Exception as error:
        # A cut or overwritten file fails in zip, pickle or storage code, each with exceptions of its own.
        size = os.fstat(stream.fileno()).st_size
        raise CheckpointError(
            f'{path} ({size} bytes) is not a whole PyTorch checkpoint: {_first(error)}. {_again(path)}'
        ) from error
    finally:
        stream.close()


def _unsafe(path: Path, reason: str) -> str:
    return (
        f'{path} is either damaged or unsafe to read: {reason}. {_again(path)} Or, if you trust where it comes '
        'from, load it with plain PyTorch and save its tensors alone: '
        "torch.save({'state_dict': checkpoint['state_dict']}, PATH)."
    )


def _check_crc(stream: IO[bytes]) -> None:
    """Compare every record of a ``torch.save`` file with its CRC-32, which PyTorch writes but never looks at."""
    if not zipfile.is_zipfile(stream):
        return
    with zipfile.ZipFile(stream) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(f'the checksum of its record {damaged} is wrong')


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


def _harmless_types() -> list:
    types = [HistoryBuffer, argparse.Namespace, np.ndarray, np.dtype, collections.defaultdict, dict, list, set]
    core = np._core if hasattr(np, '_core') else np.core
    # numpy 1 and 2 write different module names for the same two functions.
    for module in ('numpy.core.multiarray', 'numpy._core.multiarray'):
        types += [
            (core.multiarray.scalar, f'{module}.scalar'),
            (core.multiarray._reconstruct, f'{module}._reconstruct'),
        ]
    types += [type(np.dtype(code)) for code in '?bBhHiIlLqQefd']
    # How Python 2's and Python 3's names for `getattr` read in the files that torch.save writes.
    types += [(_statistic_of, '__builtin__.getattr'), (_statistic_of, 'builtins.getattr')]
    # Old training scripts stored whole schedule objects, which hold their optimiser.
    return types + leftover_types()


def _statistic_of(owner: object, name: str) -> object:
    # MMEngine's log buffers name their statistics by getattr(HistoryBuffer, 'mean'). The real getattr would give a
    # malicious file any attribute of any allowed type.
    known = HistoryBuffer._statistics_methods  # set by a decorator
    if owner is HistoryBuffer and name in ('min', 'max', 'mean', 'current', *known):
        return getattr(HistoryBuffer, name)
    raise pickle.UnpicklingError(f'it asks for attribute {name} of {owner}')


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
    try:
        check_tensors(state, Path(path).stat().st_size if Path(path).is_file() else None)
    except UnsafeFile as error:
        raise CheckpointError(_unsafe(Path(path), str(error))) from None
    if all(key.startswith('module.') for key in state):
        return {key.removeprefix('module.'): value for key, value in state.items()}
    return dict(state)


def fit_state(
    state: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor], path: str | os.PathLike, what: str
) -> dict[str, torch.Tensor]:
    """Return ``state`` if it has exactly the names and shapes of ``wanted``.

    Args:
        state: tensors of a file.
        wanted: tensors of the network, under the same names.
        path: the file, for the error.
        what: the network, in words, for the error.

    Raises:
        CheckpointError: names are missing or unexpected, or shapes differ; the first few are named, with counts.
    """
    missing = [key for key in wanted if key not in state]
    unexpected = [key for key in state if key not in wanted]
    shapes = [
        f'{key} is {tuple(state[key].shape)}, expected {tuple(wanted[key].shape)}'
        for key in wanted
        if key in state and state[key].shape != wanted[key].shape
    ]
    problems = [
        f'{len(keys)} {kind}: {_some(keys)}.'
        for keys, kind in ((missing, 'missing'), (unexpected, 'unexpected'), (shapes, 'of another shape'))
        if keys
    ]
    if problems:
        raise CheckpointError(
            f'{path} does not fit {what} ({len(state)} tensors in the file, {len(wanted)} wanted). '
            + ' '.join(problems)
        )
    return dict(state)


def _some(names: list[str], most: int = 5) -> str:
    return ', '.join(names[:most]) + (f' and {len(names) - most} more' if len(names) > most else '')
