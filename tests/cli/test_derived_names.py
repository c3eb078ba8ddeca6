"""Nothing derived from two inputs overwrites or skips one of them without a word."""

import functools
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers_apis import run_miqa
from helpers_pictures import file_of, smooth
from helpers_refusals import refused
from helpers_videos import Named, write_video
from PIL import Image

from miqa.apis.drawings.drawn_pictures import DrawnPictures, drawn_path
from miqa.cli import video

# Names are bytes here, and paths are left as they are.
# ruff: noqa: PTH100, PTH102, PTH103, PTH113, PTH119, PTH207, PTH208, PTH211


@pytest.fixture
def miqa(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(video, 'load_model', lambda args: Named())
    monkeypatch.setenv('MIQA_HOME', str(tmp_path / 'home'))
    monkeypatch.chdir(tmp_path)
    return functools.partial(run_miqa, capsys)


@pytest.fixture
def annotate(miqa):
    """Annotates videos into the folder ``out``; returns exit status and complaints."""
    return lambda *words: miqa('video', *words, '--annotate', 'out', '--quiet')[::2]


def test_two_videos_of_one_stem_give_two_annotated_ones(annotate, tmp_path):
    write_video(tmp_path / 'a.mp4', [0.2] * 10)
    write_video(tmp_path / 'a.avi', [0.8] * 10)
    assert annotate('a.mp4', 'a.avi')[0] == 0
    assert sorted(name for name in os.listdir('out') if name[0] != '.') == ['a.avi_quality.mp4', 'a.mp4_quality.mp4']
    status, said = annotate('a.mp4', 'a.avi')
    assert status == 0 and said.count('--overwrite writes it anew') == 2
    assert 'Saved out/a_quality.mp4' in annotate('a.avi')[1]


def test_annotated_videos_of_one_name_from_two_folders_are_not_kept_for_each_other(annotate, tmp_path):
    for camera, brightness in (('front', 0.2), ('back', 0.8)):
        (tmp_path / camera).mkdir()
        write_video(tmp_path / camera / 'a.avi', [brightness] * 10)
    os.symlink('front', 'link')
    for typed in ('front/a.avi', './front/a.avi', tmp_path / 'front/a.avi', 'link/a.avi'):
        status, said = annotate(typed)
        assert status == 0 and ('Saved out/a_quality.mp4' in said) == (typed == 'front/a.avi')
    before = Path('out/a_quality.mp4').read_bytes()
    os.utime('back/a.avi', ns=(Path('front/a.avi').stat().st_mtime_ns,) * 2)
    status, said = annotate('back/a.avi')
    assert status == 3 and 'is of another video' in said and Path('out/a_quality.mp4').read_bytes() == before
    assert annotate('back/a.avi', '--overwrite')[0] == 0 and Path('out/a_quality.mp4').read_bytes() != before
    os.utime('back/a.avi', ns=(10**18, 10**18))
    assert annotate('back/a.avi')[0] == 3


def test_annotated_names_that_would_still_be_one_are_an_error():
    names = video.annotated_names([Path('a.mp4'), Path('a.avi'), Path('b.avi')])
    assert sorted(names.values()) == ['a.avi_quality.mp4', 'a.mp4_quality.mp4', 'b_quality.mp4']
    refused(ValueError, 'same name', video.annotated_names, [Path('x/a.mp4'), Path('y/a.mp4')])


def test_annotated_pictures_of_one_name_are_an_error_of_the_second(miqa, vit_file, tmp_path):
    inside = tmp_path / 'work' / str(tmp_path).strip('/') / 'a.png'
    outside = tmp_path / 'a.png'
    inside.parent.mkdir(parents=True)
    for path in (inside, outside):
        path.write_bytes(file_of(smooth(), 'PNG'))
    os.chdir(tmp_path / 'work')
    assert drawn_path('out', str(inside)) == drawn_path('out', str(outside))
    command = ('image', inside, outside, '--annotated', 'out', '--weights', vit_file)
    status, out, said = miqa(*command)
    assert status == 3 and len(out.splitlines()) == 2 and 'is the picture of' in said


def test_detours_lead_to_one_derived_name_and_others_to_others():
    assert drawn_path('out', 'x/../a.png') == drawn_path('out', 'a.png')
    assert drawn_path('out', '../a.png') != drawn_path('out', 'a.png')
    assert drawn_path('out', 'a.png') != drawn_path('out', 'a.jpg')


def test_the_pictures_of_two_folders_with_files_of_one_name_do_not_replace_each_other(tmp_path, monkeypatch):
    model = SimpleNamespace(prepare=SimpleNamespace(value_range=None))
    scored = SimpleNamespace(name='frames/a.png', score=0.5, quality='medium')
    errors = []
    for camera, grey in (('one', 50), ('two', 200), ('one', 50)):
        (tmp_path / camera / 'frames').mkdir(parents=True, exist_ok=True)
        Image.new('RGB', (80, 60), (grey,) * 3).save(tmp_path / camera / 'frames/a.png')
        monkeypatch.chdir(tmp_path / camera)
        pictures = DrawnPictures(model, str(tmp_path / 'marked'), None, 'occlusion')
        assert pictures.made('frames/a.png') is (len(errors) == 2)
        errors.append(pictures.make(scored, 'frames/a.png'))
    assert errors[0] is None and errors[2] is None
    assert f'was made of {tmp_path}/one/frames/a.png' in str(errors[1])
    assert Image.open(tmp_path / 'marked/frames/a.png.png').getpixel((40, 5)) == (50, 50, 50)
