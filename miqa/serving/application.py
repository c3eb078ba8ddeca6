"""The server: ``POST /score``, ``/heatmap`` and ``/video``, ``GET /info``, ``/health``, ``/metrics``, and the page."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import logging
import secrets
import shutil
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from miqa import __version__
from miqa.apis.model import MIQAModel
from miqa.outside.addresses import AllowedAddresses

from .allowed_hosts import AllowedHosts, AnyHost
from .batching import Batcher, TooBusy
from .bodies import Item, check_query, read_items, request_body
from .metrics import CLIENT_WENT_AWAY, Measured, Metrics
from .page import read_page
from .request_guard import BodyRefused, RequestGuard, Timeouts
from .scoring import SlowWork, has_heatmap, score_item
from .served_models import ServedModels
from .settings import FILE_PATHS, Limits, Refused

if TYPE_CHECKING:
    from miqa.apis.gate_threshold import Gate

logger = logging.getLogger(__name__)

PATHS = (*FILE_PATHS, '/info', '/health', '/metrics', '/openapi.json', '/docs', '/')  # Everything that is answered
# They need no token: probes carry none, and the page asks for it. They say nothing but that the server answers.
_OPEN_PATHS = ('/health', '/docs', '/')
_SPARE_BYTES = 100_000_000  # Free space that uploads leave on the disk, in bytes
_TASK = Query(None, description='cls, det or ins; default: that of the server, see /info')
_DIAGNOSE = Query(False, description='also say what is wrong with each picture, by a model that can, see /info')
_LABEL = Query(None, description='composite, consistency or accuracy; default: that of the server, see /info')


class Damage(BaseModel):
    """What is wrong with a picture: ``text`` in words, and as in :class:`miqa.apis.diagnosis.Diagnosis`.

    ``kind`` is ``none`` where nothing is wrong, ``unknown`` where the model would guess; ``strength`` is 0 to 5.
    """

    text: str
    kind: str
    strength: float
    place: str
    probability: float
    likeliest: str


class Score(BaseModel):
    """One picture: its score (nominally 0 to 1, higher is better), or why it has none; ``damage`` on request."""

    name: str
    score: float | None = None
    quality: str | None = None
    passed: bool | None = None
    damage: Damage | None = None
    error: str | None = None


class Scores(BaseModel):
    """The pictures of a request, in its order: files first, then addresses."""

    model: str
    failed: int
    results: list[Score]


class Map(BaseModel):
    """A picture's score, and where it comes from.

    ``values`` (rows, columns) cover ``box``, the part of the picture that the model takes: left, top, right, bottom as
    shares of its width and height. Positive values hurt the score, negative ones help, in units of the score.
    """

    name: str
    model: str
    score: float
    quality: str
    passed: bool | None = None
    method: str
    box: tuple[float, float, float, float]
    values: list[list[float]]


class Info(BaseModel):
    """What this server does: its models, its limits, its gate."""

    version: str
    model: str
    task: str
    label: str
    tasks: list[str]
    labels: list[str]
    thresholds: dict[str, float]
    gate: dict[str, Any] | None = None
    heatmap: bool
    diagnosis: bool
    limits: dict[str, float]


def build_app(
    models: ServedModels | MIQAModel,
    *,
    page: bool = False,
    gate: Gate | None = None,
    hosts: AllowedHosts | None = None,
    token: str | None = None,
    limits: Limits | None = None,
    addresses: AllowedAddresses | None = None,
    metrics: Metrics | None = None,
    timeouts: Timeouts | None = None,
) -> Callable:
    """Build the server's application.

    Args:
        models: what scores the pictures.
        page: answer ``/`` with the page for people; without it, with a list of paths.
        gate: a threshold on the score; results say whether they pass.
        hosts: the names of the server; not checked where there is a token.
        token: what requests must carry as ``Authorization: Bearer TOKEN``; None for nothing.
        limits: for one request.
        addresses: the addresses that a request may name; none without it.
        metrics: where to count.
        timeouts: time limits for the body of a request.

    Returns:
        An ASGI application.
    """
    limits, metrics = limits or Limits(), metrics or Metrics()
    addresses = addresses or AllowedAddresses([])
    models = models if isinstance(models, ServedModels) else ServedModels.single(models)
    # Invalid forms are answered; in the log they would let anybody fill pages.
    logging.getLogger('python_multipart').setLevel(logging.ERROR)
    batcher = Batcher(models.get().batch_size, on_batch=metrics.batch.observe)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI):
        yield
        await anyio.to_thread.run_sync(batcher.close)

    app = FastAPI(
        title='MIQA', version=__version__, summary='How well will vision models do on this picture?', lifespan=lifespan,
        dependencies=[Depends(check_query)],
        docs_url=None, redoc_url=None,  # their scripts come from other hosts
    )  # fmt: skip
    _add_scoring(app, models, gate, batcher, limits, addresses, metrics)
    _add_reading(app, models, gate, limits, metrics, page)
    _add_errors(app, metrics)

    def refuse(scope: dict, length: int | None) -> tuple[int, str] | None:
        path = scope['path']
        if token is not None and path not in _OPEN_PATHS and not _carries(scope, token):
            return 401, 'This server needs a token: Authorization: Bearer TOKEN.'
        if path not in PATHS and path.rstrip('/') not in PATHS:
            return 404, f'There is no such path here. This server answers {", ".join(PATHS)}.'
        if metrics.now > limits.requests and path not in _OPEN_PATHS:
            return 503, 'The server is busy. Try again in a moment.'
        if length and path in FILE_PATHS and length <= limits.upload_bytes and not _has_room_for(length):
            return 507, 'The disk of the server has no room for this upload. Try again later.'
        return None

    names = AnyHost() if token is not None else hosts or AllowedHosts('127.0.0.1')
    guard = RequestGuard(app, names, limits.body_limit, refuse, _OPEN_PATHS, timeouts)
    return Measured(guard, metrics, PATHS)


def _carries(scope: dict, token: str) -> bool:
    values = [value for name, value in scope['headers'] if name.lower() == b'authorization']
    kind, _, value = values[0].partition(b' ') if len(values) == 1 else (b'', b'', b'')
    return kind.lower() == b'bearer' and secrets.compare_digest(value.strip(), token.encode())


def _has_room_for(size: int) -> bool:
    return shutil.disk_usage(tempfile.gettempdir()).free - size > _SPARE_BYTES


def _add_scoring(app, models, gate, batcher, limits, addresses, metrics) -> None:
    read = functools.partial(read_items, limits=limits, addresses=addresses)
    slow = SlowWork(batcher, limits)

    def passed(score: float) -> bool | None:
        return None if gate is None else bool(gate.passes([score])[0])

    async def choose(task: str | None, label: str | None) -> MIQAModel:
        return await anyio.to_thread.run_sync(models.get, task, label)

    @app.post('/score', summary='Score pictures', openapi_extra=request_body('pictures'))
    async def score(
        request: Request, task: str | None = _TASK, label: str | None = _LABEL, diagnose: bool = _DIAGNOSE
    ) -> Scores:
        model = await choose(task, label)
        if diagnose and not model.can_diagnose:
            raise Refused(
                422, f'The model {model.spec.method} does not predict what is wrong with a picture. Leave out '
                'diagnose, or start the server with miqa serve --model miqa-lite.', 'no_diagnosis',
            )  # fmt: skip
        with tempfile.TemporaryDirectory(prefix='miqa-serve-') as folder:
            items = await read(request, Path(folder), most=limits.pictures)
            work = [score_item(item, model, batcher, limits) for item in items]
            results = await _unless_gone(request, asyncio.gather(*work))
        failed = [result for result in results if isinstance(result, Refused)]
        for error in failed:
            metrics.errors.labels(error.kind).inc()
        if failed and len(failed) == len(results):
            raise failed[0]
        rows = []
        for item, result in zip(items, results, strict=True):
            if isinstance(result, Refused):
                rows.append(Score(name=item.name, error=str(result)))
            else:
                value = result.score
                metrics.scores.observe(value)
                damage = None
                if diagnose and result.damage is not None:
                    damage = Damage(text=str(result.damage), **result.damage._asdict())
                rows.append(
                    Score(
                        name=item.name, score=value, quality=model.quality(value), passed=passed(value), damage=damage
                    )
                )  # fmt: skip
        return Scores(model=model.identity, failed=len(failed), results=rows)

    @app.post('/heatmap', summary='Show which parts of a picture help its score', openapi_extra=request_body('picture'))
    async def heatmap(request: Request, task: str | None = _TASK, label: str | None = _LABEL) -> Map:
        model = await choose(task, label)
        with tempfile.TemporaryDirectory(prefix='miqa-serve-') as folder, _counted(metrics):
            items: Sequence[Item] = await read(request, Path(folder), most=1)
            stop = threading.Event()
            result = await _unless_gone(request, slow.heatmap(items[0], model, stop), stop.set)
        metrics.scores.observe(result.score)
        height, width = result.picture.shape[:2]
        left, top, right, bottom = result.box
        return Map(
            name=items[0].name, model=model.identity, score=result.score, quality=model.quality(result.score),
            passed=passed(result.score), method=result.method,
            box=(left / width, top / height, right / width, bottom / height), values=result.values.tolist(),
        )  # fmt: skip

    @app.post('/video', summary='Score a video over time', openapi_extra=request_body('video'))
    async def video(
        request: Request,
        frames: int = Query(30, ge=1, le=limits.frames, description='frames to score'),
        task: str | None = _TASK,
        label: str | None = _LABEL,
    ) -> dict:
        model = await choose(task, label)
        with tempfile.TemporaryDirectory(prefix='miqa-serve-') as folder, _counted(metrics):
            items: Sequence[Item] = await read(request, Path(folder), most=1)
            stop = threading.Event()
            result = await _unless_gone(request, slow.video(items[0], model, frames, stop), stop.set)
        for frame in result['frame_results']:
            metrics.scores.observe(frame['score'])
        return {**result, 'passed': passed(result['mean_score'])}


@contextlib.contextmanager
def _counted(metrics: Metrics):
    try:
        yield
    except Refused as error:
        metrics.errors.labels(error.kind).inc()
        raise


def _add_reading(app: FastAPI, models: ServedModels, gate: Gate | None, limits: Limits, metrics, page: bool) -> None:
    # Load balancers ask with HEAD and OPTIONS, too.
    @app.api_route('/health', methods=['HEAD', 'OPTIONS'], include_in_schema=False)
    @app.get('/health', summary='Return 200 while the server answers; for probes, without a token')
    async def health() -> dict:
        return {'status': 'ok'}

    @app.get('/info', summary='Models, limits and gate of this server')
    def info() -> Info:
        model = models.get()
        promise = None if gate is None else {'threshold': gate.threshold, 'description': gate.describe()}
        return Info(
            version=__version__, model=model.identity, task=models.tasks[0], label=models.labels[0],
            tasks=list(models.tasks), labels=list(models.labels), thresholds=model.thresholds._asdict(), gate=promise,
            heatmap=has_heatmap(model), diagnosis=model.can_diagnose, limits=dict(vars(limits)),
        )  # fmt: skip

    @app.get('/metrics', summary='Counters for Prometheus')
    async def counters() -> Response:
        text, media_type = metrics.text()
        return Response(text, media_type=media_type)

    @app.api_route('/docs', methods=['GET', 'HEAD'], include_in_schema=False)
    async def docs() -> Response:
        content, headers = read_page('docs.html')
        return Response(content, headers=headers, media_type='text/html')

    @app.api_route('/', methods=['GET', 'HEAD', 'OPTIONS'], include_in_schema=False)
    async def root() -> Response:
        if not page:
            return JSONResponse({'name': 'MIQA', 'documentation': '/docs', 'paths': list(PATHS)})
        content, headers = read_page('page.html')
        return Response(content, headers=headers, media_type='text/html')


async def _unless_gone(request: Request, work, on_gone: Callable[[], None] = lambda: None):
    """Wait for work, but not for longer than its client does; work without a waiting client is cancelled."""
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait([task], timeout=0.1))[0]:
            if await request.is_disconnected():
                raise ClientDisconnect
        return task.result()
    finally:
        if not task.done():
            on_gone()
            task.cancel()
            # Threads that are at work end by themselves; the folder of their files must outlive them.
            await asyncio.wait([task])


def _add_errors(app: FastAPI, metrics: Metrics) -> None:
    @app.exception_handler(Refused)
    async def refused(request, error):
        headers = {'Retry-After': '1'} if error.status == 503 else None
        return JSONResponse({'detail': str(error)}, error.status, headers)

    @app.exception_handler(TooBusy)
    async def busy(request, error):
        return JSONResponse({'detail': str(error)}, 503, {'Retry-After': '1'})

    @app.exception_handler(BodyRefused)
    async def not_read(request, error):
        metrics.errors.labels('wrong_body').inc()
        return Response(status_code=400)  # the guard answers in its place

    @app.exception_handler(ClientDisconnect)
    async def gone(request, error):
        metrics.errors.labels('cancelled').inc()
        return Response(status_code=CLIENT_WENT_AWAY)

    @app.exception_handler(RequestValidationError)
    async def invalid(request, error):
        reasons = '; '.join(f'{".".join(map(str, one["loc"]))}: {one["msg"]}' for one in error.errors())
        return JSONResponse({'detail': f'The request is invalid: {reasons}.'}, 422)

    @app.exception_handler(HTTPException)
    async def usual(request, error):
        detail, method = str(error.detail), request.method
        if error.status_code == 405:
            allowed = (error.headers or {}).get('Allow', 'POST')
            detail = f'{request.url.path} does not answer {method}, only {allowed}; see /docs.'
        return JSONResponse({'detail': detail}, error.status_code, error.headers)

    @app.exception_handler(Exception)
    async def unexpected(request, error):
        logger.error('A request failed.', exc_info=error)
        metrics.errors.labels('internal').inc()
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return JSONResponse({'detail': 'The disk of the server is full. Try again later.'}, 507)
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            return JSONResponse({'detail': 'The server is busy. Try again in a moment.'}, 503, {'Retry-After': '1'})
        return JSONResponse({'detail': 'The server failed; its log says how.'}, 500)
