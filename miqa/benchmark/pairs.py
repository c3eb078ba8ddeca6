"""Pairs of one scene in good and bad conditions: how well a score predicts the cost of the bad picture.

The label of a scene is how far machines keep their output for the good picture when given the bad one. Methods score
both pictures without their partner. Within a set of scenes the rank correlation (SRCC) says whether the worst pictures
are found; over all sets pooled, also whether kinds of damage are weighed rightly; and a good score is higher for the
good picture of a scene than for the bad one. The limit comes from another machine, run on both pictures.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from miqa.labelling.average_precision import average_precision
from miqa.labelling.classification import soft_consistency
from miqa.labelling.detection_scores import clean_reference
from miqa.machines import Machine
from miqa.machines.base import ClassPrediction, DetectionPrediction, Prediction
from miqa.pictures import UnreadableImage, read_image
from miqa.pictures.finding import SkippedFiles, find_images
from miqa.running import generator_for

from .bootstrap import percentile_interval

KEPT_SCORE = 0.3  # Detections count with at least this score: the default of ``miqa label``

#: Names of two methods that come from the probe, a machine that does not make the labels.
CONFIDENCE, LIMIT = 'confidence', 'limit'

#: In scenes with a lower label machines lose something: in the others the bad picture costs them too little for its
#: score to have to be the lower one.
LOST = 0.9

FEWEST_SCENES = 5  # Sets of fewer scenes than this have no rank correlation


@dataclass(frozen=True)
class Pair:
    """One scene: the set that it belongs to, its name there, its two pictures."""

    group: str
    scene: str
    good: str
    bad: str


@dataclass
class PairScores:
    """Labels and scores of pairs."""

    #: a row for each pair: ``set``, ``scene``, ``label`` (0 to 1), and for each method its score of the good and the
    #: bad picture in ``METHOD (good)`` and ``METHOD (bad)``; NaN without one.
    table: pd.DataFrame
    methods: list[str]  # names of the methods
    skipped: list[str] = field(default_factory=list)  # sentences about scenes without a label


def find_pairs(good: str, bad: str, skipped: SkippedFiles | None = None) -> list[Pair]:
    """Match the pictures of two folders by their names below them, without endings.

    Args:
        good: a folder, whose own name is that of the set and each folder below it a further set; or a pattern with one
            ``*``, such as ``'sets/*/good'``, which matches a folder for each set.
        bad: of the bad picture.
        skipped: collects pictures and sets without a partner, and folders that cannot be read.

    Returns:
        Pairs, sorted by set and scene.

    Raises:
        ValueError: only one of both is a pattern, or two pictures of a folder have the same name.
        FileNotFoundError: there is no pair.
    """
    skipped = SkippedFiles() if skipped is None else skipped
    if good.count('*') != bad.count('*') or good.count('*') > 1:
        raise ValueError(f'{good} and {bad} must both be folders, or both patterns with one * that stands for the set.')
    pairs = []
    for group, good_folder, bad_folder in _folders(good, bad, skipped):
        first, second = _pictures(good_folder, skipped), _pictures(bad_folder, skipped)
        for name in sorted(first.keys() ^ second.keys()):
            other = bad_folder if name in first else good_folder
            skipped.note(f'{name} of {group} has no partner in {other}.')
        for name in sorted(first.keys() & second.keys()):
            below, _, scene = name.rpartition('/')
            pairs.append(Pair(below or group, scene, first[name], second[name]))
    if not pairs:
        raise FileNotFoundError(f'No picture in {good} has the name of one in {bad}; endings do not count.')
    return sorted(pairs, key=lambda pair: (pair.group, pair.scene))


def _folders(good: str, bad: str, skipped: SkippedFiles) -> list[tuple[str, str, str]]:
    for folder in (good, bad):
        if '*' not in folder and not Path(folder).is_dir():
            raise FileNotFoundError(f'{folder} is not a folder of pictures.')
    if '*' not in good:
        return [(Path(good).resolve().name, good, bad)]
    first, second = _sets(good), _sets(bad)
    for group in sorted(first.keys() ^ second.keys()):
        here, other = (first[group], bad) if group in first else (second[group], good)
        skipped.note(f'The set {here} has no partner {other.replace("*", group)}.')
    return [(group, first[group], second[group]) for group in sorted(first.keys() & second.keys())]


def _sets(pattern: str) -> dict[str, str]:
    """Return what the ``*`` of a pattern stands for -> the folder."""
    before, _, after = pattern.partition('*')
    folders = glob.glob(f'{glob.escape(before)}*{glob.escape(after)}')  # noqa: PTH207
    return {folder[len(before) : len(folder) - len(after)]: folder for folder in folders if Path(folder).is_dir()}


def _pictures(folder: str, skipped: SkippedFiles) -> dict[str, str]:
    pictures: dict[str, str] = {}
    for path in find_images([folder], skipped=skipped):
        name = Path(path).relative_to(folder).with_suffix('').as_posix()
        if name in pictures:
            raise ValueError(f'{pictures[name]} and {path} are both called {name}. Keep one of them.')
        pictures[name] = path
    return pictures


def consistency(bad: Prediction, good: Prediction) -> float:
    """Return how far an answer is kept, 0 to 1: overlap of probabilities, or average precision of the detections.

    NaN where a detector finds nothing with a score of :data:`KEPT_SCORE` in the good picture.
    """
    if isinstance(bad, ClassPrediction) and isinstance(good, ClassPrediction):
        return float(soft_consistency(bad.probabilities[None], good.probabilities[None])[0])
    if isinstance(bad, DetectionPrediction) and isinstance(good, DetectionPrediction):
        precision = average_precision(bad, clean_reference(good, KEPT_SCORE))
        return float('nan') if precision is None else float(precision[0])
    raise TypeError(f'Pairs are labelled by classifiers and detectors, not by answers such as {type(bad).__name__}.')


def confidence(answer: Prediction) -> float:
    """Return how sure a machine is: the largest probability, or the mean score of what it detects (0 for nothing)."""
    if isinstance(answer, ClassPrediction):
        return float(answer.probabilities.max())
    if isinstance(answer, DetectionPrediction):
        confident = answer.scores[answer.scores >= KEPT_SCORE]
        return float(confident.mean()) if len(confident) else 0.0
    raise TypeError(f'Only classifiers and detectors are sure of something here, not {type(answer).__name__}.')


def score_pairs(
    pairs: Sequence[Pair],
    machines: Sequence[Machine],
    probe: Machine,
    scorers: Mapping[str, Callable[[list[str]], Iterable[float]]],
    measures: Mapping[str, Callable[[np.ndarray], float]],
    on_pair: Callable[[], object] = lambda: None,
) -> PairScores:
    """Label pairs by machines and score them by all methods.

    Args:
        pairs: from :func:`find_pairs`; read one after the other.
        machines: whose kept answers, averaged, are the labels.
        probe: a machine that gives :data:`CONFIDENCE`, and with both pictures :data:`LIMIT`.
        scorers: name of a model -> from paths to a score each, NaN for a picture that cannot be scored.
        measures: name -> from a uint8 RGB picture to a number, higher for better ones.
        on_pair: called after each pair.

    Raises:
        ValueError: no pair has a label; the message says why.
    """
    rows, notes = [], []
    for pair in pairs:
        on_pair()
        try:
            good, bad = read_image(pair.good), read_image(pair.bad)
            if good.shape != bad.shape and machines[0].task != 'cls':
                raise ValueError(f'its pictures have the shapes {good.shape} and {bad.shape}; boxes cannot be compared')
            answers = [machine.predict([bad, good]) for machine in machines]
            consistencies = [consistency(*answer) for answer in answers]
            of_bad, of_good = probe.predict([bad, good])
            if np.isnan(consistencies).all():
                raise ValueError('no machine finds anything in the good picture')
            rows.append(
                {
                    'set': pair.group, 'scene': pair.scene, 'good': pair.good, 'bad': pair.bad,
                    'label': float(np.nanmean(consistencies)),
                    f'{LIMIT} (good)': 1.0, f'{LIMIT} (bad)': consistency(of_bad, of_good),
                    f'{CONFIDENCE} (good)': confidence(of_good), f'{CONFIDENCE} (bad)': confidence(of_bad),
                    **{f'{name} (good)': measure(good) for name, measure in measures.items()},
                    **{f'{name} (bad)': measure(bad) for name, measure in measures.items()},
                }
            )  # fmt: skip
        except (UnreadableImage, OSError, ValueError, RuntimeError) as error:
            notes.append(f'{pair.group} {pair.scene}: {error}')
    if not rows:
        raise ValueError(f'None of {len(pairs)} pairs has a label. The first: {notes[0]}')
    table = pd.DataFrame(rows)
    for name, scorer in scorers.items():
        for side in ('good', 'bad'):
            table[f'{name} ({side})'] = np.array(list(scorer(table[side].tolist())), np.float64)
    methods = [LIMIT, CONFIDENCE, *measures, *scorers]
    columns = [f'{name} ({side})' for name in methods for side in ('good', 'bad')]
    return PairScores(table[['set', 'scene', 'label', *columns]], methods, notes)


def summarise(scores: PairScores, resamples: int = 2000, seed: int = 0, level: float = 0.95) -> pd.DataFrame:
    """Return a row for each method, with percentile intervals of a bootstrap that draws scenes within their sets.

    Returns:
        Columns ``within`` (mean of the SRCC within sets of at least :data:`FEWEST_SCENES` scenes), ``pooled`` (SRCC
        over all scenes), ``below`` (share of scenes whose bad picture scores below the good one, among those with a
        label below :data:`LOST`; half of those where both score alike) and ``gain`` (``within`` minus that of
        :data:`CONFIDENCE`), each with ``_low`` and ``_high``; ``scenes``: how many have a value.
    """
    table = scores.table
    rng = generator_for(seed, 'pairs')
    groups = [np.flatnonzero(table['set'].to_numpy() == name) for name in sorted(table['set'].unique())]
    draws = [
        np.concatenate([[members], members[rng.integers(len(members), size=(resamples, len(members)))]])
        for members in groups
    ]
    label = table['label'].to_numpy()
    statistics: dict[str, dict[str, np.ndarray]] = {}
    for name in scores.methods:
        good, bad = (table[f'{name} ({side})'].to_numpy(np.float64) for side in ('good', 'bad'))
        within = [_rank_correlations(bad[draw], label[draw]) for draw in draws if draw.shape[1] >= FEWEST_SCENES]
        everything = np.concatenate(draws, axis=1)
        counted = (label < LOST) & ~np.isnan(good) & ~np.isnan(bad)
        below = np.where(counted, (bad < good) + 0.5 * (bad == good), np.nan)
        statistics[name] = {
            'within': _mean(np.array(within)) if within else np.full(resamples + 1, np.nan),
            'pooled': _rank_correlations(bad[everything], label[everything]),
            'below': np.full(resamples + 1, np.nan) if name == LIMIT else _mean(below[everything].T),
        }
    rows = {}
    for name, values in statistics.items():
        values['gain'] = values['within'] - statistics[CONFIDENCE]['within']
        row: dict[str, float] = {}
        for key, numbers in values.items():
            low, high = percentile_interval(numbers[1:], level)
            row |= {key: float(numbers[0]), f'{key}_low': low, f'{key}_high': high}
        row['scenes'] = int((~table[f'{name} (bad)'].isna()).sum())
        rows[name] = row
    return pd.DataFrame.from_dict(rows, orient='index').rename_axis('method')


def _mean(values: np.ndarray) -> np.ndarray:
    """Average over the first axis what is defined; NaN where nothing is."""
    finite = ~np.isnan(values)
    total = np.where(finite, values, 0).sum(0)
    return np.divide(total, finite.sum(0), out=np.full(total.shape, np.nan), where=finite.any(0))


def _rank_correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return Spearman's correlation of each row of two arrays (B, N) where both have values; NaN if one is constant."""
    known = ~np.isnan(first) & ~np.isnan(second)
    ranks = [rankdata(np.where(known, values, np.nan), axis=1, nan_policy='omit') for values in (first, second)]
    means = [np.where(known, values, 0).sum(1) / np.maximum(known.sum(1), 1) for values in ranks]
    one, other = (np.where(known, values - mean[:, None], 0) for values, mean in zip(ranks, means, strict=True))
    scale = np.sqrt((one**2).sum(1) * (other**2).sum(1))
    return np.divide((one * other).sum(1), scale, out=np.full(len(scale), np.nan), where=scale > 0)
