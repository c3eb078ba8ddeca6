"""What ``--methods`` names, and its predictions for a test set."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from miqa.evaluation.baselines import (
    confidence_scores,
    image_list_digest,
    is_metric_name,
    parse_confidence,
    score_images,
)
from miqa.evaluation.baselines.confidence import STATISTICS
from miqa.machines import answered_systems
from miqa.utils import atomic_write, sha256_of_file
from miqa.utils.files import user_cache

from .predictions import read_predictions, write_predictions

#: The whole of a test set must have a prediction but for this share of images (those that cannot be read).
MISSING_SHARE = 0.01

FORMS = (
    'name=predictions.csv (written by tools/test.py), name=CONFIG:CHECKPOINT, a measure of human vision (PSNR, SSIM, '
    'VSI, LPIPS, DISTS, HyperIQA, MANIQA, pyiqa:NAME) or the confidence of a vision system (max_probability:SYSTEM, '
    'confidence:SYSTEM for all of its statistics)'
)


class MethodFailed(Exception):
    """A method has no predictions for a test set; the message says why. Tables show it in the method's row."""


@dataclass(frozen=True)
class Method:
    """One row of a table.

    Attributes:
        name: how tables call it.
        kind: ``predictions`` (a CSV file), ``model`` (a config and a checkpoint), ``human`` or ``confidence``.
        source: path of the file, ``CONFIG:CHECKPOINT``, name of the measure, or ``statistic:system``; paths may
            hold ``{task}`` and ``{label}``.
    """

    name: str
    kind: str
    source: str

    @property
    def systems_run(self) -> tuple[str, ...]:
        """Vision systems whose answer to the image itself the method uses."""
        return (self.source.partition(':')[2],) if self.kind == 'confidence' else ()

    def applies_to(self, task: str) -> bool:
        """Whether the method is defined for a task: a detector's confidence is not one of cls."""
        return self.kind != 'confidence' or self.source.partition(':')[0] in STATISTICS[task]


def parse_methods(texts: list[str], data_root: str | os.PathLike, tasks: list[str]) -> list[Method]:
    """Read what the command line names.

    ``confidence:SYSTEM`` becomes all statistics of the system, and ``confidence`` alone those of the system with the
    lowest weight among those that have responses: the smallest of them.

    Raises:
        ValueError: a text has none of the forms of :data:`FORMS`, or two methods share a name.
        FileNotFoundError: ``confidence`` alone, but no system has stored responses.
    """
    methods = [method for text in texts for method in _parse(text, data_root, tasks)]
    names = [method.name for method in methods]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f'Two methods are called {twice[0]}. Give each its own name.')
    return methods


def _parse(text: str, data_root, tasks) -> list[Method]:
    if is_metric_name(text):
        return [Method(text, 'human', text)]
    if parse_confidence(text):
        statistic, system = parse_confidence(text)
        return [Method(_confidence_name(statistic, system), 'confidence', text)]
    if text == 'confidence' or text.startswith('confidence:'):
        found = []
        for task in tasks:
            system = text.partition(':')[2] or _smallest_system(data_root, task)
            found += [
                Method(_confidence_name(item, system), 'confidence', f'{item}:{system}') for item in STATISTICS[task]
            ]
        return list(dict.fromkeys(found))
    name, equals, source = text.partition('=')
    if equals and name and source:
        kind = 'predictions' if source.endswith('.csv') else 'model' if ':' in source else None
        if kind:
            return [Method(name, kind, source)]
    raise ValueError(f'{text!r} is not a method. A method is {FORMS}.')


def _confidence_name(statistic: str, system: str) -> str:
    return f'{statistic.replace("_", " ")} of {system}'


def _smallest_system(data_root, task: str) -> str:
    return min(answered_systems(data_root, task), key=lambda item: item.manifest['machine']['weight']).folder.name


def predict(
    method: Method,
    data_root: str | os.PathLike,
    task: str,
    label: str,
    images: pd.DataFrame,
    *,
    cache: str | os.PathLike | None = None,
    device: str = 'cpu',
    jobs: int = 1,
    options: dict | None = None,
) -> np.ndarray:
    """Return a method's predictions, float64 (N,) in the order of ``images``, higher is better.

    Args:
        method: from :func:`parse_methods`.
        data_root: the database.
        task: ``cls``, ``det`` or ``ins``.
        label: fills ``{label}`` in paths, and chooses among rows of a predictions file that holds several labels.
        images: from :func:`miqa.evaluation.baselines.read_test_images`.
        cache: folder of measured baselines and predictions; None: beside the images, or the user's cache.
        device: where networks of baselines run; models choose a GPU by themselves.
        jobs: processes for baselines.
        options: config options for models, as ``--cfg-options``.

    Raises:
        MethodFailed: the file is not there, weights cannot be fetched, images have no prediction, and the like.
    """
    try:
        if method.kind == 'human':
            scores = score_images(data_root, task, images, method.source, cache=cache, device=device, jobs=jobs)
            values = scores.to_numpy()
        elif method.kind == 'confidence':
            statistic, system = parse_confidence(method.source)
            values = confidence_scores(data_root, task, statistic, system).reindex(images.filename).to_numpy()
        else:
            source = method.source.replace('{task}', task).replace('{label}', label)
            path = source
            if method.kind == 'model':
                path = _model_predictions(source, data_root, task, label, image_list_digest(images.image), options)
            values = _from_file(path, task, label, images)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise MethodFailed(str(error.args[0] if isinstance(error, KeyError) else error)) from error
    missing = np.count_nonzero(~np.isfinite(values))
    if missing > MISSING_SHARE * len(values):
        raise MethodFailed(f'{missing} of {len(values)} test images of {task} have no prediction.')
    return values


def _from_file(path, task: str, label: str, images: pd.DataFrame) -> np.ndarray:
    table = read_predictions(path)
    rows = table[table.task == task]
    if rows.empty:
        raise MethodFailed(f'{path} has no predictions for {task}; it has: {", ".join(sorted(set(table.task)))}.')
    if rows.label.nunique() > 1:
        rows = rows[rows.label == label]
    twice = rows.image[rows.image.duplicated()]
    if len(twice):
        raise MethodFailed(f'{path} has two predictions for {twice.iloc[0]}.')
    return rows.set_index('image').prediction.reindex(images.image).to_numpy(np.float64)


def _model_predictions(source: str, data_root, task: str, label: str, images: str, options: dict | None) -> Path:
    """Run a model over the test set, once: predictions are kept under the digest of all that decides them."""
    config_path, _, checkpoint = source.partition(':')
    for path in (config_path, checkpoint):
        if not Path(path).is_file():
            raise FileNotFoundError(f'There is no file {path}.')
    from miqa.engine import build_runner, load_config
    from miqa.engine.testing import test_and_tabulate

    config = load_config(config_path, options)
    config.task, config.label, config.data_root = task, label, str(data_root)
    # A config that a run has dumped names them in its dataset, too.
    config.test_dataloader.dataset.update(task=task, label=label, data_root=str(data_root))
    key = '\n'.join([config.pretty_text, sha256_of_file(checkpoint), str(Path(data_root).resolve()), images])
    folder = user_cache() / 'predictions' / hashlib.sha256(key.encode()).hexdigest()[:24]
    path = folder / 'predictions.csv'
    if not path.is_file():
        _, table = test_and_tabulate(build_runner(config, folder, checkpoint=checkpoint))
        write_predictions(path, table)
        with atomic_write(folder / 'made_from.txt') as temporary:
            temporary.write_text(f'{source}\n{data_root}\n', encoding='utf-8')
    return path
