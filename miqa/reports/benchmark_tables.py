"""The paper's Tables 1 and 2 from the numbers of a benchmark, and the files that hold them."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from miqa.benchmark.run import ALL_MACHINES, Benchmark, better
from miqa.evaluation import SCORES
from miqa.evaluation.published import SOURCE
from miqa.keeping import atomic_write, write_json

from .table_formats import SAME, Cell, Row, ScoreTable, to_html, to_latex, to_markdown

TASK_NAMES = {
    'cls': 'classification',
    'det': 'object detection',
    'ins': 'instance segmentation',
    'seg': 'semantic segmentation',
}

TABLE_2_SCORES = ('SRCC', 'PLCC', 'RMSE')  # Table 2 of the paper has no KRCC; the CSV file has it


def score_tables(benchmark: Benchmark) -> list[ScoreTable]:
    """Lay the results out as tables.

    Table 1 holds the composite label of all tasks, as the paper's does, and Table 2 the other labels, one table a task.
    Where a method has run machines that made the labels, further tables hold all methods on labels
    without them.
    """
    tables = []
    for number, labels_from in enumerate(dict.fromkeys(benchmark.cells.labels_from)):
        part = benchmark.cells[benchmark.cells.labels_from == labels_from]
        letter = '' if labels_from == ALL_MACHINES else f' ({chr(96 + number)})'
        suffix = '' if labels_from == ALL_MACHINES else f', labels from {labels_from}'
        tasks = list(dict.fromkeys(part.task))
        if 'composite' in set(part.label):
            blocks = [(task, 'composite') for task in tasks]
            title = f'Table 1{letter}. Composite labels{suffix}'
            tables.append(_table(benchmark, title, labels_from, blocks, SCORES, [TASK_NAMES[task] for task in tasks]))
        for task in tasks:
            other_labels = [label for label in ('consistency', 'accuracy') if label in set(part.label)]
            if other_labels:
                title = f'Table 2{letter}, {TASK_NAMES[task]}. Consistency and accuracy labels{suffix}'
                blocks = [(task, label) for label in other_labels]
                tables.append(_table(benchmark, title, labels_from, blocks, TABLE_2_SCORES, other_labels))
    return tables


def _table(benchmark: Benchmark, title, labels_from, blocks, scores, names) -> ScoreTable:
    cells = benchmark.cells[benchmark.cells.labels_from == labels_from]
    by_block = {block: cells[(cells.task == block[0]) & (cells.label == block[1])] for block in blocks}
    ranks = {
        (block, name): better(name, rows.set_index('method')[name]).rank(ascending=False, method='min')
        for block, rows in by_block.items()
        for name in scores
    }
    methods = list(dict.fromkeys(method for rows in by_block.values() for method in rows.method))
    rows = []
    for method in methods:
        line = []
        note = ''
        for block, members in by_block.items():
            chosen_members = members[members.method == method]
            if chosen_members.empty:
                line += [Cell()] * len(scores)
                continue
            entry = chosen_members.iloc[0]
            note = note or _note(entry)
            line += [_cell(entry, name, ranks[block, name][method]) for name in scores]
        rows.append(Row(method, line, note))
    groups = [(name, len(scores)) for name in names]
    return ScoreTable(title, list(scores) * len(blocks), rows, _caption(benchmark, labels_from, blocks), groups)


def _note(entry: pd.Series) -> str:
    notes = []
    if entry.machines_run:
        settings = {
            'yes': 'runs a machine that made the labels',
            'no': 'runs a machine that did not make these labels',
            'unknown': 'runs a machine; which made the labels is not said',
        }
        notes.append(settings[entry.made_labels])
    # Results of earlier versions do not say.
    if entry.get('chosen_on_test', False):
        notes.append("weights chosen on the test split (the paper's recipe)")
    return '; '.join(notes)


def _cell(entry: pd.Series, name: str, rank: float) -> Cell:
    def known(value):
        return None if pd.isna(value) else float(value)

    return Cell(
        value=known(entry[name]),
        low=known(entry[f'{name}_low']),
        high=known(entry[f'{name}_high']),
        published=known(entry[f'{name}_published']) if entry.labels_from == ALL_MACHINES else None,
        difference=known(entry[f'{name}_difference']),
        rank=int(rank) if rank in (1, 2) else 0,
        same_as_best=bool(entry[f'{name}_same_as_best']),
        failure=entry.failure,
    )


def _caption(benchmark: Benchmark, labels_from: str, blocks) -> list[str]:
    settings = benchmark.settings
    sets = benchmark.test_sets[benchmark.test_sets.labels_from == labels_from]
    sets = [sets[(sets.task == task) & (sets.label == label)].iloc[0] for task, label in blocks]
    mapping = f'a least-squares map ({settings["mapping"]})' if settings['mapping'] else 'no map'
    lines = ['Test sets:']
    for item in sets:
        note = f', {item.skipped} images skipped, which some method or label lacks' if item.skipped else ''
        lines.append(
            f'{item.task} {item.label}, {item.images} images of {item.sources} sources{note}, label deviation '
            f'σ = {item.label_deviation:.4f} (paper: {item.paper_deviation:.4f});'
        )
    lines[-1] = lines[-1][:-1] + '.'
    if labels_from == ALL_MACHINES and len({item.label_machines for item in sets}) == 1:
        lines.append(f'Machines behind the labels: {sets[0].label_machines}.')
    if all(item.official for item in sets):
        lines.append(f'"paper": number printed in {SOURCE}, and ours minus it.')
    elif labels_from == ALL_MACHINES:
        lines.append(
            f'"paper": number printed in {SOURCE} for MIQD-2.5M; where the test set is another one (its size or σ '
            f'differs), no difference is given, as the numbers cannot be compared.'
        )
    lines += [
        f'RMSE after {mapping} of predictions onto labels.',
        f'In brackets: {settings["confidence"]:.0%} percentile intervals of {settings["resamples"]} bootstrap '
        f'resamples of whole source images.',
        f'Bold: best; underlined: second; {SAME}: the paired bootstrap shows no difference from the best.',
        'Distances (LPIPS, DISTS) are taken with a minus sign, so that higher is better throughout.',
    ]
    return lines


def difference_table(benchmark: Benchmark) -> str:
    """Write, in Markdown, each pair of neighbours by SRCC and whether the paired bootstrap shows a difference."""
    lines = ['| task | label | labels from | method | next best | SRCC difference | 95 % interval | is it one? |']
    lines.append('|---|---|---|---|---|---:|---:|---|')
    pairs = benchmark.differences
    if pairs.empty:
        return 'There are no two methods with scores.\n'
    # Pairs are listed from the best method down; the first pair of each method is the one with its neighbour.
    for row in pairs.drop_duplicates(['task', 'label', 'labels_from', 'first']).itertuples():
        verdict = f'{"yes" if row.is_difference else "**no**"} (p = {row.p_value:.3f})'
        interval = f'[{row.low:.4f}, {row.high:.4f}]'
        names = [row.task, row.label, row.labels_from, row.first, row.second]
        cells = [*(name.replace('_', '\\_') for name in names), f'{row.SRCC_difference:.4f}', interval, verdict]
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines) + '\n'


def write_benchmark(benchmark: Benchmark, folder: str | os.PathLike, command: str) -> list[Path]:
    """Write a benchmark's files and return their paths.

    ``tables.md``, ``tables.tex`` and ``tables.html`` hold the tables; ``scores.csv`` all numbers, ``test_sets.csv``
    and ``differences.csv`` what they were measured on and the paired comparisons; ``settings.json`` the
    protocol, and ``predictions_{task}_{label}.parquet`` every method's prediction for every image.
    """
    folder = Path(folder)
    tables = score_tables(benchmark)
    markdown = [f'Made by:\n\n```bash\n{command}\n```\n', *map(to_markdown, tables)]
    markdown.append(f'### Differences between neighbours\n\n{difference_table(benchmark)}')
    texts = {
        'tables.md': '\n'.join(markdown),
        'tables.tex': '\n'.join(to_latex(table, f'tab:miqa{number}') for number, table in enumerate(tables, 1)),
        'tables.html': '\n'.join(map(to_html, tables)),
        'scores.csv': benchmark.cells.to_csv(index=False, lineterminator='\n'),
        'test_sets.csv': benchmark.test_sets.to_csv(index=False, lineterminator='\n'),
        'differences.csv': benchmark.differences.to_csv(index=False, lineterminator='\n'),
    }
    for name, text in texts.items():
        with atomic_write(folder / name) as temporary:
            temporary.write_text(text, encoding='utf-8')
    write_json(folder / 'settings.json', {**benchmark.settings, 'command': command})
    paths = [folder / name for name in (*texts, 'settings.json')]
    for (task, label, labels_from), scores in benchmark.scores.items():
        if labels_from == ALL_MACHINES:
            paths.append(folder / f'predictions_{task}_{label}.parquet')
            with atomic_write(paths[-1]) as temporary:
                scores.to_parquet(temporary, index=False)
    return paths


def write_gains(table: pd.DataFrame, method: str, folder: Path) -> Path:
    """Write the table of :func:`miqa.benchmark.gains.gains_of` as ``gains.csv`` and ``gains.md``; return the latter."""
    with atomic_write(folder / 'gains.csv') as temporary:
        table.to_csv(temporary, index=False, float_format='%.6f')
    lines = [
        f'### What {method} gains over the best confidence, by kind of damage',
        '',
        '| label | labels from | damage | images | SRCC | best confidence | its SRCC | gain | 95 % interval |',
        '|---|---|---|---:|---:|---|---:|---:|---|',
    ]
    for row in table.itertuples(index=False):
        gain = f'**{row.gain:+.3f}**' if row.is_difference else f'{row.gain:+.3f}'
        lines.append(
            f'| {row.label} | {row.labels_from} | {row.part} | {row.images} | {row.SRCC:.3f} | {row.best_other} | '
            f'{row.SRCC_other:.3f} | {gain} | [{row.low:+.3f}, {row.high:+.3f}] |'
        )
    note = (
        'Bold: the paired bootstrap by source shows a difference. The best confidence is chosen in each row by itself.'
    )
    with atomic_write(folder / 'gains.md') as temporary:
        temporary.write_text('\n'.join([*lines, '', note, '']), encoding='utf-8')
    return folder / 'gains.md'
