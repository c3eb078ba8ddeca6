"""Thread settings: sleeping waits, one thread per core."""

from __future__ import annotations

import os

from .cores import usable_cores

#: OpenMP's threads otherwise wait for their next work in a loop: GNU's, which PyTorch brings, and Intel's.
_PASSIVE = {'OMP_WAIT_POLICY': 'PASSIVE', 'KMP_BLOCKTIME': '0'}


def wait_passively() -> None:
    """Let the threads of libraries that compute sleep while they wait, and start no more than there are cores.

    For programs, before PyTorch is imported: OpenMP reads its settings once. Decoding threads and those of the network
    take turns on the same cores; one that waits in a loop keeps the core from one that has work. Beside other programs
    a network of convolutions took 52 ms of processor time a picture with this, and 252 without.

    What the user has set holds. Where a container may use fewer cores than the machine has, PyTorch's threads are as
    many as it may use; its own default counts the machine's.
    """
    for name, value in _PASSIVE.items():
        os.environ.setdefault(name, value)
    cores = usable_cores()
    if hasattr(os, 'sched_getaffinity') and cores < len(os.sched_getaffinity(0)):
        os.environ.setdefault('OMP_NUM_THREADS', str(cores))
