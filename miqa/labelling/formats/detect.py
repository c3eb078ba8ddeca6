"""Which kind of annotations a path holds."""

from __future__ import annotations

import os
from pathlib import Path

from miqa.utils.walking import Walker, raise_problem, suffix_of

#: Kind -> in words.
FORMATS = {
    'coco': 'a COCO JSON file',
    'yolo': 'a folder of YOLO text files, or the data.yaml that names their classes',
    'voc': 'a folder of Pascal VOC XML files',
    'csv': 'a CSV file of boxes or of classes',
    'imagefolder': 'the folder of pictures itself, one folder for each class (cls)',
    'maps': 'a folder of maps of classes, PNG (seg)',
}


def format_of(path: str | os.PathLike, images: str | os.PathLike, task: str) -> str:
    """Return the kind of annotations at ``path``, out of :data:`FORMATS`.

    Raises:
        FileNotFoundError: there is nothing there.
        ValueError: it is none of the kinds, or not one for the task.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f'There are no annotations {path}.')
    if path.is_file():
        kind = {'.json': 'coco', '.csv': 'csv', '.yaml': 'yolo', '.yml': 'yolo'}.get(path.suffix.lower())
    elif task == 'cls':
        kind = 'imagefolder' if path.resolve() == Path(images).resolve() else None
    elif task == 'seg':
        kind = 'maps' if any(file.suffix.lower() == '.png' for file in path.iterdir()) else None
    else:
        endings = {suffix_of(name) for name in Walker(raise_problem).below(str(path), ('.xml', '.txt'))}
        kind = 'voc' if '.xml' in endings else 'yolo' if '.txt' in endings else None
    possible = {
        'cls': ('csv', 'imagefolder'),
        'det': ('coco', 'yolo', 'voc', 'csv'),
        'ins': ('coco', 'yolo'),
        'seg': ('maps',),
    }[task]
    if kind not in possible:
        words = '; '.join(FORMATS[name] for name in possible)
        found = f'{FORMATS[kind]}, which {task} cannot use' if kind else 'none that is known'
        raise ValueError(f'The annotations {path} are {found}. For {task} they may be: {words}.')
    return kind
