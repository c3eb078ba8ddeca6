"""MIQD-2.5M from the Hub: archives of several kinds become the layout, and nothing leads out of it."""

import io
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from miqa.datasets import DatabaseError
from miqa.datasets.hub_files import HubFile, choose_parts, get_part, sort_files

ROOT = Path(__file__).parents[2]


class FolderHub:
    """A folder in place of the Hub; counts what is fetched."""

    def __init__(self, folder: Path):
        self.folder, self.fetched = folder, []

    def files(self):
        paths = sorted(path for path in self.folder.rglob('*') if path.is_file())
        return [HubFile(path.relative_to(self.folder).as_posix(), path.stat().st_size) for path in paths]

    def fetch(self, path, folder):
        self.fetched.append(path)
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.folder / path, target)
        return target


MEMBERS = {
    'images/000000000139/000000000139_fog_1.png': b'one',
    'deep/er/000000000139/000000000139_fog_fg_stronger_fg5_bg1.png': b'two', 'readme.txt': b'no picture',
    '../../../000000000139/000000000139_snow_1.png': b'three', '/etc/passwd': b'no', '.hidden.png': b'no',
}  # fmt: skip


def write_tar(path, members, mode='w'):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo('000000000139/000000000139_link_1.png')
        link.type, link.linkname = tarfile.SYMTYPE, '/etc/passwd'
        archive.addfile(link)


def write_zip(path, members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, 'w') as archive:
        for name, content in members.items():
            archive.writestr(name, content)


@pytest.fixture
def hub(tmp_path):
    folder = tmp_path / 'hub'
    write_tar(folder / 'miqa_det' / 'images_part1.tar', MEMBERS)
    write_zip(folder / 'whole.zip', {'x/000000000285/000000000285_fog_1.png': b'four' * 1000})
    whole = (folder / 'whole.zip').read_bytes()
    (folder / 'whole.zip').unlink()
    for number, start in enumerate(range(0, len(whole), 1500), 1):
        (folder / 'miqa_det' / f'images_part2.zip.{number:03}').write_bytes(whole[start : start + 1500])
    write_zip(folder / 'miqa_det_labels.zip', {'labels/000000000139_accuracy.csv': b'filename,AP_weighted_avg\n'})
    write_zip(folder / 'instance_segmentation_labels.zip', {'000000000139_accuracy.csv': b'filename\n'})
    (folder / 'README.md').write_text('About.')
    return FolderHub(folder)


def test_archives_in_pieces_become_the_layout_and_other_members_are_named(hub, tmp_path):
    parts, strange = sort_files(hub.files())
    assert [file.path for file in strange] == ['README.md']
    chosen = choose_parts(parts, strange, ['ins', 'det'], ['labels', 'images'])
    assert {part.name for part in chosen} == {
        'miqa_det/images_part1.tar', 'miqa_det/images_part2.zip', 'miqa_det_labels.zip',
        'instance_segmentation_labels.zip',
    }  # fmt: skip
    root = tmp_path / 'data'
    results = {part.name: get_part(hub, part, root, root / '.download') for part in chosen}
    assert results['miqa_det/images_part1.tar'] == (3, ['readme.txt', '/etc/passwd', '.hidden.png'])
    result = {path.relative_to(root).as_posix() for path in root.rglob('*') if path.is_file()}
    assert {name for name in result if not name.startswith('.download')} == {
        'miqa_det/images/000000000139/000000000139_fog_1.png',
        'miqa_det/images/000000000139/000000000139_fog_fg_stronger_fg5_bg1.png',
        'miqa_det/images/000000000139/000000000139_snow_1.png',
        'miqa_det/images/000000000285/000000000285_fog_1.png',
        'miqa_det/labels/000000000139_accuracy.csv',
        'miqa_ins/labels/000000000139_accuracy.csv',
    }
    assert (root / 'miqa_det/images/000000000285/000000000285_fog_1.png').read_bytes() == b'four' * 1000
    assert not list((root / '.download').rglob('*.zip*')), 'archives are deleted once they are laid out'
    fetched = list(hub.fetched)
    for part in chosen:
        assert get_part(hub, part, root, root / '.download') == (0, [])
    assert hub.fetched == fetched, 'nothing is fetched twice'


def test_what_is_there_is_not_overwritten(hub, tmp_path):
    root = tmp_path / 'data'
    mine = root / 'miqa_det/labels/000000000139_accuracy.csv'
    mine.parent.mkdir(parents=True)
    mine.write_text('mine')
    [part] = choose_parts(*sort_files(hub.files()), ['det'], ['labels'])
    assert get_part(hub, part, root, root / '.download') == (0, [])
    assert mine.read_text() == 'mine'


def test_a_layout_that_is_not_known_is_listed_and_stops(hub, tmp_path):
    with pytest.raises(DatabaseError, match=r'no images of cls under a known name, only instance_seg.*README'):
        choose_parts(*sort_files(hub.files()), ['cls'], ['images'])
    write_zip(hub.folder / 'miqa_cls_labels.zip', {'a/b.txt': b'x'})
    [part] = choose_parts(*sort_files(hub.files()), ['cls'], ['labels'])
    with pytest.raises(DatabaseError, match="has 1 members, such as 'a/b.txt', and none is a file of labels of cls"):
        get_part(hub, part, tmp_path / 'data', tmp_path / 'data' / '.download')


def test_a_damaged_archive_is_a_sentence_and_leaves_no_mark(hub, tmp_path):
    path = hub.folder / 'miqa_det_labels.zip'
    path.write_bytes(path.read_bytes()[:40])
    [part] = choose_parts(*sort_files(hub.files()), ['det'], ['labels'])
    for _ in range(2):
        with pytest.raises(DatabaseError, match='miqa_det_labels.zip is damaged'):
            get_part(hub, part, tmp_path / 'data', tmp_path / 'data' / '.download')


def test_without_the_hub_the_tool_ends_with_a_sentence(tmp_path):
    code = (
        'import sys, huggingface_hub, runpy\n'
        'def refuse(*args, **options): raise OSError("no route")\n'
        'huggingface_hub.HfApi.list_repo_tree = refuse\n'
        f'sys.argv = ["download_miqd.py", {str(tmp_path / "x")!r}, "--plan"]\n'
        f'runpy.run_path({str(ROOT / "tools/data/download_miqd.py")!r}, run_name="__main__")\n'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1
    assert 'cannot be fetched from the Hugging Face Hub: no route' in done.stderr and 'Traceback' not in done.stderr
