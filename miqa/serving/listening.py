"""Serve an ASGI application until a signal, with an orderly shutdown."""

from __future__ import annotations

import contextlib
import errno
import functools
import signal
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from miqa.running import require

from .request_guard import Timeouts

if TYPE_CHECKING:
    from .connections import ConnectionLimits

_TIMEOUTS = Timeouts()


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
        if error.errno == errno.EADDRINUSE:
            raise OSError(f'Port {port} of {host} is in use: choose another, --port {(port + 1) % 65536}.') from error
        raise OSError(f'The server cannot listen on {host}, port {port}: {error.strerror or error}.') from error


def url_of(listening: socket.socket, host: str) -> str:
    """Return the address for a browser on this computer."""
    name = {'0.0.0.0': '127.0.0.1', '::': '::1'}.get(host, host)  # noqa: S104  looked up, not bound
    return f'http://{f"[{name}]" if ":" in name else name}:{listening.getsockname()[1]}'


def urls_of(listening: socket.socket, host: str) -> list[str]:
    """Return the addresses under which a server can be opened: on this computer, and from the network."""
    urls = [url_of(listening, host)]
    if host in ('0.0.0.0', '::'):  # noqa: S104  looked up, not bound
        # No packet is sent: connecting a UDP socket only chooses the interface. The addresses are for documentation.
        with contextlib.suppress(OSError), socket.socket(listening.family, socket.SOCK_DGRAM) as probe:
            probe.connect(('192.0.2.1', 9) if host == '0.0.0.0' else ('2001:db8::1', 9))  # noqa: S104
            urls.append(url_of(listening, probe.getsockname()[0]))
    return list(dict.fromkeys(urls))


def make_server(app: Callable, grace: int = 10, limits: ConnectionLimits | None = None, timeouts: Timeouts = _TIMEOUTS):
    """Return a ``uvicorn.Server`` for ``app``: quiet, without websockets, with limits on connections.

    Args:
        app: an ASGI application.
        grace: seconds that requests in progress get when the server ends.
        limits: how many connections may be open; by default what the process's limit on open files allows.
        timeouts: for headers, and for clients that do not read their answers.
    """
    uvicorn = require('uvicorn', 'Serving')
    from .connections import ConnectionLimits, GuardedProtocol, OpenConnections

    limits = limits or ConnectionLimits.for_descriptors()
    protocol = functools.partial(
        GuardedProtocol, open_connections=OpenConnections(limits), timeouts=timeouts
    )  # fmt: skip
    # Access logs would hold queries of URLs, which may be secrets. Idle connections are closed after a minute.
    config = uvicorn.Config(
        app, log_level='error', access_log=False, lifespan='on', ws='none', timeout_keep_alive=60,
        timeout_graceful_shutdown=grace, server_header=False, proxy_headers=False, http=protocol,
        backlog=limits.backlog,
    )  # fmt: skip
    return uvicorn.Server(config)


def run_until_signal(server, listening: socket.socket, on_start: Callable[[], None] = lambda: None) -> None:
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


def serve_app(
    build: Callable[[], Callable],
    host: str,
    port: int,
    name: str,
    grace: int = 30,
    on_start: Callable[[str], object] = lambda url: None,
) -> None:
    """Listen, build an application, and answer until told to end; requests in progress are finished.

    Args:
        build: makes the ASGI application, after the port is known to be free.
        host: address to listen on.
        port: port to listen on.
        name: what to call it in the message that it has started.
        grace: seconds that requests in progress get at the end.
        on_start: called with the URL when the server answers.
    """
    listening = listen_on(host, port)
    with contextlib.closing(listening):
        server = make_server(build(), grace=grace)
        urls = urls_of(listening, host)

        def started() -> None:
            print(f'{name} is at {" and ".join(urls)} (Ctrl-C ends it).', flush=True)
            on_start(urls[0])

        run_until_signal(server, listening, started)
