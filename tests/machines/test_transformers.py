"""Models of transformers give, as machines, what transformers gives by hand; random weights in a folder."""

import json

import numpy as np
import pytest
import torch
from helpers_refusals import refused
from helpers_sized_pictures import pictures
from helpers_transformers import small_detr, small_resnet

from miqa.machines import TransformersMachine
from miqa.machines.masks import encode_masks

transformers = pytest.importorskip('transformers', reason="transformers is missing: pip install -e '.[transformers]'")

NAMES = {0: 'cat', 1: 'dog', 2: 'car'}


@pytest.fixture
def folder(tmp_path):
    """Return a function that writes a model with random weights and its processor into a folder."""

    def save(model_class, config, processor):
        torch.manual_seed(0)
        config.id2label, config.label2id = NAMES, {name: i for i, name in NAMES.items()}
        model = model_class(config).eval()
        with torch.no_grad():
            # Fresh weights are so small that every picture looks alike.
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    parameter.mul_(3)
        model.save_pretrained(tmp_path / 'model', safe_serialization=True)
        processor.save_pretrained(tmp_path / 'model')
        return str(tmp_path / 'model'), model

    return save


def by_hand(model, processor, image):
    with torch.no_grad():
        return model(**processor(images=image, return_tensors='pt'))


def check_alone_and_together(machine, expect):
    together = machine.predict(pictures())
    alone = [machine.predict([image])[0] for image in pictures()]
    for image, one, other in zip(pictures(), together, alone, strict=True):
        for answer in (one, other):
            expect(answer, image)


def small_backbone():
    return transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], out_features=['stage2', 'stage3', 'stage4']
    )


def test_a_classifier(folder):
    config = small_resnet()
    processor = transformers.ViTImageProcessor(size={'height': 64, 'width': 64})
    path, model = folder(transformers.ResNetForImageClassification, config, processor)
    machine = TransformersMachine(path, 'cls')
    assert machine.name == 'model' and machine.classes == ('cat', 'dog', 'car')

    def expect(answer, image):
        truth = by_hand(model, processor, image).logits.softmax(1)[0].numpy()
        np.testing.assert_allclose(answer.probabilities, truth, atol=1e-6)

    check_alone_and_together(machine, expect)


def test_a_detector(folder):
    config = small_detr()
    processor = transformers.DetrImageProcessor(size={'shortest_edge': 64, 'longest_edge': 128})
    path, model = folder(transformers.DetrForObjectDetection, config, processor)
    machine = TransformersMachine(path, 'det')
    results = []

    def expect(answer, image):
        outputs = by_hand(model, processor, image)
        (truth,) = processor.post_process_object_detection(outputs, 0.01, target_sizes=[image.shape[:2]])
        np.testing.assert_allclose(answer.boxes, truth['boxes'].numpy(), atol=1e-4)
        np.testing.assert_array_equal(answer.labels, truth['labels'].numpy())
        results.append(len(answer.scores))

    check_alone_and_together(machine, expect)
    assert sum(results) > 20
    # Pictures of one size may also go through the network together.
    same = pictures(2, [(96, 128)] * 2)
    one, two = (TransformersMachine(path, 'det', batched=batched).predict(same) for batched in (False, True))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a.boxes, b.boxes, atol=1e-4)


def mask2former():
    return transformers.Mask2FormerConfig(
        backbone_config=transformers.SwinConfig(
            embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4, image_size=64,
            out_features=['stage1', 'stage2', 'stage3', 'stage4'],
        ),
        feature_size=32, mask_feature_size=32, hidden_dim=32, encoder_feedforward_dim=16, dim_feedforward=16,
        encoder_layers=1, decoder_layers=2, num_attention_heads=2, num_queries=6,
    )  # fmt: skip


@pytest.fixture
def universal(folder):
    processor = transformers.Mask2FormerImageProcessor(size={'height': 64, 'width': 64}, do_resize=True)
    path, model = folder(transformers.Mask2FormerForUniversalSegmentation, mask2former(), processor)
    return path, model, processor


def test_an_instance_segmenter(universal):
    path, model, processor = universal
    machine, results = TransformersMachine(path, 'ins'), []

    def expect(answer, image):
        outputs = by_hand(model, processor, image)
        (truth,) = processor.post_process_instance_segmentation(
            outputs, 0.01, target_sizes=[image.shape[:2]], return_binary_maps=True
        )
        assert answer.labels.tolist() == [item['label_id'] for item in truth['segments_info']]
        if len(answer.labels):
            assert answer.masks == encode_masks(truth['segmentation'].numpy() > 0)
            rows, columns = np.nonzero(truth['segmentation'][0].numpy())
            box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            np.testing.assert_allclose(answer.boxes[0], box)
        results.append(len(answer.scores))

    check_alone_and_together(machine, expect)
    assert sum(results) > 20
    high = TransformersMachine(path, 'ins', threshold=1.1).predict(pictures(1))[0]
    assert (high.boxes.shape, high.masks) == ((0, 4), [])


def test_a_universal_segmenter_gives_classes_of_pixels_too(universal):
    path, model, processor = universal

    def expect(answer, image):
        outputs = by_hand(model, processor, image)
        (truth,) = processor.post_process_semantic_segmentation(outputs, target_sizes=[image.shape[:2]])
        np.testing.assert_array_equal(answer.labels, truth.numpy())

    check_alone_and_together(TransformersMachine(path, 'seg'), expect)


def test_a_semantic_segmenter(folder):
    config = transformers.SegformerConfig(
        hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], num_attention_heads=[1, 1, 2, 2], decoder_hidden_size=16
    )
    processor = transformers.SegformerImageProcessor(size={'height': 64, 'width': 64})
    path, model = folder(transformers.SegformerForSemanticSegmentation, config, processor)

    def expect(answer, image):
        outputs = by_hand(model, processor, image)
        (truth,) = processor.post_process_semantic_segmentation(outputs, target_sizes=[image.shape[:2]])
        np.testing.assert_array_equal(answer.labels, truth.numpy())

    check_alone_and_together(TransformersMachine(path, 'seg'), expect)


def test_a_segmenter_that_cuts_pictures_into_parts(folder):
    config = transformers.EomtConfig(
        hidden_size=32, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32, image_size=64, patch_size=8,
        num_blocks=1, num_queries=6, num_upscale_blocks=1, num_register_tokens=0,
    )  # fmt: skip
    processor = transformers.EomtImageProcessor(size={'shortest_edge': 64, 'longest_edge': None}, do_split_image=True)
    path, model = folder(transformers.EomtForUniversalSegmentation, config, processor)
    parts = []

    def expect(answer, image):
        inputs = processor(images=image, return_tensors='pt')
        parts.append(len(inputs['pixel_values']))
        with torch.no_grad():
            outputs = model(**inputs)
        (truth,) = processor.post_process_semantic_segmentation(outputs, target_sizes=[image.shape[:2]])
        np.testing.assert_array_equal(answer.labels, truth.numpy())

    check_alone_and_together(TransformersMachine(path, 'seg'), expect)
    check_alone_and_together(TransformersMachine(path, 'seg', batched=True), expect)
    assert max(parts) > 2


@pytest.mark.parametrize('precision', [torch.float16, torch.bfloat16])
def test_weights_of_half_precision_answer_as_the_library_computes_with_them(folder, precision):
    config = transformers.YolosConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=[64, 96],
        num_detection_tokens=9,
    )  # fmt: skip
    processor = transformers.YolosImageProcessor(size={'shortest_edge': 64, 'longest_edge': 128})
    path, model = folder(transformers.YolosForObjectDetection, config, processor)
    model.to(precision).save_pretrained(path)
    machine = TransformersMachine(path, 'det')
    for answer, image in zip(machine.predict(pictures()), pictures(), strict=True):
        inputs = processor(images=image, return_tensors='pt').to(precision)
        with torch.no_grad():
            outputs = model(**inputs)
        (truth,) = processor.post_process_object_detection(outputs, 0.01, target_sizes=[image.shape[:2]])
        np.testing.assert_allclose(answer.boxes, truth['boxes'].float().numpy(), atol=1e-4)
        np.testing.assert_array_equal(answer.labels, truth['labels'].numpy())


def test_a_model_without_the_part_that_answers_is_refused_instead_of_answering_at_random(folder):
    config = small_resnet()
    path, model = folder(transformers.ResNetForImageClassification, config, transformers.ViTImageProcessor())
    model.resnet.save_pretrained(path)
    with pytest.raises(ValueError, match='no weights for 2 tensors of a model for cls, for example classifier'):
        TransformersMachine(path, 'cls')


def test_the_fingerprint_follows_weights_and_preparation(folder):
    config = small_resnet()
    prints = set()
    for size in (64, 96):
        processor = transformers.ViTImageProcessor(size={'height': size, 'width': size})
        path, _ = folder(transformers.ResNetForImageClassification, config, processor)
        prints.add(TransformersMachine(path, 'cls').fingerprint)
        assert TransformersMachine(path, 'cls').fingerprint in prints
    assert len(prints) == 2


def test_what_is_not_safe_or_not_possible_is_refused(folder, tmp_path, monkeypatch):
    config = small_resnet()
    path, model = folder(transformers.ResNetForImageClassification, config, transformers.ViTImageProcessor())
    refused(ValueError, 'does not know as a model for det', TransformersMachine, path, 'det')
    torch.save(model.state_dict(), tmp_path / 'model/pytorch_model.bin')
    (tmp_path / 'model/model.safetensors').rename(tmp_path / 'away.safetensors')
    refused(ValueError, r'no model\.safetensors', TransformersMachine, path, 'cls')
    (tmp_path / 'away.safetensors').rename(tmp_path / 'model/model.safetensors')
    # A model that brings its own code: neither asked about nor run.
    evil = json.loads((tmp_path / 'model/config.json').read_text())
    evil.update(model_type='evil', auto_map={'AutoConfig': 'evil.Evil', 'AutoModelForImageClassification': 'evil.Evil'})
    (tmp_path / 'model/config.json').write_text(json.dumps(evil))
    (tmp_path / 'model/evil.py').write_text(f'open({str(tmp_path / "ran")!r}, "w")\nclass Evil: pass\n')
    refused(ValueError, 'code', TransformersMachine, path, 'cls')
    assert not (tmp_path / 'ran').exists()


def test_a_model_that_is_nowhere_is_said_in_a_sentence(monkeypatch):
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)
    caught = refused(ConnectionError, 'There is no folder no/such-model', TransformersMachine, 'no/such-model', 'det')
    assert 'hf download no/such-model --local-dir' in str(caught)
