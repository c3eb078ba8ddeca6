"""From a folder of a user's pictures and annotations to the sources and ground truth of a database."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from miqa.annotations.coco import read_coco
from miqa.annotations.formats import (
    Picture,
    coco_content,
    format_of,
    image_folder_classes,
    number_pictures,
    read_boxes_csv,
    read_class_table,
    read_cvat,
    read_labelme,
    read_voc,
    read_yolo,
)
from miqa.annotations.sizes import check_turned
from miqa.distortions.masks import MaskRecipe, coco_recipe
from miqa.distortions.sources import Source, plan_sources
from miqa.keeping import atomic_write, sha256_of_file, write_json
from miqa.layout import (
    CLASS_FILE,
    CLASS_INDEX,
    JPEG_SUFFIX,
    PICTURE_SUFFIXES,
    coco_source,
    ground_truth_path,
    image_task_folder,
)
from miqa.outside import copy_regular, read_regular, read_regular_text
from miqa.outside.addresses import address_in_path
from miqa.outside.json_text import parse_json
from miqa.outside.names import printable
from miqa.outside.tables import id_of, read_table
from miqa.outside.walking import LeftOut, Walker, check_target, raise_problem
from miqa.pictures import UnreadableImage
from miqa.pictures.reading import picture_size
from miqa.pictures.suffixes import IMAGE_SUFFIXES, UNREAD_SUFFIXES
from miqa.taxonomy import IMAGE_TASKS

from .class_maps import NAMES_FILE

#: Which number each picture of a detection database has, beside its images, so that later runs give the same.
NUMBERS_FILE = 'numbers.json'


@dataclass
class OwnPictures:
    """What a folder of pictures becomes.

    Attributes:
        sources: of the database, sorted by name.
        names: source name -> what the folder calls the picture.
        annotated: there is ground truth.
        notes: sentences about what was found.
    """

    sources: list[Source]
    names: dict[str, str]
    annotated: bool
    notes: list[str] = field(default_factory=list)


def pictures_below(folder: str | os.PathLike, left_out: LeftOut | None = None) -> list[str]:
    """Return the pictures in a folder and below it, as paths with forward slashes, sorted; hidden ones are left out.

    Args:
        folder: walked with its links, each folder once.
        left_out: collects folders that cannot be read, and pictures that a database cannot have.

    Raises:
        FileNotFoundError: there is no such folder, or no picture.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'There is no folder of pictures {address_in_path(str(folder)) or folder}.')
    left_out = LeftOut() if left_out is None else left_out
    found = []
    for path in Walker(left_out.add).below(str(folder), IMAGE_SUFFIXES | UNREAD_SUFFIXES):
        name = Path(path).relative_to(folder).as_posix()
        if Path(name).suffix.lower() not in PICTURE_SUFFIXES:
            left_out.note(f'{printable(name)}: databases are made of {", ".join(PICTURE_SUFFIXES)}. Convert it.')
        elif not Path(path).is_file():
            left_out.note(f'{printable(name)} is no file.')
        else:
            found.append(name)
    if not found:
        raise FileNotFoundError(f'There is no picture in {folder}; known endings are {", ".join(PICTURE_SUFFIXES)}.')
    return sorted(found)


def prepare_pictures(
    folder: str | os.PathLike,
    root: str | os.PathLike,
    task: str,
    annotations: str | os.PathLike | None = None,
    classes: Sequence[str] | None = None,
    known_classes: Sequence[str] | None = None,
    class_count: int | None = None,
    only: Sequence[str] | None = None,
    left_out: LeftOut | None = None,
) -> OwnPictures:
    """Name the sources, and write their ground truth where the database keeps it.

    Args:
        folder: the pictures.
        root: the database.
        task: cls, det, ins or seg.
        annotations: of any kind of :data:`miqa.annotations.formats.FORMATS`, or None.
        classes: names of the classes where the annotations only count them (YOLO), or the order in which the
            classifiers count them (cls).
        known_classes: of the classifiers, in their order, where they name them.
        class_count: how many classes the classifiers tell apart, where they say so.
        only: of the pictures, by their names below the folder; None: all.
        left_out: collects what is not among the sources, and why.

    Raises:
        FileNotFoundError, ValueError: pictures or annotations are missing or wrong, the database has other ground
            truth, or it would lie among its own sources.
    """
    left_out = LeftOut() if left_out is None else left_out
    names = list(only) if only is not None else pictures_below(folder, left_out)
    if only is None:
        check_target(Path(folder), Path(root), (str(Path(folder) / name) for name in names))
    truth = ground_truth_path(root, task)
    kind = None if annotations is None else format_of(annotations, folder, task)
    if kind not in ('coco', 'voc', 'labelme', 'cvat'):  # these say the sizes of pictures; checked where they are read
        places = kind in ('yolo', 'csv', 'maps') and task != 'cls'
        check_turned([Path(folder) / name for name in names], str(annotations) if places else None)
    if IMAGE_TASKS[task] == 'det':
        return _detection(Path(folder), root, task, names, kind, annotations, classes, truth, left_out)
    sources = _by_stem(Path(folder), names)
    called = {name: source for source, name in sources.names.items()}
    if annotations is not None and kind in ('csv', 'imagefolder'):
        known = classes or known_classes
        if kind == 'csv':
            indices = read_class_table(Path(annotations), names, known, class_count)
        else:
            folders = [path.name for path in Path(folder).iterdir() if path.is_dir() and not path.name.startswith('.')]
            indices = image_folder_classes(names, known, folders, class_count)
        rows = sorted((called[name], Path(name).suffix, index) for name, index in indices.items())
        _write_classes(truth, rows)
    elif annotations is not None and kind == 'maps':
        _copy_maps(Path(annotations), truth, called)
    sources.annotated = kind is not None
    return sources


def _by_stem(folder: Path, names: Sequence[str]) -> OwnPictures:
    """Call each picture by its stem, and by its folders too where several have it."""
    stems = Counter(PurePosixPath(name).stem for name in names)
    found: dict[str, str] = {}
    for name in names:
        path = PurePosixPath(name)
        source = path.stem if stems[path.stem] == 1 else '_'.join((*path.parts[:-1], path.stem))
        if source in found:
            raise ValueError(f'{name} and {found[source]} would both be called {source} in the database; rename one.')
        found[source] = name
    sources = [Source(source, str(folder / name), MaskRecipe('saliency')) for source, name in sorted(found.items())]
    return OwnPictures(sources, found, False)


def _detection(folder, root, task, names, kind, annotations, classes, truth: Path, left_out: LeftOut) -> OwnPictures:
    paths = [folder / name for name in names]
    if kind == 'coco':
        sources = plan_sources(paths, task, annotations)
        read_coco(annotations)
        _settle(truth, read_regular(annotations, what='file of COCO annotations'), str(annotations))
        below = {str(path): name for path, name in zip(paths, names, strict=True)}
        return OwnPictures(sources, {source.image_id: below[source.path] for source in sources}, True)
    numbers = _settled_numbers(root, task, names)
    notes: list[str] = []
    if kind is None:
        recipes = dict.fromkeys(names, MaskRecipe('saliency'))
    else:
        pictures = _sized(paths, names, left_out)
        readers: dict[str, Callable] = {
            'yolo': read_yolo, 'voc': read_voc, 'csv': read_boxes_csv, 'labelme': read_labelme, 'cvat': read_cvat,
        }  # fmt: skip
        extra = (classes,) if kind == 'yolo' else ()
        objects, categories = readers[kind](Path(annotations), pictures, *extra)
        content = coco_content(pictures, objects, categories, numbers)
        _settle(truth, json.dumps(content, indent=1, ensure_ascii=False).encode(), str(annotations))
        checked = read_coco(truth)
        numbered = {picture.name: numbers[picture.name] for picture in pictures}
        recipes = {name: coco_recipe(checked, number) for name, number in numbered.items()}
        total = sum(map(len, objects.values()))
        notes.append(f'{total} objects of {len(categories)} classes in {len(pictures)} pictures, written to {truth}')
    called = {coco_source(numbers[name]): name for name in recipes}
    sources = [Source(source, str(folder / name), recipes[name]) for source, name in sorted(called.items())]
    return OwnPictures(sources, called, kind is not None, notes)


def _sized(paths: Sequence[Path], names: Sequence[str], left_out: LeftOut) -> list[Picture]:
    pictures = []
    for path, name in zip(paths, names, strict=True):
        try:
            pictures.append(Picture(path, name, picture_size(path)))
        except UnreadableImage as error:
            problem = str(error)
            left_out.note(problem)
    if not pictures:
        raise ValueError(f'Not one picture can be read: {problem}')
    return pictures


def _settled_numbers(root, task: str, names: Sequence[str]) -> Mapping[str, int]:
    path = image_task_folder(root, task) / NUMBERS_FILE
    known = _read_numbers(path) if path.is_file() else None
    numbers = number_pictures(names, known)
    if known is None or set(numbers) - set(known):
        write_json(path, {**(known or {}), **numbers})
    return numbers


def _read_numbers(path: Path) -> dict[str, int]:
    known = parse_json(read_regular_text(path), str(path))
    if not isinstance(known, dict) or not all(type(number) is int and number >= 0 for number in known.values()):
        raise ValueError(
            f'{path} must give each picture its whole number, by which the database calls it. Put a copy back, or '
            'write to another folder.'
        )
    return known


def _settle(path: Path, content: bytes, origin: str) -> None:
    """Write ground truth, unless it is there; other ground truth is never replaced."""
    if path.is_file():
        if read_regular(path) != content:
            raise ValueError(
                f'{path} is other ground truth than that of {origin}. Labels in this database were made with it: write '
                f'to another folder, or move {path} away to use the new one.'
            )
        return
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def _write_classes(path: Path, rows: Sequence[tuple[str, str, int]]) -> None:
    lines = [f'{CLASS_FILE},{CLASS_INDEX}\n']
    for source, suffix, index in rows:
        ending = JPEG_SUFFIX['cls'] if suffix.lower() in ('.jpg', '.jpeg') else suffix
        name = f'{source}{ending}'
        if any(sign in name for sign in ',"\r\n'):
            name = '"' + name.replace('"', '""') + '"'
        lines.append(f'{name},{index}\n')
    _settle(path, ''.join(lines).encode(), 'the annotations')


def _copy_maps(folder: Path, target: Path, called: Mapping[str, str]) -> None:
    maps = {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() == '.png'}
    stems = Counter(Path(name).stem for name in called)
    if shared := [name for name in called if stems[Path(name).stem] > 1]:
        raise ValueError(
            f'{shared[0]} and {shared[1]} would both have the map {Path(shared[0]).stem}.png; rename one picture.'
        )
    missing = sorted(name for name in called if Path(name).stem not in maps)
    if missing:
        raise ValueError(
            f'{folder} has no map for {len(missing)} of {len(called)} pictures, for example '
            f'{Path(missing[0]).stem}.png.'
        )
    files = [(maps[Path(name).stem], target / f'{source}.png') for name, source in called.items()]
    if (folder / NAMES_FILE).is_file():
        files.append((folder / NAMES_FILE, target / NAMES_FILE))
    for source, copy in files:
        if copy.is_file():
            if sha256_of_file(copy) != sha256_of_file(source):
                raise ValueError(f'{copy} is another map than {source}. Write to another folder.')
            continue
        with atomic_write(copy) as temporary:
            copy_regular(source, temporary)


def _size_of(path: Path) -> tuple[int, int] | None:
    try:
        return picture_size(path)
    except UnreadableImage:  # what cannot be read is left out later, with its reason
        return None


def read_pairs(path: str | os.PathLike, folder: str | os.PathLike, one_size: bool = False) -> dict[str, list[str]]:
    """Read a CSV with the columns ``clean`` and ``degraded``: pictures below ``folder``, one pair a line.

    Args:
        path: the CSV.
        folder: the pictures.
        one_size: the pictures of a pair must have one size, as boxes and maps are compared in pixels.

    Returns:
        Clean picture -> its degraded ones, in the order of the lines.

    Raises:
        ValueError: a column is missing, a degraded picture is named twice, or a pair has two sizes.
        FileNotFoundError: there is no such file, or a picture is not there.
    """
    pairs: dict[str, list[str]] = {}
    unlike: list[str] = []
    names: dict[tuple, str] = {}
    seen: dict[str, int] = {}
    walker = Walker(raise_problem)
    table = read_table(path, ['clean', 'degraded'], 'file of pairs')
    for line, row in zip(table.lines, table.rows, strict=True):
        where = f'{path}, line {line}'
        clean, degraded = (
            id_of(row[key], f'{where}: {key}').replace('\\', '/').removeprefix('./') for key in ('clean', 'degraded')
        )
        for name in (clean, degraded):
            if not name or not (Path(folder) / name).is_file():
                raise FileNotFoundError(f'{where}: there is no picture {name!r} in {folder}.')
        # One picture may be written in several ways: its first name counts.
        clean, degraded = (names.setdefault(walker.place_of(f'{folder}/{name}'), name) for name in (clean, degraded))
        if degraded in seen:
            raise ValueError(f'{where}: {degraded} was there before, in line {seen[degraded]}.')
        seen[degraded] = line
        pairs.setdefault(clean, []).append(degraded)
        sizes = [_size_of(Path(folder) / name) for name in (clean, degraded)] if one_size else []
        if all(sizes) and len(set(sizes)) > 1:
            (width, height), (w, h) = filter(None, sizes)
            unlike.append(f'{where}: {clean} has {width}x{height} pixels, {degraded} has {w}x{h}')
    if unlike:
        raise ValueError(
            f'{unlike[0]} ({len(unlike)} such pairs). What is found is compared in pixels, so that both must have one '
            'size: resize one of them.'
        )
    if not pairs:
        raise ValueError(f'{path} names no pair.')
    return pairs
