"""Text files of any encoding that states itself, and the last step of writing, tried at the start."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers_refusals import refused

from miqa.annotations.coco import read_coco
from miqa.keeping.files import atomic_write, try_folder, try_writing, write_json
from miqa.outside.json_text import read_settings
from miqa.outside.regular_files import NotText, read_regular_text


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16', 'utf-32'])
def test_text_of_other_programs_is_read_in_the_encoding_that_it_states(tmp_path, encoding):
    path = tmp_path / 'names.txt'
    path.write_bytes('Tür\r\nZüge\rAuto\n'.encode(encoding))
    assert read_regular_text(path) == 'Tür\nZüge\nAuto\n'
    path.write_bytes('{"images": [], "annotations": [], "categories": [{"id": 1, "name": "Tür"}]}'.encode(encoding))
    assert list(read_coco(path).categories) == ['Tür'] and read_settings(path)['images'] == []


@pytest.mark.parametrize('data', ['Tür'.encode('latin-1'), 'car'.encode('utf-16-le'), b'\xff\xfea'])
def test_text_of_an_unknown_encoding_is_a_sentence(tmp_path, data):
    path = tmp_path / 'names.txt'
    path.write_bytes(data)
    refused(NotText, 'names.txt.*Save it as UTF-8', read_regular_text, path)


def failing(number: int, words: str):
    """A function that an operating system refuses."""

    def fail(*_, **options):
        raise OSError(number, words)

    return fail


def test_files_are_written_where_the_disk_has_no_permissions_and_cannot_wait(tmp_path, monkeypatch):
    for name in ('chmod', 'fchmod', 'umask', 'utime'):
        monkeypatch.setattr(os, name, failing(errno.EPERM, 'Operation not permitted'))
    monkeypatch.setattr(os, 'fsync', failing(errno.EINVAL, 'Invalid argument'))
    try_writing(tmp_path / 'new/a.json')
    write_json(tmp_path / 'new/a.json', {'a': 1})
    assert json.loads((tmp_path / 'new/a.json').read_text()) == {'a': 1}
    assert [path.name for path in (tmp_path / 'new').iterdir()] == ['a.json']


def test_a_full_disk_is_not_taken_for_one_without_fsync(tmp_path, monkeypatch):
    monkeypatch.setattr(os, 'fsync', failing(errno.ENOSPC, 'No space left'))
    refused(OSError, 'No space', write_json, tmp_path / 'a.json', 1)


def test_a_full_disk_is_reported_with_the_file_that_has_no_room(tmp_path, monkeypatch):
    with (
        pytest.raises(OSError, match=r'part\.csv cannot be written: No space left on device\. Make room') as full,
        atomic_write(tmp_path / 'whole.csv'),
        atomic_write(tmp_path / 'part.csv'),
        open('/dev/full', 'wb') as disk,
    ):
        disk.write(b'x')
    assert full.value.errno == errno.ENOSPC and not list(tmp_path.iterdir())
    # At the start, too: a full disk takes files that are empty.
    monkeypatch.setattr(Path, 'write_bytes', failing(errno.ENOSPC, 'No space left'))
    refused(OSError, 'a.csv cannot be written: No space left .*Make room', try_writing, tmp_path / 'a.csv')


@pytest.mark.parametrize('place', ['folder', 'file/below.csv', 'x' * 300 + '.csv', '/proc/no/a.csv', 'pipe'])
def test_a_place_where_nothing_can_be_written_is_known_at_the_start(tmp_path, place):
    (tmp_path / 'folder').mkdir()
    (tmp_path / 'file').touch()
    os.mkfifo(tmp_path / 'pipe')
    refused((OSError, ValueError), 'Name a|not a file', try_writing, tmp_path / place)
    refused(IsADirectoryError, 'folder is a folder, .* move it away', write_json, tmp_path / 'folder', 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['file', 'folder', 'pipe']


def test_a_file_is_not_a_folder_to_write_into(tmp_path):
    (tmp_path / 'file').touch()
    refused(NotADirectoryError, 'Name another', try_folder, tmp_path / 'file')
    try_folder(tmp_path / 'new/inner')
    assert list((tmp_path / 'new/inner').iterdir()) == []
    (tmp_path / 'new/trial').mkdir()
    try_folder(tmp_path / 'new')
    program = 'import sys; from miqa.keeping.files import try_folder; try_folder("empty/inner"); try_folder("one/more")'
    subprocess.run([sys.executable, '-c', f'{program}; open("one/result", "w")'], cwd=tmp_path, check=True)
    assert {path.name for path in tmp_path.rglob('*')} == {'file', 'new', 'inner', 'trial', 'one', 'result'}


def test_a_link_stays_and_the_file_that_it_leads_to_is_written(tmp_path):
    (tmp_path / 'disk').mkdir()
    for name, place in (('new.json', 'disk/new.json'), ('lost.json', 'gone/a.json'), ('loop.json', 'loop.json')):
        (tmp_path / name).symlink_to(place)
    for value in (1, 2):
        try_writing(tmp_path / 'new.json')
        write_json(tmp_path / 'new.json', value)
    assert (tmp_path / 'new.json').is_symlink() and json.loads((tmp_path / 'disk/new.json').read_text()) == 2
    for name in ('lost.json', 'loop.json'):
        refused(OSError, f'{name} cannot be written: it is a link', try_writing, tmp_path / name)
        refused(OSError, 'it is a link', write_json, tmp_path / name, 1)
    assert not (tmp_path / 'gone').exists()


def test_a_file_mounted_by_itself_is_refused_at_the_start_as_it_cannot_be_replaced(tmp_path, monkeypatch):
    (tmp_path / 'a b.csv').touch()
    place = str(tmp_path / 'a b.csv').replace(' ', '\\040')
    (tmp_path / 'mounts').write_text(f'45 27 254:0 /x {place} rw,relatime - ext4 /dev/vda rw\n')
    monkeypatch.setattr('miqa.keeping.files._MOUNTS', tmp_path / 'mounts')
    refused(OSError, r'a b\.csv cannot be written: it is mounted by itself', try_writing, tmp_path / 'a b.csv')
    try_writing(tmp_path / 'b.csv')
