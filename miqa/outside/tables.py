"""CSV files of other programs: parsed if unambiguous, else an error."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from miqa.errors import MIQAError

from .regular_files import TEXT_BYTES, NotText, decoded_text, read_regular

#: What may stand between the fields; the first that gives the wanted columns is taken.
_DELIMITERS = (',', ';', '\t', '|')
_LONGEST_FIELD = 100_000  # Characters of one field


class TableError(MIQAError, ValueError):
    """A table cannot be understood. The message names the file and the row or column."""


class Table(NamedTuple):
    """A table's wanted columns."""

    rows: list[dict[str, str]]  # one dict a row, column -> text without spaces around it. Empty rows are not among them
    columns: list[str]  # all columns of the file, as they are written there
    decimal_comma: bool  # numbers may be written with a comma, as another sign stands between the fields
    lines: list[int]  # where in the file each row ends, counted from 1


def read_table(
    path: str | os.PathLike,
    columns: Sequence[str],
    kind: str = 'table',
    optional: Sequence[str] = (),
    also: Mapping[str, Sequence[str]] | None = None,
) -> Table:
    """Read the wanted columns of a CSV file; see :func:`parse_table`.

    Raises:
        FileNotFoundError: there is no such file.
        TableError: it cannot be understood.
    """
    return parse_table(read_regular(path, TEXT_BYTES, kind=kind), columns, f'The {kind} {path}', optional, also)


def parse_table(
    data: bytes,
    columns: Sequence[str],
    name: str,
    optional: Sequence[str] = (),
    also: Mapping[str, Sequence[str]] | None = None,
) -> Table:
    r"""Read the wanted columns of a CSV file's bytes.

    Understood: UTF-8 and UTF-16, with a byte order mark or (UTF-8) without; lines that end in ``\n``, ``\r\n`` or
    ``\r``; fields divided by ``,``, ``;``, tabulators or ``|``; Excel's line ``sep=;``; column names in any case, with
    spaces around them; empty rows.

    Args:
        data: of the file.
        columns: that must be there, as they are to be called.
        name: of the file, to begin an error with.
        optional: columns that are taken where they are there.
        also: column -> what else it may be called in the file.

    Raises:
        TableError: it is not text, lacks a column or has it twice, or a row has another number of fields.
    """
    text = _decoded(data, name)
    stated = re.match(r'(?i)sep=.(\r\n|\n|\r)', text)
    text = text[stated.end() if stated else 0 :]
    readers = {mark: csv.reader(io.StringIO(text, newline=''), delimiter=mark) for mark in _DELIMITERS}
    headers = {mark: next(_checked(reader, name), []) for mark, reader in readers.items()}
    accepted_names = {column: (column, *(also or {}).get(column, ())) for column in (*columns, *optional)}
    delimiter = max(
        _DELIMITERS, key=lambda mark: sum(bool(_places(headers[mark], names)) for names in accepted_names.values())
    )
    header = headers[delimiter]
    at = {column: _places(header, names) for column, names in accepted_names.items()}
    for column, places in at.items():
        if len(places) > 1 or (column in columns and not places):
            problem = 'no' if not places else 'more than one'
            listed = ', '.join(field.strip() for field in header[:20]) or 'none'
            alternatives = f' (or {", ".join(accepted_names[column][1:])})' if accepted_names[column][1:] else ''
            raise TableError(f'{name} has {problem} column {column!r}{alternatives}. Its columns: {listed}.')
    rows: list[dict[str, str]] = []
    lines = []
    reader = csv.reader(io.StringIO(text, newline=''), delimiter=delimiter)
    for place, fields in enumerate(_checked(reader, name)):
        if place == 0:
            continue
        if not any(field.strip() for field in fields):
            continue
        while len(fields) > len(header) and not fields[-1].strip():
            fields.pop()
        if len(fields) != len(header):
            raise TableError(
                f'{name}: row {len(rows) + 1} has {len(fields)} fields; its header has {len(header)}. Put fields that '
                f'contain {delimiter!r} into quotes.'
            )
        rows.append({column: fields[places[0]].strip() for column, places in at.items() if places})
        lines.append(reader.line_num + bool(stated))
    return Table(rows, [field.strip() for field in header], delimiter != ',', lines)


def _decoded(data: bytes, name: str) -> str:
    try:
        return decoded_text(data, name)
    except NotText as error:
        raise TableError(str(error)) from None


def _checked(reader, name: str) -> Iterator[list[str]]:
    try:
        for fields in reader:
            if any(len(field) > _LONGEST_FIELD for field in fields):
                raise TableError(
                    f'{name}, line {reader.line_num}: a field has more than {_LONGEST_FIELD:,} characters.'
                )
            yield fields
    except csv.Error as error:
        raise TableError(f'{name}, line {reader.line_num}: {error}.') from None


def _places(header: list[str], names: Sequence[str]) -> list[int]:
    bare_names = {_bare(name) for name in names}
    return [i for i, field in enumerate(header) if _bare(field) in bare_names]


def _bare(field: str) -> str:
    return ' '.join(field.split()).casefold()


def number_of(text: str, decimal_comma: bool = False) -> float:
    """Return the number that a field holds; NaN where it is empty or one of the words for a missing value.

    Raises:
        ValueError: it is not a number.
    """
    if text.strip().lower() in ('', 'na', 'nan', 'null', 'none', 'n/a', '#n/a'):
        return float('nan')
    if decimal_comma and text.count(',') == 1 and '.' not in text:
        text = text.replace(',', '.')
    if '_' in text:  # Python's own way to write large numbers
        raise ValueError(f'{text!r} is not a number')
    return float(text)


# What spreadsheets take for the beginning of a formula, perhaps after our apostrophes.
_FORMULA = re.compile("'*[=+\\-@\t\r]")


def csv_cell(value: object) -> object:
    """Return a value as a CSV file holds it: a text that a spreadsheet would run as a formula gets a ``'`` before it.

    :func:`cell_text` takes it away again.
    """
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def cell_text(text: str) -> str:
    """Return the text that :func:`csv_cell` wrote."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def id_of(text: str, location: str) -> str:
    """Return an id as it was before a spreadsheet took it for a number: ``139.0`` is 139.

    Raises:
        TableError: digits were lost, as in ``1.7E+18``; the message names ``location``.
    """
    if re.fullmatch(r'\d+[.,]0+', text):
        return re.split('[.,]', text)[0]
    if re.fullmatch(r'\d([.,]\d+)?[eE]\+?\d+', text):
        raise TableError(
            f'{location} is {text!r}: a spreadsheet has shortened the number, and its last digits are lost. Format the '
            'column as text before you open the file, or write it without a spreadsheet.'
        )
    return text
