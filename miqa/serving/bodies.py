"""Request bodies: a form of files, one file, or a list of URLs."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import anyio
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, Headers
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from miqa.outside.addresses import AddressRefused, AllowedAddresses, redact_address
from miqa.outside.fetching import FetchError, clean_file_name, fetch, file_name_of
from miqa.outside.json_text import parse_json
from miqa.taxonomy import did_you_mean

from .settings import FILE_PATHS, JSON_BYTES, Limits, Refused

_NAME_LENGTH = 255
_FORM, _JSON, _FILE = 'multipart/form-data', 'application/json', 'application/octet-stream'
_SINGLE = ('image/', 'video/', _FILE)
#: No content type, and that of `curl --data-binary` by default: such bodies are detected by content.
_UNTYPED = ('', 'application/x-www-form-urlencoded')
_DETECTED_BYTES = 256
#: Bytes of a body that go to the disk together: each time a thread takes over, and a picture comes in many blocks.
_WRITTEN_AT_ONCE = 1 << 20
#: The two encodings of RFC 5987; Python has others, some of which take minutes.
_EXTENDED_NAME = re.compile(r"""; *filename\* *= *"?(utf-8|iso-8859-1)'[^']*'([^;\s"]+)""", re.IGNORECASE)


@dataclass
class Item:
    """A file of a request: its name for the answer, and where it lies, or the address to fetch it from."""

    name: str
    path: Path
    url: str | None = None
    max_bytes: int = 0
    seconds: float = 0.0
    addresses: AllowedAddresses | None = None

    def present(self) -> Path:
        """Return the path of the file, fetched if it must be.

        Raises:
            Refused: it cannot be.
        """
        if self.url is not None and not self.path.exists():
            try:
                fetch(self.url, self.path, max_bytes=self.max_bytes, seconds=self.seconds, allowed=self.addresses)
            except AddressRefused as error:
                raise Refused(403, str(error), 'address_refused') from None
            except FetchError as error:
                raise Refused(502, str(error), 'not_fetched') from None
        return self.path


async def read_items(
    request: Request, folder: Path, *, limits: Limits, addresses: AllowedAddresses, most: int
) -> list[Item]:
    """Return the files that a request holds or names; addresses are not fetched yet.

    Args:
        request: its body is read.
        folder: where files are put; the caller removes it.
        limits: what is accepted.
        addresses: those that a request may name.
        most: how many files there may be.

    Raises:
        Refused: the body is of none of the accepted kinds, or too large.
    """
    coding = request.headers.get('content-encoding', 'identity').strip().lower()
    if coding not in ('', 'identity'):
        raise Refused(415, f'Content-Encoding: {coding[:100]} is not supported; send the file itself.', 'wrong_kind')
    stream, headers = request.stream(), request.headers
    kind = _kind_of(headers)
    if kind in _UNTYPED:
        start, stream = await _peek(stream)
        headers = Headers({**headers, 'content-type': _detect(start) or _FILE})
        kind = _kind_of(headers)
    urls: list[str] = []
    if kind == _FORM:
        items, urls = await _from_form(headers, stream, folder, most, limits)
    elif kind == _JSON:
        items, urls = [], _urls_of(await _collect(stream, JSON_BYTES))
    elif kind.startswith(_SINGLE):
        items = [await _single_file(headers, stream, folder)]
        limits.check_file(items[0].name, items[0].path.stat().st_size)
    else:
        raise Refused(
            415, f'Send {_FORM} with parts named "files", {_JSON} as {{"urls": [...]}}, or one file as image/*, '
            f'video/* or application/octet-stream; not {kind[:100]!r}.', 'wrong_kind',
        )  # fmt: skip
    for url in urls:
        try:
            addresses.check(url)
        except AddressRefused as error:
            raise Refused(403, str(error), 'address_refused') from None
        path = _place(folder, len(items), file_name_of(url))
        items.append(Item(redact_address(url), path, url, limits.upload_bytes, limits.seconds, addresses))
    if not items or not any(item.url is not None or item.path.stat().st_size for item in items):
        raise Refused(422, 'The request holds no file and names no address.', 'nothing')
    if len(items) > most:
        raise Refused(413, f'A request may hold {most} files here, not {len(items)}.', 'too_many')
    return items


def check_query(request: Request) -> None:
    """Refuse parameters of the address that the path does not know, or that are there twice.

    Raises:
        Refused: there is one, on a path that takes files.
    """
    if request.url.path not in FILE_PATHS:
        return
    accepted = [field.alias for field in request.scope['route'].dependant.query_params]
    names = [name for name, _ in request.query_params.multi_items()]
    for name in names:
        if name not in accepted:
            raise Refused(
                422, f'Unknown parameter {name[:100]!r} of the address.{did_you_mean(name[:100], accepted)} There are: '
                f'{", ".join(accepted)}.', 'wrong_query',
            )  # fmt: skip
        if names.count(name) > 1:
            raise Refused(422, f'The parameter {name!r} of the address is there twice.', 'wrong_query')


def _kind_of(headers: Headers) -> str:
    return headers.get('content-type', '').partition(';')[0].strip().lower()


async def _peek(stream: AsyncGenerator[bytes, None]) -> tuple[bytes, AsyncGenerator[bytes, None]]:
    """Return the first bytes of a stream, and the whole stream."""
    start = b''
    async for block in stream:
        start += block
        if len(start) >= _DETECTED_BYTES:
            break

    async def whole() -> AsyncGenerator[bytes, None]:
        yield start
        async for block in stream:
            yield block

    return start[:_DETECTED_BYTES], whole()


def _detect(start: bytes) -> str | None:
    """Return the content type of a body that begins so, where it is a form or JSON."""
    if form := re.match(rb'--([^\r\n]{1,70})\r\ncontent-', start, re.IGNORECASE):
        return f'{_FORM}; boundary="{form[1].decode("latin-1")}"'
    return _JSON if re.match(rb'(?:\xef\xbb\xbf)?\s*[\[{]\s*["\[{\]}]', start) else None


async def _collect(stream: AsyncGenerator[bytes, None], most: int) -> bytes:
    body = bytearray()
    async for block in stream:
        body += block
        if len(body) > most:
            raise Refused(413, f'The request is too large: a JSON body may have {most / 1e6:g} MB.', 'too_large')
    return bytes(body)


async def _single_file(headers: Headers, stream: AsyncGenerator[bytes, None], folder: Path) -> Item:
    name = _file_name_in(headers.get('content-disposition', '')) or 'body'
    path = _place(folder, 0, clean_file_name(name))
    with open(path, 'wb') as file:  # noqa: ASYNC230 - the writing is what takes time
        held = bytearray()
        async for block in stream:
            held += block
            if len(held) >= _WRITTEN_AT_ONCE:
                await anyio.to_thread.run_sync(file.write, held)
                held = bytearray()
        await anyio.to_thread.run_sync(file.write, held)
    return Item(name[:_NAME_LENGTH], path)


def _file_name_in(disposition: str) -> str | None:
    """Return the name that a Content-Disposition header gives to a file, also as RFC 5987 writes it."""
    options = parse_options_header(disposition)[1]
    if b'filename' in options:
        return options[b'filename'].decode('utf-8', 'replace')
    extended = _EXTENDED_NAME.search(disposition)
    return unquote(extended[2], extended[1], 'replace') if extended else None


async def _from_form(
    headers: Headers, stream: AsyncGenerator[bytes, None], folder: Path, most: int, limits: Limits
) -> tuple[list[Item], list[str]]:
    items: list[Item] = []
    urls: list[str] = []
    try:
        parser = _WholeForm(
            headers, stream, max_files=most, max_fields=most, max_part_size=65536
        )  # fmt: skip
        async with contextlib.AsyncExitStack() as stack:
            parts = await parser.parse()
            stack.push_async_callback(parts.close)
            for name, value in parts.multi_items():
                if name in ('url', 'urls') and isinstance(value, str):
                    urls.append(value)
                elif name in ('file', 'files') and not isinstance(value, str):
                    path = _place(folder, len(items), clean_file_name(value.filename or 'file'))
                    with open(path, 'wb') as file:  # noqa: ASYNC230 - the copying is what takes time
                        await anyio.to_thread.run_sync(shutil.copyfileobj, value.file, file)
                    items.append(Item((value.filename or 'file')[:_NAME_LENGTH], path))
                    limits.check_file(items[-1].name, path.stat().st_size)
                elif name in ('file', 'files'):
                    raise Refused(
                        422, f'The part {name!r} of the form holds text, not a file; with curl a file is -F '
                        'files=@photo.jpg, with an @.', 'wrong_part',
                    )  # fmt: skip
                else:
                    raise Refused(
                        422, f'A part of the form is named {name[:50]!r}; files come as "files", addresses as "urls".',
                        'wrong_part',
                    )  # fmt: skip
    except MultiPartException as error:
        if 'Too many' in error.message:
            raise Refused(413, f'A request may hold {most} files or addresses here.', 'too_many') from None
        raise Refused(400, f'The form is invalid: {error.message}', 'wrong_form') from None
    return items, urls


class _WholeForm(MultiPartParser):
    """Refuses a form that ends before its last boundary: it may lack files unnoticed."""

    ended = False

    def on_headers_finished(self) -> None:
        # RFC 7578 forbids ``filename*`` in forms, and the parser ignores it; some clients send no other name.
        part = self._current_part
        disposition = part.content_disposition or b''
        if b'filename' not in parse_options_header(disposition)[1] and (
            name := _file_name_in(disposition.decode('latin-1'))
        ):
            quoted = name.replace('\\', r'\\').replace('"', r'\"')
            part.content_disposition = disposition + f'; filename="{quoted}"'.encode('utf-8', 'replace')
        super().on_headers_finished()

    def on_end(self) -> None:
        super().on_end()
        self.ended = True

    async def parse(self) -> FormData:
        form = await super().parse()
        if not self.ended:
            await form.close()
            raise MultiPartException('It ends before its last boundary.')
        return form


def _place(folder: Path, number: int, name: str) -> Path:
    """Return where a file is put: messages name it as its sender does, and two of one name do not meet."""
    path = folder / str(number) / name
    path.parent.mkdir()
    return path


def _urls_of(body: bytes) -> list[str]:
    try:
        content: Any = parse_json(body.decode(), 'The body')
    except UnicodeDecodeError:
        raise Refused(400, 'The body is not JSON in UTF-8.', 'wrong_json') from None
    except ValueError as error:
        raise Refused(400, str(error), 'wrong_json') from None
    urls = content.get('urls', [content['url']] if 'url' in content else None) if isinstance(content, dict) else None
    if not isinstance(urls, list) or not all(isinstance(url, str) for url in urls) or len(content) != 1:
        raise Refused(422, 'A JSON body is {"urls": ["https://...", ...]}, and nothing else.', 'wrong_json')
    return urls


def request_body(kind: str) -> dict:
    """Describe the body for OpenAPI."""
    file = {'type': 'string', 'format': 'binary'}
    urls = {'type': 'array', 'items': {'type': 'string', 'format': 'uri'}}
    alone = 'image/*' if kind == 'pictures' else 'video/*'
    form = {'type': 'object', 'properties': {'files': {'type': 'array', 'items': file}, 'urls': urls}}
    named = {'type': 'object', 'properties': {'urls': urls}, 'required': ['urls'], 'additionalProperties': False}
    content = {_FORM: {'schema': form}, _JSON: {'schema': named}, alone: {'schema': file}}
    statuses = {
        401: 'the token is missing or wrong', 403: 'an address that is not on the list',
        408: 'the body was incomplete when its time was over', 413: 'too large, or too many',
        415: 'a body of another kind', 422: f'none of the {kind} can be read', 502: 'an address cannot be fetched',
        503: 'busy: try again in a moment', 507: 'no room on the disk of the server',
    }  # fmt: skip
    responses = {str(status): {'description': text} for status, text in statuses.items()}
    return {'requestBody': {'required': True, 'content': content}, 'responses': responses}
