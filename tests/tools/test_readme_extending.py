"""The README's three examples of extending are run as printed there."""

import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers_config import write_tiny_config
from helpers_database import write_database
from PIL import Image

from miqa.models import read_checkpoint

ROOT = Path(__file__).parents[2]


def blocks(name: str, page: str = 'README.md') -> list[str]:
    """Code blocks of the README's section ``name``."""
    text = (ROOT / page).read_text(encoding='utf-8')
    section = text.split(f'### {name}\n', 1)[1].split('\n### ', 1)[0].split('\n## ', 1)[0]
    return re.findall(r'```python\n(.*?)```', section, re.DOTALL)


def derive(base: Path, lines: str) -> Path:
    """The README's config, built on a small one in place of the full-size one."""
    assert "_base_ = 'configs/ra_miqa_det.py'" in lines
    config = base.with_name('mine.py')
    config.write_text(lines.replace('configs/ra_miqa_det.py', base.name))
    return config


def train(warm, folder: Path, config: Path) -> dict:
    """Run the README's own command, with less to do."""
    (printed,) = re.findall(r'```bash\nPYTHONPATH=. (.*my_config.py.*)\n```', (ROOT / 'README.md').read_text('utf-8'))
    config.rename(folder / 'my_config.py')
    words = shlex.split(printed)
    words[words.index('data/miqd')] = str(folder / 'frames' if (folder / 'frames').is_dir() else folder / 'data')
    words[1] = str(ROOT / words[1])
    done = warm.call(*words, '--work-dir', 'run', '--epochs', 1, cwd=folder, PYTHONPATH=str(folder))
    assert done.returncode == 0, done.stderr[-3000:]
    return read_checkpoint(folder / 'run' / 'latest.pth')['state_dict']


@pytest.fixture
def config(tmp_path):
    return write_tiny_config(tmp_path / 'tiny_det.py', write_database(tmp_path / 'data', 'det', sources=6))


@pytest.mark.parametrize('part', ['A backbone', 'A head', 'A dataset'])
def test_an_extension_takes_at_most_ten_lines(part):
    module = blocks(part)[0]
    lines = [line for line in module.splitlines() if line.strip() and not line.startswith(('import', 'from'))]
    assert len(lines) <= 10


def without_comments(block: str) -> list[str]:
    return [re.sub(r' *#.*', '', line) for line in block.splitlines()]


@pytest.mark.parametrize(
    ('part', 'translated'), [('A backbone', '主干网络'), ('A head', '头部'), ('A dataset', '数据集')]
)
def test_the_chinese_readme_has_the_same_code(part, translated):
    one, two = blocks(part), blocks(translated, 'README_CN.md')
    assert [without_comments(block) for block in one] == [without_comments(block) for block in two]


def test_the_chinese_readme_links_what_the_english_one_does():
    links = [
        {link.replace('docs/zh/', 'docs/') for link in re.findall(r'\]\(([\w./]+)\)', (ROOT / page).read_text('utf-8'))}
        for page in ('README.md', 'README_CN.md')
    ]
    assert links[0] - {'README_CN.md'} == links[1] - {'README.md'}


def test_the_backbone_of_the_readme_trains(warm, config, tmp_path):
    module, lines = blocks('A backbone')
    (tmp_path / 'my_backbone.py').write_text(module)
    config = derive(config, lines)
    assert any('network.layers' in name for name in train(warm, tmp_path, config))


def test_the_head_of_the_readme_trains(warm, config, tmp_path):
    module, lines = blocks('A head')
    (tmp_path / 'my_head.py').write_text(module)
    config = derive(config, lines)
    assert any('mask_projector' in name for name in train(warm, tmp_path, config))


def test_the_dataset_of_the_readme_trains_and_tests(warm, config, tmp_path):
    module, lines = blocks('A dataset')
    (tmp_path / 'my_dataset.py').write_text(module)
    frames = tmp_path / 'frames'
    frames.mkdir()
    rng = np.random.default_rng(0)
    for split in ('train', 'val'):
        names = [f'{split}_{number}.png' for number in range(12)]
        for name in names:
            Image.fromarray(rng.integers(0, 256, (48, 60, 3), dtype=np.uint8)).save(frames / name)
        pd.DataFrame({'image': names, 'score': rng.random(12)}).to_csv(frames / f'{split}.csv', index=False)
    config = derive(config, lines)
    train(warm, tmp_path, config)
    words = [ROOT / 'tools' / 'test.py', 'my_config.py', 'run/best.pth', '--out', 'test', '--data-root', frames]
    done = warm.call('python', *words, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr[-3000:]
    table = pd.read_csv(tmp_path / 'test' / 'predictions.csv')
    assert sorted(table.image) == sorted(f'val_{number}.png' for number in range(12))
