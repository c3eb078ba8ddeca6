"""The index of a split: when it is built again, where it lies, and who builds it."""

import os
import pickle
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from helpers_database import source_ids, write_database, write_split
from helpers_label_files import cls_file, edit, put
from helpers_refusals import refused

from miqa.datasets import DatabaseError, open_index
from miqa.datasets import index_store as store

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


def test_a_killed_builder_blocks_nobody(warm, cls_root):
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
