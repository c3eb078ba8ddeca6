"""Real pictures of MIQD-2.5M in the project's layout."""

from __future__ import annotations

import csv

from helpers_database import write_split

from miqa.taxonomy import TASK_FOLDERS, parse_version_name


def lay_out_real_samples(shared_data, root, task):
    """Put the published samples into the project's layout; their labels are the authors' own scores."""
    with open(shared_data / 'miqd_samples' / 'published_ra_miqa_composite.csv', encoding='utf-8') as stream:
        rows = [row for row in csv.DictReader(stream) if row['task'] == task and row['image_present'] == '1']
    base = root / TASK_FOLDERS[task]
    (base / 'labels').mkdir(parents=True)
    sources = {}
    for row in rows:
        sources.setdefault(parse_version_name(row['image_name']).source, []).append(row)
    for source, entries in sources.items():
        folder = base / 'images' / source
        folder.mkdir(parents=True)
        for entry in entries:
            (folder / entry['image_name']).symlink_to(shared_data / 'miqd_samples' / task / entry['image_name'])
        names, scores = ([entry[key] for entry in entries] for key in ('image_name', 'ra_miqa_composite'))
        if task == 'cls':
            lines = [f'{name},{score},{score}' for name, score in zip(names, scores, strict=True)]
            text = '\n'.join(['dist_images,weighted_consistency,weighted_accuracy', *lines, ''])
            (base / 'labels' / f'{source}_mmos.csv').write_text(text)
        else:
            lines = [f'{name},{score}' for name, score in zip(names, scores, strict=True)]
            for label in ('accuracy', 'consistency'):
                (base / 'labels' / f'{source}_{label}.csv').write_text(
                    '\n'.join(['filename,AP_weighted_avg', *lines, ''])
                )
    first, second = sources
    write_split(root, task, 'train', [first])
    write_split(root, task, 'val', [second])
    return {row['image_name']: float(row['ra_miqa_composite']) for row in rows}
