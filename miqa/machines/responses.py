"""The raw response of every system to every image, in Parquet: the record from which labels are computed.

``{task folder}/responses/{system}/`` holds ``manifest.json`` (what made the responses), parts
``{shard}-of-{shards}-{number}.parquet`` with whole sources each, and ``checksums-{shard}-of-{shards}.json`` with rows
and SHA-256 of each part. A part is either whole or not there. Columns of every task:

====================  ===========================================================================================
``source``            stem of the clean image
``filename``          file name of the image (of the clean image where ``distortion`` is null)
``distortion``        name of the distortion, null for the clean image
``fg_level bg_level`` levels 1 to 5, 0 for the clean image
``width height``      pixels of the decoded image, 0 if it could not be decoded
``crc32``             CRC-32 of the image file, to notice that an image was changed after the system saw it
``error``             why the image could not be read, else null (then all further columns are null)
====================  ===========================================================================================

cls: ``top1`` (class index), ``max_probability``, ``entropy`` (nats), ``logsumexp`` (of the logits; null if unknown),
``true_probability`` (of the ground truth's class; null without ground truth) and optionally ``probabilities`` (the
whole vector, float16, K * 2 bytes, little-endian).

det, ins: ``scores`` (float32, best first), ``labels`` (index into the manifest's ``classes``), ``boxes`` (float32, four
per detection: left, top, right, bottom in pixels) and for ins ``masks`` (COCO run-length ``counts``; the size is
``height``, ``width``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..utils import atomic_write, sha256_of_file, write_json
from .base import ClassPrediction, DetectionPrediction, Prediction
from .image_list import task_root

_COMMON = [
    ('source', pa.string()),
    ('filename', pa.string()),
    ('distortion', pa.string()),
    ('fg_level', pa.int8()),
    ('bg_level', pa.int8()),
    ('width', pa.int32()),
    ('height', pa.int32()),
    ('crc32', pa.uint32()),
    ('error', pa.string()),
]
_CLASSES = [
    ('top1', pa.int32()),
    ('max_probability', pa.float32()),
    ('entropy', pa.float32()),
    ('logsumexp', pa.float32()),
    ('true_probability', pa.float32()),
    ('probabilities', pa.binary()),
]
_DETECTIONS = [
    ('scores', pa.list_(pa.float32())),
    ('labels', pa.list_(pa.int32())),
    ('boxes', pa.list_(pa.float32())),
]
SCHEMAS = {
    'cls': pa.schema(_COMMON + _CLASSES),
    'det': pa.schema(_COMMON + _DETECTIONS),
    'ins': pa.schema([*_COMMON, *_DETECTIONS, ('masks', pa.list_(pa.binary()))]),
}


def responses_folder(data_root, task: str) -> Path:
    """Return the folder that holds one folder of responses for each system."""
    return task_root(data_root, task) / 'responses'


def class_columns(answer: ClassPrediction, true_class: int | None, store_probabilities: bool) -> dict:
    """Return the cls columns of one answer. ``true_class`` is None where there is no ground truth.

    Raises:
        ValueError: the system does not know the ground truth's class index.
    """
    p = answer.probabilities.astype(np.float32)
    if true_class is not None and not 0 <= true_class < len(p):
        raise ValueError(f'The ground truth says class {true_class}, but the system knows classes 0 to {len(p) - 1}.')
    positive = p[p > 0].astype(np.float64)
    return {
        'top1': int(p.argmax()),
        'max_probability': float(p.max()),
        'entropy': float(-(positive * np.log(positive)).sum()),
        'logsumexp': None if np.isnan(answer.logsumexp) else float(answer.logsumexp),
        'true_probability': None if true_class is None else float(p[true_class]),
        'probabilities': p.astype('<f2').tobytes() if store_probabilities else None,
    }


def detection_columns(answer: DetectionPrediction, task: str, score_threshold: float, limit: int) -> dict:
    """Return the det or ins columns of one answer: at most ``limit`` detections of at least ``score_threshold``.

    Raises:
        ValueError: the task is ins and the system gave no masks.
    """
    kept = answer.above(score_threshold, limit)
    columns = {
        'scores': kept.scores.astype(np.float32),
        'labels': kept.labels.astype(np.int32),
        'boxes': kept.boxes.astype(np.float32).ravel(),
    }
    if task == 'ins':
        if kept.masks is None:
            raise ValueError('An instance segmenter must return masks; this system returned boxes alone.')
        columns['masks'] = [
            mask['counts'] if isinstance(mask['counts'], bytes) else mask['counts'].encode() for mask in kept.masks
        ]
    return columns


def read_detections(row: dict, task: str) -> DetectionPrediction:
    """Turn a row of a det or ins part (as a dict) back into a :class:`DetectionPrediction`."""
    masks = None
    if task == 'ins':
        size = [row['height'], row['width']]
        masks = [{'size': size, 'counts': counts} for counts in row['masks']]
    return DetectionPrediction(
        np.asarray(row['boxes'], np.float32).reshape(-1, 4),
        np.asarray(row['scores'], np.float32),
        np.asarray(row['labels'], np.int64),
        masks,
    )


def answer_columns(answer: Prediction, task: str, true_class, options: dict) -> dict:
    """Return the columns of one answer for ``task``; ``options`` as kept in the manifest's ``parameters``."""
    if task == 'cls':
        if not isinstance(answer, ClassPrediction):
            raise ValueError(f'A classifier must return ClassPrediction, not {type(answer).__name__}.')
        return class_columns(answer, true_class, options['store_probabilities'])
    if not isinstance(answer, DetectionPrediction):
        raise ValueError(f'A detector must return DetectionPrediction, not {type(answer).__name__}.')
    return detection_columns(answer, task, options['score_threshold'], options['max_detections'])


class ResponseFolder:
    """The parts of one system's responses.

    Args:
        folder: ``{task folder}/responses/{system}``; made by :meth:`start`.
    """

    def __init__(self, folder: Path):
        self.folder = Path(folder)

    @property
    def manifest(self) -> dict:
        """What made the responses.

        Raises:
            FileNotFoundError: the folder is not one of responses.
        """
        path = self.folder / 'manifest.json'
        if not path.is_file():
            raise FileNotFoundError(f'{self.folder} has no manifest.json, so it does not hold responses of a system.')
        return json.loads(path.read_text(encoding='utf-8'))

    def start(self, manifest: dict) -> None:
        """Write the manifest, or check that responses kept from an earlier run were made in the same way.

        Raises:
            ValueError: they were made with other weights or parameters.
        """
        path = self.folder / 'manifest.json'
        if path.is_file():
            old = self.manifest
            for what, before, now in (
                ('weights or preparation of images', old['machine']['fingerprint'], manifest['machine']['fingerprint']),
                ('parameters', old['parameters'], manifest['parameters']),
            ):
                if before != now:
                    raise ValueError(
                        f'{self.folder} holds responses made with other {what} ({before}, now {now}). Give the system '
                        f'another name in its config, or delete that folder to make all its responses again.'
                    )
            return
        write_json(path, manifest)

    def parts(self) -> list[Path]:
        """Paths of all whole parts, sorted."""
        return sorted(path for path in self.folder.glob('*.parquet') if not path.name.startswith('.'))

    def done(self) -> set[str]:
        """File names of all images that have a response."""
        names: set[str] = set()
        for path in self.parts():
            names.update(pq.read_table(path, columns=['filename']).column(0).to_pylist())
        return names

    def write_part(self, rows: list[dict], task: str, shard: tuple[int, int]) -> Path:
        """Write one part of shard (i, n), i from 0, and its checksum."""
        prefix = f'{shard[0] + 1:04d}-of-{shard[1]:04d}'
        numbers = [int(path.stem.rsplit('-', 1)[1]) for path in self.folder.glob(f'{prefix}-*.parquet')]
        path = self.folder / f'{prefix}-{max(numbers, default=-1) + 1:05d}.parquet'
        table = pa.Table.from_pylist(rows, schema=SCHEMAS[task])
        with atomic_write(path) as temporary:
            pq.write_table(table, temporary, compression='zstd')
        self._write_checksums(prefix)
        return path

    def _write_checksums(self, prefix: str) -> None:
        path = self.folder / f'checksums-{prefix}.json'
        known = json.loads(path.read_text(encoding='utf-8')) if path.is_file() else {}
        # A run that was killed between a part and its checksum left a part that is whole but not listed.
        for part in sorted(self.folder.glob(f'{prefix}-*.parquet')):
            if part.name not in known:
                known[part.name] = {'rows': pq.read_metadata(part).num_rows, 'sha256': sha256_of_file(part)}
        write_json(path, known)

    def checksums(self) -> dict[str, dict]:
        """Rows and SHA-256 of the listed parts, by file name."""
        found: dict[str, dict] = {}
        for path in sorted(self.folder.glob('checksums-*.json')):
            found.update(json.loads(path.read_text(encoding='utf-8')))
        return found

    def checksum(self, name: str) -> str:
        """SHA-256 of the part ``name``, as listed or else as computed."""
        listed = self.checksums().get(name)
        return listed['sha256'] if listed else sha256_of_file(self.folder / name)

    def unreadable(self) -> dict[str, tuple[str, str]]:
        """File name -> (reason, part) of every image that could not be read."""
        found = {}
        for path in self.parts():
            table = pq.read_table(path, columns=['filename', 'error'], filters=[('error', '!=', '')])
            found.update({row['filename']: (row['error'], path.name) for row in table.to_pylist()})
        return found

    def tables(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """Yield the table of each part."""
        for path in self.parts():
            yield pq.read_table(path, columns=columns)


def answered_systems(data_root, task: str) -> list[ResponseFolder]:
    """List the systems that have responses, sorted by name.

    Raises:
        FileNotFoundError: there are none.
    """
    folder = responses_folder(data_root, task)
    found = sorted(path.parent for path in folder.glob('*/manifest.json')) if folder.is_dir() else []
    if not found:
        raise FileNotFoundError(f'There are no responses in {folder}. Make them with tools/data/run_machines.py.')
    return [ResponseFolder(path) for path in found]
