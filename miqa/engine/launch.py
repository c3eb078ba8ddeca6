"""Start one process or many: plain, torchrun or Slurm; NCCL on GPUs and gloo on CPUs."""

from __future__ import annotations

import os
import subprocess

import torch
import torch.distributed as dist

from miqa.taxonomy import check_choice

#: ``none``: this process alone. ``pytorch``: started by torchrun. ``slurm``: started by srun.
LAUNCHERS = ('none', 'pytorch', 'slurm')


def start_processes_group(launcher: str) -> int:
    """Join the group of processes that ``launcher`` started and return its size.

    MMEngine's own start-up calls CUDA whatever the machine has, so the group is joined here first and MMEngine
    finds it. The backend is ``nccl`` where there is a GPU, otherwise ``gloo``.

    Raises:
        ValueError: ``launcher`` is unknown.
        RuntimeError: the environment variables that the launcher sets are not there.
    """
    check_choice(launcher, LAUNCHERS, 'launcher')
    if launcher == 'none':
        return 1
    if dist.is_initialized():
        return dist.get_world_size()
    if launcher == 'slurm':
        _adopt_slurm_environment()
    missing = [name for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR') if name not in os.environ]
    if missing:
        raise RuntimeError(
            f'--launcher {launcher} expects the environment variables {", ".join(missing)}, which are not set. '
            'Start through tools/dist_train.sh or tools/slurm_train.sh, or leave --launcher out for one process.'
        )
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ['LOCAL_RANK']))
    dist.init_process_group('nccl' if torch.cuda.is_available() else 'gloo')
    return dist.get_world_size()


def leave_processes_group() -> None:
    """Leave the group of processes, if there is one."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def ddp_options() -> dict:
    """Options of the DDP wrapper for this process: its GPU, or none where the model lives on the CPU."""
    device_ids = [int(os.environ.get('LOCAL_RANK', 0))] if torch.cuda.is_available() else None
    return {
        'type': 'MMDistributedDataParallel',
        'device_ids': device_ids,
        'find_unused_parameters': False,
        # Running statistics are shared before each validation (hooks.ShareBuffers), not at every step.
        'broadcast_buffers': False,
    }


def _adopt_slurm_environment() -> None:
    names = {'SLURM_PROCID': 'RANK', 'SLURM_NTASKS': 'WORLD_SIZE', 'SLURM_LOCALID': 'LOCAL_RANK'}
    missing = [name for name in names if name not in os.environ]
    if missing:
        raise RuntimeError(f'--launcher slurm expects {", ".join(missing)}; start through srun (tools/slurm_train.sh).')
    for theirs, ours in names.items():
        os.environ[ours] = os.environ[theirs]
    if 'MASTER_ADDR' not in os.environ:
        command = ['scontrol', 'show', 'hostnames', os.environ['SLURM_NODELIST']]
        os.environ['MASTER_ADDR'] = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[
            0
        ]
    # Two jobs on one node must not meet at one port.
    os.environ.setdefault('MASTER_PORT', str(20000 + int(os.environ.get('SLURM_JOB_ID', 0)) % 20000))
