"""Models of MMSegmentation give, as machines, what MMSegmentation gives by hand; random weights, nothing fetched."""

import numpy as np
import pytest
import torch
from helpers_refusals import refused
from helpers_sized_pictures import pictures

from miqa.machines import MMSegMachine
from miqa.machines.openmmlab_zoo import zoo
from miqa.outside.checkpoint_files import CheckpointError

#: Networks of three kinds; the pictures of the test are small, and so is what they are resized to.
MODELS = (
    'segformer_mit-b0_8xb2-160k_ade20k-512x512',
    'fast_scnn_8xb4-160k_cityscapes-512x1024',
    'bisenetv1_r18-d32_4xb4-160k_cityscapes-1024x1024',
)
SMALL = {'test_pipeline.1.scale': (128, 64)}


def by_hand(config, machine, image):
    """MMSegmentation's own API, in its own scope; it takes OpenCV's channel order."""
    from mmengine.config import Config
    from mmengine.registry import DefaultScope
    from mmseg.apis import inference_model, init_model

    settings = Config.fromfile(zoo('mmseg')[config].config)
    settings.merge_from_dict(SMALL)
    with DefaultScope.overwrite_default_scope('mmseg'):
        network = init_model(settings, None, device='cpu')
        network.load_state_dict(machine.network.state_dict())
        return inference_model(network, image[..., ::-1]).pred_sem_seg.data[0].numpy()


def level_classes(network, look):
    """Give every class the same mean output: random weights prefer one everywhere, and all answers would be equal."""
    layer, seen = network.decode_head.conv_seg, []
    hook = layer.register_forward_hook(lambda _, inputs, output: seen.append(output.mean((0, 2, 3))))
    look()
    hook.remove()
    with torch.no_grad():
        layer.bias -= seen[0]


@pytest.mark.parametrize('config', MODELS)
def test_classes_of_pixels_are_those_of_mmsegmentations_own_inference(config):
    machine = MMSegMachine(config, None, cfg_options=SMALL)
    images, seen = pictures(), set()
    level_classes(machine.network, lambda: machine.predict(images[:1]))
    for number, (image, answer) in enumerate(zip(images, machine.predict(images), strict=True)):
        if number < 3:
            np.testing.assert_array_equal(answer.labels, by_hand(config, machine, image))
        np.testing.assert_array_equal(answer.labels, machine.predict([image])[0].labels)
        assert answer.labels.shape == image.shape[:2]
        seen |= set(np.unique(answer.labels))
    assert len(seen) > 1


def test_a_checkpoint_brings_its_classes_and_fits_or_is_refused(tmp_path):
    machine = MMSegMachine(MODELS[0], None, cfg_options=SMALL, seed=1)
    state = machine.network.state_dict()
    meta = {'dataset_meta': {'classes': ('wall', 'floor'), 'palette': [[0, 0, 0]]}}
    torch.save({'state_dict': state, 'meta': meta}, tmp_path / 'whole.pth')
    read = MMSegMachine(MODELS[0], tmp_path / 'whole.pth', cfg_options=SMALL)
    assert read.classes == ('wall', 'floor') and read.fingerprint == machine.fingerprint
    assert read.fingerprint != MMSegMachine(MODELS[0], None, cfg_options=SMALL).fingerprint
    part = {key: value for key, value in state.items() if not key.startswith('decode_head.conv_seg')}
    torch.save({'state_dict': part}, tmp_path / 'part.pth')
    with pytest.raises(CheckpointError, match=r'2 of \d+ tensors are missing, for example decode_head\.conv_seg'):
        MMSegMachine(MODELS[0], tmp_path / 'part.pth')
    torch.save({'state_dict': {**state, 'decode_head.conv_seg.bias': torch.zeros(3)}}, tmp_path / 'other.pth')
    with pytest.raises(CheckpointError, match='of another network than the config: size mismatch'):
        MMSegMachine(MODELS[0], tmp_path / 'other.pth')


class Touch:
    """What runs code when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), 'w')


def test_no_code_in_a_checkpoint_runs(tmp_path):
    torch.save({'state_dict': {}, 'meta': Touch(tmp_path / 'touched')}, tmp_path / 'evil.pth')
    refused(CheckpointError, 'unsafe to read', MMSegMachine, MODELS[0], tmp_path / 'evil.pth')
    assert not (tmp_path / 'touched').exists()


def test_what_is_wrong_is_said(tmp_path, monkeypatch):
    refused(ValueError, f"Did you mean '{MODELS[0]}'", MMSegMachine, MODELS[0] + 's', None)
    refused(FileNotFoundError, r'no MMSegmentation config none\.py', MMSegMachine, 'none.py', None)
    refused(ValueError, 'is for seg, not for det', MMSegMachine, MODELS[0], None, task='det')
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    monkeypatch.setattr(
        'miqa.machines.openmmlab_weights.download', lambda *_: (_ for _ in ()).throw(OSError('no network'))
    )
    with pytest.raises(ConnectionError, match=r'no network.*put it at .*checkpoints/segformer_mit-b0.*\.pth'):
        MMSegMachine(MODELS[0], 'zoo')


def test_every_model_of_the_zoo_has_a_config_that_is_there():
    models = zoo('mmseg')
    assert len(models) > 600
    assert all(model.config.is_file() for model in models.values())
