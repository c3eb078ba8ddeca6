"""Checks that a device computes what the CPU computes, and how fast: each takes the device, so that a CPU can stand in.

A check returns a :class:`Finding`; nothing is raised for a device that computes wrongly, only for wrong use.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import torch
from cases.timing import in_turns
from cases.train import make_batch, wait_for
from torch import nn

from miqa.models import QualityAssessor
from miqa.registry import MODELS
from miqa.taxonomy import check_choice

OK, FAILED, SKIPPED = 'ok', 'FAILED', 'skipped'


class Finding(NamedTuple):
    """What a check found."""

    name: str  # of the check
    state: str  # ``ok``, ``FAILED`` or ``skipped``
    detail: str  # figures, or why it failed or was skipped


class Bounds(NamedTuple):
    """How far a precision may be from float32 on the CPU."""

    scores: float  # largest difference of a score, relative to the largest score or 1
    gradients: float  # norm of the difference of all gradients, relative to their norm


#: Rounding units are 2^-24 of float32, 2^-11 of TF32 and float16, 2^-8 of bfloat16; a network of twelve blocks adds up
#: some tens of them.
BOUNDS = {
    'fp32': Bounds(1e-4, 1e-3), 'tf32': Bounds(5e-3, 3e-2), 'bf16': Bounds(4e-2, 2e-1), 'fp16': Bounds(5e-3, 3e-2),
}  # fmt: skip
_AUTOCAST = {'bf16': torch.bfloat16, 'fp16': torch.float16}
#: float16 has no numbers for small gradients: the loss is multiplied, and the gradients divided, by it.
LOSS_SCALE = 1024.0


def checked(name: str, check: Callable[[], tuple[bool, str]]) -> Finding:
    """Run a check that says whether all is well and what it found; an exception counts as a failure with its words."""
    try:
        well, detail = check()
    except Exception as error:  # noqa: BLE001  whatever a driver or a kernel raises is what is looked for here
        return Finding(
            name, FAILED, f'{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ""}'
        )
    return Finding(name, OK if well else FAILED, detail)


def build_model(config: Mapping, seed: int = 0) -> QualityAssessor:
    """Build a model of a config with random weights, in evaluation mode: nothing random happens in it."""
    torch.manual_seed(seed)
    return MODELS.build(dict(config)).eval()


@contextlib.contextmanager
def arithmetic(precision: str, device: torch.device) -> Iterator[None]:
    """Let the device compute in one of :data:`BOUNDS`; TF32 is off but for ``tf32``."""
    check_choice(precision, tuple(BOUNDS), 'precision')
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == 'tf32'
    dtype = _AUTOCAST.get(precision)
    try:
        with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def scores_and_gradients(model: QualityAssessor, batch: dict, precision: str, device: torch.device):
    """Return the scores (B,) and all gradients as one vector, both float64 on the CPU."""
    scale = LOSS_SCALE if precision == 'fp16' else 1.0
    model.zero_grad()
    with arithmetic(precision, device):
        data = model.data_preprocessor(batch)
        scores = model(data['inputs'])
        loss = model(**data, mode='loss')['loss']
    (loss * scale).backward()
    gradients = [p.grad.double().cpu().ravel() / scale for p in model.parameters() if p.grad is not None]
    return scores.detach().double().cpu(), torch.cat(gradients)


def check_numbers(config: Mapping, device: str | torch.device, precision: str, batch_size: int = 8) -> Finding:
    """Compare scores and gradients with those of float32 on the CPU, within :data:`BOUNDS`."""
    device = torch.device(device)

    def check() -> tuple[bool, str]:
        reference, model = build_model(config), build_model(config).to(device)
        batch = make_batch(reference, batch_size, stacked=True)
        expected = scores_and_gradients(reference, batch, 'fp32', torch.device('cpu'))
        results = scores_and_gradients(model, batch, precision, device)
        bounds = BOUNDS[precision]
        scores = float((results[0] - expected[0]).abs().max() / expected[0].abs().max().clamp_min(1))
        gradients = float((results[1] - expected[1]).norm() / expected[1].norm())
        # NaN is not within bounds.
        well = scores <= bounds.scores and gradients <= bounds.gradients
        return well, (
            f'scores differ by {scores:.1e} (at most {bounds.scores:g}), gradients by {gradients:.1e} '
            f'(at most {bounds.gradients:g})'
        )

    return checked(f'forward and backward, {precision}', check)


def check_compile(
    config: Mapping, device: str | torch.device, options: Mapping | None = None, batch_size: int = 8
) -> Finding:
    """Compare a compiled network with the plain one, and say how much faster it is.

    Args:
        config: of the model.
        device: where.
        options: of ``torch.compile``, such as ``dict(mode='reduce-overhead')``, which records CUDA graphs.
        batch_size: pictures at a time.
    """
    device, options = torch.device(device), dict(options or {})

    def check() -> tuple[bool, str]:
        model = build_model(config).to(device)
        inputs = model.data_preprocessor(make_batch(model, batch_size, stacked=True))['inputs']
        compiled = torch.compile(model.network, **options)
        with torch.inference_mode(), arithmetic('fp32', device):
            plain, fast = model.network(inputs).clone(), compiled(inputs).clone()
            ways = {'plain': partial(model.network, inputs), 'compiled': partial(compiled, inputs)}
            times = in_turns(ways, 5, wait_for(device), quiet=True)
        difference = float((plain - fast).abs().max() / plain.abs().max().clamp_min(1))
        bound = BOUNDS['fp32'].scores
        return difference <= bound, (
            f'scores differ by {difference:.1e} (at most {bound:g}); '
            f'{times["plain"].seconds / times["compiled"].seconds:.2f} times as fast'
        )

    return checked(f'torch.compile {options or ""}'.strip(), check)


def check_transfers(device: str | torch.device, megabytes: int = 64) -> Finding:
    """Bring pinned and ordinary memory to the device; the bytes must arrive, and pinned ones not more slowly."""
    device = torch.device(device)

    def check() -> tuple[bool, str]:
        ordinary = torch.randint(0, 256, (megabytes * 2**20,), dtype=torch.uint8)
        pinned = ordinary.pin_memory() if device.type == 'cuda' else ordinary
        arrived = pinned.to(device, non_blocking=True)
        wait_for(device)()
        same = torch.equal(arrived.cpu(), ordinary)
        ways = {
            name: partial(source.to, device, non_blocking=True, copy=True)
            for name, source in (('pinned', pinned), ('ordinary', ordinary))
        }
        times = in_turns(ways, 5, wait_for(device), quiet=True)
        # The clock decides nothing: another program may use the bus.
        return same, ', '.join(
            f'{name} memory {megabytes / 1024 / taken.seconds:.1f} GB/s' for name, taken in times.items()
        ) + ('' if same else '; OTHER BYTES arrived')

    return checked('transfers', check)


def check_memory(config: Mapping, device: str | torch.device, steps: int = 12, batch_size: int = 8) -> Finding:
    """Train some steps: what the device holds after the third must not grow; says the most that was in use."""
    device = torch.device(device)

    def check() -> tuple[bool, str]:
        model = build_model(config).to(device).train()
        trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trainable, lr=1e-6, fused=True)
        batch, held = make_batch(model, batch_size, stacked=True), []
        for _ in range(steps):
            model(**model.data_preprocessor(batch), mode='loss')['loss'].backward()
            optimizer.step()
            optimizer.zero_grad()
            held.append(_held(device, optimizer, model))
        growth = held[-1] - held[2]
        most = (
            f'; most in use {torch.cuda.max_memory_allocated(device) / 2**20:.0f} MB' if device.type == 'cuda' else ''
        )
        return (
            growth <= 0,
            f'{held[-1] / 2**20:.1f} MB held after {steps} steps, {growth} bytes more than after 3{most}',
        )

    return checked('memory of training steps', check)


def _held(device: torch.device, optimizer: torch.optim.Optimizer, model: nn.Module) -> int:
    if device.type == 'cuda':
        return torch.cuda.memory_allocated(device)
    # A CPU does not count: the tensors that a step leaves behind are those of weights, gradients and optimiser.
    states = [value for state in optimizer.state.values() for value in state.values() if torch.is_tensor(value)]
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    return sum(tensor.nbytes for tensor in (*model.parameters(), *gradients, *states))


def measure_speed(
    config: Mapping,
    device: str | torch.device,
    precisions: Sequence[str],
    batch_sizes: Sequence[int],
    repeats: int = 20,
) -> list[dict]:
    """Score made pictures that are on the device; return a row for each precision and batch size."""
    device = torch.device(device)
    model, rows = build_model(config).to(device), []
    for precision in precisions:
        for size in batch_sizes:
            inputs = model.data_preprocessor(make_batch(model, size, stacked=True))['inputs']
            if device.type == 'cuda':
                torch.cuda.reset_peak_memory_stats(device)
            with torch.inference_mode(), arithmetic(precision, device):
                times = in_turns({'': partial(model, inputs)}, repeats, wait_for(device), quiet=True)['']
            row = {'precision': precision, 'batch': size, 'pictures_per_second': size / times.seconds}
            rows.append({**row, **times.percentiles(50, 95)})
            if device.type == 'cuda':
                rows[-1]['most_mb'] = torch.cuda.max_memory_allocated(device) / 2**20
    return rows
