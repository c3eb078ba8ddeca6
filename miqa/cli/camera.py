"""``miqa camera``: score a live camera or stream."""

from __future__ import annotations

import argparse
import csv
import sys
from contextlib import ExitStack
from pathlib import Path

from miqa.apis.command_options import add_model_options, check_model_options, load_model
from miqa.apis.scoring import DAMAGE_COLUMNS, ScoredImage
from miqa.keeping.files import try_writing

DESCRIPTION = """\
Score a camera, a network stream or a file as it plays, always the newest frame: what comes while the model is busy
is dropped and counted, so the score never lags behind the picture.

Where there is a screen a window shows the picture, the score and the curve of the last half minute (q closes it);
else the scores are printed. A summary with latency and dropped frames comes at the end.
"""
EXAMPLES = """
Examples:
  miqa camera                                          # camera 0
  miqa camera 1 --alert-below 0.4                             # say when quality falls below 0.4
  miqa camera rtsp://10.0.0.2/live --no-window --log scores.csv
  miqa camera drive.mp4 --every-frame --no-window             # a file, each frame of it
"""
_COLUMNS = ('index', 'seconds', 'score', 'smoothed', 'latency', 'captured', 'dropped', 'alert', 'passed')
_EXTREMES = (('mean', 'mean'), ('lowest', 'min'), ('highest', 'max'))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser."""
    parser.add_argument('source', nargs='?', default='0', help='camera number, URL (rtsp://...) or file (default: 0)')
    parser.add_argument('--alert-below', type=float, metavar='SCORE', help='alert when the smoothed score is lower')
    parser.add_argument('--gate', metavar='GATE', help='report for each frame whether it passes this gate')
    parser.add_argument(
        '--smoothing', type=int, default=5, metavar='N', help='frames to average for alerts (default: 5)'
    )
    parser.add_argument('--every-frame', action='store_true', help='score every frame, even if slower than the camera')
    parser.add_argument('--max-frames', type=int, metavar='N', help='stop after N scored frames')
    parser.add_argument(
        '--stall', type=float, default=10.0, metavar='SECONDS', help='timeout for a silent source (default: 10)'
    )
    parser.add_argument(
        '--reconnect', type=float, default=60.0, metavar='SECONDS',
        help='how long to reconnect to a broken network stream (default: 60)',
    )  # fmt: skip
    parser.add_argument('--log', metavar='CSV', help='write every score into this new file')
    parser.add_argument('--no-window', action='store_true', help='print scores, even where there is a screen')
    parser.add_argument('--quiet', '-q', action='store_true', help='print only alerts and the summary')
    add_model_options(parser)


def run(args: argparse.Namespace) -> int:
    """Follow the source; returns the exit status."""
    if not args.source.isdecimal() and '://' not in args.source and not Path(args.source).exists():
        raise FileNotFoundError(f'There is no video file {args.source}; a camera is named by its number.')
    from miqa.apis.live.camera import CameraLost
    from miqa.apis.live.realtime import RealTimeIQA
    from miqa.apis.live.window import why_no_window

    from .gated import open_gate

    if args.log and Path(args.log).exists():
        raise FileExistsError(f'{args.log} exists already; name another file for --log.')
    check_model_options(args)
    if args.log:
        try_writing(args.log)
    gate, open_own = open_gate(args)
    model = load_model(args) if open_own is None else open_own()
    live = RealTimeIQA(model=model, alert_below=args.alert_below, smoothing=args.smoothing, gate=gate)
    no_window = None if args.no_window else why_no_window()
    if no_window:
        print(f'No window is opened. {no_window}', file=sys.stderr)
    printing = (args.no_window or no_window) and not args.quiet
    with ExitStack() as stack:
        log = None
        if args.log:
            stream = stack.enter_context(open(args.log, 'x', newline='', encoding='utf-8'))
            log = _Log(stream, getattr(live.model, 'can_diagnose', False))

        def on_result(result) -> None:
            if log is not None:
                log.add(result)
            if printing:
                damage = '' if result.damage is None else f'  damage: {result.damage}'
                mark = ('  ALERT' if result.alert else '') + ('  stopped' if result.passed is False else '')
                print(
                    f'{result.seconds:8.2f} s  frame {result.index:>6}  {result.score:.4f}  '
                    f'{1000 * result.latency:5.0f} ms late{damage}{mark}',
                    flush=True,
                )

        try:
            summary = live.run(
                args.source, display='none' if args.no_window or no_window else 'window', every_frame=args.every_frame,
                max_frames=args.max_frames, on_result=on_result, stall_seconds=args.stall,
                reconnect_seconds=args.reconnect,
            )  # fmt: skip
        except CameraLost as error:
            if error.summary and error.summary['frames_scored']:
                print(_text(error.summary), file=sys.stderr)
            raise
    print(_text(summary), file=sys.stderr)
    return 0


class _Log:
    """A CSV file to which each score is written at once."""

    def __init__(self, stream, with_damage: bool):
        columns = (*_COLUMNS, *DAMAGE_COLUMNS) if with_damage else _COLUMNS
        self._stream, self._writer = stream, csv.DictWriter(stream, columns, extrasaction='ignore')
        self._writer.writeheader()

    def add(self, result) -> None:
        self._writer.writerow({**vars(result), **ScoredImage(result.score, result.damage).columns()})
        self._stream.flush()


def _text(summary: dict) -> str:
    if not summary['frames_scored']:
        return f'No frame was scored. {summary["ended"]}'
    speed = f'{summary["seconds"]:.1f} s ({summary["frames_per_second"]:.1f} per second)'
    frames = f'{summary["frames_scored"]} of {summary["frames_captured"]} frames scored in {speed}'
    scores = ', '.join(f'{word} {summary[f"{key}_score"]:.4f}' for word, key in _EXTREMES)
    passed = '' if summary['frames_passed'] is None else f', the gate passed {summary["frames_passed"]} frames'
    late = {name: f'{1000 * seconds:.0f} ms' for name, seconds in summary['latency'].items()}
    breaks = f' The stream broke {summary["breaks"]} times.' if summary['breaks'] else ''
    return (
        f'{summary["ended"]}{breaks} {frames}, {summary["frames_dropped"]} dropped.\n'
        f'Score: {scores}; {summary["alerts"]} alerts{passed}.\n'
        f'Latency: median {late["p50"]}, 95% below {late["p95"]}, longest {late["max"]}.'
    )
