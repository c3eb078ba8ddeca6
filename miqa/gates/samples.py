"""Training samples of gate heads: features and outcome of every labelled picture of a database."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from miqa.apis.picture_features import PictureFeatures
from miqa.apis.stream import answered
from miqa.evaluation.answer_features import AnswerFeatures
from miqa.keeping import atomic_write
from miqa.keeping.files import crc_of_file
from miqa.labelling.scores import ScoreFolder
from miqa.layout import responses_folder, scores_folder
from miqa.machines.base import ClassPrediction, Prediction
from miqa.machines.image_list import SourceImages, list_sources
from miqa.machines.responses import ResponseFolder, read_detections, read_segmentation
from miqa.running.progress import Progress, open_bar

_BATCH = 8  # Pictures whose squares go through the network together


@dataclass
class Samples:
    """Labelled pictures, in one order."""

    names: list[str]  # file name of each, (N,)
    paths: list[Path]  # of each
    sources: np.ndarray  # of each, str (N,)
    kinds: np.ndarray  # distortion of each, str (N,)
    outcomes: np.ndarray  # float64 (N,) in [0, 1]
    picture: np.ndarray  # numbers of the picture, float64 (N, K)
    answer: np.ndarray  # numbers of the answer, float64 (N, A)
    own_confidence: np.ndarray  # of the machine in its answer, float64 (N,)
    #: picture_names, answer_names: of the numbers.
    picture_names: tuple[str, ...]
    answer_names: tuple[str, ...]
    skipped: list[str]  # labelled pictures that are not among them, and why


def read_outcomes(root: str | os.PathLike, task: str, label: str, machines: Mapping[str, float]) -> dict[str, float]:
    """Return the outcome of every labelled version by file name: the weighted mean over the machines that have a score.

    ``label`` is ``accuracy`` or ``consistency``; ``machines``: name -> weight.

    Raises:
        FileNotFoundError: a machine has no scores.
    """
    sums: dict[str, list[float]] = {}
    for machine, weight in machines.items():
        table = ScoreFolder(scores_folder(root, task) / machine).read()
        for name, value in zip(table['filename'].to_pylist(), table[label].to_pylist(), strict=True):
            if value is not None and value == value:
                total = sums.setdefault(name, [0.0, 0.0])
                total[0] += weight * value
                total[1] += weight
    return {name: total / weight for name, (total, weight) in sums.items()}


def read_answers(
    root: str | os.PathLike, task: str, machine: str, names: set[str]
) -> dict[str, tuple[Prediction, tuple[int, int]]]:
    """Return a machine's answers to versions, with the (height, width) of the picture, by file name."""
    answers: dict[str, tuple[Prediction, tuple[int, int]]] = {}
    for table in ResponseFolder(responses_folder(root, task) / machine).tables():
        rows = table.filter(pc.and_(pc.is_valid(table['distortion']), pc.is_null(table['error'])))
        for row in rows.to_pylist():
            if row['filename'] in names:
                answers[row['filename']] = _answer_of(row, task), (row['height'], row['width'])
    return answers


def _answer_of(row: dict, task: str) -> Prediction:
    if task == 'cls':
        p = np.frombuffer(row['probabilities'], '<f2').astype(np.float32)
        logsumexp = row['logsumexp']
        return ClassPrediction(p / p.sum(), float('nan') if logsumexp is None else logsumexp)
    return read_segmentation(row) if task == 'seg' else read_detections({**row, 'masks': None}, 'det')


def collect(
    root: str | os.PathLike,
    task: str,
    outcomes: Mapping[str, float],
    evidence: str,
    features: PictureFeatures,
    cache: Path,
    stamp: str,
    progress: Progress = True,
) -> Samples:
    """Bring outcomes, answers and numbers of the pictures together; numbers of finished sources are kept.

    Args:
        root: the database.
        task: its task.
        outcomes: of :func:`read_outcomes`.
        evidence: name of the machine whose answers are read.
        features: of pictures.
        cache: folder of the numbers, one file for each source.
        stamp: changes where the numbers would be others; files with another one are made again.
        progress: show a bar.

    Raises:
        ValueError: not one labelled picture has numbers.
    """
    answers = read_answers(root, task, evidence, set(outcomes))
    measure = AnswerFeatures(task)
    sources = [source for source in list_sources(root, task) if any(name in outcomes for name in source.versions)]
    names, paths, owners, kinds, rows, replies, skipped = [], [], [], [], [], [], []
    cache.mkdir(parents=True, exist_ok=True)
    with open_bar(progress, sum(len(source.versions) for source in sources), unit='picture', desc='features') as bar:
        for source in sources:
            numbers, problems = _numbers_of(source, outcomes, features, cache, stamp, bar.update)
            skipped += problems
            for name, row in numbers.items():
                if name not in answers:
                    skipped.append(f'{name}: {evidence} has given no answer.')
                    continue
                names.append(name)
                paths.append(source.folder / name)
                owners.append(source.source)
                kinds.append(_kind(name))
                rows.append(row)
                replies.append(measure(*answers[name]))
    if not names:
        raise ValueError(f'Not one of {len(outcomes)} labelled pictures can be used: {skipped[0] if skipped else ""}')
    answer = np.stack(replies)
    return Samples(
        names, paths, np.array(owners), np.array(kinds), np.array([outcomes[name] for name in names]),
        np.stack(rows), answer, answer[:, measure.own_confidence], features.names, measure.names, skipped,
    )  # fmt: skip


def _kind(name: str) -> str:
    from miqa.taxonomy import parse_version_name

    return parse_version_name(name).distortion


def _numbers_of(
    source: SourceImages,
    outcomes: Mapping[str, float],
    features: PictureFeatures,
    cache: Path,
    stamp: str,
    count: Callable[[int], object],
) -> tuple[dict[str, np.ndarray], list[str]]:
    names = [name for name in source.versions if name in outcomes]
    path = cache / f'{source.source}.arrow'
    keys = {name: f'{name} {crc_of_file(source.folder / name):08x}' for name in names}
    stored = _read_numbers(path, stamp, len(features.names))
    if set(keys.values()) <= stored.keys():
        count(len(source.versions))
        return {name: stored[key] for name, key in keys.items()}, []
    numbers, problems = {}, []
    pictures = (str(source.folder / name) for name in names)
    answers = answered(pictures, features.view, features, _BATCH, on_batch=count)
    for name, item in zip(names, answers, strict=True):
        if item.answer is None:
            problems.append(f'{name}: {item.error}')
        else:
            numbers[name] = np.asarray(item.answer)
    count(len(source.versions) - len(names))
    _write_numbers(path, stamp, {keys[name]: row for name, row in numbers.items()})
    return numbers, problems


def _write_numbers(path: Path, stamp: str, numbers: Mapping[str, np.ndarray]) -> None:
    rows = [row.astype('<f8').tobytes() for row in numbers.values()]
    table = pa.table({'key': pa.array(list(numbers), pa.string()), 'numbers': pa.array(rows, pa.binary())})
    schema = table.schema.with_metadata({'stamp': stamp, 'crc32': _seal(list(numbers), rows)})
    with (
        atomic_write(path) as temporary,
        pa.OSFile(str(temporary), 'wb') as sink,
        pa.ipc.new_file(sink, schema) as writer,
    ):
        writer.write_table(table.cast(schema))


def _seal(keys: Sequence[str], rows: Sequence[bytes]) -> str:
    return str(zlib.crc32(b''.join([*(key.encode() for key in keys), *rows])))


def _read_numbers(path: Path, stamp: str, length: int) -> dict[str, np.ndarray]:
    """Return the numbers that a file keeps; none where there is no such file, or it is of another stamp or damaged.

    Their keys are name and CRC-32 of a picture, so that those of another picture of that name are not taken.
    """
    try:
        with pa.OSFile(str(path), 'rb') as source:
            table = pa.ipc.open_file(source).read_all()
        keys, rows = table['key'].to_pylist(), table['numbers'].to_pylist()
        if (table.schema.metadata or {}) != {b'stamp': stamp.encode(), b'crc32': _seal(keys, rows).encode()}:
            return {}
        return {key: np.frombuffer(row, '<f8') for key, row in zip(keys, rows, strict=True) if len(row) == 8 * length}
    except (FileNotFoundError, pa.ArrowException, KeyError, UnicodeDecodeError, TypeError, AttributeError):
        return {}  # made again: it is only a cache


def labelled_sources(samples: Samples) -> Sequence[str]:
    """Return the names of the sources among samples, sorted."""
    return sorted(set(samples.sources.tolist()))
