"""The options of reading reach the pixels, and results of different ways are not mixed."""

import cv2
import numpy as np
import pandas as pd
import pytest
from helpers_apis import status_of, write_run
from helpers_pictures import file_of, smooth
from helpers_refusals import refused

from machine_iqa import MIQAModel
from miqa.pictures import read_image


@pytest.fixture
def weights(tmp_path, monkeypatch):
    monkeypatch.setenv('MIQA_HOME', str(tmp_path / 'home'))
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / 'best.pth')
    return str(tmp_path / 'best.pth')


def test_fast_decoding_gives_nearly_the_same_pixels_of_large_jpegs_and_is_named_in_results(weights, tmp_path, capsys):
    path = tmp_path / 'large.jpg'
    path.write_bytes(file_of(smooth(1600, 1200), 'JPEG', quality=95))
    exact, fast = (MIQAModel(weights=weights, decode=way) for way in ('exact', 'fast'))
    assert np.array_equal(exact.prepare(path), exact.prepare(read_image(path)[:, :, ::-1]))
    difference = np.abs(exact.prepare(path).astype(int) - fast.prepare(path))
    assert 0 < difference.mean() < 1
    # Small and other pictures are the same either way.
    for other, kind, size in (('a.jpg', 'JPEG', (150, 120)), ('b.png', 'PNG', (1600, 1200))):
        (tmp_path / other).write_bytes(file_of(smooth(*size), kind))
        assert np.array_equal(exact.prepare(tmp_path / other), fast.prepare(tmp_path / other))
    assert exact.identity != fast.identity == f'{exact.identity} decode=fast'
    refused(ValueError, 'way of decoding', MIQAModel, weights=weights, decode='faster')
    assert status_of('image', path, '--weights', weights, '--out', 'a.csv', '--decode', 'fast') == 0
    assert pd.read_csv('a.csv').model[0].endswith('decode=fast')
    assert status_of('image', path, '--weights', weights, '--out', 'a.csv') == 1
    assert 'holds results of the model' in capsys.readouterr().err


def test_a_value_range_is_said_on_the_command_line(weights, tmp_path, capsys):
    grey = smooth()[:, :, 0]
    cv2.imwrite('eight.png', grey)
    cv2.imwrite('twelve.png', grey.astype(np.uint16) * 16)
    assert status_of('image', 'twelve.png', '--weights', weights) == 3
    assert '--value-range 4095' in capsys.readouterr().err
    for given in ('4095', '0,4095'):
        assert status_of('image', 'eight.png', 'twelve.png', '--weights', weights, '--value-range', given) == 0
        scores = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
        assert scores[0] == scores[1]
    twelve = MIQAModel(weights=weights, value_range=4095).assess('twelve.png')
    assert twelve == pytest.approx(MIQAModel(weights=weights).assess('eight.png'), abs=1e-6)


@pytest.mark.parametrize(('given', 'expected'), [('white', 2), ('1,2,3', 1), ('5,5', 1), ('nan', 1)])
def test_a_range_that_is_none_is_a_sentence(given, expected, weights, capsys):
    cv2.imwrite('eight.png', smooth())
    assert status_of('image', 'eight.png', '--weights', weights, '--value-range', given) == expected
    assert 'value of white, such as 4095' in capsys.readouterr().err
