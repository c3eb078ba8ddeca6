"""8-bit numbers are kept where scores stay near, and only there."""

import importlib.util
import json

import numpy as np
import pytest
from helpers_apis import CNN, export_once, views_of, write_photos, write_run
from helpers_refusals import refused

from machine_iqa import MIQAModel
from miqa.apis.calibration import calibration_pixels
from miqa.cli.main import main

onnxruntime = pytest.importorskip('onnxruntime', reason="needs the extra 'export'")
pytest.importorskip('onnxscript', reason="needs the extra 'export'")


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp('run')
    write_run(folder / 'best.pth', CNN, views_of(64))
    with export_once():
        yield MIQAModel(folder / 'best.pth')


@pytest.fixture(scope='module')
def shots(tmp_path_factory):
    folder = tmp_path_factory.mktemp('shots')
    write_photos(folder, 24)
    return folder


def test_an_8_bit_onnx_file_is_smaller_and_scores_alike(model, shots, tmp_path):
    plain = model.export(tmp_path / 'plain.onnx')
    path, difference = model.export_and_compare(tmp_path / 'm.onnx', int8=True, calibrate=shots, tolerance=1.0)
    small = MIQAModel(path)
    assert small.precision == 'int8' and small.identity.endswith(' int8') and small.spec == model.spec
    pixels = calibration_pixels(shots, model.prepare)
    expected = model.score_pixels(pixels)
    assert np.abs(small.score_pixels(pixels) - expected).max() == pytest.approx(difference, rel=0.05)
    assert 0 < difference < 0.2 * np.ptp(expected)
    assert path.stat().st_size < 0.6 * plain.stat().st_size
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    assert json.loads(session.get_modelmeta().custom_metadata_map['miqa'])['precision'] == 'int8'


def test_a_file_whose_scores_move_too_far_is_not_kept(model, shots, tmp_path):
    with pytest.raises(ValueError, match=r'm\.onnx differs from PyTorch by .* not kept'):
        model.export(tmp_path / 'm.onnx', int8=True, calibrate=shots, tolerance=1e-7)
    assert list(tmp_path.iterdir()) == []


def test_an_exported_file_can_be_quantised_without_its_checkpoint(model, shots, tmp_path):
    plain = model.export(tmp_path / 'plain.onnx')
    second = MIQAModel(plain).export(tmp_path / 'small.onnx', int8=True, calibrate=shots, tolerance=1.0)
    assert MIQAModel(second).precision == 'int8'
    with pytest.raises(ValueError, match='32-bit numbers'):
        MIQAModel(second).export(tmp_path / 'smaller.onnx', int8=True, calibrate=shots)


def test_pictures_to_fit_to_are_asked_for_and_counted(model, tmp_path):
    refused(ValueError, '--calibrate FOLDER', model.export, tmp_path / 'm.onnx', int8=True)
    write_photos(tmp_path / 'few', 3)
    (tmp_path / 'few' / 'broken.png').write_bytes(b'no picture')
    with pytest.raises(ValueError, match=r'has 3 readable pictures \(1 unreadable\)'):
        model.export(tmp_path / 'm.onnx', int8=True, calibrate=tmp_path / 'few')
    refused(NotADirectoryError, '', model.export, tmp_path / 'm.onnx', int8=True, calibrate=tmp_path / 'nowhere')


def test_pictures_are_spread_evenly_over_the_folder(model, shots):
    every, some = calibration_pixels(shots, model.prepare), calibration_pixels(shots, model.prepare, 16)
    assert len(every) == 24 and len(some) == 16
    assert np.array_equal(some[0], every[0]) and np.array_equal(some[-1], every[-1])


def test_the_command_writes_8_bit_numbers_or_says_what_to_install(model, shots, tmp_path, capsys):
    arguments = ['--model', model.source, '--int8', '--calibrate', str(shots), '--tolerance', '1']
    main(['export', str(tmp_path / 'm.onnx'), *arguments])
    assert ' of PyTorch.' in capsys.readouterr().out
    if importlib.util.find_spec('nncf') is None:
        refused(SystemExit, '', main, ['export', str(tmp_path / 'm.xml'), *arguments])
        assert 'needs nncf' in capsys.readouterr().err
        assert sorted(path.name for path in tmp_path.iterdir()) == ['m.onnx']
