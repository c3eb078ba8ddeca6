#!/usr/bin/env python
"""Score the images of a folder, with all folders below, and copy, link or list the good ones.

Nothing is ever deleted, moved or overwritten. Images that cannot be read are never among the good ones.

Examples:
  python tools/demo/filter_images.py shots/ --keep 0.8 --to good/ --model demo     # copy the best four fifths
  python tools/demo/filter_images.py shots/ --threshold 0.5 --to good/ --mode link
  python tools/demo/filter_images.py shots/ --threshold 0.5 > good.txt             # only list them
"""

import sys

from miqa.cli.filter import add_arguments, run
from miqa.running.command_line import ToolParser, run_command


def main() -> None:
    """Filter as the command line says."""
    parser = ToolParser(description=__doc__)
    add_arguments(parser)
    if status := run(parser.parse_args()):
        sys.exit(status)


if __name__ == '__main__':
    run_command(main)
