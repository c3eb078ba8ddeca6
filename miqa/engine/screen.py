"""Console output of a run: data, progress and scores. The rest is in the log file."""

from __future__ import annotations

import logging

from miqa.models.parts.checkpoints import unwrapped
from miqa.splits.enough import few_sources

#: How MMEngine's records begin that fill screens: environment, config, hooks, the folder's own name, a notice that
#: concerns runs of several GPUs alone.
_DUMPS = (
    '\n------------',
    'Config:\n',
    'Hooks will be executed in the following order',
    'Distributed training is not used',
    'Exp name:',
)


def for_a_person(record: logging.LogRecord) -> bool:
    """Return True if a record goes to the screen, too; warnings and errors always do."""
    return record.levelno > logging.INFO or not record.getMessage().startswith(_DUMPS)


def keep_dumps_in_the_file(logger: logging.Logger) -> None:
    """Let a logger's handlers, but for those that write files, show only what is :func:`for_a_person`."""
    for handler in logger.handlers:
        if not isinstance(handler, logging.FileHandler) and for_a_person not in handler.filters:
            handler.addFilter(for_a_person)


def describe_training(runner) -> str:
    """Say in a sentence what is about to be trained, on what, how long and where the results will be."""
    model = unwrapped(runner.model)
    network = getattr(model, 'network', model)
    sizes = [(tensor.numel(), tensor.requires_grad) for tensor in network.parameters()]
    total, trainable = (sum(size for size, grad in sizes if grad or every) for every in (True, False))
    loader = runner.train_loop.dataloader
    device = next(iter(model.parameters())).device
    processes = f' in each of {runner.world_size} processes' if runner.world_size > 1 else ''
    text = (
        f'Training {type(network).__name__}, {total:,} parameters ({trainable:,} of them trainable), on {device}, '
        f'on {_amount(loader.dataset)}: {runner.max_epochs} epochs of {len(loader):,} steps with '
        f'{loader.batch_size} images{processes}'
    )
    if runner.val_loop is not None:
        text += f'; {_amount(runner.val_loop.dataloader.dataset)} choose the best weights'
    return f'{text}. Results go to {runner.work_dir}.'


def few_photographs(runner) -> str:
    """Return the sentence for too few photographs to train or to choose weights on; empty where there are enough."""
    loops = {'train': runner.train_loop, 'val': runner.val_loop}
    metainfo = {
        side: getattr(loop.dataloader.dataset, 'metainfo', {}) for side, loop in loops.items() if loop is not None
    }
    return few_sources({side: about['sources'] for side, about in metainfo.items() if 'sources' in about})


def _amount(dataset) -> str:
    metainfo = getattr(dataset, 'metainfo', {})
    sources = f' of {metainfo["sources"]:,} photographs' if 'sources' in metainfo else ''
    return f'{len(dataset):,} images{sources}'
