"""Run an ASGI application until it is told to end, and end it in order."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator

from miqa.running import require

#: Environment variables that name a proxy for outgoing requests.
_PROXIES = ('http_proxy', 'https_proxy', 'all_proxy', 'ftp_proxy', 'ws_proxy', 'wss_proxy')


@contextlib.contextmanager
def without_proxies() -> Iterator[None]:
    """Hide proxies that the environment names: a server needs none to start, and httpx fails on some (socks)."""
    hidden = {name: value for name, value in os.environ.items() if name.lower() in _PROXIES}
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(hidden)


def listen_on(host: str, port: int) -> socket.socket:
    """Return a listening socket, so that a port that is taken is known before anything is loaded.

    Args:
        host: address or name of this computer.
        port: 0 for any that is free.

    Raises:
        OSError: the port is taken, or the address is not this computer's.
    """
    if not 0 <= port <= 65535:
        raise ValueError(f'A port is a number from 0 to 65535, not {port}.')
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=128)
    except OSError as error:
        raise OSError(f'The server cannot listen on {host}, port {port}; is the port taken? ({error})') from error


def url_of(listening: socket.socket, host: str) -> str:
    """Return the address for a browser on this computer."""
    name = {'0.0.0.0': '127.0.0.1', '::': '::1'}.get(host, host)  # noqa: S104  looked up, not bound
    return f'http://{f"[{name}]" if ":" in name else name}:{listening.getsockname()[1]}'


def make_server(app: Callable, on_end: Callable[[], None] = lambda: None, grace: int = 10):
    """Return a ``uvicorn.Server`` for ``app``: quiet, without websockets, ended in order.

    Args:
        app: an ASGI application.
        on_end: called when the end begins, before open connections are waited for.
        grace: seconds that requests in progress are given at the end.
    """
    uvicorn = require('uvicorn', 'Serving')

    class Server(uvicorn.Server):  # type: ignore[name-defined]  # imported when it is asked for
        async def shutdown(self, sockets=None) -> None:
            on_end()
            await super().shutdown(sockets)

    # Access logs would hold queries of URLs, which may be secrets. Idle connections are closed after a minute.
    config = uvicorn.Config(
        app, log_level='error', access_log=False, lifespan='on', ws='none', timeout_keep_alive=60,
        timeout_graceful_shutdown=grace, server_header=False, proxy_headers=False,
    )  # fmt: skip
    return Server(config)


def run_until_told(server, listening: socket.socket, on_start: Callable[[], None] = lambda: None) -> None:
    """Answer requests until SIGINT or SIGTERM; both end the requests in progress first.

    Raises:
        KeyboardInterrupt: after SIGINT.
        SystemExit: after SIGTERM, with 143, unless the caller handles the signal in another way.
    """
    in_main = threading.current_thread() is threading.main_thread()
    unhandled = in_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

    def end(number, frame):
        raise SystemExit(128 + number)

    if unhandled:
        # Uvicorn raises the signal again when it has ended: without a handler nothing behind it would be tidied up.
        signal.signal(signal.SIGTERM, end)
    try:
        started = threading.Timer(0, on_start)
        started.daemon = True
        started.start()
        server.run(sockets=[listening])
    finally:
        listening.close()
        if unhandled:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def serve_app(build: Callable[[], Callable], host: str, port: int, name: str, grace: int = 30) -> None:
    """Listen, build an application, and answer until told to end; requests in progress are finished.

    Args:
        build: makes the ASGI application, after the port is known to be free.
        host: address to listen on.
        port: port to listen on.
        name: what it is called where it says that it has started.
        grace: seconds that requests in progress are given at the end.
    """
    listening = listen_on(host, port)
    with contextlib.closing(listening):
        server = make_server(build(), grace=grace)
        url = url_of(listening, host)
        run_until_told(server, listening, lambda: print(f'{name} is at {url} (Ctrl-C ends it).', flush=True))
