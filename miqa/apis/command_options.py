"""Options that several sub-commands share."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from miqa.taxonomy import LABELS, TASKS

if TYPE_CHECKING:
    from .model import MIQAModel

#: Exit status when the work is done but some files could not be read.
SOME_FAILED = 3


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose a model and how it computes."""
    group = parser.add_argument_group('model')
    group.add_argument(
        '--model',
        '-m',
        metavar='NAME|FILE',
        help='a name (`miqa models`; default: ra-miqa), or a file: your best.pth, a released .pth.tar, an .onnx',
    )
    group.add_argument('--task', choices=TASKS, help='which vision task the scores speak of (default: cls)')
    group.add_argument('--label', choices=LABELS, help='what the scores predict (default: composite)')
    group.add_argument('--weights', '-w', metavar='FILE', help='as --model FILE; must agree with a --model NAME')
    group.add_argument('--device', help='cpu, cuda, cuda:1 (default: a GPU where there is one)')
    group.add_argument(
        '--precision',
        choices=('auto', 'fp32', 'bf16', 'fp16', 'int8'),
        help='default: auto, the fastest whose scores stay within 0.005',
    )
    group.add_argument(
        '--coverage',
        choices=('center', 'whole'),
        default='center',
        help='center: the central square, as in the paper; whole: overlapping squares over all of it (default: center)',
    )
    group.add_argument(
        '--batch-size', type=int, metavar='N', help='images at a time (default: 32 on a GPU, 8 on a CPU)'
    )
    group.add_argument('--workers', type=int, metavar='N', help='decoding threads (default: one a core)')
    group.add_argument(
        '--compile',
        nargs='?',
        const=True,
        default=False,
        metavar='MODE',
        help='torch.compile: a minute at the first batch, then faster; or its mode max-autotune, reduce-overhead',
    )
    group.add_argument(
        '--thresholds',
        nargs=2,
        type=float,
        metavar=('HIGH', 'MEDIUM'),
        help='lowest scores that are called high and medium (default: 0.76 0.47)',
    )


def add_reading_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how picture files are read."""
    group = parser.add_argument_group('reading')
    group.add_argument(
        '--decode',
        choices=('exact', 'fast'),
        default='exact',
        help='fast: JPEGs at a fraction of their size; several times as fast, scores differ slightly (default: exact)',
    )
    group.add_argument(
        '--value-range',
        type=_value_range,
        metavar='[BLACK,]WHITE',
        help='values of black and white in files with more than 8 bits, such as 4095 for 12 bits stored in 16',
    )


def _value_range(text: str) -> float | tuple[float, ...]:
    numbers = tuple(float(part) for part in text.split(','))
    return numbers[0] if len(numbers) == 1 else numbers


def load_model(args: argparse.Namespace, keep_memory: bool = True) -> MIQAModel:
    """Build the model that the options choose.

    Args:
        args: the options.
        keep_memory: let the process keep its highest use of memory, which is faster; not for servers, which run for
            weeks and whose memory should be that of their present request.
    """
    # PyTorch takes seconds to import; --help does not wait for it.
    from miqa.running.allocator import keep_freed_memory

    from .model import MIQAModel

    model = MIQAModel(
        args.model,
        task=args.task,
        label=args.label,
        weights=args.weights,
        device=args.device,
        precision=args.precision,
        batch_size=args.batch_size,
        workers=args.workers,
        compile=args.compile,
        coverage=args.coverage,
        thresholds=args.thresholds,
        decode=getattr(args, 'decode', 'exact'),
        value_range=getattr(args, 'value_range', None),
    )
    if keep_memory:
        keep_freed_memory()
    return model
