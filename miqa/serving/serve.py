"""A page to try models: ``miqa serve``. Made with Gradio; works without internet, and listens on this computer only."""

from __future__ import annotations

import contextlib
import os
import webbrowser
from collections.abc import Callable, Iterator, Sequence

from miqa.apis.scoring import Scorer
from miqa.running import require
from miqa.taxonomy import LABELS, TASKS

from .desk import Limits
from .doorman import Doorman, Hosts
from .gradio_import import import_gradio
from .layout import build_page
from .listening import listen_on, make_server, run_until_told, url_of, without_proxies
from .uploads import NotUploaded, Uploads, private_folder

#: What all uploads of the last hour may have together, and those of one request, in multiples of the largest one.
KEPT_UPLOADS, UPLOADS_AT_ONCE = 20, 4
_API = '/gradio_api/'
_UPLOAD, _FILE = f'{_API}upload', f'{_API}file='
#: What the page in the browser asks for; nothing else is answered.
_PATHS = frozenset(
    ['/', '/config', '/config/', '/theme.css', '/favicon.ico', '/manifest.json', '/robots.txt', _UPLOAD]
    + [_API + name for name in ('info', 'info/', 'app_id', 'app_id/', 'startup-events', 'theme.css', 'user', 'user/')]
    + [_API + name for name in ('login_check', 'login_check/', 'queue/join', 'queue/data', 'queue/status')]
    + [_API + name for name in ('upload_progress', 'cancel', 'reset', 'reset/')]
)
_FOLDERS = ('/static/', '/assets/', '/svelte/', f'{_API}heartbeat/')
_CSS = """
.gradio-container { max-width: 1180px !important; margin: 0 auto !important; }
.miqa-card { padding: 4px 2px; }
.miqa-line { display: flex; align-items: center; gap: 16px; }
.miqa-score { font-size: 52px; line-height: 1.1; font-weight: 650; font-variant-numeric: tabular-nums; }
.miqa-word { padding: 3px 14px; border-radius: 999px; font-weight: 600; font-size: 17px; }
.miqa-scale { position: relative; height: 14px; border-radius: 7px; margin: 14px 0 6px;
  background: linear-gradient(90deg, #bd4149, #f68f5b, #fdf3a5, #94cc74, #2a7f55); }
.miqa-scale b { position: absolute; top: -5px; width: 6px; height: 24px; margin-left: -3px; border-radius: 3px;
  background: var(--body-text-color); border: 1px solid var(--background-fill-primary); }
.miqa-scale .tick { position: absolute; top: 0; width: 1px; height: 14px; background: rgba(0, 0, 0, .45); }
.miqa-ends, .miqa-note { display: flex; justify-content: space-between; font-size: 13px;
  color: var(--body-text-color-subdued); }
.miqa-note { margin-top: 8px; }
.miqa-problems { color: #b45309; margin-top: 8px; }
"""


@contextlib.contextmanager
def page_app(
    load_model: Callable[[str, str], Scorer], hosts: Hosts, limits: Limits | None = None, **options
) -> Iterator[tuple[Callable, Callable[[], None]]]:
    """Make the page as an ASGI application whose uploads lie in a folder of their own, removed at the end.

    Args:
        load_model: see :func:`build_page`.
        hosts: what the server is called.
        limits: what a request may ask for.
        options: ``tasks``, ``labels``, ``model_text`` of :func:`build_page`.

    Yields:
        The application, and a function that ends its open connections.
    """
    gradio = import_gradio()
    fastapi = require('fastapi', 'The page')
    limits = limits or Limits()
    with private_folder() as folder, _gradio_folder(folder), without_proxies():
        uploads = Uploads(folder, most_bytes=KEPT_UPLOADS * limits.upload_mb * 1e6)
        page = build_page(load_model, limits, uploads=uploads, **options)
        page.queue(max_size=32)
        # Names of fonts that computers have, as plain strings: Gradio's own default fetches one from Google.
        fonts = ['system-ui', '-apple-system', 'Segoe UI', 'Roboto', 'sans-serif']
        mono = ['ui-monospace', 'Consolas', 'monospace']
        app = gradio.mount_gradio_app(
            fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None), page, path='/', show_error=False,
            max_file_size=f'{limits.upload_mb}mb', ssr_mode=False, footer_links=[], enable_monitoring=False,
            mcp_server=False, pwa=False, run_history=False, theme=gradio.themes.Soft(
                primary_hue='blue', font=fonts, font_mono=mono
            ), css=_CSS,
        )  # fmt: skip
        page.has_launched = True  # Gradio checks files only of pages that it launched itself

        def refuse(scope: dict, length: int | None) -> tuple[int, str] | None:
            return _refusal(scope['path'], length, uploads, limits)

        def end() -> None:
            page.is_running = False
            for route in app.routes:
                if hasattr(getattr(route, 'app', None), 'stop_event'):
                    route.app.stop_event.set()

        def body_limit(path: str) -> int:
            # One request carries all pictures of a comparison.
            return int(UPLOADS_AT_ONCE * limits.upload_mb * 1e6) if path == _UPLOAD else 1_000_000

        yield Doorman(app, hosts, body_limit, refuse), end


@contextlib.contextmanager
def _gradio_folder(folder) -> Iterator[None]:
    before = os.environ.get('GRADIO_TEMP_DIR')
    os.environ['GRADIO_TEMP_DIR'] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ['GRADIO_TEMP_DIR']
        else:
            os.environ['GRADIO_TEMP_DIR'] = before


def _refusal(path: str, length: int | None, uploads: Uploads, limits: Limits) -> tuple[int, str] | None:
    """Refuse what the page does not need, such as Gradio's proxies and streams, and files that are no uploads."""
    if path.startswith(_FILE):
        try:
            uploads.file(path[len(_FILE) :])
        except NotUploaded as error:
            return 404, str(error)
        return None
    if path not in _PATHS and not path.startswith(_FOLDERS):
        return 404, 'There is nothing here.'
    if path == _UPLOAD and not uploads.has_room_for(length or int(limits.upload_mb * 1e6)):
        return 507, 'There is no room for more uploads. They are kept for an hour: try again later.'
    return None


def serve(
    load_model: Callable[[str, str], Scorer],
    *,
    tasks: tuple[str, ...] = TASKS,
    labels: tuple[str, ...] = LABELS,
    model_text: str = '',
    limits: Limits | None = None,
    host: str = '127.0.0.1',
    port: int = 7860,
    names: Sequence[str] = (),
    open_browser: bool = False,
) -> None:
    """Open the page and answer until interrupted.

    Args:
        load_model: (task, label) -> model, called when a pair is first asked for.
        tasks: what the user may choose from; the first is chosen at the beginning.
        labels: likewise.
        model_text: says which model answers.
        limits: what a request may ask for.
        host: address to listen on; the default is reachable from this computer only.
        port: port to listen on.
        names: further names that the server answers under, such as that of a proxy in front of it.
        open_browser: open the page in the browser.

    Raises:
        OSError: the port is taken.
        ImportError: Gradio is not installed.
    """
    import_gradio()
    listening = listen_on(host, port)
    url = url_of(listening, host)

    def started() -> None:
        print(f'The page is at {url} (Ctrl-C ends it).', flush=True)
        if open_browser:
            webbrowser.open(url)

    with (
        contextlib.closing(listening),
        page_app(
            load_model, Hosts(host, names), limits, tasks=tasks, labels=labels, model_text=model_text
        ) as (app, end),
    ):  # fmt: skip
        run_until_told(make_server(app, end, grace=3), listening, started)
