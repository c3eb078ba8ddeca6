"""Hooks for reproducible and resumable runs."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from mmengine.dist import get_rank, is_distributed, master_only
from mmengine.hooks import Hook

from miqa.keeping import write_json
from miqa.keeping.versions import versions_in_use
from miqa.registry import HOOKS
from miqa.running import generator_for

from .screen import describe_training, few_photographs


@HOOKS.register_module()
class SeedEveryStep(Hook):
    """Give every training step random numbers of its own, from (seed, step, process).

    Dropout is then the same in a run that was interrupted and in one that was not, without storing the state of
    each process's generators.
    """

    priority = 'VERY_HIGH'

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Seed torch's generators on all devices."""
        torch.manual_seed(int(generator_for(runner.seed, 'step', runner.iter, get_rank()).integers(2**63)))


@HOOKS.register_module()
class ShareBuffers(Hook):
    """Give all processes the running statistics of the first before a validation or test.

    Every process then measures its part of the data with the same model, the one that is saved.
    """

    priority = 'VERY_HIGH'

    def before_val_epoch(self, runner) -> None:
        """Broadcast the buffers from process 0."""
        if is_distributed():
            for buffer in runner.model.buffers():
                dist.broadcast(buffer, 0)


@HOOKS.register_module()
class RecordEnvironment(Hook):
    """Write ``environment.json``: command, versions, hardware and the state of the source tree; say what is trained."""

    priority = 'VERY_HIGH'

    @master_only
    def before_run(self, runner) -> None:
        """Write the file into the work directory."""
        write_json(Path(runner.work_dir) / 'environment.json', describe_environment())

    @master_only
    def before_train(self, runner) -> None:
        """Say what is trained on what, for how long, and where the results will be."""
        runner.logger.info(describe_training(runner))
        if few := few_photographs(runner):
            runner.logger.warning(few)


def describe_environment() -> dict:
    """Describe what a run depends on beyond its config."""
    versions = versions_in_use()
    return {
        'command': sys.argv,
        'python': versions.pop('python'),
        'platform': platform.platform(),
        'gpus': [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        'packages': versions,
        'git': _git_state(Path(__file__).parent),
    }


def _git_state(folder: Path) -> dict | None:
    """Commit and changed files of the source tree; None where it is not a git checkout."""

    def ask(*arguments):
        return subprocess.run(
            ['git', '--no-optional-locks', *arguments], cwd=folder, capture_output=True, text=True, check=True
        ).stdout

    try:
        return {'commit': ask('rev-parse', 'HEAD').strip(), 'changed': ask('status', '--porcelain').splitlines()}
    except (OSError, subprocess.CalledProcessError):
        return None
