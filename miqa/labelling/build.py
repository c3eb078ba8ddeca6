"""Labels of a whole database: responses -> scores of machines -> label files, with a manifest."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import delayed

from miqa.keeping import only_writer, sha256_of_file
from miqa.keeping.sealed import read_sealed_json, write_sealed_json
from miqa.keeping.versions import versions_in_use
from miqa.layout import (
    FILED_LABELS,
    MANIFEST,
    NAME_COLUMN,
    SCORE_COLUMNS,
    LabelColumns,
    ground_truth_path,
    label_columns,
    label_folder,
    machines_in,
    scores_folder,
)
from miqa.machines.image_list import SourceImages, list_sources
from miqa.machines.responses import ResponseFolder, answered_machines
from miqa.running.parallel import run_parallel
from miqa.running.progress import Progress, bar_over
from miqa.taxonomy import DATABASE_TASKS, check_choice

from .aggregation import Aggregation, Summary
from .class_maps import digest_of_maps
from .ground_truth import check_sources_known, read_classes
from .label_files import write_labels
from .scores import ScoreFolder, ScoreOptions, Scorer, score_classes, score_part
from .segmentation_scores import segmentation_scorers


def label_database(
    data_root: str | os.PathLike,
    task: str,
    *,
    ground_truth: str | os.PathLike | None = None,
    weights: dict[str, float] | None = None,
    options: ScoreOptions | None = None,
    labels: Sequence[str] = FILED_LABELS,
    jobs: int = 1,
    backend: str = 'loky',
    overwrite: bool = False,
    progress: Progress = True,
) -> dict:
    """Write the label files of a task from the responses of all machines.

    Args:
        data_root: the database.
        task: ``cls``, ``det``, ``ins`` or ``seg``.
        ground_truth: CSV of classes, COCO JSON or folder of maps; None: what lies beside the images.
        weights: machine -> weight, which also selects the machines; None: all that have responses, each with the weight
            in its manifest.
        options: how responses become scores.
        labels: ``accuracy`` and ``consistency``, or one of them; without accuracy no ground truth is needed.
        jobs: processes; -1: one per core.
        backend: where they run, out of :data:`miqa.running.parallel.BACKENDS`.
        overwrite: replace labels that were made in another way or elsewhere.
        progress: show progress bars, or the one line that shows them.

    Returns:
        The manifest that is written beside the labels.

    Raises:
        InUse: another process makes labels of this task.
        FileExistsError: the folder has labels that were made in another way or elsewhere, and not ``overwrite``.
        ValueError: a machine lacks responses, or the ground truth lacks a source.
    """
    check_choice(task, DATABASE_TASKS, 'task')
    labels = tuple(
        label for label in FILED_LABELS if label in {check_choice(name, FILED_LABELS, 'label') for name in labels}
    )
    if not labels:
        raise ValueError(f'Name at least one label out of {", ".join(FILED_LABELS)}.')
    folder = label_folder(data_root, task)
    folder.mkdir(parents=True, exist_ok=True)
    scores = [scores_folder(data_root, task) / machine.folder.name for machine in answered_machines(data_root, task)]
    with only_writer(folder, 'stop that one', below=lambda: scores):
        return _label(
            data_root, task, folder, ground_truth, weights, options or ScoreOptions(), labels,
            (jobs, backend), overwrite, progress,
        )  # fmt: skip


def _label(data_root, task, folder, ground_truth, weights, options, labels, pool, overwrite, progress) -> dict:
    machines = _machines(data_root, task, weights)
    sources = [source for source in list_sources(data_root, task) if source.versions]
    if not sources:
        raise ValueError(f'No source in {data_root} has distorted versions, so there is nothing to label.')
    beside = Path(ground_truth) if ground_truth else ground_truth_path(data_root, task)
    truth = beside if 'accuracy' in labels else None
    scorer_for = _scorers(task, truth, [source.source for source in sources], options)
    manifest = {
        'task': task,
        'options': _used_options(task, options),
        'labels': list(labels),
        'ground_truth': {'file': truth.name, 'sha256': _digest(truth)} if truth is not None else None,
        'machines': {
            machine.folder.name: {'weight': weight, 'fingerprint': machine.manifest['machine']['fingerprint']}
            for machine, weight in machines
        },
        'versions': versions_in_use(),
    }
    _claim(folder, manifest, overwrite)
    digest = manifest['ground_truth']['sha256'] if truth is not None else 'none'
    _make_scores(data_root, task, machines, scorer_for, options, digest, pool, progress)
    summaries, notes = _aggregate(data_root, task, machines, sources)
    manifest.update(_write_labels(folder, task, labels, sources, summaries, notes, progress), complete=True)
    write_sealed_json(folder / MANIFEST, manifest)
    return manifest


def _used_options(task: str, options: ScoreOptions) -> dict:
    if task == 'seg':
        return {}
    return {'consistency': options.consistency} if task == 'cls' else {'confidence': options.confidence}


def _digest(truth: Path) -> str:
    return digest_of_maps(truth) if truth.is_dir() else sha256_of_file(truth)


def _machines(data_root, task: str, weights: dict[str, float] | None) -> list[tuple[ResponseFolder, float]]:
    by_name = {machine.folder.name: machine for machine in answered_machines(data_root, task)}
    if weights is None:
        return [(machine, float(machine.manifest['machine']['weight'])) for machine in by_name.values()]
    missing = sorted(set(weights) - set(by_name))
    if missing:
        raise ValueError(f'There are no responses of {missing[0]}; there are those of: {", ".join(by_name)}.')
    return [(by_name[name], float(weight)) for name, weight in sorted(weights.items())]


def _scorers(task: str, truth: Path | None, sources: list[str], options: ScoreOptions):
    """Return a function: manifest of a machine -> scorer of its parts."""
    if task == 'cls':
        classes = None if truth is None else read_classes(truth)
        if classes is not None:
            check_sources_known(sources, classes, truth)
        return lambda manifest: partial(score_classes, classes=classes, options=options)
    if task == 'seg':
        return segmentation_scorers(truth, sources)
    from .detection_scores import detection_scorers

    return detection_scorers(task, truth, sources, options)


_REPLACE = 'tools/data/make_labels.py replaces labels where it is run with --overwrite.'


def _claim(folder: Path, manifest: dict, overwrite: bool) -> None:
    """Make sure that the label files in ``folder`` may be (re)written, and note what is about to make them."""
    path = folder / MANIFEST
    same = ('task', 'options', 'labels', 'ground_truth', 'machines')
    if not overwrite:
        if path.is_file():
            old = read_sealed_json(path, f'Move {folder} away: the same command makes the labels again.')
            old = {**old, 'machines': machines_in(old)}
            changed = [key for key in same if old.get(key) != manifest[key]]
            if changed:
                raise FileExistsError(
                    f'{folder} holds labels made with other {" and ".join(changed)}: move that folder away and run '
                    f'the same command again, or write to another folder. ({_REPLACE})'
                )
        elif any(folder.glob('*.csv')):
            raise FileExistsError(
                f'{folder} holds label files without {MANIFEST}, not made here: move that folder away and run the '
                f'same command again, or write to another folder. ({_REPLACE})'
            )
    write_sealed_json(path, {**manifest, 'complete': False})


def _make_scores(data_root, task, machines, scorer_for, options, truth_sha256, pool, progress) -> None:
    todo = []
    for machine, _ in machines:
        manifest = machine.manifest
        scores = ScoreFolder(scores_folder(data_root, task) / machine.folder.name)
        names = manifest['machine']['classes'] if task != 'cls' and truth_sha256 != 'none' else None
        scores.start(manifest['machine']['fingerprint'], _used_options(task, options), truth_sha256, names)
        part_names = {part.name for part in machine.parts()}
        scores.keep_only(part_names)
        scorer: Scorer = scorer_for(manifest)
        listed = machine.checksums()
        for name in sorted(part_names):
            digest = listed[name]['sha256'] if name in listed else machine.checksum(name)
            if not scores.has(name, digest):
                todo.append(delayed(score_part)(machine.folder, name, scores.folder, scorer))
    for _ in bar_over(run_parallel(todo, *pool), progress, total=len(todo), desc='scores', unit='part'):
        pass


def _aggregate(data_root, task, machines, sources: list[SourceImages]) -> tuple[dict[str, Summary], np.ndarray]:
    """Return the summaries of each score column, and per image the reason of the last machine that abstained."""
    index = pd.Index([name for source in sources for name in source.versions])
    totals = {column: Aggregation(len(index)) for column in SCORE_COLUMNS[task]}
    notes: np.ndarray = np.full(len(index), None, object)
    for machine, weight in machines:
        table = ScoreFolder(scores_folder(data_root, task) / machine.folder.name).read()
        rows = pd.Index(table['filename'].to_pylist()).get_indexer(index)
        if (rows < 0).any():
            raise ValueError(
                f'{machine.folder.name} has no response to {int((rows < 0).sum())} of {len(index)} images, such as '
                f'{index[int(np.argmax(rows < 0))]}: finish tools/data/run_machines.py first.'
            )
        for column, total in totals.items():
            total.add(table[column].to_numpy(zero_copy_only=False).astype(np.float64)[rows], weight)
        reasons = np.array(table['note'].to_pylist(), object)[rows]
        notes = np.where([reason is not None for reason in reasons], reasons, notes)
    return {column: total.summary() for column, total in totals.items()}, notes


def _write_labels(folder, task, labels, sources, summaries: dict[str, Summary], notes, progress) -> dict:
    """Write the files of all sources; return counts, label statistics and what was skipped."""
    start, excluded, labelled = 0, {}, 0
    for source in bar_over(sources, progress, total=len(sources), desc='labels', unit='source'):
        rows = range(start, start + len(source.versions))
        start = rows.stop
        # An image needs both labels, if both are made: half of them would give composites of nothing.
        labelled_rows = [i for i in rows if all(summaries[label].votes[i] for label in labels)]
        names = dict(zip(rows, source.versions, strict=True))
        unlabelled = set(rows).difference(labelled_rows)
        excluded.update({names[i]: notes[i] for i in sorted(unlabelled)})
        labelled += len(labelled_rows)
        if task == 'cls':
            rows_of = {'both': [_cls_row(source, names[i], labels, summaries, i) for i in labelled_rows]}
        else:
            rows_of = {
                label: [_file_row(task, names[i], summaries, label, i) for i in labelled_rows] for label in labels
            }
        files = write_labels(folder, task, source.source, rows_of)
        if not labelled_rows:
            # A file with a header alone would be taken for a source with labels.
            for file in files:
                file.unlink()
    both = np.logical_and.reduce([summaries[label].votes > 0 for label in labels])
    statistics = {}
    for label in reversed(labels):
        values = summaries[label].weighted[both]
        statistics[label] = {'mean': float(values.mean()), 'std': float(values.std())} if len(values) else None
    return {
        'sources': len(sources),
        'images': labelled,
        'excluded_images': len(excluded),
        'excluded': excluded,
        'statistics': statistics,
    }


def _cls_row(source: SourceImages, name: str, labels, summaries: dict[str, Summary], i: int) -> dict:
    row: dict = {NAME_COLUMN['cls']: f'{source.source}/{name}'}
    for label in labels:
        row.update(_entries(label_columns('cls', label), summaries[label], i))
    return row


def _file_row(task: str, name: str, summaries: dict[str, Summary], label: str, i: int) -> dict:
    row: dict = {NAME_COLUMN[task]: name}
    for at_75, score in ((False, label), (True, f'{label}_75')):
        if score not in summaries:
            continue
        row.update(_entries(label_columns(task, label, at_75), summaries[score], i))
    return row


def _entries(columns: LabelColumns, summary: Summary, i: int) -> dict[str, float]:
    return dict(zip(columns, (float(summary.weighted[i]), float(summary.mean[i]), float(summary.std[i])), strict=True))
