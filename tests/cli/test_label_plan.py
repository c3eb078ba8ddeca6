"""Every name of a library is known, and large pictures are planned by a part of them."""

import os

import numpy as np
import pytest
from helpers_refusals import refused
from PIL import Image

from miqa.cli.main import build_parser
from miqa.distortions.masks import MaskRecipe
from miqa.distortions.sources import Source
from miqa.labelling.plan import cut_large
from miqa.machines import torchvision_models
from miqa.machines.configs import machine_configs_of
from miqa.machines.library_names import check_machine_names


def test_every_model_of_torchvision_and_timm_is_a_name(tmp_path, monkeypatch):
    timm = pytest.importorskip('timm')
    for task in ('cls', 'det', 'ins', 'seg'):
        check_machine_names([name for name, of in torchvision_models().items() if of == task], task)
    check_machine_names(timm.list_models(pretrained=True), 'cls')
    for function in (machine_configs_of, check_machine_names):
        refused(ValueError, r'is not a machine for ins.*\(maskrcnn', function, ['nothing_of_the_kind'], 'ins')
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'weights').mkdir()
    (tmp_path / 'm.py').mkdir()
    (tmp_path / 'weights/a.jpg').touch()
    os.mkfifo('pipe')
    for name, message in (
        ('weights', 'folder without a config.json'), ('weights/a.jpg', 'is not a machine file'), ('pipe', 'named pipe'),
        ('m.py', 'm.py is a folder, not a config of machines'),
    ):  # fmt: skip
        refused(ValueError, message, machine_configs_of, [name], 'cls')


def test_a_large_picture_is_planned_by_its_middle(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (600, 1000, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / 'a.png')
    source = Source('a', str(tmp_path / 'a.png'), MaskRecipe('saliency'))
    cut, times = cut_large(source, tmp_path / 'cut')
    with Image.open(cut.path) as image:
        assert times == pytest.approx(600_000 / (image.width * image.height)) and times == pytest.approx(4, rel=0.02)
        assert np.array_equal(np.asarray(image)[0, 0], noise[150, 250])
    Image.fromarray(noise[:100]).save(tmp_path / 'a.png')
    assert cut_large(source, tmp_path / 'cut') == (source, 1.0)


@pytest.mark.parametrize(('words', 'hint'), [
    (['label', '--versions'], 'unrecognized arguments: --versions'),
    (['label', 'f', '--out', 'o', '--task', 'det', '--machine', 'm', '--anotations', 'a'], "'--annotations'"),
    (['--versions'], "'--version'"),
])  # fmt: skip
def test_options_are_suggested_of_the_command_that_was_named(words, hint, capsys):
    refused(SystemExit, '2', build_parser(words[0]).parse_args, words)
    text = capsys.readouterr().err
    assert hint in text and (words[0] != 'label' or "'--version'" not in text)
