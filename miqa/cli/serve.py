"""``miqa serve``: a page to try it in the browser."""

from __future__ import annotations

import argparse

from miqa.apis.command_options import add_model_options, load_model
from miqa.taxonomy import LABELS, TASKS

_DESCRIPTION = """\
Open a page in the browser: drop a picture or a video, choose task and label, see score, quality, heat map and curve,
compare pictures side by side. Needs Gradio: pip install 'miqa[serve]'.

The page works without internet and sends nothing anywhere. It listens on this computer only, unless --host says
otherwise; there is no password, so open it to a network only where you trust everybody.

With --api an HTTP endpoint for programs is opened in its place: POST /score and /video, GET /health, /metrics and
/openapi.json. Needs FastAPI: pip install 'miqa[api]'. Where it can be reached from elsewhere it asks for a bearer
token, which it takes from the environment variable MIQA_TOKEN or from --token-file.
"""
_EXAMPLES = """
Examples:
  miqa serve                                   # RA-MIQA; task and label are chosen on the page
  miqa serve --model demo                      # the quickstart's weights
  miqa serve --weights work_dirs/x/best.pth --port 8000
  miqa serve --api --model demo                # curl -F files=@photo.jpg http://127.0.0.1:8000/score
  MIQA_TOKEN=$(openssl rand -hex 32) miqa serve --api --host 0.0.0.0 --allow-url https://images.example.com/
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
    parser.add_argument('--port', type=int, help='default: 7860, with --api 8000')
    parser.add_argument(
        '--name', action='append', default=[], metavar='HOST',
        help='a further name that the server answers under, such as that of a proxy in front of it; may be repeated',
    )  # fmt: skip
    parser.add_argument('--open', action='store_true', help='open it in the browser at once')
    parser.add_argument('--max-upload', type=int, default=500, metavar='MB', help='largest file (default: 500)')
    parser.add_argument('--max-megapixels', type=float, default=100, metavar='N', help='largest picture (default: 100)')
    parser.add_argument('--max-minutes', type=float, default=60, metavar='N', help='longest video (default: 60)')
    _add_api_options(parser)
    add_model_options(parser)
    parser.set_defaults(run=run)


def _add_api_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('endpoint for programs')
    group.add_argument('--api', action='store_true', help='open it, and no page')
    group.add_argument('--token-file', metavar='FILE', help='file with the bearer token (default: $MIQA_TOKEN)')
    group.add_argument(
        '--allow-url', action='append', default=[], metavar='PREFIX',
        help='let requests name addresses that begin like this, such as https://images.example.com/; may be repeated',
    )  # fmt: skip
    group.add_argument(
        '--allow-private', action='store_true', help='names in --allow-url may lead into private networks'
    )


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted."""
    return _run_api(args) if args.api else _run_page(args)


def _run_api(args: argparse.Namespace) -> int:
    from miqa.running import require

    for module in ('fastapi', 'uvicorn', 'multipart', 'prometheus_client'):
        require(module, 'The scoring endpoint')  # says what to install before a model is loaded
    from miqa.outside.addresses import AllowedAddresses
    from miqa.serving.doorman import Hosts
    from miqa.serving.endpoint import build_api
    from miqa.serving.listening import serve_app
    from miqa.serving.settings import ServiceLimits, find_token

    token = find_token(args.host, args.token_file)
    limits = ServiceLimits(
        video_mb=args.max_upload, megapixels=args.max_megapixels, video_minutes=args.max_minutes,
        picture_mb=min(args.max_upload, ServiceLimits.picture_mb),
    )  # fmt: skip
    addresses = AllowedAddresses(args.allow_url, args.allow_private)
    hosts = Hosts(args.host, args.name)
    serve_app(
        lambda: build_api(
            load_model(args, keep_memory=False), hosts=hosts, token=token, limits=limits, addresses=addresses
        ),
        args.host, 8000 if args.port is None else args.port, 'The endpoint',
    )  # fmt: skip
    return 0


def _run_page(args: argparse.Namespace) -> int:
    from miqa.apis.methods import DEMOS, method_name
    from miqa.apis.zoo.loading import name_and_weights
    from miqa.serving.desk import Limits
    from miqa.serving.gradio_import import import_gradio
    from miqa.serving.serve import serve

    import_gradio()  # says what to install before a model is loaded
    limits = Limits(upload_mb=args.max_upload, megapixels=args.max_megapixels, video_minutes=args.max_minutes)
    options = dict(
        limits=limits,
        host=args.host,
        port=7860 if args.port is None else args.port,
        names=args.name,
        open_browser=args.open,
    )
    name, weights = name_and_weights(args.model, args.weights)
    if weights is not None or (name is not None and method_name(name) in DEMOS):
        # One file, one task and label: there is nothing to choose.
        model = load_model(args, keep_memory=False)
        spec = model.spec
        tasks, labels = (spec.task or TASKS[0],), (spec.label or LABELS[0],)
        serve(lambda task, label: model, tasks=tasks, labels=labels, model_text=f'Model: {model.identity}', **options)
    else:
        serve(
            lambda task, label: load_model(
                argparse.Namespace(**{**vars(args), 'task': task, 'label': label}), keep_memory=False
            ),
            tasks=_first(args.task, TASKS), labels=_first(args.label, LABELS),
            model_text=f'Model: {args.model or "ra-miqa"}', **options,
        )  # fmt: skip
    return 0


def _first(chosen: str | None, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(names, key=lambda name: name != chosen))
