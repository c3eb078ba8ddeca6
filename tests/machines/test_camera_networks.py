"""Networks as cameras run them, TensorFlow Lite's and ncnn's, are recognised and used like ONNX files."""

import json
import zipfile

import numpy as np
import pytest
from helpers_detector_files import BOXES, LABELS, NAMES, SIZE, centred, chances, everywhere
from helpers_tflite import write_tflite

from miqa.errors import CheckpointError
from miqa.machines import TrialPicture, build_machine, machine_from_file

HEAD = np.concatenate([centred(everywhere()), chances()], 1).T.astype(np.float32)


@pytest.fixture
def tflite(tmp_path):
    pytest.importorskip('ai_edge_litert', reason="LiteRT is missing: pip install -e '.[tflite]'")
    # Ultralytics' exports give boxes in shares of the input.
    shares = HEAD / np.array([SIZE[1], SIZE[0]] * 2 + [1] * len(NAMES), np.float32)[:, None]
    return write_tflite(tmp_path / 'net.tflite', shares[None], SIZE)


@pytest.fixture
def ncnn(tmp_path):
    pytest.importorskip('ncnn', reason="ncnn is missing: pip install -e '.[ncnn]'")
    lines = ['7767517', '2 2', f'Input in0 0 1 in0 0={SIZE[1]} 1={SIZE[0]} 2=3']
    lines.append(f'MemoryData out0 0 1 out0 0={HEAD.shape[1]} 1={HEAD.shape[0]} 21=1')
    (tmp_path / 'net.ncnn.param').write_text('\n'.join(lines) + '\n')
    (tmp_path / 'net.ncnn.bin').write_bytes(HEAD.tobytes())
    return tmp_path / 'net.ncnn.param'


@pytest.mark.parametrize('kind', ['tflite', 'ncnn'])
def test_its_boxes_come_out_in_pixels_of_the_picture(kind, request):
    path = request.getfixturevalue(kind)
    image = np.random.default_rng(0).integers(0, 255, (SIZE[0] * 2, SIZE[1] * 2, 3), np.uint8)
    truth = TrialPicture(image, BOXES * 2, [NAMES[i] for i in LABELS])
    found = machine_from_file(path, 'det', [truth], NAMES)
    machine = build_machine(found.config)
    (answer,) = machine.predict([image])
    keep = answer.scores > 0.3
    np.testing.assert_allclose(answer.boxes[keep], BOXES * 2, atol=0.02)
    assert answer.labels[keep].tolist() == LABELS.tolist() and len(machine.fingerprint) == 64


def test_the_metadata_in_a_tflite_of_ultralytics_is_read(tflite):
    said = {
        'names': dict(enumerate(NAMES)),
        'imgsz': list(SIZE),
        'stride': 32,
        'task': 'detect',
        'author': 'Ultralytics',
    }
    with zipfile.ZipFile(tflite, 'a') as archive:
        archive.writestr('metadata.json', json.dumps(said))
    found = machine_from_file(tflite)
    assert found.certain and found.config['classes'] == list(NAMES)


def test_a_damaged_file_is_a_sentence(tflite):
    tflite.write_bytes(tflite.read_bytes()[:200])
    with pytest.raises(CheckpointError, match=r'net\.tflite is not a whole file of TensorFlow Lite'):
        machine_from_file(tflite, 'det')


def test_the_two_files_of_ncnn_belong_together(ncnn):
    ncnn.with_suffix('.bin').unlink()
    with pytest.raises(FileNotFoundError, match=r'net\.ncnn\.bin'):
        machine_from_file(ncnn, 'det')
    ncnn.with_suffix('.bin').write_bytes(b'')
    ncnn.write_text('something else')
    with pytest.raises(CheckpointError, match='is not the graph of an ncnn network'):
        machine_from_file(ncnn, 'det')
