"""Stop a run with non-finite numbers before its checkpoint is overwritten."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import Hook

from miqa.registry import HOOKS


class LossNotFinite(ValueError):
    """The loss or a weight became NaN or infinite. The message says where, and how to resume."""


@HOOKS.register_module()
class StopAtNonFinite(Hook):
    """Stop all processes at the first loss that is NaN or infinite on any of them."""

    priority = 'HIGH'

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Check the losses of a step.

        Raises:
            LossNotFinite: on every process, so that none waits for another.
        """
        losses = {
            key: float(torch.as_tensor(value).detach()) for key, value in (outputs or {}).items() if 'loss' in key
        }
        broken = {key: value for key, value in losses.items() if not math.isfinite(value)}
        if anywhere(runner, bool(broken)):
            description = ', '.join(f'{key} is {value}' for key, value in broken.items()) or 'loss on another process'
            raise _stopped(runner, f'The loss is not finite ({description})', runner.iter + 1)


def check_weights(runner, iteration: int) -> None:
    """Raise before weights that hold NaN or infinity would replace a good checkpoint.

    Raises:
        LossNotFinite: a weight is not finite on any process; on every process, so that none waits for another.
    """
    name = first_broken(runner.model.state_dict())
    if anywhere(runner, name is not None):
        raise _stopped(runner, f'The weights {name or "on another process"} are no longer finite', iteration)


def anywhere(runner, local: bool) -> bool:
    """Return True if something is so on any process; all of them must ask."""
    if get_world_size() == 1:
        return local
    flag = torch.tensor(int(local), device=next(runner.model.parameters()).device)
    all_reduce(flag, op='max')
    return bool(flag.item())


def first_broken(state: Mapping[str, torch.Tensor]) -> str | None:
    """Return the name of the first tensor that holds NaN or infinity, or None."""
    tensors = [(name, tensor) for name, tensor in state.items() if tensor.is_floating_point()]
    if not tensors:
        return None
    # A sum is NaN or infinite if one of its terms is: one number a tensor, one transfer for all of them.
    sums = torch.stack([tensor.detach().double().sum() for _, tensor in tensors]).isfinite().tolist()
    return next((name for (name, _), finite in zip(tensors, sums, strict=True) if not finite), None)


def _stopped(runner, reason: str, step: int) -> LossNotFinite:
    latest = Path(runner.work_dir) / 'latest.pth'
    safe = f'{latest} holds the state before it' if latest.is_file() else 'there is no checkpoint yet, so start again'
    runner.logger.error(f'Stopped: {reason.lower()}.')
    return LossNotFinite(
        f'{reason} in epoch {runner.epoch + 1}, step {step}; {safe}. Repeat the command with --resume and a lower '
        '--lr, without --amp, or with --cfg-options optim_wrapper.clip_grad.max_norm=0.1.'
    )
