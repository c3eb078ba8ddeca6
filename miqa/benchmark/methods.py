"""Parse ``--methods``, and get the predictions of each method for a test set."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from miqa.evaluation.predictions import read_predictions, write_predictions
from miqa.keeping import InUse, atomic_write, only_writer, sha256_of_file
from miqa.machines import answered_machines
from miqa.outside.config_text import read_config_text
from miqa.outside.json_text import read_settings
from miqa.outside.user_folders import user_cache

from .baselines import (
    confidence_scores,
    image_list_digest,
    is_measure_name,
    machine_of_rival,
    parse_confidence,
    score_images,
    tasks_of_rival,
)
from .baselines.confidence import STATISTICS

#: The whole of a test set must have a prediction but for this share of images (those that cannot be read).
MISSING_SHARE = 0.01

FORMS = (
    'name=predictions.csv (written by miqa test), name=CONFIG:CHECKPOINT, either as name@MACHINE=... where it runs '
    'a machine inside, a measure of human vision (PSNR, SSIM, VSI, LPIPS, DISTS, HyperIQA, MANIQA, pyiqa:NAME), '
    'a rival without training (sharpness, brightness, contrast, blur-exposure, tta:CLASSIFIER, ccs:MACHINES.py, '
    'encoder:MODEL) or the confidence of a machine (max_probability:MACHINE, confidence:MACHINE for all of its '
    'statistics)'
)


class MethodFailed(Exception):
    """A method has no predictions for a test set; the message says why. Tables show it in the method's row."""


@dataclass(frozen=True)
class Method:
    """One row of a table."""

    name: str  # how tables call it
    #: ``predictions`` (a CSV file), ``model`` (a config and a checkpoint), ``human`` (a measure of pictures, of human
    #: vision or a rival's) or ``confidence``.
    kind: str
    #: path of the file, ``CONFIG:CHECKPOINT``, name of the measure, or ``statistic:machine``; paths may hold ``{task}``
    #: and ``{label}``.
    source: str
    runs: str = ''  # the machine inside, from ``name@MACHINE=...``; empty if none is known

    @property
    def machines_run(self) -> tuple[str, ...]:
        """Machines whose answer to the image itself the method uses."""
        if self.kind == 'confidence':
            return (self.source.partition(':')[2],)
        runs = self.runs or (machine_of_rival(self.source) if self.kind == 'human' else None)
        return (runs,) if runs else ()

    def applies_to(self, task: str) -> bool:
        """Return True if the method is defined for a task: a detector's confidence is not one of cls."""
        if self.kind == 'human':
            return task in tasks_of_rival(self.source)
        return self.kind != 'confidence' or self.source.partition(':')[0] in STATISTICS.get(task, {})


def parse_methods(texts: list[str], data_root: str | os.PathLike, tasks: list[str]) -> list[Method]:
    """Read what the command line names.

    ``confidence:MACHINE`` becomes all statistics of the machine, and ``confidence`` alone those of the machine with the
    lowest weight among those that have responses: the smallest of them.

    Raises:
        ValueError: a text has none of the forms of :data:`FORMS`, or two methods share a name.
        FileNotFoundError: ``confidence`` alone, but no machine has stored responses.
    """
    methods = [method for text in texts for method in _parse(text, data_root, tasks)]
    names = [method.name for method in methods]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f'Two methods are called {twice[0]}. Give each its own name.')
    return methods


def _parse(text: str, data_root, tasks) -> list[Method]:
    if is_measure_name(text):
        return [Method(text, 'human', text)]
    if (confidence := parse_confidence(text)) is not None:
        return [Method(_confidence_name(*confidence), 'confidence', text)]
    if text == 'confidence' or text.startswith('confidence:'):
        names = []
        for task in tasks:
            machine = text.partition(':')[2] or _smallest_machine(data_root, task)
            names += [
                Method(_confidence_name(item, machine), 'confidence', f'{item}:{machine}') for item in STATISTICS[task]
            ]
        return list(dict.fromkeys(names))
    name, equals, source = text.partition('=')
    if equals and name and source:
        kind = 'predictions' if source.endswith('.csv') else 'model' if ':' in source else None
        if kind:
            name, _, runs = name.partition('@')
            return [Method(name, kind, source, runs)]
    raise ValueError(f'{text!r} is not a method. A method is {FORMS}.')


def _confidence_name(statistic: str, machine: str) -> str:
    return f'{statistic.replace("_", " ")} of {machine}'


def _smallest_machine(data_root, task: str) -> str:
    return min(answered_machines(data_root, task), key=lambda item: item.manifest['machine']['weight']).folder.name


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
        images: from :func:`miqa.benchmark.baselines.read_test_images`.
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
        elif (confidence := parse_confidence(method.source)) is not None:
            values = confidence_scores(data_root, task, *confidence).reindex(images.filename).to_numpy()
        else:
            source = method.source.replace('{task}', task).replace('{label}', label)
            path: str | Path = source
            if method.kind == 'model':
                path = _model_predictions(source, data_root, task, label, image_list_digest(images.image), options)
            values = _from_file(path, task, label, images)
    except InUse:
        raise
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise MethodFailed(str(error.args[0] if isinstance(error, KeyError) else error)) from error
    missing = np.count_nonzero(~np.isfinite(values))
    if missing > MISSING_SHARE * len(values):
        raise MethodFailed(f'{missing} of {len(values)} test images of {task} have no prediction.')
    return values


def chosen_on_test(method: Method, task: str, label: str) -> bool:
    """Return True if the weights behind a method are known to have been chosen on the test split itself.

    Of predictions it is what ``miqa test`` wrote beside them, of a checkpoint what its config says. The released
    files of the paper's authors count: choosing on the test split is the paper's recipe.
    """
    if method.kind not in ('predictions', 'model'):
        return False
    # Imported where a model is among the methods.
    from miqa.engine.selection import CHOSEN_ON_TEST, selected_on
    from miqa.models import read_checkpoint

    source = method.source.replace('{task}', task).replace('{label}', label)
    try:
        if method.kind == 'predictions':
            facts = read_settings(Path(source).with_name('metrics.json'))
            return isinstance(facts, dict) and facts.get('weights_chosen_on') == CHOSEN_ON_TEST
        meta = read_checkpoint(source.partition(':')[2]).get('meta', {})
        if meta.get('released') is not None:
            return True
        return selected_on(read_config_text(meta['cfg'], source)) == CHOSEN_ON_TEST
    except (OSError, ValueError, KeyError):
        return False  # nothing is known; what is wrong with the files shows where they are used


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
    # Tables are read without spaces around their fields.
    return rows.set_index('image').prediction.reindex(images.image.str.strip()).to_numpy(np.float64)


def _model_predictions(source: str, data_root, task: str, label: str, images: str, options: dict | None) -> Path:
    """Run a model over the test set, once: predictions are kept under the digest of all that decides them."""
    config_path, _, checkpoint = source.partition(':')
    for needed in (config_path, checkpoint):
        if not Path(needed).is_file():
            raise FileNotFoundError(f'There is no file {needed}.')
    from miqa.engine import load_config
    from miqa.engine.formatted_config import FormattedOnce

    config = FormattedOnce.of(load_config(config_path, options))
    config.task, config.label, config.data_root = task, label, str(data_root)
    # A config that a run has dumped names them in its dataset, too.
    config.test_dataloader.dataset.update(task=task, label=label, data_root=str(data_root))
    key = '\n'.join([config.pretty_text, sha256_of_file(checkpoint), str(Path(data_root).resolve()), images])
    folder = user_cache() / 'predictions' / hashlib.sha256(key.encode()).hexdigest()[:24]
    path = folder / 'predictions.csv'
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with only_writer(folder, 'leave this method out'):
            _predict_into(path, config, checkpoint, source, data_root)
    return path


def _predict_into(path, config, checkpoint, source, data_root) -> None:
    from miqa.engine import build_runner
    from miqa.engine.testing import predict_and_tabulate

    _, table = predict_and_tabulate(build_runner(config, path.parent, checkpoint=checkpoint))
    write_predictions(path, table)
    with atomic_write(path.parent / 'made_from.txt') as temporary:
        temporary.write_text(f'{source}\n{data_root}\n', encoding='utf-8')
