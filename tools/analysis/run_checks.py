"""Checks of whole runs: several processes, a kill in the middle, GPUs inside an allocation."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
import torch.distributed as dist
from cases.train import make_batch
from device_checks import Finding, arithmetic, build_model, checked
from torch import multiprocessing

from miqa.models import read_checkpoint

GRADIENTS = 1e-4  # How far gradients of several processes may be from those of one: sums in another order
RESUMED = 1e-5  # How far resumed weights may be from uninterrupted ones on a GPU, whose kernels may add in any order
_TIMEOUT = 600.0


def check_processes(config: Mapping, device: str, processes: int, batch_size: int = 8) -> Finding:
    """Take a step of DDP on ``processes`` processes, NCCL on GPUs and gloo on CPUs; compare with one process.

    Args:
        config: of the model; its dropout is off.
        device: ``cuda`` or ``cpu``.
        processes: how many, each on a GPU of its own.
        batch_size: pictures over all processes; a multiple of their number is taken.
    """
    backend = 'nccl' if device == 'cuda' else 'gloo'
    count = max(1, batch_size // processes) * processes

    def check() -> tuple[bool, str]:
        # One process on the same kind of device: what differs is the work of several.
        with arithmetic('fp32', torch.device(device)):
            expected = _gradients(build_model(config).to(device), range(count), count)
        with tempfile.TemporaryDirectory(prefix='miqa_ddp_') as folder:
            arguments = (processes, dict(config), device, backend, count, folder)
            multiprocessing.spawn(_process, arguments, nprocs=processes)
            gradients = [torch.load(Path(folder) / f'{rank}.pth', weights_only=True) for rank in range(processes)]
        worst = max(float((gradient - expected).norm() / expected.norm()) for gradient in gradients)
        return worst <= GRADIENTS, (
            f'{processes} process{"es" if processes > 1 else ""} by {backend}: gradients differ from those of one by '
            f'{worst:.1e} (at most {GRADIENTS:g})'
        )

    return checked('DDP', check)


def _gradients(model, positions: Sequence[int], count: int, run: Callable | None = None) -> torch.Tensor:
    inner = getattr(model, 'module', model)
    batch = make_batch(inner, count, stacked=True)
    part = {
        'inputs': {name: views[list(positions)] for name, views in batch['inputs'].items()},
        'data_samples': [batch['data_samples'][position] for position in positions],
    }
    (run or model)(**inner.data_preprocessor(part), mode='loss')['loss'].backward()
    return torch.cat([p.grad.double().cpu().ravel() for p in inner.parameters() if p.grad is not None])


def _process(rank: int, world: int, config: dict, device: str, backend: str, count: int, folder: str) -> None:
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(world), LOCAL_RANK=str(rank))
    target = torch.device(device, rank) if device == 'cuda' else torch.device(device)
    if device == 'cuda':
        torch.cuda.set_device(target)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    else:
        torch.set_num_threads(1)
    dist.init_process_group(backend, init_method=f'file://{folder}/meeting', rank=rank, world_size=world)
    try:
        model = build_model(config).to(target)
        ids = [rank] if device == 'cuda' else None
        wrapped = torch.nn.parallel.DistributedDataParallel(model, device_ids=ids, broadcast_buffers=False)
        own = range(rank * count // world, (rank + 1) * count // world)
        torch.save(_gradients(model, own, count, run=wrapped), f'{folder}/{rank}.pth')
        dist.barrier()
    finally:
        dist.destroy_process_group()


def check_resume(train: Sequence[str], folder: Path, exact: bool, timeout: float = _TIMEOUT) -> Finding:
    """Kill a training after its first checkpoint, let it go on, and compare with one that was not interrupted.

    Args:
        train: the command of a training that saves often; ``--work-dir`` and ``--resume`` are added.
        folder: where both runs write.
        exact: whether the weights must be the same bit for bit; else within :data:`RESUMED`.
        timeout: seconds that a run may take.
    """

    def check() -> tuple[bool, str]:
        whole, killed = folder / 'whole', folder / 'killed'
        _run([*train, '--work-dir', str(whole)], timeout)
        stopped = _killed_at(train, killed, timeout)
        _run([*train, '--work-dir', str(killed), '--resume'], timeout)
        ends = [read_checkpoint(run / 'latest.pth') for run in (whole, killed)]
        if ends[0]['meta']['iter'] != ends[1]['meta']['iter']:
            return False, f'the resumed run ended at step {ends[1]["meta"]["iter"]}, not {ends[0]["meta"]["iter"]}'
        worst = max(
            float((one.double() - other.double()).abs().max())
            for one, other in zip(*(end['state_dict'].values() for end in ends), strict=True)
            if one.numel()
        )
        bound = 0.0 if exact else RESUMED
        return worst <= bound, (
            f'killed at step {stopped} of {ends[0]["meta"]["iter"]}; weights at the end differ by {worst:.1e} '
            f'(at most {bound:g})'
        )

    return checked('resume after SIGKILL', check)


def _run(command: Sequence[str], timeout: float) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    if ended.returncode:
        message = (ended.stderr or ended.stdout).strip().splitlines()[-1:]
        raise RuntimeError(f'the training ended with {ended.returncode}: {"".join(message)}')


def _killed_at(train: Sequence[str], work_dir: Path, timeout: float) -> int:
    """Run a training until its first checkpoint is there, kill it, and return the checkpoint's step."""
    latest = work_dir / 'latest.pth'
    process = subprocess.Popen(
        [*train, '--work-dir', str(work_dir)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + timeout
    try:
        while not latest.is_file():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError('the training ended, or took too long, before its first checkpoint')
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    return int(read_checkpoint(latest)['meta']['iter'])


_ASK = (
    'import sys; from miqa.engine.launch import show_only_gpus; count = show_only_gpus(sys.argv[1:]); import torch; '
    'print(count, torch.cuda.device_count(), torch.cuda.get_device_properties(0).uuid)'
)


def ask_which_gpu(chosen: Sequence[str], allocation: str) -> str:
    """Return what a process within ``CUDA_VISIBLE_DEVICES=allocation`` sees after ``--gpu-ids`` ``chosen``.

    That is how many GPUs it chose, how many it sees, and the UUID of the first.
    """
    environment = {**os.environ, 'CUDA_VISIBLE_DEVICES': allocation}
    done = subprocess.run(
        [sys.executable, '-c', _ASK, *chosen], env=environment, capture_output=True, text=True, timeout=_TIMEOUT,
        check=True,
    )  # fmt: skip
    return done.stdout.strip()


def check_gpu_ids(gpus: Mapping[str, str], ask: Callable[[Sequence[str], str], str] = ask_which_gpu) -> Finding:
    """Choose each GPU by its number within an allocation, whose order is not the machine's.

    Args:
        gpus: names as in ``CUDA_VISIBLE_DEVICES`` -> UUIDs, of all GPUs that this process may use.
        ask: see :func:`ask_which_gpu`.
    """

    def check() -> tuple[bool, str]:
        allocation = list(gpus)[::-1]
        for number, name in enumerate(allocation):
            expected = f'1 1 {gpus[name]}'
            answer = ask([str(number)], ','.join(allocation))
            if answer != expected:
                return False, (
                    f'within CUDA_VISIBLE_DEVICES={",".join(allocation)} --gpu-ids {number} shows {answer!r}, not '
                    f'{expected!r}'
                )
        return True, f'each of {len(allocation)} GPUs is found by its number within {",".join(allocation)}'

    return checked('--gpu-ids inside an allocation', check)
