#!/usr/bin/env python
"""Say what scoring many pictures will cost in hours, by scoring a sample of them here."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

from miqa.apis.command_options import add_model_options, add_reading_options, load_model
from miqa.pictures.finding import find_images
from miqa.running.allocator import keep_freed_memory
from miqa.running.command_line import ToolParser, run_command

EPILOG = """\
examples:
  python tools/analysis/plan_scoring.py /archive --model demo --pictures 10000000
  python tools/analysis/plan_scoring.py /archive --model ra-miqa --device cuda --sample 2000

The sample is spread evenly over the pictures that are found. Reading, decoding, resizing and the network are all in the
time; the first batch is not, because models are slow when they are new.
"""


def main() -> None:
    """Score the sample and multiply."""
    parser = ToolParser(description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('paths', nargs='+', metavar='PATH', help='files, folders, patterns')
    parser.add_argument('--pictures', type=int, help='how many there will be (default: as many as are found)')
    parser.add_argument('--sample', type=int, default=256, help='pictures to score now (default: 256)')
    add_reading_options(parser)
    add_model_options(parser)
    args = parser.parse_args()
    keep_freed_memory()
    paths = list(find_images(args.paths))
    count = args.pictures or len(paths)
    places = sorted({round(i * (len(paths) - 1) / max(1, args.sample - 1)) for i in range(args.sample)})
    sample = [paths[place] for place in places]
    model = load_model(args)
    list(model.assess_all(sample[: model.batch_size]))
    start = time.perf_counter()
    failed = sum(item.error is not None for item in model.assess_all(sample))
    seconds = (time.perf_counter() - start) / len(sample)
    size = sum(Path(path).stat().st_size for path in sample) / len(sample)
    print(f'{len(sample)} pictures of {size / 1e6:.2f} MB on average, {failed} unreadable: {1 / seconds:.1f} a second')
    print(f'on {model.device}, {os.cpu_count()} cores.')
    hours = seconds * count / 3600
    print(f'{count} pictures: {hours:.1f} hours of such a computer, {count * size / 1e12:.3f} TB to read.')
    for shards in (4, 16, 64):
        print(f'  --shard 1/{shards} ... {shards}/{shards}: {hours / shards:.1f} hours each')


if __name__ == '__main__':
    run_command(main)
