"""The learning rate at every step, and weight decay by parameter."""

from __future__ import annotations

import math
from numbers import Real

from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIMIZERS
from torch import nn

from miqa.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS


def warmup_cosine(
    steps_per_epoch: int, epochs: float, lr: float, warmup_epochs: float, warmup_lr: float, final_lr: float
) -> list[dict]:
    """Describe a linear warm-up followed by a cosine, both per step, as MMEngine schedulers.

    Step 0 runs at ``warmup_lr``, the first step after the warm-up at ``lr``, and the cosine would reach ``final_lr``
    one step after the last. The paper's recipe is 5 epochs, of which 1 warm-up from 5e-6, lr 1e-4, final 1e-8. The
    warm-up is cut to a fifth of the training (the paper's share) where it would be longer than that share in a training
    shorter than the paper's; the other rates are at most ``lr``.

    Raises:
        ValueError: a length or a rate is not a positive finite number.
    """
    numbers = steps_per_epoch, epochs, lr, warmup_lr, final_lr, warmup_epochs
    if not all(map(_is_finite, numbers)) or min(numbers[:-1]) <= 0 or warmup_epochs < 0:
        raise ValueError(
            f'The schedule needs positive finite lengths and rates, but has {steps_per_epoch} steps per epoch, '
            f'epochs={epochs}, lr={lr}, warmup_epochs={warmup_epochs}, warmup_lr={warmup_lr}, final_lr={final_lr}.'
        )
    warmup_lr, final_lr = min(warmup_lr, lr), min(final_lr, lr)
    total = round(epochs * steps_per_epoch)
    warmup = min(round(warmup_epochs * steps_per_epoch), max(1, total // 5)) if warmup_epochs else 0
    schedulers = []
    if warmup:
        # MMEngine's LinearLR reaches end_factor after end - 1 steps; one more makes the cosine start at lr.
        schedulers.append(
            {'type': 'LinearLR', 'start_factor': warmup_lr / lr, 'by_epoch': False, 'begin': 0, 'end': warmup + 1}
        )
    if total > warmup:
        schedulers.append(
            {
                'type': 'CosineAnnealingLR',
                'by_epoch': False,
                'begin': warmup,
                'end': total,
                'T_max': total - warmup,
                'eta_min': final_lr,
            }
        )
    return schedulers


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class DecayMatricesOnly:
    """Build an optimiser with weight decay on matrices and filters, none on biases and other 1-D parameters.

    Frozen parameters are left out. Parameters with the same settings share a group, so that fused and multi-tensor
    optimisers work at full speed.

    Args:
        optim_wrapper_cfg: ``dict(type=..., optimizer=dict(type='AdamW', lr=..., weight_decay=...), ...)``.
        paramwise_cfg: ``dict(lr_mult={'network.backbone': 0.1})``: factors of the learning rate by name prefix;
            the longest prefix that fits counts.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None):
        self.optim_wrapper_cfg = dict(optim_wrapper_cfg)
        options = dict(paramwise_cfg or {})
        self.lr_mult = dict(options.pop('lr_mult', {}))
        if options:
            raise ValueError(f'Unknown keys in paramwise_cfg: {", ".join(options)}. Only lr_mult is known.')

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Return the optimiser wrapper of ``model``.

        Raises:
            ValueError: a prefix of ``lr_mult`` fits no trainable parameter, or the rate is not a number.
        """
        model = getattr(model, 'module', model)
        config = dict(self.optim_wrapper_cfg.pop('optimizer'))
        if not _is_finite(config['lr']):
            raise ValueError(f'optim_wrapper.optimizer.lr is {config["lr"]!r}; give a number, such as 1e-4.')
        groups: dict[tuple, dict] = {}
        unused = set(self.lr_mult)
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            prefix = max((p for p in self.lr_mult if name.startswith(p)), key=len, default=None)
            unused.discard(prefix)
            factor = self.lr_mult.get(prefix, 1.0)
            decays = parameter.ndim > 1
            group = groups.setdefault((factor, decays), {'params': [], 'lr': config['lr'] * factor})
            group['params'].append(parameter)
            if not decays:
                group['weight_decay'] = 0.0
        if unused:
            raise ValueError(
                f'paramwise_cfg.lr_mult names {", ".join(sorted(unused))}, but no trainable parameter does.'
            )
        config['params'] = list(groups.values())
        wrapper = dict(self.optim_wrapper_cfg)
        wrapper.setdefault('type', 'OptimWrapper')
        return OPTIM_WRAPPERS.build(wrapper, default_args={'optimizer': OPTIMIZERS.build(config)})


def _is_finite(value: object) -> bool:
    return isinstance(value, Real) and math.isfinite(value)
