"""Selection of weights: on which data, when to stop, and what is fitted before the first step."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from mmengine.config import ConfigDict
from mmengine.dist import is_distributed, is_main_process
from mmengine.hooks import Hook
from torch.utils.data import DataLoader, Subset

from miqa.datasets import stack_samples
from miqa.registry import DATASETS, HOOKS
from miqa.structures import meta_of

ON_TEST_SPLIT = 'test'  # The paper's recipe: the weights are those that score best on the test split itself

#: What :func:`selected_on` says of a run with the paper's recipe.
CHOSEN_ON_TEST = "the test split itself, as in the paper's recipe, which flatters the test scores"


def resolve_selection(config: ConfigDict) -> None:
    """Apply the option ``selection`` to the datasets of training and validation.

    A share, such as 0.1, sets that share of the training split's sources apart: they do not train, they choose
    ``best.pth``, and the test split is not used before the test. ``'test'`` is the paper's recipe. What a config
    says of ``part`` itself stays.

    Raises:
        ValueError: ``selection`` is neither.
    """
    share = config.get('selection', ON_TEST_SPLIT)
    if share == ON_TEST_SPLIT:
        return
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share < 1:
        raise ValueError(f"selection is a share of the training sources between 0 and 1, or 'test'; not {share!r}.")
    # The loaders of validation and test may be one object in a config.
    config.val_dataloader = copy.deepcopy(config.val_dataloader)
    train, chooser = config.train_dataloader.dataset, config.val_dataloader.dataset
    for dataset, part in ((train, 'fit'), (chooser, 'select')):
        kind = DATASETS.get(dataset.get('type', ''))
        if 'part' in dataset or not getattr(kind, 'divides_by_source', False):
            continue
        dataset.update(split=train.get('split', 'train'), part=part, selection=float(share))


def selected_on(config: Mapping) -> str:
    """Return in words which images chose the weights of a run with this (settled or written) config."""
    validation = ((config.get('val_dataloader') or {}).get('dataset')) or {}
    if validation.get('part') == 'select':
        return f'{float(validation.get("selection", 0.1)):.0%} of the training photographs, which did not train'
    if validation:
        return CHOSEN_ON_TEST
    return 'data that the config does not name'


@HOOKS.register_module()
class StopEarly(Hook):
    """End the training when the validations have not improved for a while.

    Args:
        patience: validations without a better score after which training ends; 0 for never.
        metric: the name of the score, higher is better.
    """

    priority = 'LOW'

    def __init__(self, patience: int = 0, metric: str = 'SRCC'):
        if patience < 0:
            raise ValueError(f'patience is a number of validations, 0 for never to stop; not {patience}.')
        self.patience, self.metric = patience, metric

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        """Count validations without a better score; the count outlives an interruption."""
        if not self.patience or getattr(runner, '_train_loop', None) is None:
            return
        info, score = runner.message_hub.runtime_info, float((metrics or {}).get(self.metric, math.nan))
        if score > info.get('stop_early_best', -math.inf):
            runner.message_hub.update_info('stop_early_best', score)
            runner.message_hub.update_info('stop_early_count', 0)
            return
        count = int(info.get('stop_early_count', 0)) + 1
        runner.message_hub.update_info('stop_early_count', count)
        if count >= self.patience:
            runner.logger.info(f'{self.metric} has not improved in {count} validations: training ends here.')
            runner.train_loop.stop_training = True


@HOOKS.register_module()
class FitNetwork(Hook):
    """Let a network that has ``fit`` fit what it needs from the training pictures, once, before the first step.

    Args:
        pictures: at most this many, evenly spaced over the training set. A photograph's versions follow each other
            there, so that all photographs take part.
    """

    def __init__(self, pictures: int = 20000):
        if pictures < 1:
            raise ValueError(f'pictures must be at least 1, not {pictures}.')
        self.pictures = pictures

    def before_train(self, runner) -> None:
        """Fit on the main process and hand the result to the others."""
        model = getattr(runner.model, 'module', runner.model)
        network = model.network
        if not hasattr(network, 'fit') or network.is_fitted:
            return
        if is_main_process():
            vectors, sources = self._responses(runner.train_dataloader, model)
            network.fit(vectors, sources)
            runner.logger.info(f'Fitted {type(network).__name__} to {len(vectors)} training pictures.')
        if is_distributed():
            for buffer in network.buffers():
                dist.broadcast(buffer, 0)

    def _responses(self, loader: DataLoader, model) -> tuple[torch.Tensor, torch.Tensor]:
        dataset: Any = loader.dataset  # torch's Dataset promises no length; ours have one
        positions = np.unique(np.linspace(0, len(dataset) - 1, min(self.pictures, len(dataset))).astype(int))
        batches = DataLoader(
            Subset(dataset, positions.tolist()),
            batch_size=loader.batch_size,
            num_workers=loader.num_workers,
            collate_fn=stack_samples,
        )
        vectors, names = [], []
        with torch.inference_mode():
            for batch in batches:
                data = model.data_preprocessor(batch)
                vectors.append(model.network.response(model.checked_inputs(data['inputs'])).float().cpu())
                names += meta_of(data['data_samples'], 'source')
        _, numbers = np.unique(names, return_inverse=True)
        return torch.cat(vectors), torch.from_numpy(numbers.astype(np.int64))
