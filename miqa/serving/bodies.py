"""What comes in the body of a request: files, a file alone, or addresses."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import anyio
from pydantic_core import from_json
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from miqa.outside.addresses import AddressRefused, AllowedAddresses, redact_address
from miqa.outside.fetching import FetchError, clean_file_name, fetch, file_name_of

from .settings import ServiceLimits

_NAME_LENGTH = 255
_FORM, _JSON = 'multipart/form-data', 'application/json'
_ALONE = ('image/', 'video/', 'application/octet-stream')


class Refused(Exception):
    """A request, or a picture of it, that cannot be answered.

    Args:
        status: the HTTP status.
        sentence: what is wrong.
        kind: for counting.
    """

    def __init__(self, status: int, sentence: str, kind: str):
        super().__init__(sentence)
        self.status, self.kind = status, kind


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
    request: Request, folder: Path, *, limits: ServiceLimits, addresses: AllowedAddresses, most: int, megabytes: float
) -> list[Item]:
    """Return the files that a request holds or names; addresses are not asked yet.

    Args:
        request: its body is read.
        folder: where files are put; the caller removes it.
        limits: what is taken.
        addresses: those that may be named.
        most: how many there may be.
        megabytes: how large each may be.

    Raises:
        Refused: the body is none of the kinds that are taken, or too much.
    """
    kind = request.headers.get('content-type', '').partition(';')[0].strip().lower()
    coding = request.headers.get('content-encoding', 'identity').strip().lower()
    if coding not in ('', 'identity'):
        raise Refused(415, f'Bodies are taken as they are, without Content-Encoding: {coding[:100]}.', 'wrong_kind')
    max_bytes = int(megabytes * 1e6)
    if kind == _FORM:
        items, urls = await _from_form(request, folder, most, max_bytes)
    elif kind == _JSON:
        items, urls = [], _urls_of(await request.body())
    elif kind.startswith(_ALONE):
        path = _place(folder, 0, 'file')
        async with await anyio.open_file(path, 'wb') as stream:
            async for block in request.stream():
                await stream.write(block)
        items, urls = [Item('file', path)], []
        _check_size(items[0], max_bytes)
    else:
        raise Refused(
            415, f'Send {_FORM} with parts named "files", {_JSON} as {{"urls": [...]}}, or a file alone as image/*, '
            f'video/* or application/octet-stream; not {repr(kind[:100]) if kind else "without a Content-Type"}.',
            'wrong_kind',
        )  # fmt: skip
    for url in urls:
        try:
            addresses.check(url)
        except AddressRefused as error:
            raise Refused(403, str(error), 'address_refused') from None
        path = _place(folder, len(items), file_name_of(url))
        items.append(Item(redact_address(url), path, url, max_bytes, limits.seconds, addresses))
    if not items:
        raise Refused(422, 'The request holds no file and names no address.', 'nothing')
    if len(items) > most:
        raise Refused(413, f'A request may hold {most} files here, not {len(items)}.', 'too_many')
    return items


async def _from_form(request: Request, folder: Path, most: int, max_bytes: int) -> tuple[list[Item], list[str]]:
    items: list[Item] = []
    urls: list[str] = []
    try:
        parser = _WholeForm(
            request.headers, request.stream(), max_files=most, max_fields=most, max_part_size=65536
        )  # fmt: skip
        async with contextlib.AsyncExitStack() as stack:
            parts = await parser.parse()
            stack.push_async_callback(parts.close)
            for name, value in parts.multi_items():
                if name in ('url', 'urls') and isinstance(value, str):
                    urls.append(value)
                elif name in ('file', 'files') and not isinstance(value, str):
                    path = _place(folder, len(items), clean_file_name(value.filename or 'file'))
                    with open(path, 'wb') as stream:  # noqa: ASYNC230 - the copying is what takes time
                        await anyio.to_thread.run_sync(shutil.copyfileobj, value.file, stream)
                    items.append(Item((value.filename or 'file')[:_NAME_LENGTH], path))
                    _check_size(items[-1], max_bytes)
                else:
                    raise Refused(
                        422, f'A part of the form is named {name[:50]!r}; files come as "files", addresses as "urls".',
                        'wrong_part',
                    )  # fmt: skip
    except MultiPartException as error:
        if 'Too many' in error.message:
            raise Refused(413, f'A request may hold {most} files or addresses here.', 'too_many') from None
        raise Refused(400, f'The form is not as it should be: {error.message}', 'wrong_form') from None
    return items, urls


class _WholeForm(MultiPartParser):
    """Refuses a form that ends before its last boundary: it may lack files, which nobody would notice."""

    ended = False

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


def _check_size(item: Item, max_bytes: int) -> None:
    size = os.stat(item.path).st_size  # noqa: PTH116 - as fast as it gets
    if size > max_bytes:
        raise Refused(
            413, f'{item.name} is too large: a file may have {max_bytes:,} bytes here, not {size:,}.', 'too_large'
        )


def _urls_of(body: bytes) -> list[str]:
    try:
        # Its depth is bounded; the standard library's parser falls over deep nesting.
        told = from_json(body)
    except ValueError:
        raise Refused(400, 'The body is not JSON, though it says that it is.', 'wrong_json') from None
    urls = told.get('urls', [told['url']] if 'url' in told else None) if isinstance(told, dict) else None
    if not isinstance(urls, list) or not all(isinstance(url, str) for url in urls) or set(told) - {'urls', 'url'}:
        raise Refused(422, 'A JSON body is {"urls": ["https://...", ...]}, and nothing else.', 'wrong_json')
    return urls


def request_body(what: str) -> dict:
    """Describe the body for OpenAPI."""
    file = {'type': 'string', 'format': 'binary'}
    urls = {'type': 'array', 'items': {'type': 'string', 'format': 'uri'}}
    alone = 'image/*' if what == 'pictures' else 'video/*'
    form = {'type': 'object', 'properties': {'files': {'type': 'array', 'items': file}, 'urls': urls}}
    named = {'type': 'object', 'properties': {'urls': urls}, 'required': ['urls'], 'additionalProperties': False}
    content = {_FORM: {'schema': form}, _JSON: {'schema': named}, alone: {'schema': file}}
    statuses = {
        401: 'no token, or a wrong one', 403: 'an address that is not on the list',
        408: 'the body did not come in time', 413: 'too large, or too many',
        415: 'a body of another kind', 422: f'none of the {what} can be read', 502: 'an address cannot be fetched',
        503: 'busy: come back after a moment',
    }  # fmt: skip
    responses = {str(status): {'description': text} for status, text in statuses.items()}
    return {'requestBody': {'required': True, 'content': content}, 'responses': responses}
