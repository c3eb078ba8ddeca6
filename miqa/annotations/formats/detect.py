"""Which kind of annotations a path holds."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from miqa.outside.walking import Walker, raise_problem, suffix_of

#: Kind -> in words.
FORMATS = {
    'coco': 'a COCO JSON file',
    'yolo': 'a folder of YOLO text files, or the data.yaml that names their classes',
    'voc': 'a folder of Pascal VOC XML files',
    'labelme': 'a folder of LabelMe JSON files',
    'cvat': 'the XML file of CVAT for images',
    'csv': 'a CSV file of boxes or of classes',
    'imagefolder': 'the folder of pictures itself, one folder for each class (cls)',
    'maps': 'a folder of maps of classes, PNG (seg)',
}

#: Ending of a file -> kind; kind -> ending of the files in a folder.
_FILES = {'.json': 'coco', '.xml': 'cvat', '.csv': 'csv', '.yaml': 'yolo', '.yml': 'yolo'}
_FOLDERS = {'voc': 'xml', 'yolo': 'txt', 'labelme': 'json'}


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
        kind = _FILES.get(path.suffix.lower())
    elif task == 'cls':
        kind = 'imagefolder' if path.resolve() == Path(images).resolve() else None
    elif task == 'seg':
        kind = 'maps' if any(file.suffix.lower() == '.png' for file in path.iterdir()) else None
    else:
        # Notes and lists of classes lie beside annotations of every kind: the most files tell.
        endings = tuple(f'.{ending}' for ending in _FOLDERS.values())
        counts = Counter(suffix_of(name) for name in Walker(raise_problem).below(str(path), endings))
        kind = max(_FOLDERS, key=lambda name: counts[f'.{_FOLDERS[name]}']) if counts else None
    possible = {
        'cls': ('csv', 'imagefolder'),
        'det': ('coco', 'yolo', 'voc', 'labelme', 'cvat', 'csv'),
        'ins': ('coco', 'yolo', 'labelme', 'cvat'),
        'seg': ('maps',),
    }[task]
    if kind not in possible:
        words = '; '.join(FORMATS[name] for name in possible)
        found = f'{FORMATS[kind]}, which {task} cannot use' if kind else 'none that is known'
        raise ValueError(f'The annotations {path} are {found}. For {task} they may be: {words}.')
    return kind
