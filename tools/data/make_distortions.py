#!/usr/bin/env python
"""Make the distorted pictures of a machine-centric quality database from a folder of photographs."""

import argparse
import sys
import time

from miqa.distortions.build import VERIFY, build_versions
from miqa.distortions.sources import list_images, plan_sources, read_names
from miqa.outside.walking import SkippedFiles
from miqa.running.allocator import keep_some_freed_memory
from miqa.running.command_line import SAME_AGAIN, ToolParser, process_count, run_command, sentence
from miqa.running.parallel import BACKENDS, parse_shard
from miqa.taxonomy import (
    DATABASE_TASKS,
    DEFAULT_MEASURES,
    DISTORTION_WORDS,
    LEVEL_PAIRS,
    MEASURES,
    REGION_PATTERNS,
    distortions_named,
    region_pattern,
)

EXAMPLES = """
what is written
  OUT/miqa_cls/src_images/{id}.JPEG      the sources, byte by byte (det: miqa_det/src_images/{id}.jpg)
  OUT/miqa_cls/images/{id}/*.png         250 versions per source: 10 distortions x 25 level pairs
  OUT/miqa_cls/masks/{id}_binary_mask.png
  OUT/miqa_cls/quality/{id}.csv          PSNR and SSIM of every version; others by --measures
  OUT/miqa_cls/manifests/                settings; per source the chosen parameters, their PSNR, sha256 of every file

examples
  # everything, on all cores; run it again after an interruption and it goes on
  python tools/data/make_distortions.py photos/ --out data/mine

  # COCO images with masks from their instances
  python tools/data/make_distortions.py coco/val2017 --out data/mine --task det \\
      --annotations coco/annotations/instances_val2017.json --jobs 8

  # one of four machines that share a disk; only two distortions, same strength everywhere, no quality tables
  python tools/data/make_distortions.py photos/ --out data/mine --shard 1/4 \\
      --distortions snow fog --patterns uniform --measures none

PSNR and SSIM take about twice as long as the pictures, all five (--measures PSNR SSIM MS-SSIM VIF-p VSI) four times.
`python tools/analysis/benchmark.py fidelity` measures it here.
"""


def parse_pair(text: str) -> tuple[int, int]:
    """Read 'foreground,background'."""
    try:
        pair = tuple(map(int, text.split(',')))
    except ValueError:
        pair = ()
    if pair not in LEVEL_PAIRS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a pair of levels 1 to 5, such as '1,4'.")
    return pair


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = ToolParser(description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('sources', help='folder of source pictures')
    parser.add_argument('--out', required=True, help='data root to write to')
    parser.add_argument(
        '--task', choices=DATABASE_TASKS, default='cls', help='layout and names (default: cls; ins = det)'
    )
    parser.add_argument('--list', help='only these: a text file of names, or a split CSV of MIQD')
    parser.add_argument('--annotations', help='COCO file; its instances become the masks')
    parser.add_argument('--masks', help='folder of masks, {id}_binary_mask.png or {id}.png')
    parser.add_argument(
        '--distortions', nargs='+', default=['miqd'], choices=DISTORTION_WORDS, metavar='NAME',
        help='names, or families: miqd (ten, the default), extra (five more), camera (what cameras do), all',
    )  # fmt: skip
    parser.add_argument(
        '--patterns', nargs='+', default=list(REGION_PATTERNS), choices=REGION_PATTERNS,
        help='uniform (5 versions), bg_stronger (10), fg_stronger (10); default: all',
    )  # fmt: skip
    parser.add_argument(
        '--pairs', nargs='+', type=parse_pair, metavar='FG,BG', help='exactly these pairs of levels, such as 1,1 1,4'
    )
    parser.add_argument(
        '--measures', nargs='+', default=list(DEFAULT_MEASURES), choices=(*MEASURES, 'none'),
        help=f'columns of the quality tables, or none (default: {" ".join(DEFAULT_MEASURES)})',
    )  # fmt: skip
    parser.add_argument('--seed', type=int, default=1234567, help='of all random numbers (default: 1234567)')
    parser.add_argument(
        '--shard', type=sentence(parse_shard), default=(1, 1), metavar='I/N', help='do only the I-th of N parts'
    )
    parser.add_argument('--jobs', '--workers', type=process_count, default=-1, help='processes (default: one per core)')
    parser.add_argument('--backend', choices=BACKENDS, default='loky', help='loky: here; ray, dask: a cluster')
    parser.add_argument('--verify', choices=VERIFY, default='size', help='check of existing files (size)')
    return parser


def main() -> int:
    """Run the tool; 0 if every source was made, 1 if some could not be read, 3 if entries were skipped."""
    parser = build_parser()
    args = parser.parse_args()
    keep_some_freed_memory()
    pairs = args.pairs or [pair for pair in LEVEL_PAIRS if region_pattern(*pair) in args.patterns]
    measures = [] if 'none' in args.measures else args.measures
    started = time.monotonic()
    skipped = SkippedFiles()
    try:
        paths = list_images(args.sources, read_names(args.list) if args.list else None, skipped)
        sources = plan_sources(paths, args.task, args.annotations, args.masks)
        report = build_versions(
            sources, args.out, args.task, seed=args.seed, distortions=distortions_named(args.distortions), pairs=pairs,
            measures=measures, shard=args.shard, jobs=args.jobs, backend=args.backend, verify=args.verify,
        )  # fmt: skip
    except (ValueError, KeyError, FileNotFoundError, ImportError) as error:
        parser.error(error.args[0] if isinstance(error, KeyError) else str(error))
    elapsed = time.monotonic() - started
    print(
        f'{report.made} sources made, {report.kept} kept, {len(report.bad)} bad; '
        f'{report.files} files; {report.bytes / 1e6:.1f} MB written in {elapsed:.0f} s'
    )
    if report.made:
        megapixels = report.pixels / 1e6
        print(f'{elapsed / report.made:.2f} s per source ({elapsed / megapixels:.2f} s per source megapixel)')
    for image_id, reason in report.bad:
        print(f'bad source {image_id}: {reason}', file=sys.stderr)
    for line in skipped.lines():
        print(f'Skipped: {line}', file=sys.stderr)
    return 1 if report.bad else 3 if skipped.count else 0


if __name__ == '__main__':
    run_command(main, SAME_AGAIN)
