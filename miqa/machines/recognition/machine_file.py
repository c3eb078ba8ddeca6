"""Build a machine from a network file alone: kind, preprocessing and outputs are recognised and reported."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from miqa.machines.exported_networks import ExportedNetwork
from miqa.machines.network_files import open_network
from miqa.machines.onnx_layouts import LAYOUTS
from miqa.machines.onnx_preparation import CHANNELS, RESIZES
from miqa.outside import check_regular
from miqa.taxonomy import DATABASE_TASKS, check_choice

from .classifiers import recognised_classifier
from .conventions import VALUE_RANGES
from .detector_file import recognised_detector
from .detectors import ROTATED
from .file_metadata import metadata_of
from .network_file import NetworkFile
from .options import FILE_OPTIONS
from .readings import UnclearLayout
from .recognised import RecognisedMachine
from .segmenter_file import recognised_segmenter
from .trials import TrialPicture

#: Endings of files of networks -> type of the machine.
MACHINE_FILES = {'.onnx': 'OnnxMachine', '.tflite': 'TfliteMachine', '.param': 'NcnnMachine'}


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
    recognise = {'cls': recognised_classifier, 'seg': recognised_segmenter}.get(task, recognised_detector)
    recognised = recognise(
        NetworkFile(network, metadata, task, trial_pictures, classes, categories, settings, progress)
    )
    if (batch := network.input.batch or 0) > 1:
        copies = 'in groups of as many' if task == 'cls' else f'{batch} times at once'
        recognised.notes.append(
            f'It takes exactly {batch} pictures at a time, and each is run {copies}. An export for 1 takes '
            f'{"less memory" if task == "cls" else "a fraction of the time"}.'
        )
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
