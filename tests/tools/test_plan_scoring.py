"""The cost of ten million pictures, planned by the command of docs/scale.md from a measured sample."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from helpers_apis import write_run
from helpers_machines import save

ROOT = Path(__file__).parents[2]


def test_the_plan_of_the_page_multiplies_what_was_measured(warm, tmp_path):
    page = (ROOT / 'docs/scale.md').read_text(encoding='utf-8')
    (line,) = re.findall(r'^python tools/analysis/plan_scoring\.py .*$', page, re.MULTILINE)
    assert '--pictures 10000000' in line
    write_run(tmp_path / 'best.pth')
    for number in range(9):
        save(tmp_path / f'archive/{number}.png', np.random.default_rng(number).integers(0, 256, (60, 80, 3)))
    (tmp_path / 'archive/broken.png').write_bytes(b'no picture')
    words = shlex.split(line.replace('/archive', str(tmp_path / 'archive')).replace(' demo ', ' MODEL '))
    done = warm.must(*(tmp_path / 'best.pth' if word == 'MODEL' else word for word in words), cwd=ROOT)
    sample = re.search(r'(\d+) pictures of ([\d.]+) MB on average, (\d+) unreadable: ([\d.]+) a second', done.stdout)
    assert sample, done.stdout
    assert (sample[1], sample[3]) == ('10', '1')
    hours = float(re.search(r'10000000 pictures: ([\d.]+) hours', done.stdout)[1])
    assert hours == pytest.approx(1e7 / float(sample[4]) / 3600, rel=0.01 + 0.05 / float(sample[4]), abs=0.06)
    shared = {int(n): float(h) for n, h in re.findall(r'--shard 1/(\d+) \.\.\. \d+/\d+: ([\d.]+) hours', done.stdout)}
    assert set(shared) == {4, 16, 64} and shared[4] == pytest.approx(hours / 4, abs=0.06)
    size = sum(path.stat().st_size for path in (tmp_path / 'archive').iterdir()) / 10
    terabytes = float(re.search(r'([\d.]+) TB to read', done.stdout)[1])
    assert terabytes == pytest.approx(1e7 * size / 1e12, abs=0.001)
