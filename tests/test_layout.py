"""One home for the layout: what the building half writes, the learning half reads, by names of MIQD-2.5M."""

import ast
from pathlib import Path

import pytest
from helpers_refusals import refused

import miqa.datasets
import miqa.labelling
import miqa.machines
from miqa import layout
from miqa.datasets.label_files import read_labels
from miqa.labelling.label_files import write_labels
from miqa.taxonomy import TASKS

PACKAGE = Path(__file__).parents[1] / 'miqa'

# Names of MIQD-2.5M's own files, as its authors publish them and the paper's README lists them.
MIQD_CLS = (
    'dist_images weighted_consistency weighted_accuracy mean_consistency std_consistency mean_accuracy std_accuracy'
)
MIQD_DET = 'filename AP_weighted_avg AP_mean AP_std AP75_weighted_avg AP75_mean AP75_std'


def test_the_columns_and_files_are_those_of_miqd():
    assert ' '.join(layout.label_file_columns('cls', 'both')) == MIQD_CLS
    for task in ('det', 'ins'):
        for label in ('accuracy', 'consistency'):
            assert ' '.join(layout.label_file_columns(task, label)) == MIQD_DET
    assert layout.label_paths('x', 'cls', 'a') == {'both': 'x/a_mmos.csv'}
    paths = {'accuracy': 'x/a_accuracy.csv', 'consistency': 'x/a_consistency.csv'}
    assert layout.label_paths('x', 'ins', 'a') == paths


def test_an_image_root_is_the_folder_with_one_folder_for_each_source_everywhere():
    assert layout.image_root('db', 'ins') == layout.image_root('db', 'det') == Path('db/miqa_det/images')
    assert miqa.machines.image_root is layout.image_root
    assert miqa.datasets.split_path is layout.split_path
    assert layout.task_folder('db', 'ins') == Path('db/miqa_ins')


@pytest.mark.parametrize('task', TASKS)
def test_labels_that_are_written_are_read_again(tmp_path, task):
    name = '000000000139_snow_bg_stronger_fg1_bg4.png'
    rows = {
        label: [
            dict.fromkeys(layout.label_file_columns(task, label), 0.125)
            | {layout.NAME_COLUMN[task]: name, layout.label_columns(task, 'accuracy').weighted: 0.5}
        ]
        for label in layout.label_endings(task)
    }
    write_labels(tmp_path, task, '000000000139', rows)
    table = read_labels(tmp_path, task, ['000000000139'])
    assert table.name(0) == name
    assert table.values['accuracy'].tolist() == [0.5]
    assert table.values['consistency'].tolist() == [0.125 if task == 'cls' else 0.5]


@pytest.mark.parametrize(('task', 'entry', 'source'), [
    ('cls', 'ILSVRC2012_val_00000001.JPEG', 'ILSVRC2012_val_00000001'), ('cls', ' a.b.png ', 'a.b'),
    ('cls', 'no.suffix.of.a.picture', 'no.suffix.of.a.picture'), ('det', '139', '000000000139'),
    ('ins', '000000000139', '000000000139'),
])  # fmt: skip
def test_an_entry_of_a_split_file_names_a_source(task, entry, source):
    assert layout.source_of_entry(entry, task, 'row 1') == source


@pytest.mark.parametrize(
    ('task', 'entry'),
    [('cls', None), ('cls', ''), ('cls', '../a.png'), ('cls', '..'), ('cls', 'a\\b'), ('cls', 'a\0'), ('det', 'a'),
     ('det', '-1'), ('det', '1.5'), ('det', '1234567890123'), ('det', '²')],
)  # fmt: skip
def test_an_entry_that_names_none_is_refused_with_its_place(task, entry):
    refused(ValueError, 'in row 7 is .*; expected a', layout.source_of_entry, entry, task, 'row 7')


def test_no_other_module_writes_these_names_again():
    names = {'src_images', 'dist_images', 'AP_weighted_avg', 'weighted_consistency', 'Image Name', 'Image Index',
             'build.json', '_binary_mask.png', '_mmos.csv', '.miqa_index', 'packed.json', 'manifests',
             'images.arrow', 'packing.json', 'splits', 'ground_truth.csv', 'ground_truth.json'}  # fmt: skip
    results = []
    for path in PACKAGE.rglob('*.py'):
        if path.name == 'layout.py':
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Constant) and node.value in names:
                results.append(f'{path.relative_to(PACKAGE)}:{node.lineno} {node.value!r}')
    assert not results
