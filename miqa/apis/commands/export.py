"""``miqa export``: a model for use elsewhere."""

from __future__ import annotations

import argparse

from .options import add_model_options, load_model

_DESCRIPTION = """\
Write a model as ONNX (.onnx) or torch.export (.pt2) file, and check that it gives the same scores to 1e-4.

The file takes uint8 RGB pixels (batch, 3, size, size) with any batch size; normalisation is inside. Use an ONNX file
with `miqa image ... --weights model.onnx`, or with ONNX Runtime anywhere: what must be done to pictures first is in the
file's metadata.
"""
_EXAMPLES = """
Examples:
  miqa export demo.onnx --model demo
  miqa export mine.pt2 --weights work_dirs/ra_miqa_det_composite/best.pth
"""


def add_parser(subparsers) -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser(
        'export',
        help='export a model',
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('out', metavar='FILE', help='.onnx or .pt2')
    parser.add_argument('--overwrite', action='store_true', help='replace an existing file')
    add_model_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Export."""
    from pathlib import Path

    if Path(args.out).exists() and not args.overwrite:
        raise FileExistsError(f'{args.out} exists. Name another file, or replace it with --overwrite.')
    model = load_model(args)
    path = model.export(args.out)
    size = model.spec.view_size
    print(f'Saved {path} ({path.stat().st_size / 1e6:.1f} MB): pixels uint8 (batch, 3, {size}, {size}) RGB -> score.')
    return 0
