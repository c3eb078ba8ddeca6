"""The table of annotation formats, and detection of the format of a path."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from miqa.outside.walking import Walker, raise_problem, suffix_of

from . import boxes_csv, classes, coco_file, cvat, labelme, maps, voc, yolo
from .format import AnnotationFormat

#: All formats by name. A new one is a file that defines an :class:`AnnotationFormat`, and a line here.
FORMATS: dict[str, AnnotationFormat] = {
    known.name: known
    for known in (
        coco_file.FORMAT,
        yolo.FORMAT,
        voc.FORMAT,
        labelme.FORMAT,
        cvat.FORMAT,
        boxes_csv.FORMAT,
        classes.TABLE,
        classes.FOLDERS,
        maps.FORMAT,
    )
}


def format_of(path: str | os.PathLike, images: str | os.PathLike, task: str) -> AnnotationFormat:
    """Return the format of the annotations at ``path``, out of :data:`FORMATS`.

    Raises:
        FileNotFoundError: there is nothing there.
        ValueError: its format is unknown, or not one for the task.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f'There are no annotations {path}.')
    possible = [annotation_format for annotation_format in FORMATS.values() if task in annotation_format.tasks]
    recognised = _of_file(path, possible) if path.is_file() else _of_folder(path, Path(images), possible)
    if recognised not in possible:
        words = '; '.join(annotation_format.words for annotation_format in possible)
        description = 'none that is known' if recognised is None else f'{recognised.words}, which {task} cannot use'
        raise ValueError(f'The annotations {path} are {description}. For {task} they may be: {words}.')
    return recognised


def _of_file(path: Path, possible: Sequence[AnnotationFormat]) -> AnnotationFormat | None:
    formats = (*possible, *FORMATS.values())
    return next(
        (annotation_format for annotation_format in formats if path.suffix.lower() in annotation_format.file_suffixes),
        None,
    )


def _of_folder(path: Path, images: Path, possible: Sequence[AnnotationFormat]) -> AnnotationFormat | None:
    for annotation_format in possible:
        if annotation_format.is_folder is not None and annotation_format.is_folder(path, images):
            return annotation_format
    if not any(annotation_format.folder_suffix for annotation_format in possible):
        return None
    # Notes and lists of classes lie beside annotations of every format: the most files tell.
    formats = {
        annotation_format.folder_suffix: annotation_format
        for annotation_format in FORMATS.values()
        if annotation_format.folder_suffix
    }
    counts = Counter(suffix_of(name) for name in Walker(raise_problem).below(str(path), tuple(formats)))
    most = [suffix for suffix, count in counts.items() if count == max(counts.values())]
    if len(most) > 1:
        raise ValueError(
            f'{path} holds {counts[most[0]]} files of each of {" and ".join(sorted(most))}: move those not meant to '
            'another folder.'
        )
    return formats[most[0]] if most else None
