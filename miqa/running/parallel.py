"""Parallel map over processes or a cluster."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence

from miqa.taxonomy import check_choice

from .clusters import run_on_dask, run_on_ray


def parse_shard(text: str) -> tuple[int, int]:
    """Read ``'i/n'``, the i-th of n parts, counted from 1, into (i, n).

    Raises:
        ValueError: it is not written so.
    """
    parts = text.split('/')
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() for part in parts):
        raise ValueError(f"A shard is written i/n with 1 <= i <= n, such as 1/4, not '{text}'.")
    return check_shard((int(parts[0]), int(parts[1])))


def check_shard(shard: tuple[int, int]) -> tuple[int, int]:
    """Return the shard (i, n) if 1 <= i <= n; else raise a ValueError."""
    number, count = shard
    if not 1 <= number <= count:
        raise ValueError(f'A shard is i/n with 1 <= i <= n, such as 1/4, not {number}/{count}.')
    return number, count


def shard_of(items: Sequence, shard: tuple[int, int]) -> list:
    """Return the i-th of n parts of a list, i from 1: every n-th item, beginning with the i-th.

    Raises:
        ValueError: not 1 <= i <= n.
    """
    number, count = check_shard(shard)
    return list(items)[number - 1 :: count]


BACKENDS = ('loky', 'ray', 'dask')  # Where work can be spread: processes on this machine, or a cluster


def run_parallel(calls: Sequence, jobs: int = 1, backend: str = 'loky') -> Iterator:
    """Run joblib's delayed ``calls`` and yield their results as they come, in any order.

    Args:
        calls: made by ``joblib.delayed(function)(...)``.
        jobs: processes; -1 for one per core (or all of the cluster); 1 runs in this process.
        backend: one of :data:`BACKENDS`; ``ray`` and ``dask`` need their packages and a cluster that is set up
            (RAY_ADDRESS, DASK_SCHEDULER_ADDRESS); without one they begin one here. Or ``threading``, for work on
            one GPU.

    Raises:
        ValueError: an unknown backend.
        ImportError: the backend is not installed.
    """
    check_choice(backend, (*BACKENDS, 'threading'), 'backend')
    if backend in ('loky', 'threading'):
        if jobs == 1:
            yield from (function(*args, **options) for function, args, options in calls)
            return
        # Imported where it is needed: parts are also read by what runs nothing in parallel.
        import joblib

        if backend == 'loky':
            calls = [joblib.delayed(_in_worker)(*call) for call in calls]
        yield from joblib.Parallel(n_jobs=jobs, backend=backend, return_as='generator_unordered')(calls)
        return
    yield from run_on_ray(calls, jobs) if backend == 'ray' else run_on_dask(calls, jobs)


class _StopRequest(BaseException):
    """Raised in a worker that was asked to end."""


_at_work = False


def end_with_parent() -> None:
    """Let a worker process leave Ctrl-C to its parent, which ends it by SIGTERM, and end at that without a word.

    Called in the worker; a task that is at work then removes its temporary files first.
    """

    def end(number: int, _) -> None:
        if _at_work:
            raise _StopRequest
        os._exit(128 + number)

    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, end)


def _in_worker(function: Callable, args: tuple, options: dict):
    """Run a task in a worker process that ends cleanly on request."""
    global _at_work  # noqa: PLW0603  a process has one main thread, and signals reach that one
    end_with_parent()
    _at_work = True
    try:
        return function(*args, **options)
    except _StopRequest:
        os._exit(128 + signal.SIGTERM)
    finally:
        _at_work = False
