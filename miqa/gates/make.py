"""``miqa gate make``: from a folder of pictures and a machine to a gate.

Everything is kept below the gate's folder and a second run resumes the first: ``data/`` is the labelled
database of ``miqa label``, ``features/`` the numbers of the pictures; heads, report and at last ``gate.json`` are
written from them.
"""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from miqa.apis.gate_fit import NoGate, fit_gate
from miqa.apis.gate_model import AFTER, FORMAT, PICTURE_NETWORK, GateFolder, identity_of_head
from miqa.apis.gate_threshold import ABOUT, BEFORE, KEYS, Gate, digest_of
from miqa.apis.picture_features import SCORE, PictureFeatures, statistic_names
from miqa.keeping import atomic_write, sha256_of_file, write_json
from miqa.labelling.label_job import BuiltDatabase, LabelJob, build_machines, make_database, make_plan, stages_of
from miqa.layout import TASK_FOLDERS, build_settings_path, image_task_folder
from miqa.machines import Machine
from miqa.outside.json_text import read_settings
from miqa.outside.regular_files import check_regular
from miqa.running.progress import OneLine
from miqa.splits.enough import LEAST_SOURCES, check_enough

from .heads import Columns, cross_validate, train_head, write_head
from .pooled import pooled_precision
from .samples import Samples, collect, labelled_sources, read_outcomes
from .worth import HEADLINE, Measure, Worth, difference, worth_of

REPORT = 'report.html'  # File name of the report in the gate's folder
_FEATURES = 'features'  # Folder of the numbers of pictures in it
VERSIONS = 12  # Default versions of each photograph
#: What the gates are compared with, as reports name it.
OWN, LAPLACIAN, PACKAGED = 'own confidence', 'Laplacian variance', 'packaged model'
PROPOSED_KEPT = 0.5  # A proposed promise lets at least this share of the pictures through

#: Weight of the picture's numbers beside those of the answer, each standardised: there are twenty times as many.
#: Chosen by cross-validation on the training half of docs/your_own_gate.md, as are the numbers of
#: :mod:`miqa.gates.heads`.
PICTURE_SCALE = 0.2
#: Weight of the packaged model's scores of the picture, which were learned from more scenes than a gate ever sees, in
#: either head. Chosen in the same way, with scores learned from other scenes and detectors.
SCORE_SCALE = {BEFORE: 10.0, AFTER: 2.0}

_STAGES = ('features', 'cross-validate', 'train', 'judge')
# Changes where the numbers of a picture would be others although its network is the same.
_NUMBERS_FORMAT = 3


@dataclass
class GateJob:
    """What is to be made."""

    #: what is labelled, see :class:`miqa.labelling.label_job.LabelJob`; its root is ``data`` in :attr:`folder`.
    database: LabelJob
    folder: Path  # of the gate
    label: str | None = None  # ``accuracy`` or ``consistency``; None for accuracy where there are annotations
    evidence: str | None = None  # name of the machine whose answers ``after`` reads; None for the first
    target: float | None = None  # of the promise; None for the best that can be promised
    confidence: float = 0.95  # of the promise
    network: str | os.PathLike | None = None  # ONNX file of the picture's features; None for statistics alone

    def __post_init__(self):
        self.database = replace(self.database, least_sources=3 if self.database.unpaired else 2)

    @property
    def outcome(self) -> str:
        """The label that is predicted."""
        if self.label is not None and self.label not in self.database.labels:
            needs = 'annotations: --annotations PATH' if self.label == 'accuracy' else 'clean pictures, not --unpaired'
            raise ValueError(f'{self.label} needs {needs}')
        return self.label or self.database.labels[0]

    def check(self) -> None:
        """Raise a ValueError for options that cannot be fulfilled, before anything is made."""
        self.outcome  # noqa: B018  raises
        if self.target is not None and not 0 < self.target < 1:
            raise ValueError(f'--target must lie between 0 and 1, not {self.target}.')
        if not 0 < self.confidence < 1:
            raise ValueError(f'--confidence must lie between 0 and 1, not {self.confidence}.')
        if self.network is not None:
            check_regular(self.network, kind='network file')
        if self.folder.is_dir() and not begun(self) and not _holds_a_gate(self.folder):
            ours = {Path(self.database.root).name, _FEATURES, *TASK_FOLDERS.values()}
            names = {path.name for path in self.folder.iterdir() if not path.name.startswith('.')}
            if others := sorted(names - ours):
                raise FileExistsError(
                    f'{self.folder / others[0]} is not of `miqa gate make`, which would write beside it. Name a '
                    'new folder for the gate: --out GATE.'
                )


def _holds_a_gate(folder: Path) -> bool:
    try:
        about = read_settings(folder / ABOUT)
    except (OSError, ValueError):
        return False
    return isinstance(about, dict) and set(about) == KEYS


def packaged_network() -> Path | None:
    """Return the file of the packaged model, whose features the picture's numbers hold; None if it is missing."""
    paths = [path for path in (Path(__file__).parents[1] / 'box').glob('*.onnx') if path.is_file()]
    return paths[0] if paths else None


@dataclass
class BuiltGate:
    """What was made."""

    folder: GateFolder  # the gate
    database: BuiltDatabase  # what ``miqa label`` would report
    samples: Samples  # what the heads were trained on
    scores: dict[str, np.ndarray]  # cross-validated scores of each head, and what they are compared with, float64 (N,)
    worth: dict[str, Worth]  # of each of them on the mean outcome
    pooled: dict[str, Worth] | None  # likewise on the pooled average precision, or None
    promises: dict[str, str]  # why a head has no guarantee, by its name; empty where both have one
    seconds: dict[str, float]  # of a picture: ``before``, ``machine``; NaN where it was not measured
    notes: list[str] = field(default_factory=list)  # sentences for people
    job: GateJob | None = None  # that made it


def plan_gate(job: GateJob) -> str:
    """Return what is done and what it will cost, measured on a sample; nothing is made."""
    if job.evidence is not None:
        _evidence(job, build_machines(job.database))
    features = PictureFeatures(job.database.task, job.network, threads=1)
    each = 'as they are' if job.database.pairs or job.database.unpaired else f'{job.database.versions_each} each'
    return (
        make_plan(
            job.database, sample=1, further={'features of the picture': lambda rgb: features([features.view_of(rgb)])}
        )
        + f'\nVersions: {each}. Then: two heads by cross-validation, and a report.'
    )


def begun(job: GateJob) -> bool:
    """Return True if there are results of an earlier run to resume."""
    root = image_task_folder(job.database.root, job.database.task)
    return build_settings_path(root).is_file() or any(root.glob('images/*'))


def make_gate(job: GateJob, progress: bool = True) -> BuiltGate:
    """Make or resume the gate.

    Raises:
        ValueError: there is nothing to train on, or fewer than two sources have labels.
        MissingPackage: scikit-learn or onnx is not installed.
    """
    outcome = job.outcome
    database = job.database
    machines = build_machines(database)
    evidence = _evidence(job, machines)
    features = PictureFeatures(database.task, job.network, threads=None)
    line = OneLine(stages_of(database) + len(_STAGES), disable=not progress)
    try:
        labelled_database = make_database(database, line)
        line.stage('features')
        outcomes = read_outcomes(
            database.root, database.task, outcome, {machine.name: machine.weight for machine in machines}
        )
        stamp = f'{_NUMBERS_FORMAT} {"none" if job.network is None else sha256_of_file(job.network)}'
        cache = job.folder / _FEATURES
        samples = collect(database.root, database.task, outcomes, evidence.name, features, cache, stamp, line)
        sources = labelled_sources(samples)
        least = 2 if len(samples.names) > 2 else 3  # noqa: PLR2004  a penalty is chosen on two samples, tried on one
        check_enough(len(sources), least, database.images)
        line.stage('cross-validate')
        numbers = head_numbers(samples)
        kinds = {head: head_columns(samples, head) for head in numbers}
        scores = {
            head: cross_validate(values, samples.outcomes, samples.sources, kinds[head], seed=database.seed)
            for head, values in numbers.items()
        }
        line.stage('train')
        folder, promises = _write_gate(job, evidence, features, samples, numbers, kinds, scores, outcome)
        line.stage('judge')
        compared = {**scores, OWN: samples.own_confidence, LAPLACIAN: samples.picture[:, 0]}
        for place, name in enumerate(samples.picture_names):
            if name.startswith(SCORE) and name.endswith(outcome):
                compared[PACKAGED] = samples.picture[:, place]
        worth = worth_of(compared, samples.outcomes, samples.sources)
        pooled = _pooled(job, machines, outcome, samples, compared)
        seconds = _seconds(samples, features, evidence)
    finally:
        line.close()
    # A gate is cross-validated: what `miqa label` says of the split into train and val does not concern it.
    about_data = [note for note in labelled_database.notes if 'split files' not in note]
    notes = [*about_data, *_warnings(sources, samples, worth)]
    return BuiltGate(folder, labelled_database, samples, scores, worth, pooled, promises, seconds, notes, job)


def head_numbers(samples: Samples) -> dict[str, np.ndarray]:
    """Return what each head reads, float64 (N, K): named numbers first, then those of the picture's network."""
    return {BEFORE: samples.picture, AFTER: np.concatenate([samples.picture, samples.answer], axis=1)}


def head_columns(samples: Samples, head: str) -> Columns:
    """Say what the numbers of :func:`head_numbers` are."""
    pictures, answers = len(samples.picture_names), len(samples.answer_names)
    statistics = np.arange(pictures) < len(statistic_names())
    scores = np.array([name.startswith(SCORE) for name in samples.picture_names])
    network = ~statistics & ~scores
    if head == BEFORE:
        return Columns(scores if scores.any() else statistics, np.where(scores, SCORE_SCALE[head], 1.0))
    # Beside an answer and a network's features, the statistics only add what does not carry over to other scenes.
    read = statistics if not network.any() else np.zeros(pictures, bool)
    scale = np.where(scores, SCORE_SCALE[head], np.where(network | read, PICTURE_SCALE, 0.0))
    return Columns(np.concatenate([read | scores, np.ones(answers, bool)]), np.concatenate([scale, np.ones(answers)]))


def _evidence(job: GateJob, machines: Sequence[Machine]) -> Machine:
    if job.evidence is None:
        return machines[0]
    for machine in machines:
        if machine.name == job.evidence:
            return machine
    raise ValueError(
        f'--evidence {job.evidence} is not one of the machines: {", ".join(machine.name for machine in machines)}.'
    )


def _write_gate(job, evidence, features, samples, numbers, kinds, scores, outcome):
    folder, task = job.folder, job.database.task
    files = {}
    if job.network is not None:
        with atomic_write(folder / PICTURE_NETWORK) as temporary:
            shutil.copyfile(job.network, temporary)
        files[PICTURE_NETWORK] = sha256_of_file(folder / PICTURE_NETWORK)
    heads, promises = {}, {}
    for head, values in numbers.items():
        path = folder / f'{head}.onnx'
        trained = train_head(values, samples.outcomes, samples.sources, kinds[head], job.database.seed)
        write_head(trained, path, values)
        files[path.name] = sha256_of_file(path)
        identity = identity_of_head(task, outcome, files[path.name])
        gate, why = promise(scores[head], samples, job.target, job.confidence, identity)
        heads[head] = asdict(gate)
        if why:
            promises[head] = why
    content = {
        'format': FORMAT,
        'task': task,
        'label': outcome,
        'machine': {
            'name': evidence.name,
            'classes': None if evidence.classes is None else list(evidence.classes),
            'class_count': evidence.class_count,
            'fingerprint': evidence.fingerprint,
        },
        'numbers': {'picture': list(features.names), 'answer': list(samples.answer_names)},
        'files': files,
        'heads': heads,
        'made': {
            'pictures': len(samples.names),
            'sources': len(labelled_sources(samples)),
            'machines': [config.get('name') or str(config.get('model')) for config in job.database.machines],
            'seed': job.database.seed,
        },
    }
    write_json(folder / ABOUT, {**content, 'sha256': digest_of(content)})
    return GateFolder.open(folder), promises


def promise(
    scores: np.ndarray, samples: Samples, target: float | None, confidence: float, identity: str
) -> tuple[Gate, str]:
    """Fit the threshold of a head to its cross-validated scores.

    Args:
        scores: float64 (N,).
        samples: outcomes and sources.
        target: lowest mean outcome of what passes; None for the highest, in steps of .01, that can be promised while
            at least half of the pictures pass.
        confidence: of the promise.
        identity: of the head.

    Returns:
        The gate, and why it has no guarantee: then its threshold drops the lowest fifth.
    """

    def fit(target: float) -> Gate:
        return fit_gate(
            scores, samples.outcomes, target=target, confidence=confidence, groups=samples.sources, model=identity
        )  # fmt: skip

    if target is not None:
        try:
            return fit(target), ''
        except NoGate as error:
            reason = str(error)
    else:
        best, low, high = None, 0, 99
        while low < high:  # the more is promised, the fewer pass
            middle = (low + high + 1) // 2
            try:
                gate = fit(middle / 100)
                fits = gate.kept >= PROPOSED_KEPT
            except NoGate:
                fits = False
            if fits:
                best, low = gate, middle
            else:
                high = middle - 1
        if best is not None:
            return best, ''
        reason = f'No mean outcome can be promised for at least {100 * PROPOSED_KEPT:g} % of such pictures.'
    threshold = float(np.quantile(scores, HEADLINE))
    passed = scores >= threshold
    good = samples.outcomes >= 0.5  # noqa: PLR2004  as fit_gate counts them
    gate = Gate(
        threshold, None, None, confidence, float(passed.mean()), float(samples.outcomes[passed].mean()),
        float((~passed[good]).mean()) if good.any() else 0.0, len(scores), len(set(samples.sources.tolist())), identity,
    )  # fmt: skip
    return gate, f'{reason} The threshold drops the lowest fifth, without a guarantee.'


def _pooled(job, machines, outcome, samples, compared) -> dict[str, Worth] | None:
    """Return worth on AP50 of all pictures together, where objects are annotated and one machine is judged."""
    if job.database.task not in ('det', 'ins') or outcome != 'accuracy' or len(machines) > 1:
        return None
    measure: Measure = pooled_precision(
        job.database.root, job.database.task, machines[0].name, samples.names, samples.sources.tolist()
    )
    return worth_of(compared, samples.outcomes, samples.sources, measure)


def _seconds(samples: Samples, features: PictureFeatures, machine: Machine, pictures: int = 4) -> dict[str, float]:
    """Measure a picture's numbers, and the machine, on a few pictures, each after one to warm up."""
    from miqa.apis.inputs import to_rgb

    paths = samples.paths[: pictures + 1]
    images = [to_rgb(str(path)) for path in paths]
    times = {}
    for name, run in (
        (BEFORE, lambda image: features([features.view_of(image)])),
        ('machine', lambda image: machine.predict([image])),
    ):
        run(images[0])
        start = time.perf_counter()
        for image in images[1:]:
            run(image)
        times[name] = (time.perf_counter() - start) / max(1, len(images) - 1) if len(images) > 1 else math.nan
    return times


def _warnings(sources: Sequence[str], samples: Samples, worth: dict[str, Worth]) -> list[str]:
    notes = []
    if len(sources) < LEAST_SOURCES:
        notes.append(
            f'Only {len(sources)} photographs have labels: intervals over so few hardly mean anything. Use at least 20.'
        )
    if samples.skipped:
        notes.append(f'{len(samples.skipped)} labelled pictures are skipped, for example {samples.skipped[0]}')
    for head in (BEFORE, AFTER):
        notes += verdict(head, worth)
    return notes


def verdict(head: str, worth: dict[str, Worth]) -> list[str]:
    """Return sentences on the worth of a head, against no filter and against the machine's own confidence."""
    own = worth[head]
    if own.srcc.value < 0:
        return [
            f'The gate {head} is worse than nothing: its scores fall where outcomes rise (SRCC {own.srcc}). Do not use '
            'it; with more photographs it may become better.'
        ]
    if not own.gain.is_above_zero:
        return [
            f'The gate {head} is not worth it: dropping the lowest fifth changes the mean outcome by {own.gain}: no '
            'gain is shown.'
        ]
    _, gain = difference(own, worth[OWN])
    if head == AFTER and not gain.is_above_zero:
        return [
            f"The gate {head} is not worth it beside the machine's own confidence: where each drops its lowest fifth, "
            f"the gate's mean outcome differs from the confidence's by {gain}: no gain is shown."
        ]
    return []
