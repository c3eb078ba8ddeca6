"""Parallel work on Ray or Dask: streaming results; a lost worker only repeats its tasks."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from miqa.errors import MIQAError

from .cores import usable_cores
from .requirements import require

RETRIES = 3  # A task whose worker dies so often is given up: it is likely to kill the next one, too

#: Tasks that are handed out at a time, for each core: a million of them at once would fill the scheduler's memory.
_AHEAD = 4


class WorkerLost(MIQAError, RuntimeError):
    """A task ended the process that it ran in, again and again."""


def run_on_ray(calls: Sequence, jobs: int) -> Iterator:
    """Run joblib's delayed ``calls`` on the cluster at RAY_ADDRESS, or on one with ``jobs`` workers that is begun here.

    Raises:
        WorkerLost: a task killed its worker :data:`RETRIES` + 1 times.
        Exception: what a task raised.
    """
    # Ray sends usage statistics unless disabled.
    os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')
    ray = require('ray', 'The ray backend')
    if not ray.is_initialized():
        own = {} if os.environ.get('RAY_ADDRESS') else {'include_dashboard': False, **_cores(jobs, 'num_cpus')}
        ray.init(log_to_driver=False, logging_level='ERROR', **own)
    task = ray.remote(max_retries=RETRIES, num_cpus=1)(_run)
    waiting = iter(calls)
    pending: list = []
    most = _AHEAD * max(1, int(ray.cluster_resources().get('CPU', 1)))
    try:
        while True:
            while len(pending) < most and (call := next(waiting, None)) is not None:
                pending.append(task.remote(*call))
            if not pending:
                return
            (ready,), pending = ray.wait(pending, num_returns=1)
            try:
                yield ray.get(ready)
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None
            except ray.exceptions.RayError as error:
                raise WorkerLost(_sentence(error)) from error
    finally:
        for left in pending:
            ray.cancel(left, force=True)


def run_on_dask(calls: Sequence, jobs: int) -> Iterator:
    """Run joblib's delayed ``calls`` on the cluster at DASK_SCHEDULER_ADDRESS, or on one that is begun here.

    Args and errors as for :func:`run_on_ray`.
    """
    distributed = require('distributed', 'The dask backend')
    try:
        client = distributed.get_client()
    except ValueError:
        client = _begin_dask(distributed, jobs)
    most = _AHEAD * max(1, sum(client.nthreads().values()))
    waiting, completed = iter(calls), distributed.as_completed()
    try:
        while True:
            while completed.count() < most and (call := next(waiting, None)) is not None:
                completed.add(client.submit(_run, *call, pure=False))
            if completed.is_empty():
                return
            future = next(completed)
            try:
                yield future.result()
            except distributed.KilledWorker as error:
                raise WorkerLost(_sentence(error)) from error
    finally:
        client.cancel(list(completed.futures))


def _begin_dask(distributed, jobs: int):
    import dask

    dask.config.set({'distributed.scheduler.allowed-failures': RETRIES})
    if dask.config.get('scheduler-address', None):
        return distributed.Client()
    # No dashboard: it would be open to the whole network.
    workers = _cores(jobs, 'n_workers') or {'n_workers': usable_cores()}
    return distributed.Client(threads_per_worker=1, dashboard_address=None, **workers)


def _run(function, args: tuple, options: dict):
    return function(*args, **options)


def _cores(jobs: int, name: str) -> dict[str, int]:
    return {name: jobs} if jobs > 0 else {}


def _sentence(error: Exception) -> str:
    return (
        f'A task ended its worker {RETRIES + 1} times ({str(error).strip().splitlines()[0]}). Is there enough memory '
        'for each? The same command goes on from what is finished.'
    )
