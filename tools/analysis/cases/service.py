"""Load-test the scoring endpoint: start it on this computer, ask it over several connections, compare the scores.

Prints requests per second, the median and the 95th percentile of their latency, how many pictures shared a pass, and
the largest difference from what MIQAModel.assess gives. Exits with 1 where an answer is lost or a score differs.

Examples:
  python tools/analysis/benchmark.py service --model demo
  python tools/analysis/benchmark.py service --weights best.pth --requests 1000 --connections 16 --out service.json
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from miqa.apis.command_options import add_model_options, load_model
from miqa.outside.regular_files import PICTURE_BYTES, read_regular
from miqa.pictures.finding import find_images

from .timing import Times, made_files

TOLERANCE = 1e-4  # Scores of a batch may differ from those of single pictures by rounding
_PICTURES = 16


def ask(port: int, pictures: list[bytes], numbers: range) -> list[tuple[int, int, float | None, float]]:
    """Send requests one after another over one connection: (picture, status, score, seconds) of each."""
    connection = http.client.HTTPConnection('127.0.0.1', port, timeout=300)
    answers = []
    for number in numbers:
        which = number % len(pictures)
        start = time.perf_counter()
        connection.request('POST', '/score', pictures[which], {'Content-Type': 'image/jpeg'})
        response = connection.getresponse()
        body = json.loads(response.read())
        score = body['results'][0]['score'] if response.status == 200 else None
        answers.append((which, response.status, score, time.perf_counter() - start))
    connection.close()
    return answers


def load_test(model, pictures: list[bytes], requests: int, connections: int) -> dict:
    """Serve ``model``, a ``MIQAModel``, on a free port of this computer and send pictures, in turns, over connections.

    Returns:
        ``requests``, ``answered``, ``seconds``, ``requests_per_second``, ``p50_ms``, ``p95_ms``, ``max_ms``,
        ``pictures_per_pass``, ``largest_difference`` from ``model.assess``.
    """
    from miqa.serving.application import build_app
    from miqa.serving.listening import listen_on, make_server
    from miqa.serving.metrics import Metrics

    expected = model.assess(pictures)
    metrics = Metrics()
    listening = listen_on('127.0.0.1', 0)
    server = make_server(build_app(model, metrics=metrics))
    thread = threading.Thread(target=server.run, kwargs={'sockets': [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = listening.getsockname()[1]
    shares = np.array_split(np.arange(requests), connections)
    try:
        start = time.perf_counter()
        with ThreadPoolExecutor(connections) as pool:
            jobs = [pool.submit(ask, port, pictures, range(share[0], share[-1] + 1)) for share in shares if len(share)]
            answers = [answer for job in jobs for answer in job.result()]
        seconds = time.perf_counter() - start
    finally:
        server.should_exit = True
        thread.join()
        listening.close()
    latencies = Times([answer[3] for answer in answers])
    good = [(which, score) for which, status, score, _ in answers if status == 200]
    value = metrics.registry.get_sample_value
    return {
        'requests': requests,
        'answered': len(good),
        'seconds': seconds,
        'requests_per_second': len(good) / seconds,
        **latencies.percentiles(50, 95),
        'max_ms': 1000 * max(latencies.elapsed),
        'pictures_per_pass': value('miqa_batch_pictures_sum') / max(1, value('miqa_batch_pictures_count')),
        'largest_difference': max((abs(score - expected[which]) for which, score in good), default=float('inf')),
    }


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this case."""
    parser.add_argument('--requests', type=int, default=200, help='default: 200')
    parser.add_argument('--connections', type=int, default=8, help='default: 8')
    parser.add_argument('--images', help='folder of pictures to send (default: pictures that are made)')
    parser.add_argument('--size', type=int, nargs=2, default=(1280, 960), metavar=('WIDTH', 'HEIGHT'))
    add_model_options(parser)


def run(args: argparse.Namespace) -> Iterator[tuple[str, list[dict]]]:
    """Load-test a model; exit with 1 where an answer is lost or a score differs."""
    if args.requests < 1 or args.connections < 1:
        raise ValueError('--requests and --connections must be at least 1.')
    model = load_model(args)
    with tempfile.TemporaryDirectory() as folder:
        if args.images:
            paths = list(itertools.islice(find_images([args.images]), _PICTURES))
        else:
            paths = made_files(Path(folder), _PICTURES, *args.size)
        pictures = [read_regular(path, PICTURE_BYTES, kind='image file') for path in paths]
    figures = load_test(model, pictures, args.requests, args.connections)
    rows = [{'figure': name.replace('_', ' '), 'value': value} for name, value in figures.items()]
    yield f'{args.requests} requests over {args.connections} connections, {model.device}', rows
    if figures['answered'] < args.requests or figures['largest_difference'] > TOLERANCE:
        sys.exit(1)
