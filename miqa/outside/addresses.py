"""URLs: parsing, access rules, and redaction of secrets."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from miqa.errors import MIQAError

# Also one that lost a slash, as when a path is made of it.
_BEGIN = r'\b(?:[a-zA-Z][a-zA-Z0-9+.-]*://|(?:https?|rtsps?|rtmps?|ftp|srt):/)'
# A password may hold what ends an address elsewhere, such as a quotation mark.
_ADDRESS = re.compile(_BEGIN + r'(?:\S*@)?[^\s\'"<>|\\^`{}]+')
_WHOLE = re.compile(_BEGIN + '.*', re.DOTALL)
_FILE = re.compile(r'(?:^|/)file:/{0,2}(?:localhost)?(?=/)', re.IGNORECASE)
_WEB = ('http://', 'https://')
_PORTS = {'http': 80, 'https': 443}
# Networks whose addresses hold an IPv4 address within them (RFC 6052, RFC 3056): that one counts.
_TRANSLATED = ipaddress.ip_network('64:ff9b::/96')


class AddressRefused(MIQAError, ValueError):
    """An address may not be asked. The message names it without its secrets."""


def address_in_path(path: str) -> str | None:
    """Return the address, without its secrets, that a path was made of; None where it is a path of files."""
    match = _WHOLE.search(path)
    return redact_address(match[0]) if match is not None else None


def path_in_file_address(path: str) -> str | None:
    """Return the path that a ``file://`` address means, also where a path was made of it; None where it is none."""
    match = _FILE.search(path)
    return None if match is None else '/' + unquote(path[match.end() :]).lstrip('/')


def is_web_address(text) -> bool:
    """Return True if a text is an http or https address."""
    return isinstance(text, str) and text.lower().startswith(_WEB)


def redact_url(text: str) -> str:
    """Return a text without the secrets of any address in it.

    User names and passwords go, and so do queries and fragments, which hold tokens and signatures; that there was one
    is shown by ``?...``: ``rtsp://me:pw@10.0.0.2/live?token=x`` becomes ``rtsp://10.0.0.2/live?...``. Paths stay.
    """
    return _ADDRESS.sub(lambda match: _redacted(match[0]), text)


def redact_users(text: str) -> str:
    """Return a text without the user names and passwords of the addresses in it; queries stay.

    For sentences that may name any path that a user gave, and addresses of this project's own, which hold no secret.
    """
    return _ADDRESS.sub(lambda match: _redacted(match[0]) if '@' in match[0].partition('?')[0] else match[0], text)


def redact_address(address: str) -> str:
    """Return one address without its secrets, as :func:`redact_url` does, whatever signs it holds.

    In a text the end of an address with spaces or quotation marks is unknown; here all of it is one.
    """
    return _redacted(address) if _WHOLE.fullmatch(address) else redact_url(address)


def _redacted(address: str) -> str:
    scheme, _, rest = address.partition(':')
    rest = rest.lstrip('/')
    start = re.split(r'[?#]', rest, maxsplit=1)[0]
    authority, slash, path = start.partition('/')
    if '@' not in authority and '@' in rest and not re.fullmatch(r'[^:]*(:\d*)?|\[.*\](:\d*)?', authority):
        # No host with a port: a name, and the beginning of a password that holds a raw slash, ? or #.
        authority, slash, path = rest.rpartition('@')[2].partition('/')
        hidden, path = '?' in path or '#' in path, re.split(r'[?#]', path, maxsplit=1)[0]
    else:
        hidden = start != rest
    host = authority.rpartition('@')[2]
    if not re.fullmatch(r'(?:[^:]*|\[.*\]?)(?::\d*)?', host):
        # Perhaps a name and a password whose host was forgotten.
        host, hidden = host.partition(':')[0], True
    return f'{scheme}://{host}{slash}{path}{"?..." if hidden else ""}'


class _Entry(NamedTuple):
    scheme: str
    host: str
    port: int
    path: str


class AllowedAddresses:
    """A list of the only addresses that may be asked for on behalf of others.

    Args:
        prefixes: such as ``https://images.example.com/public/``; scheme, host and port must be equal, the path must
            begin like this.
        private: whether names may lead into private networks and to this computer. An entry whose host is a number
            means that very number anyway.

    Raises:
        ValueError: an entry is not an address of this kind.
    """

    def __init__(self, prefixes: Sequence[str], private: bool = False):
        self._entries = [self._entry(prefix) for prefix in prefixes]
        self._private = private

    @staticmethod
    def _entry(prefix: str) -> _Entry:
        parts = _split(prefix)
        if parts is None or parts.query or parts.fragment or '@' in parts.netloc:
            raise ValueError(
                f'{redact_address(prefix)} cannot be on the list of allowed addresses: an entry is http(s)://HOST[:PORT]/'
                'PATH, without user, query and fragment.'
            )
        return _Entry(parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme], parts.path or '/')

    def check(self, url: str) -> None:
        """Refuse an address that is not on the list.

        Raises:
            AddressRefused: it is none, or not on the list.
        """
        parts = _split(url)
        if parts is not None and '@' not in parts.netloc and not _climbs(parts.path):
            for scheme, host, port, path in self._entries:
                same = (parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme]) == (scheme, host, port)
                if same and (parts.path or '/').startswith(path):
                    return
        raise AddressRefused(f'{redact_address(url)[:200]} is not on the list of addresses that this server may ask.')

    def connect(self, address: tuple[str, int], timeout, source_address=None) -> socket.socket:
        """Connect as :func:`socket.create_connection` does, but only to addresses that names may lead to.

        The address that was checked is the one that is connected to: a name cannot change its mind in between.

        Raises:
            AddressRefused: the name leads into a private network.
        """
        host, port = address
        addresses = [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        if not self._private and not _is_number(host):
            for number in addresses:
                if not is_public(number):
                    raise AddressRefused(f'{host} leads to an address that this server may not ask.')
        return socket.create_connection((addresses[0], port), timeout, source_address)


def is_public(number: str) -> bool:
    """Return True if an IP address belongs to the public internet, also where it holds another one."""
    address = ipaddress.ip_address(number.partition('%')[0])
    if address.version == 6:
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is None and address in _TRANSLATED:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return address.is_global and not address.is_multicast


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip('[]'))
    except ValueError:
        return False
    return True


def _split(url: str):
    """Return the parts of an http(s) address; None where it is none, or holds what readers understand differently."""
    if not is_web_address(url) or re.search(r'[\x00-\x20\x7f\\]', url) or len(url) > 8192:
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts if parts.hostname else None


def _climbs(path: str) -> bool:
    for _ in range(3):
        if '..' in path.split('/') or '\\' in path:
            return True
        path = unquote(path)
    return False
