"""Drawn pictures belong to the file that they were made of, whatever it was called when it was typed."""

from types import SimpleNamespace

from PIL import Image

from miqa.apis.drawings.drawn_pictures import DrawnPictures


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
