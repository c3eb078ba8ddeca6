"""``miqa video``: score videos over time."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from .options import SOME_FAILED, add_model_options, load_model

_DESCRIPTION = """\
Score videos frame by frame: the mean, the curve over time, and the worst segments.

Without --out a line per video is printed. With --out each video gets a report: NAME.json with everything, two CSV
tables (scored frames, seconds) and plots. Running the same command again does only what is missing or has changed.
"""
_EXAMPLES = """
Examples:
  miqa video drive.mp4                                     # 30 frames, equally far apart
  miqa video clips/ --out reports/ --sampling fps --fps 2  # a folder, with all folders below; two frames a second
  miqa video drive.mp4 --annotate marked/                  # the footage with score and growing curve, with sound
  miqa video drive.mp4 --sampling keyframes --json         # needs PyAV: pip install 'miqa[video]'
"""


def add_parser(subparsers) -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser(
        'video',
        help='score videos',
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('paths', nargs='+', metavar='PATH', help='video file or folder')
    parser.add_argument('--out', '-o', metavar='DIR', help='folder for reports')
    parser.add_argument(
        '--plots', nargs='*', choices=('frames', 'seconds', 'both'), default=['frames', 'seconds', 'both']
    )
    parser.add_argument('--annotate', metavar='DIR', help='also write each video with a side panel into this folder')
    parser.add_argument('--json', action='store_true', help='print the whole result as JSON Lines')
    parser.add_argument('--overwrite', action='store_true', help='write reports and annotated videos anew')
    parser.add_argument('--quiet', '-q', action='store_true', help='no progress bars')
    group = parser.add_argument_group('which frames are scored')
    group.add_argument('--sampling', choices=('uniform', 'fps', 'every', 'keyframes'), default='uniform')
    group.add_argument('--frames', type=int, default=30, metavar='N', help='uniform: how many (default: 30)')
    group.add_argument('--fps', type=float, default=2.0, metavar='RATE', help='fps: frames per second (default: 2)')
    group.add_argument('--every', type=int, default=1, metavar='N', help='every: each N-th frame (default: 1)')
    group.add_argument('--backend', choices=('opencv', 'pyav'), default='opencv', help='what reads (default: opencv)')
    group.add_argument('--assume-fps', type=float, metavar='RATE', help='frame rate to believe instead of the file')
    group.add_argument(
        '--segment', type=float, default=2.0, metavar='SECONDS', help='length of worst segments (default: 2)'
    )
    add_model_options(parser)
    # Frames are large: a batch of 32 frames of a 4K video would fill 800 MB.
    parser.set_defaults(run=run, batch_size=8)


def run(args: argparse.Namespace) -> int:
    """Score the videos; returns the exit status."""
    from ..video import VideoMIQA

    videos = find_videos(args.paths)
    scorer = VideoMIQA(
        model=load_model(args), batch_size=args.batch_size, sampling=args.sampling, num_frames=args.frames,
        sample_fps=args.fps, every=args.every, backend=args.backend,
    )  # fmt: skip
    failed = 0
    for video in videos:
        try:
            _assess(video, scorer, args)
        except (ValueError, OSError) as error:
            failed += 1
            print(f'Error: {error}', file=sys.stderr)
    if failed:
        print(f'{failed} of {len(videos)} videos could not be scored or written.', file=sys.stderr)
    return SOME_FAILED if failed else 0


def find_videos(paths: list[str]) -> list[Path]:
    """Return the videos that are meant: files as they are, folders with all that is below them.

    Raises:
        FileNotFoundError: a folder has no videos. (A file that is missing is reported with the others.)
        ValueError: two videos have the same file name, so that their reports would be one.
    """
    from ..video_reading import VIDEO_SUFFIXES

    found: list[Path] = []
    for path in map(Path, paths):
        if not path.is_dir():
            found.append(path)
            continue
        below = sorted(file for file in path.rglob('*') if file.suffix.lower() in VIDEO_SUFFIXES and file.is_file())
        below = [file for file in below if not file.name.startswith('.')]
        if not below:
            raise FileNotFoundError(
                f'There are no videos in the folder {path} or below it ({", ".join(VIDEO_SUFFIXES)}).'
            )
        found += below
    found = list(dict.fromkeys(found))
    names: dict[str, Path] = {}
    for path in found:
        if names.setdefault(path.name, path) != path:
            raise ValueError(
                f'{names[path.name]} and {path} have the same name, and their reports would have, too. Score them with '
                'separate commands and folders.'
            )
    return found


def _assess(video: Path, scorer, args: argparse.Namespace) -> None:
    from ..video_report import report_paths, write_report

    marked = Path(args.annotate, f'{video.stem}_quality.mp4') if args.annotate else None
    report = report_paths(video.name, args.out, args.plots)['json'] if args.out else None
    result = None if args.overwrite or report is None else _earlier(report, video, scorer, args)
    known = result is not None
    if not known:
        if report is not None and report.exists() and not args.overwrite:
            raise FileExistsError(
                f'{report} is of another model, of other settings, or of an earlier {video.name}. Name another '
                'folder, or replace it with --overwrite.'
            )
        result = scorer.assess_video(
            video, assume_fps=args.assume_fps, segment_seconds=args.segment, progress=not args.quiet
        )  # fmt: skip
        result['asked'] = _asked(video, scorer, args)
        if report is not None:
            write_report(result, args.out, kinds=args.plots, overwrite=args.overwrite)
    if marked is not None and (args.overwrite or not marked.exists()):
        written = scorer.annotate_video(
            video, marked, result=result, overwrite=args.overwrite, progress=not args.quiet
        )  # fmt: skip
        print(f'Saved {written}.', file=sys.stderr)
    if args.json:
        print(json.dumps(result, allow_nan=False))
    else:
        worst = result['worst_segments'][0]
        print(
            f'{result["mean_score"]:.4f}  {result["quality"]:<6}  {video}  '
            f'(worst {worst["mean_score"]:.4f} at {worst["start"]:.1f} s, {result["num_frames_analyzed"]} frames'
            f'{", scored before" if known else ""}{"" if result["complete"] else ", ends early"})'
        )


def _asked(video: Path, scorer, args: argparse.Namespace) -> dict:
    """Everything that decides what the result is: equal values, equal result."""
    stat = video.stat()
    return {
        'file_size': stat.st_size,
        'file_modified_ns': stat.st_mtime_ns,
        'identity': getattr(scorer.model, 'identity', None),
        'thresholds': list(getattr(scorer.model, 'thresholds', ())),
        'sampling': [args.sampling, args.frames, args.fps, args.every],
        'backend': args.backend,
        'assume_fps': args.assume_fps,
        'segment': args.segment,
        'plots': sorted(args.plots),
    }


def _earlier(report: Path, video: Path, scorer, args: argparse.Namespace) -> dict | None:
    """Return the result of an earlier run of the same command on the same file, if there is one."""
    if not report.is_file() or not video.is_file():
        return None
    try:
        result = json.loads(report.read_text(encoding='utf-8'))
    except (ValueError, UnicodeDecodeError):
        return None
    return result if isinstance(result, dict) and result.get('asked') == _asked(video, scorer, args) else None
