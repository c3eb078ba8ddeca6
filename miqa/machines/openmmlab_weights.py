"""Checkpoints of MMDetection and MMSegmentation: fetched once, loaded without running code.

OpenMMLab's own loader reads a file that holds more than tensors with code and all, and leaves random weights where a
name is missing.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlparse

import torch

from miqa.keeping import sha256_of_file
from miqa.keeping.downloads import download
from miqa.outside.addresses import redact_address
from miqa.outside.checkpoint_files import CheckpointError, read_torch_file, state_dict_of


def load_checkpoint(network: torch.nn.Module, checkpoint: str) -> dict:
    """Load a checkpoint, a path or an address of the model zoo, into a network as its config builds it.

    What is fetched stays in PyTorch's hub folder.

    Returns:
        What the checkpoint says of the data that it was trained on: ``classes``, in lower-case keys; may be empty.

    Raises:
        CheckpointError: the file is damaged, unsafe to read, or of another network.
        ConnectionError: it cannot be fetched.
    """
    path = fetched(checkpoint) if '://' in checkpoint else Path(checkpoint)
    content = read_torch_file(path)
    state = state_dict_of(content, path)
    # Modules rename the tensors of their earlier versions by what is noted beside them.
    notes = next(
        (
            content[key]._metadata
            for key in ('state_dict', 'model')
            if isinstance(content, Mapping) and hasattr(content.get(key), '_metadata')
        ),
        None,
    )
    state = OrderedDict(state)
    if notes is not None:
        state._metadata = notes  # type: ignore[attr-defined]  # where PyTorch looks for it
    try:
        result = network.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise CheckpointError(f'{path} holds weights of another network than the config: {_second(error)}') from None
    parameters = {name for name, _ in network.named_parameters()}
    missing = [name for name in result.missing_keys if name in parameters]
    if missing:
        raise CheckpointError(
            f'{path} holds weights of another network than the config: {len(missing)} of {len(parameters)} tensors are '
            f'missing, for example {missing[0]}.'
        )
    meta = content.get('meta') if isinstance(content, Mapping) else None
    meta = meta if isinstance(meta, Mapping) else {}
    stored = meta.get('dataset_meta')
    facts = {str(key).lower(): value for key, value in stored.items()} if isinstance(stored, Mapping) else {}
    if 'classes' not in facts and meta.get('CLASSES'):
        facts['classes'] = meta['CLASSES']
    return facts


def fetched(address: str) -> Path:
    """Return the file of an address in PyTorch's hub folder, fetched at first use.

    Raises:
        ConnectionError: it cannot be fetched.
        CheckpointError: it is not the file whose digest is in its name.
    """
    path = Path(torch.hub.get_dir()) / 'checkpoints' / Path(urlparse(address).path).name
    is_new = not path.is_file()
    if is_new:
        try:
            download(address, path)
        except OSError as error:
            raise ConnectionError(
                f'{path.name} cannot be fetched from {redact_address(address)} ({error}). Without a connection, '
                f'fetch that file elsewhere and put it at {path}, or name a checkpoint of yours.'
            ) from None
    # OpenMMLab writes the first eight digits of the SHA-256 into the name.
    digits = re.search(r'-([0-9a-f]{8})\.pth$', path.name)
    if digits and not sha256_of_file(path).startswith(digits[1]):
        if is_new:
            path.unlink()
            raise CheckpointError(f'What came from {redact_address(address)} is not the file that its name promises.')
        raise CheckpointError(f'{path} is not the file that its name promises. Delete it; it is fetched again.')
    return path


def _second(error: Exception) -> str:
    """Return the first line of PyTorch's list of what does not fit."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[1] if len(lines) > 1 else lines[0]
