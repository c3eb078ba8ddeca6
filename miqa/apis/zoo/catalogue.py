"""The zoo: all weights available by name, their location and published figures."""

from __future__ import annotations

import csv
import io
import os
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from miqa.apis.methods import DEMO, DEMO_FAST, METHODS, SHORT_SIDE, Method, method_name
from miqa.errors import WeightsUnavailable
from miqa.outside.user_folders import user_cache
from miqa.running.requirements import in_a_clone
from miqa.taxonomy import LABELS, TASKS, check_choice

#: A folder, or the beginning of a URL, that has the released files under their own names.
MIRROR_VARIABLE = 'MIQA_MIRROR'

DEFAULT_TASK = 'cls'  # The default task

#: What the quickstart's models are called on the disk, for cls; those of other tasks have the task in their names.
DEMO_FILES = {DEMO: 'demo.pth', DEMO_FAST: 'demo_fast.onnx'}


@dataclass(frozen=True)
class ZooEntry:
    """One set of released weights.

    Attributes:
        method, task, label: what it is; ``method`` as in :data:`miqa.apis.methods.METHODS`.
        file_name: of the authors' file.
        google_drive_id: where the authors keep it.
        sha256: of the file, or None: the authors publish no checksums.
        srcc, plcc: the paper's Tables 1 and 2 for the method, None where they lack it.
    """

    method: str
    task: str
    label: str
    file_name: str
    google_drive_id: str
    sha256: str | None
    srcc: float | None
    plcc: float | None

    #: Scores are raw regression values: nominally 0 to 1, a little outside at times.
    score_range = (0.0, 1.0)
    higher_is_better = True
    short_side = SHORT_SIDE

    @property
    def preprocessing(self) -> Method:
        """The method, whose ``views`` say how pictures are prepared after the resize to ``short_side``."""
        return METHODS[self.method]

    @property
    def path(self) -> Path:
        """Where the file is, or will be, on this machine."""
        return user_cache() / self.file_name

    @property
    def url(self) -> str:
        """Where the authors offer the file."""
        from miqa.keeping.downloads import google_drive_url

        return google_drive_url(self.google_drive_id)


@cache
def entries() -> tuple[ZooEntry, ...]:
    """Return the whole table, in the order of ``zoo.csv``."""
    text = (resources.files('miqa.apis.zoo') / 'zoo.csv').read_text(encoding='utf-8')
    return tuple(_entry(row) for row in csv.DictReader(io.StringIO(text)))


def _entry(row: dict[str, str]) -> ZooEntry:
    from miqa.evaluation.published import published_scores

    published = published_scores(METHODS[row['method']].title, row['task'], row['label']) or {}
    values: dict[str, Any] = {**row, 'sha256': row['sha256'] or None}
    return ZooEntry(**{**values, 'srcc': published.get('SRCC'), 'plcc': published.get('PLCC')})


def list_models(task: str | None = None, label: str | None = None, method: str | None = None) -> list[ZooEntry]:
    """List the released models, best first within a task and label.

    Raises:
        ValueError: there is no such task, label or method.
    """
    conditions = {
        'task': task and check_choice(task, TASKS, 'task'),
        'label': label and check_choice(label, LABELS, 'label'),
        'method': method and method_name(method),
    }
    models = [
        e for e in entries() if all(value is None or getattr(e, key) == value for key, value in conditions.items())
    ]
    order = {name: place for names in (TASKS, LABELS) for place, name in enumerate(names)}
    return sorted(models, key=lambda e: (order[e.label], order[e.task], -(e.srcc or 0)))


def find(method: str, task: str, label: str) -> ZooEntry:
    """Return the entry of a method, task and label.

    Raises:
        ValueError: the authors released no such weights; the message lists what there is.
    """
    matching = list_models(task, label, method)
    if not matching:
        available = ', '.join(f'{e.task}/{e.label}' for e in list_models(method=method))
        raise ValueError(f'There are no released weights of {method} for {task}/{label}; there are {available}.')
    return matching[0]


def as_dict(entry: ZooEntry) -> dict:
    """Return all fields of an entry, JSON-ready."""
    return {
        **asdict(entry),
        'title': entry.preprocessing.title,
        'url': entry.url,
        'path': str(entry.path),
        'short_side': entry.short_side,
        'views': entry.preprocessing.views,
        'score_range': entry.score_range,
        'higher_is_better': entry.higher_is_better,
    }


def fetch(entry: ZooEntry, mirror: str | None = None) -> Path:
    """Return the local file of an entry; download it at first use, with a progress bar.

    ``mirror`` is a folder or the beginning of a URL that has the file under its name; None for ``$MIQA_MIRROR``, and
    without that the authors' Google Drive.

    Raises:
        WeightsUnavailable: it cannot be fetched, or is not what it should be; the message says which file to put where.
    """
    path = entry.path
    if path.is_file():
        return path
    mirror = mirror or os.environ.get(MIRROR_VARIABLE)
    source = entry.url
    if mirror:
        base = mirror if '://' in mirror else Path(mirror).expanduser().absolute().as_uri()
        source = f'{base.rstrip("/")}/{entry.file_name}'
    from miqa.keeping.downloads import download

    try:
        download(source, path, sha256=entry.sha256)
    except OSError as error:
        raise WeightsUnavailable(
            f'The weights of {entry.method.replace("_", "-")} ({entry.task}, {entry.label}) are not here: '
            f'{str(error).rstrip(".")}. The authors keep it at {entry.url}. '
            f'Or put a folder or URL that has {entry.file_name} into the variable {MIRROR_VARIABLE}; or use '
            f'weights of your own, --weights work_dirs/.../best.pth (in Python weights=...); or {_demo_instead()}'
        ) from error
    return path


def demo_path(name: str = DEMO, task: str | None = None) -> Path:
    """Return where the quickstart's model ``demo`` or ``demo_fast`` of a task is, or will be, on this machine."""
    plain = Path(DEMO_FILES[name])
    return user_cache() / (plain if task in (None, DEFAULT_TASK) else f'{plain.stem}_{task}{plain.suffix}')


def _demo_instead() -> str:
    if demo_path().is_file():
        return f'the model {DEMO!r} of the quickstart, which is here: --model {DEMO}.'
    command = in_a_clone('bash tools/quickstart.sh', quoted=True)
    return f'the model {DEMO!r}, --model {DEMO}, which {command} trains in some minutes.'


def demo_weights(name: str = DEMO, task: str | None = None) -> Path:
    """Return the quickstart's own weights of a task; None for the first of cls, det and ins that is there.

    Raises:
        WeightsUnavailable: the quickstart has not been run here.
    """
    for one in TASKS if task is None else (task,):
        path = demo_path(name, one)
        if path.is_file():
            return path
    path, which = demo_path(name, task), '' if task in (None, DEFAULT_TASK) else f'MIQA_TASK={task} '
    which += 'MIQA_FULL=1 ' if name == DEMO_FAST else ''
    command = in_a_clone(f'{which}bash tools/quickstart.sh', quoted=True)
    raise WeightsUnavailable(
        f'There are no {name!r} weights at {path}. Train them in minutes: {command}, or name others: --weights '
        'work_dirs/.../best.pth.'
    )
