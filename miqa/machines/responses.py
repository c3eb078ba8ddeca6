"""Raw responses of machines in Parquet: the record from which labels are computed.

``{task folder}/responses/{machine}/`` holds ``manifest.json`` (what made the responses), parts
``{shard}-of-{shards}-{number}.parquet`` with whole sources each, and ``checksums-{shard}-of-{shards}.json`` with rows
and SHA-256 of each part. A part is either whole or not there. Columns of every task:

====================  ===========================================================================================
``source``            stem of the clean image
``filename``          file name of the image (of the clean image where ``distortion`` is null)
``distortion``        name of the distortion, null for the clean image
``fg_level bg_level`` levels 1 to 5, 0 for the clean image
``width height``      pixels of the decoded image, 0 if it could not be decoded
``crc32``             CRC-32 of the image file, to notice that an image was changed after the machine saw it
``error``             why the image could not be read, else null (then all further columns are null)
====================  ===========================================================================================

cls: ``top1`` (class index), ``max_probability``, ``entropy`` (nats), ``logsumexp`` (of the logits; null if unknown),
``true_probability`` (of the ground truth's class; null without ground truth) and optionally ``probabilities`` (the
whole vector, float16, K * 2 bytes, little-endian).

det, ins: ``scores`` (float32, best first), ``labels`` (index into the manifest's ``classes``), ``boxes`` (float32, four
per detection: left, top, right, bottom in pixels) and for ins ``masks`` (COCO run-length ``counts``; the size is
``height``, ``width``).

seg: ``class_map``: the index of each pixel's class, as a PNG of 8 or 16 bits.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from miqa.keeping import InUse, atomic_write, only_writer, sha256_of_file
from miqa.keeping.files import crc_of_file, last_change
from miqa.keeping.locks import describe_owner, is_held, owner_of
from miqa.keeping.sealed import check_sha256, damaged, read_sealed_json, write_sealed_json
from miqa.layout import MANIFEST, part_name, responses_folder, shard_prefix
from miqa.taxonomy import TASK_FOLDERS

from .base import ClassPrediction, DetectionPrediction, Prediction, SegmentationPrediction

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
_DETECTIONS = [('scores', pa.list_(pa.float32())), ('labels', pa.list_(pa.int32())), ('boxes', pa.list_(pa.float32()))]

#: Columns of responses, by task.
RESPONSE_SCHEMAS = {
    'cls': pa.schema(_COMMON + _CLASSES),
    'det': pa.schema(_COMMON + _DETECTIONS),
    'ins': pa.schema([*_COMMON, *_DETECTIONS, ('masks', pa.list_(pa.binary()))]),
    'seg': pa.schema([*_COMMON, ('class_map', pa.binary())]),
}


@contextlib.contextmanager
def only_shard(folder: Path, shard: tuple[int, int]) -> Iterator[None]:
    """Be the only process that makes the responses of shard (i, n), i from 1.

    The n shards of one division may run at the same time; two divisions may not, as they share images.

    Raises:
        InUse: another process works on the same images.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with only_writer(folder, 'run other shards (--shard i/n) or other machines (--only)', shard_prefix(shard)):
        for path in folder.glob('.*-of-*.lock'):
            if not path.name.endswith(f'-of-{shard[1]:04d}.lock') and is_held(path):
                raise InUse(
                    f'{folder} is in use by {describe_owner(owner_of(path))}, which divides the images into another '
                    'number of shards. Wait for it to end, or use its number of shards.'
                )
        yield


def class_columns(answer: ClassPrediction, true_class: int | None, store_probabilities: bool) -> dict:
    """Return the cls columns of one answer. ``true_class`` is None where there is no ground truth.

    Raises:
        ValueError: the machine does not know the ground truth's class index.
    """
    p = answer.probabilities.astype(np.float32)
    if true_class is not None and not 0 <= true_class < len(p):
        raise ValueError(f'The ground truth says class {true_class}, but the machine has classes 0 to {len(p) - 1}.')
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
        ValueError: the task is ins and the machine gave no masks.
    """
    confident = answer.above(score_threshold, limit)
    columns: dict[str, Any] = {
        'scores': confident.scores.astype(np.float32),
        'labels': confident.labels.astype(np.int32),
        'boxes': confident.boxes.astype(np.float32).ravel(),
    }
    if task == 'ins':
        if confident.masks is None:
            raise ValueError('An instance segmenter must return masks; this machine returned boxes alone.')
        columns['masks'] = [
            mask['counts'] if isinstance(mask['counts'], bytes) else mask['counts'].encode() for mask in confident.masks
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


def read_segmentation(row: dict) -> SegmentationPrediction:
    """Turn a row of a seg part (as a dict) back into a :class:`SegmentationPrediction`."""
    labels = cv2.imdecode(np.frombuffer(row['class_map'], np.uint8), cv2.IMREAD_UNCHANGED)
    if labels is None:
        raise ValueError('A stored map of classes is no PNG picture.')
    return SegmentationPrediction(labels)


def answer_columns(answer: Prediction, task: str, true_class, options: dict) -> dict:
    """Return the columns of one answer for ``task``; ``options`` as kept in the manifest's ``parameters``."""
    if task == 'cls':
        if not isinstance(answer, ClassPrediction):
            raise ValueError(f'A classifier must return ClassPrediction, not {type(answer).__name__}.')
        return class_columns(answer, true_class, options['store_probabilities'])
    if task == 'seg':
        if not isinstance(answer, SegmentationPrediction):
            raise ValueError(f'A semantic segmenter must return SegmentationPrediction, not {type(answer).__name__}.')
        return {'class_map': cv2.imencode('.png', answer.labels)[1].tobytes()}
    if not isinstance(answer, DetectionPrediction):
        raise ValueError(f'A detector must return DetectionPrediction, not {type(answer).__name__}.')
    return detection_columns(answer, task, options['score_threshold'], options['max_detections'])


class ResponseFolder:
    """The parts of one machine's responses.

    Args:
        folder: ``{task folder}/responses/{machine}``; made by :meth:`start`.
    """

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        self._listed: dict[str, dict] = {}
        self._noted: dict[str, dict] = {}  # what the checksums of a shard were when this object last wrote them

    @property
    def manifest(self) -> dict:
        """What made the responses.

        Raises:
            FileNotFoundError: the folder is not one of responses.
        """
        path = self.folder / MANIFEST
        if not path.is_file():
            raise FileNotFoundError(f'{self.folder} has no {MANIFEST}, so it does not hold responses of a machine.')
        return read_sealed_json(path, self._again('that file'))

    def _again(self, target: str) -> str:
        """Say how something in this folder is made again."""
        task = next((task for task, name in TASK_FOLDERS.items() if name in self.folder.parts[-3:-2]), 'TASK')
        return (
            f'Delete {target} and make it again: python tools/data/run_machines.py '
            f'{shlex.quote(str(Path(*self.folder.parts[:-3])))} --task {task} --only {shlex.quote(self.folder.name)} '
            '--machines CONFIG'
        )

    def start(self, manifest: dict) -> None:
        """Write the manifest, or check that responses kept from an earlier run were made in the same way.

        Names of classes and the weight may have been corrected since: responses hold indices, which mean the new names.

        Raises:
            ValueError: they were made with other weights or parameters.
        """
        path = self.folder / MANIFEST
        if path.is_file():
            old = self.manifest
            for setting, before, now in (
                ('weights or preparation of images', old['machine']['fingerprint'], manifest['machine']['fingerprint']),
                ('parameters', old['parameters'], manifest['parameters']),
            ):
                if before != now:
                    raise ValueError(
                        f'{self.folder} holds responses made with other {setting} ({before}, now {now}). Give the '
                        'machine another name in its config, or delete that folder to make all its responses again.'
                    )
            stored = {key: manifest['machine'].get(key) for key in ('classes', 'weight')}
            if any(old['machine'].get(key) != value for key, value in stored.items()):
                write_sealed_json(path, {**old, 'machine': {**old['machine'], **stored}})
            return
        write_sealed_json(path, manifest)

    def parts(self) -> list[Path]:
        """Paths of all whole parts, sorted."""
        return sorted(path for path in self.folder.glob('*.parquet') if not path.name.startswith('.'))

    def done(self, images: Iterable[Path] = ()) -> set[str]:
        """Return the file names of all images that have a response.

        Args:
            images: those that were written since they were seen are compared with what the machine saw.

        Raises:
            ValueError: one is another picture now.
        """
        names: set[str] = set()
        written = {part: last_change(part) for part in self.parts()}  # later in a copy, as that of its pictures
        first = min(written.values(), default=None)
        newer = {path.name: path for path in images if first is not None and last_change(path) >= first}
        for part in written:
            table = self.read(part, columns=['filename', 'crc32'])
            names.update(table['filename'].to_pylist())
            for name, crc in zip(*table.to_pydict().values(), strict=True) if newer else ():
                image = newer.get(name)
                if image and last_change(image) >= written[part] and crc_of_file(image) != crc:
                    raise ValueError(
                        f'{image} was changed after {self.folder.name} saw it. Delete {part}, which holds its former '
                        'answer, and run the same command again.'
                    )
        return names

    def write_part(self, rows: list[dict], task: str, shard: tuple[int, int]) -> Path:
        """Write one part of shard (i, n), i from 1, and its checksum."""
        prefix = shard_prefix(shard)
        numbers = [int(name.removesuffix('.parquet').rpartition('-')[2]) for name in self._parts_of(prefix)]
        path = self.folder / part_name(max(numbers, default=-1) + 1, prefix)
        table = pa.Table.from_pylist(rows, schema=RESPONSE_SCHEMAS[task])
        with atomic_write(path) as temporary:
            pq.write_table(table, temporary, compression='zstd')
        self.list_parts(shard, path.name)
        return path

    def _parts_of(self, prefix: str) -> list[str]:
        """File names of the parts of a shard, sorted; without an object for each, as each new part asks for them."""
        return sorted(fnmatch.filter([entry.name for entry in os.scandir(self.folder)], f'{prefix}-*.parquet'))

    def read(self, path: Path, **options) -> pa.Table:
        """Read a part, one of :meth:`parts`, once its SHA-256 is the one that was noted when it was written.

        ``options`` are those of :func:`pyarrow.parquet.read_table`.

        Raises:
            DamagedFile: the part is not what was written.
        """
        advice = self._again('it')
        if path.name not in self._listed:
            self._listed = self.checksums()
        if path.name in self._listed:
            check_sha256(path, self._listed[path.name]['sha256'], advice)
        try:
            return pq.read_table(path, **options)
        except pa.ArrowException as error:
            raise damaged(path, str(error).splitlines()[0], advice) from None

    def list_parts(self, shard: tuple[int, int], new: str = '') -> None:
        """Note the checksum of each part of a shard that has none yet, and of the one that is ``new``."""
        prefix = shard_prefix(shard)
        path = self.folder / f'checksums-{prefix}.json'
        before = self._noted.get(prefix)
        if before is None:
            before = read_sealed_json(path, 'Delete it; the next run writes it again.') if path.is_file() else {}
        # A part that was deleted may have had the name of the new one. And a run that was killed between a part and its
        # checksum left a part that is whole but not listed.
        record = {
            name: before[name] if name in before and name != new else self._facts(name)
            for name in self._parts_of(prefix)
        }
        if record != before:
            write_sealed_json(path, record)
        self._noted[prefix], self._listed = record, {}

    def _facts(self, name: str) -> dict:
        path = self.folder / name
        return {'rows': pq.read_metadata(path).num_rows, 'sha256': sha256_of_file(path)}

    def checksums(self) -> dict[str, dict]:
        """Rows and SHA-256 of the listed parts, by file name."""
        checksums_of: dict[str, dict] = {}
        for path in sorted(self.folder.glob('checksums-*.json')):
            checksums_of.update(read_sealed_json(path, 'Delete it; the next run writes it again.'))
        return checksums_of

    def checksum(self, name: str) -> str:
        """SHA-256 of the part ``name``, as listed or else as computed."""
        listed = self.checksums().get(name)
        return listed['sha256'] if listed else sha256_of_file(self.folder / name)

    def unreadable(self) -> dict[str, tuple[str, str]]:
        """File name -> (reason, part) of every image that were unreadable."""
        errors = {}
        for path in self.parts():
            table = self.read(path, columns=['filename', 'error'], filters=[('error', '!=', '')])
            errors.update({row['filename']: (row['error'], path.name) for row in table.to_pylist()})
        return errors

    def tables(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """Yield the table of each part."""
        for path in self.parts():
            yield self.read(path, columns=columns)


def answered_machines(data_root, task: str) -> list[ResponseFolder]:
    """List the machines that have responses, sorted by name.

    Raises:
        FileNotFoundError: there are none.
    """
    folder = responses_folder(data_root, task)
    folders = sorted(path.parent for path in folder.glob(f'*/{MANIFEST}')) if folder.is_dir() else []
    if not folders:
        raise FileNotFoundError(f'There are no responses in {folder}. Make them with tools/data/run_machines.py.')
    return [ResponseFolder(path) for path in folders]
