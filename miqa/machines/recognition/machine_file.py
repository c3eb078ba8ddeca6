"""Build a machine from a network file alone: kind, preprocessing and outputs are recognised and reported."""

from __future__ import annotations

import os
import pprint
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from miqa.keeping import atomic_write
from miqa.machines.exported_networks import SIZE_INPUTS, ExportedNetwork
from miqa.machines.network_files import open_network
from miqa.machines.onnx_layouts import LAYOUTS
from miqa.machines.onnx_machine import OnnxMachine
from miqa.machines.onnx_places import CELL_FORMATS
from miqa.machines.onnx_preparation import CHANNELS, RESIZES
from miqa.outside import check_regular
from miqa.taxonomy import DATABASE_TASKS, check_choice

from .class_names import LEAST_AGREEMENT, names_for, names_in_trial, names_of_classes
from .classifiers import classifier_arguments
from .conventions import CONVENTIONS, VALUE_RANGES, Convention
from .detectors import ROTATED, detector_readings
from .file_metadata import FileMetadata, metadata_of
from .input_sizes import best_size, input_sizes, size_of_places
from .instances import readings_with_masks
from .options import FILE_OPTIONS
from .readings import Observed, Reading, UnclearLayout
from .segmenters import best_on_maps, map_of_classes
from .trials import ROUNDS, Candidate, TrialPicture, Trials

#: Endings of files of networks -> type of the machine.
MACHINE_FILES = {'.onnx': 'OnnxMachine', '.tflite': 'TfliteMachine', '.param': 'NcnnMachine'}

_CLASSIFIER_SIDE = 224
_LEAST_OVERLAP = 0.05  # Mean intersection over union of a segmenter that was read well
_SAMPLES = 3  # Pictures whose outputs are inspected first
#: The same without annotations: less than one object a picture, found with a score of 0.22 in it and in its mirror.
_LEAST_CONSISTENCY = 0.005


@dataclass
class RecognisedMachine:
    """How a network in a file is used.

    Attributes:
        config: of the machine, see :func:`miqa.machines.build_machine`.
        notes: sentences: what was recognised, how, and what is a guess.
        certain: nothing that matters was guessed.
        agreement: with the annotations of the pictures, average precision in [0, 1] over all classes together; None
            without annotations.
        beside: SHA-256 of the files beside it that hold its numbers, by name.
    """

    config: dict
    notes: list[str] = field(default_factory=list)
    certain: bool = True
    agreement: float | None = None
    beside: dict[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """Return a config file of it, Python, with the notes as comments."""
        comments = [' '.join(note.split()) for note in self.notes]
        lines = [f'# {Path(self.config["file"]).name}: found out from the file and from pictures.']
        lines += [f'# - {comment}' for comment in comments]
        body = pprint.pformat(self.config, width=110, sort_dicts=False, compact=True)
        lines += ['machines = [', *(f'    {line}' for line in body.splitlines()), ']', '']
        return '\n'.join(lines)


def write_machine_config(recognised: RecognisedMachine, path: str | os.PathLike) -> None:
    """Write the config file of a recognised machine; `--machine path` uses it afterwards.

    Raises:
        FileExistsError: there is another file.
    """
    target = Path(path)
    text = recognised.text()
    if target.exists():
        if target.is_file() and target.stat().st_size < 1 << 20 and target.read_text(encoding='utf-8') == text:
            return
        raise FileExistsError(f'{target} is there already and differs. Name another file, or move it away.')
    with atomic_write(target) as temporary:
        temporary.write_text(text, encoding='utf-8')


def is_machine_file(name: str | os.PathLike) -> bool:
    """Return True if the ending of a name is that of a network's file that can be recognised."""
    return Path(name).suffix.lower() in MACHINE_FILES


def machine_from_file(
    file: str | os.PathLike,
    task: str | None = None,
    pictures: Sequence[TrialPicture | np.ndarray | str | os.PathLike] = (),
    classes: Sequence[str] | None = None,
    categories: Sequence[str] | None = None,
    device: str = 'cpu',
    options: Mapping[str, Any] | None = None,
    progress: Callable[[str], None] | None = None,
) -> RecognisedMachine:
    """Find out how a network in a file is used.

    The layout of its outputs is recognised from names, shapes and numbers; how pictures get in, from the file's
    metadata, or by trying the conventions of the known families and taking the one whose boxes agree with the
    annotations best (without annotations: with those in the mirrored picture, which is a guess and said to be one).

    Args:
        file: an ONNX file, a ``.tflite``, or the ``.param`` of a network of ncnn.
        task: cls, det, ins or seg; None to recognise it, too.
        pictures: to try it on: pictures with annotations, uint8 RGB arrays or paths. 16 to 48 are enough.
        classes: names of the classes in the order of their index; None: the file's, or COCO's where there are 80.
        categories: names of annotated classes in the order of their ids, taken for a file without names where they are
            as many and agree; cls: of the classes that ``class_index`` counts, which is of no use for another number.
        device: where it is tried.
        options: what is known already, see :data:`FILE_OPTIONS`: ``size`` ((height, width) or a number), ``layout``,
            ``values`` (key of :data:`miqa.machines.recognition.conventions.VALUE_RANGES`), ``channels``, ``resize``,
            ``border``, ``output`` (cls, seg: name of the output of classes), ``name``, ``weight``.
        progress: called with a sentence when something takes long.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: it is not a whole file of its kind.
        UnclearLayout: a ValueError that asks one question: what cannot be found out, and which option says it.
    """
    file = Path(file)
    check_regular(file, kind='file of a network')
    settings = _checked_options(options or {})
    if task is not None:
        check_choice(task, DATABASE_TASKS, 'task')
    network = open_network(file, device)
    metadata = metadata_of(network.metadata)
    if metadata.kind == 'obb':
        raise UnclearLayout(f'{file}: its metadata says obb. {ROTATED}')
    trial_pictures = [picture if isinstance(picture, TrialPicture) else TrialPicture(picture) for picture in pictures]
    task = task or metadata.task or _task_of(network)
    if 'output' in settings and (task not in ('cls', 'seg') or settings['output'] not in network.output_names):
        raise ValueError(
            f'output={settings["output"]} must be an output of a classifier or segmenter; {file}, used for {task}, has '
            f'{", ".join(network.output_names)}.'
        )
    recognise = {'cls': _classifier, 'seg': _segmenter}.get(task, _detector)
    recognised = recognise(network, metadata, task, trial_pictures, classes, categories, settings, progress)
    recognised.beside = {name: digest for name, digest in network.files.items() if name != file.name}
    recognised.config = {
        'type': MACHINE_FILES.get(file.suffix.lower(), 'OnnxMachine'),
        'file': str(file),
        'task': task,
        **{key: settings[key] for key in ('name', 'weight') if key in settings},
        **recognised.config,
    }
    return recognised


def _checked_options(options: Mapping[str, Any]) -> dict[str, Any]:
    for key in options:
        check_choice(key, FILE_OPTIONS, 'option of a machine')
    allowed = {'layout': LAYOUTS, 'values': VALUE_RANGES, 'channels': CHANNELS, 'resize': (*RESIZES, 'kept')}
    for key, choices in allowed.items():
        if key in options:
            check_choice(options[key], choices, key)
    settings = dict(options)
    if 'size' in settings:
        sides = settings['size']
        sides = (sides, sides) if isinstance(sides, int) else tuple(sides)
        if len(sides) != 2 or not all(isinstance(side, int) and 0 < side <= 8192 for side in sides):
            raise ValueError(f'size must be (height, width) in pixels or one number, not {settings["size"]!r}.')
        settings['size'] = sides
    return settings


def _task_of(network: ExportedNetwork) -> str:
    """Return the task that the shapes of outputs say: one vector is a classifier's."""
    shapes = [[side for side in output.shape[1:] if side != 1] for output in network.outputs]
    return 'cls' if len(shapes) == 1 and len(shapes[0]) <= 1 and len(network.outputs[0].shape) in (2, 4) else 'det'


def _detector(
    network: ExportedNetwork, metadata: FileMetadata, task: str, pictures: list[TrialPicture], classes, categories,
    settings: Mapping, progress,
) -> RecognisedMachine:  # fmt: skip
    sizes, known = input_sizes(network, metadata, settings)
    names, foreign = names_for(classes, metadata), None
    observed = _observed_at(sizes, network, metadata, pictures, names)
    if not known:
        sizes = [observed.size, *(size for size in sizes if size != observed.size)]
        shapes = [observed.samples[0][name].shape for name in network.output_names]
        size = size_of_places(shapes, network.input.size)
        # A network that any size can be put into has as many places as that size gives.
        if size is not None and size != observed.size:
            observed = _observed(network, metadata, size, pictures, names)
            sizes, known = [size], True
    try:
        readings = detector_readings(observed)
    except UnclearLayout:
        if names is None or metadata.from_ultralytics:
            raise
        # The names may be those of the annotations, or of something else in the file.
        readings = detector_readings(replace(observed, classes=None))
        counts = sorted({reading.classes for reading in readings if reading.classes is not None})
        whose = "in the file's metadata" if names == metadata.names else 'given'
        foreign = f'The {len(names)} names {whose} are not its own: it tells {counts or "others"} classes apart.'
        names = None
    if task == 'ins':
        readings = readings_with_masks(readings, observed)
    if 'layout' in settings:
        fitting = [reading for reading in readings if reading.layout == settings['layout']]
        if not fitting:
            layouts = ', '.join(sorted({reading.layout for reading in readings}))
            raise UnclearLayout(
                f'{network.file}: its outputs {observed.shapes()} cannot be read as layout {settings["layout"]!r}; '
                f'they can as {layouts}.'
            )
        readings = fitting
    readings = [_with_settings(reading, settings) for reading in readings]
    if metadata.from_ultralytics:
        # Its exports give finished coordinates.
        finished = [one for one in readings if one.options.get('box_format') not in CELL_FORMATS]
        readings = (finished or readings)[:1]
        convention = CONVENTIONS['yolo']
        readings = [_with_settings(replace(reading, convention=convention), settings) for reading in readings]
    labels = {label for picture in pictures for label in picture.labels}
    trials = Trials(network, sizes[0], pictures, progress)
    candidates = _candidates(readings, metadata, settings, names, labels, network)
    if progress and len(candidates) > 1 and trials.pictures:
        most = min(len(trials.pictures), ROUNDS[-1][0])
        progress(f'{network.file.name}: trying {len(candidates)} ways to use it on up to {most} pictures')
    chosen, evidence = trials.best(candidates)
    if trials.pictures and not known and chosen.convention.resize != 'kept':
        size = best_size(network, sizes, pictures, chosen, evidence, progress)
        if size != trials.size:
            trials = Trials(network, size, pictures, progress)
            chosen, evidence = trials.best(candidates)
    size, usual = trials.size, chosen.convention
    if trials.pictures and not _fixed(metadata, settings):
        # The way into the input is looked for last: it changes least.
        places = [chosen._replace(convention=c) for c in _allowed(chosen.convention.other_places(), settings)]
        chosen = trials.best(places)[0]
        evidence = trials.evidence([chosen], ROUNDS[-1][0])[chosen]
    recognised = RecognisedMachine({}, [], True, evidence.value() if trials.annotated and trials.pictures else None)
    recognised.config = {
        **chosen.reading.arguments(),
        **chosen.convention.arguments(size, network.input.type is np.uint8),
    }
    recognised.notes += [foreign] if foreign else []
    _say(recognised, network, metadata, chosen, readings, size, known, trials, evidence, usual)
    origin = 'the file' if names == metadata.names else 'you'
    class_list = names_of_classes(chosen, trials, observed, names, origin, categories)
    class_names, recognised.certain = class_list.names, recognised.certain and class_list.certain
    recognised.notes += [class_list.note]
    if class_names is not None:
        recognised.config['classes'] = list(class_names)
    if chosen.reading.classes is not None and chosen.reading.classes != len(class_names or ()):
        recognised.config['layout_options']['classes'] = chosen.reading.classes
    return recognised


def _fixed(metadata: FileMetadata, settings: Mapping) -> bool:
    """Return True if nothing about the way of pictures into the input is open."""
    return metadata.from_ultralytics or {'values', 'channels', 'resize'} <= set(settings)


def _with_settings(reading: Reading, settings: Mapping) -> Reading:
    fixed = {key: settings[key] for key in ('values', 'channels', 'resize', 'border') if key in settings}
    return replace(reading, convention=replace(reading.convention, **fixed))


def _allowed(conventions: Sequence[Convention], settings: Mapping) -> list[Convention]:
    keys = [key for key in ('values', 'channels', 'resize', 'border') if key in settings]
    return [one for one in conventions if all(getattr(one, key) == settings[key] for key in keys)]


def _candidates(readings, metadata, settings, names, labels, network: ExportedNetwork) -> list[Candidate]:
    """Return what is tried: each reading as its family is used, then with other values and orders of channels."""
    readable = []
    for reading in readings:
        conventions = [reading.convention] if _fixed(metadata, settings) else reading.convention.other_values()
        if network.input.type is np.uint8:
            conventions = [replace(one, values='byte') for one in conventions]
        class_names = names_in_trial(reading, names, labels)
        readable += [Candidate(reading, one, class_names) for one in dict.fromkeys(_allowed(conventions, settings))]
    # All readings as they are usual come first.
    usual = [candidate for candidate in readable if candidate.convention == candidate.reading.convention]
    return list(dict.fromkeys([*usual, *readable]))


def _observed_at(sizes: Sequence[tuple[int, int]], network, metadata, pictures, names) -> Observed:
    """Run the network at the first of the sizes, (height, width) in pixels, that it takes.

    Raises:
        UnclearLayout: it takes none; the message is about the first.
    """
    problems = []
    for size in sizes:
        try:
            return _observed(network, metadata, size, pictures, names)
        except UnclearLayout as problem:
            problems.append(problem)
    raise problems[0]


def _observed(network, metadata, size, pictures: Sequence[TrialPicture], names) -> Observed:
    """Run the network on a few pictures with several ranges of values."""
    images = [picture.pixels() for picture in pictures[:_SAMPLES]] or [_scene()]
    whole = network.input.type is np.uint8
    ranges = ('byte',) if whole else ('unit', 'imagenet', 'byte')
    samples = []
    problem: Exception | None = None
    for values in ranges:
        for image in images:
            prepared, place = Convention(values).preparation(size)(image)
            try:
                outputs = network.run(prepared[None], place)
            except Exception as error:  # noqa: BLE001  of any runtime; the message says it
                problem = error
                continue
            if all(np.isfinite(value).all() for value in outputs.values() if value.dtype.kind == 'f'):
                samples.append(outputs)
    if not samples:
        reason = 'its outputs are not finite numbers' if problem is None else ' '.join(str(problem).split())[:300]
        begin = f'{network.file} cannot be run on '
        raise UnclearLayout(
            f'{begin}a picture of {size[1]}x{size[0]} pixels: {reason.removeprefix(begin)}. Which size does it take? '
            '--machine-options size=HEIGHTxWIDTH'
        )
    count = len(names) if names is not None else None
    return Observed(network, metadata, size, samples, count, _same_for_all_sizes(network, images, size))


def _same_for_all_sizes(network: ExportedNetwork, images: Sequence[np.ndarray], size: tuple[int, int]) -> bool:
    """Return True if a network that is told the size of the picture finds the same for twice that size.

    PaddleDetection's exports without post-processing keep the input and give boxes in pixels of the network.
    """
    if not SIZE_INPUTS & set(network.extra_inputs):
        return False
    beyond_one = False
    for image in images:
        prepared, place = Convention('unit').preparation(size)(image)
        (height, width), (vertical, horizontal) = place.image, place.scale
        larger = place._replace(image=(2 * height, 2 * width), scale=(vertical / 2, horizontal / 2))
        first, second = network.run(prepared[None], place), network.run(prepared[None], larger)
        if not all(np.array_equal(first[name], second[name]) for name in first):
            return False
        beyond_one |= any(
            values.dtype.kind == 'f' and values.size and np.abs(values).max() > 2 for values in first.values()
        )
    return beyond_one


def _scene() -> np.ndarray:
    """Return a picture of soft shapes, for files inspected without any picture."""
    y, x = np.mgrid[0:480, 0:640].astype(np.float32)
    waves = [np.sin(x / (37 + 11 * i)) * np.cos(y / (29 + 7 * i)) for i in range(3)]
    return np.clip(127 + 90 * np.stack(waves, 2), 0, 255).astype(np.uint8)


def _say(recognised, network, metadata, chosen, readings, size, known, trials: Trials, evidence, usual) -> None:
    """Write down what was recognised, how, and what is a guess."""
    file = network.file.name
    say = recognised.notes.append
    alternatives = [reading for reading in readings if reading.words != chosen.reading.words]
    tried = min(len(trials.pictures), len(evidence.pictures))
    say(f'{file}: {chosen.reading.words}.')
    if metadata.from_ultralytics:
        say(f'Pictures: {chosen.convention.words(size)}; the file says so (Ultralytics).')
    elif not trials.pictures:
        recognised.certain = False
        say(f'Pictures: {chosen.convention.words(size)}. A guess, the usual way of this family: there was no picture '
            'to try.')  # fmt: skip
    elif trials.annotated:
        say(f'Pictures: {chosen.convention.words(size)}; of the usual conventions it agrees best with the annotations '
            f'of {tried} pictures (average precision {evidence.value():.3f} over all classes).')  # fmt: skip
        if evidence.value() < LEAST_AGREEMENT:
            recognised.certain = False
            say('WARNING: hardly a box agrees with the annotations. Are these pictures of the kind that it was trained '
                'on? If so, correct its config.')  # fmt: skip
    else:
        recognised.certain = False
        say(f'Pictures: {chosen.convention.words(size)}. A guess: without annotations, the convention whose boxes are '
            f'surest in {tried} pictures and their mirror images alike.')  # fmt: skip
        if evidence.value() < _LEAST_CONSISTENCY:
            say(f'WARNING: almost nothing is found in {tried} pictures and their mirror images alike. Do they show '
                'what it was trained on? If so, its layout or preprocessing is another: give annotations, or correct '
                'its config.')  # fmt: skip
    if not known and chosen.convention.resize != 'kept':
        recognised.certain = False
        say(_size_note(size))
    if alternatives and not trials.pictures:
        recognised.certain = False
        say(f'It could also be: {"; ".join(reading.words for reading in alternatives[:3])}.')


def _classifier(network, metadata, task, pictures, classes, categories, settings, progress) -> RecognisedMachine:
    sizes, known = input_sizes(network, metadata, settings)
    height, width = network.input.size
    size = sizes[0] if known else (height or _CLASSIFIER_SIDE, width or _CLASSIFIER_SIDE)
    config, notes, certain = classifier_arguments(
        network, metadata, size, pictures, names_for(classes, metadata), settings, categories
    )
    return RecognisedMachine(config, notes, certain and known)


def _segmenter(network, metadata, task, pictures, classes, categories, settings, progress) -> RecognisedMachine:
    sizes, known = input_sizes(network, metadata, settings)
    convention = replace(CONVENTIONS['detr'], **{key: settings[key] for key in ('values', 'channels', 'resize')
                                                 if key in settings})  # fmt: skip
    names = names_for(classes, metadata)
    if classes is not None and len(classes) == 1:
        raise UnclearLayout(
            f'A map of classes tells at least two apart, the background too: --classes background {classes[0]}'
        )
    observed = _observed_at(sizes, network, metadata, pictures, names)
    output = map_of_classes(observed, settings.get('output'))
    if network.input.type is np.uint8:
        convention = replace(convention, values='byte')
    config: dict[str, Any] = {}
    config |= {} if output.name == network.output_names[0] else {'logits_name': output.name}
    config |= {} if output.masks is None else {'masks_name': output.masks}
    config |= {} if output.outputs == 'logits' else {'outputs': output.outputs}
    if names is not None:
        # Files of one channel name the object alone.
        config['classes'] = list(names) if len(names) > 1 else ['background', *names]
    whole = network.input.type is np.uint8
    annotated = [picture for picture in pictures if picture.class_map is not None]
    how = ['A guess, the usual way.']
    if annotated:
        if progress:
            progress(f'{network.file.name}: trying the usual ways to use it on pictures with maps')
        arguments = {**config, **convention.arguments(observed.size, whole), 'device': str(network.device)}
        ways = [one for one in convention.other_values() if not whole or one.values == 'byte']
        ways = [convention, *(one for one in _allowed(ways, settings) if one != convention)]
        machine = OnnxMachine(network.file, 'seg', **arguments)
        convention, value = best_on_maps(machine, ways, observed.size, annotated, categories)
        how = [f'Of the usual values it agrees best with the maps of pictures (mean IoU {value:.3f}).']
        if value < _LEAST_OVERLAP:
            how += [
                'WARNING: hardly a pixel agrees. Do the maps count the classes as the network does? --classes names '
                'those of the network.'
            ]
    config |= convention.arguments(observed.size, whole)
    notes = [
        f'{network.file.name}: output {output.name}, {output.words}.',
        f'Pictures: {convention.words(observed.size)}. {how[0]}',
        *how[1:],
    ]
    notes += [output.note] if output.note else []
    notes += [] if known else [_size_note(observed.size)]
    return RecognisedMachine(config, notes, bool(annotated) and known)


def _size_note(size: tuple[int, int]) -> str:
    return (
        f'The file takes pictures of any size; {size[1]}x{size[0]} is a guess: --machine-options size=HEIGHTxWIDTH '
        'says another.'
    )
