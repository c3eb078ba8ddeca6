"""How fast a training step of RA-MIQA is: with the frozen encoder, from cached features, and at the machine's limit."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ..registry import MODELS
from ..structures import QualitySample
from .assessor import QualityAssessor

#: Side of the square matrices whose product gives the machine's rate; large enough to reach it, small enough for a CPU.
GEMM_SIZE = 2048


def _wait(device: torch.device) -> None:
    if device.type == 'cuda':
        torch.cuda.synchronize(device)


def seconds_of(calls: Mapping[str, Callable[[], object]], repeats: int, device: torch.device) -> dict[str, float]:
    """Time calls in turn, after an untimed one; return the least seconds of each.

    The least, because other programs can only slow a call down; in turn, so that they hit all calls alike.
    """
    for call in calls.values():
        call()
    times = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            _wait(device)
            start = time.perf_counter()
            call()
            _wait(device)
            times[name].append(time.perf_counter() - start)
    return {name: min(values) for name, values in times.items()}


def make_batch(model: QualityAssessor, count: int, cached: bool) -> dict:
    """Return what a data loader would give, at random: uint8 views, or with ``cached`` features for the region."""
    generator = torch.Generator().manual_seed(0)
    views = {name: int(view['size']) for name, view in model.data_preprocessor.views.items()}
    inputs = {
        name: [torch.randint(0, 256, (3, size, size), dtype=torch.uint8, generator=generator) for _ in range(count)]
        for name, size in views.items()
    }
    if cached:
        encoder, preprocessor = model.network.mask_encoder, model.data_preprocessor
        inputs['region_features'] = list(encoder(preprocessor.region_batch(inputs.pop('region'))).cpu())
    samples = [QualitySample(gt_score=torch.rand((), generator=generator)) for _ in range(count)]
    return {'inputs': inputs, 'data_samples': samples}


def flops_of(call: Callable[[], object]) -> int:
    """Count floating-point operations (a multiply-add is two) of matrix products and convolutions in a call."""
    # Fused attention is counted on some devices only; its plain form is counted everywhere.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def activation_bytes(call: Callable[[], object]) -> int:
    """Sum the storages that autograd keeps from the forward for the backward pass, each once, without parameters."""
    storages = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        # The result keeps the graph, and with it every storage, alive until all are counted.
        result = call()
    del result
    return sum(storages.values())


def gemm_rate(device: torch.device, repeats: int = 5) -> float:
    """Measure the rate of a float32 matrix product of :data:`GEMM_SIZE`, in operations per second."""
    a, b = (torch.randn(GEMM_SIZE, GEMM_SIZE, device=device) for _ in range(2))
    return 2 * GEMM_SIZE**3 / seconds_of({'gemm': lambda: a @ b}, repeats, device)['gemm']


def benchmark_step(
    model_config: Mapping, batch_size: int = 4, repeats: int = 3, device: str = 'cpu', amp: bool = False
) -> dict:
    """Measure training steps: preprocessing, forward, backward and AdamW's update.

    Args:
        model_config: of a QualityAssessor around RA-MIQA; its weights start random, nothing is fetched.
        batch_size: pictures in a step.
        repeats: steps that are timed, of each kind.
        device: where.
        amp: bfloat16 autocast.

    Returns:
        ``with_encoder`` and ``cached``: each with ``seconds`` of a step, ``images_per_second``, ``flops`` of a step,
        ``limit_seconds`` (its operations at the measured GEMM rate), ``share_of_limit``, and ``activation_bytes``;
        ``ratio`` of their rates; ``state_bytes`` of weights, gradients and optimiser; ``gemm_rate``; and on GPUs
        ``peak_bytes`` of both kinds together.
    """
    device = torch.device(device)
    model = MODELS.build(dict(model_config)).to(device).train()
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=1e-6)

    def loss_of(batch: dict) -> torch.Tensor:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=amp):
            return model(**model.data_preprocessor(batch, True), mode='loss')['loss']

    def step(batch: dict) -> None:
        loss_of(batch).backward()
        optimizer.step()
        optimizer.zero_grad()

    batches = {name: make_batch(model, batch_size, name == 'cached') for name in ('with_encoder', 'cached')}
    if device.type == 'cuda':
        torch.cuda.reset_peak_memory_stats(device)
    rate = gemm_rate(device)
    seconds = seconds_of({name: lambda b=batch: step(b) for name, batch in batches.items()}, repeats, device)
    rate = max(rate, gemm_rate(device))
    result: dict = {'batch_size': batch_size, 'gemm_rate': rate}
    for name, batch in batches.items():
        flops = flops_of(lambda b=batch: step(b))
        result[name] = {
            'seconds': seconds[name],
            'images_per_second': batch_size / seconds[name],
            'flops': flops,
            'limit_seconds': flops / rate,
            'share_of_limit': flops / rate / seconds[name],
            'activation_bytes': activation_bytes(lambda b=batch: loss_of(b)),
        }
    result['ratio'] = seconds['with_encoder'] / seconds['cached']
    weights = sum(parameter.nbytes for parameter in model.parameters())
    # A gradient and AdamW's two moments for each trainable weight.
    result['state_bytes'] = weights + 3 * sum(parameter.nbytes for parameter in trainable)
    if device.type == 'cuda':
        result['peak_bytes'] = torch.cuda.max_memory_allocated(device)
    return result


def benchmark_encoders(configs: Mapping[str, Mapping], size: int, batch_size: int, repeats: int, device: str) -> dict:
    """Time the forward pass of region encoders with the same tensors and compare their features.

    Args:
        configs: region encoder configs by name; all get the first one's weights.
        size: side of the pictures.
        batch_size: pictures at a time.
        repeats: calls that are timed, of each.
        device: where.

    Returns:
        Per name ``seconds`` of a batch and ``difference``: the largest from the first one's features.
    """
    device = torch.device(device)
    encoders = {name: MODELS.build(dict(config)).to(device) for name, config in configs.items()}
    first = next(iter(encoders.values()))
    for encoder in encoders.values():
        encoder.load_state_dict(first.state_dict())
    region = torch.randn(batch_size, 3, size, size, device=device)
    seconds = seconds_of({name: lambda e=encoder: e(region) for name, encoder in encoders.items()}, repeats, device)
    expected = first(region)
    return {
        name: {'seconds': seconds[name], 'difference': (encoder(region) - expected).abs().max().item()}
        for name, encoder in encoders.items()
    }
