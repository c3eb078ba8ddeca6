"""A self-contained page about runs and benchmarks."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from miqa.keeping import atomic_write

from .benchmark_sections import benchmark_sections
from .report_page import Page
from .run_folder import RunFolder, find_folders
from .run_sections import matrix_fragments, run_sections


def write_report(
    folders: Sequence[str | os.PathLike],
    out: str | os.PathLike,
    *,
    data_root: str | None = None,
    title: str = 'Image quality for machines',
    mapping: str | None = 'linear',
    report: Callable[[str], None] = lambda text: None,
) -> Path:
    """Write the report of runs and benchmarks and return its path.

    Args:
        folders: what miqa train, miqa test and tools/analysis/benchmark.py wrote, or folders of such folders.
        out: the HTML file.
        data_root: the database, for pictures, categories and filter curves; None: what runs and benchmarks name.
        title: heading of the page.
        mapping: before RMSE and for residuals.
        report: called with each progress message.

    Raises:
        FileNotFoundError: a folder is not there, or holds neither a run nor a benchmark.
    """
    runs, benchmarks = find_folders([Path(folder) for folder in folders])
    names = ', '.join(folder.name for folder in (*benchmarks, *runs))
    counts = [
        f'{len(items)} {word}{"s" * (len(items) != 1)}' for items, word in ((runs, 'run'), (benchmarks, 'benchmark'))
    ]
    page = Page(title, f'{" and ".join(counts)}: {names}.')
    for folder in benchmarks:
        report(f'benchmark {folder}')
        for heading, fragments in benchmark_sections(folder, data_root):
            page.add_section(heading, *fragments)
    matrices = matrix_fragments([RunFolder(folder) for folder in runs])
    if matrices:
        page.add_section('Across tasks and labels', *matrices)
    for folder in runs:
        report(f'run {folder}')
        for heading, fragments in run_sections(RunFolder(folder), data_root, mapping):
            page.add_section(heading, *fragments)
    out = Path(out)
    with atomic_write(out) as temporary:
        temporary.write_text(page.html(), encoding='utf-8')
    return out
