"""What a path may lead to besides a file: nothing of it is opened, and nothing waits."""

import os
import pkgutil
import socket
import subprocess
import sys
import threading

import pytest
from helpers_refusals import refused

from miqa.outside.regular_files import NotARegularFile, check_regular, open_regular, read_regular, read_regular_text


@pytest.fixture
def odd_paths(tmp_path, monkeypatch):
    """Paths to what is not a file, by what it is called."""
    (tmp_path / 'folder.jpg').mkdir()
    os.mkfifo(tmp_path / 'pipe.jpg')
    (tmp_path / 'link.jpg').symlink_to(tmp_path / 'pipe.jpg')
    (tmp_path / 'zero.jpg').symlink_to('/dev/zero')
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    listening = socket.socket(socket.AF_UNIX)
    listening.bind('socket.jpg')
    kinds = {'folder': 'a folder', 'pipe': 'pipe', 'link': 'pipe', 'zero': 'a device', 'socket': 'a socket'}
    yield {tmp_path / f'{name}.jpg': words for name, words in kinds.items()}
    listening.close()


def quick(function, *args):
    """Call in a thread, so that a call that waits for ever fails the test and not the run."""
    outcome = []

    def call():
        try:
            outcome.append(function(*args))
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive(), 'it waits for ever'
    return outcome[0]


@pytest.mark.parametrize('reader', [open_regular, read_regular, read_regular_text, check_regular])
def test_entries_that_are_not_files_are_named_and_never_opened(reader, odd_paths):
    for path, words in odd_paths.items():
        error = quick(reader, path)
        assert isinstance(error, NotARegularFile) and words in str(error) and str(path) in str(error)


def test_a_file_is_read_through_links_and_under_any_name(tmp_path):
    name = os.fsencode(tmp_path) + b'/\xff\n"-.bin'
    with open(name, 'wb') as stream:
        stream.write(b'data')
    (tmp_path / 'link').symlink_to(os.fsdecode(name))
    assert read_regular(name) == read_regular(os.fsdecode(name)) == read_regular(tmp_path / 'link') == b'data'


def test_a_missing_file_and_a_path_that_cannot_be_one_are_sentences(tmp_path):
    (tmp_path / 'file').touch()
    for gone in (tmp_path / 'gone', tmp_path / 'file' / 'below'):
        refused(FileNotFoundError, 'There is no image file .*', open_regular, gone, kind='image file')
    refused(NotARegularFile, 'cannot be the path', open_regular, 'a\0b')


def test_a_file_above_the_limit_is_refused_before_it_is_read(tmp_path):
    with open(tmp_path / 'sparse', 'wb') as stream:
        stream.truncate(1 << 40)
    refused(NotARegularFile, 'too large', read_regular, tmp_path / 'sparse')


def test_what_replaces_the_file_between_look_and_opening_is_found(tmp_path, monkeypatch):
    path = tmp_path / 'picture.jpg'
    path.write_bytes(b'x')
    real = os.open

    def swap(name, flags, *rest):
        path.unlink()
        os.mkfifo(path)
        return real(name, flags, *rest)

    monkeypatch.setattr(os, 'open', swap)
    assert isinstance(quick(open_regular, path), NotARegularFile)


def resolved(name):
    return pkgutil.resolve_name(f'miqa.{name}')


#: Every reader of a path, by what it reads.
READERS = {
    'exported model': lambda path: resolved('apis.model:MIQAModel')(weights=path.with_suffix('.onnx')),
    'weights': lambda path: resolved('apis.model:MIQAModel')(weights=path),
    'preview': lambda path: resolved('pictures.reading:read_preview')(path, 1000),
    'sealed JSON': lambda path: resolved('keeping.sealed:read_sealed_json')(path, 'again'),
    'sealed batch': lambda path: resolved('keeping.sealed:read_batch')(path, 'again'),
    **{name: lambda path, place=place: resolved(place)(path) for name, place in (
        ('picture', 'pictures:read_image'), ('size of a picture', 'pictures.reading:picture_size'),
        ('names', 'distortions.sources:read_names'), ('annotations', 'annotations.coco:read_coco'),
        ('gate', 'apis.gate_fit:Gate.load'), ('settings', 'outside.json_text:read_settings'),
        ('shard', 'datasets.packed:open_shard'), ('digest', 'keeping:sha256_of_file'),
        ('video', 'apis.video.reading:open_video'),
    )},
}  # fmt: skip


@pytest.mark.parametrize('kind', ['pipe', 'device'])
def test_no_reader_waits_for_a_pipe_or_reads_a_device(kind, tmp_path):
    for name, reader in READERS.items():
        path = tmp_path / f'{name}.jpg'
        for place in (path, path.with_suffix('.onnx')):
            os.mkfifo(place) if kind == 'pipe' else place.symlink_to('/dev/zero')
        error = quick(reader, path)
        assert isinstance(error, (ValueError, OSError)), f'{name}: {error!r}'
        assert name in str(error), f'{name}: {error!r}'


def test_reading_reserves_what_the_file_has_and_not_what_it_may_have(tmp_path):
    path = tmp_path / 'small.json'
    path.write_bytes(b'{"a": 1}')
    program = (
        'import resource, sys\n'
        'from miqa.outside.regular_files import WEIGHTS_BYTES, read_regular\n'
        'used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()\n'
        'resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20),) * 2)\n'
        'assert read_regular(sys.argv[1], WEIGHTS_BYTES) == b\'{"a": 1}\'\n'
    )
    done = subprocess.run([sys.executable, '-c', program, str(path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_a_file_that_says_it_is_empty_is_read_whole():
    assert b'VmPeak' in read_regular('/proc/self/status')
