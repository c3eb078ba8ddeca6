"""Connection limits before a request: number and idle time."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, NamedTuple

from uvicorn.protocols.http.h11_impl import H11Protocol

from .request_guard import Timeouts

#: Seconds after which a connection that is being closed is dropped, whether or not the client read the rest.
_SECONDS_TO_CLOSE = 5.0


class ConnectionLimits(NamedTuple):
    """How many connections may be open at a time."""

    total: int  # of all clients
    per_client: int  # of one address
    backlog: int  # accepted by the kernel and not yet by the server

    @classmethod
    def for_descriptors(cls, descriptors: int | None = None) -> ConnectionLimits:
        """Return limits that leave descriptors for the model and for uploaded files.

        Args:
            descriptors: how many files this process may open; None for what the operating system says.
        """
        descriptors = _soft_limit() if descriptors is None else descriptors
        # A third each for connections, for a burst in the backlog, and for files.
        total = max(8, min(1024, (descriptors - 64) // 3))
        return cls(total, max(6, 3 * total // 4), min(128, total))


def _soft_limit() -> int:
    try:
        import resource
    except ImportError:  # Windows, whose sockets are not descriptors
        return 4096
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 65536 if soft == resource.RLIM_INFINITY else soft


class OpenConnections:
    """The open connections of one server. Where there are too many, the oldest one without a request makes room."""

    def __init__(self, limits: ConnectionLimits):
        self.limits = limits
        self._connections: dict[GuardedProtocol, str] = {}  # in the order of their arrival
        self._clients: Counter[str] = Counter()

    def add(self, connection: GuardedProtocol) -> bool:
        """Count a new connection; return False if there is no room for it."""
        client = connection.client[0] if connection.client else ''
        if self._clients[client] >= self.limits.per_client and not self._drop_oldest(client):
            return False
        if len(self._connections) >= self.limits.total and not self._drop_oldest(None):
            return False
        self._connections[connection] = client
        self._clients[client] += 1
        return True

    def discard(self, connection: GuardedProtocol) -> None:
        """Forget a connection."""
        client = self._connections.pop(connection, None)
        if client is not None:
            self._clients[client] -= 1
            if not self._clients[client]:
                del self._clients[client]

    def _drop_oldest(self, client: str | None) -> bool:
        for connection, owner in self._connections.items():
            if client in (None, owner) and connection.is_waiting:
                self.discard(connection)
                connection.transport.abort()
                return True
        return False


class GuardedProtocol(H11Protocol):
    """Uvicorn's HTTP/1.1 with a limit on connections and with time for headers and for reading the answer.

    Args:
        open_connections: those of the server.
        timeouts: time limits.
        options: those of uvicorn's protocols.
    """

    def __init__(self, *, open_connections: OpenConnections, timeouts: Timeouts, **options: Any):
        super().__init__(**options)
        self._open_connections, self._timeouts = open_connections, timeouts
        self._header_timer: asyncio.TimerHandle | None = None
        self._reading_timer: asyncio.TimerHandle | None = None
        self._unread_bytes = 0

    @property
    def is_waiting(self) -> bool:
        """True while no request is in progress: its headers are incomplete, or its answer is sent."""
        return self.cycle is None or (self.cycle.response_complete and not self.transport.get_write_buffer_size())

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock, or drop the connection where there are too many."""
        super().connection_made(transport)
        if self._open_connections.add(self):
            self._watch_headers()
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all clocks."""
        self._open_connections.discard(self)
        self._stop_header_timer()
        self._stop_reading_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request; the first of the next one start the clock again."""
        super().data_received(data)
        self._watch_headers()

    def on_response_complete(self) -> None:
        """Wait for the next request, and for the client to read this answer."""
        super().on_response_complete()
        self._stop_header_timer()
        if self.is_waiting and self.conn.trailing_data[0]:
            self._watch_headers()  # a part of the next request came with this one
        self._start_reading_timer()

    def pause_writing(self) -> None:
        """Stop sending to a client that does not read, for a while."""
        super().pause_writing()
        self._start_reading_timer()

    def resume_writing(self) -> None:
        """Go on sending; what is still in the buffer must be read, too."""
        super().resume_writing()
        self._stop_reading_timer()
        self._start_reading_timer()

    def _watch_headers(self) -> None:
        if self.transport.is_closing() or not self.is_waiting:
            self._stop_header_timer()
        elif self._header_timer is None:
            self._header_timer = self.loop.call_later(self._timeouts.headers, self._headers_late)

    def _headers_late(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(b'HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')
            self.transport.close()
        self.loop.call_later(_SECONDS_TO_CLOSE, self.transport.abort)

    def _stop_header_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _start_reading_timer(self) -> None:
        if self._reading_timer is None and self.transport.get_write_buffer_size():
            self._unread_bytes = self.transport.get_write_buffer_size()
            self._reading_timer = self.loop.call_later(self._timeouts.silence, self._check_reading)

    def _check_reading(self) -> None:
        self._reading_timer = None
        # Half of the rest in each interval: a client that reads byte by byte would stay for days.
        if self.transport.get_write_buffer_size() > self._unread_bytes / 2:
            self.transport.abort()
        else:
            self._start_reading_timer()

    def _stop_reading_timer(self) -> None:
        if self._reading_timer is not None:
            self._reading_timer.cancel()
            self._reading_timer = None
