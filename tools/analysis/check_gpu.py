#!/usr/bin/env python
"""Prove the GPU paths on this machine in about five minutes: numbers, processes, resuming, compiling, speed, memory.

Scores and gradients on the GPU are compared with float32 on the CPU in float32, TF32, bfloat16 and float16; a step of
DDP by NCCL on all GPUs (one is enough) with one process; a training that was killed and resumed with one that was not;
--gpu-ids is tried inside an allocation; pinned transfers, torch.compile and CUDA graphs (reduce-overhead) are checked;
speed is measured by precision and batch with the percentiles of a batch's time, and the most memory in use. RA-MIQA at
full size with random weights is used; nothing is downloaded. Exits with 1 where something fails.

Examples:
  python tools/analysis/check_gpu.py
  CUDA_VISIBLE_DEVICES=4,5 python tools/analysis/check_gpu.py --out gpu.json
  python tools/analysis/check_gpu.py --device cpu --config configs/mini/ra_miqa_cls.py    # a rehearsal without a GPU
"""

from __future__ import annotations

import copy
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from cases.loader import write_photo_database
from cases.timing import show
from device_checks import (
    BOUNDS,
    FAILED,
    SKIPPED,
    Finding,
    check_compile,
    check_memory,
    check_numbers,
    check_transfers,
    measure_speed,
)
from mmengine.config import ConfigDict
from run_checks import check_gpu_ids, check_processes, check_resume

from miqa.engine import load_config
from miqa.keeping import write_json
from miqa.running.command_line import ToolParser, run_command
from miqa.running.devices import gpu_has_bfloat16

ROOT = Path(__file__).parents[2]


def random_model(config: Path) -> ConfigDict:
    """Return the model of a config, its weights random and without dropout: both sides must do the same."""
    model = copy.deepcopy(load_config(config).model)

    def forget(node: dict) -> None:
        for key, value in node.items():
            if isinstance(value, dict):
                forget(value)
            elif key in ('pretrained', 'weights'):
                node[key] = None if key == 'weights' else False
            elif key == 'dropout':
                node[key] = 0.0

    forget(model)
    if 'dropout' in model.network or model.network.type == 'RAMIQA':
        model.network.dropout = 0.0
    return model


def visible_gpus() -> dict[str, str]:
    """Return the GPUs that this process may use: name as in ``CUDA_VISIBLE_DEVICES`` -> UUID."""
    variable = os.environ.get('CUDA_VISIBLE_DEVICES')
    names = variable.split(',') if variable else [str(number) for number in range(torch.cuda.device_count())]
    return {
        name.strip(): str(torch.cuda.get_device_properties(number).uuid)
        for number, name in enumerate(names[: torch.cuda.device_count()])
    }


def training_command(folder: Path) -> list[str]:
    """Make a small database in ``folder`` and return the command that trains on it and saves at every step."""
    write_photo_database(folder / 'database', sources=8, levels=(3,))
    config = ROOT / 'configs' / 'mini' / 'confidence_cnn_cls.py'
    options = [
        'default_hooks.checkpoint.per_epoch=100', 'train_dataloader.num_workers=0', 'val_dataloader.num_workers=0',
    ]  # fmt: skip
    return [
        sys.executable, str(ROOT / 'tools' / 'train.py'), str(config), '--data-root', str(folder / 'database'),
        '--epochs', '2', '--batch-size', '8', '--selection', '0.25', '--deterministic', '--cfg-options', *options,
    ]  # fmt: skip


def all_checks(model: ConfigDict, device: str, folder: Path, train: Callable[[Path], list[str]]) -> Iterator[Finding]:
    """Yield the findings of all checks, one after the other.

    Args:
        model: config of the model, its weights random.
        device: ``cuda`` or ``cpu``.
        folder: an empty one, for the training.
        train: see :func:`training_command`.
    """
    gpu = device == 'cuda'
    for precision in BOUNDS:
        if precision == 'bf16' and gpu and not gpu_has_bfloat16():
            yield Finding('forward and backward, bf16', SKIPPED, 'this GPU has no bfloat16 of its own (before Ampere)')
        elif precision == 'tf32' and not gpu:
            yield Finding('forward and backward, tf32', SKIPPED, 'a CPU has no TF32')
        else:
            yield check_numbers(model, device, precision)
    yield check_transfers(device)
    yield check_processes(model, device, torch.cuda.device_count() if gpu else 2)
    if gpu:
        yield check_gpu_ids(visible_gpus())
    else:
        yield Finding('--gpu-ids inside an allocation', SKIPPED, 'there is no GPU to choose')
    yield check_resume(train(folder), folder, exact=not gpu)
    yield check_compile(model, device)
    if gpu:
        yield check_compile(model, device, {'mode': 'reduce-overhead'})
    else:
        yield Finding('CUDA graphs', SKIPPED, 'a CPU records none')
    yield check_memory(model, device)


def main() -> int:
    """Run all checks; 0 if nothing failed, else 1."""
    parser = ToolParser(description=__doc__)
    parser.add_argument('--device', choices=('cuda', 'cpu'), default='cuda', help='cpu: a rehearsal (default: cuda)')
    parser.add_argument('--config', type=Path, default=ROOT / 'configs' / 'ra_miqa_cls.py', help='what is computed')
    parser.add_argument('--batch-sizes', type=int, nargs='+', default=[1, 8, 32, 128], help='default: 1 8 32 128')
    parser.add_argument('--out', type=Path, help='write findings and speeds as JSON')
    args = parser.parse_args()
    if args.device == 'cuda' and not torch.cuda.is_available():
        raise ValueError(
            f'PyTorch {torch.__version__} finds no GPU here, so there is nothing to prove. On a machine with one '
            'compare `nvidia-smi -L`, CUDA_VISIBLE_DEVICES and `python -c "import torch; print(torch.version.cuda)"`; '
            'a rehearsal without a GPU: python tools/analysis/check_gpu.py --device cpu --config '
            'configs/mini/ra_miqa_cls.py --batch-sizes 1 8'
        )
    started, model, findings = time.monotonic(), random_model(args.config), []
    with tempfile.TemporaryDirectory(prefix='miqa_check_gpu_') as folder:
        for finding in all_checks(model, args.device, Path(folder), training_command):
            print(f'{finding.state:9} {finding.name}: {finding.detail}', flush=True)
            findings.append(finding)
    has_bfloat16 = args.device == 'cpu' or gpu_has_bfloat16()
    precisions = ['fp32', *(['tf32', 'fp16'] if args.device == 'cuda' else []), *(['bf16'] if has_bfloat16 else [])]
    speeds = measure_speed(model, args.device, precisions, args.batch_sizes)
    machine = torch.cuda.get_device_name() if args.device == 'cuda' else f'CPU, {torch.get_num_threads()} threads'
    rows = {'findings': [finding._asdict() for finding in findings], 'speeds': speeds}
    show(f'{args.config.stem} on {machine}, PyTorch {torch.__version__}', rows['findings'])
    show('Scoring pictures that are on the device', speeds)
    failed = [finding.name for finding in findings if finding.state == FAILED]
    print(f'{time.monotonic() - started:.0f} s. ' + (f'FAILED: {", ".join(failed)}.' if failed else 'Nothing failed.'))
    if args.out:
        write_json(args.out, {'device': machine, 'torch': torch.__version__, **rows})
    return 1 if failed else 0


if __name__ == '__main__':
    run_command(main)
