"""One way to walk: links followed once, each file once, and what cannot be read is named."""

# Names are bytes here, and paths are left as they are.
# ruff: noqa: PTH100, PTH102, PTH103, PTH113, PTH119, PTH207, PTH208, PTH211

import os
from pathlib import Path

import pytest
from helpers_apis import status_of
from helpers_pictures import file_of, smooth
from helpers_refusals import refused

from miqa.annotations.formats import Picture, Request, format_of, read_yolo
from miqa.cli import video
from miqa.cli.main import main
from miqa.distortions.sources import list_images
from miqa.labelling.user_pictures import pictures_below, prepare_pictures, read_pairs
from miqa.outside import walking
from miqa.pictures.finding import SkippedFiles, find_images

PICTURE = file_of(smooth(), 'PNG')


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv('MIQA_HOME', str(tmp_path / 'home'))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(PICTURE)


@pytest.fixture
def locked(monkeypatch):
    """Makes folders that nobody may read, not even root, whom permissions do not bind."""
    names = set()
    real = os.scandir

    def scandir(path='.'):
        if os.path.basename(os.fspath(path)) in names:
            raise PermissionError(13, 'Permission denied', path)
        return real(path)

    monkeypatch.setattr(walking.os, 'scandir', scandir)
    return names


def test_linked_folders_are_followed_once():
    put('elsewhere/a.png', 'elsewhere/deep/b.png', 'shots/c.png')
    os.symlink(os.path.abspath('elsewhere'), 'shots/linked')
    os.symlink(os.path.abspath('elsewhere'), 'shots/twice')
    assert list(find_images(['shots'])) == ['shots/c.png', 'shots/linked/a.png', 'shots/linked/deep/b.png']
    # The same pictures, by their own folder.
    assert list(find_images(['shots', 'elsewhere'])) == list(find_images(['shots']))


def test_loops_of_links_end():
    put(*(f'shots/{name}.png' for name in 'abcdefg'), 'shots/in/h.png')
    for link, target in (('shots/loop', '.'), ('shots/in/up', '..'), ('shots/in/self', '../in')):
        os.symlink(target, link)
    for paths in (['shots'], ['shots/**/*.png'], ['shots/**'], ['shots/**/*.png', 'shots'], ['shots/*/../*.png']):
        assert len(list(find_images(paths))) == 8 - (paths == ['shots/*/../*.png']), paths


def test_detours_count_once_and_names_stay_as_they_were_given():
    put('shots/a.png', 'shots/in/b.png')
    detours = ['shots/a.png', './shots/a.png', 'shots/in/../a.png', os.path.abspath('shots/a.png'), 'shots//a.png']
    assert list(find_images(detours)) == ['shots/a.png']
    assert list(find_images(['shots/../shots', 'shots'])) == ['shots/../shots/a.png', 'shots/../shots/in/b.png']
    assert list(find_images(['gone.png', './gone.png'])) == ['gone.png']


def test_two_names_of_one_file_are_two_pictures():
    put('shots/a.png')
    os.link('shots/a.png', 'shots/b.png')
    os.symlink('a.png', 'shots/c.png')
    assert list(find_images(['shots'])) == ['shots/a.png', 'shots/b.png', 'shots/c.png']


def test_names_with_brackets_are_themselves_where_they_exist():
    put('shots [1]/a.png', 'shots [1]/b [2].png', 'shots 1/c.png', 'x*/d.png')
    assert list(find_images(['shots [1]/*.png'])) == ['shots [1]/a.png', 'shots [1]/b [2].png']
    assert list(find_images(['shots [1]/b [2].png'])) == ['shots [1]/b [2].png']
    assert list(find_images(['shots [12]/*.png'])) == ['shots 1/c.png']
    assert list(find_images(['x*/*.png'])) == ['x*/d.png']
    assert list(find_images([os.path.abspath('shots [1]') + '/*.png']))[0].endswith('/shots [1]/a.png')


@pytest.mark.parametrize('pattern', ['shots/*', 'shots/**/*.png', 'sho*/[ab].png', '**/?.png', 'shots/**/in/*'])
def test_patterns_find_what_globs_of_the_standard_library_find(pattern):
    import glob

    put('shots/a.png', 'shots/b.png', 'shots/in/c.png', 'shots/in/deep/d.png', 'shots/.hidden/e.png', 'shots/.f.png')
    expected = {name for name in glob.glob(pattern, recursive=True) if os.path.isfile(name)}
    result = set(find_images([pattern]))
    # A folder that a pattern means is walked, as it is when the shell expands the pattern.
    assert expected <= result and all(name.startswith('shots/') for name in result)
    if not pattern.endswith('*'):
        assert result == expected


def test_a_folder_that_cannot_be_read_is_counted_and_named(locked, weights, capsys):
    put('shots/a.png', 'shots/private/b.png')
    locked.add('private')
    skipped = SkippedFiles()
    assert list(find_images(['shots'], skipped=skipped)) == ['shots/a.png']
    assert skipped.count == 1 and 'shots/private' in skipped.sentences[0]
    assert list(find_images(['shots/**/*.png'], skipped=SkippedFiles())) == ['shots/a.png']
    refused(PermissionError, '', list, find_images(['shots']))
    for command in (['image', 'shots'], ['filter', 'shots', '--keep', '1'], ['image', 'shots/private']):
        assert status_of(*command, '--weights', weights) == 3
        assert 'shots/private cannot be read: Permission denied' in capsys.readouterr().err


def test_pictures_that_are_not_read_here_are_reported_and_not_ignored(weights, capsys):
    put('shots/a.png')
    Path('shots/b.JXL').write_bytes(b'\xff\x0a' + bytes(30))
    Path('shots/c.dng').write_bytes(b'II*\0' + bytes(30))
    Path('shots/notes.txt').write_text('no picture')
    os.symlink('gone.png', 'shots/broken.png')
    os.mkfifo('shots/pipe.jpg')
    status = status_of('image', 'shots', '--weights', weights)
    output = capsys.readouterr().err
    assert status == 3 and '1 image scored, 4 could not be read' in output
    for name in ('b.JXL', 'c.dng', 'broken.png', 'pipe.jpg'):
        assert f'shots/{name}' in output


def test_sources_of_a_database_that_cannot_be_used_are_named(caplog):
    put('sources/a.png', 'sources/b.png')
    Path('sources/c.heic').write_bytes(b'x')
    os.symlink('gone.png', 'sources/d.png')
    with caplog.at_level('WARNING'):
        assert [path.name for path in list_images('sources')] == ['a.png', 'b.png']
    assert 'c.heic' in caplog.text and 'd.png' in caplog.text


def test_an_empty_folder_or_a_pattern_without_files_among_other_paths_is_named_and_the_rest_goes_on(tmp_path):
    (tmp_path / 'empty.jpg').mkdir()
    (tmp_path / 'a.png').write_bytes(b'')
    skipped = SkippedFiles()
    paths = [str(tmp_path / 'empty.jpg'), str(tmp_path / '*.webp'), str(tmp_path / 'a.png')]
    assert list(find_images(paths, skipped=skipped)) == [str(tmp_path / 'a.png')]
    assert skipped.count == 2 and 'empty.jpg' in skipped.sentences[0] and '*.webp' in skipped.sentences[1]
    refused(FileNotFoundError, 'no images in the folder', list, find_images(paths[:1], skipped=SkippedFiles()))


def test_links_that_lead_nowhere_are_named_where_they_may_have_been_folders(tmp_path):
    put('shots/a.png')
    for link, target in (('disk', '/not/mounted'), ('notes.txt', 'gone.txt'), ('x', 'y'), ('y', 'x'), ('2024.06', 'z')):
        os.symlink(target, f'shots/{link}')
    skipped = SkippedFiles()
    assert list(find_images(['shots'], skipped=skipped)) == ['shots/a.png']
    assert skipped.count == 4 and all('a link that leads nowhere' in sentence for sentence in skipped.sentences)


def test_a_problem_is_counted_once_by_whatever_way_it_is_met(locked):
    put('shots/in/a.png', 'shots/private/b.png')
    os.symlink('/not/mounted', 'shots/disk')
    os.symlink('..', 'shots/in/up')
    os.symlink('shots', 'link')
    locked.add('private')
    skipped = SkippedFiles()
    paths = ['shots', './shots/', 'link', 'shots/in/up', 'shots/**/*.png', os.path.abspath('shots'), 'link/private']
    assert list(find_images(paths, skipped=skipped)) == ['shots/in/a.png']
    assert skipped.count == 2


def test_output_never_goes_where_a_linked_input_folder_is_walked(weights, capsys):
    put('shots/a.png', 'elsewhere/deep/b.png')
    os.symlink(os.path.abspath('elsewhere'), 'shots/linked')
    filtering = ['filter', 'shots', '--keep', '1', '--to']
    for command in ([*filtering, 'elsewhere/good'], [*filtering, 'elsewhere/deep/good'],
                    ['image', 'shots', '--annotated', 'elsewhere']):  # fmt: skip
        status = status_of(*command, '--weights', weights)
        assert status == 1 and 'lies in the input folder' in capsys.readouterr().err
    main([*filtering, 'good', '--weights', weights, '--quiet'])
    assert sorted(os.listdir('good')) == ['a.png', 'linked']


def test_file_addresses_and_names_with_a_dash_or_a_tilde_in_front_are_explained(weights, tmp_path, monkeypatch, capsys):
    put('a b.png', '-x.png', 'home/c.png')
    monkeypatch.setenv('HOME', str(tmp_path / 'home'))
    weights = ['--weights', weights, '--quiet']
    assert status_of('image', f'file://{tmp_path}/a%20b.png', *weights[:2])
    assert f'without file://, such as {tmp_path}/a b.png' in capsys.readouterr().err
    assert status_of('image', '-x.png', *weights) == 2 and 'is given as ./-x.png' in capsys.readouterr().err
    main(['image', './-x.png', f'{tmp_path}/a b.png', '--out=~/scores.csv', *weights])
    main(['image', '~/c.png', *weights])
    assert (tmp_path / 'home' / 'scores.csv').is_file() and '/home/c.png' in capsys.readouterr().out
    put('~/d.png')
    main(['image', '~/d.png', *weights])
    assert '~/d.png' in capsys.readouterr().out


@pytest.mark.parametrize('kind', ['pictures of a database', 'videos'])
def test_other_files_are_found_in_the_same_way_and_what_is_left_out_is_named(locked, kind):
    suffix = 'mp4' if kind == 'videos' else 'png'
    put(f'in/a.{suffix}', f'elsewhere/b.{suffix}', f'in/private/c.{suffix}')
    os.symlink(os.path.abspath('elsewhere'), 'in/linked')
    os.symlink('.', 'in/loop')
    locked.add('private')
    skipped, problems = SkippedFiles(), ['private']
    if kind == 'videos':
        result = [str(path.relative_to('in')) for path in video.find_videos(['in', 'in/../in/a.mp4'], skipped)]
    else:
        os.symlink('gone.png', 'in/d.png')
        Path('in/e.heic').write_bytes(b'x')
        result = pictures_below('in', skipped)
        problems += ['d.png', 'e.heic']
    assert result == [f'a.{suffix}', f'linked/b.{suffix}'] and skipped.count == len(problems)
    assert all(name in ' '.join(skipped.sentences) for name in problems)
    put('phone/f.heic')
    refused(FileNotFoundError, r'made of the 1 picture in phone, such as f\.heic; .* Convert', pictures_below, 'phone')


def test_a_database_never_lies_among_its_own_sources():
    put('shots/a.png', 'elsewhere/deep/b.png')
    os.symlink(os.path.abspath('elsewhere'), 'shots/linked')
    for root in ('shots/db', 'elsewhere/db', 'shots'):
        refused(ValueError, 'lies in the input folder', prepare_pictures, 'shots', root, 'cls')
    assert len(prepare_pictures('shots', 'db', 'cls').sources) == 2 and not Path('elsewhere/db').exists()


def test_annotations_in_linked_folders_count_once_and_unreadable_folders_end_it(locked):
    put('shots/a.png', 'shots/b.png')
    for name, text in (('one/a.txt', '0 .5 .5 .2 .2'), ('two/b.TXT', '0 .5 .5 .4 .4'), ('one/.x/a.txt', 'no')):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)
    Path('labels').mkdir()
    for link, target in (('first', '../one'), ('again', '../one'), ('second', '../two'), ('self', '.')):
        os.symlink(target, f'labels/{link}')
    pictures = [Picture(Path('shots', name), name, (64, 48)) for name in ('a.png', 'b.png')]
    assert format_of('labels', 'shots', 'det').name == 'yolo'
    objects = read_yolo(Request(Path('labels'), pictures, Path('shots'), ['thing'])).objects
    assert {name: len(instances) for name, instances in objects.items()} == {'a.png': 1, 'b.png': 1}
    locked.add('second')
    with pytest.raises(PermissionError, match='labels/second cannot be read'):
        read_yolo(Request(Path('labels'), pictures, Path('shots'), ['thing']))


def test_one_picture_named_in_two_ways_is_one_in_a_file_of_pairs():
    put('shots/clean.png', 'shots/in/bad.png', 'shots/in/worse.png')
    Path('pairs.csv').write_text('clean,degraded\nclean.png,in/bad.png\nin/../clean.png,./in/worse.png\n')
    assert read_pairs('pairs.csv', 'shots') == {'clean.png': ['in/bad.png', 'in/worse.png']}
    Path('pairs.csv').write_text('clean,degraded\nclean.png,in/bad.png\nclean.png,in/../in/bad.png\n')
    refused(ValueError, 'line 3: in/bad.png was there before, in line 2', read_pairs, 'pairs.csv', 'shots')
