"""MMEngine metrics: collect predictions of all processes, exactly once, in order."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from mmengine.dist import all_gather_object, broadcast_object_list, is_main_process
from mmengine.evaluator import BaseMetric

from miqa.registry import METRICS
from miqa.running.logs import log

from .correlation import SCORES, UndefinedScores, quality_correlations


@METRICS.register_module()
class QualityCorrelation(BaseMetric):
    """SRCC, PLCC, KRCC and RMSE over a whole split.

    Every sample carries its position in the dataset. Whatever order or padding the samplers of several processes
    produce, each position is used once and in order, so that 1, 2 or more processes give the same numbers.

    After :meth:`evaluate`, on the main process, ``positions`` (int64), ``predictions`` and ``labels`` (float64), all
    of shape (N,), hold what was measured.

    Args:
        mapping: the map before RMSE, see :func:`miqa.evaluation.quality_correlations`.
        prefix: written before each name in logs, as in ``det/SRCC``.
    """

    default_prefix = ''  # MMEngine warns without one

    def __init__(self, mapping: str | None = 'linear', prefix: str | None = None):
        super().__init__(collect_device='cpu', prefix=prefix)
        self.mapping = mapping
        self.positions: np.ndarray | None = None
        self.predictions: np.ndarray | None = None
        self.labels: np.ndarray | None = None

    def process(self, data_batch, data_samples: Sequence[dict]) -> None:
        """Keep (position, prediction, label) of each sample; samples marked as bad images are only counted."""
        for sample in data_samples:
            if sample.get('bad_image'):
                self.results.append((sample['index'], np.nan, np.nan, True))
            else:
                self.results.append((sample['index'], float(sample['pred_score']), float(sample['gt_score']), False))

    def evaluate(self, size: int) -> dict[str, float]:
        """Gather, check that all ``size`` samples are there, compute, and clear.

        Scores that are not defined (constant or NaN predictions, constant labels) are NaN, and the log says why: a
        model may be so for a while without being lost.

        Raises:
            RuntimeError: a sample is missing, or there are more than ``size`` of them.
        """
        rows = np.array(self.results, dtype=np.float64).reshape(-1, 4)
        self.results.clear()
        gathered = all_gather_object(rows)
        # An error on the main process must reach the others, or they would wait for it forever.
        outcome: list[dict[str, float] | Exception] = [{}]
        if is_main_process():
            try:
                outcome = [self._compute(np.concatenate(gathered), size)]
            except (ValueError, RuntimeError) as error:
                outcome = [error]
        broadcast_object_list(outcome)
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0]

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Compute from rows of (position, prediction, label, is bad); part of MMEngine's interface."""
        rows = np.array(results, dtype=np.float64).reshape(-1, 4)
        return self._compute(rows, len(np.unique(rows[:, 0])))

    def _compute(self, rows: np.ndarray, size: int) -> dict[str, float]:
        positions, first = np.unique(rows[:, 0].astype(np.int64), return_index=True)
        if not np.array_equal(positions, np.arange(size)):
            missing = np.setdiff1d(np.arange(size), positions)
            detail = (
                f'{missing.size} are missing, the first is number {missing[0]}'
                if missing.size
                else (f'there are {positions.size}, numbered up to {positions[-1]}')
            )
            raise RuntimeError(f'The metric expects the {size} samples of the dataset, each once, but {detail}.')
        rows = rows[first]
        bad = rows[:, 3].astype(bool)
        if bad.any():
            log(f'{bad.sum()} of {size} images could not be read and are not in the scores.')
        rows = rows[~bad]
        predictions, labels = rows[:, 1], rows[:, 2]
        self.positions, self.predictions, self.labels = rows[:, 0].astype(np.int64), predictions, labels
        try:
            scores = quality_correlations(predictions, labels, self.mapping)
        except UndefinedScores as error:
            log(f'The scores are not defined: {error}', logging.WARNING)
            scores = dict.fromkeys(SCORES, float('nan'))
        return {f'{self.prefix}/{name}' if self.prefix else name: value for name, value in scores.items()}
