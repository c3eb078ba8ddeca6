"""``miqa export``: export a model."""

from __future__ import annotations

import argparse
from pathlib import Path

from miqa.apis.command_options import add_model_options, check_model_options, load_model
from miqa.apis.exports.formats import FORMATS, files_of
from miqa.keeping.files import try_writing
from miqa.outside.names import printable
from miqa.taxonomy import check_choice

DESCRIPTION = """\
Write a model as ONNX (.onnx), OpenVINO (.xml and .bin) or torch.export (.pt2) file, and check that it gives the same
scores: to 1e-4, with --int8 to 0.06 on the pictures of --calibrate.

The file takes uint8 RGB pixels (batch, 3, size, size) with any batch size; normalisation is inside. Use an .onnx or
.xml with `miqa image ... --model model.onnx`, which needs no PyTorch, or with its own runtime anywhere: what must be
done to pictures first is in the file's metadata. 8-bit numbers for .onnx come from ONNX Runtime, for .xml from NNCF
(pip install nncf, in an environment of its own where numpy is older than 2.3; there name the exported .xml as --model).

A file that ends in .pth.tar gets the weights of one of the six published networks as the paper's authors store theirs,
so that their scripts can test and use them; `--model FILE` here reads it, too.
"""
EXAMPLES = """
Examples:
  miqa export demo.onnx --model demo
  miqa export demo.xml --model demo
  miqa export small.onnx --model demo --int8 --calibrate shots/
  miqa export mine.pt2 --model work_dirs/ra_miqa_det_composite/best.pth
  miqa export miqa_ra_miqa_det_composite_metric.pth.tar --model work_dirs/ra_miqa_det_composite/best.pth
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser."""
    parser.add_argument('out', metavar='FILE', help=f'{", ".join(FORMATS)} or .pth.tar')
    parser.add_argument('--overwrite', action='store_true', help='replace an existing file')
    parser.add_argument('--int8', action='store_true', help='8-bit weights and activations (.onnx, .xml)')
    parser.add_argument('--calibrate', metavar='DIR', help='--int8: folder of images such as the model will see')
    parser.add_argument('--tolerance', type=float, metavar='T', help='largest difference of scores that is accepted')
    add_model_options(parser)


def run(args: argparse.Namespace) -> int:
    """Export."""
    if not args.overwrite and (existing := [file for file in files_of(Path(args.out)) if file.exists()]):
        raise FileExistsError(f'{existing[0]} exists. Name another file, or replace it with --overwrite.')
    if args.calibrate and not args.int8:
        raise ValueError('--calibrate is for --int8.')
    if not args.out.lower().endswith('.pth.tar'):
        check_choice(Path(args.out).suffix.lower(), FORMATS, 'export suffix')
    check_model_options(args)
    try_writing(args.out)
    # What is exported is what the file holds, whatever this machine would compute in.
    model = load_model(argparse.Namespace(**{**vars(args), 'precision': args.precision or 'fp32'}))
    path, difference = model.export_and_compare(
        args.out, int8=args.int8, calibrate=args.calibrate, tolerance=args.tolerance
    )
    saved = f'Saved {printable(str(path))} ({sum(file.stat().st_size for file in files_of(path)) / 1e6:.1f} MB)'
    if path.name.lower().endswith('.pth.tar'):
        print(f"{saved}: {model.spec.method} in the authors' format, as it was.")
        return 0
    size = model.spec.view_size
    print(f'{saved}: pixels uint8 (batch, 3, {size}, {size}) RGB -> score, within {difference:.1g} of PyTorch.')
    return 0
