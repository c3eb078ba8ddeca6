"""Write the pictures of a database: many sources, resumable, sharded, in parallel."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import joblib

from miqa.keeping import only_writer
from miqa.layout import image_task_folder, images_in, record_path, records_in, sources_in
from miqa.running.cores import usable_cores
from miqa.running.parallel import BACKENDS, check_shard, run_parallel, shard_of
from miqa.running.progress import Progress, open_bar
from miqa.taxonomy import (
    ALL_DISTORTIONS,
    DATABASE_TASKS,
    DEFAULT_MEASURES,
    DISTORTIONS,
    IMAGE_TASKS,
    LEVEL_PAIRS,
    MEASURES,
    check_choice,
)

from .few_versions import Versions, check_count, plan_versions
from .make_one import VersionPlan, make_versions_of
from .records import store_settings
from .severities import LEVEL_RANKS, candidates
from .sources import Source
from .ticks import followed

#: How files that are already there are checked: by presence and size, or by reading every byte.
VERIFY = ('size', 'sha256')

# Version of the layout of files and records.
_FORMAT = 1


class BuildReport(NamedTuple):
    """What a run did."""

    made: int
    kept: int
    #: (image id, reason) of sources that were unreadable.
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
    measures: Sequence[str] = DEFAULT_MEASURES,
    shard: tuple[int, int] = (1, 1),
    jobs: int = 1,
    backend: str = 'loky',
    verify: str = 'size',
    progress: Progress = True,
    versions_each: int | None = None,
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
        measures: columns of the quality tables, out of :data:`~miqa.distortions.fidelity.MEASURES`; none for no
            tables. All five take about four times as long as the pictures.
        shard: (i, n), the i-th of n parts of the sources, counted from 1.
        jobs: processes; -1 for all cores.
        backend: 'loky' for processes here, 'ray' or 'dask' for a cluster that is set up.
        verify: how finished sources are checked, out of :data:`VERIFY`.
        progress: show a bar with an estimate; where the processes are on this machine it moves with every version.
        versions_each: make only so many versions of each source, a balanced part of ``distortions`` chosen by the
            source's place among the sources (:mod:`miqa.distortions.few_versions`); None for all.

    Returns:
        What was made and kept, and which sources are bad. Bad sources do not stop the others.

    Raises:
        ValueError: a setting is unknown, or differs from those the database was started with.
        InUse: another process makes the same shard.
    """
    for value, allowed, kind in (
        (task, DATABASE_TASKS, 'task'),
        (backend, BACKENDS, 'backend'),
        (verify, VERIFY, 'way to verify'),
        *((name, ALL_DISTORTIONS, 'distortion') for name in distortions),
        *((tuple(pair), LEVEL_PAIRS, 'pair of levels') for pair in pairs),
        *((name, MEASURES, 'measure') for name in measures),
    ):
        check_choice(value, allowed, kind)
    number, count = check_shard(shard)
    owner = IMAGE_TASKS[task]
    folder = image_task_folder(root, task)
    names = _unique(distortions, 'distortion')
    level_pairs = _unique([tuple(pair) for pair in pairs], 'pair of levels')
    every = tuple((name, level_pairs) for name in names)
    plan = VersionPlan(str(folder), owner, seed, every, _unique(measures, 'measure'), verify)
    settings = _settings(plan, names, level_pairs)
    chosen: dict[str, tuple[Versions, ...]] = {}
    if versions_each is not None:
        check_count(versions_each, names, level_pairs)
        settings['versions_each'] = versions_each
        chosen = {
            source.image_id: plan_versions(place, versions_each, names, level_pairs)
            for place, source in enumerate(sources)
        }
    store_settings(folder, settings)
    part = f'shard-{number}-of-{count}'
    mine = shard_of(sources, shard)

    def written_to() -> list[Path]:
        unfinished = (source.image_id for source in mine if not record_path(folder, source.image_id).is_file())
        return [folder / 'masks', folder / 'quality', sources_in(folder), *map(images_in(folder).joinpath, unfinished)]

    with only_writer(records_in(folder), 'make other shards (--shard i/n)', part, below=written_to):
        plans = [(source, plan._replace(versions=chosen.get(source.image_id, every))) for source in mine]
        return _build(plans, folder, shard, jobs, backend, progress)


def _build(mine: list[tuple[Source, VersionPlan]], folder: Path, shard, jobs, backend, progress) -> BuildReport:
    number, count = shard
    made_count = kept_count = files = size = pixels = 0
    bad = []
    versions = {source.image_id: sum(len(pairs) for _, pairs in plan.versions) for source, plan in mine}
    local = backend == 'loky'
    with contextlib.ExitStack() as stack:
        bar = stack.enter_context(
            open_bar(progress, sum(versions.values()), unit='version', desc=f'{folder.name} {number}/{count}')
        )
        local_options: dict[str, Any] = (
            {'ticks': stack.enter_context(followed(bar)), 'threads': _threads(jobs)} if local else {}
        )
        calls = [joblib.delayed(make_versions_of)(source, plan._replace(**local_options)) for source, plan in mine]
        for outcome in run_parallel(calls, jobs, backend):
            made_count += outcome.state == 'made'
            kept_count += outcome.state == 'kept'
            files += outcome.files
            size += outcome.bytes
            pixels += outcome.pixels
            if outcome.state == 'bad':
                bad.append((outcome.image_id, outcome.reason))
            if not (local and outcome.state == 'made'):  # else its versions were counted one by one
                bar.update(versions[outcome.image_id])
    return BuildReport(made_count, kept_count, sorted(bad), files, size, pixels)


def _threads(jobs: int) -> int:
    """Return the threads of each of ``jobs`` processes on this machine: its share of the cores."""
    cores = usable_cores()
    return max(1, cores // (jobs if jobs > 0 else cores))


def _settings(plan: VersionPlan, names: Sequence[str], pairs: Sequence[tuple[int, int]]) -> dict:
    """Everything that decides the bytes, in JSON's types."""
    return {
        'format': _FORMAT,
        'task': plan.task,
        'seed': plan.seed,
        'distortions': list(names),
        'pairs': [list(pair) for pair in pairs],
        'measures': list(plan.measures),
        'level_ranks': list(LEVEL_RANKS),
        'candidates': {name: candidates(name) for name in names},
    }


def _unique(values: Iterable, kind: str) -> tuple:
    values = tuple(values)
    if len(set(values)) != len(values):
        raise ValueError(f'A {kind} is named twice: {values}.')
    return values
