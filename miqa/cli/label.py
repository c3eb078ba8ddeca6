"""``miqa label``: from a folder of pictures and a machine to a labelled database."""

from __future__ import annotations

import argparse

from miqa.apis.command_options import SOME_FAILED, add_source_options, check_sources, label_job
from miqa.taxonomy import counted

#: Labels whose standard deviation is below are equal but for rounding.
_EQUAL = 1e-9

DESCRIPTION = """\
Make a labelled database: distort the pictures, run the machines on every version, turn their outputs into
labels, divide the sources into train and val, and check the result. Stopped at any moment, the same command goes on.
"""
EXAMPLES = """
Examples:
  # what will it cost? Measured on two pictures, nothing is made
  miqa label shots/ --out data/mine --task det --machine fasterrcnn_resnet50_fpn_v2 --annotations shots.json --plan

  # a detector of torchvision; annotations are COCO JSON, YOLO, Pascal VOC, LabelMe, CVAT or a CSV of boxes
  miqa label shots/ --out data/mine --task det --machine fasterrcnn_resnet50_fpn_v2 --annotations shots.json

  # no annotations: labels of consistency alone. Fewer versions: four distortions, the same everywhere in the picture
  miqa label shots/ --out data/mine --task cls --machine resnet50 --patterns uniform \\
      --distortions darkness motion_blur defocus_blur jpeg_compression

  # twelve versions of each picture, as `miqa gate make` has them, of both families of distortions
  miqa label shots/ --out data/mine --task cls --machine resnet50 --distortions miqd camera --versions 12

  # what cameras do to pictures, in place of the ten distortions of MIQD-2.5M
  miqa label shots/ --out data/mine --task cls --machine resnet50 --distortions camera --patterns uniform

  # your own detector: how it is used is found out from the file and the annotated pictures, and said
  miqa label shots/ --out data/mine --task det --machine net.onnx --annotations shots.json

  # your own model: a YOLO's .pt, a folder of transformers, or a config (docs/your_own_models.md)
  miqa label shots/ --out data/mine --task det --machine best.pt --annotations labels/ --classes car bus

  # footage as it is: pairs of a clean and a degraded picture, or single pictures with annotations
  miqa label shots/ --out data/mine --task det --machine best.pt --pairs pairs.csv
  miqa label shots/ --out data/mine --task det --machine best.pt --annotations shots.json --unpaired

  # two computers that share a disk: each its shard, and at the end once without --shard
  miqa label shots/ --out data/mine --task det --machine best.pt --annotations shots.json --shard 1/2

Then: miqa train ra_miqa_det --data-root data/mine
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser."""
    from miqa.running.command_line import sentence, share
    from miqa.running.parallel import BACKENDS, parse_shard
    from miqa.taxonomy import DATABASE_TASKS, DISTORTION_WORDS, MEASURES, REGION_PATTERNS

    add_source_options(parser)
    parser.add_argument('--out', required=True, metavar='DATA', help='the database, new or unfinished')
    parser.add_argument('--task', required=True, choices=DATABASE_TASKS)
    parser.add_argument('--write-config', metavar='FILE', help='write how the .onnx is used, as a config (.py)')
    parser.add_argument(
        '--ignore-index', type=int, choices=(255,), metavar='255',
        help='seg: pixels of this value in the maps do not count (asked for where 255 may be a class)',
    )  # fmt: skip
    parser.add_argument(
        '--distortions', nargs='+', default=['miqd'], choices=DISTORTION_WORDS, metavar='NAME',
        help='names, or families: miqd (ten, the default), extra (five more), camera (what cameras do), all',
    )  # fmt: skip
    some = parser.add_mutually_exclusive_group()
    some.add_argument(
        '--patterns', nargs='+', default=list(REGION_PATTERNS), choices=REGION_PATTERNS,
        help='uniform (5 versions of each distortion), bg_stronger (10), fg_stronger (10); default: all',
    )  # fmt: skip
    some.add_argument(
        '--versions', type=int, metavar='N',
        help='so many of each picture, a balanced part of kinds and levels (default: all)',
    )  # fmt: skip
    parser.add_argument(
        '--measures', nargs='+', default=['none'], choices=(*MEASURES, 'none'),
        help='quality tables of human vision, which take two to four times as long as the pictures (default: none)',
    )  # fmt: skip
    parser.add_argument('--consistency', choices=('top1', 'soft'), default='top1', help='cls (default: top1)')
    parser.add_argument(
        '--confidence', type=float, default=0.3,
        help='det, ins: detections on the clean picture with at least this score are the reference (default: 0.3)',
    )  # fmt: skip
    parser.add_argument('--seed', type=int, default=1234567, help='of distortions and splits (default: 1234567)')
    parser.add_argument(
        '--val-share', type=sentence(share), default=0.2, help='share of the sources for val (default: 0.2)'
    )
    parser.add_argument('--shard', type=sentence(parse_shard), default=(1, 1), metavar='I/N', help='do part I of N')
    parser.add_argument('--backend', choices=BACKENDS, default='loky', help='loky: here; ray, dask: a cluster')


def run(args: argparse.Namespace) -> int:
    """Make the database; returns 1 where the check at the end finds problems, 3 where something was skipped."""
    _check_paths(args)
    from miqa.labelling import ScoreOptions
    from miqa.labelling.label_job import make_database, make_plan
    from miqa.splits.enough import few_sources
    from miqa.taxonomy import LEVEL_PAIRS, region_pattern

    job = label_job(
        args,
        args.out,
        args.out,
        args.write_config,
        ignored=args.ignore_index,
        versions_each=args.versions,
        level_pairs=[pair for pair in LEVEL_PAIRS if region_pattern(*pair) in args.patterns],
        measures=() if 'none' in args.measures else args.measures,
        options=ScoreOptions(args.consistency, args.confidence),
        val_share=args.val_share,
        shard=args.shard,
        backend=args.backend,
    )
    if args.plan:
        print(make_plan(job))
        return 0
    database = make_database(job, progress=not args.quiet)
    for note in filter(None, (*database.notes, few_sources(database.splits, job.images))):
        print(note)
    for sentence in database.skipped.lines():
        print(f'Skipped: {sentence}')
    if database.manifest is None:
        print(
            f'Shard {args.shard[0]} of {args.shard[1]} is done. When all are, run the same command without --shard: it '
            f'makes the labels.'
        )
        return SOME_FAILED if database.skipped.count else 0
    return _report(args, database)


def _check_paths(args: argparse.Namespace) -> None:
    """Check what is named, before machines are loaded: a wrong path or name is reported at once.

    Raises:
        FileNotFoundError, ValueError: it is not there.
        OSError: nothing can be written to the database.
    """
    from miqa.keeping.files import try_folder, try_writing
    from miqa.machines.library_names import check_machine_names

    check_sources(args.images, args.annotations, args.pairs)
    check_machine_names(args.machine, args.task)
    if not args.plan:
        try_folder(args.out)
    if args.write_config:
        try_writing(args.write_config)


def _report(args: argparse.Namespace, result) -> int:
    manifest = result.manifest
    print(
        f'{counted(manifest["images"], "labelled picture")}; {counted(manifest["sources"], "source")} in all, '
        f'{counted(len(manifest["machines"]), "machine")}'
    )
    for label, values in manifest['statistics'].items():
        if values:
            print(f'  {label:12s} mean {values["mean"]:.4f}, standard deviation {values["std"]:.4f}')
            if values['std'] < _EQUAL:
                print(f'  WARNING: {label} is the same for all pictures: no model can be trained on it.')
    if manifest['excluded_images']:
        reasons = '; '.join(sorted(set(filter(None, manifest['excluded'].values()))))
        print(f'  Without a label: {counted(manifest["excluded_images"], "picture")}: {reasons}')
    if result.splits:
        print('  ' + ', '.join(f'{split}: {counted(count, "source")}' for split, count in result.splits.items()))
    for problem in result.problems:
        print(f'PROBLEM: {problem}')
    label = '' if len(manifest['labels']) == 2 else f' --label {manifest["labels"][0]}'
    print(f'Train on it: miqa train ra_miqa_{args.task} --data-root {args.out}{label}')
    return 1 if result.problems else SOME_FAILED if result.skipped.count else 0
