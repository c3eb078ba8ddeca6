"""Measure three answers at once: MIQAModel(task=('cls', 'det', 'ins')) beside the three models one after the other.

The published RA-MIQA at full size, with random tensors of the released shapes: the region encoders are equal, as in the
released weights, and everything else differs from task to task. Pictures are arrays, so that resizing counts and
decoding does not. Both ways score the same pictures in turns; the largest difference of scores is shown.

Examples:
  python tools/analysis/benchmark.py tasks
  python tools/analysis/benchmark.py tasks --pictures 64 --batch-size 32 --device cuda
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import torch

from miqa.apis.methods import METHODS, SHORT_SIDE
from miqa.apis.model import MIQAModel
from miqa.apis.multitask import MultiTaskModel
from miqa.apis.spec import ModelSpec
from miqa.models import QualityAssessor
from miqa.running.allocator import keep_freed_memory
from miqa.taxonomy import TASKS

from .timing import in_turns

_ENCODER = 'network.region_encoder.'


def random_task_models(method: str = 'ra_miqa', **options) -> dict[str, MIQAModel]:
    """Return a model of ``method`` for each task, with random tensors, the same in the frozen encoders."""
    parts = METHODS[method]
    models: dict[str, MIQAModel] = {}
    encoder: dict[str, torch.Tensor] = {}
    for seed, task in enumerate(TASKS):
        torch.manual_seed(seed)
        state = QualityAssessor(dict(parts.network), {'type': 'ViewPreprocessor', 'views': parts.views}).state_dict()
        encoder = encoder or {name: tensor for name, tensor in state.items() if name.startswith(_ENCODER)}
        spec = ModelSpec(method, task, 'composite', parts.network, parts.views, SHORT_SIDE)
        models[task] = MIQAModel.from_parts(spec, {**state, **encoder}, f'random {method} of {task}', **options)
    return models


def measure(models: dict[str, MIQAModel], pictures: list[np.ndarray], repeats: int) -> dict[str, float]:
    """Return ``together_s`` and ``apart_s``, their ``ratio``, and the ``largest_difference`` of scores.

    Args:
        models: by task.
        pictures: RGB, uint8 (H, W, 3).
        repeats: turns; the median counts.
    """
    scores: dict[str, list] = {}
    together = MultiTaskModel(models)

    def at_once() -> None:
        scores['together'] = together.assess(pictures)

    def one_by_one() -> None:
        scores.update({task: model.assess(pictures) for task, model in models.items()})

    times = in_turns({'together': at_once, 'apart': one_by_one}, repeats)
    gaps = [
        abs(together_scores[task] - scores[task][i])
        for i, together_scores in enumerate(scores['together'])
        for task in models
    ]
    first, second = times['together'].seconds, times['apart'].seconds
    return {'together_s': first, 'apart_s': second, 'ratio': first / second, 'largest_difference': max(gaps)}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this case."""
    parser.add_argument('--pictures', type=int, default=16, help='640 x 480 pixels each (default: 16)')
    parser.add_argument('--batch-size', type=int, default=8, help='default: 8')
    parser.add_argument('--device', default='cpu', help='cpu, cuda, cuda:1 (default: cpu)')


def run(args: argparse.Namespace) -> Iterator[tuple[str, list[dict]]]:
    """Measure both ways."""
    keep_freed_memory()  # as `miqa image` does
    models = random_task_models(batch_size=args.batch_size, device=args.device, precision='fp32')
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (480, 640, 3), dtype=np.uint8) for _ in range(args.pictures)]
    yield f'{args.pictures} pictures, {len(models)} tasks', [measure(models, pictures, args.repeats)]
