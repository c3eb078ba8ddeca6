"""Scores of every single machine for every distorted image, in Parquet: between responses and labels.

``{task folder}/scores/{machine}/`` mirrors the parts of ``responses/{machine}/``: each part of responses becomes one
part of scores, so that a killed run resumes. Columns: ``source``, ``filename``, ``consistency``,
``accuracy``, for det and ins also ``consistency_75`` and ``accuracy_75`` (IoU 0.75 alone), and ``note``: why a score is
null (the machine abstains): :data:`UNREADABLE`, :data:`CLEAN_UNREADABLE`, :data:`NO_OBJECTS`, :data:`UNKNOWN_CLASSES`
or :data:`NO_CLEAN_DETECTIONS`. Without ground truth ``accuracy`` is null throughout.
Clean images have no row: their labels would be 1 by definition.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from miqa.keeping.sealed import DamagedFile, check_part, list_parts, read_sealed_json, write_part, write_sealed_json
from miqa.layout import MANIFEST
from miqa.machines.responses import ResponseFolder
from miqa.taxonomy import check_choice

from .classification import soft_consistency, top1_accuracy, top1_consistency

LOGGER = logging.getLogger('miqa')

UNREADABLE = 'image is unreadable or gets no answer'
CLEAN_UNREADABLE = 'clean image is unreadable or gets no answer'
NO_OBJECTS = 'image has no objects in the ground truth'
UNKNOWN_CLASSES = 'no machine has a class that is annotated in the image'
NO_CLEAN_DETECTIONS = 'machine detects nothing on the clean image'


@dataclass(frozen=True)
class ScoreOptions:
    """How responses become scores.

    Attributes:
        consistency: cls: ``top1`` (agreement of the top-1 class) or ``soft`` (overlap of the probability vectors).
        confidence: det, ins: detections on the clean image with at least this score are what the machine's detections
            on the distorted image are compared with. 0.3, MMDetection's threshold for drawing detections.
    """

    consistency: str = 'top1'
    confidence: float = 0.3

    def __post_init__(self):
        check_choice(self.consistency, ('top1', 'soft'), 'kind of consistency')
        if not 0 <= self.confidence < 1:
            raise ValueError(f'confidence must lie in [0, 1), not {self.confidence}.')


def score_classes(
    table: pa.Table, clean: dict[str, dict], classes: dict[str, int] | None, options: ScoreOptions
) -> dict[str, list]:
    """Score the distorted rows of one part of a classifier's responses; return columns of the scores.

    ``clean``: source -> the same machine's row of the clean image; ``classes``: source -> class index, None for
    consistency alone.

    Raises:
        ValueError: soft consistency is wanted but the probability vectors were not kept.
    """
    columns = table.select(['source', 'filename', 'error', 'top1', 'probabilities']).to_pydict()
    count = table.num_rows
    consistency, accuracy = np.full(count, np.nan), np.full(count, np.nan)
    notes: list[str | None] = [None] * count
    sound = []
    for i, source in enumerate(columns['source']):
        if columns['error'][i] is not None:
            notes[i] = UNREADABLE
        elif clean[source]['error'] is not None:
            notes[i] = CLEAN_UNREADABLE
        else:
            sound.append(i)
    top1 = np.array([columns['top1'][i] for i in sound], np.int64)
    reference = [clean[columns['source'][i]] for i in sound]
    if options.consistency == 'top1':
        consistency[sound] = top1_consistency(top1, np.array([row['top1'] for row in reference], np.int64))
    else:
        consistency[sound] = soft_consistency(
            _vectors([columns['probabilities'][i] for i in sound]),
            _vectors([row['probabilities'] for row in reference]),
        )
    if classes is not None:
        accuracy[sound] = top1_accuracy(top1, np.array([classes[columns['source'][i]] for i in sound], np.int64))
    return {
        'source': columns['source'],
        'filename': columns['filename'],
        'consistency': consistency,
        'accuracy': accuracy,
        'note': notes,
    }


def _vectors(stored: list[bytes | None]) -> np.ndarray:
    vectors = [value for value in stored if value is not None]
    if len(vectors) < len(stored):
        raise ValueError(
            'Soft consistency needs probability vectors, which were not stored: run the machines again with '
            '--store-probabilities (into a new folder), or use top-1 consistency.'
        )
    if not stored:
        return np.zeros((0, 1))
    return np.frombuffer(b''.join(vectors), '<f2').reshape(len(stored), -1)


class ScoreFolder:
    """The scores of one machine, in ``{task folder}/scores/{machine}``."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)

    def start(self, fingerprint: str, options: dict, truth_sha256: str, classes: Sequence[str] | None = None) -> None:
        """Note what the scores come from; throw away scores that came from something else (they can be redone).

        Args:
            fingerprint: of the machine.
            options: that were used.
            truth_sha256: of the ground truth, or ``none``.
            classes: the machine's names of classes, where these decide what an answer is compared with.
        """
        manifest = {'fingerprint': fingerprint, 'options': options, 'ground_truth_sha256': truth_sha256}
        if classes is not None:
            manifest['classes'] = list(classes)
        path = self.folder / MANIFEST
        try:
            if path.is_file() and read_sealed_json(path, '') == manifest:
                return
        except DamagedFile as error:
            LOGGER.warning('%s The scores are computed again.', error)
        for part in self.folder.glob('*.parquet'):
            part.unlink()
        write_sealed_json(path, manifest)

    def write(self, name: str, columns: dict, responses_sha256: str) -> None:
        """Write the part ``name``, made from the part of responses with that checksum; NaN becomes null."""
        arrays = {
            key: pa.array(value, pa.float64(), from_pandas=True) if isinstance(value, np.ndarray) else value
            for key, value in columns.items()
        }
        arrays['note'] = pa.array(arrays['note'], pa.string())
        arrays['source'] = pa.array(arrays['source'], pa.string())
        arrays['filename'] = pa.array(arrays['filename'], pa.string())
        table = pa.table(arrays).replace_schema_metadata({'responses_sha256': responses_sha256})
        write_part(self.folder / name, lambda path: pq.write_table(table, path, compression='zstd'))

    def has(self, name: str, responses_sha256: str) -> bool:
        """Return True if the part ``name`` is there and was made from the part of responses with that checksum."""
        path = self.parts().get(Path(name).stem)
        if path is None:
            return False
        try:
            check_part(path, '')
        except DamagedFile as error:
            LOGGER.warning('%s It is computed again.', error)
            path.unlink()
            return False
        return pq.read_schema(path).metadata[b'responses_sha256'].decode() == responses_sha256

    def parts(self) -> dict[str, Path]:
        """Paths of the parts that are done, by the stem of the part of responses that each was made from."""
        return list_parts(self.folder, '.parquet')

    def keep_only(self, names: set[str]) -> None:
        """Remove parts made from other parts of responses than these, and files without a checksum in their name."""
        stems, parts = {Path(name).stem for name in names}, self.parts()
        current = {path for stem, path in parts.items() if stem in stems}
        for path in set(self.folder.glob('[!.]*.parquet')) - current:
            path.unlink()

    def read(self) -> pa.Table:
        """Return the scores of all images.

        Raises:
            FileNotFoundError: there are none.
        """
        parts = self.parts()
        if not parts:
            raise FileNotFoundError(f'There are no scores in {self.folder}. Make them with tools/data/make_labels.py.')
        advice = 'Delete it and run tools/data/make_labels.py again.'
        return pa.concat_tables([pq.read_table(check_part(part, advice)) for part in parts.values()])


Scorer = Callable[[pa.Table, dict[str, dict]], dict]


def score_part(responses: Path, name: str, scores: Path, scorer: Scorer) -> str:
    """Score one part of a machine's responses, write the scores and return the part's name.

    Raises:
        ValueError: the clean image of a source has no response.
    """
    store = ResponseFolder(responses)
    table = store.read(responses / name)
    distorted = table.filter(pc.field('distortion').is_valid())
    clean = _clean_rows(table)
    sources = set(pc.unique(distorted['source']).to_pylist())
    if sources - clean.keys():
        # The versions were made in a later run than their clean image, which then lies in another part.
        for other in store.parts():
            clean.update(_clean_rows(store.read(other, filters=pc.field('distortion').is_null())))
    missing = sorted(sources - clean.keys())
    if missing:
        raise ValueError(
            f'{responses.name} has no response to the clean image of {missing[0]}. Finish tools/data/run_machines.py '
            'first.'
        )
    ScoreFolder(scores).write(name, scorer(distorted, clean), store.checksum(name))
    return name


def _clean_rows(table: pa.Table) -> dict[str, dict]:
    return {row['source']: row for row in table.filter(pc.field('distortion').is_null()).to_pylist()}
