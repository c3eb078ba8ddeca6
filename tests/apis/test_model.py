"""MIQAModel and batch_assess: one score for one picture, however it comes."""

import concurrent.futures
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from helpers_apis import CNN, MEAN, STD, photo, views_of, write_photos, write_ra_miqa, write_run
from helpers_refusals import refused
from mmengine.config import Config
from PIL import Image
from torchvision import transforms

import machine_iqa
from machine_iqa import MIQAModel, batch_assess
from miqa.models import CheckpointError


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp('run') / 'best.pth'
    return path, write_run(path)


@pytest.fixture(scope='module')
def pair(tmp_path_factory):
    path = tmp_path_factory.mktemp('pair') / 'best.pth'
    return path, write_ra_miqa(path)


def test_the_package_has_the_names_of_the_readme_and_no_others(run, tmp_path):
    assert all((MIQAModel, machine_iqa.RealTimeIQA, machine_iqa.VideoMIQA))
    with pytest.raises(AttributeError):
        _ = machine_iqa.Nothing
    paths = write_photos(tmp_path, 3)
    score = MIQAModel(weights=run[0]).assess(cv2.imread(paths[0]))
    scores = batch_assess(paths, weights=run[0])
    assert [type(value) for value in (score, *scores)] == [float] * 4
    assert scores[0] == pytest.approx(score, abs=1e-5)


def test_one_picture_has_one_score_in_every_form_alone_and_in_a_batch_of_seven(pair, tmp_path):
    model = MIQAModel(weights=pair[0], batch_size=7)
    paths = write_photos(tmp_path, 7)
    alone = [model.assess(path) for path in paths]
    assert np.ptp(alone) > 1e-3, 'the pictures must differ for the comparison to mean anything'
    rgb = np.asarray(Image.open(paths[3]))
    data = Path(paths[3]).read_bytes()
    tensors = [torch.from_numpy(values).permute(2, 0, 1) for values in (rgb.copy(), rgb / np.float32(255))]
    forms = [data, bytearray(data), memoryview(data), Image.open(paths[3]), cv2.imread(paths[3]), *tensors]
    for form in forms:
        assert model.assess(form) == pytest.approx(alone[3], abs=1e-6), type(form)
    assert model.assess(paths) == pytest.approx(alone, abs=1e-5)
    assert MIQAModel(weights=pair[0], batch_size=2).assess(paths) == pytest.approx(alone, abs=1e-5)
    assert model.assess(np.stack([cv2.imread(paths[3])] * 2)) == pytest.approx([alone[3]] * 2, abs=1e-5)
    assert model.assess([]) == []


@pytest.mark.parametrize(('width', 'height'), [(120, 90), (90, 131), (64, 64), (500, 333)])
def test_the_score_is_that_of_torchvisions_transforms_and_the_bare_network(run, width, height):
    path, assessor = run
    picture = Image.fromarray(photo(width, height))
    reference = transforms.Compose(
        [transforms.Resize(72), transforms.CenterCrop(64), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    )
    with torch.no_grad():
        expected = assessor.network({'image': reference(picture)[None]}).item()
    assert MIQAModel(weights=path).assess(picture) == pytest.approx(expected, abs=1e-6)


def test_both_views_come_from_one_resize_and_match_torchvisions(pair):
    path, assessor = pair
    picture = Image.fromarray(photo(133, 90))
    resized = transforms.Resize(48)(picture)

    def view(size, mean, std):
        cut = [transforms.CenterCrop(size), transforms.ToTensor(), transforms.Normalize(mean, std)]
        return transforms.Compose(cut)(resized)[None]

    with torch.no_grad():
        views = {'image': view(32, MEAN, STD), 'region': view(48, (0.5,) * 3, (0.5,) * 3)}
        expected = assessor.network(views).item()
    assert MIQAModel(weights=path).assess(picture) == pytest.approx(expected, abs=1e-6)


def test_a_run_says_itself_what_it_is(run, pair):
    model = MIQAModel(weights=run[0])
    assert (model.spec.method, model.spec.task, model.spec.label) == ('test_vit.r160_in1k', 'det', 'accuracy')
    assert (model.spec.short_side, model.spec.view_size) == (72, 64)
    for name in ('ra-miqa', 'RA-MIQA', 'ra_miqa'):
        assert MIQAModel(name, task='det', weights=pair[0]).spec.method == 'ra_miqa'
    refused(ValueError, 'method ra_miqa, not resnet50', MIQAModel, 'resnet50', weights=pair[0])
    refused(ValueError, 'task det, not cls', MIQAModel, weights=pair[0], task='cls')


def test_unknown_words_get_a_suggestion(pair, tmp_path):
    refused(ValueError, "Unknown model 'ra-miqua'. Did you mean 'ra_miqa'", MIQAModel, 'ra-miqua')
    refused(ValueError, "Unknown task 'clss'", MIQAModel, 'ra-miqa', task='clss')
    refused(FileNotFoundError, r'no weights file .*gone\.pth', MIQAModel, weights=tmp_path / 'gone.pth')
    refused(FileNotFoundError, 'is a folder', MIQAModel, weights=tmp_path)
    refused(ValueError, "device 'cuda:99'", MIQAModel, weights=pair[0], device='cuda:99')
    refused(ValueError, 'Unknown precision', MIQAModel, weights=pair[0], precision='fp8')
    refused(ValueError, 'needs a GPU', MIQAModel, weights=pair[0], precision='fp16', device='cpu')
    refused(ValueError, 'batch_size must be at least 1', MIQAModel, weights=pair[0], batch_size=0)


TOUCHING = "task = __import__('pathlib').Path('OWNED').touch()", "task = [open('OWNED', 'w') for _ in range(1)]"


@pytest.mark.parametrize('text', [*TOUCHING, "import os\nos.mkdir('OWNED')"])
def test_a_config_inside_a_checkpoint_is_never_run(run, tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    checkpoint = torch.load(run[0], weights_only=True)
    checkpoint['meta']['cfg'] += '\n' + text
    torch.save(checkpoint, 'evil.pth')
    refused(ValueError, 'holds more than values', MIQAModel, weights='evil.pth')
    assert not (tmp_path / 'OWNED').exists()


def test_a_config_cannot_name_functions_to_call(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoint = torch.load(run[0], weights_only=True)
    config = Config.fromstring(checkpoint['meta']['cfg'], '.py')
    config.model.network = {'type': 'os.mkdir', 'path': 'OWNED'}
    checkpoint['meta']['cfg'] = config.pretty_text
    torch.save(checkpoint, 'evil.pth')
    refused(ValueError, "'os.mkdir', which is not a network", MIQAModel, weights='evil.pth')
    assert not (tmp_path / 'OWNED').exists()


def test_checkpoints_that_cannot_be_used_are_refused_with_a_sentence(run, tmp_path):
    checkpoint = torch.load(run[0], weights_only=True)
    torch.save({'state_dict': checkpoint['state_dict'], 'meta': {}}, tmp_path / 'bare.pth')
    refused(CheckpointError, 'no config', MIQAModel, weights=tmp_path / 'bare.pth')
    (tmp_path / 'cut.pth').write_bytes(run[0].read_bytes()[:5000])
    refused(CheckpointError, 'not a whole|damaged', MIQAModel, weights=tmp_path / 'cut.pth')
    config = Config.fromstring(checkpoint['meta']['cfg'], '.py')
    config.test_dataloader.dataset.pipeline.append({'type': 'Sharpen'})
    torch.save({**checkpoint, 'meta': {'cfg': config.pretty_text}}, tmp_path / 'odd.pth')
    refused(ValueError, 'Sharpen', MIQAModel, weights=tmp_path / 'odd.pth')
    for tensor in checkpoint['state_dict'].values():
        tensor.fill_(float('nan'))
    torch.save(checkpoint, tmp_path / 'nan.pth')
    refused(ValueError, 'scores that are not numbers', MIQAModel(weights=tmp_path / 'nan.pth').assess, photo())


def test_threads_may_share_a_model(pair):
    model = MIQAModel(weights=pair[0])
    pictures = [photo(seed=seed) for seed in range(8)]
    expected = [model.assess(picture) for picture in pictures]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            assert list(pool.map(model.assess, pictures)) == pytest.approx(expected, abs=1e-5)


def test_precision_layout_and_compilation_change_scores_little_or_not(tmp_path):
    path = tmp_path / 'best.pth'
    write_run(path, CNN, views_of(64))
    picture = photo()
    plain = MIQAModel(weights=path, channels_last=False).assess(picture)
    channels_last = MIQAModel(weights=path)
    assert channels_last.runtime.channels_last
    assert channels_last.assess(picture) == pytest.approx(plain, abs=1e-4)
    assert MIQAModel(weights=path, compile='eager').assess(picture) == pytest.approx(plain, abs=1e-4)
    bf16 = MIQAModel(weights=path, precision='bf16').assess(picture)
    assert bf16 == pytest.approx(plain, abs=0.05 * max(1, abs(plain)))
    assert bf16 != plain


def test_a_bad_picture_in_a_batch_raises_or_leaves_a_gap(run, tmp_path):
    paths = write_photos(tmp_path, 3)
    paths.insert(1, str(tmp_path / 'gone.png'))
    refused(FileNotFoundError, r'gone\.png', batch_assess, paths, weights=run[0])
    scores = batch_assess(paths, weights=run[0], errors='none')
    assert scores[1] is None and None not in scores[:1] + scores[2:]
    refused(ValueError, "'raise' or 'none'", batch_assess, paths, weights=run[0], errors='ignore')
    refused(TypeError, 'takes a list', batch_assess, paths[0], weights=run[0])


def test_quality_words_follow_the_examples_of_the_paper(run):
    model = MIQAModel(weights=run[0])
    assert [model.quality(score) for score in (0.892, 0.634, 0.298)] == ['high', 'medium', 'low']
    assert MIQAModel(weights=run[0], thresholds=(0.95, 0.9)).quality(0.892) == 'low'
    refused(ValueError, 'must not be below', MIQAModel, weights=run[0], thresholds=(0.2, 0.9))


def test_severe_versions_score_below_mild_ones(shared_data):
    from miqa.apis.zoo.catalogue import demo_path

    if not demo_path().is_file():
        pytest.skip('There are no demo weights: run `bash tools/quickstart.sh`.')
    scores = {}
    for path in sorted((shared_data / 'miqd_samples').glob('*/*.png')):
        name, level = path.stem.rsplit('_', 1)
        scores.setdefault(name, {})[int(level)] = path
    model = MIQAModel('demo')
    for name, levels in scores.items():
        mild, severe = model.assess([levels[min(levels)], levels[max(levels)]])
        assert mild > severe, name
