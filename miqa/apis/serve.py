"""A page to try models: ``miqa serve``. Made with Gradio; works without internet, and listens on this computer only."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import ModuleType

from miqa.taxonomy import LABELS, TASKS
from miqa.utils import require

from .scoring import Scorer
from .serve_desk import Desk, Limits, problem_list

TITLE = 'MIQA: image quality for machines'
_TASK_NAMES = {'cls': 'classification', 'det': 'object detection', 'ins': 'instance segmentation'}
_INTRODUCTION = """
# Image quality for machines
How well will vision models do on this picture? The score runs from 0 to 1; higher is better. Pictures and videos stay
on the computer that this page runs on.
"""
_HINT = '<div class="miqa-note">Drop a picture on the left, and its score appears here.</div>'
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


def import_gradio() -> ModuleType:
    """Import Gradio with everything switched off that would call out.

    Raises:
        ImportError: it is not installed; the message says how to install it.
    """
    os.environ['GRADIO_ANALYTICS_ENABLED'] = 'False'
    os.environ['HF_HUB_DISABLE_TELEMETRY'] = '1'
    gradio = require('gradio', 'The page')
    if int(gradio.__version__.split('.')[0]) < 6:
        raise ImportError(f"The page needs Gradio 6 or newer, not {gradio.__version__}: pip install -U 'gradio>=6'")
    return gradio


def build_page(
    load_model: Callable[[str, str], Scorer],
    limits: Limits | None = None,
    *,
    tasks: tuple[str, ...] = TASKS,
    labels: tuple[str, ...] = LABELS,
    model_text: str = '',
):
    """Lay out the page.

    Args:
        load_model: (task, label) -> model.
        limits: what a request may ask for.
        tasks: what the user may choose from; a single one leaves no choice.
        labels: likewise.
        model_text: says which model answers.

    Returns:
        A ``gradio.Blocks``.
    """
    gradio = import_gradio()
    desk = Desk(load_model, limits)

    def answer(method: Callable, blank: Callable) -> Callable:
        """Turn errors that a user can cause into a message, and blank outputs: no score outlives its file."""

        def handle(*arguments):
            try:
                return method(*arguments)
            except (ValueError, OSError, ImportError) as error:
                gradio.Warning(str(error), duration=20, title='That did not work')
                return blank(problem_list([str(error)]))

        return handle

    # Uploads are deleted an hour after they came.
    with gradio.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(600, 3600)) as page:
        gradio.Markdown(_INTRODUCTION)
        with gradio.Row():
            task = gradio.Radio(
                [(_TASK_NAMES[name], name) for name in tasks], value=tasks[0], label='Vision task',
                interactive=len(tasks) > 1, scale=6, elem_id='task',
            )  # fmt: skip
            label = gradio.Radio(
                list(labels),
                value=labels[0],
                label='What the score predicts',
                interactive=len(labels) > 1,
                scale=5,
                elem_id='label',
            )
        with gradio.Tab('Picture'):
            _picture_tab(gradio, desk, answer, task, label)
        with gradio.Tab('Compare'):
            _compare_tab(gradio, desk, answer, task, label)
        with gradio.Tab('Video'):
            _video_tab(gradio, desk, answer, task, label)
        if model_text:
            gradio.Markdown(f'<small>{model_text}</small>')
    return page


def _picture_tab(gradio, desk: Desk, answer, task, label) -> None:
    with gradio.Row(equal_height=False):
        with gradio.Column():
            picture = _as_uploaded(
                gradio.Image(
                    type='filepath', image_mode=None, sources=['upload', 'clipboard'], label='Picture', height=380,
                    elem_id='picture', buttons=['fullscreen'],
                )
            )  # fmt: skip
            heatmap = gradio.Checkbox(label='Show what hurts and helps (slower)', elem_id='heatmap')
        with gradio.Column():
            score = gradio.HTML(_HINT, elem_id='score', container=True, padding=True)
            overlay = gradio.Image(
                label='Heat map: red parts hurt, blue parts help', interactive=False, format='png', height=300,
                buttons=['download', 'fullscreen'], elem_id='overlay', visible=False,
            )  # fmt: skip

    def run(path, task, label, heatmap):
        if path is None:
            return blank(_HINT)
        card, drawn = desk.picture(path, task, label, heatmap)
        return card, gradio.update(value=drawn, visible=drawn is not None)

    def blank(text):
        return text, gradio.update(value=None, visible=False)

    inputs = [picture, task, label, heatmap]
    for trigger in (picture.change, task.change, label.change, heatmap.change):
        trigger(
            answer(run, blank),
            inputs,
            [score, overlay],
            api_visibility='private',
            concurrency_limit=1,
            concurrency_id='model',
        )


def _compare_tab(gradio, desk: Desk, answer, task, label) -> None:
    files = gradio.File(
        label=f'Pictures, up to {desk.limits.pictures}',
        file_count='multiple',
        type='filepath',
        height=140,
        elem_id='files',
    )
    button = gradio.Button('Compare', variant='primary', elem_id='compare')
    problems = gradio.HTML(elem_id='compare-problems')
    gallery = gradio.Gallery(
        label='Best first', columns=4, object_fit='contain', height='auto', format='png', elem_id='gallery'
    )
    table = gradio.Dataframe(
        headers=['rank', 'picture', 'score', 'quality'], datatype=['number', 'str', 'number', 'str'], interactive=False,
        label='Scores', elem_id='table',
    )  # fmt: skip

    def run(paths, task, label):
        if not paths:
            raise ValueError('Choose two pictures or more first.')
        return desk.compare(paths, task, label)

    button.click(
        answer(run, lambda text: ([], [], text)), [files, task, label], [gallery, table, problems],
        api_visibility='private', concurrency_limit=1, concurrency_id='model',
    )  # fmt: skip


def _video_tab(gradio, desk: Desk, answer, task, label) -> None:
    with gradio.Row(equal_height=False):
        with gradio.Column():
            video = gradio.Video(sources=['upload'], include_audio=True, label='Video', height=320, elem_id='video')
            frames = gradio.Slider(10, 300, value=30, step=10, label='Frames to score', elem_id='frames')
            button = gradio.Button('Assess', variant='primary', elem_id='assess-video')
        with gradio.Column():
            score = gradio.HTML(elem_id='video-score', container=True, padding=True)
            table = gradio.Dataframe(
                headers=['from', 'to', 'mean', 'lowest'], interactive=False, label='Worst segments', elem_id='segments'
            )
    curve = gradio.Image(
        label='Quality over time', interactive=False, format='png', buttons=['download', 'fullscreen'], elem_id='curve'
    )

    def run(path, task, label, frames):
        if path is None:
            raise ValueError('Choose a video first.')
        card, drawn, rows = desk.video(path, task, label, frames)
        return card, rows, drawn

    button.click(
        answer(run, lambda text: (text, [], None)), [video, task, label, frames], [score, table, curve],
        api_visibility='private', concurrency_limit=1, concurrency_id='model',
    )  # fmt: skip


def _as_uploaded(component):
    """Hand over the file as it was uploaded: the component would decode it, with its own, shorter errors."""
    component.preprocess = lambda payload: payload.path if payload else None
    return component


def launch_options(gradio: ModuleType, limits: Limits) -> dict:
    """Return arguments of Gradio's ``launch``: nothing from elsewhere, no sharing, size limits."""
    # Names of fonts that computers have, as plain strings: Gradio's own default fetches one from Google.
    fonts = ['system-ui', '-apple-system', 'Segoe UI', 'Roboto', 'sans-serif']
    mono = ['ui-monospace', 'Consolas', 'monospace']
    return dict(
        share=False,
        show_error=True,
        quiet=True,
        ssr_mode=False,
        footer_links=[],
        enable_monitoring=False,
        max_file_size=f'{limits.upload_mb}mb',
        theme=gradio.themes.Soft(primary_hue='blue', font=fonts, font_mono=mono),
        css=_CSS,
    )


def serve(
    load_model: Callable[[str, str], Scorer],
    *,
    tasks: tuple[str, ...] = TASKS,
    labels: tuple[str, ...] = LABELS,
    model_text: str = '',
    limits: Limits | None = None,
    host: str = '127.0.0.1',
    port: int = 7860,
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
        open_browser: open the page in the browser.

    Raises:
        OSError: the port is taken.
        ImportError: Gradio is not installed.
    """
    gradio = import_gradio()
    limits = limits or Limits()
    page = build_page(load_model, limits, tasks=tasks, labels=labels, model_text=model_text)
    page.queue(max_size=32)
    try:
        try:
            page.launch(
                server_name=host, server_port=port, inbrowser=open_browser, prevent_thread_lock=True,
                **launch_options(gradio, limits),
            )  # fmt: skip
        except OSError as error:
            raise OSError(f'The page cannot listen on {host}, port {port}; is the port taken? ({error})') from error
        print(f'The page is at {page.local_url} (Ctrl-C ends it).', flush=True)
        page.block_thread()
    finally:
        page.close()
