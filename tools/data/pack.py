#!/usr/bin/env python
"""Pack the pictures of a split: resize each once, and train and test from memory-mapped shards afterwards.

Decoding and resizing PNG files is most of what a loader does. A packed folder holds every picture of a split with its
short side at 288 pixels, losslessly coded (Zstandard on pixel differences, about 0.13 MB a picture; --encoding none:
0.33 MB, a little faster), in Arrow files of 4,096 pictures. Both views are cut out of it, so that training gets exactly
the pixels that it would see without.

Size and time are estimated on a few pictures before anything is written, and packing stops right there if the disk has
too little room. A killed run goes on with the same command. The folder is used with

  python tools/train.py CONFIG --cfg-options train_dataloader.dataset.packed=DIR

The folder packed for det serves ins too: the two have the same pictures.

Examples:
  python tools/data/pack.py data/miqd --task det --split train --out data/packed/det_train --dry-run
  python tools/data/pack.py data/miqd --task det --split train --out data/packed/det_train --workers 16
  python tools/data/pack.py data/miqd --task det --split train --out data/packed/det_train --check
"""

from pathlib import Path

from miqa.running.command_line import SAME_AGAIN, ToolParser, run_command
from miqa.running.cores import usable_cores
from miqa.taxonomy import DATABASE_TASKS, SPLITS


def main():
    """Parse the command line and pack, check or estimate."""
    parser = ToolParser(description=__doc__)
    parser.add_argument('data_root', type=Path, help='the database')
    parser.add_argument('--task', choices=DATABASE_TASKS, required=True)
    parser.add_argument('--split', choices=(*SPLITS, 'test'), required=True)
    parser.add_argument('--out', type=Path, required=True, help='folder of the shards: empty, or of a killed run')
    parser.add_argument('--short-side', type=int, default=288, help='pixels of the shorter side (default: 288)')
    parser.add_argument(
        '--interpolation', choices=('bilinear', 'bicubic'), default='bilinear', help='of the resize (default: bilinear)'
    )
    parser.add_argument('--encoding', choices=('zstd', 'none'), default='zstd', help='default: zstd')
    parser.add_argument('--images-per-shard', type=int, default=4096, help='a multiple of 64 (default: 4096)')
    parser.add_argument(
        '--jobs', '--workers', dest='workers', type=int, default=usable_cores(),
        help='processes (default: one for each core)',
    )  # fmt: skip
    parser.add_argument('--missing', choices=('error', 'skip'), default='error', help='images that are not there')
    parser.add_argument('--bad-images', choices=('error', 'skip'), default='error', help='images that cannot be read')
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument('--dry-run', action='store_true', help='only estimate size and time')
    choice.add_argument(
        '--check', action='store_true', help='compare shards with their checksums and with the originals'
    )
    args = parser.parse_args()
    from miqa.datasets.index_store import open_index
    from miqa.datasets.packed_check import check_packed
    from miqa.datasets.packing import Packing
    from miqa.layout import image_root

    if args.check:
        manifest = check_packed(args.out, image_root(args.data_root, args.task))
        print(f'All {manifest["images"]:,} packed pictures in {args.out} are whole and belong to their files.')
        return
    index = open_index(args.data_root, args.task, args.split, args.missing)
    packing = Packing(
        index, image_root(args.data_root, args.task), args.out, short_side=args.short_side,
        interpolation=args.interpolation, encoding=args.encoding, images_per_shard=args.images_per_shard,
        bad_images=args.bad_images,
    )  # fmt: skip
    print(f'{args.out}: {packing.estimate(args.workers)}', flush=True)
    if args.dry_run:
        return
    manifest = packing.run(args.workers)
    size = sum(shard['bytes'] for shard in manifest['shards'])
    print(
        f'{manifest["images"]:,} pictures in {len(manifest["shards"])} shards, {size / 1e9:.2f} GB, in {args.out}. '
        f'{manifest["unreadable"]} could not be read.'
    )


if __name__ == '__main__':
    run_command(main, SAME_AGAIN)
