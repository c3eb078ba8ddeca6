"""Load a gate of your own: the folder written by ``miqa gate make``.

``gate.json`` says what the gate is for: task, label, the machine with its classes, the numbers that its heads take,
threshold and promise of each head, and checksums of the other files: ``before.onnx`` (picture alone), ``after.onnx``
(picture and the machine's answer) and, where it was made with one, ``picture.onnx``, the network of the picture's
features. Nothing in the folder is code, and nothing but numpy, OpenCV and ONNX Runtime is needed to use it.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from miqa.errors import CheckpointError
from miqa.evaluation.answer_features import AnswerFeatures
from miqa.keeping import sha256_of_file
from miqa.networks.onnx_session import open_onnx
from miqa.outside.checked_values import shown
from miqa.outside.json_text import read_settings
from miqa.running.devices import Device
from miqa.taxonomy import DATABASE_TASKS, LABELS, check_choice

from .gate_threshold import ABOUT, BEFORE, KEYS, Gate, digest_of
from .inputs import Picture, to_rgb
from .model import MIQAModel, ViewAnswers
from .picture_features import PictureFeatures, PictureView
from .quality import Thresholds
from .runtimes.base import Runtime
from .spec import ModelSpec

if TYPE_CHECKING:
    from miqa.machines.base import Machine

logger = logging.getLogger(__name__)

FORMAT = 1
#: The heads, and what each of them reads.
AFTER = 'after'
PICTURE_NETWORK = 'picture.onnx'
#: Input and output of a head.
HEAD_INPUT, HEAD_OUTPUT = 'numbers', 'score'

_MAKE_AGAIN = 'Make it again with `miqa gate make`.'
_MOST_CLASSES = 100_000
_MACHINE_KEYS = {'name', 'classes', 'class_count', 'fingerprint'}


def identity_of_head(task: str, label: str, digest: str) -> str:
    """Return the name of exactly one head, as results and promises name models."""
    return f'gate/{task}/{label}@{digest[:12]}'


@dataclass(frozen=True)
class MachineFacts:
    """The machine whose answers a gate reads."""

    name: str  # of the machine
    classes: tuple[str, ...] | None  # names of its classes, in their order; None where it names none
    class_count: int | None  # number of classes of the machine; None if unknown
    fingerprint: str  # of its weights

    def check(self, machine: Machine, folder: str) -> None:
        """Raise a ValueError if a machine's classes are not those of the gate's machine, by names or by number."""
        if machine.classes is not None and self.classes is not None and tuple(machine.classes) != self.classes:
            place = next(
                (i for i, pair in enumerate(zip(machine.classes, self.classes, strict=False)) if pair[0] != pair[1]),
                min(len(machine.classes), len(self.classes)),
            )
            raise ValueError(
                f'The gate {folder} needs {self.name} with {len(self.classes)} classes; {machine.name} has '
                f'{len(machine.classes)}, the first different one is number {place}. Make a gate for it: `miqa gate '
                'make`.'
            )
        counts = self._count, _count_of(machine)
        if None not in counts and counts[0] != counts[1]:
            raise ValueError(
                f'The gate {folder} reads answers of {self.name}, which tells {counts[0]} classes apart, and '
                f'{machine.name} tells {counts[1]} apart. Make a gate for this machine with `miqa gate make`.'
            )

    @property
    def _count(self) -> int | None:
        return len(self.classes) if self.classes is not None else self.class_count

    def warn_about(self, machine: Machine) -> str | None:
        """Return a sentence if a machine is another one than the gate's, whose guarantee does not cover it."""
        if machine.fingerprint == self.fingerprint:
            return None
        sentence = (
            f'The gate was made for {self.name}, and its guarantee holds for {self.name} alone. The scores also order '
            f'outputs of another machine such as {machine.name} (docs/your_own_gate.md). For a guarantee make a gate '
            'for it with `miqa gate make`.'
        )
        if (machine.classes is None) == (self.classes is None):
            return sentence
        nameless = machine.name if machine.classes is None else self.name
        comparison = 'are not' if None in (_count_of(machine), self._count) else 'are by their number alone'
        return (
            f'{sentence} {nameless} does not name its classes, which {comparison} compared: see that both machines '
            'have the same ones in the same order.'
        )

    def check_answer(self, answer: Any, folder: str) -> None:
        """Raise a ValueError if an answer speaks of other classes than those of the gate's machine."""
        count = self._count
        if count is None:
            return
        probabilities = getattr(answer, 'probabilities', None)
        if probabilities is not None:
            if len(probabilities) != count:
                raise ValueError(
                    f'The gate {folder} needs answers of {self.name} with {count} classes; this one has '
                    f'{len(probabilities)} probabilities.'
                )
            return
        labels = np.asarray(answer.labels)
        # Without names, the labels are category numbers of the annotations, which may be any.
        if self.classes is not None and labels.size and (labels.min() < 0 or labels.max() >= count):
            raise ValueError(
                f'The gate {folder} needs answers of {self.name} with {count} classes; this one has class '
                f'{int(labels.max() if labels.max() >= count else labels.min())}.'
            )


def _count_of(machine: Machine) -> int | None:
    return len(machine.classes) if machine.classes is not None else machine.class_count


@dataclass
class GateFolder:
    """A gate of your own."""

    folder: Path  # where it lies
    #: task, label: what its scores predict.
    task: str
    label: str
    machine: MachineFacts  # whose answers the head ``after`` reads, and whose outcome both predict
    thresholds: dict[str, Gate]  # promise of each head, by :data:`BEFORE` and :data:`AFTER`
    digests: dict[str, str]  # SHA-256 of each file beside ``gate.json``
    made: dict = field(default_factory=dict)  # what it was made of, for people
    _numbers: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: str | os.PathLike) -> GateFolder:
        """Read and check a folder; its networks are opened by :meth:`model`.

        Raises:
            FileNotFoundError: a file is missing; most likely ``miqa gate make`` has not finished.
            ValueError: a file was damaged or edited, or is of another version.
        """
        folder = Path(folder)
        path = folder / ABOUT
        if not path.is_file():
            begun = (folder / 'data').is_dir()
            raise FileNotFoundError(
                f'{folder} has no {ABOUT}, so it is not a finished gate. '
                + (
                    f'Run `miqa gate make` with --out {folder} again: it goes on where it stopped.'
                    if begun
                    else f'`miqa gate make PICTURES --machine FILE --out {folder}` makes one.'
                )
            )
        data = read_settings(path)
        if not isinstance(data, dict) or set(data) != KEYS or data['format'] != FORMAT:
            raise ValueError(f'{path} is not a gate of format {FORMAT}. {_MAKE_AGAIN}')
        content = {key: value for key, value in data.items() if key != 'sha256'}
        if digest_of(content) != data['sha256']:
            raise ValueError(f'{path} was damaged or edited: its checksum does not fit. {_MAKE_AGAIN}')
        try:
            task = check_choice(data['task'], DATABASE_TASKS, 'task')
            label = check_choice(data['label'], LABELS, 'label')
            machine = _machine_facts(data['machine'])
            thresholds = {head: Gate.from_dict(_mapping(data['heads'])[head], str(path)) for head in (BEFORE, AFTER)}
            digests = {name: _digest(value) for name, value in _mapping(data['files']).items()}
            numbers = {head: _names(_mapping(data['numbers'])[head]) for head in ('picture', 'answer')}
            if not {f'{BEFORE}.onnx', f'{AFTER}.onnx'} <= set(digests) <= _FILES:
                raise ValueError(f'the files are {shown(list(digests))}')
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f'{path} is not a whole gate: {str(error).rstrip(".")}. {_MAKE_AGAIN}') from None
        for name, digest in digests.items():
            if not (folder / name).is_file():
                raise FileNotFoundError(f'The gate {folder} lacks its file {name}. {_MAKE_AGAIN}')
            if sha256_of_file(folder / name) != digest:
                raise ValueError(f'{folder / name} is not the file that the gate was made with. {_MAKE_AGAIN}')
        if tuple(numbers['answer']) != AnswerFeatures(task).names:
            raise ValueError(f'{path} reads other numbers of an answer than this version makes. {_MAKE_AGAIN}')
        origin = data['made'] if isinstance(data['made'], dict) else {}
        return cls(folder, task, label, machine, thresholds, digests, origin, numbers)

    def model(
        self, machine: Machine | None = None, batch_size: int | None = None, workers: int | None = None
    ) -> GateModel:
        """Return what scores pictures: by the head ``before``, or with a ``machine`` that answers first, ``after``.

        Raises:
            ValueError: the machine has other classes or another task than that of the gate.
        """
        return GateModel(self, machine=machine, batch_size=batch_size, workers=workers)

    def threshold(self, machine: Machine | None = None) -> Gate:
        """Return the threshold of the head that :meth:`model` uses."""
        return self.thresholds[BEFORE if machine is None else AFTER]

    def open_picture_features(self) -> PictureFeatures:
        """Open the network of the picture's features, if there is one.

        Raises:
            ValueError: it gives other numbers than those that the heads take.
        """
        path = self.folder / PICTURE_NETWORK if PICTURE_NETWORK in self.digests else None
        features = PictureFeatures(self.task, path)
        if list(features.names) != self._numbers['picture']:
            raise ValueError(f'{self.folder} reads other numbers of a picture than this version makes. {_MAKE_AGAIN}')
        return features


_FILES = {f'{BEFORE}.onnx', f'{AFTER}.onnx', PICTURE_NETWORK}


def _mapping(value: object) -> Mapping:
    if not isinstance(value, Mapping):
        raise ValueError(f'{shown(value)} is not a JSON object')
    return value


def _names(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError(f'{shown(value)} is not a list of names')
    return value


def _digest(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r'[0-9a-f]{64}', value):
        raise ValueError(f'{shown(value)} is not a SHA-256')
    return value


def _machine_facts(value: object) -> MachineFacts:
    facts = _mapping(value)
    if set(facts) != _MACHINE_KEYS:
        raise ValueError(f'the machine has the keys {shown(sorted(map(str, facts)))}')
    classes, count = facts['classes'], facts['class_count']
    if classes is not None and not 0 < len(_names(classes)) <= _MOST_CLASSES:
        raise ValueError(f'the machine has {len(classes)} classes')
    if count is not None and (type(count) is not int or not 0 < count <= _MOST_CLASSES):
        raise ValueError(f'the machine has {shown(count)} classes')
    name, fingerprint = facts['name'], facts['fingerprint']
    if not isinstance(name, str) or not isinstance(fingerprint, str):
        raise ValueError('the machine has no name or fingerprint')
    return MachineFacts(name, None if classes is None else tuple(classes), count, fingerprint)


class _GatePicture(NamedTuple):
    view: PictureView
    rgb: np.ndarray | None
    size: tuple[int, int]


class _GatePreparation:
    """Prepares pictures as :class:`miqa.apis.inputs.Preparation` does for other models."""

    decode, coverage, value_range, note = 'exact', 'center', None, ''

    def __init__(self, features: PictureFeatures, keeps_pixels: bool):
        self.features, self.keeps_pixels, self.size = features, keeps_pixels, features.size

    def views(self, picture: Picture, name: str | None = None) -> _GatePicture:
        rgb = to_rgb(picture, name, self.value_range)
        return _GatePicture(self.features.view_of(rgb), rgb if self.keeps_pixels else None, rgb.shape[:2])


class _Heads(Runtime):
    """A head on ONNX Runtime: numbers (N, K) to scores (N,)."""

    name = 'ONNX Runtime'

    def __init__(self, path: Path, count: int):
        self._session, self.device = open_onnx(path, Device('cpu'), 1, limited=True)
        ends = [(item.name, item.type, item.shape[1:]) for item in self._session.get_inputs()]
        if ends != [(HEAD_INPUT, 'tensor(float)', [count])]:
            raise CheckpointError(f'{path} does not take {count} numbers of a picture. {_MAKE_AGAIN}')
        self._path = path

    def __call__(self, numbers: np.ndarray) -> np.ndarray:
        scores = self._session.run([HEAD_OUTPUT], {HEAD_INPUT: numbers.astype(np.float32)})[0]
        if scores.shape != (len(numbers),) or not np.isfinite(scores).all():
            raise CheckpointError(f'{self._path} gives scores that are not numbers. {_MAKE_AGAIN}')
        return scores


class GateModel(MIQAModel):
    """Scores pictures with a gate of your own, by the same methods as every other model.

    Args:
        folder: the gate, or its path.
        machine: answers each picture first, and the head ``after`` scores picture and answer; None for the head
            ``before``, which takes the picture alone.
        batch_size, workers: as for :class:`miqa.apis.model.MIQAModel`.

    Attributes:
        gate: threshold and promise of the head that is used; quality is ``high`` for what passes, ``low`` for the rest.

    Raises:
        ValueError: the machine has other classes or another task than the gate's.
    """

    def __init__(
        self,
        folder: GateFolder | str | os.PathLike,
        *,
        machine: Machine | None = None,
        batch_size: int | None = None,
        workers: int | None = None,
    ):
        own = folder if isinstance(folder, GateFolder) else GateFolder.open(folder)
        head = BEFORE if machine is None else AFTER
        if machine is not None:
            if machine.task != own.task:
                raise ValueError(
                    f'{machine.name} is a machine for {machine.task}; the gate {own.folder} is for {own.task}.'
                )
            own.machine.check(machine, str(own.folder))
            if warning := own.machine.warn_about(machine):
                logger.warning(warning)
        self._own, self._machine = own, machine
        self._features, self._answers = own.open_picture_features(), AnswerFeatures(own.task)
        count = len(self._features.names) + (len(self._answers.names) if machine is not None else 0)
        path = own.folder / f'{head}.onnx'
        side = max(1, self._features.size)
        spec = ModelSpec(
            'gate', own.task, own.label, {}, {'image': {'size': side, 'mean': [0.0] * 3, 'std': [1.0] * 3}}, side
        )
        self.gate = own.thresholds[head]
        words = Thresholds(self.gate.threshold, self.gate.threshold)
        self._set(spec, _Heads(path, count), str(path), batch_size=batch_size, workers=workers, thresholds=words)
        self.prepare = _GatePreparation(self._features, machine is not None)  # type: ignore[assignment]

    def answer_prepared(self, pictures: list) -> list[ViewAnswers]:
        """Score what ``prepare.views`` gave for each picture of a batch."""
        numbers = self._features([picture.view for picture in pictures])
        if self._machine is not None:
            answers = self._machine.predict([picture.rgb for picture in pictures])
            numbers = np.concatenate([numbers, self._numbers_of(answers, [p.size for p in pictures])], axis=1)
        return [ViewAnswers(np.array([[score]]), None) for score in self.runtime(numbers)]

    def _numbers_of(self, answers: Sequence[Any], sizes: Sequence[tuple[int, int]]) -> np.ndarray:
        rows = []
        for answer, size in zip(answers, sizes, strict=True):
            self._own.machine.check_answer(answer, str(self._own.folder))
            rows.append(self._answers(answer, size))
        return np.stack(rows)

    def score_pixels(self, pixels) -> np.ndarray:
        """Score whole pictures, uint8 RGB (B, 3, H, W): float32 (B,)."""
        pictures = [np.ascontiguousarray(planes.transpose(1, 2, 0)[:, :, ::-1]) for planes in np.asarray(pixels)]
        return np.array([self.assess(picture) for picture in pictures], np.float32)

    def _heatmap(self, picture: Picture, method: str):
        raise ValueError('A gate of your own has no heat map: its numbers are of the whole picture.')


def assess_answers(folder: GateFolder, pictures: Sequence[Picture], answers: Sequence[Any]) -> np.ndarray:
    """Score pictures with answers that the machine has given already, by the head ``after``: float32 (N,).

    ``pictures`` are as for :meth:`miqa.apis.model.MIQAModel.assess`, ``answers`` predictions of
    :mod:`miqa.machines.base`.

    Raises:
        ValueError: there are not as many answers as pictures, or they speak of other classes.
    """
    if len(pictures) != len(answers):
        raise ValueError(f'There are {len(pictures)} pictures and {len(answers)} answers; give one for each.')
    features, numbers_of = folder.open_picture_features(), AnswerFeatures(folder.task)
    rows = []
    for picture, answer in zip(pictures, answers, strict=True):
        folder.machine.check_answer(answer, str(folder.folder))
        rgb = to_rgb(picture)
        rows.append(np.concatenate([features([features.view_of(rgb)])[0], numbers_of(answer, rgb.shape[:2])]))
    head = _Heads(folder.folder / f'{AFTER}.onnx', len(rows[0]) if rows else 0)
    return head(np.stack(rows)) if rows else np.zeros(0, np.float32)
