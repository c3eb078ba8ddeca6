"""Small models on disk, as a training run leaves them, and pictures to score."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_models import TINY_RA_MIQA
from mmengine.config import Config
from PIL import Image

from miqa.apis.exports import program
from miqa.models import QualityAssessor

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
VIT = {'type': 'TimmRegressor', 'model_name': 'test_vit.r160_in1k', 'pretrained': False, 'options': {'img_size': 64}}
CNN = {'type': 'TimmRegressor', 'model_name': 'test_resnet.r160_in1k', 'pretrained': False}


def views_of(image: int = 64, region: int | None = None) -> dict:
    """Return the views of a model, the region's mean unlike the image's."""
    views = {'image': {'size': image, 'mean': MEAN, 'std': STD}}
    if region:
        views['region'] = {'size': region, 'mean': (0.5, 0.5, 0.5), 'std': (0.5, 0.5, 0.5)}
    return views


def forget_default_device() -> None:
    """Undo ``torch.set_default_device``: after ``set_default_device(None)`` alone, PyTorch 2.9's getter raises."""
    torch.set_default_device(None)
    del torch._GLOBAL_DEVICE_CONTEXT.device_context


def write_run(
    path: Path, network: dict = VIT, views: dict | None = None, short_side: int = 72, seed: int = 0, **knobs
) -> QualityAssessor:
    """Write a checkpoint with config, as training does, of a model with random weights; return the model."""
    views = views or views_of()
    torch.manual_seed(seed)
    preprocessor = {'type': 'ViewPreprocessor', 'views': views}
    model = QualityAssessor(dict(network), preprocessor).eval()
    for parameter in model.network.parameters():
        # As they start, timm's layers hardly tell pictures apart.
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=1.5 * parameter[0].numel() ** -0.5)
    packed = {f'{name}': view['size'] for name, view in views.items()}
    pipeline = [{'type': 'LoadImage'}, {'type': 'ResizeShortSide', 'size': short_side}, {'type': 'PackViews', **packed}]
    config = {
        'task': 'det',
        'label': 'accuracy',
        'model': {'type': 'QualityAssessor', 'network': network, 'data_preprocessor': preprocessor},
        'test_dataloader': {'dataset': {'pipeline': pipeline}},
        **knobs,
    }
    meta = {'cfg': Config(config).pretty_text, 'epoch': 1}
    torch.save({'meta': meta, 'state_dict': model.state_dict()}, path)
    return model


def write_ra_miqa(path: Path, **knobs) -> QualityAssessor:
    """Write a checkpoint of a tiny RA-MIQA with views of 32 and 48 pixels."""
    return write_run(path, TINY_RA_MIQA, views_of(32, 48), 48, **knobs)


def photo(width: int = 120, height: int = 90, seed: int = 0) -> np.ndarray:
    """Return a colourful picture with structure at several scales, uint8 RGB (height, width, 3)."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (8, 10, 3), dtype=np.uint8))
    smooth = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    return np.clip(smooth + rng.integers(-20, 21, smooth.shape), 0, 255).astype(np.uint8)


def write_photos(folder: Path, count: int, **options) -> list[str]:
    """Write PNG pictures of different sizes and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f'{index:03d}.png' for index in range(count)]
    for index, path in enumerate(paths):
        Image.fromarray(photo(100 + 7 * index, 90, seed=index)).save(path, **options)
    return [str(path) for path in paths]


def status_of(*arguments) -> int:
    """Run ``miqa`` in this process; return its exit status."""
    from miqa.cli.main import main

    try:
        main([str(argument) for argument in arguments])
    except SystemExit as end:
        return end.code or 0
    return 0


def run_miqa(capsys, *arguments) -> tuple[int, str, str]:
    """Run ``miqa`` in this process; return its exit status, what it printed and what it complained of."""
    return status_of(*arguments), *capsys.readouterr()


@contextlib.contextmanager
def export_once() -> Iterator[None]:
    """Trace and convert a network once for all exports in the block, which must be of one model."""

    def once(function):
        results = []
        return lambda *args, **options: (
            results[0] if results else results.append(function(*args, **options)) or results[0]
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, 'exported_program', once(program.exported_program))
        patch.setattr(torch.onnx, 'export', once(torch.onnx.export))
        yield
