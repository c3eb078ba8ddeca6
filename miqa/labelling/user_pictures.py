"""Import a user's pictures and annotations as sources and ground truth of a database."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from miqa.annotations.coco import parse_coco
from miqa.annotations.formats.class_map import NAMES_FILE
from miqa.annotations.formats.coco_file import CocoFile
from miqa.annotations.formats.coco_writing import Picture, coco_content, number_pictures
from miqa.annotations.formats.detect import format_of
from miqa.annotations.formats.format import CLASSES, COCO, MAPS, OBJECTS, ReadClasses, ReadObjects, Request
from miqa.annotations.formats.maps import MapFolder
from miqa.annotations.objects import Annotations
from miqa.annotations.sizes import check_turned
from miqa.distortions.masks import MaskRecipe, coco_recipe
from miqa.distortions.sources import Source, check_length, plan_sources
from miqa.keeping import atomic_write, write_json
from miqa.layout import (
    CLASS_FILE,
    CLASS_INDEX,
    JPEG_SUFFIX,
    PICTURE_SUFFIXES,
    coco_source,
    ground_truth_path,
    image_task_folder,
)
from miqa.outside import read_regular, read_regular_text
from miqa.outside.addresses import address_in_path
from miqa.outside.json_text import parse_json
from miqa.outside.names import printable
from miqa.outside.tables import csv_cell, id_of, read_table
from miqa.outside.walking import SkippedFiles, Walker, check_target, raise_problem
from miqa.pictures import UnreadableImage
from miqa.pictures.reading import picture_size, picture_sizes
from miqa.pictures.suffixes import IMAGE_SUFFIXES, UNREAD_SUFFIXES
from miqa.taxonomy import IMAGE_TASKS, counted

#: Which number each picture of a detection database has, beside its images, so that later runs give the same.
NUMBERS_FILE = 'numbers.json'
_CONTROL = re.compile('[\x00-\x1f\x7f]')


@dataclass
class PreparedPictures:
    """What a folder of pictures becomes."""

    sources: list[Source]  # of the database, sorted by name
    names: dict[str, str]  # source name -> what the folder calls the picture
    annotated: bool  # there is ground truth
    notes: list[str] = field(default_factory=list)  # sentences about what was found
    annotations: Annotations | None = None  # what the ground truth of det and ins says, so that it is read only once
    numbered: bool = False  # the annotations have classes without ids, so that the database counts them


def pictures_below(folder: str | os.PathLike, skipped: SkippedFiles | None = None) -> list[str]:
    """Return the pictures in a folder and below it, as paths with forward slashes, sorted; hidden ones are skipped.

    Args:
        folder: walked with its links, each folder once.
        skipped: collects folders that cannot be read, and pictures that a database cannot have.

    Raises:
        FileNotFoundError: there is no such folder, or no picture.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'There is no folder of pictures {address_in_path(str(folder)) or folder}.')
    skipped = SkippedFiles() if skipped is None else skipped
    names, others = [], []
    for path in Walker(skipped.add).below(str(folder), IMAGE_SUFFIXES | UNREAD_SUFFIXES):
        name = Path(path).relative_to(folder).as_posix()
        if Path(name).suffix.lower() not in PICTURE_SUFFIXES:
            others.append(name)
            skipped.note(f'{name}: databases are made of {", ".join(PICTURE_SUFFIXES)}. Convert it.')
        elif not Path(path).is_file():
            skipped.note(f'{name} is not a file.')
        else:
            names.append(name)
    if not names:
        known = f'known endings are {", ".join(PICTURE_SUFFIXES)}'
        if others:
            raise FileNotFoundError(
                f'No database is made of the {counted(len(others), "picture")} in {folder}, such as '
                f'{printable(others[0])}; {known}. Convert them.'
            )
        raise FileNotFoundError(f'There is no picture in {folder}; {known}.')
    return sorted(names)


def prepare_pictures(
    folder: str | os.PathLike,
    root: str | os.PathLike,
    task: str,
    annotations: str | os.PathLike | None = None,
    classes: Sequence[str] | None = None,
    known_classes: Sequence[str] | None = None,
    class_count: int | None = None,
    only: Sequence[str] | None = None,
    skipped: SkippedFiles | None = None,
    ignored: int | None = None,
    as_shown: bool = False,
) -> PreparedPictures:
    """Name the sources, and write their ground truth where the database keeps it.

    Args:
        folder: the pictures.
        root: the database.
        task: cls, det, ins or seg.
        annotations: of any kind of :data:`miqa.annotations.formats.FORMATS`, or None.
        classes: names of the classes where the annotations only count them (YOLO, maps), or the order in which the
            classifiers count them (cls).
        known_classes: of the classifiers, in their order, where they name them.
        class_count: number of classes of the classifiers, if known.
        only: of the pictures, by their names below the folder; None: all.
        skipped: collects what is not among the sources, and why.
        ignored: the user has said that pixels of this value do not count in maps of classes.
        as_shown: the user has said that annotations of pictures that EXIF turns are of these as shown.

    Raises:
        FileNotFoundError, ValueError: pictures or annotations are missing or wrong, the database has other ground
            truth, or it would lie among its own sources.
    """
    skipped = SkippedFiles() if skipped is None else skipped
    names = list(only) if only is not None else pictures_below(folder, skipped)
    if only is None:
        check_target(Path(folder), Path(root), (str(Path(folder) / name) for name in names))
    recognised = None if annotations is None else format_of(annotations, folder, task)
    if classes and recognised is not None and not recognised.takes_names:
        raise ValueError(f'--classes is not for {recognised.words}, which names its classes itself. Leave it out.')
    pictures = _sized(Path(folder), names, skipped)
    if recognised is None:
        check_turned(pictures, None)
        return _without_annotations(Path(folder), root, task, [picture.name for picture in pictures])
    request = Request(
        Path(annotations or ''), pictures, Path(folder), classes, known_classes, class_count, ignored, as_shown,
    )  # fmt: skip
    own = _STORED[recognised.holds](recognised.read(request), request, root, task)
    own.annotated = True
    return own


def _without_annotations(folder: Path, root, task: str, names: Sequence[str]) -> PreparedPictures:
    if IMAGE_TASKS[task] == 'cls':
        return _by_stem(folder, names)
    numbers = _stored_numbers(root, task, names)
    return _numbered(folder, {name: (numbers[name], MaskRecipe('saliency')) for name in names})


def _by_stem(folder: Path, names: Sequence[str]) -> PreparedPictures:
    """Call each picture by its stem, and by its folders too where several have it."""
    stems = Counter(PurePosixPath(name).stem for name in names)
    by_stem: dict[str, str] = {}
    for name in names:
        path = PurePosixPath(name)
        source = path.stem if stems[path.stem] == 1 else '_'.join((*path.parts[:-1], path.stem))
        check_length(source)
        if source in by_stem:
            raise ValueError(f'{name} and {by_stem[source]} would both be called {source} in the database; rename one.')
        by_stem[source] = name
    sources = [Source(source, str(folder / name), MaskRecipe('saliency')) for source, name in sorted(by_stem.items())]
    notes = []
    if formulas := [name for source, name in by_stem.items() if csv_cell(source) != source]:
        notes.append(  # tables of a database hold the plain names
            f'A spreadsheet runs names such as {formulas[0]} as formulas ({counted(len(formulas), "picture")}): open '
            'no table of this database in one, or rename them'
        )
    return PreparedPictures(sources, by_stem, False, notes)


def _numbered(folder: Path, recipes: Mapping[str, tuple[int, MaskRecipe]]) -> PreparedPictures:
    """Call each picture by its number; ``recipes`` has number and mask of each name."""
    called = {coco_source(number): (name, recipe) for name, (number, recipe) in recipes.items()}
    sources = [Source(source, str(folder / name), recipe) for source, (name, recipe) in sorted(called.items())]
    return PreparedPictures(sources, {source: name for source, (name, _) in called.items()}, False)


def _store_coco(read: CocoFile, request: Request, root, task: str) -> PreparedPictures:
    truth, annotations = ground_truth_path(root, task), read.annotations
    paths = [picture.path for picture in request.pictures]
    sources = plan_sources(
        paths, task, annotations, headers=request.pictures, keys=read.keys, as_shown=request.as_shown
    )
    _check_objects(sum(len(annotations.objects[key]) for key in read.keys), request)
    _write_once(truth, read.data, str(request.path))
    below = {str(picture.path): picture.name for picture in request.pictures}
    names = {source.image_id: below[source.path] for source in sources}
    return PreparedPictures(sources, names, True, read.remarks.lines(), replace(annotations, path=str(truth)))


def _store_objects(read: ReadObjects, request: Request, root, task: str) -> PreparedPictures:
    truth, pictures = ground_truth_path(root, task), request.pictures
    reach = [_reach(read, picture.name) for picture in pictures]
    sizes = [read.sizes.get(picture.name) for picture in pictures]
    check_turned(pictures, str(request.path), sizes, request.as_shown, reach)
    numbers = _stored_numbers(root, task, [picture.name for picture in pictures])
    data = json.dumps(coco_content(pictures, read.objects, read.categories, numbers), indent=1, ensure_ascii=False)
    annotations = replace(parse_coco(data.encode(), request.path), path=str(truth))
    _check_objects(sum(map(len, annotations.objects.values())), request)
    _write_once(truth, data.encode(), str(request.path))
    recipes = {picture.name: numbers[picture.name] for picture in pictures}
    own = _numbered(request.folder, {name: (n, coco_recipe(annotations, n)) for name, n in recipes.items()})
    total = sum(map(len, annotations.objects.values()))
    own.notes.append(
        f'{counted(total, "object")} of {len(read.categories)} class{"es" * (len(read.categories) != 1)} in '
        f'{counted(len(pictures), "picture")}, written to {truth}'
    )
    for sentence, count in annotations.remarks.items():
        read.remarks.add(sentence, count=count)
    own.notes += read.remarks.lines()
    own.annotations, own.numbered = annotations, True
    return own


def _reach(read: ReadObjects, name: str) -> tuple[float, float] | None:
    boxes = [(0.0, 0.0, 0.0, 0.0) if read.in_shares else each.box for each in read.objects.get(name, ())]
    return (max(box[2] for box in boxes), max(box[3] for box in boxes)) if boxes else None


def _check_objects(count: int, request: Request) -> None:
    if not count:
        raise ValueError(
            f'{request.path} marks no object in any of the {counted(len(request.pictures), "picture")}: leave out '
            '--annotations to label consistency alone.'
        )


def _store_classes(read: ReadClasses, request: Request, root, task: str) -> PreparedPictures:
    check_turned(request.pictures, None)
    own = _by_stem(request.folder, [picture.name for picture in request.pictures])
    called = {name: source for source, name in own.names.items()}
    _write_classes(
        ground_truth_path(root, task),
        sorted((called[name], Path(name).suffix, index) for name, index in read.indices.items()),
    )
    own.notes += read.remarks.lines()
    return own


def _store_maps(read: MapFolder, request: Request, root, task: str) -> PreparedPictures:
    """Copy each map while its values are counted; where they cannot be, the copies are removed again."""
    sizes = [picture.size for picture in request.pictures]  # of the maps, too, as is checked when they are read
    check_turned(request.pictures, str(request.path), sizes, request.as_shown)
    own = _by_stem(request.folder, [picture.name for picture in request.pictures])
    called = {name: source for source, name in own.names.items()}
    target = ground_truth_path(root, task)
    copies: list[Path] = []
    try:
        for picture in request.pictures:
            copy = target / f'{called[picture.name]}.png'
            if _write_once(copy, read.read(picture), str(read.paths[picture.name])):
                copies.append(copy)
        read.check()
        if read.names is not None and _write_once(
            target / NAMES_FILE, ''.join(f'{name}\n' for name in read.names).encode(), str(request.path)
        ):
            copies.append(target / NAMES_FILE)
    except BaseException:
        for copy in copies:
            copy.unlink(missing_ok=True)
        raise
    own.notes += read.remarks.lines()
    return own


_STORED: dict[str, Callable[..., PreparedPictures]] = {
    OBJECTS: _store_objects, COCO: _store_coco, CLASSES: _store_classes, MAPS: _store_maps,
}  # fmt: skip


def _sized(folder: Path, names: Sequence[str], skipped: SkippedFiles) -> list[Picture]:
    """Read the header of each picture, once; those that cannot be read are skipped."""
    pictures = []
    for name in names:
        try:
            if _CONTROL.search(name):
                raise UnreadableImage(f'{printable(name)}: a database has no name with a line break or tab: rename it.')
            size, stored, orientation = picture_sizes(folder / name)
        except UnreadableImage as error:
            problem = str(error)
            skipped.note(problem)
        else:
            pictures.append(Picture(folder / name, name, size, stored, orientation))
    if not pictures:
        raise ValueError(f'Not one picture can be read: {problem}')
    return pictures


def _stored_numbers(root, task: str, names: Sequence[str]) -> Mapping[str, int]:
    path = image_task_folder(root, task) / NUMBERS_FILE
    numbered = _read_numbers(path) if path.is_file() else None
    numbers = number_pictures(names, numbered)
    if numbered is None or set(numbers) - set(numbered):
        write_json(path, {**(numbered or {}), **numbers})
    return numbers


def _read_numbers(path: Path) -> dict[str, int]:
    numbers = parse_json(read_regular_text(path), str(path))
    if not isinstance(numbers, dict) or not all(type(number) is int and number >= 0 for number in numbers.values()):
        raise ValueError(
            f'{path} must map each picture to its number in the database: restore it from a backup, or write to '
            'another folder.'
        )
    return numbers


def _write_once(path: Path, content: bytes, origin: str) -> bool:
    """Write ground truth, unless it is there; other ground truth is never replaced. Return True if it is new."""
    if path.is_file():
        if read_regular(path) != content:
            raise ValueError(
                f'{path} is other ground truth than that of {origin}. Labels in this database were made with it: write '
                f'to another folder, or move {path} away to use the new one.'
            )
        return False
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)
    return True


def _write_classes(path: Path, rows: Sequence[tuple[str, str, int]]) -> None:
    lines = [f'{CLASS_FILE},{CLASS_INDEX}\n']
    for source, suffix, index in rows:
        ending = JPEG_SUFFIX['cls'] if suffix.lower() in ('.jpg', '.jpeg') else suffix
        name = f'{source}{ending}'
        if any(sign in name for sign in ',"\r\n'):
            name = '"' + name.replace('"', '""') + '"'
        lines.append(f'{name},{index}\n')
    _write_once(path, ''.join(lines).encode(), 'the annotations')


def _size_of(path: Path) -> tuple[int, int] | None:
    try:
        return picture_size(path)
    except UnreadableImage:  # what cannot be read is skipped later, with its reason
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
    lines: dict[str, int] = {}
    walker = Walker(raise_problem)
    table = read_table(path, ['clean', 'degraded'], 'file of pairs')
    for line, row in zip(table.lines, table.rows, strict=True):
        place = f'{path}, line {line}'
        clean, degraded = (
            id_of(row[key], f'{place}: {key}').replace('\\', '/').removeprefix('./') for key in ('clean', 'degraded')
        )
        for name in (clean, degraded):
            if not name or not (Path(folder) / name).is_file():
                raise FileNotFoundError(f'{place}: there is no picture {name!r} in {folder}.')
        # One picture may be written in several ways: its first name counts.
        clean, degraded = (names.setdefault(walker.place_of(f'{folder}/{name}'), name) for name in (clean, degraded))
        if clean == degraded:
            raise ValueError(f'{place}: clean and degraded are the same picture, {clean}.')
        if degraded in lines:
            raise ValueError(f'{place}: {degraded} was there before, in line {lines[degraded]}.')
        lines[degraded] = line
        pairs.setdefault(clean, []).append(degraded)
        sizes = [_size_of(Path(folder) / name) for name in (clean, degraded)] if one_size else []
        if all(sizes) and len(set(sizes)) > 1:
            (width, height), (w, h) = filter(None, sizes)
            unlike.append(f'{place}: {clean} has {width}x{height} pixels, {degraded} has {w}x{h}')
    if unlike:
        raise ValueError(
            f'{unlike[0]} ({len(unlike)} such pairs). What is found is compared in pixels, so that both must have one '
            'size: resize one of them.'
        )
    if not pairs:
        raise ValueError(f'{path} names no pair.')
    return pairs
