"""Servers that really listen, on loopback, in a thread, and clients that send them what is good and what is not."""

import contextlib
import http.server
import io
import json
import socket
import threading
import time
import urllib.error
import urllib.request
import uuid

from helpers_apis import photo
from PIL import Image

from miqa.serving.listening import listen_on, make_server, url_of


@contextlib.contextmanager
def running(app, **options):
    """Serve an ASGI application on a free port of 127.0.0.1; gives its URL."""
    listening = listen_on('127.0.0.1', 0)
    server = make_server(app, grace=2, **options)
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
    threading.Thread(target=server.serve_forever, daemon=True).start()
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


def png(seed=0, size=(120, 90)):
    """The bytes of a PNG photograph."""
    buffer = io.BytesIO()
    Image.fromarray(photo(*size, seed=seed)).save(buffer, 'PNG')
    return buffer.getvalue()


def form(*files, **fields):
    """Build a form of files and fields: (headers, body)."""
    boundary = uuid.uuid4().hex
    parts = []
    for name, content in files:
        head = f'Content-Disposition: form-data; name="files"; filename="{name}"\r\nContent-Type: image/png\r\n\r\n'
        parts.append(head.encode() + content)
    for name, values in fields.items():
        parts += [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode() for value in values]
    body = b''.join(f'--{boundary}\r\n'.encode() + part + b'\r\n' for part in parts) + f'--{boundary}--\r\n'.encode()
    return {'Content-Type': f'multipart/form-data; boundary={boundary}'}, body


def ask(url, body=None, headers=None, method=None):
    """Return (status, answer) of a request that no proxy sees."""
    request = urllib.request.Request(url, body, headers or {}, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=120) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read()
    with contextlib.suppress(ValueError):
        return status, json.loads(text)
    return status, text


def score(url, *files, **fields):
    """Post a form to /score."""
    headers, body = form(*files, **fields)
    return ask(f'{url}/score', body, headers)


def raw_request(url, *parts, pause=0.0):
    """Send the parts of a request as they are; return what is answered until the server closes."""
    host, _, port = url.partition('://')[2].partition(':')
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause)
        answer = b''
        while block := connection.recv(65536):
            answer += block
    return answer
