"""Helpers shared by the demo databases: few versions of each source."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from miqa.distortions.few_versions import PAIRS_OF_EACH, plan_versions
from miqa.distortions.make_one import VersionPlan, make_versions_of
from miqa.distortions.severities import LEVEL_RANKS, candidates
from miqa.distortions.sources import plan_sources
from miqa.keeping import atomic_write
from miqa.layout import image_task_folder
from miqa.taxonomy import DISTORTIONS


def build_settings(purpose: str, sources: Sequence[str], distortions: int, seed: int, **settings) -> dict:
    """Return what a demo database is made by, for :func:`miqa.distortions.records.store_settings`."""
    return {
        'purpose': purpose,
        'seed': seed,
        **settings,
        'distortions_per_source': distortions,
        'sources': list(sources),
        'level_ranks': list(LEVEL_RANKS),
        'candidates': {name: candidates(name) for name in DISTORTIONS},
    }


def make_versions(
    original: Path, number: int, root: Path, task: str, distortions: int, seed: int, truth: Path | None = None
) -> int:
    """Make the planned versions of one source, without measures of fidelity; what is done is kept.

    Returns:
        How many versions it has.

    Raises:
        OSError: the picture cannot be used.
    """
    (source,) = plan_sources([original], task, truth)
    count = PAIRS_OF_EACH * min(distortions, len(DISTORTIONS))
    versions = plan_versions(number, count)
    folder = str(image_task_folder(root, task))
    outcome = make_versions_of(source, VersionPlan(folder, task, seed, versions, measures=(), verify='size'))
    if outcome.state == 'bad':
        raise OSError(f'{original} cannot be used: {outcome.reason} Delete it and run this again.')
    return count


def write_rows(path: Path, header: Sequence[str], rows: Sequence[Sequence]) -> None:
    """Write a CSV file of ``rows`` under ``header``, whole or not at all."""
    with atomic_write(path) as temporary, open(temporary, 'w', newline='', encoding='utf-8') as stream:
        writer = csv.writer(stream, lineterminator='\n')
        writer.writerow(header)
        writer.writerows(rows)
