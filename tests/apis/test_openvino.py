"""OpenVINO gives PyTorch's scores, and says where and in which numbers it computes."""

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers_apis import photo, write_photos, write_ra_miqa
from helpers_refusals import refused

from machine_iqa import CheckpointError, MIQAModel
from miqa.apis.runtimes import OpenVinoRuntime
from miqa.apis.runtimes.openvino_runtime import faster_precisions, openvino_core

openvino = pytest.importorskip('openvino', reason="needs the extra 'openvino'")


@pytest.fixture
def xml_export(exported):
    model, files = exported
    return model, files['.xml']


def test_openvino_gives_the_scores_of_pytorch_at_any_batch_size(xml_export, tmp_path):
    model, path = xml_export
    assert sorted(file.suffix for file in path.parent.iterdir()) == ['.bin', '.onnx', '.xml']
    paths = write_photos(tmp_path, 7)
    expected = model.assess(paths)
    for batch_size in (1, 3, 7):
        second = MIQAModel(path, batch_size=batch_size, precision='fp32')
        assert second.assess(paths) == pytest.approx(expected, abs=1e-4)
    assert np.ptp(expected) > 1e-3
    assert (second.spec, second.precision, str(second.device)) == (model.spec, 'fp32', 'cpu')
    assert second.runtime.name == 'OpenVINO' and second.identity.startswith('ra_miqa/det/accuracy@')


def test_the_file_describes_how_to_use_it(xml_export):
    model, path = xml_export
    read = openvino_core().read_model(path)
    about = json.loads(read.get_rt_info(['miqa']).astype(str))
    assert about['input']['resize_short_side'] == 48 and about['precision'] == 'fp32'
    assert about['spec'] == json.loads(json.dumps(model.spec.to_dict()))


def test_bfloat16_is_used_where_the_processor_has_it_and_refused_elsewhere(xml_export):
    model, path = xml_export
    if 'bf16' in faster_precisions(None):
        runtime = OpenVinoRuntime(path, precision='bf16')
        pixels = model.prepare(photo())[None]
        assert runtime.precision == 'bf16'
        assert runtime(pixels) == pytest.approx(model.score_pixels(pixels), rel=0.1)
    else:
        refused(ValueError, 'does not compute in bf16', OpenVinoRuntime, path, precision='bf16')


def test_threads_may_share_a_model(xml_export):
    _, path = xml_export
    model = MIQAModel(path, precision='fp32')
    pictures = [photo(seed=seed) for seed in range(8)]
    expected = [model.assess(picture) for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(model.assess, pictures)) == pytest.approx(expected, abs=1e-5)


def test_what_is_not_a_whole_model_of_ours_is_refused_with_a_sentence(xml_export, tmp_path):
    _, path = xml_export
    refused(ValueError, 'OpenVINO has no device gpu:7', MIQAModel, path, device='gpu:7')
    refused(ValueError, 'does not hold 8-bit numbers', MIQAModel, path, precision='int8')
    refused(ValueError, 'as it was exported', MIQAModel, path, compile=True)
    shutil.copy(path, tmp_path / 'alone.xml')
    refused(FileNotFoundError, r'alone\.bin: a model is two files', MIQAModel, tmp_path / 'alone.xml')
    for suffix in ('.xml', '.bin'):
        shutil.copy(path.with_suffix(suffix), tmp_path / f'cut{suffix}')
    (tmp_path / 'cut.xml').write_bytes(path.read_bytes()[:1000])
    refused(CheckpointError, 'not a whole OpenVINO model', MIQAModel, tmp_path / 'cut.xml')
    read = openvino_core().read_model(path)
    read.set_rt_info('{"spec": 7}', ['miqa'])
    openvino.save_model(read, tmp_path / 'strange.xml')
    refused(ValueError, r'strange\.xml', MIQAModel, tmp_path / 'strange.xml')


def test_a_process_that_closed_two_models_survives_the_end_of_a_child(xml_export, tmp_path):
    """Cores of OpenVINO that end in the order in which they began leave a signal stack that is gone."""
    _, path = xml_export
    code = (
        'import gc, signal, subprocess, sys\n'
        'from machine_iqa import MIQAModel\n'
        'signal.signal(signal.SIGCHLD, lambda *_: print("a child ended"))\n'
        'first, second = MIQAModel(sys.argv[1]), MIQAModel(sys.argv[1])\n'
        'del first; gc.collect()\n'
        'del second; gc.collect()\n'
        'subprocess.run([sys.executable, "-c", "pass"], check=True)\n'
        'print("alive")\n'
    )
    done = subprocess.run([sys.executable, '-X', 'faulthandler', '-c', code, str(path)], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.endswith('a child ended\nalive\n'), done.stderr


def test_a_model_is_both_of_its_files_and_takes_no_numbers_of_another_model(xml_export, tmp_path):
    _, path = xml_export
    write_ra_miqa(tmp_path / 'other.pth', seed=1)
    other = MIQAModel(tmp_path / 'other.pth', precision='fp32').export(tmp_path / 'other.xml')
    identities = {MIQAModel(file, precision='fp32').identity for file in (path, other)}
    assert len(identities) == 2, 'results of one would be taken for those of the other'
    shutil.copy(path.with_suffix('.bin'), other.with_suffix('.bin'))
    refused(CheckpointError, r'other\.bin does not hold the weights of .*other\.xml', MIQAModel, other)
