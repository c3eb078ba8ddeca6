"""Predict a split: which score for which image."""

from __future__ import annotations

import pandas as pd


def predict_and_tabulate(runner) -> tuple[dict, pd.DataFrame | None]:
    """Test with ``runner`` and return its metrics and, on the main process, one row for each image.

    The columns are ``image, source, task, label, distortion, fg_level, bg_level, ground_truth, prediction``;
    the rows are in the order of the dataset. Images that were unreadable are not among them.
    """
    metrics = runner.test()
    metric = next(item for item in runner.test_evaluator.metrics if hasattr(item, 'predictions'))
    if metric.positions is None:
        return metrics, None
    dataset = runner.test_dataloader.dataset
    rows = [dataset.describe(int(position)) for position in metric.positions]
    names = ('image', 'source', 'task', 'label', 'distortion', 'fg_level', 'bg_level')
    table = pd.DataFrame({name: [row[name] for row in rows] for name in names})
    return metrics, table.assign(ground_truth=metric.labels, prediction=metric.predictions)
