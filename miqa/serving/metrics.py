"""Prometheus metrics of the scoring endpoint."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CLIENT_WENT_AWAY = 499  # Status counted if the client disconnects before its answer (nginx's number)
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """Counters of one application; a registry of its own, so that several live side by side.

    Attributes:
        now: requests that are being answered.
    """

    def __init__(self):
        self.registry = CollectorRegistry()
        self.now = 0
        options: dict[str, Any] = {'registry': self.registry}
        self.requests = Counter('miqa_requests', 'Requests by path and status.', ('path', 'status'), **options)
        self.seconds = Histogram('miqa_request_seconds', 'Seconds per request.', ('path',), buckets=_SECONDS, **options)
        self.active = Gauge('miqa_requests_in_progress', 'Requests that are being answered.', **options)
        self.scores = Histogram(
            'miqa_score', 'Scores of pictures.', buckets=[step / 20 for step in range(21)], **options
        )  # fmt: skip
        self.errors = Counter('miqa_errors', 'Pictures and videos without a score, by kind.', ('kind',), **options)
        self.batch = Histogram('miqa_batch_pictures', 'Pictures per pass.', buckets=(1, 2, 4, 8, 16, 32, 64), **options)

    def text(self) -> tuple[bytes, str]:
        """Return all numbers in Prometheus' format, and its media type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST


class Measured:
    """Counts and times all requests, also those that are refused in front of the application.

    Args:
        app: the application.
        metrics: where to count.
        paths: those that get a label of their own.
    """

    def __init__(self, app: Callable, metrics: Metrics, paths: tuple[str, ...]):
        self._app, self._metrics, self._paths = app, metrics, paths

    async def __call__(self, scope, receive, send) -> None:
        """Answer a request."""
        if scope['type'] != 'http':
            await self._app(scope, receive, send)
            return
        path = scope['path'] if scope['path'] in self._paths else 'other'
        status = 500
        start = time.perf_counter()

        async def noting(message):
            nonlocal status
            if message['type'] == 'http.response.start':
                status = message['status']
            await send(message)

        self._metrics.active.inc()
        self._metrics.now += 1
        try:
            await self._app(scope, receive, noting)
        finally:
            self._metrics.active.dec()
            self._metrics.now -= 1
            self._metrics.requests.labels(path, str(status)).inc()
            self._metrics.seconds.labels(path).observe(time.perf_counter() - start)
