"""File names as bytes: writing as text, reading back, printing, shortening."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from functools import lru_cache
from urllib.parse import quote_from_bytes, unquote_to_bytes

PREFIX = 'percent:'  # What a name begins with that is written by the values of its bytes
NAME_BYTES = 255  # Longest name of a file in nearly all file systems, in bytes
# Control characters, those included that turn the direction in which the rest of a line is shown; whatever some program
# takes for the end of a line; and what no text can hold.
_UNUSUAL = re.compile('[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]')


def write_name(path: str, encoding: str | None = None) -> str:
    r"""Return a path as text of one line, valid UTF-8, from which :func:`read_name` makes the same path.

    Nearly all paths are their own text. One with bytes that are not UTF-8 or with control characters, such as a
    newline, is written as ``percent:`` and its bytes, percent-encoded as in URLs (RFC 3986): the name ``b'\xff\n.png'``
    is ``percent:%FF%0A.png``. So is one that begins with ``percent:`` itself.

    Args:
        path: as the operating system's functions give it: bytes that are not UTF-8 are lone surrogates (PEP 383).
        encoding: of where it goes to, such as ``sys.stdout.encoding``: what it cannot hold is written as bytes, too.
    """
    if not _UNUSUAL.search(path) and not path.startswith(PREFIX) and _holds(encoding, path):
        return path
    return PREFIX + quote_from_bytes(os.fsencode(path), safe='/ !#$&\'()*+,:;=?@[]~{}|^`<>\\"')


def _holds(encoding: str | None, text: str) -> bool:
    try:
        text.encode(encoding or 'utf-8')
    except UnicodeEncodeError:
        return False
    return True


def read_name(text: str) -> str:
    """Return the path that :func:`write_name` wrote."""
    return os.fsdecode(unquote_to_bytes(text[len(PREFIX) :])) if text.startswith(PREFIX) else text


def place_of(path: str) -> str:
    """Return the absolute path of a file, the same text for all ways that lead to it.

    Links to folders are followed. The last name is kept: a link to a file is a file of its own, as it is where
    folders are walked.
    """
    folder, name = os.path.split(os.path.join(os.getcwd(), path))  # noqa: PTH109, PTH118  names are not changed
    if name in ('', '.', '..'):
        return os.path.realpath(path)
    return os.path.join(_real_folder(folder), name)  # noqa: PTH118


@lru_cache(maxsize=10_000)
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)


def plain(name: str) -> str:
    """Return what is the same for names that differ in case, or in how Unicode writes a letter (NFC, NFD) alone."""
    return unicodedata.normalize('NFC', name).casefold()


def printable(text: str) -> str:
    r"""Return a sentence that may hold any name as one line of valid UTF-8, for people: ``\xff``, ``\n``."""

    def escaped(match: re.Match) -> str:
        code = ord(match[0])
        if 0xDC80 <= code <= 0xDCFF:
            code -= 0xDC00
        return {'\n': r'\n', '\r': r'\r', '\t': r'\t'}.get(
            match[0], f'\\x{code:02x}' if code < 256 else f'\\u{code:04x}'
        )

    return _UNUSUAL.sub(escaped, text)


def printable_text(text: str) -> str:
    """Return a text of several lines that may hold any name as valid UTF-8, for people, its lines as they are."""
    return '\n'.join(printable(line) for line in text.split('\n'))


def fitting_name(name: str, ending: str = '', longest: int = NAME_BYTES) -> str:
    """Return ``name`` with ``ending`` behind it, of at most ``longest`` bytes.

    A name that is too long is cut, and ``~`` and eight digits of its SHA-256 keep it different from others.
    """
    encoded, tail = os.fsencode(name), os.fsencode(ending)
    if len(encoded) + len(tail) <= longest:
        return name + ending
    mark = b'~' + hashlib.sha256(encoded).hexdigest()[:8].encode()
    room = longest - len(tail) - len(mark)
    return os.fsdecode(_cut(encoded, room) + mark + tail)


def _cut(encoded: bytes, length: int) -> bytes:
    """Cut bytes, but not in the middle of a character."""
    cut = encoded[:length]
    while cut and length < len(encoded) and encoded[length] & 0xC0 == 0x80:
        length -= 1
        cut = encoded[:length]
    return cut
