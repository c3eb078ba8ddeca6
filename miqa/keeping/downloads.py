"""Downloads: checked, resumable and atomic."""

from __future__ import annotations

import os
import re
import socket
import time
import urllib.error
import urllib.request
import zipfile
from http.client import HTTPException, InvalidURL
from pathlib import Path

from filelock import FileLock
from tqdm import tqdm

from miqa.errors import MIQAError
from miqa.outside.addresses import is_web_address, redact_address
from miqa.outside.fetching import FetchError, content_length, open_address, packed, reason_of
from miqa.outside.names import printable
from miqa.outside.regular_files import open_regular

from .files import sha256_of_file

_BLOCK = 1 << 20
_SECONDS_TO_ANSWER = 30
_ATTEMPTS = 5
#: How files of weights begin: a zip file, or a pickle of protocol 2 and later (PyTorch before 1.6).
_PICKLES = (b'PK\x03\x04', b'\x80')
_BEGINNINGS = {'.pth': _PICKLES, '.pt': _PICKLES, '.tar': _PICKLES, '.zip': (b'PK',), '.onnx': (b'\x08',)}
_TEXTS = ('.csv', '.json', '.md', '.txt', '.yaml', '.yml')


class DownloadError(MIQAError, OSError):
    """A file could not be fetched, or is not the expected one. The message names the file and where to put it."""


def download(url: str, path: str | os.PathLike, sha256: str | None = None, progress: bool = True) -> Path:
    """Fetch ``url`` into ``path`` unless it is there already, and return the path.

    The file appears under its name only when it is whole and its digest is right. An interrupted download goes on
    where it stopped (``path.part``), in this call or in a later one. Several processes may ask for the same
    file: one fetches, the others wait for it.

    Args:
        url: http, https or file.
        path: where to put the file; its folder is made.
        sha256: 64 hexadecimal digits that the file must have. None where its publisher gives none: then its length is
            checked, an empty answer or a web page in its place is not kept, and files of weights must begin as such.
        progress: show a progress bar.

    Raises:
        ValueError: ``sha256`` is not a digest, or the address is of another kind.
        DownloadError: there is another file at ``path``, the address cannot be reached, or the file that came has
            another digest.
    """
    path, sha256 = Path(path), sha256.lower() if sha256 else None
    if sha256 and not re.fullmatch('[0-9a-f]{64}', sha256):
        raise ValueError(f'{sha256!r} is not a SHA-256 of 64 hexadecimal digits.')
    if url.partition(':')[0].lower() not in ('http', 'https', 'file'):
        raise ValueError(
            f'{redact_address(url)!r} cannot be fetched from: an address begins with https://, http:// or file://.'
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f'.{path.name}.lock')):
        if path.exists():
            if sha256 and (digest := sha256_of_file(path)) != sha256:
                raise DownloadError(
                    f'{path} is there, but it is not the expected file: its SHA-256 is {digest}, not {sha256}. '
                    f'Move it away, or replace it by {redact_address(url)}.'
                )
            if sha256 or not _not_a_file_of(path, path):
                return path
            # A page that an earlier version kept in the file's place.
            path.unlink()
        part = path.with_name(f'{path.name}.part')
        _fetch_with_retries(url, part, path, sha256, progress)
        if sha256 and (digest := sha256_of_file(part)) != sha256:
            part.unlink()
            raise DownloadError(
                f'What came from {redact_address(url)} has the SHA-256 {digest}, not {sha256}, and was discarded. The '
                f'file may have changed, or something on the way answers in its place. Put the right file at {path} by '
                'hand.'
            )
        if sha256 is None and (reason := _not_a_file_of(part, path)):
            part.unlink()
            raise _unreachable(url, path, sha256, f'{reason} and was discarded')
        part.replace(path)
    return path


def _not_a_file_of(part: Path, path: Path) -> str | None:
    """Return what came instead of a file whose digest is not known; None where it may be the file."""
    with open_regular(part, None) as stream:
        begin = stream.read(512)
    if not begin:
        return 'an empty answer came'
    text = begin.removeprefix(b'\xef\xbb\xbf').lstrip().lower()
    if text.startswith((b'<!doctype', b'<html', b'<head', b'<body', b'<script', b'<?xml', b'<error')):
        return 'a web page came instead of the file'
    beginnings = _BEGINNINGS.get(path.suffix.lower())
    if beginnings and not begin.startswith(beginnings) and begin[257:262] != b'ustar':
        return f'what came does not begin as a {path.suffix} file does'
    if beginnings and begin.startswith(b'PK') and not zipfile.is_zipfile(part):
        return 'it ended early'
    if path.suffix.lower() == '.safetensors':
        return _not_safetensors(part)
    if path.suffix.lower() not in _TEXTS and not re.search(rb'[^\t\n\r -~\x80-\xff]', begin):
        return f'a text came instead of the file ({printable(begin[:60].decode(errors="replace"))})'
    return None


def _not_safetensors(part: Path) -> str | None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(part, 'np'):
            return None
    except (SafetensorError, OSError) as error:
        return f'what came is not a whole safetensors file: {printable(str(error))[:200]}'


def _fetch_with_retries(url: str, part: Path, path: Path, sha256: str | None, progress: bool) -> None:
    for attempt in range(1, _ATTEMPTS + 1):
        before = part.stat().st_size if part.exists() else 0
        try:
            if _fetch(url, part, path.name, progress):
                return
            reason = 'the connection ended early'
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code not in (408, 429):
                raise _unreachable(
                    url, path, sha256, f'the server answers {error.code} {_line(error.reason)}'
                ) from None
            reason = f'the server answers {error.code} {error.reason}'
        except urllib.error.URLError as error:
            if isinstance(error.reason, str | socket.gaierror | ConnectionRefusedError) or url.startswith('file:'):
                # No host in the address (urllib's text), no such host, no server: a retry changes nothing.
                raise _unreachable(url, path, sha256, reason_of(error.reason)) from None
            reason = reason_of(error.reason)
        except _WebPage:
            raise _unreachable(url, path, sha256, 'a web page came instead of the file') from None
        except (InvalidURL, FetchError, ValueError) as error:
            raise _unreachable(url, path, sha256, reason_of(error)) from None
        except (HTTPException, ConnectionError, TimeoutError) as error:
            reason = reason_of(error)
        after = part.stat().st_size if part.exists() else 0
        if attempt < _ATTEMPTS and after <= before:
            time.sleep(min(2**attempt, 10))
    raise _unreachable(url, path, sha256, f'{reason}, {_ATTEMPTS} times')


def _fetch(url: str, part: Path, name: str, progress: bool) -> bool:
    """Append to ``part`` what it lacks; return whether all bytes that the server announced are there."""
    have = part.stat().st_size if part.exists() else 0
    headers = {'Range': f'bytes={have}-'} if have else {}
    try:
        if is_web_address(url):
            answer = open_address(url, _SECONDS_TO_ANSWER, headers=headers)
        else:  # `download` has checked the scheme
            answer = urllib.request.urlopen(url, timeout=_SECONDS_TO_ANSWER)  # noqa: S310
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        # Nothing beyond what is there: it is whole (its digest tells whether it is right), or it is of another file.
        whole = re.fullmatch(rf'bytes \*/(\*|{have})', error.headers.get('Content-Range', 'bytes */*').strip())
        if not whole:
            part.unlink()
        return bool(whole)
    with answer:
        if answer.headers.get_content_type() == 'text/html':
            # A quota or log-in page: Google Drive and hotel networks answer with one.
            raise _WebPage
        if coding := packed(answer):
            raise FetchError(coding)
        resumed = getattr(answer, 'status', None) == 206
        if resumed and not answer.headers.get('Content-Range', f'bytes {have}-').startswith(f'bytes {have}-'):
            # Another part than the one that was asked for.
            part.unlink(missing_ok=True)
            return False
        if not resumed:
            have = 0
        length = content_length(answer)
        total = None if length is None else have + length
        with (
            open(part, 'ab' if resumed else 'wb') as stream,
            tqdm(
                total=total, initial=have, unit='B', unit_scale=True, unit_divisor=1024, desc=name, disable=not progress
            ) as bar,
        ):
            while block := answer.read(_BLOCK):
                stream.write(block)
                bar.update(len(block))
                have += len(block)
    return total is None or have == total


def _line(reason: object) -> str:
    return (str(reason).splitlines() or [''])[0].rstrip('.')


class _WebPage(Exception):
    pass


def _unreachable(url: str, path: Path, sha256: str | None, reason: str) -> DownloadError:
    return DownloadError(
        f'{redact_address(url)} cannot be fetched: {reason}. Without a connection, fetch it elsewhere and put it at '
        f'{path.absolute()}{f" (SHA-256 {sha256})" if sha256 else ""}.'
    )


def google_drive_url(file_id: str) -> str:
    """Return the address at which Google Drive gives the file itself, without a page that asks for confirmation."""
    return f'https://drive.usercontent.google.com/download?id={file_id}&export=download&confirm=t'
