"""The index of a split: what it holds, what it refuses, when it is built again, and who builds it."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers_database import ALL_VERSIONS, label_values, source_ids, write_database, write_split
from helpers_label_files import cls_file, det_file, edit, put
from helpers_refusals import refused

from miqa.datasets import DatabaseError, open_index
from miqa.datasets import index_store as store
from miqa.taxonomy import TASKS, Version, version_name

# What it holds


@pytest.mark.parametrize('task', TASKS)
def test_every_sample_is_there_in_order_with_its_labels(task, tmp_path):
    root = write_database(tmp_path, task, versions=ALL_VERSIONS[::9], size=(4, 4))
    index = open_index(root, task, 'train')
    row = 0
    for source in source_ids(task, 4)[:3]:
        versions = [Version(source, *version) for version in ALL_VERSIONS[::9]]
        values = label_values(source, versions, task)
        for i, version in enumerate(versions):
            assert index.version(row) == version
            assert index.image(row) == f'{source}/{version_name(version)}'
            consistency, accuracy = values['consistency'][i], values['accuracy'][i]
            assert index.labels('consistency')[row] == np.float32(consistency)
            assert index.labels('accuracy')[row] == np.float32(accuracy)
            assert index.labels('composite')[row] == np.float32(0.5 * consistency + 0.5 * accuracy)
            row += 1
    assert len(index) == row == 3 * 28


def test_det_and_ins_share_images_but_not_labels(tmp_path):
    for task in ('det', 'ins'):
        write_database(tmp_path, task, versions=4, size=(4, 4))
    det, ins = open_index(tmp_path, 'det', 'val'), open_index(tmp_path, 'ins', 'val')
    assert [det.image(i) for i in range(4)] == [ins.image(i) for i in range(4)]
    assert not np.array_equal(det.labels('composite'), ins.labels('composite'))


def test_dist_images_may_carry_their_folder_and_optional_columns(tmp_path, cls_root):
    other = write_database(tmp_path / 'b', 'cls', versions=5, size=(4, 4), folder_in_names=True, extra_columns=True)
    first, second = open_index(cls_root, 'cls', 'train'), open_index(other, 'cls', 'train')
    assert [first.image(i) for i in range(15)] == [second.image(i) for i in range(15)]
    assert np.array_equal(first.labels('composite'), second.labels('composite'))


def test_columns_in_another_order_quotes_blank_lines_and_windows_line_ends_are_read(cls_root):
    before = open_index(cls_root, 'cls', 'train')
    images, labels = [before.image(i) for i in range(15)], before.labels('composite').copy()
    first, second, third = (cls_file(cls_root, number) for number in range(3))
    edit(first, lambda table: table[['weighted_accuracy', 'dist_images', 'weighted_consistency']])
    lines = second.read_text().splitlines()
    second.write_bytes('\r\n'.join([f'"{lines[0].replace(",", chr(34) + "," + chr(34))}"', *lines[1:]]).encode())
    third.write_bytes(b'\xef\xbb\xbf' + third.read_text().replace('\n', '\n\n', 2).encode())
    after = open_index(cls_root, 'cls', 'train')
    assert [after.image(i) for i in range(15)] == images
    assert np.array_equal(after.labels('composite'), labels)


def test_other_file_suffixes_are_kept(cls_root):
    source = source_ids('cls', 4)[0]
    folder = cls_root / 'miqa_cls' / 'images' / source
    name = next(folder.iterdir()).name
    (folder / name).rename(folder / name.replace('.png', '.jpeg'))
    edit(cls_file(cls_root), lambda table: table.replace(name, name.replace('.png', '.jpeg')))
    index = open_index(cls_root, 'cls', 'train')
    images = [index.image(i) for i in range(15)]
    assert f'{source}/{name.replace(".png", ".jpeg")}' in images
    assert sum(image.endswith('.png') for image in images) == 14


def test_sources_of_different_lengths_are_distinguished(tmp_path):
    root = write_database(tmp_path, 'cls', versions=5, size=(4, 4))
    longer = 'my_photo_snow_1'
    old = source_ids('cls', 4)[1]
    (root / 'miqa_cls' / 'images' / old).rename(root / 'miqa_cls' / 'images' / longer)
    for path in (root / 'miqa_cls' / 'images' / longer).iterdir():
        path.rename(path.with_name(path.name.replace(old, longer)))
    text = cls_file(root, 1).read_text().replace(old, longer)
    (root / 'miqa_cls' / 'labels' / f'{longer}_mmos.csv').write_text(text)
    write_split(root, 'cls', 'train', [source_ids('cls', 4)[0], longer])
    index = open_index(root, 'cls', 'train')
    assert {index.version(i).source for i in range(5, 10)} == {longer}


def test_the_file_can_be_read_with_pandas(det_root):
    table = pd.read_feather(open_index(det_root, 'det', 'train').path)
    assert list(table.columns) == [
        'source', 'distortion', 'fg_level', 'bg_level', 'suffix', 'composite', 'accuracy', 'consistency',
    ]  # fmt: skip
    assert table['source'].astype(str).tolist()[:5] == [source_ids('det', 4)[0]] * 5


def test_a_pickled_index_is_a_path_and_maps_the_same_file(det_root):
    index = open_index(det_root, 'det', 'train')
    data = pickle.dumps(index)
    assert len(data) < 1000
    copy = pickle.loads(data)
    assert np.array_equal(copy.labels('accuracy'), index.labels('accuracy'))
    with pytest.raises(ValueError, match='read-only'):
        copy.labels('accuracy')[0] = 1


# What it refuses: (change, words of the message)


@pytest.mark.parametrize('change, words', [
    (lambda t: t.drop(columns='weighted_accuracy'), "no column 'weighted_accuracy'"),
    (lambda t: t.rename(columns={'dist_images': 'images'}), "no column 'dist_images'"),
    (lambda t: pd.concat([t, t.iloc[[1]]]), 'row 6 of {file} repeats row 2'),
    (put('weighted_consistency', 2, ''), 'weighted_consistency in row 3 of {file} is missing or NaN'),
    (put('weighted_accuracy', 0, 'nan'), 'weighted_accuracy in row 1 of {file} is missing or NaN'),
    (put('weighted_accuracy', 4, '1.01'), 'weighted_accuracy in row 5 of {file} is 1.01, outside [0, 1]'),
    (put('weighted_accuracy', 4, '-0.5'), 'row 5 of {file} is -0.5, outside [0, 1]'),
    (put('weighted_accuracy', 3, 'good'), "weighted_accuracy in row 4 of {file} is 'good', not a number"),
    (put('dist_images', 1, 'x.png'), "row 2 of {file} is wrong: 'x.png' is not a MIQD file name"),
    (put('dist_images', 1, ''), "row 2 of {file} is wrong: '' is not a MIQD file name"),
    (put('dist_images', 1, 'other_snow_1.png'), 'other_snow_1.png in row 2 of {file} is a version of other,'),
    (put('dist_images', 1, 'x/o_snow_1.png'), "'x/o_snow_1.png' in row 2 of {file} should lie in the folder"),
    (put('dist_images', 1, 'ILSVRC2012_val_00000001_snow_1'), 'lacks a file suffix'),
    (put('dist_images', 1, 'ILSVRC2012_val_00000001_snow_fg_stronger_fg1_bg4.png'), 'says fg_stronger'),
    (lambda t: t.iloc[:0], 'label file {file} has a header but no rows'),
])  # fmt: skip
def test_a_bad_cls_label_file_is_refused_with_file_and_row(cls_root, change, words):
    edit(cls_file(cls_root), change)
    caught = refused(DatabaseError, '', open_index, cls_root, 'cls', 'train')
    assert words.replace('{file}', str(cls_file(cls_root))) in str(caught)
    assert not list(cls_root.rglob('*.arrow'))


@pytest.mark.parametrize('content, words', [
    (b'', "no column 'dist_images'"),
    (b'\xff\xfe\x00', 'is not UTF-16 text'),
    (b'dist_images,weighted_consistency,weighted_accuracy\na,0.5\n', '{file}: row 1 has 2 fields; its header has 3'),
    (b'dist_images,weighted_consistency,weighted_accuracy,weighted_accuracy\n', 'more than one column'),
])  # fmt: skip
def test_a_file_that_is_not_a_table_is_refused(cls_root, content, words):
    cls_file(cls_root).write_bytes(content)
    caught = refused(DatabaseError, '', open_index, cls_root, 'cls', 'train')
    assert words.replace('{file}', str(cls_file(cls_root))) in str(caught)


def test_a_bad_row_in_the_middle_of_many_files_is_found(tmp_path):
    root = write_database(tmp_path, 'cls', sources=8, versions=5, size=(4, 4))
    path = root / 'miqa_cls' / 'labels' / f'{source_ids("cls", 8)[4]}_mmos.csv'
    edit(path, put('weighted_accuracy', 3, '7'))
    refused(DatabaseError, rf'row 4 of {path} is 7, outside', open_index, root, 'cls', 'train')


@pytest.mark.parametrize('label, other', [('accuracy', 'consistency'), ('consistency', 'accuracy')])
def test_det_files_must_list_the_same_images(det_root, label, other):
    name = pd.read_csv(det_file(det_root, label))['filename'][2]
    edit(det_file(det_root, other), lambda table: table[table['filename'] != name])
    caught = refused(DatabaseError, '', open_index, det_root, 'det', 'train')
    assert f'{name} is in {det_file(det_root, label)} but not in {det_file(det_root, other)}' in str(caught)


def test_det_files_are_joined_by_name_not_by_row(det_root):
    before = open_index(det_root, 'det', 'train').labels('composite').copy()
    edit(det_file(det_root, 'consistency'), lambda table: table.sample(frac=1, random_state=3))
    assert np.array_equal(open_index(det_root, 'det', 'train').labels('composite'), before)
    # An order that differs in accuracy.csv changes the order of the samples, not their labels.
    edit(det_file(det_root, 'accuracy'), lambda table: table.iloc[::-1])
    after = open_index(det_root, 'det', 'train').labels('composite')
    assert np.array_equal(after[:5], before[:5][::-1]) and np.array_equal(after[5:], before[5:])


def test_the_same_version_as_two_files_does_not_join(det_root):
    edit(det_file(det_root, 'accuracy'), lambda table: table.replace(r'\.png', '.jpg', regex=True))
    with pytest.raises(DatabaseError, match=r'\.jpg is in .*accuracy.csv but not in .*consistency.csv'):
        open_index(det_root, 'det', 'train')


# Missing files


def test_missing_images_are_refused_or_left_out_and_listed(cls_root, log):
    folder = cls_root / 'miqa_cls' / 'images'
    gone = sorted((folder / source_ids('cls', 4)[0]).iterdir())[:2]
    for path in gone:
        path.unlink()
    shutil.rmtree(folder / source_ids('cls', 4)[1])
    refused(DatabaseError, r"7 of 15 images are missing in .*missing='skip'", open_index, cls_root, 'cls', 'train')
    index = open_index(cls_root, 'cls', 'train', missing='skip')
    assert len(index) == 8 and index.info['missing'] == 7
    assert not {index.image(i) for i in range(8)} & {f'{path.parent.name}/{path.name}' for path in gone}
    listed = index.path.with_suffix('.missing.txt').read_text().splitlines()
    assert {f'{path.parent.name}/{path.name}' for path in gone} < set(listed) and len(listed) == 7
    assert any('Skipped: 7 of 15 images' in text for text in log)


def test_missing_images_that_come_back_are_noticed(cls_root):
    path = next((cls_root / 'miqa_cls' / 'images' / source_ids('cls', 4)[0]).iterdir())
    data = path.read_bytes()
    path.unlink()
    assert len(open_index(cls_root, 'cls', 'train', missing='skip')) == 14
    path.write_bytes(data)
    index = open_index(cls_root, 'cls', 'train')
    assert len(index) == 15
    assert not index.path.with_suffix('.missing.txt').exists()


def test_a_missing_label_file_is_refused_or_left_out(det_root, log):
    det_file(det_root, 'consistency', 1).unlink()
    with pytest.raises(FileNotFoundError, match=r'1 of 3 sources .* lack a label file .*000000000278'):
        open_index(det_root, 'det', 'train')
    index = open_index(det_root, 'det', 'train', missing='skip')
    assert len(index) == 10 and index.info['without_labels'] == [source_ids('det', 4)[1]]
    assert any('1 sources of the train split have no label file' in text for text in log)


def test_nothing_there_at_all_is_an_error_even_with_skip(cls_root):
    shutil.rmtree(cls_root / 'miqa_cls' / 'images')
    (cls_root / 'miqa_cls' / 'images').mkdir()
    with pytest.raises(DatabaseError, match='None of the 15 images .* expected, for example'):
        open_index(cls_root, 'cls', 'train', missing='skip')
    shutil.rmtree(cls_root / 'miqa_cls' / 'labels')
    (cls_root / 'miqa_cls' / 'labels').mkdir()
    refused(FileNotFoundError, '3 of 3 sources', open_index, cls_root, 'cls', 'train', missing='skip')


@pytest.mark.parametrize('remove, words', [
    ('.', 'There is no data root'), ('miqa_cls/labels', 'There is no folder'),
    ('miqa_cls/images', 'There is no folder'), ('splits', 'There is no split file'),
])  # fmt: skip
def test_a_missing_part_of_the_layout_is_named(cls_root, remove, words):
    shutil.rmtree(cls_root / remove)
    refused(FileNotFoundError, words, open_index, cls_root, 'cls', 'train')


def test_unknown_words_are_refused(cls_root):
    refused(ValueError, "Unknown task 'clss'. Did you mean 'cls'", open_index, cls_root, 'clss', 'train')
    refused(ValueError, 'Unknown split', open_index, cls_root, 'cls', 'training')
    refused(ValueError, "value of 'missing'", open_index, cls_root, 'cls', 'train', missing='ignore')


def test_the_information_is_plain_json(cls_root):
    info = open_index(cls_root, 'cls', 'train').info
    assert json.loads(json.dumps(info)) == info
    assert info['official'] is False


# When it is built again


def built(root, task='cls', split='train', **options):
    index = open_index(root, task, split, **options)
    return index.path.stat().st_ino, index


def test_it_is_built_once_and_again_after_a_change(cls_root):
    first, _ = built(cls_root)
    assert built(cls_root)[0] == first
    assert built(cls_root, split='test')[1].info['split'] == 'val'
    edit(cls_file(cls_root), put('weighted_accuracy', 0, '0.125'))
    second, index = built(cls_root)
    assert second != first and index.labels('accuracy')[0] == 0.125
    # A change of the other split may make the two overlap, so it counts too.
    write_split(cls_root, 'cls', 'train', source_ids('cls', 4)[:2])
    third, index = built(cls_root)
    assert third != second and len(index) == 10


@pytest.mark.parametrize('later', [0, 1])
def test_a_change_of_a_time_stamp_alone_builds_again(cls_root, later):
    first, _ = built(cls_root)
    status = cls_file(cls_root).stat()
    os.utime(cls_file(cls_root), ns=(status.st_atime_ns, status.st_mtime_ns + later))  # sets the time of change
    assert built(cls_root)[0] != first


@pytest.mark.parametrize('damage', [lambda data: data[: len(data) // 2], lambda data: b'', lambda data: b'x' * 999])
def test_a_damaged_index_is_built_again(cls_root, damage):
    _, index = built(cls_root)
    index.path.write_bytes(damage(index.path.read_bytes()))
    assert len(open_index(cls_root, 'cls', 'train')) == 15


def test_an_index_that_was_rebuilt_meanwhile_is_refused_by_a_worker(cls_root):
    _, index = built(cls_root)
    data = pickle.dumps(index)
    edit(cls_file(cls_root), put('weighted_accuracy', 0, '0.125'))
    built(cls_root)
    refused(DatabaseError, 'other label or split files', pickle.loads, data)


# Where it is, and who builds it


def test_a_data_root_that_cannot_be_written_gets_its_index_in_the_cache(cls_root, tmp_path, monkeypatch, log):
    monkeypatch.setenv('MIQA_HOME', str(tmp_path / 'home'))
    # Tests may run as root, whom permissions do not stop.
    real = store.writable_folder
    monkeypatch.setattr(store, 'writable_folder', lambda path: cls_root not in Path(path).parents and real(path))
    index = open_index(cls_root, 'cls', 'train')
    assert (tmp_path / 'home') in index.path.parents and len(index) == 15
    assert any('cannot be written; the index goes to' in text for text in log)
    inode = index.path.stat().st_ino
    assert open_index(cls_root, 'cls', 'train').path.stat().st_ino == inode
    monkeypatch.setattr(store, 'writable_folder', lambda path: False)
    edit(cls_file(cls_root), put('weighted_accuracy', 0, '0.125'))
    refused(DatabaseError, 'MIQA_HOME', open_index, cls_root, 'cls', 'train')


SCRIPT = """
import sys, time
from miqa.datasets import index_store
real, root, started = index_store.build_index, sys.argv[1], float(sys.argv[2])
def slow(*arguments):
    print('building', flush=True)
    time.sleep(started)
    real(*arguments)
index_store.build_index = slow
print(len(index_store.open_index(root, 'cls', 'train')), 'samples', flush=True)
"""


def start(warm, root, seconds):
    command = [warm.folder / 'python', '-c', SCRIPT, root, str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_of_processes_that_ask_at_once_one_builds(warm, cls_root):
    running = [start(warm, cls_root, 1) for _ in range(2)]
    outputs = [process.communicate(timeout=120)[0] for process in running]
    assert all('15 samples' in output for output in outputs), outputs
    assert sum('building' in output.splitlines() for output in outputs) == 1


def test_a_killed_builder_blocks_no_other_process(warm, cls_root):
    victim = start(warm, cls_root, 600)
    while 'building' not in victim.stdout.readline():
        assert victim.poll() is None
    victim.send_signal(signal.SIGKILL)
    victim.communicate()  # its end: the command itself holds the pipe
    started = time.process_time()
    assert len(open_index(cls_root, 'cls', 'train')) == 15
    assert time.process_time() - started < 60
    assert [path.name for path in cls_root.joinpath('.miqa_index').glob('*.arrow')] == ['cls_train.arrow']


def test_without_file_locks_it_is_built_all_the_same(cls_root, monkeypatch, log):
    def no_locks(*arguments, **options):
        raise NotImplementedError('no locks here')

    monkeypatch.setattr(store.FileLock, 'acquire', no_locks)
    assert len(open_index(cls_root, 'cls', 'train')) == 15
    assert any('No file locks' in text for text in log)


def test_slow_file_systems_are_listed_in_parallel_with_the_same_result(tmp_path, monkeypatch):
    from miqa.datasets import index as module

    root = write_database(tmp_path, 'cls', sources=12, versions=5, size=(4, 4))
    next((root / 'miqa_cls' / 'images' / source_ids('cls', 12)[7]).iterdir()).unlink()
    serial = open_index(root, 'cls', 'train', missing='skip')
    images = [serial.image(i) for i in range(len(serial))]
    shutil.rmtree(root / '.miqa_index')
    monkeypatch.setattr(module, '_SLOW_LISTING', 0)
    monkeypatch.setattr(module, '_PROBED_FOLDERS', 3)
    parallel = open_index(root, 'cls', 'train', missing='skip')
    assert [parallel.image(i) for i in range(len(parallel))] == images and parallel.info['missing'] == 1
