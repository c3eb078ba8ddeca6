"""A self-contained HTML page: styles, pictures and tables.

Every function returns :class:`markupsafe.Markup`: generated HTML with escaped values. Plain text that is put
beside it, by ``+`` or into a section, is escaped in turn.
"""

from __future__ import annotations

import base64
import io
import re

import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from .escaped_html import render
from .report_style import SCRIPT, STYLE

_PACKAGE = 'miqa.reports'


class Page:
    """A report in the making."""

    def __init__(self, title: str, lead: str):
        self.title, self.lead = title, lead
        self._sections: list[tuple[str, str, tuple[str, ...]]] = []

    def add_section(self, heading: str, *fragments: str) -> None:
        """Add a section of fragments: HTML as :class:`markupsafe.Markup`, or text; ``heading`` is text."""
        slug = re.sub(r'[^a-z0-9]+', '-', heading.lower()).strip('-') or 'section'
        taken = {name for name, _, _ in self._sections}
        number, unique = 1, slug
        while unique in taken:
            number += 1
            unique = f'{slug}-{number}'
        self._sections.append((unique, heading, fragments))

    def html(self) -> str:
        """Return the whole page."""
        return render(
            _PACKAGE,
            'page.html',
            title=self.title,
            lead=self.lead,
            sections=self._sections,
            # Ours, and constant.
            style=Markup(STYLE),  # noqa: S704
            script=Markup(SCRIPT),  # noqa: S704
        )


def pictures(*figures: tuple[Figure, str]) -> Markup:
    """Return figures side by side, as inline PNG images; the text is caption and alternative text."""
    fragments = []
    for figure, text in figures:
        buffer = io.BytesIO()
        figure.savefig(buffer, format='png', dpi=110, facecolor='white')
        data = base64.b64encode(buffer.getvalue()).decode('ascii')
        # The page shows pictures at their size in points of 110 dpi, down to what the window has room for.
        fragments.append({'data': data, 'width': round(figure.get_figwidth() * 100), 'text': text})
    return render(_PACKAGE, 'pictures.html', pictures=fragments)


def data_table(table: pd.DataFrame, digits: int = 4, caption: str = '') -> Markup:
    """Return a table of values; the index stands first, numbers are rounded, NaN is a dash."""
    rows = []
    for name, row in zip(table.index, table.itertuples(index=False), strict=True):
        label = ', '.join(map(str, name)) if isinstance(name, tuple) else str(name)
        rows.append((label, [_cell(value, digits) for value in row]))
    corner = str(table.index.name or '')
    return render(
        _PACKAGE, 'data_table.html', corner=corner, columns=list(map(str, table.columns)), rows=rows, caption=caption
    )


def _cell(value, digits: int) -> str:
    if isinstance(value, float):
        return '–' if value != value else f'{value:.{digits}f}'
    return str(value)


def tiles(values: dict[str, str]) -> Markup:
    """Return a row of large numbers with what they are."""
    return render(_PACKAGE, 'tiles.html', values=values)


def folded(summary: str, text: str) -> Markup:
    """Return text in a box that opens at a click."""
    return Markup('<details><summary>{}</summary><pre>{}</pre></details>').format(summary, text)


def paragraph(text: str) -> Markup:
    """Return plain text as a paragraph."""
    return Markup('<p>{}</p>').format(text)


def failure(text: str) -> Markup:
    """Return plain text that says what went wrong as a paragraph."""
    return Markup('<p class="failure">{}</p>').format(text)


def heading(text: str) -> Markup:
    """Return a heading within a section."""
    return Markup('<h3>{}</h3>').format(text)


def preformatted(text: str) -> Markup:
    """Return text whose lines and spaces stay as they are."""
    return Markup('<pre>{}</pre>').format(text)
