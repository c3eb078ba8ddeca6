"""Machine weights: loaded without running code, or random with a seed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from miqa.outside import check_regular
from miqa.outside.checkpoint_files import CheckpointError, check_safetensors, fit_state, read_torch_file, state_dict_of
from miqa.outside.regular_files import WEIGHTS_BYTES

#: Heads that a network has while it is trained; what they add is not used for predictions.
TRAINING_HEADS = ('aux_classifier.', 'aux1.', 'aux2.', 'AuxLogits.')


def read_weights(path: str | os.PathLike) -> dict[str, torch.Tensor]:
    """Read named tensors from a file of ``torch.save`` or of safetensors; no code in the file runs.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: it is damaged, unsafe to read, or holds no tensors.
    """
    check_regular(path, WEIGHTS_BYTES, kind='checkpoint')
    if Path(path).suffix != '.safetensors':
        return state_dict_of(read_torch_file(path), path)
    try:
        return load_file(check_safetensors(path))
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f'{path} is not a whole safetensors file: {error}. Fetch it again.') from error


def fit_inference_state(
    state: Mapping[str, torch.Tensor], network: torch.nn.Module, path: str | os.PathLike, description: str
) -> dict[str, torch.Tensor]:
    """Return ``state`` with the names and shapes of ``network``, apart from what predictions do not use.

    Heads for training are left out or filled up, and so are the counters of batch norms, which frozen ones lack.

    Raises:
        CheckpointError: names or shapes differ otherwise.
    """
    expected = network.state_dict()
    unused = {
        key
        for key in {*state, *expected}
        if key.startswith(TRAINING_HEADS) or key.rsplit('.', 1)[-1] == 'num_batches_tracked'
    }
    used = {key: value for key, value in state.items() if key not in unused}
    fitted = fit_state(used, {key: value for key, value in expected.items() if key not in unused}, path, description)
    return {**{key: value for key, value in expected.items() if key in unused}, **fitted}


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Make PyTorch's random numbers within the block depend on ``seed`` alone, and those after it on nothing in it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
