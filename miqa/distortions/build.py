"""Make the pictures of a machine-centric quality database: many sources, resumable, sharded, in parallel."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import joblib
from tqdm import tqdm

from ..taxonomy import (
    DISTORTIONS,
    EXTRA_DISTORTIONS,
    IMAGE_TASKS,
    LEVEL_PAIRS,
    TASK_FOLDERS,
    TASKS,
    check_choice,
)
from ..utils import require
from .fidelity import MEASURES
from .make_one import Order, Outcome, make_versions_of
from .records import settle_settings
from .severities import LEVEL_RANKS, candidates
from .sources import Source

#: Where the work is spread: processes on this machine, or a cluster.
BACKENDS = ('loky', 'ray', 'dask')

#: How files that are already there are checked: by presence and size, or by reading every byte.
VERIFY = ('size', 'sha256')

# Version of the layout of files and records.
_FORMAT = 1


class BuildReport(NamedTuple):
    """What a run did."""

    made: int
    kept: int
    #: (image id, reason) of sources that could not be read.
    bad: list[tuple[str, str]]
    files: int
    bytes: int
    #: Of the sources that were made.
    pixels: int


def build_versions(
    sources: Sequence[Source],
    root: str | os.PathLike,
    task: str,
    *,
    seed: int = 1234567,
    distortions: Sequence[str] = DISTORTIONS,
    pairs: Sequence[tuple[int, int]] = LEVEL_PAIRS,
    measures: Sequence[str] = MEASURES,
    shard: tuple[int, int] = (1, 1),
    jobs: int = 1,
    backend: str = 'loky',
    verify: str = 'size',
    progress: bool = True,
) -> BuildReport:
    """Write MIQD's layout below ``root``: source copies, masks, distorted versions, quality tables, records.

    The bytes of a file depend on its source, the seed and the settings only, not on shards, workers or order.
    A run that was killed is continued by the same call: finished sources are checked and kept.

    Args:
        sources: from :func:`miqa.distortions.sources.plan_sources`.
        root: the data root; pictures go to ``{root}/miqa_cls`` or ``{root}/miqa_det`` (which ``ins`` shares).
        task: 'cls', 'det' or 'ins'.
        seed: of all random numbers.
        distortions: which, by name.
        pairs: (foreground level, background level) of the versions, out of :data:`~miqa.taxonomy.LEVEL_PAIRS`.
        measures: columns of the quality tables; none for no tables. They take far longer than the pictures.
        shard: (i, n), the i-th of n parts of the sources, counted from 1.
        jobs: processes; -1 for all cores.
        backend: 'loky' for processes here, 'ray' or 'dask' for a cluster that is set up.
        verify: how finished sources are checked, out of :data:`VERIFY`.
        progress: show a bar with an estimate.

    Returns:
        What was made and kept, and which sources are bad. Bad sources do not stop the others.

    Raises:
        ValueError: a setting is unknown, or differs from those the database was begun with.
    """
    for value, allowed, what in (
        (task, TASKS, 'task'),
        (backend, BACKENDS, 'backend'),
        (verify, VERIFY, 'way to verify'),
        *((name, DISTORTIONS + EXTRA_DISTORTIONS, 'distortion') for name in distortions),
        *((tuple(pair), LEVEL_PAIRS, 'pair of levels') for pair in pairs),
        *((name, MEASURES, 'measure') for name in measures),
    ):
        check_choice(value, allowed, what)
    number, count = shard
    if not 1 <= number <= count:
        raise ValueError(f'A shard is i/n with 1 <= i <= n, not {number}/{count}.')
    owner = IMAGE_TASKS[task]
    folder = Path(root) / TASK_FOLDERS[owner]
    order = Order(
        folder=str(folder),
        task=owner,
        seed=seed,
        distortions=_unique(distortions, 'distortion'),
        pairs=_unique([tuple(pair) for pair in pairs], 'pair of levels'),
        measures=_unique(measures, 'measure'),
        verify=verify,
    )
    settle_settings(folder, _settings(order))
    mine = list(sources)[number - 1 :: count]
    made = kept = files = size = pixels = 0
    bad = []
    with tqdm(total=len(mine), unit='source', desc=f'{folder.name} {number}/{count}', disable=not progress) as bar:
        for outcome in _run(mine, order, jobs, backend):
            made += outcome.state == 'made'
            kept += outcome.state == 'kept'
            files += outcome.files
            size += outcome.bytes
            pixels += outcome.pixels
            if outcome.state == 'bad':
                bad.append((outcome.image_id, outcome.reason))
                bar.write(f'Left out {outcome.image_id}: {outcome.reason}')
            bar.update()
    return BuildReport(made, kept, sorted(bad), files, size, pixels)


def _run(sources: list[Source], order: Order, jobs: int, backend: str) -> Iterator[Outcome]:
    if backend == 'loky' and jobs == 1:
        yield from (make_versions_of(source, order) for source in sources)
        return
    tasks = (joblib.delayed(make_versions_of)(source, order) for source in sources)
    if backend == 'loky':
        yield from joblib.Parallel(n_jobs=jobs, return_as='generator_unordered')(tasks)
        return
    _register(backend)
    with joblib.parallel_config(backend=backend):
        # Not every cluster backend can hand out results one by one, so the bar moves in batches.
        tasks = list(tasks)
        step = 4 * max(1, joblib.effective_n_jobs(jobs))
        for first in range(0, len(tasks), step):
            yield from joblib.Parallel(n_jobs=jobs)(tasks[first : first + step])


def _register(backend: str) -> None:
    """Make joblib know a cluster backend; ImportError with the command that installs it."""
    if backend == 'ray':
        require('ray.util.joblib', 'The ray backend').register_ray()
    else:
        # Importing distributed registers 'dask' with joblib; a Client without an address starts workers here, and
        # DASK_SCHEDULER_ADDRESS in the environment names a running cluster.
        require('distributed', 'The dask backend').Client()


def _settings(order: Order) -> dict:
    """Everything that decides the bytes, in JSON's types."""
    return {
        'format': _FORMAT,
        'task': order.task,
        'seed': order.seed,
        'distortions': list(order.distortions),
        'pairs': [list(pair) for pair in order.pairs],
        'measures': list(order.measures),
        'level_ranks': list(LEVEL_RANKS),
        'candidates': {name: candidates(name) for name in order.distortions},
    }


def _unique(values: Iterable, what: str) -> tuple:
    values = tuple(values)
    if len(set(values)) != len(values):
        raise ValueError(f'A {what} is named twice: {values}.')
    return values
