"""Start one process or many: plain, torchrun or Slurm; NCCL on GPUs and gloo on CPUs."""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
import torch.distributed as dist

from miqa.keeping import only_writer
from miqa.keeping.files import try_folder
from miqa.taxonomy import check_choice

#: ``none``: this process alone. ``pytorch``: started by torchrun. ``slurm``: started by srun.
LAUNCHERS = ('none', 'pytorch', 'slurm')


def show_only_gpus(chosen: Sequence[str]) -> int:
    """Let this process and its children see only some of the GPUs that it may use, and return how many.

    Chosen are numbers, also several in one text (``0,1``), or names that ``nvidia-smi -L`` prints (``GPU-...``,
    ``MIG-...``). Within an allocation (``CUDA_VISIBLE_DEVICES=4,5``) GPU 0 is its first, 4, as everywhere in CUDA. Call
    it before anything asks CUDA: afterwards the variable is read no more.

    Raises:
        ValueError: a number is not one, is given twice, or is not there.
    """
    ids = [part.strip() for text in chosen for part in str(text).split(',') if part.strip()]
    variable = os.environ.get('CUDA_VISIBLE_DEVICES')
    # CUDA itself reads no further than the first -1; an empty variable hides every GPU.
    listed = itertools.takewhile(lambda part: part != '-1', (part.strip() for part in (variable or '').split(',')))
    allocated = [part for part in listed if part]
    visible = []
    for name in ids:
        if name.startswith(('GPU-', 'MIG-')):
            # CUDA takes the beginning of a name for the whole.
            matches = [each for each in allocated if name.startswith(each) or each.startswith(name)]
            if variable is not None and len(matches) != 1:
                raise ValueError(f'There is no GPU {name} among those of CUDA_VISIBLE_DEVICES ({variable or "none"}).')
            visible.append(matches[0] if matches else name)
        elif not name.isdecimal():
            raise ValueError(f'A GPU is chosen by its number, as in --gpu-ids 0 1, not by {name!r}.')
        elif variable is not None and int(name) >= len(allocated):
            raise ValueError(
                f'There is no GPU {name}: CUDA_VISIBLE_DEVICES allows {len(allocated)} ({variable or "none"}), which '
                'are counted from 0.'
            )
        else:
            visible.append(allocated[int(name)] if allocated else str(int(name)))
    if len(set(visible)) < len(visible) or not visible:
        raise ValueError(f'--gpu-ids needs one or more GPUs, each once; got {" ".join(ids) or "none"}.')
    os.environ['CUDA_VISIBLE_DEVICES'] = ','.join(visible)
    if (device_count := torch.cuda.device_count()) < len(visible):
        raise ValueError(
            f'--gpu-ids {" ".join(ids)} asks for {len(visible)} GPUs, but PyTorch finds {device_count}: compare '
            '`nvidia-smi -L`, or leave --gpu-ids out to train on the CPU.'
        )
    return len(visible)


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
            f'--launcher {launcher} needs the environment variables {", ".join(missing)}: use tools/dist_train.sh or '
            'tools/slurm_train.sh, or leave --launcher out for one process.'
        )
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ['LOCAL_RANK']))
    dist.init_process_group('nccl' if torch.cuda.is_available() else 'gloo')
    return dist.get_world_size()


def leave_processes_group() -> None:
    """Leave the group of processes, if there is one, together with the others: the caller has let its network go.

    What still holds the group when Python ends, such as a network of DDP, makes the process abort now and then.
    """
    if dist.is_available() and dist.is_initialized():
        gc.collect()
        dist.barrier()
        dist.destroy_process_group()


@contextlib.contextmanager
def one_process_per_folder(folder: str | os.PathLike, launcher: str, advice: str) -> Iterator[None]:
    """Keep other runs out of a folder of results; of several processes of one run, the first does it for all.

    Raises:
        InUse: another run writes there; see :func:`miqa.keeping.only_writer`.
        OSError, ValueError: nothing can be written there; see :func:`miqa.keeping.files.try_folder`.
    """
    variable = {'pytorch': 'RANK', 'slurm': 'SLURM_PROCID'}.get(launcher, '')
    if int(os.environ.get(variable, 0)):
        yield
        return
    is_new = not Path(folder).exists()
    try:
        try_folder(folder)
        with only_writer(folder, advice):
            yield
    except BaseException:
        if is_new:
            # What ended before it wrote anything leaves nothing behind.
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
        raise


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
