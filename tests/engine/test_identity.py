"""A finished training is known by its config's values, the labels and the splits, and by nothing else."""

import json

import pytest
from helpers_config import write_tiny_config
from helpers_database import write_database

from miqa.engine.identity import training_identity
from miqa.layout import label_folder, split_path


@pytest.fixture
def parts(tmp_path):
    database = write_database(tmp_path / 'data', 'det', sources=4, val_sources=1)
    return database, write_tiny_config(tmp_path / 'tiny.py', database)


def test_packages_pictures_comments_and_other_configs_change_nothing(parts, tmp_path):
    database, config = parts
    before = training_identity(config, database)
    (label_folder(database, 'det') / 'manifest.json').write_text(json.dumps({'versions': {'pycocotools': '2.0.11'}}))
    next((database / 'miqa_det' / 'images').rglob('*.png')).touch()
    config.write_text('# a comment\n' + config.read_text())
    (tmp_path / 'other.py').write_text('x = 1\n')
    assert training_identity(config, database) == before and len(before) == 16


def test_a_value_of_the_config_a_label_and_a_split_change_it(parts):
    database, config = parts
    result = [training_identity(config, database)]
    config.write_text(config.read_text() + '\nbatch_size = 9\n')
    result.append(training_identity(config, database))
    label = sorted(label_folder(database, 'det').glob('*.csv'))[0]
    label.write_text(label.read_text() + '\n')
    result.append(training_identity(config, database))
    split = split_path(database, 'det', 'val')
    split.write_text(split.read_text() + '\n')
    result.append(training_identity(config, database))
    assert len(set(result)) == 4


def test_the_command_prints_a_line_for_each_config_and_nothing_else(warm, parts, tmp_path):
    database, config = parts
    command = ['python', '-m', 'miqa.engine.identity', '--data-root']
    done = warm.call(*command, database, config, config)
    assert done.stdout.splitlines() == [training_identity(config, database)] * 2
    lost = warm.call(*command, tmp_path, config)
    assert lost.returncode == 1 and 'There are no labels in' in lost.stderr and 'Traceback' not in lost.stderr
