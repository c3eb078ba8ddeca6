"""Results in a run's folder: config, curves, predictions, environment."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from miqa.evaluation.predictions import read_predictions
from miqa.outside import open_regular
from miqa.outside.config_text import LONGEST, read_config_text
from miqa.outside.json_text import parse_json, read_settings


@dataclass(frozen=True)
class RunFolder:
    """A folder that ``miqa train`` or ``miqa test`` wrote."""

    path: Path  # the folder

    @property
    def predictions_file(self) -> Path | None:
        """``predictions.csv`` of the test, or None."""
        for place in ('test/predictions.csv', 'predictions.csv'):
            if (self.path / place).is_file():
                return self.path / place
        return None

    def predictions(self) -> pd.DataFrame | None:
        """Return the predictions without images that lack a value, or None where the run was not tested."""
        file = self.predictions_file
        return None if file is None else read_predictions(file).dropna(subset=['prediction', 'ground_truth'])

    @property
    def config_file(self) -> Path | None:
        """The config that the run dumped, the newest of them, or None."""
        files = [file for file in (*self.path.glob('*.py'), *self.path.glob('test/*.py')) if file.is_file()]
        return max(files, key=lambda file: file.stat().st_mtime) if files else None

    def config_text(self) -> str | None:
        """Return the text of the config that the run dumped, or None."""
        if self.config_file is None:
            return None
        with open_regular(self.config_file, encoding='utf-8') as stream:
            return stream.read(LONGEST + 1)

    def config(self) -> dict | None:
        """Return the config that the run dumped, or None. It is parsed, not run: it may be untrusted.

        Raises:
            ValueError: it holds more than values, so it is not what a run dumps.
        """
        text = self.config_text()
        return None if text is None else read_config_text(text, str(self.config_file))

    def environment(self) -> dict | None:
        """Return ``environment.json``, or None."""
        for place in ('environment.json', 'test/environment.json'):
            if (self.path / place).is_file():
                settings = read_settings(self.path / place)
                return settings if isinstance(settings, dict) else None
        return None

    def curves(self) -> pd.DataFrame:
        """Return logged values, one row a step, over all starts of the run: ``step``, ``loss``, ``lr``, ``SRCC``, ...

        A step that was logged again after a resume keeps its last value. Lines that a killed start has cut or a disk
        has damaged are skipped with a warning.
        """
        rows: dict[int, dict] = {}
        for file in sorted(self.path.glob('*/vis_data/scalars.json')):
            if file.parts[-4:-3] == ('test',):
                continue
            for entry in _logged(file):
                rows.setdefault(entry['step'], {}).update(entry)
        return pd.DataFrame(list(rows.values())).sort_values('step') if rows else pd.DataFrame(columns=['step'])


def _logged(file: Path) -> Iterator[dict]:
    broken = 0
    with open_regular(file) as stream:
        for line in stream:
            try:
                entry = parse_json(line.decode('utf-8', 'replace'), str(file))
            except ValueError:
                broken += bool(line.strip())
                continue
            if isinstance(entry, dict) and isinstance(entry.get('step'), int):
                yield entry
    if broken:
        warnings.warn(f'{broken} lines of {file} are not JSON, as a kill or a damaged disk leaves them.', stacklevel=3)


def is_run(path: Path) -> bool:
    """Return True if a folder holds a run: predictions, or a dumped config with curves or a checkpoint."""
    run = RunFolder(path)
    return run.predictions_file is not None or bool(list(path.glob('*.pth')) or list(path.glob('*/vis_data')))


def is_benchmark(path: Path) -> bool:
    """Return True if a folder holds the results of ``tools/analysis/benchmark.py``."""
    return (path / 'scores.csv').is_file() and (path / 'tables.html').is_file()


def find_folders(paths: list[Path]) -> tuple[list[Path], list[Path]]:
    """Return (runs, benchmarks) among folders and, where one is neither, among the folders directly in it.

    Raises:
        FileNotFoundError: a folder does not exist, or holds neither.
    """
    runs, benchmarks = [], []
    for path in paths:
        if not path.is_dir():
            raise FileNotFoundError(f'There is no folder {path}.')
        inside = [path] if is_run(path) or is_benchmark(path) else sorted(p for p in path.iterdir() if p.is_dir())
        found_runs = [folder for folder in inside if is_run(folder) and not is_benchmark(folder)]
        found_benchmarks = [folder for folder in inside if is_benchmark(folder)]
        if not found_runs and not found_benchmarks:
            raise FileNotFoundError(
                f'{path} holds no run (predictions.csv, checkpoints) and no benchmark (scores.csv), nor do the folders '
                f'in it. Name what miqa train, miqa test or tools/analysis/benchmark.py has written.'
            )
        runs += found_runs
        benchmarks += found_benchmarks
    return runs, benchmarks
