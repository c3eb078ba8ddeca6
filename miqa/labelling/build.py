"""Labels of a whole database: responses -> scores of systems -> label files, with a manifest."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import delayed
from tqdm.auto import tqdm

from ..machines.image_list import SourceImages, list_sources, task_root
from ..machines.responses import ResponseFolder, answered_systems
from ..taxonomy import TASKS, check_choice
from ..utils import sha256_of_file, write_json
from ..utils.parallel import run_parallel
from ..utils.versions import versions_in_use
from .aggregation import Aggregation, Summary
from .ground_truth import check_sources_known, default_ground_truth, read_classes
from .label_files import write_cls_labels, write_detection_labels
from .scores import ScoreFolder, ScoreOptions, Scorer, score_classes, score_columns, score_part, scores_folder


def label_database(
    data_root: str | os.PathLike,
    task: str,
    *,
    ground_truth: str | os.PathLike | None = None,
    weights: dict[str, float] | None = None,
    options: ScoreOptions | None = None,
    jobs: int = 1,
    backend: str = 'loky',
    overwrite: bool = False,
    progress: bool = True,
) -> dict:
    """Write the label files of a task from the responses of all systems.

    Args:
        data_root: the database.
        task: ``cls``, ``det`` or ``ins``.
        ground_truth: CSV of classes or COCO JSON; None: ``ground_truth.csv`` or ``.json`` beside the images.
        weights: system -> weight, which also selects the systems; None: all that have responses, each with the weight
            in its manifest.
        options: how responses become scores.
        jobs: processes; -1: one per core.
        backend: where they run, out of :data:`miqa.utils.parallel.BACKENDS`.
        overwrite: replace labels that were made in another way or elsewhere.
        progress: show progress bars.

    Returns:
        The manifest that is written beside the labels.

    Raises:
        FileExistsError: the folder has labels that were made in another way or elsewhere, and not ``overwrite``.
        ValueError: a system lacks responses, or the ground truth lacks a source.
    """
    check_choice(task, TASKS, 'task')
    options = options or ScoreOptions()
    systems = _systems(data_root, task, weights)
    sources = [source for source in list_sources(data_root, task) if source.versions]
    if not sources:
        raise ValueError(f'No source in {data_root} has distorted versions, so there is nothing to label.')
    truth = Path(ground_truth) if ground_truth else default_ground_truth(data_root, task)
    scorer_for = _scorers(task, truth, [source.source for source in sources], options)
    folder = task_root(data_root, task) / 'labels'
    manifest = {
        'task': task,
        'options': _used_options(task, options),
        'ground_truth': {'file': truth.name, 'sha256': sha256_of_file(truth)},
        'systems': {
            system.folder.name: {'weight': weight, 'fingerprint': system.manifest['machine']['fingerprint']}
            for system, weight in systems
        },
        'versions': versions_in_use(),
    }
    _claim(folder, manifest, overwrite)
    _make_scores(
        data_root, task, systems, scorer_for, options, manifest['ground_truth']['sha256'], (jobs, backend), progress
    )
    summaries, notes = _aggregate(data_root, task, systems, sources)
    manifest.update(_write_labels(folder, task, sources, summaries, notes, progress), complete=True)
    write_json(folder / 'manifest.json', manifest)
    return manifest


def _used_options(task: str, options: ScoreOptions) -> dict:
    return {'consistency': options.consistency} if task == 'cls' else {'confidence': options.confidence}


def _systems(data_root, task: str, weights: dict[str, float] | None) -> list[tuple[ResponseFolder, float]]:
    found = {system.folder.name: system for system in answered_systems(data_root, task)}
    if weights is None:
        return [(system, float(system.manifest['machine']['weight'])) for system in found.values()]
    missing = sorted(set(weights) - set(found))
    if missing:
        raise ValueError(f'There are no responses of {missing[0]}; there are those of: {", ".join(found)}.')
    return [(found[name], float(weight)) for name, weight in sorted(weights.items())]


def _scorers(task: str, truth: Path, sources: list[str], options: ScoreOptions):
    """Return a function: manifest of a system -> scorer of its parts."""
    if task == 'cls':
        classes = read_classes(truth)
        check_sources_known(sources, classes, truth)
        return lambda manifest: partial(score_classes, classes=classes, options=options)
    from .detection_scores import detection_scorers

    return detection_scorers(task, truth, sources, options)


def _claim(folder: Path, manifest: dict, overwrite: bool) -> None:
    """Make sure that the label files in ``folder`` may be (re)written, and note what is about to make them."""
    path = folder / 'manifest.json'
    same = ('task', 'options', 'ground_truth', 'systems')
    if not overwrite:
        if path.is_file():
            old = json.loads(path.read_text(encoding='utf-8'))
            changed = [key for key in same if old.get(key) != manifest[key]]
            if changed:
                raise FileExistsError(
                    f'{folder} holds labels made with other {" and ".join(changed)}. '
                    f'Say --overwrite to replace them, or move that folder away.'
                )
        elif any(folder.glob('*.csv')):
            raise FileExistsError(
                f'{folder} holds label files that were not made here (there is no manifest.json). '
                f'Say --overwrite to replace them, or move that folder away.'
            )
    write_json(path, {**manifest, 'complete': False})


def _make_scores(data_root, task, systems, scorer_for, options, truth_sha256, where, progress) -> None:
    todo = []
    for system, _ in systems:
        manifest = system.manifest
        scores = ScoreFolder(scores_folder(data_root, task) / system.folder.name)
        scores.start(manifest['machine']['fingerprint'], _used_options(task, options), truth_sha256)
        known = {part.name for part in system.parts()}
        for part in scores.parts():
            if part.name not in known:
                part.unlink()
        scorer: Scorer = scorer_for(manifest)
        listed = system.checksums()
        for name in sorted(known):
            digest = listed[name]['sha256'] if name in listed else system.checksum(name)
            if not scores.has(name, digest):
                todo.append(delayed(score_part)(system.folder, name, scores.folder, scorer))
    for _ in tqdm(run_parallel(todo, *where), total=len(todo), desc='scores', unit='part', disable=not progress):
        pass


def _aggregate(data_root, task, systems, sources: list[SourceImages]) -> tuple[dict[str, Summary], np.ndarray]:
    """Return the summaries of each score column, and per image the reason of the last system that abstained."""
    index = pd.Index([name for source in sources for name in source.versions])
    totals = {column: Aggregation(len(index)) for column in score_columns(task)}
    notes = np.full(len(index), None, object)
    for system, weight in systems:
        table = ScoreFolder(scores_folder(data_root, task) / system.folder.name).read()
        rows = pd.Index(table['filename'].to_pylist()).get_indexer(index)
        if (rows < 0).any():
            raise ValueError(
                f'{system.folder.name} has no response to {int((rows < 0).sum())} of {len(index)} images, for example '
                f'{index[int(np.argmax(rows < 0))]}. Finish tools/data/run_machines.py first.'
            )
        for column, total in totals.items():
            total.add(table[column].to_numpy(zero_copy_only=False).astype(np.float64)[rows], weight)
        reasons = np.array(table['note'].to_pylist(), object)[rows]
        notes = np.where([reason is not None for reason in reasons], reasons, notes)
    return {column: total.summary() for column, total in totals.items()}, notes


def _write_labels(folder, task, sources, summaries: dict[str, Summary], notes, progress) -> dict:
    """Write the files of all sources; return counts, label statistics and what was left out."""
    start, excluded, labelled = 0, {}, 0
    for source in tqdm(sources, desc='labels', unit='source', disable=not progress):
        rows = range(start, start + len(source.versions))
        start = rows.stop
        # An image needs both labels: a database with half of them would give composites of nothing.
        kept = [i for i in rows if summaries['consistency'].votes[i] and summaries['accuracy'].votes[i]]
        names = dict(zip(rows, source.versions, strict=True))
        left_out = set(rows).difference(kept)
        excluded.update({names[i]: notes[i] for i in sorted(left_out)})
        labelled += len(kept)
        if task == 'cls':
            files = [write_cls_labels(folder, source.source, [_cls_row(source, names[i], summaries, i) for i in kept])]
        else:
            files = [
                write_detection_labels(
                    folder, source.source, label, [_detection_row(names[i], summaries, label, i) for i in kept]
                )
                for label in ('accuracy', 'consistency')
            ]
        if not kept:
            # A file with a header alone would be taken for a source with labels.
            for file in files:
                file.unlink()
    both = (summaries['consistency'].votes > 0) & (summaries['accuracy'].votes > 0)
    statistics = {}
    for label in ('consistency', 'accuracy'):
        values = summaries[label].weighted[both]
        statistics[label] = {'mean': float(values.mean()), 'std': float(values.std())} if len(values) else None
    return {
        'sources': len(sources),
        'images': labelled,
        'excluded_images': len(excluded),
        'excluded': excluded,
        'statistics': statistics,
    }


def _cls_row(source: SourceImages, name: str, summaries: dict[str, Summary], i: int) -> dict:
    row = {'dist_images': f'{source.source}/{name}'}
    for label in ('consistency', 'accuracy'):
        summary = summaries[label]
        row[f'weighted_{label}'] = float(summary.weighted[i])
        row[f'mean_{label}'], row[f'std_{label}'] = float(summary.mean[i]), float(summary.std[i])
    return row


def _detection_row(name: str, summaries: dict[str, Summary], label: str, i: int) -> dict:
    row = {'filename': name}
    for prefix, column in (('AP', label), ('AP75', f'{label}_75')):
        summary = summaries[column]
        row[f'{prefix}_weighted_avg'] = float(summary.weighted[i])
        row[f'{prefix}_mean'], row[f'{prefix}_std'] = float(summary.mean[i]), float(summary.std[i])
    return row
