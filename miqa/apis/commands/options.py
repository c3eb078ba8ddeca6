"""Options that several sub-commands share."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from miqa.taxonomy import LABELS, TASKS

if TYPE_CHECKING:
    from ..model import MIQAModel

#: Exit status when the work is done but some files could not be read.
SOME_FAILED = 3


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose a model and how it computes."""
    group = parser.add_argument_group('model')
    group.add_argument('--model', '-m', help='ra-miqa (default), vit-small, efficientnet-b5, ..., demo: `miqa models`')
    group.add_argument('--task', choices=TASKS, help='which vision task the scores speak of (default: cls)')
    group.add_argument('--label', choices=LABELS, help='what the scores predict (default: composite)')
    group.add_argument('--weights', '-w', metavar='FILE', help='your own best.pth, a released .pth.tar, or an .onnx')
    group.add_argument('--device', help='cpu, cuda, cuda:1 (default: a GPU where there is one)')
    group.add_argument('--precision', choices=('fp32', 'bf16', 'fp16'), default='fp32', help='default: fp32')
    group.add_argument(
        '--batch-size', type=int, metavar='N', help='images at a time (default: 32 on a GPU, 8 on a CPU)'
    )
    group.add_argument('--workers', type=int, metavar='N', help='decoding threads (default: one a core)')
    group.add_argument(
        '--thresholds',
        nargs=2,
        type=float,
        metavar=('HIGH', 'MEDIUM'),
        help='lowest scores that are called high and medium (default: 0.76 0.47)',
    )


def load_model(args: argparse.Namespace) -> MIQAModel:
    """Build the model that the options choose."""
    # PyTorch takes seconds to import; --help does not wait for it.
    from ..model import MIQAModel
    from ..quality import DEFAULT_THRESHOLDS

    return MIQAModel(
        args.model,
        task=args.task,
        label=args.label,
        weights=args.weights,
        device=args.device,
        precision=args.precision,
        batch_size=args.batch_size,
        workers=args.workers,
        thresholds=args.thresholds or DEFAULT_THRESHOLDS,
    )
