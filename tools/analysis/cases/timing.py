"""What all cases share: one way to time, memory, photographs that are made, tables."""

from __future__ import annotations

import itertools
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from miqa.running import generator_for


@dataclass
class Times:
    """Elapsed and processor seconds of each run; the latter, of all threads, are hardly disturbed by other programs."""

    elapsed: list[float] = field(default_factory=list)
    used: list[float] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Median of the elapsed seconds."""
        return float(np.median(self.elapsed))

    @property
    def processor(self) -> float:
        """Median of the processor seconds."""
        return float(np.median(self.used))

    def percentiles(self, *shares: int) -> dict[str, float]:
        """Return ``pSHARE_ms``: percentiles of the elapsed time in milliseconds."""
        return {f'p{share}_ms': float(1000 * np.percentile(self.elapsed, share)) for share in shares}


def nothing() -> None:
    """Do nothing: what ``before`` does by default."""


def in_turns(
    ways: Mapping[str, Callable[[], object]],
    repeats: int,
    before: Callable[[], object] = nothing,
    warm_up: bool = True,
    quiet: bool = False,
) -> dict[str, Times]:
    """Time several ways in turns, so that other load on the computer hits all alike.

    Args:
        ways: what to run, by name.
        repeats: rounds that count.
        before: runs before the clock starts and before it stops, such as ``torch.cuda.synchronize``.
        warm_up: run everything once before those.
        quiet: without a progress bar.
    """
    times = {name: Times() for name in ways}
    rounds = [(turn, name) for turn in range(0 if warm_up else 1, repeats + 1) for name in ways]
    for turn, name in tqdm(rounds, leave=False, disable=quiet or None):
        before()
        started, used = time.perf_counter(), time.process_time()
        ways[name]()
        before()
        if turn:
            times[name].elapsed.append(time.perf_counter() - started)
            times[name].used.append(time.process_time() - used)
    return times


def memory_in_use() -> tuple[float, float]:
    """Return this process's private and resident memory in MB, from Linux's /proc."""
    fields = {}
    for line in Path('/proc/self/smaps_rollup').read_text(encoding='ascii').splitlines()[1:]:
        name, value = line.split()[:2]
        fields[name.rstrip(':')] = int(value) / 1024
    return fields['Private_Clean'] + fields['Private_Dirty'], fields['Rss']


def highest_memory() -> float:
    """Return the highest resident memory of this process so far, in MB.

    Linux's ``ru_maxrss`` begins with that of the process that started this one; ``VmHWM`` does not.
    """
    status = Path('/proc/self/status')
    if status.is_file():
        return int(status.read_text(encoding='ascii').partition('VmHWM:')[2].split()[0]) / 1024
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest / (2**20 if sys.platform == 'darwin' else 2**10)  # macOS counts bytes, Linux kilobytes


def made_photograph(seed: int, width: int, height: int) -> np.ndarray:
    """Return a picture with structure at all scales and grain, so that decoding costs what it does for photographs.

    Returns:
        RGB, uint8 (height, width, 3).
    """
    rng = generator_for('benchmark picture', seed)
    picture = np.full((height, width, 3), 128, np.float32)
    for octave in range(3, 12):
        cells = rng.standard_normal((2**octave * 3 // 4, 2**octave, 3), np.float32) * (50 * 0.7 ** (octave - 3))
        for channel in range(3):
            layer = Image.fromarray(cells[:, :, channel]).resize((width, height), Image.Resampling.BICUBIC)
            picture[:, :, channel] += np.asarray(layer)
    picture += rng.standard_normal(picture.shape, np.float32) * 3
    return np.clip(picture, 0, 255).astype(np.uint8)


def made_files(folder: Path, count: int, width: int = 1280, height: int = 960) -> list[str]:
    """Write JPEG files of :func:`made_photograph`, by default of a small camera's size; return their paths."""
    paths = [str(folder / f'{number:04d}.jpg') for number in range(count)]
    for number, path in enumerate(tqdm(paths, desc='Making pictures', leave=False, disable=None)):
        Image.fromarray(made_photograph(number, width, height)).save(path, quality=92)
    return paths


def show(title: str, rows: Sequence[Mapping]) -> None:
    """Print rows as a table with a column for each key; numbers are on the right."""
    table = Table(title=title, title_justify='left')
    names = list(dict.fromkeys(itertools.chain.from_iterable(rows)))
    for name in names:
        text = any(isinstance(row.get(name), str) for row in rows)
        table.add_column(name.replace('_', ' '), justify='left' if text else 'right', no_wrap=name == names[0])
    for row in rows:
        table.add_row(*(_cell(row.get(name, '')) for name in names))
    Console(width=None if sys.stdout.isatty() else 130).print(table)


def _cell(value: object) -> str:
    if not isinstance(value, float):
        return f'{value:,}' if isinstance(value, int) else str(value)
    if 0 < abs(value) < 0.01:
        return f'{value:.1e}'
    return f'{value:,.{4 if abs(value) < 1 else 2 if abs(value) < 100 else 0}f}'
