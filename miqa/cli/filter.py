"""``miqa filter``: select the good images of a folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from miqa.apis.command_options import (
    SOME_FAILED,
    add_model_options,
    add_reading_options,
    check_model_options,
    load_model,
)
from miqa.outside.addresses import address_in_path
from miqa.outside.names import place_of, printable, write_name
from miqa.taxonomy import counted

DESCRIPTION = """\
Score the images of a folder, with all folders below, and copy, link or list the good ones.

Nothing is ever deleted, moved or overwritten. Images that cannot be read are never among the good ones.
"""
EXAMPLES = """
Examples:
  miqa filter shots/ --keep 0.8 --to good/                    # copy the best four fifths
  miqa filter shots/ --threshold 0.5 --to good/ --mode link   # symbolic links
  miqa filter shots/ --gate gate.json --to good/              # a threshold with a promise, see `miqa gate --help`
  miqa filter shots/ --gate mygate/ --to good/                  # a gate of your own, see `miqa gate make --help`
  miqa filter shots/ --threshold 0.5 > good.txt               # only list them
  miqa filter shots/ --keep 0.8 --to good/ --scores scores.csv  # and keep the scores for the next run
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser."""
    parser.add_argument('folder', metavar='FOLDER', help='folder with images')
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument('--keep', type=float, metavar='SHARE', help='share of images to keep: the best, such as 0.8')
    which.add_argument(
        '--gate', metavar='GATE', help='keep what passes this gate, made by `miqa gate make` or `miqa gate fit`'
    )
    which.add_argument('--threshold', type=float, metavar='SCORE', help='keep images with at least this score')
    parser.add_argument('--to', metavar='DIR', help='new folder for the good images (default: print their paths)')
    parser.add_argument(
        '--machine', metavar='MACHINE', help='with your own gate: run this machine first and score its output, too'
    )
    parser.add_argument('--mode', choices=('copy', 'link', 'hardlink'), default='copy', help='default: copy')
    parser.add_argument('--scores', metavar='FILE', help='keep scores in this .csv, .json, .jsonl or .parquet file')
    parser.add_argument('--quiet', '-q', action='store_true', help='no progress bar and no summary')
    add_reading_options(parser)
    add_model_options(parser)


def run(args: argparse.Namespace) -> int:
    """Filter; returns the exit status."""
    from tqdm import tqdm

    from miqa.apis.gate import choose, deliver, try_delivery
    from miqa.apis.results import ResultFile, read_rows, row_place, try_out
    from miqa.outside.walking import check_target
    from miqa.pictures.finding import SkippedFiles, find_images

    if not Path(args.folder).is_dir():
        raise NotADirectoryError(f'{address_in_path(args.folder) or args.folder} is not a folder of images.')
    if args.to:
        check_target(Path(args.folder), Path(args.to))
    from .gated import open_gate

    gate, own = open_gate(args)
    threshold = gate.threshold if gate else args.threshold
    # A wrong share must not show after an hour of scoring.
    choose([0.0], args.keep, threshold)
    skipped = SkippedFiles()
    images = list(find_images([args.folder], skipped=skipped))
    if args.to:
        check_target(Path(args.folder), Path(args.to), images)
    check_model_options(args)
    if args.scores:
        try_out(args.scores)
    if args.to:
        try_delivery(images, args.to, args.mode)
    model = load_model(args) if own is None else own()
    if gate:
        gate.check_model(model.identity)
    scores: dict[str, float] = {}
    failed: list[Exception] = []
    results = ResultFile(args.scores, model.identity, again='delete it') if args.scores else None
    with tqdm(total=len(images), unit='image', disable=args.quiet or None) as bar:

        def pending() -> Iterator[str]:
            for image in images:
                if results is not None and results.has(image):
                    bar.update()
                else:
                    yield image

        for assessment in model.assess_all(pending(), bar.update):
            if assessment.score is not None:
                scores[assessment.name] = assessment.score
            elif assessment.error is not None:
                failed.append(assessment.error)
            if results is not None:
                results.add(assessment.name, assessment.score, assessment.quality, assessment.error, **assessment.extra)
    if results is not None:
        results.finish()
        image_of_place = {place_of(image): image for image in images}
        rows = ((row_place(row), row['score']) for row in read_rows(Path(args.scores)))
        cached = {image_of_place[place]: score for place, score in rows if place in image_of_place}
        scores = {image: score for image, score in cached.items() if score is not None}
    names = [image for image in images if image in scores]
    good = choose([scores[name] for name in names], args.keep, threshold)
    good_names = [name for name, is_good in zip(names, good, strict=True) if is_good]
    unwritten: list[Exception] = []
    if args.to:
        new = deliver(good_names, args.folder, args.to, args.mode, unwritten.append)
        words = f' in {args.to} ({new} new)'
        folder, kept = Path(args.folder).absolute(), set(good_names)
        others = [Path(args.to, Path(name).absolute().relative_to(folder)) for name in images if name not in kept]
        if earlier := sum(map(Path.exists, others)):
            words += f', which also holds {counted(earlier, "image")} of an earlier run that this one did not keep'
    else:
        for name in good_names:
            print(write_name(name))
        words = ''
    if not args.quiet:
        lowest = f'; lowest score {min(scores[name] for name in good_names):.4f}' if good_names else ''
        print(f'Kept {len(good_names)} of {counted(len(images), "image")}{words}{lowest}.', file=sys.stderr)
    for error in failed[:20]:
        print(f'Cannot read: {printable(str(error))}', file=sys.stderr)
    if failed:
        print(f'Skipped, as they could not be read: {counted(len(failed), "file")}.', file=sys.stderr)
    for error in unwritten[:20]:
        print(f'Not delivered: {printable(str(error))}', file=sys.stderr)
    if unwritten:
        print(f'{counted(len(unwritten), "good image")} did not reach {args.to}.', file=sys.stderr)
    for sentence in skipped.lines():
        print(f'Skipped: {sentence}', file=sys.stderr)
    return SOME_FAILED if failed or unwritten or skipped.count else 0
