"""What the page looks like, and which function answers which button. Made with Gradio."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from miqa.apis.scoring import Scorer
from miqa.taxonomy import LABELS, TASKS

from .desk import Desk, Limits, problem_list
from .gradio_import import import_gradio
from .uploads import NOT_UPLOADED, NotUploaded, Uploads

TITLE = 'MIQA: image quality for machines'
_TASK_NAMES = {'cls': 'classification', 'det': 'object detection', 'ins': 'instance segmentation'}
_INTRODUCTION = """
# Image quality for machines
How well will vision models do on this picture? The score runs from 0 to 1; higher is better. Pictures and videos stay
on the computer that this page runs on.
"""
_HINT = '<div class="miqa-note">Drop a picture on the left, and its score appears here.</div>'


def build_page(
    load_model: Callable[[str, str], Scorer],
    limits: Limits | None = None,
    *,
    uploads: Uploads,
    tasks: tuple[str, ...] = TASKS,
    labels: tuple[str, ...] = LABELS,
    model_text: str = '',
):
    """Lay out the page.

    Args:
        load_model: (task, label) -> model.
        limits: what a request may ask for.
        uploads: where the files lie that a request may name.
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
    with _guarded(gradio, uploads)(title=TITLE, analytics_enabled=False, delete_cache=(600, 3600)) as page:
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


def _guarded(gradio: ModuleType, uploads: Uploads) -> type:
    """Return Gradio's class of pages with a check of every file that a request names, before Gradio touches it.

    Gradio's own check looks only at files that say of themselves that they are some (``meta``).
    """
    blocks: Any = gradio.Blocks

    class GuardedBlocks(blocks):
        async def preprocess_data(self, block_fn, inputs, *arguments, **options):
            kinds = (gradio.Image, gradio.File, gradio.Video)
            try:
                inputs = [
                    uploads.checked(value) if isinstance(component, kinds) else value
                    for component, value in zip(block_fn.inputs, inputs, strict=True)
                ]
            except (NotUploaded, ValueError):
                raise gradio.Error(NOT_UPLOADED, print_exception=False) from None
            for component, value in zip(block_fn.inputs, inputs, strict=True):
                if not _fits(gradio, component, value):
                    sentence = f'{component.label or component.elem_id} cannot be what was sent. Load the page again.'
                    raise gradio.Error(sentence, print_exception=False)
            return await super().preprocess_data(block_fn, inputs, *arguments, **options)

    return GuardedBlocks


def _fits(gradio: ModuleType, component, value) -> bool:
    """Whether a value is one that the page in the browser can send: others may come, too, and name no file."""
    if isinstance(component, gradio.Radio):
        return isinstance(value, str) and value in [choice for _, choice in component.choices]
    if isinstance(component, gradio.Checkbox):
        return isinstance(value, bool)
    if isinstance(component, gradio.Slider):
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return number and component.minimum <= value <= component.maximum
    if isinstance(component, gradio.File):
        return value is None or (isinstance(value, list) and all(isinstance(file, dict) for file in value))
    return value is None or isinstance(value, dict)


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
    files = _as_uploaded(
        gradio.File(
            label=f'Pictures, up to {desk.limits.pictures}', file_count='multiple', type='filepath', height=140,
            elem_id='files',
        )
    )  # fmt: skip
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
            video = _as_uploaded(
                gradio.Video(sources=['upload'], include_audio=True, label='Video', height=320, elem_id='video')
            )
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
    """Hand over files as they were uploaded: components would decode them, with their own, shorter errors."""

    def paths(payload):
        if payload is None:
            return None
        root = getattr(payload, 'root', payload)
        return [file.path for file in root] if isinstance(root, list) else root.path

    component.preprocess = paths
    return component
