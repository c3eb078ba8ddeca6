"""ASGI middleware for hosts, paths, body sizes and timeouts."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import NamedTuple

from .allowed_hosts import AllowedHosts

#: The rest of a refused upload is read and discarded, so that the client sees the answer and not a broken pipe; but
#: not for longer than this.
_SECONDS_TO_DRAIN = 30.0


class Timeouts(NamedTuple):
    """Time limits for one request, in seconds. Without them slow clients would occupy the server for good."""

    headers: float = 10.0  # for the headers of a request, from the connection or the previous answer on
    silence: float = 30.0  # without a byte of the body arriving, or without a byte of the answer being read
    whole: float = 1800.0  # for the whole body
    rate: float = 10_000.0  # bytes a second that a body must reach on average after the first ``silence`` seconds


class RequestGuard:
    """Refuses foreign names, and bodies that are too large or too slow, before the application sees them.

    Args:
        app: the application.
        hosts: the names of the server.
        body_limit: ASGI scope -> (bytes that the body may have, what to say of a larger one).
        refuse: (ASGI scope, announced bytes or None) -> (status, sentence) to refuse a request, or None to pass it on.
        without_host: paths that HTTP/1.0 requests may ask for without the header Host, as load balancers do.
        timeouts: time limits for a body.
    """

    def __init__(
        self,
        app: Callable,
        hosts: AllowedHosts,
        body_limit: Callable[[dict], tuple[int, str]],
        refuse: Callable[[dict, int | None], tuple[int, str] | None] = lambda scope, length: None,
        without_host: tuple[str, ...] = (),
        timeouts: Timeouts | None = None,
    ):
        self._app, self._hosts, self._body_limit, self._refuse = app, hosts, body_limit, refuse
        self._without_host = without_host
        self._timeouts = timeouts or Timeouts()

    async def __call__(self, scope, receive, send) -> None:
        """Answer a request, or pass it on."""
        scope = _origin_form(scope)
        refusal = self._refusal(scope) if scope['type'] in ('http', 'websocket') else None
        if refusal is not None and scope['type'] == 'http':
            await _answer(receive, send, *refusal)
        elif refusal is not None:
            await send({'type': 'websocket.close', 'code': 1008})
        elif scope['type'] == 'http':
            await self._bounded(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _bounded(self, scope, receive, send) -> None:
        body = _CountedBody(receive, send, self._body_limit(scope), self._timeouts)
        try:
            await self._app(scope, body.receive, body.send)
        except BodyRefused:
            if body.answered:
                raise
        if body.refusal is not None and not body.answered:
            # A client that stopped sending is not waited for again.
            await _answer(receive, send, *body.refusal, drain=body.refusal[0] != 408)

    def _refusal(self, scope) -> tuple[int, str] | None:
        headers = [(name.lower(), value.decode('latin-1')) for name, value in scope['headers']]
        names = [value for name, value in headers if name == b'host']
        # Browsers always send Host, so DNS rebinding needs one.
        probe = not names and scope.get('http_version') == '1.0' and scope['path'] in self._without_host
        if not probe and (len(names) != 1 or names[0] not in self._hosts):
            return 403, (
                'This server does not answer under that name. Start it with --name NAME for a name of your own, such '
                'as that of a proxy.'
            )
        origins = [value for name, value in headers if name == b'origin']
        if any(not self._hosts.origin(origin) for origin in origins):
            return 403, 'Pages of other servers may not send requests to this one.'
        lengths = [value for name, value in headers if name == b'content-length']
        if len(lengths) > 1 or any(not value.isdecimal() for value in lengths):
            return 400, 'The header Content-Length must be one whole number.'
        length = int(lengths[0]) if lengths else None
        refusal = self._refuse(scope, length)
        limit, too_large = self._body_limit(scope)
        if refusal is None and length is not None and length > limit:
            return 413, too_large
        return refusal


def _origin_form(scope: dict) -> dict:
    """Return the scope of a request for ``http://host/path`` as that for ``/path`` of this host (RFC 9112, 3.2.2)."""
    if scope['type'] != 'http' or not scope['path'].lower().startswith(('http://', 'https://')):
        return scope
    authority, slash, path = scope['path'].partition('://')[2].partition('/')
    headers = [pair for pair in scope['headers'] if pair[0].lower() != b'host']
    path = slash + path or '/'
    return {**scope, 'path': path, 'raw_path': path.encode(), 'headers': [*headers, (b'host', authority.encode())]}


class BodyRefused(Exception):
    """Raised where an application reads a body that must not be read further; the guard answers."""


class _CountedBody:
    """Counts and times what a client sends; beyond the limits the application can neither read nor answer."""

    def __init__(self, receive, send, limit: tuple[int, str], timeouts: Timeouts):
        self._receive, self._send = receive, send
        (self._limit, self._too_large), self._timeouts = limit, timeouts
        self._start, self._bytes = time.monotonic(), 0
        self._whole = self._refused = False
        self.refusal: tuple[int, str] | None = None
        self.answered = False

    def _seconds_left(self) -> float:
        limits = self._timeouts
        # As mod_reqtimeout of Apache counts: each byte that came buys time.
        due = min(limits.whole, limits.silence + self._bytes / limits.rate)
        return max(0.0, min(limits.silence, self._start + due - time.monotonic()))

    async def receive(self) -> dict:
        if self._whole:
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), self._seconds_left())
        except asyncio.TimeoutError:
            self.refusal = 408, 'The request body was incomplete when its time was over.'
            raise BodyRefused from None
        if message['type'] == 'http.request':
            self._whole = not message.get('more_body')
            self._bytes += len(message.get('body', b''))
            if self._bytes > self._limit:
                self.refusal = 413, self._too_large
                raise BodyRefused
        return message

    async def send(self, message: dict) -> None:
        if self.refusal is not None and not self.answered:
            return  # the application answers a body that it could not read
        self.answered = True
        if message['type'] == 'http.response.start':
            self._refused = message['status'] >= 400
        elif self._refused and not self._whole and not message.get('more_body'):
            await self._send({**message, 'more_body': True})
            await _drain(self._receive)
            message = {'type': 'http.response.body', 'body': b''}
        await self._send(message)


async def _answer(receive, send, status: int, sentence: str, drain: bool = True) -> None:
    content = json.dumps({'detail': sentence}).encode()
    headers = [
        (b'content-type', b'application/json'), (b'content-length', str(len(content)).encode()),
        (b'connection', b'close'),
    ]  # fmt: skip
    if status == 401:
        headers.append((b'www-authenticate', b'Bearer'))
    if status == 503:
        headers.append((b'retry-after', b'1'))
    await send({'type': 'http.response.start', 'status': status, 'headers': headers})
    await send({'type': 'http.response.body', 'body': content, 'more_body': True})
    if drain:
        await _drain(receive)
    await send({'type': 'http.response.body', 'body': b''})


async def _drain(receive) -> None:
    end = time.monotonic() + _SECONDS_TO_DRAIN
    while (remaining := end - time.monotonic()) > 0:
        try:
            message = await asyncio.wait_for(receive(), remaining)
        except asyncio.TimeoutError:
            return
        if message['type'] != 'http.request' or not message.get('more_body'):
            return
