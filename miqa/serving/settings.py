"""The limits of the server, and its token."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from miqa.outside.regular_files import read_regular_text

from .allowed_hosts import is_loopback

#: The environment variable that holds the bearer token.
TOKEN_VARIABLE = 'MIQA_TOKEN'  # noqa: S105 - a variable's name
_SHORTEST_TOKEN = 16


JSON_BYTES = 1_000_000  # A list of addresses takes no more, and a parsed one would take many times its size
_FORM_BYTES = 65_536  # Headers and boundaries of the parts of a form, beside the files in it
FILE_PATHS = ('/score', '/heatmap', '/video')  # Paths whose requests carry files


@dataclass(frozen=True)
class Limits:
    """Limits for one request."""

    upload_mb: float = 500.0  # size of a file, and of all files of a request together, in MB
    megapixels: float = 100.0  # size of a picture
    pictures: int = 32  # pictures in one request
    frames: int = 300  # scored frames of a video
    video_minutes: float = 60.0  # length of a video
    requests: int = 64  # requests in progress at a time; further ones get 503
    seconds: float = 60.0  # for fetching an address

    def __post_init__(self):
        """Refuse limits that let nothing through."""
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f'The limit {name} must be positive, not {value}.')

    @property
    def upload_bytes(self) -> int:
        """``upload_mb`` in bytes."""
        return int(1e6 * self.upload_mb)

    def body_limit(self, scope: dict) -> tuple[int, str]:
        """Return how many bytes a request's body may have, and what to say of a larger one."""
        kinds = [value for name, value in scope['headers'] if name.lower() == b'content-type']
        if scope['path'] not in FILE_PATHS:
            return _FORM_BYTES, 'The request is too large: this path takes no files.'
        if kinds and kinds[0].partition(b';')[0].strip().lower() == b'application/json':
            return JSON_BYTES, f'The request is too large: a JSON body may have {JSON_BYTES / 1e6:g} MB.'
        return self.upload_bytes + _FORM_BYTES, (
            f'The request is too large: its files may have {self.upload_mb:g} MB together (miqa serve --max-upload).'
        )

    def check_file(self, name: str, size: int) -> None:
        """Refuse a file of ``size`` bytes that is too large.

        Raises:
            Refused: with status 413.
        """
        if size > self.upload_bytes:
            raise Refused(
                413, f'{name} is too large: it has {size / 1e6:.1f} MB, and a file may have {self.upload_mb:g} MB '
                '(miqa serve --max-upload).', 'too_large',
            )  # fmt: skip


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


def find_token(host: str, token_file: str | os.PathLike | None = None) -> str | None:
    """Return the bearer token that requests must carry: from a file, or from the environment; None for none.

    A token is not taken from the command line, where every user of the computer could read it.

    Args:
        host: the address to listen on; without a token it must be a loopback one.
        token_file: a file with the token alone, readable by its owner only.

    Raises:
        ValueError: it is missing, or it is too short, or others can read its file.
    """
    if token_file is not None:
        token = read_regular_text(token_file, 65536, kind='token file').strip()
        if Path(token_file).stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO) and os.name == 'posix':
            raise ValueError(f'Other users can read the token file {token_file}. Run: chmod 600 {token_file}')
    else:
        token = os.environ.get(TOKEN_VARIABLE, '').strip()
    if not token:
        if is_loopback(host):
            return None
        raise ValueError(
            f'On {host} the server can be reached from elsewhere, and needs a token there: put one into the '
            f'environment, export {TOKEN_VARIABLE}=$(openssl rand -hex 32), or into a file, --token-file FILE.'
        )
    if len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or ' ' in token:
        raise ValueError(
            f'The token must have at least {_SHORTEST_TOKEN} printable ASCII characters without spaces; '
            'openssl rand -hex 32 makes a good one.'
        )
    return token
