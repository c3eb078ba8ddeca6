"""``miqa image``: score images."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from .options import SOME_FAILED, add_model_options, load_model

_DESCRIPTION = """\
Score images: nominally 0 (useless to vision models) to 1 (as good as undistorted), not clipped.

Without --out the scores are printed. With --out they are written as .csv, .json, .jsonl or .parquet, and running the
same command again does only what is missing, new, changed or could not be read before.
"""
_EXAMPLES = """
Examples:
  miqa image a.jpg b.png --model demo
  miqa image shots/ --out scores.csv                      # with all folders below
  miqa image 'shots/**/*_night.JPG' --out night.parquet   # quoted pattern
  find . -name '*.png' | miqa image - --out scores.jsonl
  miqa image shots/ --annotated marked/ --heatmaps heat/
"""


def add_parser(subparsers) -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser(
        'image',
        help='score images',
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('paths', nargs='+', metavar='PATH', help='file, folder, quoted pattern, or - for stdin')
    parser.add_argument('--out', '-o', metavar='FILE', help='.csv, .json, .jsonl or .parquet')
    parser.add_argument('--overwrite', action='store_true', help='begin anew where --out exists')
    parser.add_argument('--json', action='store_true', help='print JSON Lines (without --out)')
    parser.add_argument('--annotated', metavar='DIR', help='also save each image with its score on a colour scale')
    parser.add_argument('--heatmaps', metavar='DIR', help='also save which parts help (blue) and hurt (red)')
    parser.add_argument('--heatmap-method', choices=('occlusion', 'rollout'), default='occlusion')
    parser.add_argument('--quiet', '-q', action='store_true', help='no progress bar and no summary')
    add_model_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Score the images; returns the exit status."""
    from tqdm import tqdm

    from ..files import find_images
    from ..gate import check_target
    from ..results import ResultFile
    from ..summary import Summary

    images: Iterator[str] | list[str] = find_images(args.paths)
    if '-' not in args.paths:
        images = list(images)
    for folder in filter(None, (args.annotated, args.heatmaps)):
        for path in args.paths:
            if Path(path).is_dir():
                check_target(Path(path), Path(folder))
    model = load_model(args)
    results = ResultFile(args.out, model.identity, args.overwrite) if args.out else None
    pictures = _Pictures(model, args)
    summary = Summary()
    total = len(images) if isinstance(images, list) else None
    with tqdm(total=total, unit='image', disable=True if args.quiet else None) as bar:

        def pending() -> Iterator[str]:
            for image in images:
                if results is not None and results.has(image) and pictures.made(image):
                    summary.skipped += 1
                    bar.update()
                else:
                    yield image

        def after_batch(count: int) -> None:
            bar.update(count)
            if results is not None:
                results.flush()

        try:
            for found in model.assess_all(pending(), after_batch):
                if found.error is None:
                    summary.add(found.score, found.quality)
                    pictures.make(found)
                else:
                    summary.fail(found.name, found.error)
                if results is not None:
                    results.add(found.name, found.score, found.quality, found.error)
                elif args.json:
                    print(_json_line(found))
                elif found.error is None:
                    print(f'{found.score:.4f}  {found.quality:<6}  {found.name}')
        except BaseException:
            if results is not None:
                results.close()
            raise
    if results is not None:
        results.finish()
    if not args.quiet:
        print(summary.text(), file=sys.stderr)
        if args.out:
            print(f'Saved {args.out}.', file=sys.stderr)
    elif summary.failed:
        print(f'{summary.failed} files could not be read.', file=sys.stderr)
    return SOME_FAILED if summary.failed else 0


def _json_line(found) -> str:
    error = None if found.error is None else str(found.error)
    return json.dumps({'image': found.name, 'score': found.score, 'quality': found.quality, 'error': error})


class _Pictures:
    """The pictures that --annotated and --heatmaps ask for."""

    def __init__(self, model, args: argparse.Namespace):
        self._model, self._method = model, args.heatmap_method
        self._annotated, self._heatmaps = args.annotated, args.heatmaps

    def made(self, image: str) -> bool:
        """Tell whether an image's pictures are there."""
        return all(_output(folder, image).is_file() for folder in (self._annotated, self._heatmaps) if folder)

    def make(self, found) -> None:
        """Save an image's pictures."""
        from miqa.utils import read_image

        from ..annotate import annotated

        if self._annotated:
            _save(annotated(read_image(found.name), found.score, found.quality), _output(self._annotated, found.name))
        if self._heatmaps:
            overlay = self._model.assess(found.name, heatmap=self._method).overlay()
            _save(overlay, _output(self._heatmaps, found.name))


def _output(folder: str, image: str) -> Path:
    """Name a picture made from ``image``: its path from here (or from the root) below ``folder``, with .png added."""
    path = Path(image).absolute()
    here = Path.cwd()
    below = path.relative_to(here) if path.is_relative_to(here) else path.relative_to(path.anchor)
    below = Path(*(part for part in below.parts if part != '..'))
    return Path(folder) / below.with_name(f'{below.name}.png')


def _save(picture, path: Path) -> None:
    from miqa.utils import atomic_write

    with atomic_write(path) as temporary:
        picture.save(temporary)
