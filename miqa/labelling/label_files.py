"""Label files in the formats of MIQD-2.5M."""

from __future__ import annotations

import csv
from pathlib import Path

from miqa.keeping import atomic_write
from miqa.layout import label_file_columns, label_paths


def write_labels(folder: Path, task: str, source: str, rows: dict[str, list[dict]]) -> list[Path]:
    """Write the label files of a source and return them; files of labels that ``rows`` do not have are removed.

    ``source`` is the stem of the clean image; ``rows``, for each file as :func:`miqa.layout.label_paths` calls it, have
    one row for each version, with the columns :func:`miqa.layout.label_file_columns`, or those that the database has.
    """
    paths = []
    for label, path in label_paths(folder, task, source).items():
        if label not in rows:
            Path(path).unlink(missing_ok=True)
            continue
        columns = label_file_columns(task, label)
        if rows[label]:
            columns = tuple(column for column in columns if column in rows[label][0])
        with atomic_write(path) as temporary, open(temporary, 'w', newline='', encoding='utf-8') as stream:
            writer = csv.DictWriter(stream, columns, lineterminator='\n')
            writer.writeheader()
            for row in rows[label]:
                writer.writerow(
                    {key: f'{row[key]:.6f}' if isinstance(row[key], float) else row[key] for key in columns}
                )
        paths.append(Path(path))
    return paths
