"""Networks as cameras run them, TensorFlow Lite's and ncnn's, are recognised and used like ONNX files."""

import json
import multiprocessing
import pickle
import zipfile

import helpers_detector_files as files
import numpy as np
import pytest
from helpers_detector_files import BOXES, LABELS, NAMES, SIZE, centred, chances, everywhere
from helpers_refusals import refused
from helpers_tflite import write_tflite

from miqa.errors import CheckpointError
from miqa.machines import TrialPicture, build_machine, machine_from_file
from miqa.machines.network_files import open_network

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
    return write_ncnn(tmp_path / 'net.ncnn.param', [HEAD], f'0={SIZE[1]} 1={SIZE[0]} 2=3')


def write_ncnn(path, outputs, size=''):
    """Write a network of ncnn that outputs these matrices whatever the picture."""
    lines = ['7767517', f'{len(outputs) + 1} {len(outputs) + 1}', f'Input in0 0 1 in0 {size}']
    lines += [f'MemoryData out{i} 0 1 out{i} 0={a.shape[1]} 1={a.shape[0]} 21=1' for i, a in enumerate(outputs)]
    path.write_text('\n'.join(lines) + '\n')
    path.with_suffix('.bin').write_bytes(b''.join(array.astype(np.float32).tobytes() for array in outputs))
    return path


@pytest.mark.parametrize('kind', ['tflite', 'ncnn'])
def test_its_boxes_come_out_in_pixels_of_the_picture(kind, request):
    path = request.getfixturevalue(kind)
    image = np.random.default_rng(0).integers(0, 255, (SIZE[0] * 2, SIZE[1] * 2, 3), np.uint8)
    truth = TrialPicture(image, BOXES * 2, [NAMES[i] for i in LABELS])
    result = machine_from_file(path, 'det', [truth], NAMES)
    machine = build_machine(result.config)
    (answer,) = machine.predict([image])
    keep = answer.scores > 0.3
    np.testing.assert_allclose(answer.boxes[keep], BOXES * 2, atol=0.02)
    assert answer.labels[keep].tolist() == LABELS.tolist() and len(machine.fingerprint) == 64


@pytest.mark.parametrize('kind', ['tflite', 'ncnn'])
def test_it_reaches_other_processes_by_pickle_and_after_a_fork_says_so_and_does_not_hang(kind, request):
    network = open_network(request.getfixturevalue(kind))
    images = np.zeros((1, 3, *SIZE), np.float32)
    expected = network.run(images)
    for name, values in pickle.loads(pickle.dumps(network)).run(images).items():
        np.testing.assert_array_equal(values, expected[name])
    sent = pickle.dumps(network)
    ours, theirs = multiprocessing.Pipe()

    def child():
        try:
            theirs.send(network.run(images))
        except Exception as error:
            theirs.send(error)

    process = multiprocessing.get_context('fork').Process(target=child)
    process.start()
    assert ours.poll(120), 'the child hangs'
    assert 'opened before the process was forked' in str(ours.recv())
    process.join()
    last = network.file.with_name(list(network.files)[-1])
    last.write_bytes(last.read_bytes() + bytes(4))
    refused(CheckpointError, 'has changed since it was opened', pickle.loads, sent)


def test_the_size_of_an_ncnn_network_is_known_from_the_places_of_all_its_grids(tmp_path, monkeypatch):
    pytest.importorskip('ncnn', reason="ncnn is missing: pip install -e '.[ncnn]'")
    monkeypatch.setattr(files, 'SIZE', (160, 160))
    ends = np.cumsum([400, 100, 25])[:-1]
    # As pnnx converts NanoDet: scores and distributions of each grid are outputs of their own.
    path = write_ncnn(
        tmp_path / 'net.param',
        [part for values in (chances(), files.distributions(8)) for part in np.split(values, ends)],
    )
    image = np.random.default_rng(0).integers(0, 255, (160, 160, 3), np.uint8)
    result = machine_from_file(path, 'det', [TrialPicture(image, BOXES, [NAMES[i] for i in LABELS])], NAMES)
    assert result.config['size'] == (160, 160) and result.certain, result.notes
    (answer,) = build_machine(result.config).predict([image])
    np.testing.assert_allclose(answer.boxes[answer.scores > 0.3], BOXES, atol=0.02)


def test_layers_that_ncnn_lacks_are_named(ncnn):
    ncnn.write_text(ncnn.read_text() + 'Tensor.slice cut 1 1 out0 out1\n')
    refused(CheckpointError, r'has layers that ncnn \S+ lacks: Tensor\.slice\. Convert', machine_from_file, ncnn, 'det')


def test_the_metadata_in_a_tflite_of_ultralytics_is_read(tflite):
    said = {
        'names': dict(enumerate(NAMES)), 'imgsz': list(SIZE), 'stride': 32, 'task': 'detect', 'author': 'Ultralytics',
    }  # fmt: skip
    with zipfile.ZipFile(tflite, 'a') as archive:
        archive.writestr('metadata.json', json.dumps(said))
    result = machine_from_file(tflite)
    assert result.certain and result.config['classes'] == list(NAMES)


def test_a_damaged_file_is_a_sentence(tflite):
    tflite.write_bytes(tflite.read_bytes()[:200])
    refused(CheckpointError, r'net\.tflite is not a whole file of TensorFlow Lite', machine_from_file, tflite, 'det')


def test_the_two_files_of_ncnn_belong_together(ncnn):
    ncnn.with_suffix('.bin').unlink()
    refused(FileNotFoundError, r'net\.ncnn\.bin', machine_from_file, ncnn, 'det')
    ncnn.with_suffix('.bin').write_bytes(b'')
    ncnn.write_text('something else')
    refused(CheckpointError, 'is not the graph of an ncnn network', machine_from_file, ncnn, 'det')
