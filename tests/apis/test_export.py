"""Exported files give the model's scores at any batch size, describe themselves, and are kept only if scores agree."""

import importlib.util
import json

import numpy as np
import pytest
import torch
from helpers_apis import CNN, export_once, photo, views_of, write_photos, write_run
from helpers_refusals import refused

from machine_iqa import MIQAModel
from miqa.apis.calibration import calibration_pixels
from miqa.apis.exports.format import ExportFormat
from miqa.cli.main import main
from miqa.models import CheckpointError

onnx = pytest.importorskip('onnx', reason="needs the extra 'export'")
onnxruntime = pytest.importorskip('onnxruntime', reason="needs the extra 'export'")


@pytest.fixture
def onnx_export(exported):
    model, files = exported
    return model, files['.onnx']


def test_onnx_runtime_gives_the_scores_of_pytorch_at_any_batch_size(onnx_export, tmp_path):
    model, path = onnx_export
    paths = write_photos(tmp_path, 7)
    expected = model.assess(paths)
    for batch_size in (1, 3, 7):
        assert MIQAModel(weights=path, batch_size=batch_size).assess(paths) == pytest.approx(expected, abs=1e-4)
    assert np.ptp(expected) > 1e-3


def test_the_file_describes_how_to_use_it(onnx_export):
    model, path = onnx_export
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    about = json.loads(session.get_modelmeta().custom_metadata_map['miqa'])
    assert about['input']['resize_short_side'] == 48 and about['input']['crop'] == 'center'
    assert about['input']['shape'] == ['batch', 3, 48, 48] and about['input']['channels'] == 'RGB'
    assert about['spec']['task'] == 'det' and about['output']['higher_is_better'] is True
    (taken,) = session.get_inputs()
    assert (taken.name, taken.type, taken.shape[1:]) == ('pixels', 'tensor(uint8)', [3, 48, 48])
    assert isinstance(taken.shape[0], str), 'the batch size must be free'
    pixels = model.prepare(photo()[:, :, ::-1])[None]
    ours = model.assess(photo()[:, :, ::-1])
    assert session.run(['score'], {'pixels': pixels})[0][0] == pytest.approx(ours, abs=1e-4)
    onnx.checker.check_model(str(path))


def test_an_onnx_model_has_the_names_of_what_it_was_made_from(onnx_export):
    model, path = onnx_export
    second = MIQAModel('ra-miqa', weights=path, task='det')
    assert second.spec == model.spec
    assert second.identity.startswith('ra_miqa/det/accuracy@')
    refused(ValueError, 'task det, not cls', MIQAModel, weights=path, task='cls')
    refused(ValueError, 'as it was exported', MIQAModel, weights=path, precision='bf16')
    refused(ValueError, 'ra-miqa is an exported model already', second.export, path.with_name('again.onnx'))
    refused(ValueError, 'exported model', second.save_pretrained, path.with_name('saved'))
    refused(ValueError, 'not an exported file', second.assess, photo(), heatmap='rollout')
    assert second.assess(photo(), heatmap=True).values.shape == (9, 9)


def test_a_torch_export_file_gives_the_scores_at_any_batch_size(onnx_export, tmp_path):
    model, _ = onnx_export
    path = model.export(tmp_path / 'model.pt2')
    extra = {'miqa.json': ''}
    module = torch.export.load(path, extra_files=extra).module()
    assert json.loads(extra['miqa.json'])['input']['resize_short_side'] == 48
    pixels = np.stack([model.prepare(photo(seed=seed)) for seed in range(5)])
    for count in (1, 5):
        result = module(torch.from_numpy(pixels[:count])).detach().numpy()
        assert result == pytest.approx(model.score_pixels(pixels[:count]), abs=1e-4)


def test_a_torch_export_file_as_a_model_is_refused_with_the_exports_that_can_be_scored(tmp_path):
    (tmp_path / 'model.pt2').write_bytes(b'PK')
    with pytest.raises(ValueError, match=r'programs of your own .*as \.onnx or \.xml: miqa export model\.onnx'):
        MIQAModel(weights=tmp_path / 'model.pt2')


def test_files_of_others_and_wrong_suffixes_are_refused(onnx_export, tmp_path):
    model, path = onnx_export
    refused(ValueError, r'Unknown export suffix .*\.onnx', model.export, tmp_path / 'model.trt')
    strange = onnx.load(path)
    del strange.metadata_props[:]
    onnx.save(strange, tmp_path / 'strange.onnx')
    refused(CheckpointError, "lacks the metadata key 'miqa'", MIQAModel, weights=tmp_path / 'strange.onnx')
    (tmp_path / 'cut.onnx').write_bytes(path.read_bytes()[:1000])
    refused(CheckpointError, 'not a whole ONNX file', MIQAModel, weights=tmp_path / 'cut.onnx')
    if not torch.cuda.is_available():
        refused(ValueError, 'ONNX Runtime has no provider for device cuda', MIQAModel, weights=path, device='cuda')


def test_an_export_whose_scores_differ_is_not_kept(onnx_export, tmp_path, monkeypatch):
    model, _ = onnx_export

    def wrong(module, pixels, path, spec):
        return lambda batch: module(torch.from_numpy(batch)).numpy() + 0.01

    monkeypatch.setattr('miqa.apis.exports.export.export_format', lambda suffix: ExportFormat('wrong', wrong))
    refused(ValueError, 'differs from PyTorch by 0.01', model.export, tmp_path / 'model.onnx')
    assert not (tmp_path / 'model.onnx').exists()


@pytest.fixture(scope='module')
def cnn(tmp_path_factory):
    pytest.importorskip('onnxscript', reason="needs the extra 'export'")
    folder = tmp_path_factory.mktemp('run')
    write_run(folder / 'best.pth', CNN, views_of(64))
    with export_once():
        yield MIQAModel(folder / 'best.pth')


@pytest.fixture(scope='module')
def shots(tmp_path_factory):
    folder = tmp_path_factory.mktemp('shots')
    write_photos(folder, 24)
    return folder


def test_an_8_bit_onnx_file_is_smaller_and_scores_alike(cnn, shots, tmp_path):
    plain = cnn.export(tmp_path / 'plain.onnx')
    path, difference = cnn.export_and_compare(tmp_path / 'm.onnx', int8=True, calibrate=shots, tolerance=1.0)
    small = MIQAModel(path)
    assert small.precision == 'int8' and small.identity.endswith(' int8') and small.spec == cnn.spec
    pixels = calibration_pixels(shots, cnn.prepare)
    expected = cnn.score_pixels(pixels)
    assert np.abs(small.score_pixels(pixels) - expected).max() == pytest.approx(difference, rel=0.05)
    assert 0 < difference < 0.2 * np.ptp(expected)
    assert path.stat().st_size < 0.6 * plain.stat().st_size
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    assert json.loads(session.get_modelmeta().custom_metadata_map['miqa'])['precision'] == 'int8'


def test_a_file_whose_scores_move_too_far_is_not_kept(cnn, shots, tmp_path):
    with pytest.raises(ValueError, match=r'm\.onnx differs from PyTorch by .* not kept'):
        cnn.export(tmp_path / 'm.onnx', int8=True, calibrate=shots, tolerance=1e-7)
    assert list(tmp_path.iterdir()) == []


def test_an_exported_file_can_be_quantised_without_its_checkpoint(cnn, shots, tmp_path):
    plain = cnn.export(tmp_path / 'plain.onnx')
    second = MIQAModel(plain).export(tmp_path / 'small.onnx', int8=True, calibrate=shots, tolerance=1.0)
    assert MIQAModel(second).precision == 'int8'
    with pytest.raises(ValueError, match='32-bit numbers'):
        MIQAModel(second).export(tmp_path / 'smaller.onnx', int8=True, calibrate=shots)


def test_calibration_pictures_are_required_and_counted(cnn, tmp_path):
    refused(ValueError, '--calibrate FOLDER', cnn.export, tmp_path / 'm.onnx', int8=True)
    write_photos(tmp_path / 'few', 3)
    (tmp_path / 'few' / 'broken.png').write_bytes(b'no picture')
    with pytest.raises(ValueError, match=r'has 3 readable pictures \(1 unreadable\)'):
        cnn.export(tmp_path / 'm.onnx', int8=True, calibrate=tmp_path / 'few')
    refused(NotADirectoryError, '', cnn.export, tmp_path / 'm.onnx', int8=True, calibrate=tmp_path / 'nowhere')


def test_pictures_are_spread_evenly_over_the_folder(cnn, shots):
    every, some = calibration_pixels(shots, cnn.prepare), calibration_pixels(shots, cnn.prepare, 16)
    assert len(every) == 24 and len(some) == 16
    assert np.array_equal(some[0], every[0]) and np.array_equal(some[-1], every[-1])


def test_the_command_writes_8_bit_numbers_or_says_what_to_install(cnn, shots, tmp_path, capsys):
    arguments = ['--model', cnn.source, '--int8', '--calibrate', str(shots), '--tolerance', '1']
    main(['export', str(tmp_path / 'm.onnx'), *arguments])
    assert ' of PyTorch.' in capsys.readouterr().out
    if importlib.util.find_spec('nncf') is None:
        refused(SystemExit, '', main, ['export', str(tmp_path / 'm.xml'), *arguments])
        assert 'needs nncf' in capsys.readouterr().err
        assert sorted(path.name for path in tmp_path.iterdir()) == ['m.onnx']
