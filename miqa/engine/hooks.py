"""What happens around the steps of a run so that it can be repeated, resumed and believed."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import torch
import torch.distributed as dist
from mmengine.dist import get_rank, is_distributed, is_main_process, master_only
from mmengine.hooks import Hook

from miqa.registry import HOOKS
from miqa.utils import generator_for, write_json

_PACKAGES = (
    'miqa',
    'torch',
    'torchvision',
    'timm',
    'onedl-mmengine',
    'onedl-mmcv',
    'onedl-mmsegmentation',
    'onedl-mmdetection',
    'numpy',
    'scipy',
    'pillow',
    'opencv-python',
    'opencv-python-headless',
)


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
class SaveCheckpoint(Hook):
    """Keep ``latest.pth``, from which a killed run goes on, and ``best.pth``, the best validated weights.

    ``latest.pth`` is written after each validation and ``per_epoch`` times an epoch between; ``best.pth`` holds
    no optimiser. Both are replaced atomically: a kill at any moment leaves the previous file whole.
    ``last_checkpoint`` names the latest one, as MMEngine expects.

    Args:
        per_epoch: about how many times an epoch to save between validations.
        metric: the name of the score that decides, higher is better.
    """

    priority = 'VERY_LOW'

    def __init__(self, per_epoch: int = 10, metric: str = 'SRCC'):
        if per_epoch < 1:
            raise ValueError(f'per_epoch must be at least 1, not {per_epoch}.')
        self.per_epoch = per_epoch
        self.metric = metric
        self.interval = 1

    def before_train(self, runner) -> None:
        """Choose the interval: a whole number of optimiser updates, so that no half-summed gradient is lost."""
        updates = getattr(runner.optim_wrapper, '_accumulative_counts', 1)
        steps = -(-len(runner.train_dataloader) // self.per_epoch)
        self.interval = -(-steps // updates) * updates

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Save where the interval says so, unless a validation (which saves) follows at once."""
        done = runner.iter + 1
        if done % self.interval == 0 and not runner.train_loop.validates_at(done):
            self._save(runner, 'latest.pth', iteration=done)

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        """Keep the weights if they are the best so far, then save the state of the run."""
        if self.metric not in (metrics or {}):
            raise KeyError(
                f'SaveCheckpoint compares {self.metric}, but the validation gave {sorted(metrics or {})}. '
                'Set default_hooks.checkpoint.metric to one of these.'
            )
        score = float(metrics[self.metric])
        known = runner.message_hub.runtime_info
        if 'best_score' not in known or score > known['best_score']:
            runner.message_hub.update_info('best_score', score)
            runner.message_hub.update_info('best_iter', runner.iter)
            self._save(runner, 'best.pth', runner.iter, optimizer=False, scores=metrics)
            runner.logger.info(f'Best {self.metric} so far: {score:.4f}, kept as best.pth.')
        self._save(runner, 'latest.pth', runner.iter)

    def after_train(self, runner) -> None:
        """Save the final state where no validation has."""
        if not runner.train_loop.validates_at(runner.iter):
            self._save(runner, 'latest.pth', runner.iter)

    def _save(self, runner, name, iteration, optimizer=True, scores=None):
        meta = {'epoch': runner.epoch, 'iter': iteration}
        if scores is not None:
            meta['scores'] = {key: float(value) for key, value in scores.items()}
        runner.save_checkpoint(
            runner.work_dir, name, save_optimizer=optimizer, save_param_scheduler=optimizer, meta=meta, by_epoch=False
        )
        if name == 'latest.pth' and is_main_process():
            folder = Path(runner.work_dir)
            (folder / 'last_checkpoint').write_text(str((folder / name).resolve()), encoding='utf-8')


@HOOKS.register_module()
class RecordEnvironment(Hook):
    """Write ``environment.json``: command, versions, hardware and the state of the source tree."""

    priority = 'VERY_HIGH'

    @master_only
    def before_run(self, runner) -> None:
        """Write the file into the work directory."""
        write_json(Path(runner.work_dir) / 'environment.json', describe_environment())


def describe_environment() -> dict:
    """Describe what a run depends on beyond its config."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        'command': sys.argv,
        'python': platform.python_version(),
        'platform': platform.platform(),
        'gpus': [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        'packages': versions,
        'git': _git_state(Path(__file__).parent),
    }


def _git_state(folder: Path) -> dict | None:
    """Commit and changed files of the source tree; None where it is not a git checkout."""

    def ask(*arguments):
        return subprocess.run(['git', *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout

    try:
        return {'commit': ask('rev-parse', 'HEAD').strip(), 'changed': ask('status', '--porcelain').splitlines()}
    except (OSError, subprocess.CalledProcessError):
        return None
