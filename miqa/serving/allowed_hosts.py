"""Accepted Host and Origin headers."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Return True if an address to listen on can be reached from this computer only."""
    if host.lower() == 'localhost':
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class AllowedHosts:
    """The values of the headers Host and Origin that belong to this server.

    A foreign web page can make a visitor's browser send requests to this server under a name of its own (DNS
    rebinding), so foreign names are refused. Addresses cannot be rebound.

    Args:
        listening: the address that the server listens on. On a loopback address only loopback addresses and
            ``localhost`` are allowed; on others any address, and this computer's name.
        extra: further names, such as that of a reverse proxy.

    Raises:
        ValueError: one of these can be no name of a host.
    """

    def __init__(self, listening: str, extra: Sequence[str] = ()):
        for name in extra:
            if not re.fullmatch(r'[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?', name):
                raise ValueError(
                    f'{name!r} is not the name of a host: --name takes letters, digits, hyphens and dots, without port '
                    'or path, such as miqa.example.com.'
                )
        self._only_loopback = is_loopback(listening)
        self._names = {'localhost', listening.lower(), *(name.lower().rstrip('.') for name in extra)}
        if not self._only_loopback:
            self._names.add(socket.gethostname().lower())

    def __contains__(self, authority: str) -> bool:
        """Return True if ``name``, ``name:port``, ``address:port`` or ``[address]:port`` is this server."""
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
        """Return True if the header Origin names a page of this server."""
        scheme, _, authority = value.partition('://')
        return scheme in ('http', 'https') and authority in self


class AnyHost(AllowedHosts):
    """Accepts every name: for servers that require a token, which foreign pages do not have."""

    def __init__(self):
        super().__init__('0.0.0.0')  # noqa: S104 - a name, nothing listens here

    def __contains__(self, authority: str) -> bool:
        """Return True."""
        return True

    def origin(self, value: str) -> bool:
        """Return True."""
        return True
