"""Verify a database: images, records, responses, labels and splits, each problem in a sentence."""

from __future__ import annotations

import os
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import delayed

from miqa.distortions.records import find_damage
from miqa.keeping import sha256_of_file
from miqa.keeping.filed_labels import filed_labels
from miqa.keeping.sealed import DamagedFile, read_sealed_json
from miqa.layout import (
    MANIFEST,
    NAME_COLUMN,
    SPLIT_COLUMNS,
    build_settings_path,
    image_task_folder,
    label_columns,
    label_folder,
    label_paths,
    record_path,
    records_in,
    responses_folder,
    source_of_entry,
    split_path,
)
from miqa.machines.image_list import SourceImages, list_sources
from miqa.machines.responses import ResponseFolder
from miqa.outside import read_regular
from miqa.outside.regular_files import NotARegularFile
from miqa.outside.tables import TableError, number_of, read_table
from miqa.pictures import UnreadableImage, read_image
from miqa.running.parallel import run_parallel
from miqa.running.progress import Progress, bar_over
from miqa.taxonomy import CAPTURED, IMAGE_TASKS, SPLITS

EXAMPLES = 5  # At most so many examples of one kind of problem are printed


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
    progress: Progress = True,
) -> Report:
    """Check the images, responses, labels and splits of a task (cls, det or ins) in ``jobs`` processes.

    ``decode`` decodes every image; ``checksums`` reads every file, and compares it with the record of the build and
    with what the machines saw. The report's ``problems`` are empty where all is well.
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
    # Cameras take as many pictures of a scene as they do.
    sources = [source for source in sources if not all(f'_{CAPTURED}_' in name for name in source.versions)]
    if not sources:
        return
    usual, _ = Counter(len(source.versions) for source in sources).most_common(1)[0]
    odd = [
        f'{source.folder} holds {len(source.versions)} versions; most sources have {usual}.'
        for source in sources
        if len(source.versions) != usual
    ]
    report.add('sources with another number of versions', odd)


def _check_files(report, data_root, task, sources, decode, checksums, jobs, progress) -> None:
    root = image_task_folder(data_root, task)
    settings, records = build_settings_path(root), records_in(root)
    if not settings.is_file():
        report.facts.append(f'no record of how the images were made ({settings}); taken as they are')
    else:
        missing = [f'{source.source} has no record in {records}.' for source in sources
                   if not record_path(root, source.source).is_file()]  # fmt: skip
        report.add('sources without a record', missing)
    calls = [delayed(check_source)(source, root, decode, checksums) for source in sources]
    findings: list[str] = []
    results = run_parallel(calls, jobs if decode or checksums else 1)
    for problem in bar_over(results, progress, len(calls), desc='images', unit='source'):
        findings += problem
    report.add('damaged images', sorted(findings))


def check_source(source: SourceImages, root: Path, decode: bool, checksums: bool) -> list[str]:
    """Return what is wrong with the files of one source, by its record (if any) and by decoding them."""
    record = record_path(root, source.source)
    findings = []
    if record.is_file():
        advice = 'Delete it and run tools/data/make_distortions.py again.'
        try:
            findings += find_damage(root, read_sealed_json(record, advice), checksums)
        except DamagedFile as error:
            findings.append(str(error))
    if decode:
        for path in source.paths:
            try:
                read_image(path)
            except UnreadableImage as error:
                findings.append(str(error))
    return findings


def _check_responses(report, data_root, task, sources, checksums, jobs, progress) -> None:
    folder = responses_folder(data_root, task)
    machines = sorted(folder.iterdir()) if folder.is_dir() else []
    paths = {source.clean.name: source.clean for source in sources}
    paths.update({name: source.folder / name for source in sources for name in source.versions})
    for machine in machines:
        store = ResponseFolder(machine)
        if not (machine / MANIFEST).is_file():
            report.problems.append(f'{machine} has no {MANIFEST}; it does not hold responses.')
            continue
        listed, names, errors = store.checksums(), [], 0
        stamps: dict[str, int] = {}
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
        for part_name in sorted(listed.keys() - {part.name for part in store.parts()}):
            report.problems.append(f'{machine / part_name} is listed but missing. Run run_machines.py again.')
        twice = [name for name, count in Counter(names).items() if count > 1]
        report.add(f'double responses of {machine.name}', [f'{machine.name} has two responses to {n}.' for n in twice])
        missing = sorted(paths.keys() - set(names))
        report.add(
            f'missing responses of {machine.name}', [f'{machine.name} has no response to {name}.' for name in missing]
        )
        if checksums:
            calls = [delayed(_changed)(str(paths[name]), int(crc)) for name, crc in stamps.items() if name in paths]
            results = run_parallel(calls, jobs)
            bar = bar_over(results, progress, len(calls), desc=machine.name, unit='image')
            report.add('changed images', sorted(filter(None, bar)))
        report.facts.append(f'responses of {machine.name}: {len(names)} images, {errors} of them unreadable')
    if not machines:
        report.facts.append('no responses of machines')


def _changed(path: str, crc: int) -> str | None:
    same = zlib.crc32(read_regular(path)) == crc
    return None if same else f'{path} was changed after the machines saw it.'


def _check_labels(report: Report, data_root, task: str, sources: list[SourceImages]) -> None:
    folder = label_folder(data_root, task)
    if not folder.is_dir():
        report.facts.append('no labels')
        return
    excluded: set[str] = set()
    path = folder / MANIFEST
    if path.is_file():
        manifest = read_sealed_json(path, 'Run tools/data/make_labels.py again, with --overwrite.')
        excluded = set(manifest.get('excluded', {}))
        if not manifest['complete']:
            report.problems.append(f'{folder}: make_labels.py was interrupted. Run it again.')
        report.facts.append(f'{len(excluded)} images are excluded from the labels, for reasons in {path}')
    values: dict[str, list[float]] = {label: [] for label in reversed(filed_labels(folder))}
    findings = []
    for source in sources:
        versions = [name for name in source.versions if name not in excluded]
        if versions:
            findings += _check_label_files(folder, task, source.source, versions, values)
    report.add('problems of label files', findings)
    for label, numbers in values.items():
        if numbers:
            report.facts.append(
                f'{label}: {len(numbers)} labels, mean {np.mean(numbers):.4f}, standard deviation {np.std(numbers):.4f}'
            )


def _check_label_files(folder: Path, task: str, source: str, versions: list[str], values: dict) -> list[str]:
    findings, paths = [], label_paths(folder, task, source)
    for label in values:
        path = Path(paths.get(label) or paths['both'])
        column, names = label_columns(task, label).weighted, NAME_COLUMN[task]
        try:
            table = read_table(path, [names, column], 'label file')
        except FileNotFoundError:
            findings.append(f'{path} is missing.')
            continue
        except (TableError, NotARegularFile) as error:
            findings.append(str(error))
            continue
        files = [row[names].rsplit('/', 1)[-1] for row in table.rows]
        for kind, odd in (('lacks', set(versions) - set(files)), ('has no image for', set(files) - set(versions))):
            if odd:
                findings.append(f'{path} {kind} {len(odd)} versions, for example {min(odd)}.')
        if len(set(files)) < len(files):
            findings.append(f'{path} names a version twice.')
        numbers = np.array([_number(row[column], table.decimal_comma) for row in table.rows])
        wrong = ~((numbers >= 0) & (numbers <= 1))
        if wrong.any():
            findings.append(f'{path}: {column} of {files[int(np.argmax(wrong))]} is not a number from 0 to 1.')
        values[label] += numbers[~wrong].tolist()
    return findings


def _number(text: str, decimal_comma: bool) -> float:
    try:
        return number_of(text, decimal_comma)
    except ValueError:
        return float('nan')


def _check_splits(report: Report, data_root, task: str, sources: set[str]) -> None:
    members: dict[str, set[str]] = {}
    for split in SPLITS:
        path = split_path(data_root, task, split)
        if not path.is_file():
            report.facts.append(f'no split file {path}')
            continue
        column = SPLIT_COLUMNS[IMAGE_TASKS[task]]
        try:
            names = [row[column] for row in read_table(path, [column], 'split file').rows]
        except ValueError as error:
            report.problems.append(str(error))
            continue
        members[split], wrong = set(), []
        for number, name in enumerate(names, start=1):
            try:
                members[split].add(source_of_entry(name, task, f'row {number} of {path}'))
            except ValueError as error:
                wrong.append(str(error))
        report.add(f'wrong rows of {path}', wrong)
        absent = sorted(members[split] - sources)
        report.add(
            f'sources of {path} that are missing', [f'{path} names {name}, which is missing.' for name in absent]
        )
        report.facts.append(f'split {split}: {len(members[split])} sources')
    both = sorted(members.get('train', set()) & members.get('val', set()))
    report.add('sources in both splits', [f'{name} is in both splits.' for name in both])
