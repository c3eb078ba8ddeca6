"""``miqa serve``: a page to try it in the browser."""

from __future__ import annotations

import argparse

from miqa.taxonomy import LABELS, TASKS

from .options import add_model_options, load_model

_DESCRIPTION = """\
Open a page in the browser: drop a picture or a video, choose task and label, see score, quality, heat map and curve,
compare pictures side by side. Needs Gradio: pip install 'miqa[serve]'.

The page works without internet and sends nothing anywhere. It listens on this computer only, unless --host says
otherwise; there is no password, so open it to a network only where you trust everybody.
"""
_EXAMPLES = """
Examples:
  miqa serve                                   # RA-MIQA; task and label are chosen on the page
  miqa serve --model demo                      # the quickstart's weights
  miqa serve --weights work_dirs/x/best.pth --port 8000
"""


def add_parser(subparsers) -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser(
        'serve',
        help='open a page',
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        '--host', default='127.0.0.1', help='address to listen on (default: 127.0.0.1, this computer only)'
    )
    parser.add_argument('--port', type=int, default=7860, help='default: 7860')
    parser.add_argument('--open', action='store_true', help='open it in the browser at once')
    parser.add_argument('--max-upload', type=int, default=500, metavar='MB', help='largest file (default: 500)')
    parser.add_argument('--max-megapixels', type=float, default=100, metavar='N', help='largest picture (default: 100)')
    parser.add_argument('--max-minutes', type=float, default=60, metavar='N', help='longest video (default: 60)')
    add_model_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted."""
    from ..serve import import_gradio, serve
    from ..serve_desk import Limits

    import_gradio()  # says what to install before a model is loaded
    limits = Limits(upload_mb=args.max_upload, megapixels=args.max_megapixels, video_minutes=args.max_minutes)
    options = dict(limits=limits, host=args.host, port=args.port, open_browser=args.open)
    if args.weights or (args.model or '').lower() == 'demo':
        # One file, one task and label: there is nothing to choose.
        model = load_model(args)
        spec = model.spec
        tasks, labels = (spec.task or TASKS[0],), (spec.label or LABELS[0],)
        serve(lambda task, label: model, tasks=tasks, labels=labels, model_text=f'Model: {model.identity}', **options)
    else:
        serve(
            lambda task, label: load_model(argparse.Namespace(**{**vars(args), 'task': task, 'label': label})),
            tasks=_first(args.task, TASKS), labels=_first(args.label, LABELS),
            model_text=f'Model: {args.model or "ra-miqa"}', **options,
        )  # fmt: skip
    return 0


def _first(chosen: str | None, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(names, key=lambda name: name != chosen))
