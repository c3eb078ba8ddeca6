#!/usr/bin/env python
"""Build the demo database: photographs that Python packages ship, distorted and labelled, in MIQD's format.

Examples:
  pip install -c requirements.txt -e '.[demo]'      # the photographs and the three classifiers, about 90 MB
  python tools/data/make_demo.py                    # data/demo, a few minutes on two cores
  python tools/train.py configs/mini/cnn_cls.py     # what it is for

123 photographs (ai-benchmark, foolbox, scikit-image, scikit-learn) give 12 versions each; EfficientNet-Lite0, 1 and 2
answer to all of them, and their answers make the labels. A quarter of the photographs is held out for testing.
data/demo/origins.json lists where each photograph comes from and which class it was given.
Run it again after an interruption and it goes on.
"""

import argparse
from pathlib import Path

from miqa.datasets.demo_database import make_answers, make_labels, make_pictures
from miqa.machines import load_machine_configs
from miqa.utils.command_line import run_command

REPOSITORY = Path(__file__).resolve().parents[2]


def parse_arguments(arguments=None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', default='data/demo', help='data root to write to (default: %(default)s)')
    parser.add_argument(
        '--machines',
        default=str(REPOSITORY / 'configs/machines/cls_efficientnet_lite.py'),
        help='config of the classifiers (default: the three packaged ones)',
    )
    parser.add_argument('--distortions', type=int, default=4, help='distortions for each photograph (default: 4 of 10)')
    parser.add_argument('--jobs', type=int, default=-1, help='processes that make pictures (default: one per core)')
    return parser.parse_args(arguments)


def main() -> None:
    """Build the database."""
    args = parse_arguments()
    machines = load_machine_configs(args.machines)
    images = make_pictures(args.out, distortions=args.distortions, jobs=args.jobs)
    make_answers(args.out, machines)
    manifest = make_labels(args.out)
    print(f'{args.out}: {manifest["images"]} of {images} pictures of {manifest["sources"]} sources have labels.')


if __name__ == '__main__':
    run_command(main)
