"""Network files without a config: tried on the user's pictures; the result is stored beside the database."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from miqa.annotations.class_names import read_class_names
from miqa.annotations.coco import read_coco
from miqa.annotations.formats.class_map import class_names
from miqa.annotations.formats.coco_writing import Picture
from miqa.annotations.formats.detect import format_of
from miqa.annotations.formats.format import Request
from miqa.keeping import atomic_write, sha256_of_file
from miqa.layout import ground_truth_path, task_folder
from miqa.machines.configs import RECOGNISED, recognised_configs
from miqa.machines.image_list import SourceImages
from miqa.machines.recognition import (
    RecognisedMachine,
    TrialPicture,
    UnclearLayout,
    machine_from_file,
    write_machine_config,
)
from miqa.machines.recognition.machine_file import MACHINE_FILES
from miqa.outside import read_regular_text
from miqa.outside.json_text import parse_json
from miqa.pictures.reading import UnreadableImage, read_image

from .class_maps import class_map_path, known_maps, read_class_map
from .coco_objects import objects_of
from .ground_truth import read_classes
from .plan import temporary_root
from .user_pictures import pictures_below, prepare_pictures, read_pairs

#: So many pictures are looked through for annotated objects, and so many of them tried.
_LOOKED_THROUGH, _TRIED = 200, 48
_WITH_MAPS = 16  # Pictures with maps of classes, which are held in memory
_MOST_BYTES = 4 << 20  # A kept record is small


class Trial(NamedTuple):
    """Pictures on which files of networks are tried, and the names of annotated classes in the order of their ids.

    cls: names of the classes that ``class_index`` counts, empty where only their number is known.
    """

    pictures: list[TrialPicture]
    categories: list[str] | None

    @property
    def annotated(self) -> bool:
        """Return True if any picture has annotations."""
        return any(
            truth is not None
            for picture in self.pictures
            for truth in (picture.boxes, picture.class_index, picture.class_map)
        )


def trial_of_folder(
    folder: str | os.PathLike,
    task: str,
    annotations: str | os.PathLike | None = None,
    classes: Sequence[str] | None = None,
    pairs: str | os.PathLike | None = None,
    as_shown: bool = False,
) -> Trial:
    """Return pictures of a folder, evenly spread, with what their annotations say; see :func:`prepare_pictures`."""
    names = list(read_pairs(pairs, folder)) if pairs else pictures_below(folder)
    chosen = _spread(names, _LOOKED_THROUGH)
    if annotations is not None and task == 'cls':
        return _with_classes(Path(folder), annotations, classes, names, chosen)
    if annotations is not None and task == 'seg':
        return _with_maps(Path(folder), annotations, classes, chosen, as_shown)
    if annotations is None or task not in ('det', 'ins'):
        return trial_of_pictures([Path(folder) / name for name in chosen])
    with temporary_root() as root:
        own = prepare_pictures(folder, root, task, annotations, classes, only=chosen, as_shown=as_shown)
        return _annotated({source.image_id: Path(source.path) for source in own.sources}, root, task)


def trial_of_pictures(paths: Sequence[str | os.PathLike]) -> Trial:
    """Return pictures, evenly spread, of which nothing is known."""
    return Trial([TrialPicture(path) for path in _readable(_spread(paths, _LOOKED_THROUGH))], None)


def _with_classes(
    folder: Path, annotations: str | os.PathLike, classes: Sequence[str] | None, names: Sequence[str],
    chosen: Sequence[str],
) -> Trial:  # fmt: skip
    """Return chosen pictures with their classes, and the names of these in the order in which they are counted.

    ImageNet's folders are counted as its networks do; then, or where the annotations have indices, there are no names.
    """
    request = Request(Path(annotations), [Picture(folder / name, name, (1, 1)) for name in names], folder, classes)
    indices, order = {}, None
    try:
        reader = format_of(annotations, folder, 'cls')
        read = reader.read(request)
        if read.order and all(re.fullmatch(r'n\d{8}', name) for name in read.order):
            order, read = [''] * 1000, reader.read(replace(request, class_count=1000))
        indices, order = read.indices, order or read.order
    except ValueError:  # is raised again where all pictures are read
        pass
    readable = set(_readable(folder / name for name in chosen))
    return Trial(
        [TrialPicture(folder / name, class_index=indices.get(name)) for name in chosen if folder / name in readable],
        order,
    )


def _with_maps(
    folder: Path, annotations: str | os.PathLike, classes: Sequence[str] | None, chosen: Sequence[str],
    as_shown: bool,
) -> Trial:  # fmt: skip
    """Return chosen pictures with their maps of classes, and the names of these if they are known."""
    readable = _spread(_readable(folder / name for name in chosen), _WITH_MAPS)
    paths = {path.relative_to(folder).as_posix(): path for path in readable}
    with temporary_root() as root:
        try:
            own = prepare_pictures(folder, root, 'seg', annotations, classes, only=list(paths), as_shown=as_shown)
        except ValueError:  # is raised again where all pictures are read
            return Trial([TrialPicture(path) for path in paths.values()], None)
        truth = ground_truth_path(root, 'seg')
        return _mapped({source: paths[name] for source, name in own.names.items()}, truth)


def _mapped(paths: Mapping[str, Path], truth: Path) -> Trial:
    """Return the pictures of sources with their maps below a folder of ground truth."""
    maps = {source: read_class_map(class_map_path(truth, source)) for source in paths}
    names = class_names(truth)
    pictures = [
        TrialPicture(path, class_map=maps[source].astype(np.uint8 if maps[source].max() < 256 else np.uint16))
        for source, path in paths.items()
    ]
    return Trial(pictures, list(names) if names else None)


def trial_of_database(data_root: str | os.PathLike, task: str, sources: Sequence[SourceImages]) -> Trial:
    """Return clean pictures of a database, evenly spread, with what its ground truth says of them."""
    paths = {source.source: source.clean for source in _spread(sources, _LOOKED_THROUGH)}
    truth = ground_truth_path(data_root, task)
    if task == 'cls' and truth.is_file():
        indices = read_classes(truth)
        return Trial(
            [
                TrialPicture(path, class_index=indices.get(name))
                for name, path in _spread(list(paths.items()), _TRIED)
                if _readable([path])
            ],
            None,
        )
    if task == 'seg' and truth.is_dir():
        known = known_maps(truth)
        with_maps = [(name, path) for name, path in paths.items() if name in known]
        return _mapped({name: path for name, path in _spread(with_maps, _WITH_MAPS) if _readable([path])}, truth)
    if task not in ('det', 'ins') or not truth.is_file():
        return Trial([TrialPicture(path) for path in _readable(paths.values())], None)
    return _annotated(paths, data_root, task)


def _annotated(paths: Mapping[str, Path], root: str | os.PathLike, task: str) -> Trial:
    annotations = read_coco(ground_truth_path(root, task))
    truth = objects_of(annotations, False)
    names = {number: name for name, number in truth.categories.items()}
    categories = [names[number] for number in sorted(names)]
    with_objects = [name for name in paths if name in truth.objects and len(truth.objects[name].boxes)]
    pictures = []
    for name in _spread(with_objects, _TRIED):
        if _readable([paths[name]]):
            objects = truth.objects[name]
            labels = [names[int(label)] for label in objects.labels]
            pictures.append(TrialPicture(paths[name], objects.boxes, labels, objects.crowd))
    return Trial(pictures or [TrialPicture(path) for path in _readable(paths.values())], categories)


def _spread(items: Sequence, most: int) -> list:
    count = min(len(items), most)
    return [items[i * len(items) // count] for i in range(count)]


def _readable(paths) -> list[Path]:
    """Return the pictures that can be read, at most :data:`_TRIED`; the others are counted where all are read."""
    readable: list[Path] = []
    for path in paths:
        if len(readable) == _TRIED:
            break
        try:
            read_image(path)
        except (UnreadableImage, OSError):
            continue
        readable.append(path)
    return readable


def given_classes(words: Sequence[str] | None) -> list[str] | None:
    """Return names of classes that a user gave: words, or one file with a name a line; None where there are none.

    Raises:
        ValueError: the file names a class twice, or none.
    """
    if not words:
        return None
    if len(words) == 1 and Path(words[0]).is_file():
        return read_class_names(Path(words[0]))
    return list(words)


def complete_configs(
    configs: Sequence[dict],
    trial: Callable[[], Trial],
    classes: Sequence[str] | None = None,
    options: Mapping[str, Any] | None = None,
    device: str = 'cpu',
    root: str | os.PathLike | None = None,
    write_config: str | os.PathLike | None = None,
    report: Callable[[str], None] = print,
    keep: bool = True,
    of_any_options: bool = False,
) -> list[dict]:
    """Find out how the files among machines are used, and report it.

    Args:
        configs: of :func:`miqa.machines.machine_configs_of`.
        trial: called for the pictures to try files on, if there is one.
        classes: names that the user gave.
        options: of :func:`miqa.machines.machine_from_file`.
        device: where files are tried.
        root: database beside whose results the configs are kept, and found by the next run; None: nowhere.
        write_config: further file for the config of the one file among the machines.
        report: called with each sentence.
        keep: write the configs there; False: only look for them.
        of_any_options: take what is kept there of these files whatever classes and options it was found out with.

    Raises:
        UnclearLayout: see :func:`miqa.machines.machine_from_file`.
        ValueError: there are options or ``write_config`` for files, but no file, or several.
    """
    files = [config for config in configs if config.get('type') == RECOGNISED]
    if (options or write_config) and len(files) != 1:
        raise ValueError(
            f'--machine-options and --write-config are for one network file, but --machine names {len(files)}.'
        )
    trials: list[Trial] = []

    def recognise(file: str, task: str) -> RecognisedMachine:
        key = {'sha256': sha256_of_file(file), 'task': task}
        if not of_any_options:
            key |= json.loads(json.dumps({'classes': list(classes or ()), 'options': dict(options or {})}))
        path = None if root is None else task_folder(root, task) / 'machines' / f'{Path(file).stem}.json'
        kept = _kept(path, key, Path(file).parent) if path is not None and path.is_file() else None
        if kept is not None and not kept[1] and not of_any_options:  # a guess, unless there are still no annotations
            trials.append(trials[0] if trials else trial())
            kept = None if trials[0].annotated else kept
        if kept is not None:
            report(f'{Path(file).name} is used as detected before: {path}')
            return RecognisedMachine({**kept[0], 'file': file})
        trials.append(trials[0] if trials else trial())
        pictures, categories = trials[0]
        recognised = machine_from_file(file, task, pictures, classes, categories, device, options, report)
        for note in recognised.notes:
            report(note)
        if path is not None and keep:
            record = {**key, 'annotated': trials[0].annotated, 'beside': recognised.beside}
            record |= {'config': recognised.config, 'notes': recognised.notes}
            with atomic_write(path) as temporary:
                temporary.write_text(json.dumps(record, indent=1, ensure_ascii=False), encoding='utf-8')
            report(f'Kept in {path}; delete it to detect it again.')
        return recognised

    complete, recognised = recognised_configs(configs, recognise)
    if write_config is not None:
        write_machine_config(recognised[0], write_config)
        report(f'Written to {write_config}, to look at and to correct; --machine {write_config} uses it.')
    return complete


def _kept(path: Path, key: Mapping, folder: Path) -> tuple[dict, bool] | None:
    """Return the config of a kept record, and whether annotations proved it.

    None where it is not for this file with those beside it, task, classes and options.
    """
    record = parse_json(read_regular_text(path, _MOST_BYTES), str(path))
    if not isinstance(record, dict) or any(record.get(name) != value for name, value in key.items()):
        return None
    beside = record.get('beside', {})
    if not isinstance(beside, dict) or any(sha256_of_file(folder / Path(name).name) != beside[name] for name in beside):
        return None
    config = record.get('config')
    # What a stranger's database says is data: of one of these types, never another.
    if not isinstance(config, dict) or config.get('type') not in MACHINE_FILES.values():
        return None
    return config, record.get('annotated') is True


__all__ = ['Trial', 'UnclearLayout', 'complete_configs', 'trial_of_database', 'trial_of_folder', 'trial_of_pictures']
