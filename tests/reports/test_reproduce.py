"""docs/reproduce.md names every row of the paper's tables, with commands that the tools accept."""

import csv
import re
import shlex
from pathlib import Path

import pytest
from helpers_tools import load_tool
from mmengine.config import Config

from miqa import train
from miqa.benchmark.methods import parse_methods
from miqa.engine import load_config
from miqa.evaluation.published import HUMAN_METHODS, TRAINED_METHODS, published_tables
from miqa.taxonomy import LABELS, TASKS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / 'docs' / 'reproduce.md').read_text(encoding='utf-8')
ROWS = re.findall(r'^\| ([\w-]+) \| (\w+) \| ([\d.]+) \| `(python tools/train.py [^`]+)` \|$', TEXT, flags=re.M)
BLOCKS = '\n'.join(re.findall(r'```bash\n(.*?)```', TEXT, flags=re.S)).replace('\\\n', ' ').splitlines()
FOLDERS = {
    'ResNet-18': 'resnet18', 'ResNet-50': 'resnet50', 'EfficientNet-b1': 'efficientnet_b1',
    'EfficientNet-b5': 'efficientnet_b5', 'ViT-small': 'vit_small', 'RA-MIQA': 'ra_miqa',
}  # fmt: skip


def arguments(command):
    return train.parse_arguments(shlex.split(command)[2:])


def test_every_trained_row_of_both_tables_has_exactly_one_command():
    rows = [row for row in published_tables().itertuples() if row.method in TRAINED_METHODS]
    expected = {(row.method, row.task, row.label, row.SRCC) for row in rows}
    labels = [arguments(command).label or 'composite' for *_, command in ROWS]
    result = [(method, task, label, float(srcc)) for (method, task, srcc, _), label in zip(ROWS, labels, strict=True)]
    assert len(result) == len(expected) == 6 * 3 + 4 * 3 + 4 * 3
    assert set(result) == expected


@pytest.mark.parametrize('row', ROWS, ids=lambda row: f'{row[0]}-{row[1]}-{row[3].partition("--label ")[2] or "c"}')
def test_a_rows_config_exists_and_is_that_methods_for_that_task(row):
    method, task, _, command = row
    args = arguments(command)
    assert args.config == f'configs/{FOLDERS[method]}_{task}.py'
    config = load_config(ROOT / args.config)
    assert isinstance(config, Config) and config.task == task and config.schedule.epochs == 5


def test_every_command_of_the_page_is_one_that_its_tool_accepts():
    lines = [shlex.split(line) for line in BLOCKS if line]
    assert len(lines) >= 5
    for python, script, *words in lines:
        assert python == 'python' and (ROOT / script).is_file(), script
        assert load_tool(script).parse_arguments(words)


def test_the_benchmarks_methods_are_the_papers_and_their_configs_exist(tmp_path):
    lines = [shlex.split(line)[2:] for line in BLOCKS if '{' in line]
    commands = [load_tool('tools/analysis/benchmark.py').parse_arguments(words) for words in lines]
    assert len(commands) == 2
    for args in commands:
        methods = parse_methods(args.methods, tmp_path, list(TASKS))
        assert {method.name for method in methods} == {*HUMAN_METHODS, *TRAINED_METHODS}
        for method in methods:
            if method.kind == 'model':
                config, _, checkpoint = method.source.partition(':')
                for task in TASKS:
                    assert (ROOT / config.replace('{task}', task)).is_file()
                assert '{task}' in checkpoint and '{label}' in checkpoint


def test_released_file_names_are_those_of_the_zoo():
    with open(ROOT / 'miqa' / 'apis' / 'zoo' / 'zoo.csv', encoding='utf-8') as stream:
        released = {row['file_name'] for row in csv.DictReader(stream)}
    named = re.findall(r'weights/(miqa_\w+\{task\}_\{label\}_metric\.pth\.tar)', TEXT)
    assert len(named) == 6
    filled = {name.format(task=task, label=label) for name in named for task in TASKS for label in LABELS}
    # The authors released 43 files; each must be reachable by one of the patterns.
    assert len(filled & released) >= 40
