"""What the scoring endpoint takes, and from whom."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from miqa.outside.regular_files import read_regular_text

from .doorman import is_loopback

#: The environment variable that holds the bearer token.
TOKEN_VARIABLE = 'MIQA_TOKEN'  # noqa: S105 - a variable's name
_SHORTEST_TOKEN = 16


@dataclass(frozen=True)
class ServiceLimits:
    """What a request may ask for.

    Attributes:
        picture_mb: size of a picture's file, in MB; all pictures of a request may have four times as much.
        video_mb: size of a video's file, in MB.
        megapixels: size of a picture.
        pictures: pictures in one request.
        frames: scored frames of a video.
        video_minutes: length of a video.
        requests: requests that are answered at a time; more are told to come back.
        seconds: the longest that fetching an address may take.
    """

    picture_mb: float = 50.0
    video_mb: float = 500.0
    megapixels: float = 100.0
    pictures: int = 32
    frames: int = 300
    video_minutes: float = 60.0
    requests: int = 64
    seconds: float = 60.0

    def __post_init__(self):
        """Refuse limits that let nothing through."""
        for name, value in vars(self).items():
            if not value > 0:
                raise ValueError(f'The limit {name} must be positive, not {value}.')

    def body_bytes(self, path: str) -> int:
        """Return how large a request's body may be."""
        megabytes = {'/score': 4 * self.picture_mb, '/video': self.video_mb}.get(path, 0)
        return int(1e6 * megabytes) + 65536  # the parts' own headers


def find_token(host: str, token_file: str | os.PathLike | None = None) -> str | None:
    """Return the bearer token that requests must carry: from a file, or from the environment; None for none.

    A token is not taken from the command line, where every user of the computer could read it.

    Args:
        host: the address to listen on; without a token it must be a loopback one.
        token_file: a file with the token alone, readable by its owner only.

    Raises:
        ValueError: there is none and there must be, or it is too short, or others can read its file.
    """
    if token_file is not None:
        token = read_regular_text(token_file, 65536, what='token file').strip()
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
