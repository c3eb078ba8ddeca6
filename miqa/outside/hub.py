"""Access to the Hugging Face Hub without waiting where it is unreachable."""

from __future__ import annotations

import contextlib
import socket
import urllib.request
from collections.abc import Iterator
from urllib.parse import urlparse

_SECONDS = 5.0


@contextlib.contextmanager
def hub_or_cache() -> Iterator[None]:
    """Use the Hub within the block; where it cannot be reached, only what was fetched before.

    The Hub's client tries each file six times, with a line for each, which takes most of a minute. Here one connection
    is tried, and where that fails the client is set to offline.

    Raises:
        ConnectionError: the Hub cannot be reached, and the block failed for want of it.
    """
    from huggingface_hub import constants

    reason = None if constants.HF_HUB_OFFLINE else _unreachable(constants.ENDPOINT)
    if reason is None:
        yield
        return
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    except Exception as error:
        if not _for_want_of_it(error):
            raise
        raise ConnectionError(f'{constants.ENDPOINT} cannot be reached ({reason})') from error
    finally:
        constants.HF_HUB_OFFLINE = False


def _for_want_of_it(error: BaseException | None) -> bool:
    """Return True if an error, or its cause, says that something was not fetched because there is no network."""
    from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

    while error is not None:
        if isinstance(error, (LocalEntryNotFoundError, OfflineModeIsEnabled)):
            return True
        error = error.__cause__ or error.__context__
    return False


def _unreachable(address: str) -> str | None:
    """Return why a server cannot be reached, or None. What lies behind a proxy is the proxy's affair."""
    url = urlparse(address)
    if url.hostname is None or url.scheme in urllib.request.getproxies():
        return None
    port = url.port or {'http': 80, 'https': 443}.get(url.scheme, 443)
    try:
        socket.create_connection((url.hostname, port), timeout=_SECONDS).close()
    except OSError as error:
        return error.strerror or str(error)
    return None
