"""RA-MIQA is run by OpenVINO where that is faster and gives PyTorch's scores; one line says so."""

import os

import numpy as np
import pytest
from helpers_apis import export_once, photo, write_photos, write_ra_miqa

from machine_iqa import MIQAModel, MissingPackage
from miqa.apis import kept_exports
from miqa.apis.multitask import MultiTaskModel
from miqa.apis.runtimes import precision as module


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    """Write a tiny RA-MIQA, for a machine without bfloat16 on which every other way is twice as fast."""
    monkeypatch.setenv('MIQA_HOME', str(tmp_path / 'home'))
    monkeypatch.setenv('MIQA_PRECISION', 'auto')
    monkeypatch.setattr('miqa.apis.runtimes.torch_runtime.faster_precisions', lambda device: ())
    monkeypatch.setattr(module, '_seconds', lambda runtimes, pixels: [2.0, 1.0])
    write_ra_miqa(tmp_path / 'best.pth')
    return tmp_path / 'best.pth'


def exports(checkpoint) -> list[str]:
    folder = checkpoint.parent / 'home' / kept_exports.FOLDER
    return sorted(path.suffix for path in folder.glob('[!.]*')) if folder.exists() else []


@pytest.fixture
def openvino():
    pytest.importorskip('openvino', reason="needs the extra 'openvino'")
    pytest.importorskip('onnxscript', reason="needs the extra 'export'")


def test_ra_miqa_is_exported_once_and_gives_the_scores_of_pytorch(checkpoint, openvino, tmp_path, monkeypatch, capsys):
    with export_once():
        model = MIQAModel(checkpoint, device='cpu')
        second = model.export(tmp_path / 'again.onnx')
    output = capsys.readouterr().err
    assert output.startswith('precision=auto: fp32 with OpenVINO for best.pth (') and output.count('\n') == 1
    assert (model.runtime.name, exports(checkpoint)) == ('OpenVINO', ['.bin', '.xml'])
    plain = MIQAModel(checkpoint, device='cpu', precision='fp32')
    assert plain.runtime.name == 'PyTorch'
    paths = write_photos(tmp_path / 'photos', 5)
    assert model.assess(paths) == pytest.approx(plain.assess(paths), abs=1e-4)
    # What needs the network itself has it.
    assert np.isfinite(model.assess(photo(), heatmap='rollout').values).all()
    assert second.exists()
    tasks = MultiTaskModel({'det': model, 'cls': plain}).assess(paths[0])
    assert tasks['det'] == pytest.approx(tasks['cls'], abs=1e-4)

    monkeypatch.setattr('miqa.apis.exports.export.export_model', None)  # not called again
    second = MIQAModel(checkpoint, device='cpu')
    assert second.runtime.name == 'OpenVINO' and capsys.readouterr().err == ''
    assert second.assess(paths) == pytest.approx(model.assess(paths), abs=1e-6)


def test_what_the_environment_says_keeps_it_with_pytorch(checkpoint, monkeypatch, capsys):
    monkeypatch.setenv('MIQA_PRECISION', 'fp32')
    assert MIQAModel(checkpoint, device='cpu').runtime.name == 'PyTorch'
    assert capsys.readouterr().err == '' and exports(checkpoint) == []


def test_other_networks_stay_with_pytorch(checkpoint, vit_file, capsys):
    assert MIQAModel(vit_file, device='cpu').runtime.name == 'PyTorch'
    assert capsys.readouterr().err == '' and exports(checkpoint) == []


def test_an_export_that_fails_leaves_pytorch_and_one_line_and_is_not_tried_again(
    checkpoint, openvino, monkeypatch, capsys
):
    calls = []

    def fail(*arguments, **options):
        calls.append(arguments)
        raise RuntimeError('Unsupported operator: aten::strange\nmore of it')

    monkeypatch.setattr('miqa.apis.exports.export.export_model', fail)
    monkeypatch.setattr('miqa.apis.runtimes.torch_runtime.faster_precisions', lambda device: ('bf16',))
    monkeypatch.setattr(module, 'MEAN_DIFFERENCE', -1.0)
    assert MIQAModel(checkpoint, device='cpu').runtime.name == 'PyTorch'
    assert capsys.readouterr().err.count('OpenVINO cannot be used here: Unsupported operator: aten::strange') == 1
    assert MIQAModel(checkpoint, device='cpu').runtime.name == 'PyTorch'
    assert capsys.readouterr().err == '' and len(calls) == 1 and exports(checkpoint) == []


def test_without_openvino_the_line_names_what_installs_it(checkpoint, monkeypatch, capsys):
    def missing():
        raise MissingPackage("OpenVINO needs openvino: pip install 'miqa[openvino]'")

    monkeypatch.setattr('miqa.apis.runtimes.openvino_runtime.openvino_core', missing)
    assert MIQAModel(checkpoint, device='cpu').runtime.name == 'PyTorch'
    assert "OpenVINO cannot be used here: OpenVINO needs openvino: pip install 'miqa[openvino]'" in (
        capsys.readouterr().err
    )


def test_the_cache_keeps_the_newest_exports(tmp_path):
    for number in range(kept_exports.MOST_KEPT + 2):
        for suffix in ('.xml', '.bin'):
            path = tmp_path / f'{number}{suffix}'
            path.write_text('')
            os.utime(path, (number, number))
    kept_exports._remove_oldest(tmp_path)
    assert sorted(path.stem for path in tmp_path.iterdir()) == [str(n) for n in range(2, 6) for _ in range(2)]
