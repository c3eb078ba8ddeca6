"""Third-party pretrained weights: find, fetch, or name the file to download."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlparse

import torch
from torch import nn

from miqa.errors import WeightsUnavailable
from miqa.keeping import sha256_of_file
from miqa.keeping.downloads import DownloadError, download
from miqa.outside.checkpoint_files import fit_state, read_torch_file, state_dict_of

from .vit_names import timm_to_mmseg


def weight_file(weights: str, sha256: str | None = None) -> Path:
    """Return the local file of ``weights``, a path or an http(s) URL; fetch it once per machine.

    Downloads go to ``<torch.hub.get_dir()>/checkpoints`` (change it with the variable TORCH_HOME), under the URL's
    file name. Processes that ask at the same time wait for one download.

    Raises:
        WeightsUnavailable: there is no such file, the download fails, or the checksum differs.
    """
    url = urlparse(weights)
    if url.scheme not in ('http', 'https'):
        path = Path(weights).expanduser()
        if not path.is_file():
            raise WeightsUnavailable(f'There is no weights file {path}. Correct the path, or put the file there.')
        if sha256 is not None and (digest := sha256_of_file(path)) != sha256:
            raise WeightsUnavailable(f'{path} has SHA-256 {digest}, expected {sha256}. Replace it by the right file.')
        return path
    path = Path(torch.hub.get_dir()) / 'checkpoints' / Path(url.path).name
    try:
        return download(weights, path, sha256)
    except DownloadError as error:
        raise WeightsUnavailable(
            f'Pretrained weights are missing: {error} Or name another path in the config, or start from random weights '
            'on purpose (`weights=None` for a region encoder, `pretrained=False` elsewhere).'
        ) from error


def load_region_weights(encoder: nn.Module, weights: str, sha256: str | None = None) -> None:
    """Load a pretrained ViT into a region encoder, every tensor accounted for.

    Understands timm's names (SERE's release: perhaps under ``model`` or ``state_dict``; ``fc_norm`` is the final
    norm there) and MMSegmentation's (under ``backbone.``). What belongs to the task that the file was trained for,
    ``head``, ``decode_head``, ``auxiliary_head``, is left out.

    Raises:
        WeightsUnavailable: there is no file.
        CheckpointError: the file is damaged, unsafe, or holds other tensors than the encoder's.
    """
    path = weight_file(weights, sha256)
    state = region_state(state_dict_of(read_torch_file(path), path))
    encoder.load_state_dict(fit_state(state, encoder.state_dict(), path, 'the region encoder'))


def region_state(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Reduce a segmentation or classification file's tensors to its ViT's, in MMSegmentation's names."""
    if any(key.startswith('backbone.') for key in state):
        state = {key: value for key, value in state.items() if not key.startswith(('decode_head.', 'auxiliary_head.'))}
        state = {key.removeprefix('backbone.'): value for key, value in state.items()}
    if any(key.startswith('blocks.') for key in state):
        state = {key: value for key, value in state.items() if not key.startswith('head.')}
        state = {re.sub(r'^fc_norm\.', 'norm.', key): value for key, value in state.items()}
        state = {timm_to_mmseg(key): value for key, value in state.items()}
    return dict(state)
