"""How good a trained model is: photographs that it never saw, and real pairs. Arithmetic on stored predictions."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from kinds import KINDS
from real_pairs import judge
from scipy.stats import spearmanr

from miqa.benchmark.pairs import LOST

JUDGES = (1, 2)  # Machines that judge: the two that are not the model's own start, by place in the database
_RESAMPLES = 1000
_PRECISION = {'kind': 0.75, 'place': 0.7}  # Least share of right names among those that are said


def interval(statistic: Callable[[np.ndarray], float], groups: np.ndarray, seed: int = 0) -> list[float]:
    """Return value, and 2.5 and 97.5 percent of the bootstrap over groups (photographs or scenes).

    Args:
        statistic: from row numbers to a value.
        groups: group of each row.
        seed: of the resampling.
    """
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    values = []
    for _ in range(_RESAMPLES):
        rows = np.concatenate([members[place] for place in rng.integers(len(members), size=len(members))])
        values.append(statistic(rows))
    low, high = np.nanpercentile(values, (2.5, 97.5))
    return [round(float(value), 3) for value in (statistic(np.arange(len(groups))), low, high)]


def judge_versions(columns: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> dict:
    """Return SRCC of each label beside Lite0's maximum probability's, and how good the diagnosis is.

    Args:
        columns: of the database, the rows to judge on.
        outputs: of the model for these rows.
    """
    consistency = columns['consistency'][:, JUDGES].mean(1)
    accuracy = columns['accuracy'][:, JUDGES].mean(1)
    labels = {'consistency': consistency, 'accuracy': accuracy, 'composite': (consistency + accuracy) / 2}
    confidence, photographs = columns['confidence'][:, 0], columns['photograph']

    def srcc(values, label):
        return lambda rows: float(spearmanr(values[rows], label[rows])[0])

    results: dict = {'photographs': len(np.unique(photographs)), 'versions': len(photographs)}
    for name, label in labels.items():
        model, other = srcc(outputs[name], label), srcc(confidence, label)
        results[name] = {
            'srcc': interval(model, photographs),
            'confidence': interval(other, photographs),
            'gain': interval(lambda rows, model=model, other=other: model(rows) - other(rows), photographs),
        }
    # Of mixtures the kind with the largest share counts.
    right = columns['kinds'].argmax(1) == outputs['damage'].argmax(1)
    among = columns['kinds'][np.arange(len(right)), outputs['damage'].argmax(1)] > 0
    known = columns['place'] >= 0
    results['kind_accuracy'] = interval(lambda rows: float(right[rows].mean()), photographs)
    results['kind_among_those_there'] = round(float(among.mean()), 3)
    results['strength_error_in_levels'] = round(float(np.abs(outputs['strength'] - columns['strength']).mean()), 3)
    results['place_accuracy'] = round(float((outputs['place'].argmax(1) == columns['place'])[known].mean()), 3)
    probability = outputs['damage'].max(1)
    results['calibration'] = [
        {'probability': round(float(probability[part].mean()), 3), 'right': round(float(among[part].mean()), 3)}
        for part in np.array_split(np.argsort(probability), 5)
    ]
    results['kinds'] = {
        name: round(float(right[columns['kinds'].argmax(1) == number].mean()), 3)
        for number, name in enumerate(KINDS)
        if (columns['kinds'].argmax(1) == number).any()
    }
    return results


def judge_scenes(columns: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> dict:
    """Return SRCC of the labels of detectors beside that of their own mean confidence and of the score for classifiers.

    Args:
        columns: of the database of scenes, the rows to judge on.
        outputs: of the model for these rows.
    """
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # versions without any label
        labels = {name: np.nanmean(columns[name], axis=1) for name in ('consistency', 'accuracy')}
    labels['composite'] = (labels['consistency'] + labels['accuracy']) / 2
    confidence, scenes = columns['confidence'].mean(1), columns['photograph']
    results: dict = {'scenes': len(np.unique(scenes)), 'versions': len(scenes)}
    for name, label in labels.items():

        def srcc(values, label=label):
            return lambda rows: float(spearmanr(values[rows], label[rows], nan_policy='omit')[0])

        model, other, plain = srcc(outputs[f'det_{name}']), srcc(confidence), srcc(outputs[name])
        results[name] = {
            'srcc': interval(model, scenes),
            'confidence': interval(other, scenes),
            'classifiers': interval(plain, scenes),
            'gain': interval(lambda rows, model=model, other=other: model(rows) - other(rows), scenes),
        }
    return results


def least_probabilities(columns: dict[str, np.ndarray], outputs: dict[str, np.ndarray]) -> tuple[float, float]:
    """Return from which probability on kinds and places are said: where the wanted share of them is right.

    A kind counts as right where it is among those that are there.
    """
    kind = outputs['damage'].argmax(1)
    among = columns['kinds'][np.arange(len(kind)), kind] > 0
    known = columns['place'] >= 0
    place = outputs['place'][known].argmax(1) == columns['place'][known]
    return (
        _least(outputs['damage'].max(1), among, _PRECISION['kind']),
        _least(outputs['place'][known].max(1), place, _PRECISION['place']),
    )


def _least(probabilities: np.ndarray, right: np.ndarray, precision: float) -> float:
    for least in np.arange(0.2, 1, 0.05):
        # What lies just above the threshold would be guessed first.
        near = (probabilities >= least) & (probabilities < least + 0.2)
        if (
            near.sum() >= 20
            and right[near].mean() >= precision - 0.15
            and right[probabilities >= least].mean() >= precision
        ):
            return round(float(least), 2)
    return 1.0


def judge_pairs(
    names: np.ndarray, numbers: np.ndarray, labels: dict[str, np.ndarray], scores: np.ndarray
) -> dict[str, dict]:
    """Return what :func:`real_pairs.judge` says of the model, Lite0's maximum probability and the limit.

    Args:
        names: set of each pair.
        numbers: of its scene.
        labels: of :func:`real_pairs.label_pairs`.
        scores: (N, 2) of good and bad pictures.
    """
    label = labels['consistency'][:, JUDGES].mean(1)
    scenes = np.array([f'{name} {number}' for name, number in zip(names, numbers, strict=True)])
    lost = label < LOST
    rows = {
        'model': scores,
        'confidence': labels['confidence'][:, :, 0],
        'limit': np.stack([np.ones(len(label)), labels['consistency'][:, 0]], 1),
    }
    results = {}
    for row, values in rows.items():
        judged = judge(list(names), values, label)
        results[row] = {name: round(value, 3) for name, value in judged.items()}
        results[row]['ordered_where_lost'] = round(float((values[:, 1] < values[:, 0])[lost].mean()), 3)
        results[row]['pooled_interval'] = interval(
            lambda rows, values=values: float(spearmanr(values[rows, 1], label[rows])[0]), scenes
        )
        results[row]['within_interval'] = interval(
            lambda rows, values=values: judge(list(names[rows]), values[rows], label[rows])['within'], scenes
        )
    return results
