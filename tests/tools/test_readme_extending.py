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


def train(warm, folder: Path, part: str, name: str) -> dict:
    """Run the README's own command on its own code, with a small config in place of the full-size one."""
    module, lines = blocks(part)
    (folder / name).write_text(module)
    assert "_base_ = 'configs/ra_miqa_det.py'" in lines
    (folder / 'my_config.py').write_text(lines.replace('configs/ra_miqa_det.py', 'tiny_det.py'))
    write_tiny_config(folder / 'tiny_det.py', write_database(folder / 'data', 'det', sources=6))
    (printed,) = re.findall(r'```bash\nPYTHONPATH=. (.*my_config.py.*)\n```', (ROOT / 'README.md').read_text('utf-8'))
    words = shlex.split(printed)
    words[words.index('data/miqd')] = str(folder / 'frames' if (folder / 'frames').is_dir() else folder / 'data')
    words[1] = str(ROOT / words[1])
    warm.must(*words, '--work-dir', 'run', '--epochs', 1, cwd=folder, PYTHONPATH=str(folder))
    return read_checkpoint(folder / 'run' / 'latest.pth')['state_dict']


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


@pytest.mark.parametrize(('part', 'file', 'tensor'), [
    ('A backbone', 'my_backbone.py', 'network.layers'), ('A head', 'my_head.py', 'mask_projector'),
])  # fmt: skip
def test_the_backbone_and_the_head_of_the_readme_train(warm, tmp_path, part, file, tensor):
    assert any(tensor in name for name in train(warm, tmp_path, part, file))


def test_the_dataset_of_the_readme_trains_and_tests(warm, tmp_path):
    frames = tmp_path / 'frames'
    frames.mkdir()
    rng = np.random.default_rng(0)
    for split in ('train', 'val'):
        names = [f'{split}_{number}.png' for number in range(12)]
        for name in names:
            Image.fromarray(rng.integers(0, 256, (48, 60, 3), dtype=np.uint8)).save(frames / name)
        pd.DataFrame({'image': names, 'score': rng.random(12)}).to_csv(frames / f'{split}.csv', index=False)
    train(warm, tmp_path, 'A dataset', 'my_dataset.py')
    words = [ROOT / 'tools' / 'test.py', 'my_config.py', 'run/best.pth', '--out', 'test', '--data-root', frames]
    warm.must('python', *words, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    table = pd.read_csv(tmp_path / 'test' / 'predictions.csv')
    assert sorted(table.image) == sorted(f'val_{number}.png' for number in range(12))
