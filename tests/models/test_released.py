"""Released files: all six methods, every tensor accounted for, nothing executed, wrong files refused in words."""

import json
import os
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_apis import photo, views_of, write_run
from helpers_models import released_shapes, released_tensors, tiny_assessor
from helpers_refusals import refused
from mmengine.config import Config
from mmengine.logging import HistoryBuffer

from machine_iqa import MIQAModel
from miqa.apis.methods import METHODS
from miqa.cli.main import main
from miqa.models import CheckpointError, load_checkpoint, parse_released_name, read_checkpoint, to_released
from miqa.models.parts.checkpoints import RELEASED_METHODS
from miqa.registry import MODELS

BEST = np.float64(0.91)


def build(method, root):
    """Build the model of a method's config; nothing is fetched, since nobody calls init_weights."""
    return MODELS.build(Config.fromfile(root / f'configs/_base_/models/{RELEASED_METHODS[method]}.py').model)


@pytest.fixture
def resnet(request):
    return build('resnet18', request.config.rootpath)


def training_leftovers(best=BEST):
    """What the authors' training script stores beside the weights."""
    parameter = torch.nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.AdamW([parameter])
    parameter.sum().backward()
    optimizer.step()
    warmup = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: step / 10)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 5)
    scheduler = torch.optim.lr_scheduler.SequentialLR(optimizer, [warmup, cosine], [1])
    return {
        'epoch': 5, 'arch': 'some_arch', 'best_srcc': best, 'optimizer': optimizer.state_dict(),
        'scheduler': scheduler.state_dict(),
    }  # fmt: skip


@pytest.mark.parametrize('method', RELEASED_METHODS)
def test_a_released_file_goes_in_and_comes_out_tensor_by_tensor(method, tmp_path, request):
    tensors = released_tensors(method)
    path = tmp_path / f'miqa_{method}_det_composite_metric.pth.tar'
    state = OrderedDict((f'module.{name}', tensor) for name, tensor in tensors.items())
    torch.save({**training_leftovers(), 'state_dict': state}, path)
    model = build(method, request.config.rootpath)
    checkpoint = load_checkpoint(model, path)
    assert checkpoint['meta'] == {'released': method, 'epoch': 5, 'best_srcc': 0.91}
    assert set(checkpoint) == {'meta', 'state_dict'}
    released = to_released(model)
    assert released.keys() == tensors.keys()
    assert all(torch.equal(released[name], tensors[name]) for name in tensors)


@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_a_bare_state_dict_loads_with_and_without_prefix(prefix, resnet, tmp_path):
    tensors = released_tensors('resnet18', seed=1)
    torch.save({prefix + name: tensor for name, tensor in tensors.items()}, tmp_path / 'bare.pth')
    load_checkpoint(resnet, tmp_path / 'bare.pth')
    assert all(torch.equal(value, tensors[name]) for name, value in to_released(resnet).items())


def test_our_own_checkpoint_round_trips(resnet, tmp_path, request):
    other = build('resnet18', request.config.rootpath)
    torch.save({'state_dict': resnet.state_dict(), 'meta': {'epoch': 3}}, tmp_path / 'ours.pth')
    assert load_checkpoint(other, tmp_path / 'ours.pth')['meta'] == {'epoch': 3}
    assert all(
        torch.equal(a, b) for a, b in zip(resnet.state_dict().values(), other.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize(
    'best', [0.9, np.float32(0.9), np.float64(0.9), np.array(0.9), torch.tensor(0.9)], ids=lambda b: type(b).__name__
)
def test_any_way_of_writing_the_best_score_is_read(best, tmp_path):
    torch.save({**training_leftovers(best), 'state_dict': released_tensors('resnet18')}, tmp_path / 'f.pth.tar')
    assert float(read_checkpoint(tmp_path / 'f.pth.tar')['meta']['best_srcc']) == pytest.approx(0.9)


def test_numpy_1_and_numpy_2_files_are_both_read(tmp_path):
    """The two write different module names for a scalar: one file is made of the other by renaming."""
    torch.save({'best_srcc': np.float64(0.5), 'state_dict': released_tensors('resnet18')}, tmp_path / 'new.pth')
    rename_in_pickle(tmp_path / 'new.pth', tmp_path / 'old.pth', b'numpy._core.multiarray', b'numpy.core.multiarray')
    for name in ('new.pth', 'old.pth'):
        assert read_checkpoint(tmp_path / name)['meta']['best_srcc'] == 0.5


def rename_in_pickle(source, target, old, new):
    import zipfile

    with zipfile.ZipFile(source) as before, zipfile.ZipFile(target, 'w') as after:
        for item in before.namelist():
            data = before.read(item)
            if item.endswith('data.pkl'):
                data = data.replace(old, new) if old in data else data.replace(new, old)
            after.writestr(item, data)


def test_a_schedule_object_with_its_optimizer_is_read(tmp_path):
    """Warm-up schedulers of the time stored the scheduler that follows them as a whole object."""
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(2))])
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 5)
    checkpoint = {'scheduler': {'after_scheduler': cosine}, 'state_dict': released_tensors('resnet18')}
    torch.save(checkpoint, tmp_path / 'f.pth.tar')
    assert read_checkpoint(tmp_path / 'f.pth.tar')['meta'] == {'released': 'resnet18'}


class Malicious:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_no_code_in_a_file_is_run(tmp_path):
    witness = tmp_path / 'witness'
    torch.save({'state_dict': released_tensors('resnet18'), 'x': Malicious(f'touch {witness}')}, tmp_path / 'bad.pth')
    with pytest.raises(CheckpointError, match=r'bad.pth is either damaged or unsafe to read: it contains a \w+.system'):
        read_checkpoint(tmp_path / 'bad.pth')
    assert not witness.exists()
    torch.load(tmp_path / 'bad.pth', weights_only=False)
    assert witness.exists(), 'the file would have done harm'


class Reaching:
    """Asks, as MMEngine's log buffers do, for an attribute of a class, but not for a statistic."""

    def __reduce__(self):
        return getattr, (HistoryBuffer, '__init__')


def test_a_file_gets_no_attributes_beyond_a_log_buffers_statistics(tmp_path):
    torch.save({'state_dict': released_tensors('resnet18'), 'x': Reaching()}, tmp_path / 'bad.pth')
    refused(CheckpointError, 'it asks for attribute __init__', read_checkpoint, tmp_path / 'bad.pth')


def test_mmengines_log_buffers_are_read(tmp_path):
    buffer = HistoryBuffer([0.3, 0.1], [1, 1])
    hub = {'log_scalars': OrderedDict({'train/loss': buffer}), 'runtime_info': {}, 'resumed_keys': {}}
    torch.save({'state_dict': tiny_assessor().state_dict(), 'message_hub': hub}, tmp_path / 'epoch_1.pth')
    read = read_checkpoint(tmp_path / 'epoch_1.pth')['message_hub']['log_scalars']['train/loss']
    assert read.mean() == pytest.approx(0.2) and read.current() == 0.1


def test_a_missing_tensor_is_named(resnet, tmp_path):
    tensors = released_tensors('resnet18')
    del tensors['layer2.0.bn1.weight']
    torch.save(tensors, tmp_path / 'f.pth')
    with pytest.raises(
        CheckpointError, match=r'\(121 tensors in the file, 122 wanted\). 1 missing: .*layer2.0.bn1.wei'
    ):
        load_checkpoint(resnet, tmp_path / 'f.pth')


def test_unexpected_tensors_are_named_and_counted(resnet, tmp_path):
    extra = {f'neck.{i}.weight': torch.zeros(1) for i in range(7)}
    torch.save({**released_tensors('resnet18'), **extra}, tmp_path / 'f.pth')
    with pytest.raises(CheckpointError, match='7 unexpected: .*neck.0.weight, .*neck.4.weight and 2 more'):
        load_checkpoint(resnet, tmp_path / 'f.pth')


def test_an_imagenet_classifier_is_refused_with_both_shapes(resnet, tmp_path):
    tensors = {**released_tensors('resnet18'), 'fc.weight': torch.zeros(1000, 512), 'fc.bias': torch.zeros(1000)}
    torch.save(tensors, tmp_path / 'imagenet.pth')
    with pytest.raises(CheckpointError, match=r'fc.weight is \(1000, 512\), expected \(1, 512\)'):
        load_checkpoint(resnet, tmp_path / 'imagenet.pth')


def test_another_methods_file_is_refused_and_the_right_config_named(resnet, tmp_path):
    torch.save(released_tensors('vit_small_patch16_224'), tmp_path / 'vit.pth.tar')
    with pytest.raises(CheckpointError, match=r'released vit_small_patch16_224; .* configs/vit_small_\*.py'):
        load_checkpoint(resnet, tmp_path / 'vit.pth.tar')


def test_the_unused_position_embedding_must_be_there_too(tmp_path, request):
    tensors = released_tensors('ra_miqa')
    del tensors['base_model.pos_embed']
    torch.save(tensors, tmp_path / 'ra.pth.tar')
    with pytest.raises(CheckpointError, match='1 missing: network.base_model.pos_embed'):
        load_checkpoint(build('ra_miqa', request.config.rootpath), tmp_path / 'ra.pth.tar')


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garble(path):
    data = bytearray(path.read_bytes())
    data[:200] = os.urandom(200)
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ('damage', 'reason'),
    [
        (cut, 'is not a whole PyTorch checkpoint|either damaged'),
        (garble, 'is not a whole PyTorch checkpoint|either damaged'),
        (lambda path: path.write_bytes(b''), 'is not a whole PyTorch checkpoint|either damaged'),
        (lambda path: path.write_text('<html>Quota exceeded</html>'), 'is not a whole PyTorch checkpoint'),
        (lambda path: torch.save([1, 2], path), 'holds a list, not a dict of tensors'),
        (lambda path: torch.save({}, path), 'not a dict of tensors'),
        (lambda path: torch.save({'state_dict': {'a': 'b'}}, path), 'these entries are not tensors: a'),
        (lambda path: torch.save({'epoch': 3}, path), 'these entries are not tensors: epoch'),
        (lambda path: torch.save({'conv.weight': torch.zeros(2)}, path), 'neither a checkpoint of this project nor'),
        (lambda path: path.unlink(), 'There is no checkpoint file'),
    ],
    ids=['cut', 'garbled', 'empty', 'web page', 'list', 'nothing', 'strings', 'no weights', 'stranger', 'missing'],
)
def test_a_wrong_file_is_refused_by_name(damage, reason, resnet, tmp_path):
    path = tmp_path / 'wrong.pth'
    torch.save(released_tensors('resnet18'), path)
    damage(path)
    caught = refused((CheckpointError, FileNotFoundError), reason, load_checkpoint, resnet, path)
    assert 'wrong.pth' in str(caught)


def test_a_network_that_was_never_released_has_no_released_names():
    model = MODELS.build(Config.fromfile('configs/_base_/models/mini_cnn.py').model)
    refused(ValueError, 'PackagedRegressor is not one of the released methods: resnet18', to_released, model)


@pytest.mark.parametrize('task', ['cls', 'det', 'ins'])
@pytest.mark.parametrize('label', ['composite', 'consistency', 'accuracy'])
@pytest.mark.parametrize('method', RELEASED_METHODS)
def test_a_released_name_says_method_task_and_label(method, task, label):
    assert parse_released_name(f'somewhere/miqa_{method}_{task}_{label}_metric.pth.tar') == (method, task, label)


@pytest.mark.parametrize(
    'name', ['best.pth', 'miqa_resnet18_seg_composite_metric.pth.tar', 'miqa_resnet19_cls_composite_metric.pth.tar']
)
def test_another_name_is_refused(name):
    refused(ValueError, 'is not named like a released file|Unknown (task|method)', parse_released_name, name)


KEYS = Path(__file__).parents[3] / 'shared' / 'reference' / 'released_checkpoint_keys.json'


@pytest.fixture(params=['ra_miqa', 'resnet18', 'vit_small_patch16_224'])
def released(request, tmp_path):
    path = tmp_path / f'miqa_{request.param}_det_accuracy_metric.pth.tar'
    torch.save({'epoch': 3, 'state_dict': released_tensors(request.param)}, path)
    return request.param, path


def test_a_released_file_comes_out_as_it_went_in(released, tmp_path):
    method, path = released
    out = tmp_path / 'out' / path.name
    assert not main(['export', str(out), '--model', str(path)])
    written = torch.load(out, weights_only=True)
    assert {name: tuple(tensor.shape) for name, tensor in written['state_dict'].items()} == released_shapes(method)
    before = torch.load(path, weights_only=True)['state_dict']
    assert list(written['state_dict']) == list(before) or set(written['state_dict']) == set(before)
    assert all(torch.equal(written['state_dict'][name], tensor) for name, tensor in before.items())
    assert written['arch'] == method and set(written) == {'epoch', 'arch', 'state_dict', 'best_srcc'}
    second = MIQAModel(weights=out)
    assert (second.spec.task, second.spec.label) == ('det', 'accuracy')


@pytest.mark.skipif(not KEYS.is_file(), reason='the list of released tensors is only where MIQA is developed')
@pytest.mark.parametrize('method', ['ra_miqa', 'resnet18', 'resnet50', 'vit_small_patch16_224'])
def test_names_and_shapes_are_those_of_the_released_files(method):
    listed = json.loads(KEYS.read_text())[method]
    assert {name: list(shape) for name, shape in released_shapes(method).items()} == listed


def test_a_run_of_ones_own_gives_the_same_scores_from_the_authors_format(tmp_path):
    method = METHODS['resnet18']
    write_run(tmp_path / 'best.pth', method.network, dict(method.views), 288)
    model = MIQAModel(weights=tmp_path / 'best.pth')
    out = model.export(tmp_path / 'mine.pth.tar')
    assert MIQAModel(weights=out).assess(photo(400, 300)) == pytest.approx(model.assess(photo(400, 300)), abs=1e-6)
    # Plain torchvision with one output, which is what the authors' scripts build.
    import torchvision

    plain = torchvision.models.resnet18()
    plain.fc = torch.nn.Linear(512, 1)
    plain.load_state_dict(torch.load(out, weights_only=True)['state_dict'], strict=True)
    assert np.isfinite(plain.eval()(torch.zeros(1, 3, 224, 224)).item())


def test_what_their_scripts_would_feed_otherwise_is_refused(tmp_path, vit_file, ra_miqa_file):
    write_run(tmp_path / 'small.pth', METHODS['resnet18'].network, views_of(64), 72)
    small = MIQAModel(weights=tmp_path / 'small.pth')
    refused(ValueError, 'its scores there would be wrong', small.export, tmp_path / 'x.pth.tar')
    refused(ValueError, '', MIQAModel(weights=ra_miqa_file).export, tmp_path / 'x.pth.tar')
    refused(ValueError, 'not one of the released methods', MIQAModel(weights=vit_file).export, tmp_path / 'x.pth.tar')
    assert not list(tmp_path.glob('*.pth.tar'))


def test_a_name_that_says_something_else_is_refused(released, tmp_path):
    method, path = released
    wrong = tmp_path / f'miqa_{method}_cls_accuracy_metric.pth.tar'
    refused(ValueError, 'says task cls, but the model is of task det', MIQAModel(weights=path).export, wrong)
    assert not wrong.exists()
