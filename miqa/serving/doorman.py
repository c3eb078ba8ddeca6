"""Who may ask, for what, and how much: a wall in front of an ASGI application."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

#: A refused upload is read to its end and thrown away, so that the client sees the answer and not a broken pipe; but
#: not for longer than this.
_SECONDS_TO_DRAIN = 30.0


class Patience(NamedTuple):
    """How long a request's body is waited for: seconds in which nothing comes, and seconds for all of it.

    Without it, whoever begins uploads and does not end them would keep the places of all others.
    """

    silence: float = 30.0
    whole: float = 1800.0


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can be reached from this computer only."""
    if host.lower() == 'localhost':
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Hosts:
    """The values of the headers Host and Origin that mean this server.

    A page elsewhere can make a visitor's browser ask this server under a name of its own (DNS rebinding): such names
    are foreign. Addresses cannot be rebound.

    Args:
        listening: the address that the server listens on. On a loopback address only loopback addresses and
            ``localhost`` are meant; on others any address, and this computer's name.
        extra: further names, such as that of a proxy in front.
    """

    def __init__(self, listening: str, extra: Sequence[str] = ()):
        self._only_loopback = is_loopback(listening)
        self._names = {'localhost', listening.lower(), *(name.lower().rstrip('.') for name in extra)}
        if not self._only_loopback:
            self._names.add(socket.gethostname().lower())

    def __contains__(self, authority: str) -> bool:
        """Whether ``name``, ``name:port``, ``address:port`` or ``[address]:port`` means this server."""
        try:
            parts = urlsplit(f'//{authority}')
            name, _ = (parts.hostname or '').rstrip('.'), parts.port
        except ValueError:
            return False
        if not name or '@' in authority or parts.path or parts.query or parts.fragment:
            return False
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return name in self._names
        return address.is_loopback or not self._only_loopback

    def origin(self, value: str) -> bool:
        """Whether the header Origin names a page of this server."""
        scheme, _, authority = value.partition('://')
        return scheme in ('http', 'https') and authority in self


class AnyHost(Hosts):
    """Every name is taken: for servers that ask for a token, which no page elsewhere knows."""

    def __init__(self):
        super().__init__('0.0.0.0')  # noqa: S104 - a name, nothing listens here

    def __contains__(self, authority: str) -> bool:
        """Return True."""
        return True

    def origin(self, value: str) -> bool:
        """Return True."""
        return True


class Doorman:
    """Refuses foreign names, unknown paths and bodies that are too large, before the application sees them.

    Args:
        app: the application.
        hosts: what the server is called.
        body_limit: path -> bytes that a request's body may have.
        refuse: (ASGI scope, announced bytes or None) -> (status, sentence) to refuse a request, or None to let it pass.
        patience: how long a body may take.
    """

    def __init__(
        self,
        app: Callable,
        hosts: Hosts,
        body_limit: Callable[[str], int],
        refuse: Callable[[dict, int | None], tuple[int, str] | None] = lambda scope, length: None,
        patience: Patience | None = None,
    ):
        self._app, self._hosts, self._body_limit, self._refuse = app, hosts, body_limit, refuse
        self._patience = patience or Patience()

    async def __call__(self, scope, receive, send) -> None:
        """Answer a request, or hand it on."""
        refusal = self._judge(scope) if scope['type'] in ('http', 'websocket') else None
        if refusal is not None and scope['type'] == 'http':
            await _answer(receive, send, *refusal)
        elif refusal is not None:
            await send({'type': 'websocket.close', 'code': 1008})
        elif scope['type'] == 'http':
            await self._bounded(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _bounded(self, scope, receive, send) -> None:
        body = _CountedBody(receive, send, self._body_limit(scope['path']), self._patience)
        try:
            await self._app(scope, body.receive, body.send)
        except BodyRefused:
            if body.answered:
                raise
        if body.refusal is not None and not body.answered:
            # Whoever stopped sending is not waited for again.
            await _answer(receive, send, *body.refusal, drain=body.refusal[0] != 408)

    def _judge(self, scope) -> tuple[int, str] | None:
        headers = [(name.lower(), value.decode('latin-1')) for name, value in scope['headers']]
        named = [value for name, value in headers if name == b'host']
        if len(named) != 1 or named[0] not in self._hosts:
            return 403, 'This server does not answer under that name.'
        origins = [value for name, value in headers if name == b'origin']
        if any(not self._hosts.origin(origin) for origin in origins):
            return 403, 'Pages of other servers may not ask this one.'
        lengths = [value for name, value in headers if name == b'content-length']
        if len(lengths) > 1 or any(not value.isdecimal() for value in lengths):
            return 400, 'The header Content-Length must be one whole number.'
        length = int(lengths[0]) if lengths else None
        refusal = self._refuse(scope, length)
        if refusal is None and length is not None and length > self._body_limit(scope['path']):
            return 413, too_large(self._body_limit(scope['path']))
        return refusal


def too_large(limit: int) -> str:
    """Say that a request's body is larger than it may be."""
    return f'The request is too large: its body may have {limit:,} bytes here.'


class BodyRefused(Exception):
    """Raised where an application reads a body that it shall read no further; the doorman answers."""


class _CountedBody:
    """Counts and times what a client sends; beyond its limits the application reads no more and is not heard."""

    def __init__(self, receive, send, limit: int, patience: Patience):
        self._receive, self._send = receive, send
        self._limit, self._left, self._patience = limit, limit, patience
        self._end = time.monotonic() + patience.whole
        self._whole = self._refused = False
        self.refusal: tuple[int, str] | None = None
        self.answered = False

    async def receive(self) -> dict:
        if self._whole:
            return await self._receive()
        patience = min(self._patience.silence, self._end - time.monotonic())
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, patience))
        except asyncio.TimeoutError:
            self.refusal = 408, 'The request did not come to its end in time.'
            raise BodyRefused from None
        if message['type'] == 'http.request':
            self._whole = not message.get('more_body')
            self._left -= len(message.get('body', b''))
            if self._left < 0:
                self.refusal = 413, too_large(self._limit)
                raise BodyRefused
        return message

    async def send(self, message: dict) -> None:
        if self.refusal is not None and not self.answered:
            return  # the application says something about a body that it could not read
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
    await send({'type': 'http.response.start', 'status': status, 'headers': headers})
    await send({'type': 'http.response.body', 'body': content, 'more_body': True})
    if drain:
        await _drain(receive)
    await send({'type': 'http.response.body', 'body': b''})


async def _drain(receive) -> None:
    end = time.monotonic() + _SECONDS_TO_DRAIN
    while (left := end - time.monotonic()) > 0:
        try:
            message = await asyncio.wait_for(receive(), left)
        except asyncio.TimeoutError:
            return
        if message['type'] != 'http.request' or not message.get('more_body'):
            return
