#!/usr/bin/env python
"""Fetch MIQD-2.5M from the Hugging Face Hub into the layout that training reads, part by part.

Sizes, as its authors state them: classification about 458 GB, detection about 480 GB (its images serve instance
segmentation, too), labels of instance segmentation 227 MB. What is to be fetched and the free disk are said first. A
stopped run goes on with the same command: finished parts are not fetched again, a part in the middle goes on where it
stopped. Archives are deleted once they are laid out. Nothing that is there is overwritten.
"""

import shutil
import sys
from pathlib import Path

from miqa.datasets.hub_files import KINDS, REPOSITORY, HuggingFaceHub, choose_parts, get_part, sort_files
from miqa.running.command_line import SAME_AGAIN, ToolParser, run_command
from miqa.taxonomy import TASKS

EPILOG = """\
examples:
  python tools/data/download_miqd.py data/miqd --task det --labels-only
  python tools/data/download_miqd.py data/miqd --task det --images
  python tools/data/download_miqd.py data/miqd --task cls det ins --images --plan     # only say what and how much
"""


def main() -> None:
    """Parse the command line, plan, fetch, check."""
    parser = ToolParser(description=__doc__, epilog=EPILOG)
    parser.add_argument('data_root', type=Path, help='where the database goes, such as data/miqd')
    parser.add_argument('--task', nargs='+', choices=TASKS, default=TASKS, help='default: all')
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument('--labels-only', action='store_true', help='only label files (default)')
    choice.add_argument('--images', action='store_true', help='label files and distorted images')
    parser.add_argument('--sources', action='store_true', help='the clean sources, too (training does not need them)')
    parser.add_argument('--plan', action='store_true', help='only say what would be fetched')
    parser.add_argument('--keep-archives', action='store_true', help='do not delete archives that are laid out')
    parser.add_argument('--repository', default=REPOSITORY, help=f'default: {REPOSITORY}')
    parser.add_argument('--revision', help='branch, tag or commit of the repository')
    parser.add_argument('--no-verify', action='store_true', help='do not check the database at the end')
    args = parser.parse_args()
    kinds = [kind for kind, selected in zip(KINDS, (True, args.images, args.sources), strict=True) if selected]
    hub = HuggingFaceHub(args.repository, args.revision)
    parts, strange = sort_files(hub.files())
    chosen = choose_parts(parts, strange, args.task, kinds)
    total = sum(part.size for part in chosen)
    existing = next(folder for folder in (args.data_root, *args.data_root.absolute().parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    for part in chosen:
        print(f'{part.size / 1e9:10.3f} GB  {part.task} {part.kind}: {part.name}')
    print(f'{total / 1e9:10.3f} GB  in all; {free / 1e9:.1f} GB are free at {existing}.')
    if args.plan:
        return
    # Each archive lies beside its content until it is laid out.
    needed = total + max(part.size for part in chosen)
    if needed > free:
        raise OSError(
            f'About {needed / 1e9:.1f} GB are needed at {args.data_root}, {free / 1e9:.1f} GB are free. Choose another '
            'disk, or fewer tasks with --task.'
        )
    for part in chosen:
        new, skipped = get_part(hub, part, args.data_root, args.data_root / '.download', args.keep_archives)
        print(f'{part.name}: {new} new files.')
        if skipped:
            print(f'  {len(skipped)} members have no place in the layout and are skipped, such as {skipped[0]!r}.')
    if args.no_verify:
        return
    from verify import verify

    well = verify(args.data_root, args.task)
    print('Next, the official splits: python tools/data/download_splits.py ' + str(args.data_root))
    sys.exit(not well)


if __name__ == '__main__':
    run_command(main, SAME_AGAIN)
