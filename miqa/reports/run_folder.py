"""What a run has left in its folder: config, curves, predictions, environment."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from mmengine.config import Config

from .predictions import read_predictions


@dataclass(frozen=True)
class RunFolder:
    """A folder that ``tools/train.py`` or ``tools/test.py`` wrote.

    Attributes:
        path: the folder.
    """

    path: Path

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

    def config(self) -> Config | None:
        """Return the config that the run dumped, the newest of them, or None."""
        files = [*self.path.glob('*.py'), *self.path.glob('test/*.py')]
        return Config.fromfile(max(files, key=lambda file: file.stat().st_mtime)) if files else None

    def environment(self) -> dict | None:
        """Return ``environment.json``, or None."""
        for place in ('environment.json', 'test/environment.json'):
            if (self.path / place).is_file():
                return json.loads((self.path / place).read_text(encoding='utf-8'))
        return None

    def curves(self) -> pd.DataFrame:
        """Return logged values, one row a step, over all starts of the run: ``step``, ``loss``, ``lr``, ``SRCC``, ...

        A step that was logged again after a resume keeps its last value.
        """
        rows: dict[int, dict] = {}
        for file in sorted(self.path.glob('*/vis_data/scalars.json')):
            if file.parts[-4:-3] == ('test',):
                continue
            for line in file.read_text(encoding='utf-8').splitlines():
                entry = json.loads(line)
                if 'step' in entry:
                    rows.setdefault(entry['step'], {}).update(entry)
        return pd.DataFrame(list(rows.values())).sort_values('step') if rows else pd.DataFrame(columns=['step'])


def is_run(path: Path) -> bool:
    """Tell whether a folder holds a run: predictions, or a dumped config with curves or a checkpoint."""
    run = RunFolder(path)
    return run.predictions_file is not None or bool(list(path.glob('*.pth')) or list(path.glob('*/vis_data')))


def is_benchmark(path: Path) -> bool:
    """Tell whether a folder holds the results of ``tools/analysis/benchmark.py``."""
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
                f'in it. Name what tools/train.py, tools/test.py or tools/analysis/benchmark.py has written.'
            )
        runs += found_runs
        benchmarks += found_benchmarks
    return runs, benchmarks
