"""Exported models give the same scores, at any batch size, with all that must be known inside the file."""

import json

import numpy as np
import pytest
import torch
from helpers_apis import photo, write_photos
from helpers_refusals import refused

from machine_iqa import MIQAModel
from miqa.apis.exports.format import ExportFormat
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


def test_the_file_tells_a_stranger_how_to_use_it(onnx_export):
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


def test_a_torch_export_file_as_a_model_is_told_what_it_is_for_and_which_exports_can_be_scored(tmp_path):
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
