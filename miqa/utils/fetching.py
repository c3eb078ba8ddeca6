"""Fetch one file from an address that a user named: bounded in size and time, and without its secrets in any error."""

from __future__ import annotations

import base64
import http.client
import os
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from .addresses import AddressRefused, AllowedAddresses, is_web_address, redact_url
from .errors import MIQAError

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
    name, end = redact_url(url), time.monotonic() + seconds
    if allowed is not None:
        allowed.check(url)
    try:
        with open_address(url, min(seconds, _SECONDS_TO_ANSWER), allowed) as answer, open(path, 'xb') as stream:
            stated = answer.headers.get('Content-Length')
            announced = int(stated) if stated is not None and stated.isdecimal() else None
            if announced is not None and announced > max_bytes:
                raise FetchError(f'{name} is too large: {announced:,} bytes, where at most {max_bytes:,} are taken.')
            taken = 0
            while block := answer.read1(_BLOCK):
                taken += len(block)
                if taken > max_bytes:
                    raise FetchError(f'{name} is too large: at most {max_bytes:,} bytes are taken.')
                if time.monotonic() > end:
                    raise FetchError(f'{name} takes too long: {taken:,} bytes came in {seconds:g} seconds.')
                stream.write(block)
            if announced is not None and taken < announced:
                raise FetchError(f'{name} ended early: {taken:,} of {announced:,} bytes came.')
    except (FetchError, AddressRefused):
        Path(path).unlink(missing_ok=True)
        raise
    except urllib.error.HTTPError as error:
        raise FetchError(f'{name} cannot be fetched: the server answers {error.code}.') from None
    except (urllib.error.URLError, http.client.HTTPException, ssl.SSLError, OSError, ValueError) as error:
        reason = getattr(error, 'reason', error)
        if isinstance(reason, AddressRefused):
            raise reason from None
        Path(path).unlink(missing_ok=True)
        raise FetchError(f'{name} cannot be fetched: {redact_url(str(reason)) or type(reason).__name__}.') from None
    return Path(path)


def open_address(url: str, seconds: float, allowed: AllowedAddresses | None = None) -> http.client.HTTPResponse:
    """Ask an address and return the answer, to be read; ``seconds`` is the longest wait for its beginning.

    Raises:
        FetchError: it is no http(s) address.
        AddressRefused, OSError, ValueError, HTTPException: as they come; :func:`fetch` makes sentences of them.
    """
    if not is_web_address(url):
        raise FetchError(f'{redact_url(url)} is not an http or https address.')
    return _opener(allowed).open(_request(url), timeout=seconds)


def file_name_of(url: str) -> str:
    """Return a file name for what is at an address: the last part of its path, without anything special in it."""
    return clean_file_name(unquote(urlsplit(url).path))


def clean_file_name(name: str) -> str:
    """Return the last part of a name that comes from elsewhere as a harmless file name of this computer."""
    last = name.replace('\\', '/').rstrip('/').rpartition('/')[2]
    kept = ''.join(letter if letter.isalnum() or letter in '-_.' else '_' for letter in last).lstrip('.-')
    return kept[-60:].lstrip('.-') or 'unnamed'


def _request(url: str) -> urllib.request.Request:
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition('@')
    request = urllib.request.Request(urlunsplit((parts.scheme, host, parts.path, parts.query, '')))  # noqa: S310 - http(s) alone, checked before
    request.add_header('User-Agent', 'miqa')
    request.add_header('Accept-Encoding', 'identity')
    if at:
        name, _, password = user.partition(':')
        told = base64.b64encode(f'{unquote(name)}:{unquote(password)}'.encode()).decode()
        request.add_unredirected_header('Authorization', f'Basic {told}')
    return request


def _opener(allowed: AllowedAddresses | None) -> urllib.request.OpenerDirector:
    if allowed is None:
        return urllib.request.build_opener(_WebOnly)
    connect = allowed.connect

    def connection(kind: Any) -> Any:
        class Checked(kind):
            def __init__(self, *arguments, **options):
                super().__init__(*arguments, **options)
                self._create_connection = connect

        return Checked

    class Http(urllib.request.HTTPHandler):
        def http_open(self, request):
            return self.do_open(connection(http.client.HTTPConnection), request)

    class Https(urllib.request.HTTPSHandler):
        def https_open(self, request):
            return self.do_open(connection(http.client.HTTPSConnection), request, context=ssl.create_default_context())

    return urllib.request.build_opener(urllib.request.ProxyHandler({}), Http, Https, _NoRedirection)


class _WebOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirections to web addresses only."""

    max_redirections = 5

    def redirect_request(self, request, answer, code, message, headers, new):
        if not is_web_address(new):
            raise FetchError(f'{redact_url(request.full_url)} leads to something that is not a web address.')
        return super().redirect_request(request, answer, code, message, headers, new)


class _NoRedirection(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, request, answer, code, message, headers, new):
        raise AddressRefused(f'{redact_url(request.full_url)} leads elsewhere, where this server may not ask.')
