"""``miqa video``: score videos over time."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from miqa.apis.command_options import SOME_FAILED, add_model_options, check_model_options, check_named, load_model
from miqa.apis.scoring import describe_scorer, scorer_line
from miqa.keeping import only_writer
from miqa.keeping.files import has_mark, mark_of_file, try_folder, write_json
from miqa.outside import read_regular_text
from miqa.outside.addresses import is_web_address
from miqa.outside.json_text import parse_json
from miqa.outside.names import fitting_name, place_of, printable, write_name
from miqa.outside.remote_files import RemoteFile, RemoteFiles, add_download_option
from miqa.pictures.finding import IMAGE_SUFFIXES, Others, SkippedFiles, find_files
from miqa.taxonomy import counted

if TYPE_CHECKING:
    from miqa.reports.scored_videos import ScoredVideos

DESCRIPTION = """\
Score videos frame by frame: the mean, the curve over time, and the worst segments.

Without --out a line per video is printed. With --out each video gets a report: NAME.json with everything, two CSV
tables (scored frames, seconds) and plots. Running the same command again does only what is missing or has changed.
--report writes one page about all of them.
"""
EXAMPLES = """
Examples:
  miqa video drive.mp4                                        # 30 frames, equally far apart
  miqa video clips/ --out reports/ --sampling fps --fps 2     # a folder; two frames a second
  miqa video clips/ --report page.html                     # worst first, with curve, thumbnails and kinds of damage
  miqa video drive.mp4 --annotate marked/                     # the footage with score and growing curve, with sound
  miqa video drive.mp4 --sampling keyframes --json            # needs PyAV: pip install 'miqa[video]'
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser."""
    parser.add_argument('paths', nargs='+', metavar='PATH', help='video file, folder, pattern, or http(s) address')
    parser.add_argument('--out', '-o', metavar='DIR', help='folder for reports')
    parser.add_argument(
        '--plots',
        nargs='*',
        choices=('frames', 'seconds', 'both'),
        default=['frames', 'seconds', 'both'],
        help='which plots --out gets (default: all)',
    )
    parser.add_argument('--annotate', metavar='DIR', help='also write each video with a side panel into this folder')
    parser.add_argument(
        '--report',
        metavar='FILE',
        help='also write a page (.html): curves, worst segments with thumbnails, kinds of damage, what was not read',
    )
    parser.add_argument('--json', action='store_true', help='print the whole result as JSON Lines')
    parser.add_argument('--overwrite', action='store_true', help='write reports and annotated videos anew')
    parser.add_argument('--quiet', '-q', action='store_true', help='no progress bars')
    add_download_option(parser, 8000)
    group = parser.add_argument_group('which frames are scored')
    group.add_argument(
        '--sampling', choices=('uniform', 'fps', 'every', 'keyframes'), default='uniform', help='default: uniform'
    )
    group.add_argument(
        '--num-frames',
        '--frames',
        dest='num_frames',
        type=int,
        default=30,
        metavar='N',
        help='uniform: how many (default: 30)',
    )
    group.add_argument('--fps', type=float, default=2.0, metavar='RATE', help='fps: frames per second (default: 2)')
    group.add_argument('--every', type=int, default=1, metavar='N', help='every: each N-th frame (default: 1)')
    group.add_argument('--assume-fps', type=float, metavar='RATE', help='frame rate to believe instead of the file')
    group.add_argument(
        '--segment', type=float, default=2.0, metavar='SECONDS', help='length of worst segments (default: 2)'
    )
    add_model_options(parser)
    # Frames are large: a batch of 32 frames of a 4K video would fill 800 MB.
    parser.set_defaults(batch_size=8)


def run(args: argparse.Namespace) -> int:
    """Score the videos; returns the exit status."""
    addresses = [path for path in args.paths if is_web_address(path)]
    skipped = SkippedFiles()
    local_videos = find_videos([path for path in args.paths if not is_web_address(path)], skipped)
    if args.out:
        check_report_names(local_videos)
    names = annotated_names(local_videos) if args.annotate else {}
    videos: list[Path | RemoteFile] = [*local_videos]
    check_named(args.paths, 'video', list(local_videos))
    check_model_options(args)
    # After the paths: these need packages that an installation for pictures alone lacks.
    from miqa.apis.video.assess import VideoMIQA
    from miqa.apis.video.writing import find_ffmpeg
    from miqa.reports.score_page import try_page
    from miqa.reports.scored_videos import ScoredVideos

    if args.report:
        try_page(args.report)
    for folder in filter(None, (args.out, args.annotate)):
        try_folder(folder)
    if args.annotate:
        find_ffmpeg()
    scorer = VideoMIQA(
        model=load_model(args), batch_size=args.batch_size, sampling=args.sampling, num_frames=args.num_frames,
        fps=args.fps, every=args.every,
    )  # fmt: skip
    report = ScoredVideos(args.report, scorer_line(describe_scorer(scorer.model))) if args.report else None
    failed = 0
    fetched_from: dict[str, str] = {}
    with RemoteFiles(args.max_download, seconds=3600) as remote:
        videos += [remote.given(address) for address in addresses]
        for video in videos:
            try:
                if isinstance(video, RemoteFile):
                    fetched = Path(video)
                    fetched_from[str(fetched)] = str(video)
                    if args.out:
                        check_report_names([*local_videos, fetched])
                    local_videos.append(fetched)
                    names = annotated_names([*names, fetched]) if args.annotate else {}
                    _assess(fetched, scorer, args, names.get(fetched, ''), report, address=str(video))
                else:
                    _assess(video, scorer, args, names.get(video, ''), report)
            except (ValueError, OSError) as error:
                failed += 1
                text = str(error)
                for path, address in fetched_from.items():
                    text = text.replace(path, address)
                print(f'Error: {printable(text)}', file=sys.stderr)
                if report is not None:
                    report.summary.fail(str(video), ValueError(text))
            finally:
                remote.done(str(video))
    if report is not None:
        report.write(skipped.lines())
    for output in filter(None, (args.out if failed < len(videos) else None, args.report)):
        if not args.quiet:
            print(f'Saved {printable(output)}.', file=sys.stderr)
    if failed:
        print(f'{failed} of {counted(len(videos), "video")} could not be scored or written.', file=sys.stderr)
    for sentence in skipped.lines():
        print(f'Skipped: {sentence}', file=sys.stderr)
    return SOME_FAILED if failed or skipped.count else 0


def find_videos(paths: list[str], skipped: SkippedFiles | None = None) -> list[Path]:
    """Return the videos to score, each once, as for :func:`miqa.pictures.finding.find_files`.

    Args:
        paths: files, folders and patterns.
        skipped: collects the folders that cannot be read, and those without videos. Without it the first is raised.

    Raises:
        FileNotFoundError: the only folder has no videos. (A file that is missing is reported with the others.)
    """
    from miqa.apis.video.reading import VIDEO_SUFFIXES

    others = Others(IMAGE_SUFFIXES, 'images', 'image')
    return [Path(path) for path in find_files(paths, VIDEO_SUFFIXES, 'videos', skipped=skipped, others=others)]


def check_report_names(videos: list[Path]) -> None:
    """Raise a ValueError where two videos have the same file name, so that their reports would be one."""
    _check_unique({path: path.name for path in videos}, 'reports')


def annotated_names(videos: list[Path]) -> dict[Path, str]:
    """Name the annotated videos: ``a_quality.mp4`` for ``a.avi``; the whole name stays where two videos share a stem.

    Raises:
        ValueError: two of them would still have one name.
    """
    stems = Counter(video.stem for video in videos)
    names = {video: video.stem if stems[video.stem] == 1 else video.name for video in videos}
    names = {video: fitting_name(name, '_quality.mp4') for video, name in names.items()}
    _check_unique(names, 'annotated videos')
    return names


def _check_unique(names: dict[Path, str], output: str) -> None:
    first: dict[str, Path] = {}
    for video, name in names.items():
        if first.setdefault(name, video) != video:
            raise ValueError(
                f'{printable(str(first[name]))} and {printable(str(video))} have the same name, as would their '
                f'{output}: score them with separate commands and folders.'
            )


def _assess(
    video: Path, scorer, args: argparse.Namespace, annotated_name: str, report: ScoredVideos | None,
    address: str | None = None,
) -> None:  # fmt: skip
    """Score and annotate a video, as the only process that does so with this one in these folders."""
    folders = {Path(folder).absolute() for folder in (args.out, args.annotate) if folder}
    part = fitting_name(write_name(video.name).replace(os.sep, '_'), longest=180)
    with contextlib.ExitStack() as locks:
        for folder in sorted(folders):
            locks.enter_context(only_writer(folder, 'name another folder', part=part))
        result = _assess_alone(video, scorer, args, annotated_name, address)
    if report is not None:
        _add_to_page(report, result, video, scorer, args, address)


def _add_to_page(
    report: ScoredVideos, result: dict, video: Path, scorer, args: argparse.Namespace, address: str | None
) -> None:
    frames = {}
    if report.shows(result['mean_score']):
        worst_frames = {segment['worst_frame'] for segment in result['worst_segments']}
        try:
            frames = scorer.read_frames(video, worst_frames, args.assume_fps)
        except (ValueError, OSError) as error:
            print(
                f'Warning: no thumbnails of {printable(address or str(video))}: {printable(str(error))}',
                file=sys.stderr,
            )
    report.add(result, frames, address or str(video))


def _assess_alone(
    video: Path, scorer, args: argparse.Namespace, annotated_name: str, address: str | None = None
) -> dict:
    from miqa.apis.video.report import report_paths, write_report

    marked = Path(args.annotate, annotated_name) if args.annotate else None
    report = report_paths(write_name(video.name), args.out, args.plots)['json'] if args.out else None
    earlier = None if args.overwrite or report is None else _earlier(report, video, scorer, args, address)
    if earlier is not None:
        result = earlier
    else:
        if report is not None and report.exists() and not args.overwrite:
            raise FileExistsError(
                f'{report} is of another model, of other settings, or of an earlier {video.name}. Name another '
                'folder, or replace it with --overwrite.'
            )
        result = scorer.assess_video(
            video, assume_fps=args.assume_fps, segment_seconds=args.segment, progress=not args.quiet
        )  # fmt: skip
        mark = _mark(video, address)
        result['asked'] = {**_report_settings(video, scorer, args, address), 'mark': mark}
        result['video_path'] = address or result['video_path']
        if report is not None:
            write_report(result, args.out, kinds=args.plots, overwrite=args.overwrite)
    if marked is not None:
        _annotate(video, marked, result, scorer, args, address)
    if args.json:
        print(json.dumps(result, allow_nan=False))
    else:
        worst = result['worst_segments'][0]
        damage = f'; damage: {worst["damage"]}' if worst.get('damage') else ''
        name = address or write_name(str(video), sys.stdout.encoding)
        # A report of 0.2 does not say how.
        shortfall = '' if result['complete'] else f', {result.get("shortfall") or "incomplete"}'
        print(
            f'{result["mean_score"]:.4f}  {result["quality"]:<6}  {name}  '
            f'({counted(result["num_frames_analyzed"], "frame")}{", scored before" if earlier else ""}{shortfall}; '
            f'worst {worst["mean_score"]:.4f} at {worst["start"]:.1f} s{damage})'
        )
    return result


def _annotate(video: Path, marked: Path, result: dict, scorer, args: argparse.Namespace, address: str | None) -> None:
    """Write the annotated video, and beside it, hidden, what it was made of; keep one of an earlier run of the same."""
    expected = _report_settings(video, scorer, args, address)
    about = marked.with_name(fitting_name(f'.{marked.name}', '.source.json'))
    earlier = _json_of(about)
    # Without a codec for it, another container was written.
    place = next((path for path in _containers(marked) if path.name == earlier.get('written')), marked)
    if place.exists() and not args.overwrite:
        if 'asked' in earlier and not _is_same(earlier['asked'], expected, video, address):
            raise FileExistsError(
                f'{place} is of another video, of an earlier {video.name}, or of another model or other settings. Name '
                'another folder, or replace it with --overwrite.'
            )
        unknown = '' if 'asked' in earlier else ' and does not say of which video it is'
        print(
            f'Kept {printable(str(place))}, which is there already{unknown}; --overwrite writes it anew.',
            file=sys.stderr,
        )
        return
    written = scorer.annotate_video(
        video, marked, result=result, overwrite=args.overwrite, progress=not args.quiet
    )  # fmt: skip
    write_json(about, {'asked': {**expected, 'mark': _mark(video, address)}, 'written': written.name})
    print(f'Saved {printable(str(written))}.', file=sys.stderr)


def _containers(path: Path) -> list[Path]:
    from miqa.apis.video.writing import OUTPUT_SUFFIXES

    return [path.with_suffix(suffix) for suffix in OUTPUT_SUFFIXES]


def _json_of(path: Path) -> dict:
    """Return the content of our file; empty if it is missing or damaged."""
    try:
        content = parse_json(read_regular_text(path, kind='report'), str(path))
    except (ValueError, OSError):
        return {}
    return content if isinstance(content, dict) else {}


def _report_settings(video: Path, scorer, args: argparse.Namespace, address: str | None) -> dict:
    """Everything but the file's content that decides what the result is: equal values, equal result."""
    return {
        # The file itself, not what was typed; what was fetched is known by its address.
        'file': address or write_name(place_of(str(video))),
        'identity': getattr(scorer.model, 'identity', None),
        'thresholds': list(getattr(scorer.model, 'thresholds', ())),
        'sampling': [args.sampling, args.num_frames, args.fps, args.every],
        'assume_fps': args.assume_fps,
        'segment': args.segment,
        'plots': sorted(args.plots),
    }


def _earlier(report: Path, video: Path, scorer, args: argparse.Namespace, address: str | None) -> dict | None:
    """Return the result of an earlier run of the same command on the same file, if there is one."""
    if not report.is_file() or not video.is_file():
        return None
    result = _json_of(report)
    if not isinstance(result.get('asked'), dict):
        return None
    return result if _is_same(result['asked'], _report_settings(video, scorer, args, address), video, address) else None


def _mark(video: Path, address: str | None) -> dict[str, int | None]:
    """Return what tells the content of the file; of a fetched one, which has the time of its fetching, its size."""
    return {'bytes': video.stat().st_size} if address else mark_of_file(video)


def _is_same(asked: dict, settings: dict, video: Path, address: str | None) -> bool:
    """Return True if an earlier result is of the same settings and the same file."""
    # Reports of version 0.2 have size and time (of a fetched video its address) beside the settings, and no file.
    asked = {'file': settings['file'], **asked}
    old = {'bytes': asked.pop('file_size', None), 'modified_ns': asked.pop('file_modified_ns', None)}
    mark = asked.pop('mark', old)
    if asked != settings or not isinstance(mark, dict):
        return False
    if address:
        return mark.get('bytes') == video.stat().st_size and mark.get('modified_ns', address) == address
    return has_mark(video, mark)
