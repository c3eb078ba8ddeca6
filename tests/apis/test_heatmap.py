"""Heat maps point at what counts."""

import numpy as np
import pytest
import torch
from helpers_apis import CNN, photo, views_of, write_photos, write_run
from helpers_refusals import refused
from PIL import Image

from machine_iqa import MIQAModel
from miqa.apis.attention import rollout
from miqa.apis.runtimes import Device, Runtime
from miqa.apis.spec import ModelSpec


class Quadrant(Runtime):
    """A runtime whose score is how dark the top left quarter is, less how dark the bottom right one is."""

    name, device = 'a stand-in', Device('cpu')

    def __call__(self, pixels):
        half = pixels.shape[-1] // 2
        darkness = 1 - pixels.mean(axis=1) / 255
        return darkness[:, :half, :half].mean(axis=(1, 2)) - darkness[:, half:, half:].mean(axis=(1, 2))


def quadrant_model():
    spec = ModelSpec('quadrant', None, None, {}, views_of(64), 64)
    return MIQAModel.from_runtime(spec, Quadrant(), 'quadrant', batch_size=32, workers=0)


def test_occlusion_is_red_where_hiding_helps_and_blue_where_it_hurts():
    # Black corners on white: hiding the top left one (which raises the score) lowers it, and the other way round.
    picture = np.full((64, 96, 3), 255, np.uint8)
    picture[8:24, 24:40] = 0
    picture[40:56, 56:72] = 0
    result = quadrant_model().assess(picture, heatmap=True)
    values = result.values
    assert values.shape == (9, 9)
    assert np.unravel_index(values.argmin(), values.shape) in [(row, column) for row in (1, 2) for column in (1, 2)]
    assert np.unravel_index(values.argmax(), values.shape) in [(row, column) for row in (6, 7) for column in (6, 7)]
    assert values.min() < 0 < values.max()
    assert np.abs(values[1:3, 6:8]).max() < 0.05 * values.max(), 'a white corner hidden under grey changes nothing'
    drawn = np.asarray(result.overlay()).astype(int)
    assert drawn.shape == (64, 96, 3)
    assert drawn[16, 32, 2] > drawn[16, 32, 0] + 30, 'blue where it helps'
    assert drawn[48, 64, 0] > drawn[48, 64, 2] + 30, 'red where it hurts'
    assert (drawn[30, 4] < 130).all(), 'dimmed where the model does not see'


@pytest.mark.parametrize('kind', ['ra_miqa', 'vit'])
def test_rollout_is_what_the_unfused_attention_of_timm_gives(ra_miqa_file, vit_file, kind):
    model = MIQAModel(weights=ra_miqa_file if kind == 'ra_miqa' else vit_file)
    network = model.runtime.module.network
    transformer = network.base_model if kind == 'ra_miqa' else network.backbone
    views = model.runtime.module.views(torch.from_numpy(model.prepare(photo())[None]))
    taken = []
    for block in transformer.blocks:
        block.attn.fused_attn = False
        block.attn.attn_drop.register_forward_hook(lambda module, inputs, output: taken.append(output))
    result = rollout(network, views)
    flow = torch.eye(taken[0].shape[-1])[None]
    for attention in taken:
        flow = (0.5 * attention.mean(1) + 0.5 * torch.eye(attention.shape[-1])) @ flow
    if kind == 'ra_miqa':
        expected = flow[:, [0, 1], 2:].mean(1)
    elif transformer.global_pool == 'token':
        expected = flow[:, 0, transformer.num_prefix_tokens :]
    else:
        expected = flow[:, transformer.num_prefix_tokens :, transformer.num_prefix_tokens :].mean(1)
    expected = expected / expected.sum()
    assert result.sum().item() == pytest.approx(1, abs=1e-5)
    assert torch.allclose(result.flatten(), expected.flatten(), atol=1e-6)
    assert result.std() > 0


def test_a_map_carries_the_score_and_a_list_gives_a_list(ra_miqa_file, tmp_path):
    model = MIQAModel(weights=ra_miqa_file)
    paths = write_photos(tmp_path / 'photos', 2)
    for method in (True, 'rollout'):
        result = model.assess(paths, heatmap=method)
        assert [item.score for item in result] == pytest.approx(model.assess(paths), abs=1e-5)
        assert [item.overlay().size for item in result] == [Image.open(path).size for path in paths]
    left, top, right, bottom = model.assess(paths[0], heatmap='rollout').box
    assert (right - left, bottom - top) == pytest.approx((60, 60), abs=1)  # 32 of 48 pixels, of a short side of 90
    refused(ValueError, 'Unknown heat map method', model.assess, paths[0], heatmap='gradcam')


def test_a_map_of_one_pixel_and_of_nothing_to_see_can_be_drawn():
    assert quadrant_model().assess(np.zeros((1, 1, 3), np.uint8), heatmap=True).overlay().size == (1, 1)


def test_rollout_of_a_network_without_attention_is_refused(tmp_path):
    write_run(tmp_path / 'best.pth', CNN)
    model = MIQAModel(weights=tmp_path / 'best.pth')
    refused(ValueError, "heatmap='occlusion'", model.assess, photo(), heatmap='rollout')
