"""One HTML page that holds all it shows: styles, pictures and tables, with nothing to fetch."""

from __future__ import annotations

import base64
import io
import re
from html import escape

import pandas as pd
from matplotlib.figure import Figure

from .report_style import SCRIPT, STYLE


class Page:
    """A report in the making.

    Args:
        title: heading.
        lead: one or two sentences below it.
    """

    def __init__(self, title: str, lead: str):
        self.title, self.lead = title, lead
        self._sections: list[tuple[str, str, str]] = []

    def add_section(self, heading: str, *fragments: str) -> None:
        """Add a section of HTML fragments; ``heading`` is plain text."""
        slug = re.sub(r'[^a-z0-9]+', '-', heading.lower()).strip('-') or 'section'
        taken = {name for name, _, _ in self._sections}
        number, unique = 1, slug
        while unique in taken:
            number += 1
            unique = f'{slug}-{number}'
        self._sections.append((unique, heading, '\n'.join(fragments)))

    def html(self) -> str:
        """Return the whole page."""
        links = ''.join(f'<a href="#{slug}">{escape(heading)}</a>' for slug, heading, _ in self._sections)
        body = '\n'.join(
            f'<section id="{slug}"><h2>{escape(heading)}</h2>\n{content}</section>'
            for slug, heading, content in self._sections
        )
        return (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            # An empty icon: a browser would ask the disk for favicon.ico and log an error.
            f'<link rel="icon" href="data:,"><title>{escape(self.title)}</title><style>{STYLE}</style></head>\n'
            f'<body><div class="layout"><nav aria-label="Contents">{links}</nav><main><header><div>'
            f'<h1>{escape(self.title)}</h1><p class="soft">{escape(self.lead)}</p></div>'
            f'<button id="theme" type="button">Light / dark</button></header>\n{body}\n</main></div>'
            f'<script>{SCRIPT}</script></body></html>\n'
        )


def pictures(*figures: tuple[Figure, str]) -> str:
    """Return figures side by side, as inline PNG images; the text is caption and alternative text."""
    out = []
    for figure, text in figures:
        buffer = io.BytesIO()
        figure.savefig(buffer, format='png', dpi=110, facecolor='white')
        data = base64.b64encode(buffer.getvalue()).decode('ascii')
        # The page shows pictures at their size in points of 110 dpi, down to what the window has room for.
        width = round(figure.get_figwidth() * 100)
        out.append(
            f'<figure><img src="data:image/png;base64,{data}" width="{width}" alt="{escape(text)}">'
            f'<figcaption>{escape(text)}</figcaption></figure>'
        )
    return f'<div class="pictures">{"".join(out)}</div>'


def data_table(table: pd.DataFrame, digits: int = 4, caption: str = '') -> str:
    """Return a table of values; the index stands first, numbers are rounded, NaN is a dash."""
    head = ''.join(f'<th>{escape(str(column))}</th>' for column in table.columns)
    rows = []
    for name, row in zip(table.index, table.itertuples(index=False), strict=True):
        label = ', '.join(map(str, name)) if isinstance(name, tuple) else str(name)
        cells = ''.join(f'<td>{_cell(value, digits)}</td>' for value in row)
        rows.append(f'<tr><th scope="row">{escape(label)}</th>{cells}</tr>')
    name = escape(str(table.index.name or ''))
    text = f'<figcaption>{escape(caption)}</figcaption>' if caption else ''
    return (
        f'<figure><div class="wide"><table><thead><tr><th>{name}</th>{head}</tr></thead>'
        f'<tbody>{"".join(rows)}</tbody></table></div>{text}</figure>'
    )


def _cell(value, digits: int) -> str:
    if isinstance(value, float):
        return '–' if value != value else f'{value:.{digits}f}'
    return escape(str(value))


def tiles(values: dict[str, str]) -> str:
    """Return a row of large numbers with what they are."""
    return '<div class="tiles">' + ''.join(
        f'<div class="tile"><b>{escape(value)}</b><span class="soft">{escape(name)}</span></div>'
        for name, value in values.items()
    ) + '</div>'  # fmt: skip


def folded(summary: str, text: str) -> str:
    """Return text in a box that opens at a click."""
    return f'<details><summary>{escape(summary)}</summary><pre>{escape(text)}</pre></details>'


def paragraph(text: str) -> str:
    """Return plain text as a paragraph."""
    return f'<p>{escape(text)}</p>'
