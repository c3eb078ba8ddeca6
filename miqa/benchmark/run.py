"""Score many methods on the test sets of a database: the numbers of the tables."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from miqa.datasets import label_fingerprint
from miqa.evaluation import SCORES
from miqa.evaluation.published import is_official_test_set, published_scores
from miqa.taxonomy import TEST_LABEL_DEVIATIONS

from .baselines import label_machines, labels_without, read_test_images
from .bootstrap import BootstrapScores, SourceBootstrap, paired_difference
from .methods import Method, MethodFailed, chosen_on_test, predict

ALL_MACHINES = 'all machines'


@dataclass
class Benchmark:
    """Results of :func:`run_benchmark`."""

    #: one row for each task, label, set of labels (``labels_from``) and method: ``n``, ``failure`` (empty, or why there
    #: are no scores), for each score its value, ``_low``, ``_high`` (95 % interval), ``_published``, ``_difference``
    #: (only on the paper's test set) and ``_same_as_best`` (the paired bootstrap shows no difference from the best
    #: method), ``machines_run`` and ``made_labels`` (yes, no, unknown, or - for methods that run no machine).
    cells: pd.DataFrame
    test_sets: pd.DataFrame  # one row for each task, label and set of labels: what was measured on
    differences: pd.DataFrame  # one row for each pair of methods: difference in SRCC with interval and p-value
    #: (task, label, labels_from) -> images with their label (``ground_truth``) and one column per method.
    scores: dict[tuple[str, str, str], pd.DataFrame]
    settings: dict = field(default_factory=dict)  # data root, mapping, resamples, confidence and seed


def run_benchmark(
    data_root: str | os.PathLike,
    methods: list[Method],
    tasks: list[str],
    labels: list[str],
    *,
    mapping: str | None = 'linear',
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    missing: str = 'error',
    split: str = 'val',
    report: Callable[[str], None] = lambda text: None,
    **options,
) -> Benchmark:
    """Score ``methods`` on the test split of each task with each label.

    Where a method runs a machine that made the labels, all methods are scored a second time on labels
    from the other machines alone.

    Args:
        data_root: the database.
        methods: from :func:`miqa.benchmark.methods.parse_methods`.
        tasks: some of :data:`miqa.taxonomy.DATABASE_TASKS`.
        labels: some of :data:`miqa.taxonomy.LABELS`.
        mapping: before RMSE, see :func:`miqa.evaluation.quality_correlations`.
        resamples: of the bootstrap.
        confidence: of the intervals.
        seed: of the bootstrap.
        missing: ``error``, or ``skip`` to leave out images that are not in the database.
        split: ``val``, the test set, or ``all``, for predictions of a cross-validation.
        report: called with each progress message.
        options: for :func:`miqa.benchmark.methods.predict`.
    """
    cells, test_sets, differences, scores = [], [], [], {}
    for task in tasks:
        images = read_test_images(data_root, task, split, missing)
        machines = label_machines(data_root, task)
        outcomes: dict[tuple, np.ndarray | str] = {}
        applicable = [method for method in methods if method.applies_to(task)]
        for method in methods:
            if method not in applicable:
                report(f'{task}: {method.name} is not defined for this task')
        if not applicable:
            raise ValueError(f'None of the methods ({", ".join(m.name for m in methods)}) is defined for {task}.')
        for label in labels:
            for method in applicable:
                key = (method.name, label if '{label}' in method.source or method.kind == 'predictions' else None)
                if key not in outcomes:
                    report(f'{task}, {label}: {method.name}')
                    try:
                        outcomes[key] = predict(method, data_root, task, label, images, **options)
                    except MethodFailed as error:
                        outcomes[key] = str(error)
                outcomes[method.name, label] = outcomes[key]
            mine = {method.name: outcomes[method.name, label] for method in applicable}
            predictions = {name: value for name, value in mine.items() if not isinstance(value, str)}
            failures = {name: value for name, value in mine.items() if isinstance(value, str)}
            table = images[['image', 'filename', 'source', 'distortion', 'fg_level', 'bg_level']].assign(
                task=task, label=label, **predictions
            )
            for labels_from, truth in _label_sets(data_root, task, label, images, applicable, machines):
                report(f'{task}, {label}, labels from {labels_from}: bootstrap')
                labelled = table.assign(ground_truth=truth)
                complete = np.isfinite(labelled[['ground_truth', *predictions]]).all(axis=1)
                used = labelled[complete]
                scores[task, label, labels_from] = used.drop(columns='filename')
                columns = {'task': task, 'label': label, 'labels_from': labels_from}
                official = labels_from == ALL_MACHINES and is_official_test_set(truth, task, label)
                test_sets.append(
                    {
                        **columns,
                        'images': len(used),
                        'skipped': len(labelled) - len(used),
                        'sources': used.source.nunique(),
                        'label_deviation': label_fingerprint(used.ground_truth),
                        'paper_deviation': TEST_LABEL_DEVIATIONS.get((label, task), np.nan),
                        'official': official,
                        'label_machines': 'not said' if machines is None else ', '.join(machines),
                    }
                )
                boots = {}
                bootstrap = SourceBootstrap(used.ground_truth, used.source, resamples, seed=seed)
                for name in predictions:
                    try:
                        boots[name] = bootstrap.scores(used[name], mapping)
                    except ValueError as error:
                        failures[name] = str(error)
                same = _same_as_best(boots, confidence)
                for method in applicable:
                    cells.append(
                        {
                            **columns,
                            'method': method.name,
                            'kind': method.kind,
                            'machines_run': ', '.join(method.machines_run),
                            'chosen_on_test': chosen_on_test(method, task, label),
                            'made_labels': _made_labels(method, machines, labels_from),
                            'n': len(used) if method.name in boots else 0,
                            'failure': '' if method.name in boots else failures[method.name],
                            **_numbers(method.name, boots.get(method.name), same, task, label, official, confidence),
                        }
                    )
                differences += [{**columns, **row} for row in _pairs(boots, confidence)]
    settings = {
        'data_root': str(data_root),
        'mapping': mapping,
        'resamples': resamples,
        'confidence': confidence,
        'seed': seed,
        'split': split,
    }
    return Benchmark(pd.DataFrame(cells), pd.DataFrame(test_sets), pd.DataFrame(differences), scores, settings)


def _label_sets(data_root, task, label, images, methods, machines):
    """Yield (which machines, labels): the database's own, then labels without the machines that a method has run."""
    yield ALL_MACHINES, images[label].to_numpy()
    if machines is None:
        return
    for run in dict.fromkeys(tuple(sorted(set(method.machines_run) & set(machines))) for method in methods):
        if run:
            weights = labels_without(data_root, task, run)[label]
            yield f'all machines but {", ".join(run)}', weights.reindex(images.filename).to_numpy()


def _made_labels(method: Method, machines, labels_from: str) -> str:
    if not method.machines_run:
        return '-'
    if machines is None:
        return 'unknown'
    excluded = labels_from.removeprefix('all machines but ').split(', ') if labels_from != ALL_MACHINES else []
    return 'yes' if set(method.machines_run) & (set(machines) - set(excluded)) else 'no'


def better(name: str, values: pd.Series) -> pd.Series:
    """Return values of the score ``name`` with the sign that makes higher better (RMSE is an error)."""
    return -values if name == 'RMSE' else values


def _same_as_best(boots: dict[str, BootstrapScores], confidence: float) -> dict[str, dict[str, bool]]:
    """Return score -> method -> whether no difference from the best method shows."""
    same: dict[str, dict[str, bool]] = {}
    for name in SCORES:
        if not boots:
            continue
        best = better(name, pd.Series({method: boot.values[name] for method, boot in boots.items()})).idxmax()
        same[name] = {
            method: method != best and not paired_difference(boot, boots[best], name, confidence).is_one
            for method, boot in boots.items()
        }
    return same


def _numbers(method: str, boot: BootstrapScores | None, same, task, label, official: bool, confidence: float) -> dict:
    published = published_scores(method, task, label) or {}
    row = {}
    for name in SCORES:
        value = boot.values[name] if boot else np.nan
        low, high = boot.interval(name, confidence) if boot else (np.nan, np.nan)
        paper = published.get(name, np.nan)
        row.update(
            {
                name: value,
                f'{name}_low': low,
                f'{name}_high': high,
                f'{name}_published': paper,
                f'{name}_difference': value - paper if official else np.nan,
                f'{name}_same_as_best': bool(boot and same[name][method]),
            }
        )
    return row


def _pairs(boots: dict[str, BootstrapScores], confidence: float) -> list[dict]:
    names = sorted(boots, key=lambda name: -boots[name].values['SRCC'])
    rows = []
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            pair = paired_difference(boots[first], boots[second], 'SRCC', confidence)
            rows.append(
                {
                    'first': first,
                    'second': second,
                    'SRCC_difference': pair.value,
                    'low': pair.low,
                    'high': pair.high,
                    'p_value': pair.p_value,
                    'is_difference': pair.is_one,
                }
            )
    return rows
