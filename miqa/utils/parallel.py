"""The same function over many things, on this machine's cores or on a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import joblib

from .requirements import require

#: Where work can be spread: processes on this machine, or a cluster.
BACKENDS = ('loky', 'ray', 'dask')


def run_parallel(calls: Sequence, jobs: int = 1, backend: str = 'loky') -> Iterator:
    """Run joblib's delayed ``calls`` and yield their results as they come, in any order.

    Args:
        calls: made by ``joblib.delayed(function)(...)``.
        jobs: processes; -1 for one per core (or all of the cluster); 1 runs in this process.
        backend: one of :data:`BACKENDS`; ``ray`` and ``dask`` need their packages and a cluster that is set up
            (RAY_ADDRESS, DASK_SCHEDULER_ADDRESS).

    Raises:
        ValueError: an unknown backend.
        ImportError: the backend is not installed.
    """
    if backend not in BACKENDS:
        raise ValueError(f'Unknown backend {backend!r}. Choose one of: {", ".join(BACKENDS)}.')
    if backend == 'loky':
        if jobs == 1:
            yield from (function(*args, **options) for function, args, options in calls)
            return
        yield from joblib.Parallel(n_jobs=jobs, return_as='generator_unordered')(calls)
        return
    if backend == 'ray':
        require('ray.util.joblib', 'The ray backend').register_ray()
    else:
        # Importing distributed makes joblib know dask; without an address the client starts workers here.
        require('dask.distributed', 'The dask backend').Client()
    with joblib.parallel_config(backend=backend):
        # Clusters' backends hand out results batch by batch, so a progress bar moves with each batch.
        step = 4 * max(1, joblib.effective_n_jobs(jobs))
        for first in range(0, len(calls), step):
            yield from joblib.Parallel(n_jobs=jobs)(calls[first : first + step])
