"""``miqa label``: from a folder of pictures and a machine to a labelled database."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from miqa.distortions.build import build_versions
from miqa.distortions.captured import build_captured
from miqa.distortions.few_versions import check_count, plan_versions
from miqa.errors import MIQAError
from miqa.layout import FILED_LABELS, ground_truth_path, responses_folder
from miqa.machines import Machine, build_machine, list_sources, run_machine, shard_of
from miqa.outside.walking import SkippedFiles
from miqa.pictures import read_image
from miqa.running.progress import OneLine, Progress
from miqa.splits.enough import check_enough
from miqa.splits.writing import renew_splits
from miqa.taxonomy import DISTORTIONS, LEVEL_PAIRS, counted

from .build import label_database
from .class_matches import unknown_classes
from .ground_truth import read_classes
from .plan import cut_large, measure_images, measure_machine, plan_text, temporary_root
from .scores import NO_CLEAN_DETECTIONS, ScoreOptions
from .user_pictures import PreparedPictures, pictures_below, prepare_pictures, read_pairs
from .verify import verify_database

_LEAST_OF_PAIRS = 3  # Degraded pictures of a gate
STAGES = ('distort', 'run', 'label', 'split', 'verify')  # What is done, in this order


@dataclass
class LabelJob:
    """A database to make: pictures, machines and settings of ``miqa label``."""

    images: str | os.PathLike  # folder of pictures
    root: str | os.PathLike  # the database
    task: str  # cls, det, ins or seg
    machines: Sequence[dict]  # configs of the machines
    #: of any kind that :mod:`miqa.annotations.formats` reads, or None: consistency alone.
    annotations: str | os.PathLike | None = None
    classes: Sequence[str] | None = None  # names of classes, see :func:`miqa.labelling.user_pictures.prepare_pictures`
    as_shown: bool = False  # annotations of pictures that EXIF turns are of these as shown; else nothing is assumed
    ignored: int | None = None  # value of pixels in maps of classes that do not count, where the user has said so
    pairs: str | os.PathLike | None = None  # CSV of clean and degraded pictures, instead of distortions
    unpaired: bool = False  # single pictures without a clean one: accuracy alone
    distortions: Sequence[str] = DISTORTIONS  # which
    level_pairs: Sequence[tuple[int, int]] = LEVEL_PAIRS  # levels of foreground and background
    #: how many versions of each picture, a balanced part of all; None for all of ``distortions`` and ``level_pairs``.
    versions_each: int | None = None
    measures: Sequence[str] = ()  # columns of the quality tables
    options: ScoreOptions = field(default_factory=ScoreOptions)  # how answers become scores
    seed: int = 1234567  # of distortions and splits
    val_share: float = 0.2  # share of the sources for testing
    shard: tuple[int, int] = (1, 1)  # (i, n): distort and run the i-th of n parts only
    device: str = 'cpu'  # where the machines run
    batch_size: int = 16  # pictures for a machine at a time
    workers: int = 0  # processes that decode
    jobs: int = -1  # processes that distort and score
    backend: str = 'loky'  # where these run
    least_sources: int = 1  # with fewer, for a gate, nothing is made

    def __post_init__(self):
        if self.versions_each is not None:
            check_count(self.versions_each, self.distortions, self.level_pairs)
        if self.pairs and self.unpaired:
            raise ValueError('Pictures are either paired with clean ones (--pairs) or not (--unpaired), not both.')
        if self.unpaired and self.annotations is None:
            raise ValueError('Unpaired pictures have no clean ones to compare with, so they need --annotations PATH.')
        if not self.machines:
            raise ValueError('Name at least one machine: --machine NAME')

    @property
    def labels(self) -> tuple[str, ...]:
        """Which labels can be made: accuracy needs annotations, consistency clean pictures."""
        missing = {'accuracy': self.annotations is None, 'consistency': self.unpaired}
        return tuple(label for label in FILED_LABELS if not missing[label])


@dataclass
class BuiltDatabase:
    """What was made."""

    notes: list[str]  # sentences about what was found on the way
    #: pictures and folders that the database does not have, and why.
    skipped: SkippedFiles = field(default_factory=SkippedFiles)
    manifest: dict | None = None  # of the labels; None where only a shard was run
    problems: list[str] = field(default_factory=list)  # what the check at the end found
    splits: dict[str, int] = field(default_factory=dict)  # number of sources in each split


class NothingLabelled(MIQAError, ValueError):
    """All machines have answered, and no picture has a label; the message says why."""


def build_machines(job: LabelJob) -> list[Machine]:
    """Build all machines, so that a faulty one is reported before anything is made.

    Raises:
        ValueError: a machine is for another task.
    """
    machines = [build_machine(config, job.device) for config in job.machines]
    for machine in machines:
        if machine.task != job.task:
            raise ValueError(f'{machine.name} is a machine for {machine.task}, not for {job.task}.')
    return machines


def prepare(job: LabelJob, machines: Sequence[Machine], skipped: SkippedFiles) -> PreparedPictures:
    """Name the sources and write their ground truth; ``skipped`` collects what is not among them."""
    pairs = read_pairs(job.pairs, job.images, job.task != 'cls') if job.pairs else {}
    clean = list(pairs) if job.pairs else None
    machine_classes, count = None, None
    if job.task == 'seg':
        machine_classes = next((machine.classes for machine in machines if machine.classes), None)
    if job.task == 'cls':
        machine_classes = next((machine.classes for machine in machines if machine.classes), None)
        told_apart = {machine.name: len(machine.classes or ()) or machine.class_count for machine in machines}
        counts = {name: number for name, number in told_apart.items() if number}
        if len(set(counts.values())) > 1:
            counted = ', '.join(f'{name} {number}' for name, number in counts.items())
            raise ValueError(f'Classifiers of one database must tell the same classes apart; these tell {counted}.')
        count = next(iter(counts.values()), None)
    truth = ground_truth_path(job.root, job.task)
    known_before = truth.exists()
    own = prepare_pictures(
        job.images, job.root, job.task, job.annotations, job.classes, machine_classes, count, only=clean,
        skipped=skipped, ignored=job.ignored, as_shown=job.as_shown,
    )  # fmt: skip
    # Of a gate a penalty is chosen on two pictures and tried on a third.
    few = job.pairs and job.least_sources > 1 and sum(map(len, pairs.values())) < _LEAST_OF_PAIRS
    check_enough(len(own.sources), _LEAST_OF_PAIRS if few else job.least_sources, job.images)
    if own.annotated:
        try:
            own.notes += unknown_classes(machines, job.root, job.task, own.annotations, own.numbered)
        except ValueError:
            # Corrected annotations must not be other ones than those of a database.
            if not known_before and truth.is_dir():
                shutil.rmtree(truth)
            elif not known_before:
                truth.unlink(missing_ok=True)
            raise
    if job.pairs:
        used = {name for first, others in pairs.items() for name in (first, *others)}
        if unused := [name for name in pictures_below(job.images, SkippedFiles()) if name not in used]:
            own.notes.append(f'{len(unused)} pictures are in no pair and are skipped, for example {unused[0]}')
    return own


_SMALL = 50  # Of so few pictures one tells a plan enough


def _timed_on(machine: Machine) -> tuple[int, int]:
    """Return on how many pictures a plan times a machine, and how many it is given at a time."""
    return (16, 8) if str(machine.device).startswith('cuda') else (3, 1)


def make_plan(
    job: LabelJob, sample: int = 2, further: Mapping[str, Callable[[np.ndarray], object]] | None = None
) -> str:
    """Measure a sample in a temporary folder and say what the whole will cost; nothing of the database is made.

    Args:
        job: the database.
        sample: how many pictures are measured.
        further: what is done besides with every image, uint8 RGB (H, W, 3), by name; it is timed, too.
    """
    machines = build_machines(job)
    with temporary_root() as folder:
        trial = LabelJob(**{**vars(job), 'root': folder})
        skipped = SkippedFiles()
        own = prepare(trial, machines, skipped)
        total = len(own.sources)
        sample = sample if total > _SMALL else 1
        positions = sorted({round(i * (total - 1) / max(1, sample - 1)) for i in range(min(sample, total))})
        cut = [cut_large(own.sources[i], Path(folder) / 'cut') for i in positions]
        times = sum(more for _, more in cut) / len(cut)
        options: dict[str, Any] = {'distortions': job.distortions, 'pairs': job.level_pairs, 'measures': job.measures}
        if job.versions_each is not None:
            some = plan_versions(0, job.versions_each, job.distortions, job.level_pairs)
            options |= {'distortions': [name for name, _ in some], 'pairs': some[0][1], 'versions': job.versions_each}
        if job.pairs or job.unpaired:
            # Nothing is distorted: one level of the cheapest distortion stands for a copied picture.
            options |= {'distortions': ('contrast',), 'pairs': ((1, 1),), 'measures': (), 'versions': 1}
        costs = measure_images([source for source, _ in cut], Path(folder), job.task, **options).scaled(times)
        measured = [
            measure_machine(machine, Path(folder), Path(folder) / 'answers' / machine.name, *_timed_on(machine))
            for machine in machines
        ]
        picture = read_image(own.sources[0].path)
        seconds = {name: _seconds_of(step, picture) for name, step in (further or {}).items()}
    lines = [f'{total} pictures in {job.images}; labels: {", ".join(job.labels)}', *own.notes]
    lines += [f'Skipped: {sentence}' for sentence in skipped.lines()]
    return '\n'.join([*lines, plan_text(costs, measured, total, further=seconds)])


def _seconds_of(step: Callable[[np.ndarray], object], picture: np.ndarray) -> float:
    """Return the time of the processor of a step with a picture, after one run to warm up."""
    step(picture)
    start = time.process_time()
    step(picture)
    return time.process_time() - start


def make_database(job: LabelJob, progress: Progress = True) -> BuiltDatabase:
    """Make or resume the database; finished parts are kept.

    ``progress`` may be the line of a longer command, of which this is a part. Where only a shard is requested, the
    labels are left to a run without one.
    """
    machines = build_machines(job)
    skipped = SkippedFiles()
    own = prepare(job, machines, skipped)
    notes = list(own.notes)
    line = progress if isinstance(progress, OneLine) else OneLine(stages_of(job), disable=not progress)
    try:
        line.stage('distort')
        _make_images(job, own, skipped, line)
        sources = [source for source in list_sources(job.root, job.task) if source.versions]
        if gone := sorted({source.source for source in sources} - {source.image_id for source in own.sources}):
            notes.append(
                f'{counted(len(gone), "source")} of {job.root} {"is" if len(gone) == 1 else "are"} not in '
                f'{job.images} any more, for example {gone[0]}; the labels keep them.'
            )
        if job.shard[1] > 1:
            mine = {source.image_id for source in shard_of(own.sources, job.shard)}
            sources = [source for source in sources if source.source in mine]
        truth = ground_truth_path(job.root, job.task)
        classes = read_classes(truth) if job.task == 'cls' and own.annotated else None
        for machine in machines:
            line.stage(machine.name)
            counts = run_machine(
                machine,
                sources,
                responses_folder(job.root, job.task) / machine.name,
                true_classes=classes,
                shard=job.shard,
                batch_size=job.batch_size,
                workers=job.workers,
                store_probabilities=job.options.consistency == 'soft',
                unpaired=job.unpaired,
                progress=line,
            )
            if counts['unreadable']:
                skipped.note(f'{machine.name}: {counts["unreadable"]} pictures could not be read or got no answer.')
        database = BuiltDatabase(notes, skipped)
        if job.shard[1] > 1:
            return database
        line.stage('label')
        database.manifest = label_database(
            job.root,
            job.task,
            weights={machine.name: machine.weight for machine in machines},
            options=job.options,
            labels=job.labels,
            jobs=job.jobs,
            backend=job.backend,
            progress=line,
        )
        if not database.manifest['images']:
            raise NothingLabelled(_why_nothing(database.manifest))
        line.stage('split')
        database.splits = _split(job, notes)
        line.stage('verify')
        database.problems = verify_database(job.root, job.task, progress=line).problems
        return database
    finally:
        if line is not progress:
            line.close()


def stages_of(job: LabelJob) -> int:
    """Return how many stages the progress line of :func:`make_database` counts."""
    return len(STAGES) - 1 + len(job.machines)


def _why_nothing(manifest: dict) -> str:
    reasons = Counter(filter(None, manifest['excluded'].values()))
    listed = '; '.join(f'{count} because {reason}' for reason, count in reasons.most_common())
    text = f'None of {sum(reasons.values())} pictures has a label: {listed}.'
    if NO_CLEAN_DETECTIONS in reasons:
        least = manifest['options']['confidence']
        text += f' Answers to clean pictures count from a score of {least:g} on; --confidence says another.'
    return text


def _make_images(job: LabelJob, own: PreparedPictures, skipped: SkippedFiles, line: OneLine) -> None:
    if job.pairs or job.unpaired:
        degraded = read_pairs(job.pairs, job.images) if job.pairs else {}
        folder = Path(job.images)
        scenes = {
            source.image_id: (
                Path(source.path),
                [folder / name for name in degraded.get(own.names[source.image_id], [own.names[source.image_id]])],
            )
            for source in own.sources
        }
        mine = {source.image_id: scenes[source.image_id] for source in shard_of(list(own.sources), job.shard)}
        build_captured(mine, job.root, job.task, progress=line)
        return
    report = build_versions(
        own.sources,
        job.root,
        job.task,
        seed=job.seed,
        distortions=job.distortions,
        pairs=job.level_pairs,
        measures=job.measures,
        shard=job.shard,
        jobs=job.jobs,
        backend=job.backend,
        progress=line,
        versions_each=job.versions_each,
    )
    for name, reason in report.bad:
        skipped.note(f'{name}: {reason}')


def _split(job: LabelJob, notes: list[str]) -> dict[str, int]:
    splits, note = renew_splits(job.root, job.task, job.val_share, job.seed)
    if note:
        notes.append(note)
    return {split: len(names) for split, names in splits.items()}
