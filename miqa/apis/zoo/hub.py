"""Models on the Hugging Face Hub: safetensors, a JSON config and a model card; no executable code."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from huggingface_hub import HfApi, snapshot_download
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from miqa import __version__
from miqa.apis.methods import METHODS
from miqa.apis.quality import DEFAULT_THRESHOLDS, Thresholds
from miqa.apis.spec import ModelSpec
from miqa.errors import CheckpointError, WeightsUnavailable
from miqa.keeping import atomic_write, write_json
from miqa.outside.checked_values import Real, checked_mapping
from miqa.outside.checkpoint_files import check_safetensors
from miqa.outside.hub import hub_or_cache
from miqa.outside.json_text import read_settings

from .catalogue import list_models

_THRESHOLDS = {name: Real(-1e6, 1e6) for name in Thresholds._fields}

WEIGHTS_FILE, CONFIG_FILE, CARD_FILE = 'model.safetensors', 'config.json', 'README.md'

_TASK_WORDS = {
    'cls': 'image classification',
    'det': 'object detection',
    'ins': 'instance segmentation',
    'seg': 'semantic segmentation',
}
_LABEL_WORDS = {
    'composite': 'the mean of consistency and accuracy',
    'consistency': 'how far vision models still answer as they do on the undistorted image',
    'accuracy': 'how right vision models still are',
}


def save_pretrained(
    spec: ModelSpec,
    network_state: Mapping[str, torch.Tensor],
    folder: str | os.PathLike,
    thresholds: Thresholds = DEFAULT_THRESHOLDS,
) -> Path:
    """Write ``model.safetensors``, ``config.json`` and the model card ``README.md`` into a folder, and return it.

    Files of these names that are there are replaced, but not a model card: that may have been edited.
    ``network_state`` are the network's tensors under its own names.
    """
    folder = Path(folder)
    # Cloned and contiguous: safetensors refuses tensors that share memory or lie in another layout.
    state = {f'network.{key}': value for key, value in network_state.items()}
    state = {key: value.detach().cpu().clone(memory_format=torch.contiguous_format) for key, value in state.items()}
    with atomic_write(folder / WEIGHTS_FILE) as temporary:
        save_file(state, temporary, metadata={'format': 'pt'})
    about = {'library_name': 'miqa', 'miqa_version': __version__, 'spec': spec.to_dict()}
    write_json(folder / CONFIG_FILE, {**about, 'thresholds': thresholds._asdict()})
    if not (folder / CARD_FILE).exists():
        with atomic_write(folder / CARD_FILE) as temporary:
            temporary.write_text(model_card(spec, thresholds), encoding='utf-8')
    return folder


def push_to_hub(
    spec: ModelSpec,
    network_state: Mapping[str, torch.Tensor],
    repo_id: str,
    thresholds: Thresholds = DEFAULT_THRESHOLDS,
    *,
    private: bool = False,
    token: str | bool | None = None,
    commit_message: str = 'Upload quality model',
) -> str:
    """Create the repository ``user/repo`` where it is missing and upload what :func:`save_pretrained` writes.

    An existing model card is kept. ``token`` None stands for the one that ``hf auth login`` stored; only a new
    repository becomes ``private``.

    Returns:
        The address of the commit.

    Raises:
        WeightsUnavailable: the Hub cannot be reached, or refuses.
    """
    api = HfApi(token=token)
    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(spec, network_state, folder, thresholds)
        try:
            with hub_or_cache():
                api.create_repo(repo_id, private=private, repo_type='model', exist_ok=True)
                keep = api.file_exists(repo_id, CARD_FILE)
                commit = api.upload_folder(
                    repo_id=repo_id,
                    folder_path=folder,
                    commit_message=commit_message,
                    ignore_patterns=[CARD_FILE] if keep else None,
                )
        except Exception as error:  # the client raises errors of several HTTP libraries
            raise WeightsUnavailable(
                f'Cannot upload to {repo_id} on the Hugging Face Hub: {_first_line(error)}. Check the name, run `hf '
                'auth login`, or upload the files of save_pretrained(FOLDER) by hand.'
            ) from error
    return str(commit.commit_url)


def read_pretrained(
    repo_id: str | os.PathLike, revision: str | None = None, token: str | bool | None = None
) -> tuple[ModelSpec, dict[str, torch.Tensor], Thresholds, str]:
    """Read a model from the Hub or from a folder; only data is read, no code is run.

    Returns:
        Spec, tensors, thresholds, and the folder, which of the Hub's is one of a commit.

    Raises:
        WeightsUnavailable: there is no such folder or repository, or the Hub cannot be reached.
        CheckpointError: a file is missing or damaged.
        ValueError: the config is not that of a quality model.
    """
    folder = Path(repo_id)
    if not folder.is_dir():
        try:
            patterns = [WEIGHTS_FILE, CONFIG_FILE]
            with hub_or_cache():
                folder = Path(snapshot_download(str(repo_id), revision=revision, token=token, allow_patterns=patterns))
        except Exception as error:  # likewise
            raise WeightsUnavailable(
                f'Cannot fetch {repo_id} from the Hugging Face Hub: {_first_line(error)}. Offline, download '
                f'{CONFIG_FILE} and {WEIGHTS_FILE} elsewhere and name their folder.'
            ) from error
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise CheckpointError(f'{repo_id} has no {name}, so it is not a model of this project.')
    name = f'{repo_id}/{CONFIG_FILE}'
    config = read_settings(folder / CONFIG_FILE, name)
    if not isinstance(config, dict) or 'spec' not in config:
        raise ValueError(f'{CONFIG_FILE} of {repo_id} is not that of a quality model: it has no key spec.')
    spec = ModelSpec.from_dict(config['spec'], name)
    stored_thresholds = checked_mapping(config.get('thresholds', {}), _THRESHOLDS, f'{name}: thresholds')
    thresholds = Thresholds(**stored_thresholds).checked()
    try:
        state = load_file(check_safetensors(folder / WEIGHTS_FILE))
    except SafetensorError as error:
        raise CheckpointError(f'{WEIGHTS_FILE} of {repo_id} is damaged: {error}. Fetch it again.') from error
    return spec, state, thresholds, str(folder)


def model_card(spec: ModelSpec, thresholds: Thresholds = DEFAULT_THRESHOLDS) -> str:
    """Write the model card: what the scores mean, how to get them, where the model comes from."""
    title = METHODS[spec.method].title if spec.method in METHODS else spec.method
    sizes = ', '.join(f'{name} {view["size"]}x{view["size"]}' for name, view in spec.views.items())
    task = _TASK_WORDS.get(spec.task or '', 'a vision task that the weights do not name')
    label = _LABEL_WORDS.get(spec.label or '', 'a label that the weights do not name')
    lines = [
        '---',
        'library_name: miqa',
        'tags: [image-quality-assessment, machine-vision, miqa]',
        '---',
        '',
        f'# {title}: image quality for machines',
        '',
        f'Predicts from one image how well vision models will do on it: {label}, for {task}.',
        '',
        '```python',
        'from machine_iqa import MIQAModel',
        '',
        "model = MIQAModel.from_pretrained('THIS_REPOSITORY')",
        "model.assess('photo.jpg')   # nominally 0 to 1, higher is better; not clipped",
        '```',
        '',
        '| | |',
        '|---|---|',
        f'| method | {title} |',
        f'| task, label | {spec.task or "unknown"}, {spec.label or "unknown"} |',
        f'| input | RGB, shorter side resized to {spec.short_side} ({spec.interpolation}), centre cut: {sizes} |',
        f'| high, medium quality from | {thresholds.high:g}, {thresholds.medium:g} |',
        f'| made with | miqa {__version__} |',
    ]
    published = list_models(spec.task, spec.label, spec.method) if spec.method in METHODS and spec.task else []
    if published and published[0].srcc:
        lines += [
            '',
            f'The paper reports SRCC {published[0].srcc} and PLCC {published[0].plcc} for this method, task and label '
            "on MIQD-2.5M. These are the published weights' figures; weights trained elsewhere must be tested anew.",
        ]
    lines += ['', 'Method and database: Wang, Zhang, Lin, "Image Quality Assessment for Machines", arXiv 2508.19850.']
    return '\n'.join(lines) + '\n'


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip('.')
