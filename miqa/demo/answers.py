"""Run machines on the pictures of a demo database, on all cores."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import joblib
import torch

from miqa.labelling import read_classes
from miqa.layout import ground_truth_path, responses_folder
from miqa.machines import build_machine, list_sources, run_machine
from miqa.running.allocator import keep_freed_memory
from miqa.running.parallel import run_parallel, shard_of

_BATCH = 8  # Pictures for a network at a time: with more, what its layers hand on leaves the processor's cache
_SOURCES = 16  # A process of its own is worth its start from so many sources on


def make_answers(
    root: str | os.PathLike, machines: Sequence[dict], task: str = 'cls', jobs: int = 1, progress: bool = True
) -> None:
    """Run machines, of :func:`miqa.machines.load_machine_configs`, over all pictures below ``root`` without an answer.

    Each of the ``jobs`` processes (-1: one per core) takes a part of the sources; the first shows its progress.
    """
    shards = max(1, min(joblib.effective_n_jobs(jobs), len(list_sources(root, task)) // _SOURCES))
    calls = [
        joblib.delayed(_answer)(config, Path(root), task, (number, shards), progress and number == 1)
        for config in machines
        for number in range(1, shards + 1)
    ]
    for _ in run_parallel(calls, shards):
        pass


def _answer(config: dict, root: Path, task: str, shard: tuple[int, int], progress: bool) -> None:
    if shard[1] > 1:
        # A process of its own, so its settings affect nothing else.
        torch.set_num_threads(1)
        keep_freed_memory()
    machine = build_machine(config)
    # Depthwise convolutions run twice as fast on a CPU with the channels last in memory (measured: 23 ms instead of
    # 40 for EfficientNet-Lite0 at 224 pixels on one core).
    if task == 'cls' and hasattr(machine, 'network'):
        machine.network.to(memory_format=torch.channels_last)
    options: dict[str, Any] = {}
    if task == 'cls':
        options = {'true_classes': read_classes(ground_truth_path(root, task)), 'store_probabilities': True}
    folder = responses_folder(root, task) / machine.name
    sources = shard_of(list_sources(root, task), shard)
    run_machine(machine, sources, folder, shard=shard, batch_size=_BATCH, progress=progress, **options)
