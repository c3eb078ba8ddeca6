"""The five lines at the top of docs/your_own_models.md are run as they are printed there."""

import csv
import json
import re
from pathlib import Path

import pytest
import torch
from helpers_ssdlite import NAME, bright_places, draw_discs, write_hub_weights
from PIL import Image

ROOT = Path(__file__).parents[2]
#: Few, for time; too few for a promise with 95 % confidence, unless all that the detector does is right.
PICTURES = 8
#: What the lines train with, here for one epoch.
CONFIG = 'configs/mini/plain_cnn_det.py'


def five_lines() -> list[str]:
    page = (ROOT / 'docs/your_own_models.md').read_text(encoding='utf-8')
    return re.search(r'```bash\n(.*?)```', page, re.DOTALL)[1].splitlines()


def prepare(folder: Path) -> None:
    """Write what the lines name: pictures, what the detector finds on them as annotations, and the detector's weights.

    Annotations are the detector's own answers to the clean pictures, so that distortions alone make it wrong.
    """
    network = bright_places()
    write_hub_weights(folder / 'torch', network)
    images, annotations = [], []
    (folder / 'shots').mkdir()
    for number in range(1, PICTURES + 1):
        pixels, _ = draw_discs(number)
        name = f'{number:012d}.png'
        Image.fromarray(pixels).save(folder / 'shots' / name)
        images.append({'id': number, 'file_name': name, 'width': pixels.shape[1], 'height': pixels.shape[0]})
        with torch.no_grad():
            (answers,) = network([torch.from_numpy(pixels).permute(2, 0, 1) / 255])
        for box in answers['boxes'][:15].tolist():
            xywh = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
            annotations.append({
                'id': len(annotations) + 1, 'image_id': number, 'category_id': 1, 'bbox': xywh,
                'area': xywh[2] * xywh[3], 'iscrowd': 0,
            })  # fmt: skip
    content = {'images': images, 'annotations': annotations, 'categories': [{'id': 1, 'name': 'person'}]}
    (folder / 'shots.json').write_text(json.dumps(content))
    (folder / 'tools').symlink_to(ROOT / 'tools')
    (folder / CONFIG).parent.mkdir(parents=True)
    (folder / CONFIG).write_text(f"_base_ = '{(ROOT / CONFIG).as_posix()}'\nschedule = dict(epochs=1)\n")


def test_the_page_begins_with_five_lines_that_name_a_detector_of_torchvision():
    lines = five_lines()
    assert len(lines) == 5 and NAME in lines[0] and all(CONFIG in line for line in lines[1:3])
    assert [line.split()[0] for line in lines] == ['miqa', 'python', 'python', 'python', 'miqa']


@pytest.mark.slow
def test_the_five_lines_lead_from_a_folder_to_a_gate_and_its_curve(warm, tmp_path):
    prepare(tmp_path)
    messages = []
    for line in five_lines():
        done = warm.call('bash', '-c', line, cwd=tmp_path, TORCH_HOME=str(tmp_path / 'torch'))
        messages.append(done.stdout)
        if line != five_lines()[-1]:
            assert done.returncode == 0, (line, done.stdout[-2000:], done.stderr[-3000:])
    assert f'{51 * PICTURES - PICTURES} labelled pictures; {PICTURES} sources in all' in messages[0]
    curve = tmp_path / 'work_dirs/mine/curve'
    assert Image.open(curve / 'filter_curve.png').size[0] > 300
    (row,) = csv.DictReader((curve / 'comparison.csv').open())
    assert row['method'] == 'gate' and -1 <= float(row['SRCC']) <= 1
    if done.returncode == 0:
        assert 'the mean outcome of what passes is at least 0.4' in messages[4]
        assert (tmp_path / 'gate.json').is_file()
    else:
        assert 'No threshold can promise a mean outcome of 0.4' in done.stderr, done.stderr
        assert 'calibration pictures' in done.stderr
