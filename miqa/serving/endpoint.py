"""The scoring endpoint: ``POST /score`` and ``POST /video``, ``GET /health`` and ``GET /metrics``."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import secrets
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import anyio
from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from miqa import __version__
from miqa.apis.model import MIQAModel
from miqa.outside.addresses import AllowedAddresses

from .batching import Batcher, TooBusy
from .bodies import Item, Refused, read_items, request_body
from .doorman import AnyHost, BodyRefused, Doorman, Hosts, Patience
from .metrics import CLIENT_WENT_AWAY, Measured, Metrics
from .scoring import VideoWork, score_item
from .settings import ServiceLimits

logger = logging.getLogger(__name__)

#: Everything that is answered.
PATHS = ('/score', '/video', '/health', '/metrics', '/openapi.json')
# Asked by probes, which carry no token; it says nothing but whether the server answers.
_OPEN_PATHS = ('/health',)


class Score(BaseModel):
    """One picture: its score (nominally 0 to 1, higher is better), or why it has none."""

    name: str
    score: float | None = None
    quality: str | None = None
    error: str | None = None


class Scores(BaseModel):
    """The pictures of a request, in its order: files first, then addresses."""

    model: str
    failed: int
    results: list[Score]


def build_api(
    model: MIQAModel,
    *,
    hosts: Hosts | None = None,
    token: str | None = None,
    limits: ServiceLimits | None = None,
    addresses: AllowedAddresses | None = None,
    metrics: Metrics | None = None,
    patience: Patience | None = None,
) -> Callable:
    """Build the endpoint.

    Args:
        model: what answers.
        hosts: what the server is called; not asked where there is a token.
        token: what requests must carry as ``Authorization: Bearer TOKEN``; None for nothing.
        limits: what a request may ask for.
        addresses: the addresses that a request may name; none without it.
        metrics: where to count.
        patience: how long the body of a request is waited for.

    Returns:
        An ASGI application.
    """
    limits, metrics = limits or ServiceLimits(), metrics or Metrics()
    addresses = addresses or AllowedAddresses([])
    # A form that is none is answered; it need not be in the log, where anybody could fill pages.
    logging.getLogger('python_multipart').setLevel(logging.ERROR)
    batcher = Batcher(model.score_pixels, model.batch_size, on_batch=metrics.batch.observe)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI):
        yield
        await anyio.to_thread.run_sync(batcher.close)

    app = FastAPI(
        title='MIQA', version=__version__, summary='How well will vision models do on this picture?', lifespan=lifespan,
        docs_url=None, redoc_url=None,  # their scripts come from elsewhere
    )  # fmt: skip
    _add_scoring(app, model, batcher, limits, addresses, metrics)

    # Balancers ask with HEAD, too.
    @app.head('/health', include_in_schema=False)
    @app.get('/health', summary='Whether the server answers; for probes, without a token')
    async def health() -> dict:
        return {'status': 'ok'}

    @app.get('/metrics', summary='Counters for Prometheus')
    async def counters() -> Response:
        text, media_type = metrics.text()
        return Response(text, media_type=media_type)

    _add_errors(app, metrics)

    def refuse(scope: dict, length: int | None) -> tuple[int, str] | None:
        if token is not None and scope['path'] not in _OPEN_PATHS and not _carries(scope, token):
            return 401, 'This server asks for a token: Authorization: Bearer TOKEN.'
        if metrics.now > limits.requests and scope['path'] not in _OPEN_PATHS:
            return 503, 'The server is busy. Try again in a moment.'
        return None

    known = AnyHost() if token is not None else hosts or Hosts('127.0.0.1')
    wall = Doorman(app, known, limits.body_bytes, refuse, patience)
    return Measured(wall, metrics, PATHS)


def _carries(scope: dict, token: str) -> bool:
    given = [value for name, value in scope['headers'] if name.lower() == b'authorization']
    kind, _, value = given[0].partition(b' ') if len(given) == 1 else (b'', b'', b'')
    return kind.lower() == b'bearer' and secrets.compare_digest(value.strip(), token.encode())


def _add_scoring(app, model, batcher, limits, addresses, metrics) -> None:
    read = functools.partial(read_items, limits=limits, addresses=addresses)
    videos = VideoWork(model, batcher, limits)

    @app.post('/score', summary='Score pictures', openapi_extra=request_body('pictures'))
    async def score(request: Request) -> Scores:
        with tempfile.TemporaryDirectory(prefix='miqa-api-') as folder:
            items = await read(request, Path(folder), most=limits.pictures, megabytes=limits.picture_mb)
            work = [score_item(item, model, batcher, limits) for item in items]
            results = await _unless_gone(request, asyncio.gather(*work))
        failed = [found for found in results if isinstance(found, Refused)]
        for found in failed:
            metrics.errors.labels(found.kind).inc()
        if failed and len(failed) == len(results):
            raise failed[0]
        rows = []
        for item, found in zip(items, results, strict=True):
            if isinstance(found, Refused):
                rows.append(Score(name=item.name, error=str(found)))
            else:
                metrics.scores.observe(found)
                rows.append(Score(name=item.name, score=found, quality=model.quality(found)))
        return Scores(model=model.identity, failed=len(failed), results=rows)

    @app.post('/video', summary='Score a video over time', openapi_extra=request_body('video'))
    async def video(
        request: Request, frames: int = Query(30, ge=1, le=limits.frames, description='frames to score')
    ) -> dict:
        with tempfile.TemporaryDirectory(prefix='miqa-api-') as folder:
            items: Sequence[Item] = await read(request, Path(folder), most=1, megabytes=limits.video_mb)
            try:
                result = await _unless_gone(request, videos.assess(items[0], frames), videos.stop_of(items[0]))
            except Refused as error:
                metrics.errors.labels(error.kind).inc()
                raise
        for frame in result['frame_results']:
            metrics.scores.observe(frame['score'])
        return result


async def _unless_gone(request: Request, work, on_gone: Callable[[], None] = lambda: None):
    """Wait for work, but not for longer than its client does; what nobody waits for is cancelled."""
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
        return Response(status_code=400)  # the doorman says what is wrong in place of this

    @app.exception_handler(ClientDisconnect)
    async def gone(request, error):
        metrics.errors.labels('cancelled').inc()
        return Response(status_code=CLIENT_WENT_AWAY)

    @app.exception_handler(RequestValidationError)
    async def invalid(request, error):
        told = '; '.join(f'{".".join(map(str, one["loc"]))}: {one["msg"]}' for one in error.errors())
        return JSONResponse({'detail': f'The request is not as it should be: {told}.'}, 422)

    @app.exception_handler(HTTPException)
    async def usual(request, error):
        return JSONResponse({'detail': str(error.detail)}, error.status_code, error.headers)

    @app.exception_handler(Exception)
    async def unexpected(request, error):
        logger.error('A request failed.', exc_info=error)
        metrics.errors.labels('internal').inc()
        return JSONResponse({'detail': 'The server failed; its log says how.'}, 500)
