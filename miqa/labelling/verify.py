"""Is a database whole? Images, records, responses, labels and splits, with every problem in a sentence."""

from __future__ import annotations

import csv
import json
import os
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import delayed
from tqdm.auto import tqdm

from ..distortions.records import find_damage
from ..machines.image_list import SourceImages, image_root, list_sources, task_root
from ..machines.responses import ResponseFolder, responses_folder
from ..taxonomy import IMAGE_TASKS, SPLITS
from ..utils import UnreadableImage, read_image, sha256_of_file
from ..utils.parallel import run_parallel

#: At most so many examples of one kind of problem are printed.
EXAMPLES = 5


@dataclass
class Report:
    """What was checked and what is wrong.

    Attributes:
        facts: sentences about what is there.
        problems: sentences about what is wrong, one per finding.
    """

    facts: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def add(self, kind: str, findings: list[str]) -> None:
        """Add the findings of one kind; many become a count with examples."""
        if len(findings) > EXAMPLES:
            self.problems.append(f'{len(findings)} {kind}, for example:')
            findings = [f'  {text}' for text in findings[:EXAMPLES]]
        self.problems += findings


def verify_database(
    data_root: str | os.PathLike,
    task: str,
    *,
    decode: bool = False,
    checksums: bool = False,
    jobs: int = 1,
    progress: bool = True,
) -> Report:
    """Check the images, responses, labels and splits of a task.

    Args:
        data_root: the database.
        task: cls, det or ins.
        decode: decode every image.
        checksums: read every file, and compare it with the record of the build and with what the systems saw.
        jobs: processes for ``decode`` and ``checksums``.
        progress: show progress bars.

    Returns:
        The report; ``problems`` is empty where all is well.
    """
    report = Report()
    try:
        sources = list_sources(data_root, task)
    except (FileNotFoundError, ValueError) as error:
        report.problems.append(str(error))
        return report
    images = sum(source.count for source in sources)
    report.facts.append(f'{len(sources)} sources, {images - len(sources)} distorted versions')
    _check_numbers(report, sources)
    _check_files(report, data_root, task, sources, decode, checksums, jobs, progress)
    _check_responses(report, data_root, task, sources, checksums, jobs, progress)
    _check_labels(report, data_root, task, sources)
    _check_splits(report, data_root, task, {source.source for source in sources})
    return report


def _check_numbers(report: Report, sources: list[SourceImages]) -> None:
    usual, _ = Counter(len(source.versions) for source in sources).most_common(1)[0]
    odd = [
        f'{source.folder} holds {len(source.versions)} versions; most sources have {usual}.'
        for source in sources
        if len(source.versions) != usual
    ]
    report.add('sources with another number of versions', odd)


def _check_files(report, data_root, task, sources, decode, checksums, jobs, progress) -> None:
    root = image_root(data_root, task)
    records = root / 'manifests'
    if not (records / 'build.json').is_file():
        report.facts.append(f'no record of how the images were made ({records / "build.json"}); taken as they are')
    else:
        missing = [f'{source.source} has no record in {records}.' for source in sources
                   if not (records / f'{source.source}.json').is_file()]  # fmt: skip
        report.add('sources without a record', missing)
    calls = [delayed(check_source)(source, root, decode, checksums) for source in sources]
    findings: list[str] = []
    results = run_parallel(calls, jobs if decode or checksums else 1)
    for found in tqdm(results, total=len(calls), desc='images', unit='source', disable=not progress):
        findings += found
    report.add('damaged images', sorted(findings))


def check_source(source: SourceImages, root: Path, decode: bool, checksums: bool) -> list[str]:
    """Return what is wrong with the files of one source, by its record (if any) and by decoding them."""
    record = root / 'manifests' / f'{source.source}.json'
    findings = []
    if record.is_file():
        findings += find_damage(root, json.loads(record.read_text(encoding='utf-8')), checksums)
    if decode:
        for path in source.paths:
            try:
                read_image(path)
            except UnreadableImage as error:
                findings.append(str(error))
    return findings


def _check_responses(report, data_root, task, sources, checksums, jobs, progress) -> None:
    folder = responses_folder(data_root, task)
    systems = sorted(folder.iterdir()) if folder.is_dir() else []
    paths = {source.clean.name: source.clean for source in sources}
    paths.update({name: source.folder / name for source in sources for name in source.versions})
    for system in systems:
        store = ResponseFolder(system)
        if not (system / 'manifest.json').is_file():
            report.problems.append(f'{system} has no manifest.json; it does not hold responses.')
            continue
        listed, names, stamps, errors = store.checksums(), [], {}, 0
        for part in store.parts():
            if part.name not in listed:
                report.problems.append(f'{part} is not in the list of checksums; run run_machines.py again.')
            elif sha256_of_file(part) != listed[part.name]['sha256']:
                report.problems.append(f'{part} has other contents than its checksum says. Delete it and run again.')
                continue
            table = pd.read_parquet(part, columns=['filename', 'crc32', 'error'])
            names += table['filename'].tolist()
            errors += int(table['error'].notna().sum())
            stamps.update(zip(table['filename'], table['crc32'], strict=True))
        for gone in sorted(listed.keys() - {part.name for part in store.parts()}):
            report.problems.append(f'{system / gone} is listed but missing. Run run_machines.py again.')
        twice = [name for name, count in Counter(names).items() if count > 1]
        report.add(f'double responses of {system.name}', [f'{system.name} has two responses to {n}.' for n in twice])
        missing = sorted(paths.keys() - set(names))
        report.add(
            f'missing responses of {system.name}', [f'{system.name} has no response to {name}.' for name in missing]
        )
        if checksums:
            calls = [delayed(_changed)(str(paths[name]), int(crc)) for name, crc in stamps.items() if name in paths]
            results = run_parallel(calls, jobs)
            bar = tqdm(results, total=len(calls), desc=system.name, unit='image', disable=not progress)
            report.add('changed images', sorted(filter(None, bar)))
        report.facts.append(f'responses of {system.name}: {len(names)} images, {errors} of them unreadable')
    if not systems:
        report.facts.append('no responses of vision systems')


def _changed(path: str, crc: int) -> str | None:
    same = zlib.crc32(Path(path).read_bytes()) == crc
    return None if same else f'{path} was changed after the vision systems saw it.'


def _check_labels(report: Report, data_root, task: str, sources: list[SourceImages]) -> None:
    folder = task_root(data_root, task) / 'labels'
    if not folder.is_dir():
        report.facts.append('no labels')
        return
    excluded: set[str] = set()
    path = folder / 'manifest.json'
    if path.is_file():
        manifest = json.loads(path.read_text(encoding='utf-8'))
        excluded = set(manifest.get('excluded', {}))
        if not manifest['complete']:
            report.problems.append(f'{folder}: make_labels.py was interrupted. Run it again.')
        report.facts.append(f'{len(excluded)} images are left out of the labels, for reasons in {path}')
    values: dict[str, list[float]] = {'consistency': [], 'accuracy': []}
    findings = []
    for source in sources:
        wanted = [name for name in source.versions if name not in excluded]
        if wanted:
            findings += _check_label_files(folder, task, source.source, wanted, values)
    report.add('problems of label files', findings)
    for label, numbers in values.items():
        if numbers:
            report.facts.append(
                f'{label}: {len(numbers)} labels, mean {np.mean(numbers):.4f}, standard deviation {np.std(numbers):.4f}'
            )


def _check_label_files(folder: Path, task: str, source: str, wanted: list[str], values: dict) -> list[str]:
    findings = []
    for label in values:
        path = folder / (f'{source}_mmos.csv' if task == 'cls' else f'{source}_{label}.csv')
        column, names = (f'weighted_{label}', 'dist_images') if task == 'cls' else ('AP_weighted_avg', 'filename')
        try:
            table = pd.read_csv(path)
        except FileNotFoundError:
            findings.append(f'{path} is missing.')
            continue
        except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
            findings.append(f'{path} is not a CSV file: {error}')
            continue
        if not {column, names} <= set(table.columns):
            findings.append(f'{path} needs the columns {names} and {column}; it has {list(table.columns)}.')
            continue
        found = [str(name).rsplit('/', 1)[-1] for name in table[names]]
        for kind, odd in (('lacks', set(wanted) - set(found)), ('has no image for', set(found) - set(wanted))):
            if odd:
                findings.append(f'{path} {kind} {len(odd)} versions, for example {min(odd)}.')
        if len(set(found)) < len(found):
            findings.append(f'{path} names a version twice.')
        numbers = pd.to_numeric(table[column], errors='coerce').to_numpy(np.float64)
        wrong = ~((numbers >= 0) & (numbers <= 1))
        if wrong.any():
            findings.append(f'{path}: {column} of {found[int(np.argmax(wrong))]} is not a number from 0 to 1.')
        values[label] += numbers[~wrong].tolist()
    return findings


def _check_splits(report: Report, data_root, task: str, sources: set[str]) -> None:
    members: dict[str, set[str]] = {}
    owner = IMAGE_TASKS[task]
    for split in SPLITS:
        path = Path(data_root) / 'splits' / f'miqa_{owner}_{split}.csv'
        if not path.is_file():
            report.facts.append(f'no split file {path}')
            continue
        column = 'Image Name' if owner == 'cls' else 'Image Index'
        with open(path, newline='', encoding='utf-8-sig') as stream:
            reader = csv.DictReader(stream)
            if column not in (reader.fieldnames or ()):
                report.problems.append(f'{path} has no column {column!r}.')
                continue
            names = [row[column] for row in reader]
        members[split] = {Path(name).stem if owner == 'cls' else name.zfill(12) for name in names}
        absent = sorted(members[split] - sources)
        report.add(
            f'sources of {path} that are missing', [f'{path} names {name}, which is missing.' for name in absent]
        )
        report.facts.append(f'split {split}: {len(members[split])} sources')
    both = sorted(members.get('train', set()) & members.get('val', set()))
    report.add('sources in both splits', [f'{name} is in both splits.' for name in both])
