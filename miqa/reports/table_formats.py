"""A table of scores with intervals and published numbers, as Markdown, LaTeX and HTML."""

from __future__ import annotations

from dataclasses import dataclass, field

from markupsafe import Markup

from .escaped_html import render

SAME = '≈'  # What stands before a score that the bootstrap cannot tell from the best one


@dataclass(frozen=True)
class Cell:
    """One score."""

    value: float | None = None  # measured, or None
    low: float | None = None  # lower end of its interval, or None
    high: float | None = None  # upper end
    published: float | None = None  # the paper's number, or None
    difference: float | None = None  # measured minus published, or None where they describe different test sets
    rank: int = 0  # 1 for the best of the column, 2 for the second best, else 0
    same_as_best: bool = False  # not the best, but no difference from it shows
    failure: str = ''  # why there is no score; empty where the method does not apply


@dataclass
class Row:
    """A method: its name, its cells and a note beside the name."""

    name: str
    cells: list[Cell]
    note: str = ''

    @property
    def failure(self) -> str:
        """The reason, if all cells failed for the same one, and the paper has no numbers to show instead."""
        reasons = {cell.failure for cell in self.cells}
        papers = any(cell.published is not None for cell in self.cells)
        return reasons.pop() if len(reasons) == 1 and not papers else ''


@dataclass
class ScoreTable:
    """A table."""

    title: str  # heading
    columns: list[str]  # names of the columns after the method's name
    rows: list[Row]  # the methods
    caption: list[str]  # sentences below the table
    #: (name, number of columns) above the columns; empty for none.
    groups: list[tuple[str, int]] = field(default_factory=list)


def to_markdown(table: ScoreTable) -> str:
    """Write a table in GitHub's Markdown. Reasons of failures go below it, as numbered notes."""
    titles = table.columns
    if table.groups:
        spread = [name for name, count in table.groups for _ in range(count)]
        titles = [f'{group}<br>{column}' for group, column in zip(spread, table.columns, strict=True)]
    reasons = list(dict.fromkeys(cell.failure for row in table.rows for cell in row.cells if cell.failure))
    lines = [f'### {table.title}', '', f'| | {" | ".join(titles)} |', '|---' + '|---:' * len(titles) + '|']
    for row in table.rows:
        name = _markdown_text(row.name) + (f'<br><sub>{_markdown_text(row.note)}</sub>' if row.note else '')
        lines.append(f'| {name} | {" | ".join(_markdown_cell(cell, reasons) for cell in row.cells)} |')
    lines.append('')
    if reasons:
        lines += [f'{number}. {_markdown_text(reason)}' for number, reason in enumerate(reasons, 1)] + ['']
    return '\n'.join([*lines, _markdown_text(' '.join(table.caption)), ''])


def _markdown_cell(cell: Cell, reasons: list[str]) -> str:
    parts = []
    if cell.value is not None:
        text = f'{cell.value:.4f}'
        text = {1: f'**{text}**', 2: f'<u>{text}</u>'}.get(cell.rank, text)
        parts.append(f'{SAME} {text}' if cell.same_as_best else text)
        if cell.low is not None:
            parts.append(f'<sub>{_interval(cell)}</sub>')
    else:
        parts.append(f'failed ({reasons.index(cell.failure) + 1})' if cell.failure else '–')
    if (published := _published(cell)) is not None:
        parts.append(f'<sub>{published}</sub>')
    return '<br>'.join(parts)


def _markdown_text(text: str) -> str:
    return text.replace('|', '\\|').replace('<', '&lt;').replace('_', '\\_').replace('\n', ' ')


def _interval(cell: Cell) -> str:
    return f'[{cell.low:.3f}, {cell.high:.3f}]'


def _published(cell: Cell) -> str | None:
    if cell.published is None:
        return None
    text = f'paper {cell.published:.4f}'
    return text if cell.difference is None else f'{text} ({cell.difference:+.4f})'


def to_html(table: ScoreTable) -> Markup:
    """Write a table as an HTML fragment (``<figure class="scores">``) without styles."""
    reasons = dict.fromkeys(cell.failure for row in table.rows if not row.failure for cell in row.cells if cell.failure)
    return render(
        'miqa.reports',
        'score_table.html',
        table=table,
        same=SAME,
        interval=_interval,
        published=_published,
        reasons=list(reasons),
    )


def to_latex(table: ScoreTable, label: str) -> str:
    r"""Write a table for LaTeX with booktabs; intervals and published numbers stand in a second line of each row.

    Args:
        table: the table.
        label: for ``\ref``, such as ``tab:composite``.
    """
    out = [
        r'\begin{table*}',
        r'\centering',
        r'\small',
        rf'\caption{{{_latex(table.title)}. {_latex(" ".join(table.caption))}}}',
    ]
    out += [rf'\label{{{label}}}', rf'\begin{{tabular}}{{l{"r" * len(table.columns)}}}', r'\toprule']
    if table.groups:
        out.append(
            ' & '
            + ' & '.join(rf'\multicolumn{{{count}}}{{c}}{{{_latex(name)}}}' for name, count in table.groups)
            + r' \\'
        )
        start = 2
        for _, count in table.groups:
            out.append(rf'\cmidrule(lr){{{start}-{start + count - 1}}}')
            start += count
    out += [' & ' + ' & '.join(_latex(column) for column in table.columns) + r' \\', r'\midrule']
    for row in table.rows:
        if row.failure:
            reason = _latex(row.failure)
            out.append(
                rf'{_latex(row.name)} & \multicolumn{{{len(row.cells)}}}{{p{{0.7\textwidth}}}}{{failed: {reason}}} \\'
            )
        else:
            out.append(_latex(row.name) + ' & ' + ' & '.join(_latex_cell(cell) for cell in row.cells) + r' \\')
            if any(cell.low is not None for cell in row.cells):
                intervals = [
                    rf'{{\scriptsize {_interval(cell)}}}' if cell.low is not None else '' for cell in row.cells
                ]
                out.append(f' & {" & ".join(intervals)}' + r' \\')
        if any(cell.published is not None for cell in row.cells):
            papers = [
                rf'{{\scriptsize {_latex(published)}}}' if (published := _published(cell)) is not None else ''
                for cell in row.cells
            ]
            out.append(f' & {" & ".join(papers)}' + r' \\')
    return '\n'.join([*out, r'\bottomrule', r'\end{tabular}', r'\end{table*}', ''])


def _latex_cell(cell: Cell) -> str:
    if cell.value is None:
        return 'failed' if cell.failure else '--'
    text = f'{cell.value:.4f}'
    text = {1: rf'\textbf{{{text}}}', 2: rf'\underline{{{text}}}'}.get(cell.rank, text)
    return rf'$\approx${text}' if cell.same_as_best else text


def _latex(text: str) -> str:
    for sign in '&%$#_{}':
        text = text.replace(sign, rf'\{sign}')
    text = (
        text.replace('~', r'\textasciitilde{}')
        .replace('^', r'\textasciicircum{}')
        .replace('<', '$<$')
        .replace('>', '$>$')
    )
    return (
        text.replace('≈', r'$\approx$')
        .replace('σ', r'$\sigma$')
        .replace('²', r'$^2$')
        .replace('·', r'$\cdot$')
        .replace('–', '--')
    )
