"""``miqa serve``: one server with a page and an HTTP API."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from miqa.apis.command_options import add_model_options, load_model
from miqa.taxonomy import LABELS, TASKS

if TYPE_CHECKING:
    from miqa.serving.served_models import ServedModels

DESCRIPTION = """\
Serve scores over HTTP. For people there is a page: drop pictures, a folder or a video, compare two pictures, score the
webcam live. For programs: POST /score, /heatmap and /video, GET /info, /health, /metrics and /openapi.json; /docs
describes them. Needs FastAPI: pip install 'miqa[serve]'.

The server works without internet and sends nothing anywhere. It listens on this computer only, unless --host names
another address; then it needs a token, from the environment variable MIQA_TOKEN or from --token-file. Programs send it
as Authorization: Bearer TOKEN; the page asks for it once.
"""
EXAMPLES = """
Examples:
  miqa serve                                   # the page and the endpoint at http://127.0.0.1:8000
  miqa serve --api                             # the endpoint alone: curl -F files=@photo.jpg http://127.0.0.1:8000/score
  miqa serve --gate gate.json                  # results say whether they pass a gate of `miqa gate fit`
  miqa serve --gate mygate/                    # or one of `miqa gate make`, by its own model
  miqa serve --weights work_dirs/x/best.pth --port 8080
  MIQA_TOKEN=$(openssl rand -hex 32) miqa serve --host 0.0.0.0 --allow-url https://images.example.com/
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to a parser."""
    parser.add_argument('--host', default='127.0.0.1', help='default: 127.0.0.1, this computer only')
    parser.add_argument('--port', type=int, default=8000, help='default: 8000; 0 for any free one')
    parser.add_argument(
        '--name', action='append', default=[], metavar='HOST',
        help='a further name that the server answers under, such as that of a reverse proxy; may be repeated',
    )  # fmt: skip
    parser.add_argument('--api', action='store_true', help='leave out the page')
    parser.add_argument('--open', action='store_true', help='open the page in the browser')
    parser.add_argument('--token-file', metavar='FILE', help='file with the token (default: $MIQA_TOKEN)')
    parser.add_argument('--gate', metavar='GATE', help='also say whether each picture passes this gate')
    limits = parser.add_argument_group('limits of a request')
    limits.add_argument(
        '--max-upload',
        type=float,
        default=500,
        metavar='MB',
        help='largest file, and all files together (default: 500)',
    )
    limits.add_argument('--max-megapixels', type=float, default=100, metavar='N', help='largest picture (default: 100)')
    limits.add_argument('--max-minutes', type=float, default=60, metavar='N', help='longest video (default: 60)')
    limits.add_argument(
        '--allow-url', action='append', default=[], metavar='PREFIX',
        help='let requests name addresses that begin like this, such as https://images.example.com/; may be repeated',
    )  # fmt: skip
    limits.add_argument(
        '--allow-private', action='store_true', help='names in --allow-url may lead into private networks'
    )
    add_model_options(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted."""
    from miqa.running import require

    for module in ('fastapi', 'uvicorn', 'multipart', 'prometheus_client'):
        require(module, 'The server')  # says what to install before a model is loaded
    from miqa.outside.addresses import AllowedAddresses
    from miqa.serving.allowed_hosts import AllowedHosts
    from miqa.serving.application import build_app
    from miqa.serving.listening import serve_app
    from miqa.serving.served_models import ServedModels
    from miqa.serving.settings import Limits, find_token

    from .gated import open_gate

    token = find_token(args.host, args.token_file)
    limits = Limits(upload_mb=args.max_upload, megapixels=args.max_megapixels, video_minutes=args.max_minutes)
    addresses = AllowedAddresses(args.allow_url, args.allow_private)
    hosts = AllowedHosts(args.host, args.name)
    gate, open_own = open_gate(args)

    def build():
        # The folder of `miqa gate make` brings its own model.
        models = _models(args) if open_own is None else ServedModels.single(open_own())
        if gate is not None and open_own is None:
            gate.check_model(models.get().identity)
        return build_app(
            models, page=not args.api, gate=gate, hosts=hosts, token=token, limits=limits, addresses=addresses
        )  # fmt: skip

    def started(url: str) -> None:
        if args.open and not args.api:
            import webbrowser

            webbrowser.open(url)

    serve_app(build, args.host, args.port, 'The endpoint' if args.api else 'The page', on_start=started)
    return 0


def _models(args: argparse.Namespace) -> ServedModels:
    """Return the models that requests may choose from: several where a name of the zoo leaves task or label open."""
    from miqa.apis.methods import DEMOS, method_name
    from miqa.apis.zoo.loading import name_and_weights
    from miqa.serving.served_models import ServedModels

    name, weights = name_and_weights(args.model, args.weights)
    default = load_model(args, keep_memory=False)
    if args.gate or weights is not None or (name is not None and method_name(name) in DEMOS):
        return ServedModels.single(default)

    def load(task: str, label: str):
        if (task, label) == (default.spec.task, default.spec.label):
            return default
        return load_model(argparse.Namespace(**{**vars(args), 'task': task, 'label': label}), keep_memory=False)

    tasks, labels = _choices(default.spec.task, args.task, TASKS), _choices(default.spec.label, args.label, LABELS)
    return ServedModels(load, tasks, labels)


def _choices(default: str | None, chosen: str | None, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return what was chosen on the command line alone, else the default and the others."""
    return (chosen,) if chosen else tuple(sorted(names, key=lambda name: name != default))
