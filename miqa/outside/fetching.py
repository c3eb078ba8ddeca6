"""Fetch a file from a URL: bounded in size and time, without secrets in errors."""

from __future__ import annotations

import base64
import contextlib
import http.client
import os
import socket
import ssl
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from miqa.errors import MIQAError

from .addresses import AddressRefused, AllowedAddresses, is_web_address, redact_address, redact_url

_BLOCK = 1 << 18
_SECONDS_TO_ANSWER = 15.0


class FetchError(MIQAError, OSError):
    """A file could not be fetched. The message names its address without its secrets."""


def fetch(
    url: str,
    path: str | os.PathLike,
    *,
    max_bytes: int,
    seconds: float = 300.0,
    allowed: AllowedAddresses | None = None,
) -> Path:
    """Write what is at an address into a new file.

    Args:
        url: http or https; a user name and password in it are sent to that host only.
        path: the file, which must not exist.
        max_bytes: the most that is taken.
        seconds: the longest that all of it may take.
        allowed: for addresses that others named: only those on this list are asked, directly and without following
            redirections. Without it the user's own proxies are used, and redirections to other web addresses followed.

    Raises:
        FetchError: it cannot be reached, is too large, takes too long, or ends early.
        AddressRefused: it is not on the list, or leads into a private network.
    """
    name, deadline = redact_address(url), Deadline(seconds)
    if allowed is not None:
        allowed.check(url)
    try:
        with (
            deadline,
            open_address(url, min(seconds, _SECONDS_TO_ANSWER), allowed, deadline=deadline) as answer,
            open(path, 'xb') as stream,
        ):
            if reason := _not_the_file(answer):
                raise FetchError(f'{name} cannot be fetched: {reason}.')
            announced = content_length(answer)
            if announced is not None and announced > max_bytes:
                raise FetchError(f'{name} is too large: {announced:,} bytes, where at most {max_bytes:,} are taken.')
            taken = 0
            while block := answer.read1(_BLOCK):
                taken += len(block)
                if taken > max_bytes:
                    raise FetchError(f'{name} is too large: at most {max_bytes:,} bytes are taken.')
                deadline.check()
                stream.write(block)
            deadline.check()
            if announced is not None and taken < announced:
                raise FetchError(f'{name} ended early: {taken:,} of {announced:,} bytes came.')
    except (FetchError, AddressRefused):
        Path(path).unlink(missing_ok=True)
        raise
    except urllib.error.HTTPError as error:
        error.close()
        leads = ', and what it leads to cannot be followed' if 300 <= error.code < 400 else ''
        raise FetchError(f'{name} cannot be fetched: the server answers {error.code}{leads}.') from None
    except (urllib.error.URLError, http.client.HTTPException, ssl.SSLError, OSError, ValueError) as error:
        cause: Any = getattr(error, 'reason', None) or error
        if isinstance(cause, AddressRefused):
            raise cause from None
        Path(path).unlink(missing_ok=True)
        if deadline.over:
            raise FetchError(f'{name} takes too long: it did not come in {seconds:g} seconds.') from None
        raise FetchError(f'{name} cannot be fetched: {reason_of(cause)}.') from None
    return Path(path)


def reason_of(error: BaseException | str) -> str:
    """Say why something could not be asked, without what an address holds: errors about its form quote its parts."""
    if isinstance(error, (http.client.InvalidURL, UnicodeError, ValueError)) and not isinstance(error, OSError):
        return 'its form is not that of an address (http://HOST:PORT/PATH; other signs as %XX)'
    if isinstance(error, (http.client.BadStatusLine, http.client.UnknownProtocol)) and not isinstance(error, OSError):
        return 'what answers is no web server'
    if isinstance(error, http.client.IncompleteRead):
        return 'it ended early'
    return redact_url(str(error)) or type(error).__name__


def content_length(answer) -> int | None:
    """Return how many bytes an answer announces; None where it does not say, or says what is not a number."""
    announced = answer.headers.get('Content-Length')
    return int(announced) if announced is not None and announced.isascii() and announced.isdecimal() else None


def _not_the_file(answer) -> str | None:
    """Say why an answer is not the bytes of the file, or None."""
    if answer.status not in (200, 203):
        return f'the server answers {answer.status}, which is not the whole file'
    return packed(answer)


def packed(answer) -> str | None:
    """Say that an answer is the file as a web server packs it (gzip), where it is; None where it is the file."""
    coding = answer.headers.get('Content-Encoding', 'identity').strip().lower()
    return None if coding in ('', 'identity') else f'the server sends it packed ({coding[:20]}), unasked'


class Deadline:
    """Ends all connections that are made within it when its time is up, whatever the other side dribbles.

    Socket timeouts restart with each byte.

    Attributes:
        over: whether the time was up.
    """

    def __init__(self, seconds: float):
        self.over, self._seconds = False, seconds
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self):
        """Begin."""
        self._timer.start()
        return self

    def __exit__(self, *error):
        """End, whether the time is up or not."""
        self._timer.cancel()
        while self._sockets:
            self._sockets.pop().close()

    def watch(self, connected: socket.socket) -> socket.socket:
        """Return a connected socket; its connection is ended when the time is up."""
        # Encryption takes the socket away; the connection is that of the copy, too.
        self._sockets.append(connected.dup())
        if self.over:
            self._end()
        return connected

    def check(self) -> None:
        """Raise a TimeoutError where the time is up."""
        if self.over:
            raise TimeoutError

    def _end(self) -> None:
        self.over = True
        for each in list(self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def open_address(
    url: str,
    seconds: float,
    allowed: AllowedAddresses | None = None,
    *,
    deadline: Deadline | None = None,
    headers: dict[str, str] | None = None,
) -> http.client.HTTPResponse:
    """Ask an address and return the answer, to be read.

    Args:
        url: http or https.
        seconds: the longest wait for each part of the answer.
        allowed: as for :func:`fetch`.
        deadline: of all that comes.
        headers: to be sent besides.

    Raises:
        FetchError: it is no http(s) address.
        AddressRefused, OSError, ValueError, HTTPException: as they come; :func:`fetch` makes sentences of them.
    """
    if not is_web_address(url):
        raise FetchError(f'{redact_address(url)} is not an http or https address.')
    request = _request(url)
    for name, value in (headers or {}).items():
        request.add_header(name, value)
    return _opener(allowed, deadline).open(request, timeout=seconds)


def file_name_of(url: str) -> str:
    """Return a file name for what is at an address: the last part of its path, without anything special in it."""
    return clean_file_name(unquote(urlsplit(url).path))


def clean_file_name(name: str) -> str:
    """Return the last part of a name that comes from elsewhere as a harmless file name of this computer."""
    last = name.replace('\\', '/').rstrip('/').rpartition('/')[2]
    safe_name = ''.join(letter if letter.isalnum() or letter in '-_.' else '_' for letter in last).lstrip('.-')
    return safe_name[-60:].lstrip('.-') or 'unnamed'


def _request(url: str) -> urllib.request.Request:
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition('@')
    _ = parts.port  # raises a ValueError where it is not a number
    # As browsers do; what is percent-encoded stays.
    path, query = (quote(part, safe='%/:=&?~#+!$,;\'@()*[]|^`{}\\"<>') for part in (parts.path, parts.query))
    request = urllib.request.Request(urlunsplit((parts.scheme, host, path, query, '')))  # noqa: S310 - http(s) alone, checked before
    request.add_header('User-Agent', 'miqa')
    request.add_header('Accept-Encoding', 'identity')
    if at:
        name, _, password = user.partition(':')
        credentials = base64.b64encode(f'{unquote(name)}:{unquote(password)}'.encode()).decode()
        request.add_unredirected_header('Authorization', f'Basic {credentials}')
    return request


def _opener(allowed: AllowedAddresses | None, deadline: Deadline | None) -> urllib.request.OpenerDirector:
    connect = socket.create_connection if allowed is None else allowed.connect

    def watched(*arguments, **options) -> socket.socket:
        connected = connect(*arguments, **options)
        return connected if deadline is None else deadline.watch(connected)

    def connection(kind: Any) -> Any:
        class Watched(kind):
            def __init__(self, *arguments, **options):
                super().__init__(*arguments, **options)
                self._create_connection = watched

        return Watched

    class Http(urllib.request.HTTPHandler):
        def http_open(self, request):
            return self.do_open(connection(http.client.HTTPConnection), request)

    class Https(urllib.request.HTTPSHandler):
        def https_open(self, request):
            return self.do_open(connection(http.client.HTTPSConnection), request, context=ssl.create_default_context())

    if allowed is None:
        return urllib.request.build_opener(Http, Https, _WebOnly)
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), Http, Https, _NoRedirection)


class _WebOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirections to web addresses only."""

    max_redirections = 5

    def redirect_request(self, request, answer, code, message, headers, new):
        if not is_web_address(new):
            raise FetchError(f'{redact_address(request.full_url)} leads to something that is not a web address.')
        return super().redirect_request(request, answer, code, message, headers, new)


class _NoRedirection(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, request, answer, code, message, headers, new):
        raise AddressRefused(f'{redact_address(request.full_url)} leads elsewhere, where this server may not ask.')
