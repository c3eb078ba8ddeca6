"""Building a database: layout, the same bytes whatever the workers, resuming after a kill, bad sources."""

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from fnmatch import fnmatch
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers_refusals import refused
from PIL import Image
from skimage import data

from miqa.distortions import select_levels
from miqa.distortions.build import build_versions
from miqa.distortions.fidelity import MEASURES
from miqa.distortions.make_one import SourceChanged, VersionPlan, make_versions_of
from miqa.distortions.records import SettingsChanged, find_damage, read_record
from miqa.distortions.sources import list_images, plan_sources, read_names
from miqa.distortions.ticks import followed, tick
from miqa.keeping import sha256_of_file
from miqa.pictures import read_image
from miqa.taxonomy import DISTORTION_FAMILIES, DISTORTIONS, parse_version_name

TOOL = Path(__file__).parents[2] / 'tools' / 'data' / 'make_distortions.py'
SMALL = {
    'distortions': ('snow', 'glass_blur', 'jpeg_compression'), 'pairs': ((1, 1), (5, 5), (2, 4), (5, 1)),
    'measures': ('PSNR', 'SSIM'), 'progress': False,
}  # fmt: skip


@pytest.fixture
def photographs(tmp_path):
    """Six small JPEG photographs in a folder."""
    folder = tmp_path / 'photographs'
    folder.mkdir()
    pictures = {'cat': data.cat(), 'coffee': data.coffee(), 'person': data.astronaut(), 'rocket': data.rocket()}
    for number in range(6):
        name, picture = list(pictures.items())[number % 4]
        small = cv2.resize(picture, (60 + 7 * number, 48), interpolation=cv2.INTER_AREA)
        Image.fromarray(small).save(folder / f'{name}_{number}.JPEG', quality=95)
    return folder


def digests(root):
    """SHA-256 of every file below a folder, by path."""
    paths = [path for path in sorted(root.rglob('*')) if path.is_file()]
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def built(photographs, root, count=1):
    """Make the versions of the first photographs; return their sources."""
    sources = plan_sources(list_images(photographs)[:count], 'cls')
    build_versions(sources, root, 'cls', **SMALL)
    return sources


@pytest.mark.parametrize('family', ['camera', 'extra'])
def test_every_distortion_of_every_family_makes_versions(photographs, tmp_path, family):
    names = tuple(DISTORTION_FAMILIES[family])
    sources = plan_sources(list_images(photographs)[:1], 'cls')
    report = build_versions(
        sources, tmp_path, 'cls', distortions=names, pairs=((3, 3), (1, 5)), measures=('PSNR',), progress=False
    )
    versions = (tmp_path / 'miqa_cls' / 'images' / 'cat_0').iterdir()
    assert sorted(parse_version_name(path.name).distortion for path in versions) == sorted(names * 2)
    assert not report.bad


def test_a_whole_source_has_250_versions_in_the_databases_layout(photographs, tmp_path):
    sources = plan_sources(list_images(photographs)[:1], 'cls')
    report = build_versions(sources, tmp_path / 'data', 'cls', measures=('PSNR',), progress=False)
    folder = tmp_path / 'data' / 'miqa_cls'
    versions = sorted((folder / 'images' / 'cat_0').iterdir())
    assert len(versions) == 250
    assert report.files == 253
    parsed = [parse_version_name(path.name) for path in versions]
    assert {version.distortion for version in parsed} == set(DISTORTIONS)
    assert {version.source for version in parsed} == {'cat_0'}
    source = photographs / 'cat_0.JPEG'
    assert (folder / 'src_images' / 'cat_0.JPEG').read_bytes() == source.read_bytes()
    mask = np.asarray(Image.open(folder / 'masks' / 'cat_0_binary_mask.png'))
    assert mask.shape == read_image(source).shape[:2]
    assert set(np.unique(mask)) <= {0, 255}
    levels = select_levels(read_image(source), 'snow', 1234567, 'cat_0')
    for chosen in levels:
        written = read_image(folder / 'images' / 'cat_0' / f'cat_0_snow_{chosen.level}.png')
        assert np.array_equal(written, chosen.image)
    with open(folder / 'quality' / 'cat_0.csv') as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ['filename', 'PSNR']
    assert sorted(row['filename'] for row in rows) == [path.name for path in versions]


def test_the_record_names_parameters_psnr_versions_and_checksums(photographs, tmp_path):
    built(photographs, tmp_path)
    folder = tmp_path / 'miqa_cls'
    record = read_record(folder, 'cat_0')
    for name, entry in record['files'].items():
        assert entry == {'bytes': (folder / name).stat().st_size, 'sha256': sha256_of_file(folder / name)}
    on_disk = {path for path in digests(folder) if not path.startswith('manifests/')}
    assert set(record['files']) == on_disk
    levels = select_levels(read_image(photographs / 'cat_0.JPEG'), 'snow', 1234567, 'cat_0')
    for entry, chosen in zip(record['levels']['snow'], levels, strict=True):
        assert entry['params'] == chosen.params
        assert entry['psnr'] == pytest.approx(chosen.psnr, abs=1e-6)
    assert {'numpy', 'opencv-python', 'pillow', 'miqa'} <= set(record['versions'])
    settings = json.loads((folder / 'manifests' / 'build.json').read_text())
    assert settings['seed'] == 1234567
    assert len(settings['candidates']['snow']) == 12


#: Without measures the tool starts in a moment: piq and PyTorch take seconds to import.
QUICK = {**SMALL, 'measures': ()}


def run_tool(photographs, out, *options, **popen):
    """Start the tool with the settings of QUICK."""
    pairs = [f'{fg},{bg}' for fg, bg in SMALL['pairs']]
    what = ['--distortions', *SMALL['distortions'], '--pairs', *pairs, '--measures', 'none']
    command = [str(part) for part in (sys.executable, TOOL, photographs, '--out', out, *what, *options)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **popen)


def finish(process):
    output, _ = process.communicate(timeout=300)
    return process.returncode, output


def test_one_worker_two_workers_and_two_shards_after_a_kill_give_the_same_bytes(photographs, tmp_path):
    sources = plan_sources(list_images(photographs), 'cls')
    one, two, quick = (tmp_path / name for name in ('one', 'two', 'quick'))
    assert build_versions(sources, one, 'cls', **SMALL).made == 6
    assert build_versions(list(reversed(sources)), two, 'cls', jobs=2, **SMALL).made == 6
    assert digests(two) == digests(one)
    assert build_versions(sources, quick, 'cls', **QUICK).made == 6
    expected = digests(quick)

    # The first shard is killed when its first source is done and the next one under way.
    out = tmp_path / 'shards'
    process = run_tool(photographs, out, '--shard', '1/2', start_new_session=True)
    manifests = out / 'miqa_cls' / 'manifests'
    while process.poll() is None:
        # A name with a dot in front is of a record that is being written.
        done = list(manifests.glob('[!.]*_?.json'))
        under_way = len(list((out / 'miqa_cls').glob('images/*/*.png')))
        if done and under_way > 12 * len(done):
            os.killpg(process.pid, signal.SIGKILL)
            break
        time.sleep(0.002)
    process.communicate()
    killed = digests(out)
    records = [name for name in killed if fnmatch(name, 'miqa_cls/manifests/[!.]*_?.json')]
    assert process.returncode == -signal.SIGKILL
    assert 1 <= len(records) < 3
    for name in records:
        record = json.loads((out / name).read_text())
        assert not find_damage(out / 'miqa_cls', record, checksums=True), 'a record is there, so its files are whole'

    code, output = finish(run_tool(photographs, out, '--shard', '1/2'))
    assert code == 0, output
    assert f'{3 - len(records)} sources made, {len(records)} kept' in output
    code, output = finish(run_tool(photographs, out, '--shard', '2/2', '--jobs', '2'))
    assert code == 0, output
    assert not [path for path in out.rglob('.*') if path.is_file()]
    assert digests(out) == expected


def test_a_second_run_keeps_what_is_done_and_makes_what_was_damaged(photographs, tmp_path):
    sources = built(photographs, tmp_path, 2)
    expected = digests(tmp_path)
    report = build_versions(sources, tmp_path, 'cls', **SMALL)
    assert (report.made, report.kept) == (0, 2)
    victim = tmp_path / 'miqa_cls' / 'images' / 'cat_0' / 'cat_0_snow_1.png'
    victim.write_bytes(victim.read_bytes()[:-10])
    assert build_versions(sources, tmp_path, 'cls', **SMALL).made == 1
    assert digests(tmp_path) == expected
    # A byte that flipped is seen when every byte is read.
    changed = bytearray(victim.read_bytes())
    changed[-20] ^= 1
    victim.write_bytes(changed)
    assert build_versions(sources, tmp_path, 'cls', **SMALL).kept == 2
    assert build_versions(sources, tmp_path, 'cls', verify='sha256', **SMALL).made == 1
    assert digests(tmp_path) == expected


@pytest.mark.parametrize(('change', 'named'), [
    ({'seed': 5}, 'seed: 1234567 there, 5 now'), ({'pairs': ((1, 1),)}, 'pairs'), ({'measures': ()}, 'measures'),
])  # fmt: skip
def test_other_settings_are_refused_instead_of_mixed(photographs, tmp_path, change, named):
    sources = built(photographs, tmp_path)
    before = digests(tmp_path)
    refused(SettingsChanged, named, build_versions, sources, tmp_path, 'cls', **{**SMALL, **change})
    assert digests(tmp_path) == before


def test_a_source_that_changed_is_an_error_and_is_not_mixed(photographs, tmp_path):
    sources = built(photographs, tmp_path)
    Image.fromarray(data.rocket()[:50, :50]).save(sources[0].path)
    with pytest.raises(SourceChanged, match='is not the file that cat_0 was made from'):
        build_versions(sources, tmp_path, 'cls', **SMALL)


def test_bad_sources_are_reported_counted_and_do_not_stop_the_others(photographs, tmp_path):
    (photographs / 'broken.jpg').write_bytes((photographs / 'cat_0.JPEG').read_bytes()[:400])
    (photographs / 'empty.png').write_bytes(b'')
    code, output = finish(run_tool(photographs, tmp_path / 'out', '--jobs', '2'))
    assert code == 1
    assert '6 sources made, 0 kept, 2 bad' in output
    assert 'bad source broken' in output
    assert 'bad source empty' in output
    assert len(list((tmp_path / 'out' / 'miqa_cls' / 'manifests').glob('*.json'))) == 7
    assert not (tmp_path / 'out' / 'miqa_cls' / 'images' / 'broken').exists()


def test_a_mask_of_another_size_makes_its_source_a_bad_one(photographs, tmp_path):
    masks = tmp_path / 'masks'
    masks.mkdir()
    for path in list_images(photographs)[:2]:
        height, width = read_image(path).shape[:2]
        mask = np.zeros((height + (path.stem == 'cat_0'), width), np.uint8)
        mask[10:30, 10:30] = 255
        Image.fromarray(mask).save(masks / f'{path.stem}.png')
    sources = plan_sources(list_images(photographs)[:2], 'cls', mask_folder=masks)
    report = build_versions(sources, tmp_path, 'cls', **SMALL)
    assert report.made == 1
    assert [image_id for image_id, _ in report.bad] == ['cat_0']
    assert 'but its picture is 60 x 48' in report.bad[0][1]
    assert read_record(tmp_path / 'miqa_cls', 'cat_4')['mask']['method'] == 'mask folder'


def test_detection_pictures_are_named_by_their_number_in_12_digits(photographs, tmp_path):
    (photographs / 'cat_0.JPEG').rename(photographs / '139.jpg')
    build_versions(plan_sources([photographs / '139.jpg'], 'ins'), tmp_path, 'ins', **SMALL)
    folder = tmp_path / 'miqa_det'
    assert (folder / 'src_images' / '000000000139.jpg').is_file()
    assert (folder / 'images' / '000000000139' / '000000000139_snow_fg_stronger_fg5_bg1.png').is_file()
    refused(ValueError, 'is not a number', plan_sources, [photographs / 'coffee_1.JPEG'], 'det')


def test_small_pictures_leave_undefined_measures_empty_and_say_why(tmp_path):
    folder = tmp_path / 'tiny'
    folder.mkdir()
    Image.fromarray(data.cat()[:10, :30]).save(folder / 'tiny.png')
    build_versions(plan_sources(list_images(folder), 'cls'), tmp_path, 'cls', **SMALL)
    with open(tmp_path / 'miqa_cls' / 'quality' / 'tiny.csv') as stream:
        rows = list(csv.DictReader(stream))
    assert all(row['SSIM'] == '' and float(row['PSNR']) > 0 for row in rows)
    record = read_record(tmp_path / 'miqa_cls', 'tiny')
    assert record['undefined_measures'] == ['SSIM needs pictures of at least 11 x 11 pixels; this one is 30 x 10.']
    assert (tmp_path / 'miqa_cls' / 'src_images' / 'tiny.png').is_file()


def test_two_sources_of_one_name_are_refused(photographs):
    (photographs / 'cat_0.png').write_bytes((photographs / 'cat_0.JPEG').read_bytes())
    refused(ValueError, 'would both be called cat_0', plan_sources, list_images(photographs), 'cls')


def test_a_name_to_which_nothing_can_be_added_is_refused_before_anything_is_made(photographs):
    (photographs / f'{"n" * 240}.png').write_bytes((photographs / 'cat_0.JPEG').read_bytes())
    refused(ValueError, 'has 240 bytes.*at most 220', plan_sources, list_images(photographs), 'cls')


def test_sources_are_listed_by_text_file_or_split_csv(photographs, tmp_path):
    names = tmp_path / 'names.txt'
    names.write_text('rocket_3\ncat_0.JPEG\n\n')
    assert [path.name for path in list_images(photographs, read_names(names))] == ['rocket_3.JPEG', 'cat_0.JPEG']
    split = tmp_path / 'split.csv'
    split.write_text('Image Name,Category,Quality Score\ncat_4.JPEG,1,0.5\n')
    assert [path.name for path in list_images(photographs, read_names(split))] == ['cat_4.JPEG']
    (photographs / 'cat_4.JPEG').rename(photographs / '000000000139.jpg')
    split.write_text('Image Index\n139\n')
    assert [path.name for path in list_images(photographs, read_names(split))] == ['000000000139.jpg']
    names.write_text('nobody\n')
    refused(FileNotFoundError, "'nobody'", list_images, photographs, read_names(names))
    refused(FileNotFoundError, 'no folder', list_images, tmp_path / 'nowhere')


@pytest.mark.parametrize(('backend', 'package'), [('ray', 'ray'), ('dask', 'distributed')])
def test_a_cluster_backend_that_is_not_installed_says_how_to_install_it(
    photographs, tmp_path, backend, package, monkeypatch
):
    monkeypatch.setitem(sys.modules, package, None)
    sources = plan_sources(list_images(photographs), 'cls')
    words = rf"needs {package}, which is not installed. Install it: pip install -e '\.\[cluster\]'"
    refused(ImportError, words, build_versions, sources, tmp_path, 'cls', backend=backend, **SMALL)


class Bar:
    """A progress bar that remembers how it was moved."""

    def __init__(self):
        self.steps = []

    def update(self, count=1):
        self.steps.append(count)


def test_ticks_of_other_processes_move_the_bar_while_they_work():
    bar = Bar()
    with followed(bar, every=0.01) as path:
        code = f'from miqa.distortions.ticks import tick\nfor _ in range(40): tick({path!r})'
        subprocess.run([sys.executable, '-c', code], check=True)
        deadline = time.monotonic() + 30
        while sum(bar.steps) < 40 and time.monotonic() < deadline:
            time.sleep(0.005)
        assert sum(bar.steps) == 40, 'before the block has ended'
        tick(path)
    assert sum(bar.steps) == 41
    tick(None)
    tick(path)  # the file is gone: nothing happens


@pytest.mark.parametrize('jobs', [1, 2])
def test_the_bar_counts_versions_and_moves_within_a_source(photographs, tmp_path, jobs, capsys):
    settings = {**SMALL, 'measures': (), 'progress': True, 'jobs': jobs}
    sources = plan_sources(list_images(photographs)[:2], 'cls')
    build_versions(sources, tmp_path / 'data', 'cls', **settings)
    build_versions(sources, tmp_path / 'data', 'cls', **settings)
    made, kept = (text.rsplit('\r', 1)[-1] for text in capsys.readouterr().err.strip().split('\n'))
    assert '24/24' in made and 'version' in made and '24/24' in kept


def test_threads_change_no_byte(photographs, tmp_path):
    sources = plan_sources(list_images(photographs)[:1], 'cls')
    results = []
    for threads in (1, 3):
        root, what = str(tmp_path / str(threads)), tuple((name, SMALL['pairs']) for name in SMALL['distortions'])
        make_versions_of(sources[0], VersionPlan(root, 'cls', 7, what, MEASURES, 'size', threads))
        results.append(digests(tmp_path / str(threads)))
    assert results[0] == results[1] and len(results[0]) > 12
