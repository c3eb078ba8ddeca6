"""Cross-validation by photograph: every picture is predicted once, by a model that never saw its photograph."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from mmengine.config import Config

from miqa.engine import build_runner
from miqa.engine.testing import predict_and_tabulate
from miqa.evaluation import quality_correlations
from miqa.evaluation.predictions import write_predictions
from miqa.keeping import atomic_write

PREDICTIONS_FILE, FOLDS_FILE = 'predictions.csv', 'folds.csv'


def fold_config(config: Config, number: int, folds: int, selection: float) -> Config:
    """Return a copy of ``config`` whose three loaders see the parts of a fold.

    Both splits of the database together are divided anew.
    """
    config = copy.deepcopy(config)
    for loader, part in (('train_dataloader', 'fit'), ('val_dataloader', 'select'), ('test_dataloader', 'test')):
        config[loader].dataset.update(split='all', part=part, fold=(number, folds), selection=selection)
    config.selection = selection
    return config


def cross_validate(
    config: Config,
    out: str | Path,
    folds: int = 5,
    selection: float = 0.2,
    labels: Sequence[str] | None = None,
    amp: bool = False,
) -> pd.DataFrame:
    """Train and test one model a fold; keep finished folds.

    In each fold a share of the other photographs chooses the weights; the fold's own photographs are used once.

    Args:
        config: as :func:`miqa.engine.load_config` gives it; its data root has both splits.
        out: folder of ``fold_0`` and so on, of ``predictions.csv`` (every picture once for each label) and of
            ``folds.csv``, the scores of each fold.
        folds: how many.
        selection: share of a fold's training photographs that choose the weights.
        labels: what to test on; None for the config's label. More than one needs a network with heads for them.
        amp: train in mixed precision.

    Returns:
        One row for each fold and label: ``fold``, ``label``, ``images``, ``SRCC``, ``PLCC``, ``KRCC``, ``RMSE``.

    Raises:
        ValueError: what :func:`miqa.datasets.division.divide_sources` and the network raise.
    """
    out = Path(out)
    labels = list(labels or [config.label])
    tables, rows = [], []
    for number in range(folds):
        folder = out / f'fold_{number}'
        divided = fold_config(config, number, folds, selection)
        if not (folder / 'finished').is_file():
            build_runner(copy.deepcopy(divided), folder, resume='auto', amp=amp).train()
            (folder / 'finished').touch()
        # Tested through the pipeline of validation, so that cached features serve the test, too; the checkpoint keeps
        # the config's own, which starts from pictures and which inference takes.
        divided.test_dataloader = copy.deepcopy(divided.val_dataloader)
        divided.test_dataloader.dataset.part = 'test'
        for label in labels:
            divided.label = label
            tester = build_runner(copy.deepcopy(divided), folder / f'test_{label}', checkpoint=folder / 'best.pth')
            _, table = predict_and_tabulate(tester)
            if table is None:  # of several processes, the first tabulates
                continue
            tables.append(table.assign(label=label))
            scores = quality_correlations(table.prediction, table.ground_truth)
            rows.append({'fold': number, 'label': label, 'images': len(table), **scores})
    write_predictions(out / PREDICTIONS_FILE, pd.concat(tables, ignore_index=True))
    result = pd.DataFrame(rows)
    with atomic_write(out / FOLDS_FILE) as temporary:
        result.to_csv(temporary, index=False, float_format='%.6f')
    return result
