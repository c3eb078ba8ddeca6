"""Servers that really listen, on loopback, in a thread: the page, and web servers for what is fetched."""

import contextlib
import http.server
import threading
import time

from miqa.serving.doorman import Hosts
from miqa.serving.listening import listen_on, make_server, url_of


@contextlib.contextmanager
def running(app, end=lambda: None):
    """Serve an ASGI application on a free port of 127.0.0.1; gives its URL."""
    listening = listen_on('127.0.0.1', 0)
    server = make_server(app, end, grace=2)
    thread = threading.Thread(target=server.run, kwargs={'sockets': [listening]}, daemon=True)
    thread.start()
    until = time.monotonic() + 60
    while not server.started and time.monotonic() < until:
        time.sleep(0.02)
    try:
        yield url_of(listening, '127.0.0.1')
    finally:
        server.should_exit = True
        thread.join(20)
        listening.close()
        assert not thread.is_alive(), 'the server does not end'


@contextlib.contextmanager
def running_page(load_model, limits=None, **options):
    """Serve the page; gives its URL."""
    from miqa.serving.desk import Limits
    from miqa.serving.serve import page_app

    with (
        page_app(load_model, Hosts('127.0.0.1'), limits or Limits(), **options) as (app, end),
        running(app, end) as url,
    ):
        yield url


@contextlib.contextmanager
def web_server(answer):
    """Serve HTTP on loopback: ``answer(handler)`` for each GET; gives host and port, and the headers that came."""
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):  # noqa: N802 - the name that http.server wants
            seen.append((self.path, dict(self.headers)))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                answer(self)

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f'127.0.0.1:{server.server_port}', seen
    finally:
        server.shutdown()
        server.server_close()


def files(contents):
    """Answer with these files, by path."""

    def answer(handler):
        content = contents.get(handler.path.partition('?')[0])
        if content is None:
            handler.send_error(404)
            return
        handler.send_response(200)
        handler.send_header('Content-Length', str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return answer
