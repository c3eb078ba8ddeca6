"""``miqa image``: score images."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from miqa.apis.command_options import (
    SOME_FAILED,
    add_model_options,
    add_reading_options,
    check_model_options,
    check_named,
    load_model,
)
from miqa.keeping.files import try_folder
from miqa.outside.names import printable, write_name
from miqa.outside.remote_files import RemoteFiles, add_download_option
from miqa.running import command_line
from miqa.running.parallel import parse_shard
from miqa.taxonomy import counted

DESCRIPTION = """\
Score images: nominally 0 (useless to vision models) to 1 (as good as undistorted), not clipped.

Without --out the scores are printed. With --out they are written as .csv, .json, .jsonl or .parquet, and running the
same command again does only what is missing, new, changed or could not be read before.
"""
EXAMPLES = """
Examples:
  miqa image a.jpg b.png
  miqa image shots/ --out scores.csv                          # with all folders below
  miqa image 'shots/**/*_night.JPG' --out night.parquet       # quoted pattern
  find . -name '*.png' | miqa image - --out scores.jsonl
  miqa image shots/ --report page.html                    # worst first, with thumbnails; one file, opens offline
  miqa image shots/ --annotated marked/ --heatmaps heat/
  miqa image - --shard 3/16 --out part3.parquet < list.txt    # one of sixteen processes; see docs/scale.md
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser."""
    parser.add_argument(
        'paths', nargs='+', metavar='PATH', help='file, folder, quoted pattern, http(s) address, or - for stdin'
    )
    parser.add_argument('--out', '-o', metavar='FILE', help='.csv, .json, .jsonl or .parquet')
    parser.add_argument('--overwrite', action='store_true', help='start over if --out exists')
    parser.add_argument('--force', action='store_true', help='start over even if --out is not a results file')
    parser.add_argument(
        '--shard', type=command_line.sentence(parse_shard), default=(1, 1), metavar='I/N',
        help='only the I-th of N parts of the images (as many processes or computers may do the others)',
    )  # fmt: skip
    parser.add_argument('--json', action='store_true', help='print JSON Lines (without --out)')
    parser.add_argument(
        '--report', metavar='FILE', help='also write a page (.html): worst first, distribution, what could not be read'
    )
    parser.add_argument('--annotated', metavar='DIR', help='also save each image with its score on a colour scale')
    parser.add_argument('--heatmaps', metavar='DIR', help='also save heat maps: help (blue), hurt (red)')
    parser.add_argument('--heatmap-method', choices=('occlusion', 'rollout'), default='occlusion')
    parser.add_argument('--quiet', '-q', action='store_true', help='no progress bar and no summary')
    add_download_option(parser, 200)
    add_reading_options(parser)
    add_model_options(parser)


def run(args: argparse.Namespace) -> int:
    """Score the images; returns the exit status."""
    from tqdm import tqdm

    from miqa.apis.drawings.drawn_pictures import DrawnPictures
    from miqa.apis.results import RESULT_SUFFIXES, ResultFile, try_out
    from miqa.apis.video.containers import VIDEO_SUFFIXES
    from miqa.outside.walking import check_target
    from miqa.pictures.finding import Others, SkippedFiles, find_images
    from miqa.reports.score_summary import Summary

    skipped = SkippedFiles()
    images: Iterator[str] | list[str] = find_images(
        args.paths, skipped=skipped, others=Others(VIDEO_SUFFIXES, 'videos', 'video')
    )
    number, count = args.shard
    images = itertools.islice(images, number - 1, None, count)
    if '-' not in args.paths:
        images = list(images)
    for folder in filter(None, (args.annotated, args.heatmaps)):
        for path in args.paths:
            if Path(path).is_dir():
                check_target(Path(path), Path(folder), images if isinstance(images, list) else ())
    last = args.paths[-1]
    if not args.out and Path(last).suffix.lower() in RESULT_SUFFIXES and not os.path.lexists(last):
        raise ValueError(f'There is no image file {last}. To write scores to it, name it with --out {last}.')
    check_named(args.paths, 'image', images)
    check_model_options(args)
    if args.report:
        from miqa.reports.score_page import try_page

        try_page(args.report)
    if args.out:
        try_out(args.out)
    for folder in filter(None, (args.annotated, args.heatmaps)):
        try_folder(folder)
    model = load_model(args)
    results = ResultFile(args.out, model.identity, args.overwrite, args.force) if args.out else None
    pictures = DrawnPictures(model, args.annotated, args.heatmaps, args.heatmap_method)
    summary = Summary()
    report = None
    if args.report:
        from miqa.reports.scored_pictures import ScoredPictures

        report = ScoredPictures(args.report, model.identity, model.prepare.value_range)
    total = len(images) if isinstance(images, list) else None
    with (
        RemoteFiles(args.max_download, seconds=60) as remote,
        tqdm(total=total, unit='image', disable=True if args.quiet else None) as bar,
    ):

        def pending() -> Iterator[str | os.PathLike]:
            for image in images:
                address = remote.given(image)
                if results is not None and results.has(str(address)) and pictures.made(str(address)):
                    summary.skipped += 1
                    bar.update()
                else:
                    yield address

        def after_batch(count: int) -> None:
            bar.update(count)
            if results is not None:
                results.flush()

        try:
            for assessment in model.assess_all(pending(), after_batch):
                if assessment.score is not None and assessment.quality is not None:
                    summary.add(assessment.score, assessment.quality)
                    if report is not None:
                        report.add(
                            assessment.name,
                            assessment.score,
                            assessment.quality,
                            str(assessment.extra.get('damage') or ''),
                        )
                    # A picture that cannot be written is its image's error; the score stays.
                    assessment = assessment._replace(error=pictures.make(assessment, remote.path(assessment.name)))
                if assessment.error is not None:
                    summary.fail(assessment.name, assessment.error, assessment.score is not None)
                remote.done(assessment.name)
                if results is not None:
                    extra = {name: assessment.extra.get(name) for name in model.extra_columns}
                    results.add(assessment.name, assessment.score, assessment.quality, assessment.error, **extra)
                elif args.json:
                    print(_json_line(assessment))
                elif assessment.score is not None:
                    damage = '' if assessment.damage is None else f'  damage: {assessment.damage}'
                    name = write_name(assessment.name, sys.stdout.encoding)
                    print(f'{assessment.score:.4f}  {assessment.quality:<6}  {name}{damage}')
        except BaseException:
            if results is not None:
                results.close()
            raise
    if results is not None:
        results.finish()
    if report is not None:
        report.write(summary, skipped.lines())
        if not args.quiet:
            print(f'Saved {printable(args.report)}.', file=sys.stderr)
    if not args.quiet:
        for folder in filter(None, (args.annotated, args.heatmaps)):
            print(f'Saved pictures in {printable(folder)}.', file=sys.stderr)
        if text := summary.text():
            print(text, file=sys.stderr)
        if args.out:
            print(f'Saved {printable(args.out)}.', file=sys.stderr)
    elif summary.failed:
        for _, error in summary.errors:
            print(f'Failed: {error}', file=sys.stderr)
        failed = counted(summary.failed, 'file')
        print(f'{failed} could not be read or drawn.', file=sys.stderr)
    for sentence in skipped.lines():
        print(f'Skipped: {sentence}', file=sys.stderr)
    return SOME_FAILED if summary.failed or skipped.count else 0


def _json_line(assessment) -> str:
    error = None if assessment.error is None else printable(str(assessment.error))
    row = {
        'image': write_name(assessment.name),
        'score': assessment.score,
        'quality': assessment.quality,
        'error': error,
    }
    return json.dumps(row if assessment.damage is None else {**row, 'damage': str(assessment.damage)})
